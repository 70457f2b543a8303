"""Assemble and Standard: several blocks as one, and the choice that suits the data."""

from dataclasses import replace

import numpy as np
import pytest

from recokit._utils.params import clone
from recokit.data import DAY, Candidates, Dataset, Requests, UserHistory
from recokit.data.state.folder import load_state, save_state
from recokit.errors import ConfigurationError, ContractError, NotFittedError
from recokit.features import Assemble, Calendar, Item, ItemActivity, Price, SourceScores, Standard, UserItem


def shop(n=1500, days=120, *, events=False, rich=True):
    rng = np.random.default_rng(7)
    log = {
        "user_id": rng.integers(1, 40, n),
        "item_id": np.minimum(rng.geometric(0.05, n), 60),
        "timestamp": np.sort(rng.random(n)) * days * DAY,
    }
    ids = np.arange(1, 61)
    items = {"item_id": ids}
    if rich:
        log |= {"value": rng.random(n) * 10, "session_id": np.arange(n) // 4}
        items |= {"category": [f"c{i % 5}" for i in ids], "seller": [f"s{i % 9}" for i in ids]}
        items |= {"price": ids * 1.5, "in_stock": ids % 2 == 0, "grams": np.full(60, 3.0)}
    if events:
        log["event"] = rng.choice(["view", "click", "purchase"], n)
    return Dataset.from_frame(log, items=items)


def batch(users, items, now):
    requests = Requests.build(np.asarray(users), now=now)
    return Candidates.from_lists([items] * len(users), requests=requests)


class Constant:
    """A featurizer that is not recokit's."""

    names = ("one",)

    def __init__(self, value=1.0):
        self.value = value

    def fit(self, dataset):
        self.seen_ = len(dataset.interactions)
        return self

    def featurize(self, candidates):
        return np.full((len(candidates), 1), self.value, np.float32)


def test_standard_leaves_out_what_grows_with_the_log():
    data = shop()
    standard = Standard().fit(data).bind(data.schema)
    growing = {"item_age_days", "item_users", "user_tenure_days", "user_items", "user_item_count"}
    assert not growing & {*standard.names}
    assert {standard.left_out_[name] for name in growing} == {"grows with the length of the log"}
    assert growing <= {*standard.assemble_.names}  # whoever wants them assembles the blocks


def test_habits_by_several_half_lives():
    data = shop()
    block = UserItem(windows=("7D",), half_life=("7D", "90D")).fit(data)
    assert [name for name in block.names if "decayed" in name] == [
        f"user_item_decayed{share}_{label}" for label in ("7d", "90d") for share in ("", "_share")
    ]
    log = data.interactions
    asked = batch([int(log.user[0])], [int(log.item[0])], data.until)
    both = dict(zip(block.names, block.featurize(asked)[0].tolist(), strict=True))
    for label in ("7D", "90D"):
        one = UserItem(windows=("7D",), half_life=label).fit(data)
        alone = dict(zip(one.names, one.featurize(asked)[0].tolist(), strict=True))
        np.testing.assert_equal({name: both[name] for name in alone}, alone)


def test_assembled_blocks_equal_the_blocks_alone():
    data = shop()
    parts = [ItemActivity(), UserItem(), Price(category="category"), Item("price"), Calendar(), Constant()]
    together = Assemble(parts).fit(data).bind(data.schema)
    candidates = batch([1, 2, 5], [1, 2, 3, 9], [100 * DAY, 50 * DAY, 50 * DAY])
    values = together.featurize(candidates)
    assert values.dtype == np.float32
    alone = []
    for part in parts:
        part = part.fit(data) if hasattr(part, "fit") else part
        part = part.bind(data.schema) if hasattr(part, "bind") else part
        alone.append(part.featurize(candidates))
    np.testing.assert_array_equal(values, np.concatenate(alone, axis=1))
    assert together.names == tuple(name for part in parts for name in part.names)


def test_assemble_leaves_its_blocks_alone_and_shares_one_index():
    data = shop()
    blocks = [ItemActivity(), Price()]
    fitted = Assemble(blocks).fit(data)
    assert not hasattr(blocks[0], "index_")
    assert fitted.blocks_[0].index_ is fitted.blocks_[1].index_
    assert clone(fitted).names == fitted.names
    assert clone(fitted).blocks_ is None


def test_freshness_is_told_for_each_feature():
    data = shop().before(60 * DAY)
    bound = Assemble([UserItem(windows=()), Calendar()]).fit(data).bind(data.schema)
    known = bound.freshness()
    assert known["user_item_count"] == 60 * DAY
    assert known["hour"] == np.inf
    assert tuple(known) == bound.names
    standard = Standard().fit(data).bind(data.schema)
    assert tuple(standard.freshness()) == standard.names


def test_wrong_blocks():
    data = shop()
    with pytest.raises(ConfigurationError, match="no blocks"):
        Assemble([])
    with pytest.raises(ConfigurationError, match="'item_age_days' twice"):
        Assemble([ItemActivity(), ItemActivity()]).fit(data).bind(data.schema)

    class Keep:
        def keep(self, candidates): ...

    with pytest.raises(ConfigurationError, match="filter"):
        Assemble([Keep()])
    with pytest.raises(NotFittedError):
        Assemble([ItemActivity()]).featurize(batch([1], [1], 0.0))

    class Wrong(Constant):
        def featurize(self, candidates):
            return np.ones(len(candidates))

    with pytest.raises(ContractError, match="float64"):
        Assemble([Wrong()]).fit(data).featurize(batch([1], [1], 0.0))


def test_standard_chooses_from_what_the_data_has():
    data = shop()
    standard = Standard().fit(data).bind(data.schema)
    assert len(standard.names) >= 25
    assert {"item_count_30d", "user_item_recency_days", "user_category_share", "item_paid", "item_price"} <= {
        *standard.names
    }
    # Flags tell today's state, and a constant tells nothing.
    assert not {"item_in_stock", "item_grams"} & {*standard.names}
    events = Standard().fit(shop(events=True))
    assert {"item_purchase_count_30d", "user_item_purchase_recency_days"} <= {*events.names}
    plain = Standard().fit(shop(rich=False))
    assert len(plain.names) >= 20
    assert not any("category" in name or "paid" in name or "user_session" in name for name in plain.names)


def test_windows_fit_the_span_of_the_data():
    assert "item_count_90d" not in Standard().fit(shop(days=120)).names
    assert "item_count_90d" in Standard().fit(shop(days=365)).names
    assert "item_count_1h" in Standard().fit(shop(days=1)).names


def test_no_standard_feature_is_constant():
    data = shop()
    standard = Standard().fit(data).bind(data.schema)
    history = UserHistory().fit(data)
    times = data.interactions.timestamp[[300, 700, 1100, -1]] + 60  # somebody has a session
    batches = [batch(range(1, 30), list(range(1, 50)), t) for t in times.tolist()]
    rows = []
    for candidates in batches:
        known = history.hydrate(candidates.requests)
        requests = candidates.requests.hydrated(known.columns, known.ragged)
        rows.append(standard.featurize(replace(candidates, requests=requests)))
    values = np.concatenate(rows)
    dull = [name for name, column in zip(standard.names, values.T, strict=True) if len(np.unique(column)) < 2]
    assert dull == []


def test_standard_knows_the_sources_once_bound():
    data = shop()
    fitted = Standard(exclude=("popular_score",)).fit(data)
    schema = replace(data.schema, source_names=("popular", "history"))
    bound = fitted.bind(schema)
    assert set(bound.names) - set(fitted.names) == {
        "popular_rank",
        "history_rank",
        "history_score",
        "source_count",
    }
    columns = {
        f"{s}_{part}": np.array([1, 2], np.float32)
        for s in ("popular", "history")
        for part in ("rank", "score")
    }
    candidates = batch([1], [1, 2], 100 * DAY).with_columns(columns)
    values = dict(zip(bound.names, bound.featurize(candidates).T, strict=True))
    assert values["history_rank"].tolist() == [1, 0.5]
    assert values["source_count"].tolist() == [2, 2]
    with pytest.raises(ConfigurationError, match="did you mean 'item_price'"):
        Standard(exclude=("item_prise",)).fit(data).bind(schema)


def test_standard_sees_nothing_of_the_future():
    data = shop()
    cut = 90 * DAY
    whole = Standard().fit(data).bind(data.schema)
    part = Standard().fit(data.before(cut)).bind(data.schema)
    candidates = batch([1, 2, 3], list(range(1, 40)), cut)
    a = dict(zip(whole.names, whole.featurize(candidates).T, strict=True))
    b = dict(zip(part.names, part.featurize(candidates).T, strict=True))
    shared = a.keys() & b.keys()
    assert len(shared) > 20
    for name in shared:
        np.testing.assert_allclose(a[name], b[name], rtol=1e-6, err_msg=name)


def test_standard_before_fit():
    assert Standard().names == ()
    for use in (lambda: Standard().featurize(batch([1], [1], 0.0)), lambda: Standard().bind(shop().schema)):
        with pytest.raises(NotFittedError, match="Standard"):
            use()
    with pytest.raises(ConfigurationError, match="exclude"):
        Standard(exclude="item_price")


def test_standard_without_events_still_serves():
    data = Dataset.from_frame(None, items={"item_id": [1, 2, 3], "price": [1.0, 2.0, 4.0]})
    standard = Standard().fit(data).bind(data.schema)
    assert standard.names == ("item_price",)
    assert standard.featurize(batch([0], [1, 3], 0.0)).tolist() == [[1], [4]]


def test_standard_is_saved_and_bound_again(tmp_path):
    data = shop()
    fitted = Standard().fit(data)
    save_state(tmp_path / "features", fitted)
    loaded, _ = load_state(tmp_path / "features")
    assert loaded.names == fitted.names
    candidates = batch([1, 2], [1, 2, 3], 100 * DAY)
    a, b = fitted.bind(data.schema), loaded.bind(data.schema)
    np.testing.assert_array_equal(a.featurize(candidates), b.featurize(candidates))


def test_empty_batches():
    data = shop()
    standard = Standard().fit(data).bind(data.schema)
    width = len(standard.names)
    assert standard.featurize(batch([], [1], 0.0)).shape == (0, width)
    assert standard.featurize(batch([1, 2], [], 100 * DAY)).shape == (0, width)
    assert SourceScores().names == ()
