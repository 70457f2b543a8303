"""Validation: whether a dataset is fit to train on."""

from recokit._utils.moved import moved_from

__getattr__ = moved_from(__name__)
