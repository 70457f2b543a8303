"""Faults of hard rules: too much goes, or nothing does."""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from recokit.testing.faults.sources import membership
from recokit.testing.faults.stages import answering
from recokit.typing import IntArray

T = TypeVar("T")


def removing(rule: T, items: IntArray) -> T:
    """Return a copy of a filter that removes these items too."""
    gone = membership(items)
    return answering(rule, lambda kept, candidates: np.asarray(kept & ~gone(candidates.item)))


def passing(rule: T) -> T:
    """Return a copy of a filter that lets everything pass."""
    return answering(rule, lambda kept, candidates: np.ones(len(candidates), np.bool_))


def passing_for(rule: T, items: IntArray) -> T:
    """Return a copy of a filter that lets these items pass, whatever it says of them."""
    listed = membership(items)
    return answering(rule, lambda kept, candidates: np.asarray(kept | listed(candidates.item)))


def turned_round(rule: T) -> T:
    """Return a copy of a filter that removes what it should keep, and keeps what it should remove."""
    return answering(rule, lambda kept, candidates: ~kept)
