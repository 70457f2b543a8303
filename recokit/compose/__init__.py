"""Composition: sources made of sources, and a stage's options in its place."""

from recokit._utils.moved import moved_from

__all__: list[str] = []

__getattr__ = moved_from(__name__)
