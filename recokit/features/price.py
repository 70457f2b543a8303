"""Price: the values of an item's events, against those of the user's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recokit.data.events.keyed import Keyspace
from recokit.data.events.keys import price_bands
from recokit.features._block import Context, IndexBlock, View, ratio
from recokit.typing import AnyArray, FloatArray

#: A spread below this share of the mean is rounding.
_LEAST_SPREAD = 1e-4


class Price(IndexBlock):
    """Prices paid before the request, from the values of events.

    Features: ``item_paid`` (mean value of the item's events), ``user_paid`` (of the user's), ``item_paid_to_user``
    (their ratio), ``item_paid_z`` (how many standard deviations of what the user pays the item lies above the user's
    mean), ``user_price_band_share`` (share of the user's events at prices of the item's band, see
    :func:`recokit.data.events.keys.price_bands`), and with a category column ``item_paid_to_category`` (ratio to the
    category's mean). NaN where no event had a value, or the mean compared with is not above 0.

    Parameters
    ----------
    category : str, optional
        Categorical item column to compare within.
    """

    family = "price"

    def __init__(self, *, category: str | None = None) -> None:
        self.category = category
        short = () if category is None else (category.removeprefix("item."),)
        self.requires = tuple(f"item.{column}" for column in short)
        self.meanings = {
            "item_paid": "mean value of the item's events",
            "user_paid": "mean value of the user's events",
            "item_paid_to_user": "ratio of the two",
            "item_paid_z": "standard deviations of the user's values between the two",
            "user_price_band_share": "share of the user's events at prices like the item's",
            **{f"item_paid_to_{column}": f"item_paid over the mean in its {column}" for column in short},
        }
        self.names = tuple(self.meanings)
        sums = ("value", "valued")
        self.keyspaces = (
            Keyspace(("user",), sums=(*sums, "value_squared")),
            Keyspace(("user", "price_band")),
            *(Keyspace((entity,), sums=sums) for entity in ("item", *self.requires)),
        )

    def _columns(self, context: Context) -> Sequence[AnyArray] | AnyArray:
        users = context.users("user")
        item, user = _mean_value(context.of_items("item")), _mean_value(users)
        row, spread = context.candidates.row, _spread(users, user)
        each_item, each_user = item[context.items.inverse], user[row]
        band = price_bands(item)[context.items.inverse]
        valued = users.sum("valued")[row]
        share = ratio(context.with_users("user*price_band", band).count(), valued)
        columns = [
            each_item,
            each_user,
            ratio(each_item, each_user),
            (each_item - each_user) / spread[row],
            np.where(band > 0, share, np.nan),
        ]
        for column in self.requires:
            columns += list(context.by_item(ratio(item, _mean_value(context.of_items(column, column)))))
        return columns


def _mean_value(view: View) -> FloatArray:
    return ratio(view.sum("value"), view.sum("valued"))


def _spread(view: View, mean: FloatArray) -> FloatArray:
    """Return the standard deviation of values, NaN where there is none."""
    variance = np.maximum(ratio(view.sum("value_squared"), view.sum("valued")) - mean**2, 0.0)
    spread = np.sqrt(variance)
    return np.where(spread > _LEAST_SPREAD * np.abs(mean), spread, np.nan)
