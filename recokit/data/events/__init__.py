"""The event log in forms that answer fast: counts as of any time, histories, what came in since."""

from recokit._utils.moved import moved_from

__getattr__ = moved_from(__name__)
