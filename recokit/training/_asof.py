"""Counts, rates and label means that a leaky feature may hold: as of each row's request, and over all time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from recokit.data import Dataset, Interactions, RankingData
from recokit.typing import FloatArray, IntArray

__all__ = ["LabelCounts", "label_counts", "rates_and_counts"]

#: Rows of prior by which target means are smoothed.
_PRIORS = (0.0, 1.0, 5.0, 10.0, 20.0, 50.0, 100.0)
#: Fewer groups may lie on a line by chance.
_LEAST_GROUPS = 5
#: Event types that rates are made of: with more, the pairs would be too many.
_MOST_EVENTS = 6


def rates_and_counts(data: RankingData, log: Interactions) -> Iterator[tuple[str, FloatArray, FloatArray]]:
    """Yield statistics of each row's item and user: a name, the value at the request, the value over all time."""
    for entity, of_log, of_row in (("item", log.item, data.item), ("user", log.user, data.user)):
        then, ever = {}, {}
        kinds = log.event_names[:_MOST_EVENTS]
        for code, event in enumerate(kinds):
            at = np.flatnonzero(log.event == code)
            then[event], ever[event] = _counts(of_log[at], log.timestamp[at], of_row, data.now)
            yield f"{entity}'s number of {event} events", then[event], ever[event]
        if len(kinds) > 1:
            then_all, ever_all = _counts(of_log, log.timestamp, of_row, data.now)
            yield f"{entity}'s number of events", then_all, ever_all
        for low, weak in enumerate(kinds):
            for strong in kinds[low + 1 :]:
                name = f"{entity}'s rate of {strong} by {weak}"
                yield name, _rate(then[strong], then[weak]), _rate(ever[strong], ever[weak])


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
        if filled.sum() < _LEAST_GROUPS:
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
