"""Saved state: objects as JSON and arrays behind checksums, without pickle."""

from recokit._utils.moved import moved_from

__getattr__ = moved_from(__name__)
