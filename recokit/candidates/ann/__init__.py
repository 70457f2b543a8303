"""Nearest neighbours by FAISS: the index, what it is built from, and how it is kept up."""

from recokit._utils.moved import moved_from

__getattr__ = moved_from(__name__)
