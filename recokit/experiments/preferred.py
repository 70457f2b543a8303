"""Preference: which arm of interleaved lists users prefer, from their clicks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from recokit._stats.intervals import Mean as MeanOfUsers
from recokit._utils.options import require, share
from recokit._utils.report import Content, Report, Table
from recokit.data.times import seconds
from recokit.data.vocabulary import factorize
from recokit.errors import DataError
from recokit.experiments.exposures import read_log
from recokit.typing import FloatArray, IntArray


@dataclass(frozen=True)
class Preferred:
    """One arm against another.

    Parameters
    ----------
    arm, other : str
    value, low, high : float
        Mean over units of the credit of their clicks, less the other arm's, as a share of both; from -1 to 1.
    p_value : float
        Of no preference.
    units : int
    needed : float
        Units that would find a preference of this size at 95% in 95 of 100 experiments: the sensitivity.
    """

    arm: str
    other: str
    value: float
    low: float
    high: float
    p_value: float
    units: int
    needed: float


@dataclass(frozen=True, eq=False, repr=False)
class Preference(Report):
    """What users prefer among interleaved arms.

    Parameters
    ----------
    pairs : tuple of Preferred
        Each arm against the first, or every pair of a later arm with an earlier one.
    lists, clicks, joined : int
        Lists shown, clicks given, and clicks on an item that such a list had shown.
    """

    pairs: tuple[Preferred, ...]
    lists: int
    clicks: int
    joined: int

    def _content(self) -> Content:
        rows = [
            [
                f"{one.arm} over {one.other}", f"{one.value:+.2%} [{one.low:+.2%}, {one.high:+.2%}]",
                f"{one.p_value:.4f}", f"{one.units:,}", "-" if math.isinf(one.needed) else f"{one.needed:,.0f}",
            ]
            for one in self.pairs
        ]  # fmt: skip
        header = ("preference", "mean over units", "p", "units", "units for 95% power")
        first = self.pairs[0]
        clear = first.low > 0 or first.high < 0
        said = (
            f"users prefer {first.arm if first.value > 0 else first.other}" if clear else "no preference seen"
        )
        title = f"Interleaving: {self.lists:,} lists, {self.joined:,} of {self.clicks:,} clicks joined"
        return Content(title, [Table(header, rows)], summary=said, good=None)


def preference(log: Any, clicks: Any, *, horizon: str | float = "1D", confidence: float = 0.95) -> Preference:
    """Return which arm users prefer: the credit of clicks, by units, which are independent.

    A click counts for the latest list that showed its item to the unit, within the horizon, and once.

    Parameters
    ----------
    log : path, dataframe, mapping or list of rows
        What :class:`Interleaved` wrote: ``unit``, ``list``, ``item_id``, ``timestamp`` and ``credit.NAME``.
    clicks : path, dataframe, mapping or list of rows
        ``user_id`` (or ``unit``), ``item_id``, ``timestamp``.
    horizon : duration, default "1D"
    confidence : float, default 0.95

    Raises
    ------
    DataError
        If columns are missing, or no list was shown to a known unit.

    Examples
    --------
    >>> shown = {"unit": ["u", "u"], "list": ["l", "l"], "item_id": [1, 2], "timestamp": [0.0, 0.0],
    ...          "credit.old": [1.0, 0.0], "credit.new": [0.0, 1.0]}
    >>> found = preference(shown, {"user_id": ["u"], "item_id": [2], "timestamp": [5.0]})
    >>> found.pairs[0].arm, found.pairs[0].value
    ('new', 1.0)
    """
    require(share, confidence=confidence)
    shown, events = read_log(log), read_log(clicks)
    names = [name.removeprefix("credit.") for name in shown.names if name.startswith("credit.")]
    if len(names) < 2:
        raise DataError("found no columns credit.NAME of two arms; expected the log of Interleaved")
    known = ~shown.missing("unit")
    shown = shown.filtered(known)
    if not len(shown):
        raise DataError("found no list of a known unit; expected users whose clicks can be joined")
    key = "unit" if "unit" in events else "user_id"
    units, row_unit, event_unit = _common(shown.ids("unit"), events.ids(key))
    _, row_item, event_item = _common(shown.ids("item_id"), events.ids("item_id"))
    at = _joined(
        (row_unit, row_item, shown.times("timestamp")),
        (event_unit, event_item, events.times("timestamp")),
        seconds(horizon),
    )
    rows = np.unique(at[at >= 0])
    credit: dict[str, FloatArray] = {}
    for name in names:
        gained = shown.number(f"credit.{name}")[rows]
        credit[name] = np.bincount(row_unit[rows], gained, minlength=len(units)).astype(np.float64)
    present = np.bincount(row_unit, minlength=len(units)) > 0
    pairs = [
        _preferred(names[b], names[a], credit[names[b]][present], credit[names[a]][present], confidence)
        for b in range(1, len(names))
        for a in range(b)
    ]
    lists = len(factorize(shown.ids("list"))[1])
    return Preference(tuple(pairs), lists, len(events), int(np.count_nonzero(at >= 0)))


def _preferred(arm: str, other: str, mine: FloatArray, theirs: FloatArray, confidence: float) -> Preferred:
    found = MeanOfUsers.of(of_units(mine, theirs))
    low, high = found.interval(confidence, (-1.0, 1.0))
    needed = found.needed(found.mean, confidence, 0.95) if found.error > 0 else math.inf
    return Preferred(arm, other, found.mean, low, high, p_value=found.p_value(), units=found.n, needed=needed)


def of_units(mine: FloatArray, theirs: FloatArray) -> FloatArray:
    """Return each unit's preference, from -1 to 1: the difference of the credits as a share of both; 0 without clicks.

    So that a few units who click much do not decide alone.

    Examples
    --------
    >>> of_units(np.array([3.0, 0.0, 0.0]), np.array([1.0, 2.0, 0.0])).tolist()
    [0.5, -1.0, 0.0]
    """
    both = np.abs(mine) + np.abs(theirs)
    return np.asarray(np.divide(mine - theirs, both, out=np.zeros(len(both)), where=both > 0))


def _common(ids: Any, others: Any) -> tuple[list[str], IntArray, IntArray]:
    """Return the distinct ids of both as text, and the code of each in them."""
    (codes, known), (more, found) = factorize(ids), factorize(others)
    names = sorted({*map(str, known.tolist()), *map(str, found.tolist())})
    place = {name: i for i, name in enumerate(names)}
    first = np.array([place[str(one)] for one in known.tolist()], np.int64)
    second = np.array([place[str(one)] for one in found.tolist()], np.int64)
    return names, first[codes - 1], second[more - 1] if len(more) else np.zeros(0, np.int64)


def _joined(
    shown: tuple[IntArray, IntArray, FloatArray],
    events: tuple[IntArray, IntArray, FloatArray],
    horizon: float,
) -> IntArray:
    """Return the row of the list that each event counts for, -1 for none."""
    width = 1 + int(max(shown[1].max(initial=0), events[1].max(initial=0)))
    key, time = shown[0] * width + shown[1], shown[2]
    order = np.lexsort((time, key))
    asked = events[0] * width + events[1]
    # One search for all: by key, then by time, as ranks.
    times = np.unique(np.concatenate([time, events[2]]))
    rank, of_event = np.searchsorted(times, time), np.searchsorted(times, events[2])
    combined = key[order] * (len(times) + 1) + rank[order]
    at = np.searchsorted(combined, asked * (len(times) + 1) + of_event, side="right") - 1
    row = order[np.maximum(at, 0)] if len(order) else np.zeros(len(at), np.int64)
    fits = (at >= 0) & (key[row] == asked) & (events[2] - time[row] <= horizon)
    return np.where(fits, row, -1)
