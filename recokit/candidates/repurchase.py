"""Repurchase: the items that a user is due to take again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recokit._kernels.segments import offsets_to_rows, rows_to_offsets, segment_sum
from recokit._kernels.sorting import group_pairs
from recokit._utils.options import above, check_options, finite
from recokit.candidates._retrieve import best_of_rows
from recokit.candidates._weights import codes_of
from recokit.compose.alone.sources import AloneSource
from recokit.compose.fusion import first_allowed
from recokit.data import Dataset, Requests, Retrieved
from recokit.data.events.user_history import check_events, events_of
from recokit.typing import FloatArray, IntArray


class Repurchase(AloneSource):
    """Source of the items of the history whose time has come, by each user's own cadence.

    The cadence of a user and an item is the mean time between their purchases; where there was one purchase only, it
    is drawn from the item's cadence over all users, or from that of all items. The score is ``min(age / cadence,
    cadence / age)``, 1 on the very day, times ``1 - 2^-n`` for n purchases.

    Parameters
    ----------
    earliest : float, default 0.5
        Do not return an item before this share of its cadence has passed.
    events : sequence of str, optional
        Event types that count, such as ``["purchase"]``; all by default.
    strength : float, default 1.0
        How many gaps of its own an item's cadence is worth when it is drawn towards that of all items.

    Raises
    ------
    ConfigurationError
        If an option is out of range, or the data has no such event type.

    Attributes
    ----------
    cadence_ : ndarray of float64, shape (n_items + 1,)
        Seconds between purchases of one user; row 0 is that of all items. NaN where nobody took anything twice.
    event_codes_ : ndarray of int64 or None
    fitted_until_ : float

    Examples
    --------
    >>> from recokit.data import DAY, Ragged
    >>> log = {"user": [1, 1, 1, 1], "item": [1, 1, 2, 2], "timestamp": np.array([0, 10, 10, 12]) * DAY}
    >>> source = Repurchase().fit(Dataset.from_frame(log))
    >>> history = Ragged(np.array([0, 2]), np.array([1, 2]), {"timestamp": np.array([10.0, 10.0]) * DAY})
    >>> requests = Requests.build(np.array([0]), now=12 * DAY, ragged={"history": history})
    >>> source.retrieve(requests, limit=5).item.tolist()
    [2]
    """

    needs_times = True

    requires = ("history",)

    def __init__(
        self, *, earliest: float = 0.5, events: Sequence[str] | None = None, strength: float = 1.0
    ) -> None:
        self.earliest, self.events, self.strength = earliest, events, strength
        check_options(self, {"earliest": finite(0), "strength": above(0)})
        check_events(events)

    def fit(self, dataset: Dataset) -> Repurchase:
        """Average the times between purchases of one user, by item."""
        log = events_of(dataset.interactions.personal, self.events)
        self.event_codes_ = codes_of(dataset.interactions.event_names, self.events)
        order = np.lexsort((log.timestamp, log.item, log.user))
        user, item, when = log.user[order], log.item[order], log.timestamp[order]
        again = np.flatnonzero((user[1:] == user[:-1]) & (item[1:] == item[:-1]) & (when[1:] > when[:-1])) + 1
        gap = when[again] - when[again - 1]
        n = dataset.n_items + 1
        total, count = segment_sum(gap, item[again], n), np.bincount(item[again], minlength=n)
        overall = float(gap.mean()) if len(gap) else np.nan
        self.cadence_ = (total + self.strength * overall) / (count + self.strength)
        self.cadence_[0], self.fitted_until_ = overall, dataset.until
        return self

    def retrieve(self, requests: Requests, limit: int) -> Retrieved:
        """Return the ``limit`` items most due; histories without times have none.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        history = requests.signals()
        if "timestamp" not in history.columns:
            return Retrieved.empty(len(requests))
        when = history.columns["timestamp"]
        kept = (history.values > 0) & (history.values < len(self.cadence_)) & np.isfinite(when)
        if self.event_codes_ is not None and "event" in history.columns:
            kept &= np.isin(history.columns["event"], self.event_codes_)
        row, item, when = history.rows[kept], history.values[kept], when[kept]
        pairs = group_pairs(rows_to_offsets(row, len(requests)), item)
        of, first, last = offsets_to_rows(pairs.offsets), when[pairs.first], when[pairs.last]
        number = pairs.sum(np.ones(len(item)))
        score = self._due(item[pairs.first], first, last, number, requests.now[of])
        due = score > 0
        offsets = rows_to_offsets(of[due], len(requests))
        lists = Retrieved(offsets, item[pairs.first][due], score[due].astype(np.float32))
        allowed = first_allowed(lists, requests, len(item))
        return best_of_rows(allowed.offsets, allowed.score, allowed.item, limit, n_codes=len(self.cadence_))

    def _due(
        self, item: IntArray, first: FloatArray, last: FloatArray, number: FloatArray, now: FloatArray
    ) -> FloatArray:
        own = np.divide(last - first, number - 1, out=np.zeros(len(number)), where=number > 1)
        cadence = np.where(own > 0, own, self.cadence_[item])
        age = now - last
        with np.errstate(divide="ignore", invalid="ignore"):
            share = age / cadence
            score = np.minimum(share, 1.0 / share) * (1.0 - np.exp2(-number))
        return np.where((age > 0) & (share >= self.earliest) & np.isfinite(score), score, 0.0)
