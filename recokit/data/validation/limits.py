"""Limits of validation: every default number in one place."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from recokit.errors import ConfigurationError, did_you_mean


@dataclass(frozen=True)
class ValidationLimits:
    """Where :func:`validate` warns and fails; every default number in one place.

    Parameters
    ----------
    max_age : duration
        The newest event must be younger.
    clock_skew : duration
        How far an event may lie ahead of ``now``.
    earliest : str or float
        Events before it are suspected of a wrong unit.
    retry_window : duration
        The same user, item and event again within it is a repeat: a retry storm.
    warn_duplicates, fail_duplicates : float
        Share of repeated events.
    warn_joined, fail_joined : float
        Below these shares of labels that join to an impression.
    warn_early, fail_early : float
        Share of labels that come before their impression.
    day_share, day_arrivals : float
        A day is missing at or below this share of what it usually has, where that is at least so many arrivals (users
        in an hour).
    min_gap, gap_arrivals : duration, float
        A time of this length without any event is a gap where so many arrivals are usual.
    warn_unknown, fail_unknown : float
        Share of events of a user or item without a code.
    warn_coverage, fail_coverage : float
        Below these shares of entities that have every column.
    constant_rows : int
        A column of so many known values that are all the same is constant.
    constant_flags : int
        The same for columns of true and false: a flag that one row in 200 has is in none of 1,000 rows less than once
        in 100 times.
    user_interactions, user_interactions_good : float
        Interactions of an active user, mean: too few below the first, still thin below the second.
    item_interactions : float
        Interactions of an item with any, mean.
    interactions, users, items : int
        Minimum size for collaborative methods.
    """

    max_age: str | float = "24h"
    clock_skew: str | float = "5min"
    earliest: str | float = "1990-01-01"
    retry_window: str | float = "5s"
    warn_duplicates: float = 0.005
    fail_duplicates: float = 0.02
    warn_joined: float = 0.95
    fail_joined: float = 0.5
    warn_early: float = 0.001
    fail_early: float = 0.01
    day_share: float = 0.1
    day_arrivals: float = 30.0
    min_gap: str | float = "3h"
    gap_arrivals: float = 30.0
    warn_unknown: float = 0.01
    fail_unknown: float = 0.1
    warn_coverage: float = 0.8
    fail_coverage: float = 0.1
    constant_rows: int = 20
    constant_flags: int = 1_000
    user_interactions: float = 10.0
    user_interactions_good: float = 20.0
    item_interactions: float = 50.0
    interactions: int = 10_000
    users: int = 1_000
    items: int = 500

    def changed(self, **limits: Any) -> ValidationLimits:
        """Return the limits with some replaced.

        Raises
        ------
        ConfigurationError
            For a name that is no limit.
        """
        known = [part.name for part in fields(self)]
        for name in limits:
            if name not in known:
                raise ConfigurationError(f"found limit {name!r}; {did_you_mean(name, known)}")
        return replace(self, **limits)
