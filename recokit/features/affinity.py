"""UserItem, UserCategory and ItemCategory: the events of users with items and with their categories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recokit.data import DAY
from recokit.data.events.keyed import Keyspace
from recokit.data.times import Duration
from recokit.features._block import (
    HALF_LIFE,
    WINDOWS,
    Context,
    IndexBlock,
    WindowedBlock,
    counted,
    durations,
    ratio,
    window_label,
)
from recokit.typing import AnyArray


@dataclass(eq=False, repr=False, kw_only=True)
class UserItem(WindowedBlock):
    """The user's events with the item itself: the signal of repeat purchase.

    Features: ``user_item_count``, ``user_item_count_30d`` and so on for each window; for each half-life
    ``user_item_decayed_14d`` and ``user_item_decayed_share_14d`` (decayed weight of the item in that of all the user's
    items);
    ``user_item_recency_days``; ``user_item_gap_days`` (mean time between events, from the second on) and
    ``user_item_due`` (recency over that gap: 1 when the next is due).

    Parameters
    ----------
    windows : sequence of duration, default ("7D", "30D")
        Windows to count in.
    half_life : duration or sequence of duration, default "14D"
        Of the decayed weights.
    event : str, optional
        Count events of this type only; names then start with ``user_item_{event}_``.
    """

    family = "user and item"

    windows: Sequence[Duration] = WINDOWS[1:]
    half_life: Duration | Sequence[Duration] = HALF_LIFE

    def __post_init__(self) -> None:
        super().__post_init__()
        given = self.half_life
        each = tuple(given) if isinstance(given, Sequence) and not isinstance(given, str) else (given,)
        self._half_lives = durations(*each)
        decayed = {}
        for label in map(window_label, each):
            decayed[f"decayed_{label}"] = f"their weight, halved every {label}"
            decayed[f"decayed_share_{label}"] = (
                f"their weight, halved every {label}, as a share of that of all the user's items"
            )
        meanings = {
            "count": "events",
            **counted(self.windows),
            **decayed,
            "recency_days": "days since the last of them",
            "gap_days": "mean days between them",
            "due": "time since the last over the mean time between them: 1 when the next is due",
        }
        self._name("user_item", meanings, growing=("count",))
        entities = (("user", "item"), ("user",))
        self.keyspaces = tuple(Keyspace(entity, self.event, self._half_lives) for entity in entities)

    def _columns(self, context: Context) -> Sequence[AnyArray] | AnyArray:
        pair_space, user_space = self.keyspaces
        pairs = context.pairs(pair_space.name)
        users, row = context.users(user_space.name), context.candidates.row
        columns: list[AnyArray] = [pairs.count(), *pairs.counts(self._widths)]
        for half_life in self._half_lives:
            decayed = pairs.decayed(half_life)
            columns += [decayed, ratio(decayed, users.decayed(half_life)[row])]
        recency = pairs.recency()
        gap = ratio(pairs.age() - recency, columns[0] - 1)
        return [*columns, recency / DAY, gap / DAY, ratio(recency, gap)]


class UserCategory(IndexBlock):
    """The user's affinity to the item's label in one column: its category, brand or seller.

    Features, for ``"category"``: ``user_category_count``, ``user_category_share`` (share of the user's events),
    ``user_category_decayed_share_14d`` (the same of decayed weights) and ``user_category_recency_days``. An item
    without a label has no affinity: counts are 0, shares 0.

    Parameters
    ----------
    column : str
        Categorical item column.
    half_life : duration, default "14D"
        Of the decayed weights.
    event : str, optional
        Count events of this type only; names then start with ``user_{column}_{event}_``.
    """

    family = "user and label"

    def __init__(
        self, column: str = "category", *, half_life: Duration = HALF_LIFE, event: str | None = None
    ) -> None:
        self.column, self.half_life, self.event = column, half_life, event
        (self._half_life,) = durations(half_life)
        short = column.removeprefix("item.")
        self.requires = (f"item.{short}",)
        decayed = window_label(half_life)
        meanings = {
            "count": f"events of the user with items of this {short}",
            "share": f"share of the user's events with items of this {short}",
            f"decayed_share_{decayed}": f"the same of weights, halved every {decayed}",
            "recency_days": f"days since the user's last event with an item of this {short}",
        }
        self._name(f"user_{short}", meanings, growing=("count",))
        entities = (("user", *self.requires), ("user",))
        self.keyspaces = tuple(Keyspace(entity, event, (self._half_life,)) for entity in entities)

    def _columns(self, context: Context) -> Sequence[AnyArray] | AnyArray:
        cell_space, user_space = self.keyspaces
        (column,), half_life = self.requires, self._half_life
        (cells, row), users = context.cells(cell_space.name, column), context.users(user_space.name)
        count = cells.count()
        return context.by_cell(
            column,
            count,
            ratio(count, users.count()[row]),
            ratio(cells.decayed(half_life), users.decayed(half_life)[row]),
            cells.recency() / DAY,
        )


class ItemCategory(IndexBlock):
    """How the item's label in one column does, and the item within it.

    Features, for ``"category"``: ``category_count_30d`` (events of the label in the window) and
    ``item_share_in_category_30d`` (the item's share of them; NaN where there are none).

    Parameters
    ----------
    column : str
        Categorical item column.
    window : duration, default "30D"
        Window to count in.
    event : str, optional
        Count events of this type only.
    """

    family = "item in its label"

    def __init__(
        self, column: str = "category", *, window: Duration = WINDOWS[-1], event: str | None = None
    ) -> None:
        self.column, self.window, self.event = column, window, event
        (self._width,) = durations(window)
        short = column.removeprefix("item.")
        self.requires = (f"item.{short}",)
        kind = "" if event is None else f"{event}_"
        label = window_label(window)
        self.meanings = {
            f"{short}_{kind}count_{label}": f"events of the item's {short} in the last {label}",
            f"item_{kind}share_in_{short}_{label}": f"the item's share of them, in the last {label}",
        }
        self.names = tuple(self.meanings)
        self.keyspaces = (Keyspace(self.requires, event), Keyspace(("item",), event))

    def _columns(self, context: Context) -> Sequence[AnyArray] | AnyArray:
        label_space, item_space = self.keyspaces
        label = context.of_items(label_space.name, self.requires[0]).count(self._width)
        item = context.of_items(item_space.name).count(self._width)
        return context.by_item(label, ratio(item, label))
