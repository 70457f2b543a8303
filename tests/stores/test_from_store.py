"""features.FromStore: the rows of a store as columns of the candidates."""

from __future__ import annotations

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, features, rankers, stores
from recokit.data import Candidates, Dataset, Requests
from recokit.errors import ConfigurationError, NotFittedError
from recokit.trace import Status
from tests.stores.conftest import fake_server, silent

T = 1_700_000_000.0


@pytest.fixture
def data():
    log = {
        "user_id": ["ann", "bob", "bob", "cat"],
        "item_id": [11, 12, 13, 14],
        "timestamp": [T - 400, T - 300, T - 200, T - 100],
    }
    return Dataset.from_frame(log)


@pytest.fixture
def store():
    store = stores.Resident(["clicks", "price", "share"], ttl="1h", defaults={"clicks": 0.0, "price": 5.0})
    store.write([11, 12, 13], [[1, 10, 0.1], [2, 20, np.nan], [3, 30, 0.3]], at=[T, T, T - 3_000])
    return store


class Spy(stores.Resident):
    """A store that notes what it is asked."""

    def read(self, ids, *, now, timeout=np.inf):
        self.asked = [*getattr(self, "asked", []), (list(ids), now, timeout)]
        return super().read(ids, now=now, timeout=timeout)


def batch(lists, now=T, users=None):
    users = np.ones(len(lists), np.int64) if users is None else users
    return Candidates.from_lists(lists, requests=Requests.build(users, now=now))


def test_the_columns_are_those_of_the_store_by_item(data, store):
    block = features.FromStore(store).bind(data.schema)
    assert block.names == ("item_clicks", "item_price", "item_share")
    found = block.featurize(batch([[3, 1, 4], [2, 1]]))
    expected = [[3, 30, 0.3], [1, 10, 0.1], [0, 5, np.nan], [2, 20, np.nan], [1, 10, 0.1]]
    np.testing.assert_array_equal(found, np.float32(expected))
    assert found.dtype == np.float32


def test_some_of_the_features_in_the_order_asked(data, store):
    block = features.FromStore(store, columns=["share", "clicks"]).bind(data.schema)
    assert block.names == ("item_share", "item_clicks")
    np.testing.assert_array_equal(block.featurize(batch([[3]])), np.float32([[0.3, 3]]))
    one = features.FromStore(store, columns="price").bind(data.schema)
    assert one.names == ("item_price",) and one.featurize(batch([[2]])).tolist() == [[20]]


def test_by_user_and_the_unknown_user_has_the_defaults(data):
    store = stores.Resident(["age"], defaults=-1.0)
    store.write(["ann", "bob"], [[30], [40]], at=T)
    block = features.FromStore(store, "user").bind(data.schema)
    users = np.append(data.user_ids.encode(["bob", "ann", "cat"]), 0)
    found = block.featurize(batch([[1, 2], [1], [2], [3]], users=users))
    assert block.names == ("user_age",) and found.ravel().tolist() == [40, 40, 30, -1, -1]


def test_each_request_has_its_own_time(data, store):
    block = features.FromStore(store, columns="clicks").bind(data.schema)
    now = np.array([T, T + 700, T - 3_700])
    assert block.featurize(batch([[1, 3], [1, 3], [1, 3]], now=now)).ravel().tolist() == [1, 3, 1, 0, 0, 0]


def test_one_read_of_the_distinct_ids(data):
    store = Spy(["x"])
    block = features.FromStore(store).bind(data.schema)
    block.featurize(batch([[3, 1], [1, 2], [3, 2]], now=np.array([T, T + 5, T + 2])))
    assert store.asked == [([11, 12, 13], T + 5, np.inf)]


def test_the_rest_of_the_budget_is_the_stores_limit(data):
    store = Spy(["x"])
    pipeline = rk.Pipeline([candidates.Popular(), features.FromStore(store)]).fit(data)
    pipeline.recommend(["ann"], now=T, budget_ms=500)
    ((_, now, timeout),) = store.asked
    assert now == T and 0 < timeout < 0.5


def test_what_the_last_read_covered_and_how_fresh_it_was(data, store):
    block = features.FromStore(store).bind(data.schema)
    assert block.coverage() == {} and block.freshness() == {}
    block.featurize(batch([[1, 2, 3, 4]]))
    assert block.coverage() == {"item_clicks": 0.75, "item_price": 0.75, "item_share": 0.5}
    assert block.freshness() == dict.fromkeys(block.names, T - 3_000)
    block.featurize(batch([[4]]))
    assert block.freshness() == {} and block.coverage()["item_clicks"] == 0


