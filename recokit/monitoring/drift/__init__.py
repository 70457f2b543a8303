"""Drift: whether what is served still looks like what was trained on."""

from recokit._utils.moved import moved_from

__getattr__ = moved_from(__name__)
