"""Feature log: what was served, kept to train on."""

from recokit._utils.moved import moved_from

__getattr__ = moved_from(__name__)
