"""Validation: whether a dataset is fit to train on."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, field, fields, replace
from typing import Any

from recokit.data import _validate_labels as labels
from recokit.data import _validate_log as log_checks
from recokit.data import _validate_tables as tables
from recokit.data import _validate_times as times
from recokit.data.checks import CheckReport
from recokit.data.dataset import Dataset, require_dataset
from recokit.data.times import seconds, timestamp
from recokit.errors import ConfigurationError, did_you_mean
from recokit.typing import AnyArray

__all__ = ["ValidationLimits", "ValidationReport", "validate"]


@dataclass(frozen=True)
class ValidationLimits:
    """Where :func:`validate` warns and fails; every default number in one place.

    Parameters
    ----------
    max_age : duration
        The newest event must be younger; R1.
    clock_skew : duration
        How far an event may lie ahead of ``now``.
    earliest : str or float
        Events before it are suspected of a wrong unit.
    retry_window : duration
        The same user, item and event again within it is a repeat: a retry storm; R3.
    warn_duplicates, fail_duplicates : float
        Share of repeated events.
    warn_joined, fail_joined : float
        Below these shares of labels that join to an impression; R1.
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
        Below these shares of entities that have every column; R1.
    constant_rows : int
        A column of so many known values that are all the same is constant.
    constant_flags : int
        The same for columns of true and false: a flag that one row in 200 has is in none of 1,000 rows less than once
        in 100 times.
    user_interactions, user_interactions_good : float
        Interactions of an active user, mean: too few below the first, still thin below the second; R6.
    item_interactions : float
        Interactions of an item with any, mean; R6.
    interactions, users, items : int
        Least size for collaborative methods; R6.
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


@dataclass(frozen=True, eq=False, repr=False)
class ValidationReport(CheckReport):
    """What :func:`validate` found.

    Row numbers are positions in ``dataset.interactions``, which is sorted by time: row ``i`` of the report is row
    ``np.argsort(timestamp, kind="stable")[i]`` of the frame that the dataset was built from.

    Parameters
    ----------
    title, checks
        As in :class:`~recokit.data.checks.CheckReport`.
    approach : str
        What the amount of data is enough for; R6.
    """

    approach: str = field(default="")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {**super().to_dict(), "approach": self.approach}


def validate(
    dataset: Dataset,
    *,
    now: str | float | None = None,
    impressions: Any = None,
    event_ids: AnyArray | None = None,
    closed: Collection[str] = (),
    label_events: Collection[str] = labels.LABELS,
    impression_events: Collection[str] = labels.IMPRESSIONS,
    limits: ValidationLimits = ValidationLimits(),
    **changes: Any,
) -> ValidationReport:
    """Check whether a dataset is fit to train on.

    Parameters
    ----------
    dataset : Dataset
        What is to be trained on.
    now : str or float, optional
        When training starts: the dataset's cut where it has one, else the wall clock.
    impressions : object, optional
        What was shown, where the log itself has no such events: arrays ``user``, ``item`` (codes) and ``timestamp``,
        and optionally ``impression`` (ids, 1, 2, 3... by default), as attributes or in a mapping.
    event_ids : array_like, shape (M,), optional
        One id for each event of ``dataset.interactions``; a repeated id is a duplicate.
    closed : collection of str, optional
        Days (ISO, UTC) on which no events are expected.
    label_events : collection of str
        Event types that follow an impression: click, add_to_cart and purchase by default.
    impression_events : collection of str
        Event types that are impressions: impression, view and exposure by default.
    limits : ValidationLimits
        Where to warn and fail.
    **changes
        Single limits, by name, such as ``max_age="48h"``.

    Returns
    -------
    ValidationReport
        The checks ``time.units``, ``time.future``, ``time.past``, ``freshness``, ``time.days``, ``time.gaps``,
        ``duplicates.event_id``, ``duplicates.retries``, ``labels.joined``, ``labels.order``, ``codes.unknown``,
        ``coverage.users``, ``coverage.items``, ``columns.constant``, ``columns.empty`` and ``sufficiency``.

    Raises
    ------
    ConfigurationError
        For an unknown limit.
    DataError
        If it is no Dataset, or ``event_ids`` or ``impressions`` do not fit.

    Examples
    --------
    >>> from recokit.datasets import make_marketplace
    >>> data = make_marketplace(200, 100, days=30, seed=1).dataset
    >>> report = validate(data, now="2025-01-31")
    >>> report["time.days"].status, report["sufficiency"].status, report.approach
    ('pass', 'warn', 'popularity and content')
    >>> print(report["duplicates.retries"])
    ok   duplicates.retries: no event repeats within 5 s
    """
    require_dataset(dataset, "dataset")
    limits = limits.changed(**changes)
    log = dataset.interactions
    if now is None:
        now = time.time() if dataset.cut is None else dataset.cut
    moment = timestamp(now)
    window = seconds(limits.retry_window)
    shown = labels.read_impressions(impressions)
    amount, approach = log_checks.sufficiency(dataset, limits)
    checks = (
        *times.stamps(log, moment, seconds(limits.clock_skew), timestamp(limits.earliest)),
        times.freshness(log, moment, seconds(limits.max_age), seconds(limits.clock_skew)),
        *times.missing_times(log, moment, {timestamp(day) for day in closed}, limits),
        log_checks.repeated_ids(log, event_ids, limits),
        log_checks.retries(log, window, limits),
        *labels.label_quality(log, shown, tuple(label_events), tuple(impression_events), limits),
        *log_checks.unknown_codes(log, limits),
        *tables.coverage(dataset, limits),
        *tables.columns(dataset, limits),
        amount,
    )
    return ValidationReport(f"Validation of {dataset!r}", checks, approach)
