"""Items under two ids, delisted ones in an index, and a popularity that a few have made; sources that report less."""

from __future__ import annotations

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, rules
from recokit.debugger.checks.degraded import DegradedSources
from recokit.debugger.checks.items import BotTraffic, DelistedItems, DuplicateItems
from recokit.testing import faults

MARKET = rk.datasets.make_marketplace(n_users=120, n_items=90, days=60.0, seed=3)
NOW = MARKET.dataset.interactions.timestamp.max() - 7 * 86_400.0
DATA = MARKET.dataset.before(NOW)
USERS = DATA.user_ids.decode(np.arange(1, 9)).tolist()
STOCK = np.where(np.random.default_rng(0).random(DATA.n_items + 1) < 0.8, 5, 0)


def made(data=DATA):
    return rk.Pipeline(
        [
            candidates.Merge([candidates.ItemKNN(), candidates.Popular()], limit=60),
            rules.InStock(STOCK),
            rules.NotOwned(),
        ]
    ).fit(data)


@pytest.fixture(scope="module")
def site():
    return faults.Site(made(), DATA)


def codes(pipeline, *checks, baseline=None, users=USERS):
    debugger = rk.RecommendationDebugger(pipeline, baseline=baseline, checks=checks)
    many = debugger.diagnose_many(users, now=NOW, scan=False)
    # Checks of the population are asked besides.
    mine = ("ITEMS_DUPLICATED", "ITEMS_DELISTED", "BOT_TRAFFIC", "SOURCE_DEGRADED")
    return {(one.code, one.stage) for one in many.findings if one.code in mine}


@pytest.mark.parametrize("baseline", [False, True])
def test_items_under_two_ids(site, baseline):
    check = DuplicateItems()
    usual = site.pipeline if baseline else None
    assert codes(site.pipeline, check, baseline=usual) == set()
    planted = faults.plant("items_duplicated", site, 1)
    assert codes(planted.pipeline, check, baseline=usual) == {("ITEMS_DUPLICATED", "")}
    # A catalogue that always had them is as it was.
    assert codes(planted.pipeline, check, baseline=planted.pipeline) == set()


def test_rows_that_do_not_tell_items_apart_make_no_twins():
    data = rk.data.Dataset.from_frame(
        {"user_id": [1, 1, 2], "item_id": [7, 8, 9], "timestamp": [1, 2, 3]},
        items={"item_id": [7, 8, 9], "category": ["x", "x", "x"], "brand": ["y", "y", "y"]},
    )
    pipeline = rk.Pipeline([candidates.Popular(half_life=None)]).fit(data)
    debugger = rk.RecommendationDebugger(pipeline, checks=[DuplicateItems()])
    assert debugger.diagnose(1, now=10.0).findings == ()


@pytest.mark.parametrize("baseline", [False, True])
def test_delisted_items_in_an_index(site, baseline):
    usual = site.pipeline if baseline else None
    assert codes(site.pipeline, DelistedItems(), baseline=usual) == set()
    gone = np.flatnonzero(STOCK[1:] == 0) + 1
    broken = site.pipeline.replace(
        "merge.item_knn", faults.delisted(site.pipeline["merge.item_knn"], gone, 1, 0.6)
    )
    assert codes(broken, DelistedItems(), baseline=usual) == {("ITEMS_DELISTED", "merge.item_knn")}


def test_what_the_user_owns_is_not_delisted(site):
    class Everything:
        requires = ("owned",)

        def keep(self, candidates):
            return np.zeros(len(candidates), np.bool_)

    owned = rk.Pipeline([candidates.Merge([candidates.ItemKNN(), candidates.Popular()]), Everything()]).fit(
        DATA
    )
    assert codes(owned, DelistedItems()) == set()


def test_a_popularity_that_a_few_have_made(site):
    assert codes(site.pipeline, BotTraffic()) == set()
    planted = faults.plant("bot_farm", site, 1)
    assert codes(planted.pipeline, BotTraffic()) == {("BOT_TRAFFIC", "")}
    # Many events of many users are a success, and those of long ago no news.
    assert codes(planted.pipeline, BotTraffic(by_user=1e6)) == set()
    later = rk.RecommendationDebugger(planted.pipeline, checks=[BotTraffic()])
    assert later.diagnose(USERS[0], now=NOW + 30 * 86_400.0).findings == ()


def test_a_source_that_reports_less_is_named(site):
    source = site.pipeline["merge.item_knn"]
    broken = site.pipeline.replace("merge.item_knn", faults.degraded(source, 1, 1.0, 1))
    assert codes(broken, DegradedSources()) == {("SOURCE_DEGRADED", "merge.item_knn")}
    assert codes(broken, DegradedSources(), baseline=broken) == set()
    failing = site.pipeline.replace("merge.item_knn", faults.raising(source, 1.0, 1))
    assert codes(failing, DegradedSources()) == set()
