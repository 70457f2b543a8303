"""ItemActivity and UserActivity: what an item or a user had been doing before the request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from recokit.data import DAY, seconds
from recokit.data.events import Keyspace
from recokit.features._block import Context, Duration, IndexBlock, durations, ratio, window_label
from recokit.typing import Float32Array, FloatArray, IntArray

__all__ = ["HALF_LIFE", "WINDOWS", "ItemActivity", "UserActivity", "prefixed"]

#: Defaults of the blocks; Standard takes windows from the span of the data.
WINDOWS = ("1D", "7D", "30D")
HALF_LIFE = "14D"


class ItemActivity(IndexBlock):
    """How much an item is in demand, and whether that grows.

    Features: ``item_count_1d`` and so on for each window; ``item_decayed_14d`` (weights, halved every half-life);
    ``item_recency_days``, ``item_age_days`` since the last and the first event; ``item_trend_1d_30d`` (log of the
    event rate in the shortest window over that in the longest, each count plus one); ``item_users`` (distinct users
    so far); ``item_repeat_share`` (share of events by users who had the item before).

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

    def __init__(
        self,
        *,
        windows: Sequence[Duration] = WINDOWS,
        half_life: Duration = HALF_LIFE,
        event: str | None = None,
    ) -> None:
        self.windows, self.half_life, self.event = windows, half_life, event
        self._widths, (self._half_life,) = durations(*windows), durations(half_life)
        counts = [f"count_{window_label(window)}" for window in windows]
        decayed, trend = f"decayed_{window_label(half_life)}", "_".join(["trend", *_span(windows)])
        rest = (decayed, "recency_days", "age_days", trend, "users", "repeat_share")
        self.names = prefixed("item", event, (*counts, *rest))
        self.keyspaces = (Keyspace(("item",), event, (self._half_life,), distinct=(("user", None),)),)

    def _columns(self, context: Context) -> Iterator[Float32Array]:
        items = context.of_items(self.keyspaces[0].name)
        counts = {width: items.count(width) for width in self._widths}
        for count in counts.values():
            yield context.by_item(count)
        yield context.by_item(items.decayed(self._half_life))
        yield context.by_item(items.recency() / DAY)
        yield context.by_item(items.age() / DAY)
        yield context.by_item(_trend(counts, len(items)))
        users = items.distinct("user")
        yield context.by_item(users)
        total = items.count()
        yield context.by_item(ratio(total - users, total))


class UserActivity(IndexBlock):
    """How active a user is.

    Features: ``user_count_1d`` and so on for each window; ``user_decayed_14d``; ``user_recency_days``,
    ``user_tenure_days`` since the last and the first event; ``user_items`` (distinct items so far);
    ``user_repeat_share`` (share of events with items the user had before); ``user_sessions``, ``user_session_size``
    (events for each session; NaN without sessions).

    Parameters
    ----------
    windows : sequence of duration, default ("1D", "7D", "30D")
        Windows to count in.
    half_life : duration, default "14D"
        Of the decayed weights.
    event : str, optional
        Count events of this type only; names then start with ``user_{event}_``.
    """

    def __init__(
        self,
        *,
        windows: Sequence[Duration] = WINDOWS,
        half_life: Duration = HALF_LIFE,
        event: str | None = None,
    ) -> None:
        self.windows, self.half_life, self.event = windows, half_life, event
        self._widths, (self._half_life,) = durations(*windows), durations(half_life)
        counts = [f"count_{window_label(window)}" for window in windows]
        rest = (
            f"decayed_{window_label(half_life)}",
            "recency_days",
            "tenure_days",
            "items",
            "repeat_share",
            "sessions",
            "session_size",
        )
        self.names = prefixed("user", event, (*counts, *rest))
        self.keyspaces = (
            Keyspace(("user",), event, (self._half_life,), distinct=(("item", None), ("session", None))),
        )

    def _columns(self, context: Context) -> Iterator[Float32Array]:
        users = context.users(self.keyspaces[0].name)
        for width in self._widths:
            yield context.by_row(users.count(width))
        yield context.by_row(users.decayed(self._half_life))
        yield context.by_row(users.recency() / DAY)
        yield context.by_row(users.age() / DAY)
        total, items, sessions = users.count(), users.distinct("item"), users.distinct("session")
        yield context.by_row(items)
        yield context.by_row(ratio(total - items, total))
        yield context.by_row(sessions)
        yield context.by_row(ratio(total, sessions))


def prefixed(entity: str, event: str | None, names: Sequence[str]) -> tuple[str, ...]:
    """Return feature names that start with the entity, and the event type if there is one."""
    prefix = entity if event is None else f"{entity}_{event}"
    return tuple(f"{prefix}_{name}" for name in names)


def _span(windows: Sequence[Duration]) -> tuple[str, ...]:
    ordered = sorted(windows, key=seconds)
    return tuple(window_label(ordered[end]) for end in (0, -1)) if len(ordered) > 1 else ()


def _trend(counts: dict[float, IntArray], n: int) -> FloatArray:
    if len(counts) < 2:
        return np.full(n, np.nan)
    short, long = min(counts), max(counts)
    return np.log((counts[short] + 1.0) / (counts[long] + 1.0) * (long / short))
