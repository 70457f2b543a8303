"""Statistics that a leaking feature may repeat: counts and rates of events, and mean labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from recokit.data import Dataset, Interactions, RankingData
from recokit.typing import FloatArray, IntArray

#: Rows of prior by which target means are smoothed.
_PRIORS = (0.0, 1.0, 5.0, 10.0, 20.0, 50.0, 100.0)
#: Fewer groups may lie on a line by chance.
_MIN_GROUPS = 5
#: Event types that rates are made of: with more, the pairs would be too many.
_MAX_EVENTS = 6


class EventStatistic(NamedTuple):
    """A count or rate of events for each row: of those before its request, and of all time; (N,) each."""

    name: str
    then: FloatArray
    ever: FloatArray


def event_statistics(data: RankingData, log: Interactions) -> Iterator[EventStatistic]:
    """Yield counts and rates of events of each row's item, then of its user."""
    for entity, of_log, of_row in (("item", log.item, data.item), ("user", log.user, data.user)):
        counts: dict[str, EventStatistic] = {}
        for code, event in enumerate(log.event_names[:_MAX_EVENTS]):
            at = np.flatnonzero(log.event == code)
            then, ever = _counts(of_log[at], log.timestamp[at], of_row, data.now)
            counts[event] = EventStatistic(f"{entity}'s number of {event} events", then, ever)
        yield from counts.values()
        if len(counts) > 1:
            yield EventStatistic(
                f"{entity}'s number of events", *_counts(of_log, log.timestamp, of_row, data.now)
            )
        for low, (weak, whole) in enumerate(counts.items()):
            for strong, part in [*counts.items()][low + 1 :]:
                name = f"{entity}'s rate of {strong} by {weak}"
                yield EventStatistic(name, _rate(part.then, whole.then), _rate(part.ever, whole.ever))


def _rate(part: FloatArray, whole: FloatArray) -> FloatArray:
    rate: FloatArray = np.where(whole > 0, part / np.maximum(whole, 1.0), np.nan)
    return rate


def _counts(
    code: IntArray, time: FloatArray, wanted: IntArray, now: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return how many events each row's code has strictly before its request, and at all."""
    total = np.bincount(code, minlength=int(wanted.max(initial=0)) + 1).astype(np.float64)
    # Events and requests in one order by code and time; a request stands before events of its moment.
    codes = np.concatenate([code, wanted])
    times = np.concatenate([time, now])
    is_event = np.concatenate([np.ones(len(code), np.int64), np.zeros(len(wanted), np.int64)])
    order = np.lexsort((is_event, times, codes))
    seen = np.cumsum(is_event[order])
    before = np.empty(len(codes), np.float64)
    before[order] = seen
    start = np.concatenate([[0.0], np.cumsum(total)])
    return before[len(code) :] - start[wanted], total[wanted]


@dataclass(frozen=True, eq=False)
class LabelCounts:
    """Rows and positives by item, user or category.

    Parameters
    ----------
    name : str
    at : ndarray of int64, shape (N,)
        Group of each row.
    rows, hits : ndarray, shape (K,)
        Rows and positives of each group.
    """

    name: str
    at: IntArray
    rows: FloatArray
    hits: FloatArray

    def means(self) -> Iterator[FloatArray]:
        """Yield each row's mean label with several priors, (N,)."""
        prior = self.hits.sum() / max(self.rows.sum(), 1.0)
        for weight in _PRIORS:
            yield ((self.hits + weight * prior) / (self.rows + weight))[self.at]

    def explain(self, values: FloatArray) -> bool:
        """Tell whether values (N,) are mean labels with some prior of some weight.

        If so, ``value x rows - hits`` is linear in the value: ``weight x prior - weight x value``.
        """
        known = np.isfinite(values)
        size = np.bincount(self.at[known], minlength=len(self.rows))
        filled = size > 0
        if filled.sum() < _MIN_GROUPS:
            return False
        total = np.bincount(self.at[known], values[known], len(self.rows))
        value = total / np.maximum(size, 1)
        spread = np.abs(values[known] - value[self.at[known]]).max()
        if spread > 1e-5 * max(float(np.abs(value).max()), 1e-300):
            return False
        left = (value * self.rows - self.hits)[filled]
        design = np.stack([np.ones(len(left)), -value[filled]], axis=1)
        residual = left - design @ np.linalg.lstsq(design, left, rcond=None)[0]
        varying = self.hits[filled] - self.hits[filled].mean()
        return bool((residual**2).sum() <= 1e-6 * (varying**2).sum() and (varying != 0).any())


def label_counts(data: RankingData, events: Dataset | None) -> Iterator[LabelCounts]:
    """Yield rows and positives by item, user and categories of both, over these rows."""
    keys = {"item": data.item, "user": data.user}
    if events is not None:
        for entity, table, code in (("item", events.items, data.item), ("user", events.users, data.user)):
            keys |= {f"{entity}.{name}": table.column(name)[code] for name in table.categorical}
    positive = (data.label > 0).astype(np.float64)
    for name, key in keys.items():
        _, at = np.unique(key, return_inverse=True)
        rows, hits = np.bincount(at), np.bincount(at, weights=positive)
        if len(rows) >= 3 and (rows > 1).any():
            yield LabelCounts(name, at, rows.astype(np.float64), hits.astype(np.float64))
