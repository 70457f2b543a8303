"""ItemActivity and UserActivity: counts, decays and times of the events of an item or a user before the request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recokit.data import DAY
from recokit.data.events.keyed import Keyspace
from recokit.data.segments import activity_levels
from recokit.data.times import Duration
from recokit.features._block import (
    HALF_LIFE,
    Context,
    WindowedBlock,
    counted,
    durations,
    ratio,
    window_label,
)
from recokit.typing import AnyArray, FloatArray, IntArray


@dataclass(eq=False, repr=False, kw_only=True)
class ItemActivity(WindowedBlock):
    """How much an item is in demand, and whether that grows.

    Features: ``item_count_1d`` and so on for each window; ``item_decayed_14d`` (weights, halved every half-life);
    ``item_recency_days``, ``item_age_days`` since the last and the first event; ``item_trend_1d_30d`` (log of the
    event rate in the shortest window over that in the longest, each count plus one); ``item_users_30d``
    (distinct users in the longest window); ``item_users`` (so far); ``item_repeat_share`` (share of events by users who
    had the item before).

    Parameters
    ----------
    windows : sequence of duration, default ("1D", "7D", "30D")
        Windows to count in.
    half_life : duration, default "14D"
        Of the decayed weights.
    event : str, optional
        Count events of this type only; names then start with ``item_{event}_``.

    Examples
    --------
    >>> from recokit.data import Candidates, Dataset, Requests
    >>> data = Dataset.from_frame({"user_id": [1, 2], "item_id": [5, 5], "timestamp": [0.0, 86_400.0]})
    >>> block = ItemActivity(windows=("1D", "2D")).fit(data)
    >>> candidates = Candidates.from_lists([[1]], requests=Requests.build([1], now=2 * 86_400.0))
    >>> dict(zip(block.names, block.featurize(candidates)[0].tolist()))["item_count_2d"]
    2.0
    """

    family = "item activity"
    half_life: Duration = HALF_LIFE

    def __post_init__(self) -> None:
        super().__post_init__()
        (self._half_life,) = durations(self.half_life)
        decayed = window_label(self.half_life)
        short, long = (window_label(pick(self._widths)) for pick in (min, max)) if self._widths else ("", "")
        in_windows = {}
        if len(self._widths) > 1:
            in_windows[f"trend_{short}_{long}"] = (
                f"log of the event rate in the last {short} over that in the last {long}"
            )
        if self._widths:
            in_windows[f"users_{long}"] = f"distinct users in the last {long}"
        meanings = {
            **counted(self.windows),
            f"decayed_{decayed}": f"weight of all events, halved every {decayed}",
            "recency_days": "days since the last event",
            "age_days": "days since the first event",
            **in_windows,
            "users": "distinct users so far",
            "repeat_share": "share of events by users who had the item before",
        }
        self._name("item", meanings, growing=("age_days", "users"))
        distinct = (("user", None), *((("user", max(self._widths)),) if self._widths else ()))
        self.keyspaces = (Keyspace(("item",), self.event, (self._half_life,), distinct=distinct),)

    def _columns(self, context: Context) -> Sequence[AnyArray] | AnyArray:
        items = context.of_items(self.keyspaces[0].name)
        total, users, counts = items.count(), items.distinct("user"), items.counts(self._widths)
        in_windows: list[AnyArray] = [] if len(counts) < 2 else [_trend(self._widths, counts)]
        if self._widths:
            in_windows.append(items.distinct("user", max(self._widths)))
        return context.by_item(
            *counts,
            items.decayed(self._half_life),
            items.recency() / DAY,
            items.age() / DAY,
            *in_windows,
            users,
            ratio(total - users, total),
        )


@dataclass(eq=False, repr=False, kw_only=True)
class UserActivity(WindowedBlock):
    """How active a user is.

    Features: ``user_count_1d`` and so on for each window; ``user_decayed_14d``; ``user_recency_days``,
    ``user_tenure_days`` since the last and the first event; ``user_items`` (distinct items so far);
    ``user_repeat_share`` (share of events with items the user had before); ``user_gap_days`` (mean time between
    events); ``user_activity`` (segment, see :func:`recokit.data.segments.activity_levels`); ``user_sessions``,
    ``user_session_size`` (events for each session; NaN without sessions).

    Parameters
    ----------
    windows : sequence of duration, default ("1D", "7D", "30D")
        Windows to count in.
    half_life : duration, default "14D"
        Of the decayed weights.
    event : str, optional
        Count events of this type only; names then start with ``user_{event}_``.
    """

    family = "user activity"
    half_life: Duration = HALF_LIFE

    def __post_init__(self) -> None:
        super().__post_init__()
        (self._half_life,) = durations(self.half_life)
        decayed = window_label(self.half_life)
        meanings = {
            **counted(self.windows),
            f"decayed_{decayed}": f"weight of all events, halved every {decayed}",
            "recency_days": "days since the last event",
            "tenure_days": "days since the first event",
            "gap_days": "mean days between events",
            "items": "distinct items so far",
            "repeat_share": "share of events with items the user had before",
            "activity": "segment by events so far: 1 cold-start, 2 casual, 3 power",
            "sessions": "sessions so far",
            "session_size": "events for each session",
        }
        self._name("user", meanings, growing=("tenure_days", "items", "activity", "sessions"))
        distinct = (("item", None), ("session", None))
        self.keyspaces = (Keyspace(("user",), self.event, (self._half_life,), distinct=distinct),)

    def _columns(self, context: Context) -> Sequence[AnyArray] | AnyArray:
        users = context.users(self.keyspaces[0].name)
        total, items, sessions = users.count(), users.distinct("item"), users.distinct("session")
        recency, age = users.recency(), users.age()
        return context.by_row(
            *users.counts(self._widths),
            users.decayed(self._half_life),
            recency / DAY,
            age / DAY,
            ratio((age - recency) / DAY, total - 1),
            items,
            ratio(total - items, total),
            activity_levels(total),
            sessions,
            ratio(total, sessions),
        )


def _trend(widths: Sequence[float], counts: IntArray) -> FloatArray:
    short, long = int(np.argmin(widths)), int(np.argmax(widths))
    rate: FloatArray = (counts[short] + 1.0) / (counts[long] + 1.0)
    return np.log(rate * (widths[long] / widths[short]))
