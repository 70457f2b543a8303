"""History: a user's own items again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recokit._kernels.segments import offsets_to_rows, rank_in_row
from recokit._kernels.sorting import top_by_score
from recokit._utils.options import check_options, optional
from recokit.candidates._weights import codes_of, distinct_history
from recokit.compose.alone.sources import AloneSource
from recokit.compose.fusion import first_allowed
from recokit.data import Dataset, Requests, Retrieved
from recokit.data.events.user_history import check_events, events_of
from recokit.data.times import Duration, duration
from recokit.typing import IntArray


class History(AloneSource):
    """Source of the items that the user had before, by decayed weight: repeat purchases, or "continue watching".

    The score of an item is the sum over its events of weight x 2^(-age / half-life), the age counted from the user's
    newest event on, so that a user who was away gets the same list. Equal scores: the item taken last comes first.

    Parameters
    ----------
    half_life : duration or None, default "30D"
        After this time an event counts half; None for no decay. 30 days gave the best single source on a year of
        grocery baskets.
    events : sequence of str, optional
        Event types that count; all of them by default. A history that the caller gave counts in full.

    Raises
    ------
    ConfigurationError
        If an option is no duration, or the data has no such event type.

    Attributes
    ----------
    event_codes_ : ndarray of int64 or None
        Codes of ``events`` in the data.
    fitted_until_ : float

    Examples
    --------
    >>> from recokit.data import DAY, Ragged
    >>> history = Ragged.from_lists([[5, 9, 5]])
    >>> requests = Requests.build(np.array([1]), now=60 * DAY, ragged={"history": history})
    >>> found = History().retrieve(requests, limit=10)
    >>> found.item.tolist(), found.score.tolist()
    ([5, 9], [2.0, 1.0])
    """

    as_of = True
    requires = ("history",)

    def __init__(self, *, half_life: Duration | None = "30D", events: Sequence[str] | None = None) -> None:
        self.half_life, self.events = half_life, events
        check_options(self, {"half_life": optional(duration)})
        check_events(events)

    def fit(self, dataset: Dataset) -> History:
        """Look up the codes of the event types. Needed only with ``events``."""
        events_of(dataset.interactions, self.events)
        self.event_codes_ = codes_of(dataset.interactions.event_names, self.events)
        self.fitted_until_ = dataset.until
        return self

    def retrieve(self, requests: Requests, limit: int) -> Retrieved:
        """Return at most ``limit`` items of each row's history.

        Raises
        ------
        NotFittedError
            Before ``fit``, if ``events`` are named.
        """
        events: IntArray | None = None if self.events is None else self.event_codes_
        offsets, item, weight = distinct_history(requests, half_life=self.half_life, events=events)
        exclude = requests.ragged.get("exclude")
        more = limit if exclude is None else limit + int(exclude.counts.max(initial=0))
        place = rank_in_row(offsets_to_rows(offsets), offsets)  # the item taken last comes first
        kept, place, score = top_by_score(offsets, weight.astype(np.float32), place, more)
        lists = Retrieved(kept, item[place + offsets[:-1].repeat(kept[1:] - kept[:-1])], score)
        return lists if exclude is None else first_allowed(lists, requests, limit)
