"""Alerts: rules over what monitors count."""

from recokit._utils.moved import moved_from

__getattr__ = moved_from(__name__)
