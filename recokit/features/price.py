"""Price: what items cost, against what the user pays."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from recokit.data.events import Keyspace
from recokit.features._block import Context, IndexBlock, View, ratio
from recokit.typing import Float32Array, FloatArray

__all__ = ["Price"]


class Price(IndexBlock):
    """Prices paid before the request, from the values of events.

    Features: ``item_paid`` (mean value of the item's events), ``user_paid`` (of the user's), ``item_paid_to_user``
    (their ratio), and with a category column ``item_paid_to_category`` (ratio to the category's mean). NaN where no
    event had a value, or the mean compared with is not above 0.

    Parameters
    ----------
    category : str, optional
        Categorical item column to compare within.
    """

    def __init__(self, *, category: str | None = None) -> None:
        self.category = category
        short = () if category is None else (category.removeprefix("item."),)
        self.requires = tuple(f"item.{column}" for column in short)
        compared = tuple(f"item_paid_to_{column}" for column in short)
        self.names = ("item_paid", "user_paid", "item_paid_to_user", *compared)
        entities = ("item", "user", *self.requires)
        self.keyspaces = tuple(Keyspace((entity,), sums=("value", "valued")) for entity in entities)

    def _columns(self, context: Context) -> Iterator[Float32Array]:
        item, user = _mean_value(context.of_items("item")), _mean_value(context.users("user"))
        by_item, by_row = context.by_item(item), context.by_row(user)
        yield by_item
        yield by_row
        yield ratio(by_item, by_row).astype(np.float32)
        for column in self.requires:
            yield context.by_item(ratio(item, _mean_value(context.of_items(column, column))))


def _mean_value(view: View) -> FloatArray:
    return ratio(view.sum("value"), view.sum("valued"))
