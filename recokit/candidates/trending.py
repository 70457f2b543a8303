"""Trending: the items with the surest growth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recokit._kernels.segments import counts_to_offsets, segment_sum
from recokit._utils.options import check_options, finite
from recokit.compose.alone.sources import AloneSource
from recokit.compose.fusion import first_allowed
from recokit.data import Dataset, Requests, Retrieved, seconds
from recokit.data.events.user_history import check_events, events_of
from recokit.data.times import Duration, duration


class Trending(AloneSource):
    """Source of the items with the surest growth: a window of time against the one before.

    The score is ``(now - before) / sqrt(now + before + smoothing)``, about the number of standard deviations of the
    growth if events come at random; so ten times nothing does not beat a hundred more of many. Items that did not grow
    are not returned.

    Parameters
    ----------
    window : duration, default "7D"
        Length of both windows; the later one ends with the data.
    smoothing : float, default 1.0
        At least 0; more keeps small numbers down.
    events : sequence of str, optional
        Event types that count; all by default.

    Raises
    ------
    ConfigurationError
        If an option is out of range, or the data has no such event type.

    Attributes
    ----------
    item_ : ndarray of int64
        Codes, best first, ties by code.
    score_ : ndarray of float32
    fitted_until_ : float

    Examples
    --------
    >>> days = ["2025-01-01", "2025-01-01", "2025-01-09", "2025-01-09"]
    >>> data = Dataset.from_frame({"user": [1, 2, 3, 4], "item": [1, 1, 2, 2], "timestamp": days})
    >>> Trending().fit(data).retrieve(Requests.build(np.array([0])), limit=5).item.tolist()
    [2]
    """

    needs_times = True

    def __init__(
        self, *, window: Duration = "7D", smoothing: float = 1.0, events: Sequence[str] | None = None
    ) -> None:
        self.window, self.smoothing, self.events = window, smoothing, events
        check_options(self, {"window": duration, "smoothing": finite(0)})
        check_events(events)

    def fit(self, dataset: Dataset) -> Trending:
        """Compare the two windows."""
        log = events_of(dataset.interactions.signals, self.events)
        age = dataset.until - log.timestamp
        length = seconds(self.window)
        sums = []
        for start in (0.0, length):
            here = (age >= start) & (age < start + length)
            sums.append(segment_sum(log.weight[here].astype(np.float64), log.item[here], dataset.n_items + 1))
        now, before = sums
        score = (now - before) / np.sqrt(np.maximum(now + before + self.smoothing, 1e-30))
        score[0] = 0.0
        order = np.argsort(-score, kind="stable")
        self.item_ = order[score[order] > 0]
        self.score_ = score[self.item_].astype(np.float32)
        self.fitted_until_ = dataset.until
        return self

    def retrieve(self, requests: Requests, limit: int) -> Retrieved:
        """Return the first ``limit`` items that are not excluded, the same for all.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        n = min(limit + int(requests.lists("exclude").counts.max(initial=0)), len(self.item_))
        index = np.tile(np.arange(n), len(requests))
        offsets = counts_to_offsets(np.full(len(requests), n, np.int64))
        return first_allowed(Retrieved(offsets, self.item_[index], self.score_[index]), requests, limit)
