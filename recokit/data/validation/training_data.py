"""Validation: whether a dataset is fit to train on."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from recokit.data.dataset import Dataset, require_dataset
from recokit.data.times import seconds, timestamp
from recokit.data.validation import _labels as labels, _log as log_checks, _tables as tables, _times as times
from recokit.data.validation.limits import ValidationLimits
from recokit.data.validation.report import CheckReport
from recokit.typing import AnyArray


@dataclass(frozen=True, eq=False, repr=False)
class ValidationReport(CheckReport):
    """What :func:`validate` found.

    Row numbers are positions in ``dataset.interactions``, which is sorted by time: row ``i`` of the report is row
    ``np.argsort(timestamp, kind="stable")[i]`` of the frame that the dataset was built from.

    Parameters
    ----------
    title, checks
        As in :class:`~recokit.data.validation.report.CheckReport`.
    approach : str
        The kind of model that the amount of data is enough for.
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
    limits: ValidationLimits = ValidationLimits(),  # noqa: B008  (frozen)
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
        ``duplicates.event_id``, ``duplicates.retries``, ``labels.joined``, ``labels.order``, ``events.types``,
        ``codes.unknown``,
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
    shown = labels.read_impressions(impressions)
    amount, approach = log_checks.sufficiency(dataset, limits)
    checks = (
        *times.stamps(log, moment, seconds(limits.clock_skew), timestamp(limits.earliest)),
        times.freshness(log, moment, seconds(limits.max_age), seconds(limits.clock_skew)),
        *times.missing_times(log, moment, {timestamp(day) for day in closed}, limits),
        log_checks.repeated_ids(log, event_ids, limits),
        log_checks.retries(log, seconds(limits.retry_window), limits),
        *labels.label_quality(log, shown, tuple(label_events), tuple(impression_events), limits=limits),
        log_checks.event_roles(dataset),
        *log_checks.unknown_codes(log, limits),
        *tables.coverage(dataset, limits),
        *tables.columns(dataset, limits),
        amount,
    )
    return ValidationReport(f"Validation of {dataset!r}", checks, approach)
