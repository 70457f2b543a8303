"""Popular: the items of the largest decayed weight, overall or in the user's segment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recokit._kernels.segments import counts_to_offsets, segment_sum, spans
from recokit._utils.options import optional, rules
from recokit.candidates._weights import counted_events
from recokit.compose.alone.sources import AloneSource
from recokit.compose.fusion import first_allowed
from recokit.data import Categorical, Dataset, Requests, Retrieved, segments_by
from recokit.data.events.user_history import check_events
from recokit.data.times import Duration, duration
from recokit.typing import Float32Array, FloatArray, IntArray

#: The least length of a segment's list, where the catalogue allows: far above any limit in use.
_DEPTH = 10_000


@dataclass(eq=False, repr=False, kw_only=True)
class Popular(AloneSource):
    """Source of popular items: decayed weights as of the end of the data, ranked once in ``fit``.

    An item's score is the sum over its events of weight x 2^(-age / half-life). Equal scores come in the order of
    item codes, so a catalogue without any events is listed in that order, with score 0.

    Parameters
    ----------
    half_life : duration or None, default "14D"
        After this time an event counts half; None for no decay.
    window : duration, optional
        Only events of this time before the end of the data; all of them by default.
    by : str, Categorical, ndarray or mapping, optional
        User segments, such as those of the user column ``"region"``: each segment gets a list of its own,
        continued by the overall one with score 0. Users of no segment, and unknown users, get the overall list. See
        :func:`recokit.data.segments_by`.
    events : sequence of str, optional
        Event types that count; all of them by default.

    Raises
    ------
    ConfigurationError
        If an option is no duration, or the data has no such event type or user column.

    Attributes
    ----------
    offsets_ : ndarray of int64, shape (S + 2,)
        Where the list of each of S segments lies; list 0 is the overall one.
    item_, score_ : ndarray
        The lists, best first.
    segment_ : ndarray of int64, shape (n_users + 1,)
        Segment of each user, 0 for none.
    fitted_until_ : float
        End of the data.

    Examples
    --------
    >>> data = Dataset.from_frame({"user": [1, 2, 2], "item": [7, 8, 7], "timestamp": [10, 20, 30]})
    >>> found = Popular(half_life=None).fit(data).retrieve(Requests.build(np.array([0])), limit=5)
    >>> data.item_ids.decode(found.item).tolist(), found.score.tolist()
    ([7, 8], [2.0, 1.0])
    """

    _OPTIONS = rules(half_life=optional(duration), window=optional(duration))

    half_life: Duration | None = "14D"
    window: Duration | None = None
    by: str | Categorical | None = None
    events: Sequence[str] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_events(self.events)

    @property
    def requires(self) -> tuple[str, ...]:
        """The user column, if the segments are one."""
        if isinstance(self.by, str) and self.by != "activity":
            return (f"user.{self.by.removeprefix('user.')}",)
        return ()

    def fit(self, dataset: Dataset) -> Popular:
        """Count and rank."""
        log, weight = counted_events(dataset, self.events, self.window, self.half_life)
        if self.by is None:
            self.segment_ = np.zeros(dataset.n_users + 1, np.int64)
            n_segments = 0
        else:
            segments = segments_by(dataset, self.by)
            self.segment_, n_segments = segments.codes, len(segments.labels)
        items, scores = [], []
        overall, depth = np.arange(1, dataset.n_items + 1), dataset.n_items
        segment = self.segment_[log.user]
        for code in range(n_segments + 1):
            here = segment == code if code else slice(None)
            count = segment_sum(weight[here], log.item[here], dataset.n_items + 1)
            item, score = _ranked(count, overall, depth)
            items.append(item)
            scores.append(score)
            overall, depth = items[0], _DEPTH
        self.offsets_ = counts_to_offsets(np.array([len(item) for item in items], np.int64))
        self.item_, self.score_ = np.concatenate(items), np.concatenate(scores)
        self.fitted_until_ = dataset.until
        return self

    def retrieve(self, requests: Requests, limit: int) -> Retrieved:
        """Return the first ``limit`` items of each row's list that are not excluded.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        segment = self.segment_[requests.user]
        start = self.offsets_[segment]
        exclude = requests.ragged.get("exclude")
        more = limit if exclude is None else limit + exclude.counts
        offsets, index = spans(start, np.minimum(self.offsets_[segment + 1] - start, more))
        lists = Retrieved(offsets, self.item_[index], self.score_[index])
        return lists if exclude is None else first_allowed(lists, requests, limit)


def _ranked(count: FloatArray, otherwise: IntArray, depth: int) -> tuple[IntArray, Float32Array]:
    """Rank items by count; those without one follow in another order, up to a depth."""
    own = np.flatnonzero(count > 0)
    own = own[np.argsort(-count[own], kind="stable")]
    rest = otherwise[count[otherwise] <= 0][: max(depth - len(own), 0)]
    item = np.concatenate([own, rest])
    return item, count[item].astype(np.float32)
