"""Overlap: whether a recommender had seen what it is evaluated on."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import numpy as np

from recokit.data import Dataset
from recokit.errors import DataError
from recokit.protocols import Dated


def overlap_of(subject: Any, truth: Any, past: Dataset | None) -> str:
    """Return what of a truth with times a recommender or the history has seen, empty if nothing.

    Parameters
    ----------
    subject : object
        A pipeline tells until when it has seen events; what does not is taken on trust.
    truth : object
        A Dataset, or something without times, of which nothing can be told.
    past : Dataset or None
        The history as it is used.
    """
    if not isinstance(truth, Dataset) or not len(truth.interactions):
        return ""
    start = float(truth.interactions.timestamp[0])
    if isinstance(subject, Dated) and subject.fitted_until > start:
        return f"fitted on events until {_date(subject.fitted_until)}, and evaluated on events from {_date(start)} on"
    n = 0 if past is None else _shared(past, truth)
    return f"{n:,} of {len(truth.interactions):,} events of the truth stand in the history" if n else ""


def require_no_overlap(overlap: Mapping[str, str]) -> None:
    """Raise DataError for the first recommender that has seen what it is evaluated on."""
    for name, found in overlap.items():
        if found:
            raise DataError(
                f"found {name} {found}; expected a model of what was before, since it knows these answers; "
                "hint: train, test = data.split_at(...), fit on train; allow_overlap=True where that is meant"
            )


def _shared(past: Dataset, truth: Dataset) -> int:
    """Count the events of the truth that the past has too: of one user, item and time."""
    mine, theirs = past.interactions, truth.interactions
    mine = mine.between(float(theirs.timestamp[0]), np.inf)
    if not len(mine):
        return 0
    known = {
        *zip(past.user_ids.decode(mine.user), past.item_ids.decode(mine.item), mine.timestamp, strict=True)
    }
    events = zip(
        truth.user_ids.decode(theirs.user), truth.item_ids.decode(theirs.item), theirs.timestamp, strict=True
    )
    return sum(event in known for event in events)


def _date(time: float) -> str:
    try:
        return dt.datetime.fromtimestamp(time, dt.UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, OSError, ValueError):
        return f"{time:g}"