def test_the_debugger_tells_stale_features(data):
    store = stores.Resident(["clicks"])
    store.write([11, 12, 13, 14], np.arange(4.0)[:, None], at=T - 3 * 86_400)
    stages = [candidates.Popular(), features.FromStore(store), rankers.Weighted({"item_clicks": 1.0})]
    pipeline = rk.Pipeline(stages).fit(data)
    found = rk.RecommendationDebugger(pipeline).diagnose("ann", now=T)
    assert "STALE_FEATURES" in str(found)
    store.write([11, 12, 13, 14], np.arange(4.0)[:, None], at=T - 60)
    assert "STALE_FEATURES" not in str(rk.RecommendationDebugger(pipeline).diagnose("ann", now=T))


def test_a_write_changes_the_next_answer(data):
    store = stores.Resident(["clicks"])
    stages = [candidates.Popular(), features.FromStore(store), rankers.Weighted({"item_clicks": 1.0})]
    pipeline = rk.Pipeline(stages).fit(data)
    store.write([11, 12, 13, 14], [[4], [3], [2], [1]], at=T)
    assert list(pipeline.recommend([None], k=4, now=T).ids(0)) == [11, 12, 13, 14]
    store.write([14], [[9]], at=T)
    assert list(pipeline.recommend([None], k=2, now=T).ids(0)) == [14, 11]


def test_training_leaves_it_out_and_says_so():
    rng = np.random.default_rng(0)
    log = Dataset.from_frame(
        {
            "user_id": rng.integers(0, 20, 400),
            "item_id": rng.integers(0, 15, 400),
            "timestamp": np.sort(T + rng.uniform(0, 30 * 86_400, 400)),
        }
    )
    store = Spy(["clicks"])
    stages = [
        candidates.Popular(),
        features.ItemActivity(),
        features.FromStore(store),
        rankers.LogisticRegression(),
    ]
    pipeline = rk.Pipeline(stages).fit(log, label_window="7D")
    assert pipeline.training_report_.skipped == ("from_store",) and not hasattr(store, "asked")
    pipeline.recommend([1], now=T + 31 * 86_400).raise_for_status()
    assert len(store.asked) == 1


def test_a_store_that_is_down_gives_defaults_and_degraded_requests(data):
    with fake_server(silent) as (url, _):
        store = stores.Redis(url, ["clicks"], prefix="item", defaults=7.0, timeout=0.05)
        pipeline = rk.Pipeline([candidates.Popular(), features.FromStore(store)]).fit(data)
        answer = pipeline.recommend(["ann", "bob"], k=2, now=T, capture="full")
    assert answer.status.tolist() == [Status.DEGRADED] * 2
    assert "from_store: 4 of 4 ids unread, defaults stand in: " in answer.reasons[0][0]
    assert len(answer.ids(0)) == 2
    assert (answer.trace.of("from_store")[0].after.features == 7.0).all()
    assert store.counts["reads"] == 1


def test_only_the_requests_with_an_unread_row_are_degraded(data, server):
    store = stores.Redis(server.url, ["clicks"], prefix="item", timeout=5.0)
    store.write([11, 12], [[1], [2]], at=T)
    server.ask("SET", "item:13", "no row")
    pipeline = rk.Pipeline([candidates.Popular(), features.FromStore(store)]).fit(data)
    answer = pipeline.recommend(["ann", "bob", "cat"], k=2, now=T, items=[[11, 12], [13], [11, 14]])
    assert answer.status.tolist() == [Status.OK, Status.DEGRADED, Status.OK]


def test_a_pipeline_with_a_store_is_saved_and_loaded(data, store, tmp_path):
    stages = [candidates.Popular(), features.FromStore(store), rankers.Weighted({"item_clicks": 1.0})]
    pipeline = rk.Pipeline(stages).fit(data)
    pipeline.save(tmp_path / "model")
    loaded = rk.Pipeline.load(tmp_path / "model")
    assert list(loaded.recommend([None], k=4, now=T).ids(0)) == list(
        pipeline.recommend([None], k=4, now=T).ids(0)
    )
    assert list(loaded.recommend([None], k=1, now=T).ids(0)) == [13]


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (lambda store: features.FromStore(store, columns="clics"), "did you mean 'clicks'"),
        (lambda store: features.FromStore(store, "seller"), "entity='seller'"),
        (lambda store: features.FromStore({"a": 1}), "feature store"),
        (lambda store: features.Assemble([features.FromStore(store)]), "beside"),
    ],
)
def test_options_that_cannot_work_raise(store, make, found):
    with pytest.raises(ConfigurationError, match=found):
        make(store)


def test_it_needs_a_vocabulary(store):
    with pytest.raises(NotFittedError, match="bind"):
        features.FromStore(store).featurize(batch([[1]]))
