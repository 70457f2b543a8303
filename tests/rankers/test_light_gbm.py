"""LightGBM: that the trees kept are LightGBM's own, and what each objective learns."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace

import lightgbm
import numpy as np
import pytest

from recokit._native import library
from recokit._utils.params import clone
from recokit._utils.threads import limited_threads
from recokit.data import Candidates, RankingData
from recokit.data.state.folder import load_state, save_state
from recokit.errors import ConfigurationError, DataError
from recokit.rankers.light_gbm import LightGBM, compile_lightgbm

NAMES = ("clicks", "price", "age", "rare")
QUIET = {"verbosity": -1, "num_threads": 1, "deterministic": True, "force_row_wise": True, "seed": 0}


def make_data(n_groups: int = 60, seed: int = 0, validation: RankingData | None = None) -> RankingData:
    """Groups of 20; what a group has in common makes its labels more likely, and says nothing of their order."""
    rng = np.random.default_rng(seed)
    n = 20 * n_groups
    x = np.empty((n, 4), np.float32)
    x[:, 0] = rng.poisson(1.5, n)
    x[:, 1] = np.repeat(rng.normal(size=n_groups), 20)
    x[:, 2] = rng.normal(size=n)
    x[:, 3] = np.where(rng.random(n) < 0.7, 0.0, rng.normal(size=n))
    x[rng.random(n) < 0.2, 2] = np.nan
    signal = x[:, 0] + np.where(np.isnan(x[:, 2]), 1.0, x[:, 2]) + 3 * x[:, 1]
    label = (signal + rng.normal(0, 0.7, n) > 2.5).astype(np.float32)
    return RankingData(
        x, NAMES, label, np.ones(n, np.float32), np.arange(0, n + 1, 20), np.repeat(np.arange(n_groups) + 1, 20),
        np.arange(1, n + 1), np.zeros(n), validation=validation,
    )  # fmt: skip


def awkward_rows(booster: lightgbm.Booster, n: int = 400) -> np.ndarray:
    """Rows with values on the thresholds and beside them, zeros, tiny, infinite and missing ones."""
    rng = np.random.default_rng(1)
    x = make_data(20, 5).features[:n].copy()
    table = [t for t in _thresholds(booster) if np.isfinite(np.float32(t))]
    at = rng.choice(np.array(table, np.float32), x.shape)
    x = np.where(rng.random(x.shape) < 0.4, at, x)
    x = np.where(rng.random(x.shape) < 0.1, np.nextafter(x, np.float32(np.inf)), x)
    for value in (0.0, -0.0, 1e-36, -1e-36, 1e-35, -1e-35, -1e-30, np.nan, np.inf, -np.inf):
        x[rng.random(x.shape) < 0.03] = value
    return np.ascontiguousarray(x, np.float32)


def _thresholds(booster: lightgbm.Booster) -> list[float]:
    frame, stack = [], [tree["tree_structure"] for tree in booster.dump_model()["tree_info"]]
    while stack:
        node = stack.pop()
        if "threshold" in node:
            frame.append(node["threshold"])
            stack += [node["left_child"], node["right_child"]]
    return frame


def as_batch(data: RankingData) -> Candidates:
    lists = [list(range(1, n + 1)) for n in np.diff(data.offsets)]
    return Candidates.from_lists(lists, features=data.features, feature_names=data.feature_names)


def order_found(score: np.ndarray, data: RankingData) -> float:
    """Share of the pairs of one group that stand in the right order."""
    right = total = 0.0
    for a, b in zip(data.offsets[:-1], data.offsets[1:], strict=True):
        s, y = score[a:b], data.label[a:b]
        better = y[:, None] > y[None, :]
        right += ((s[:, None] > s[None, :]) & better).sum()
        total += better.sum()
    return right / total


@pytest.mark.parametrize("leaves", [2, 31, 64])
@pytest.mark.parametrize(
    "params",
    [
        {},
        {"use_missing": False},
        {"zero_as_missing": True},
        {"boosting": "dart"},
        {"objective": "regression"},
    ],
    ids=str,
)
def test_compiled_trees_equal_lightgbm(leaves, params):
    data = make_data(150)
    settings = QUIET | {"objective": "binary", "num_leaves": leaves, "min_child_samples": 2} | params
    booster = lightgbm.train(settings, lightgbm.Dataset(data.features, data.label), 30)
    x = awkward_rows(booster)
    forest = compile_lightgbm(booster, 4)
    np.testing.assert_allclose(forest.raw_score(x), booster.predict(x, raw_score=True), rtol=0, atol=1e-9)
    assert forest.zero_is_missing == ("zero_as_missing" in params)


#: What a category may look like when it is asked for: cut off, below 0, never seen, missing, beyond whole numbers.
ODD = (0.0, -0.0, -0.5, 0.7, 1.999, -1.0, 999.0, 1e9, 2.0**31, 3e9, 1e20, 1e-36, np.nan, np.inf, -np.inf)


def categories_agree(seed):
    rng = np.random.default_rng(seed)
    n, sizes = 600, 1 + rng.integers(1, rng.choice([5, 40, 200]), 2)
    x = np.c_[
        rng.integers(0, sizes[0], n), rng.integers(0, sizes[1], n), rng.normal(size=n), rng.poisson(1, n)
    ]
    x[rng.random(n) < 0.1, 0], x[rng.random(n) < 0.1, 2] = np.nan, np.nan
    if rng.random() < 0.3:
        x[rng.random(n) < 0.1, 1] = -1
    x, worth = x.astype(np.float32), rng.normal(size=200)
    worth_of = [worth[np.nan_to_num(column, nan=3.0).astype(int)] for column in x[:, :2].T]
    label = np.sum(worth_of, axis=0) + np.nan_to_num(x[:, 2]) + rng.normal(size=n) > 0
    settings = QUIET | {
        "objective": "binary",
        "num_leaves": int(rng.choice([2, 31, 64])),
        "min_data_per_group": 1,
        "cat_smooth": 1,
        "min_child_samples": 3,
        "max_cat_to_onehot": int(rng.choice([1, 4, 30])),
        "zero_as_missing": bool(rng.random() < 0.3),
        "use_missing": bool(rng.random() < 0.8),
    }
    booster = lightgbm.train(settings, lightgbm.Dataset(x, label, categorical_feature=[0, 1]), 8)
    held = x[rng.integers(0, n, 200)]
    for value in ODD:
        held[rng.random(held.shape) < 0.03] = value
    forest = compile_lightgbm(booster, 4)
    np.testing.assert_array_equal(forest.raw_score(held), booster.predict(held, raw_score=True))
    return len(forest.nodes.category)


def test_splits_by_category_score_as_in_lightgbm():
    assert sum(categories_agree(seed) > 0 for seed in range(20)) >= 15


@pytest.mark.slow
def test_splits_by_category_score_as_in_lightgbm_in_many_cases():
    assert sum(categories_agree(seed) > 0 for seed in range(100, 600)) >= 400


def test_categorical_features_are_named(tmp_path):
    data = make_data()
    codes = np.random.default_rng(3).integers(0, 30, len(data)).astype(np.float32)
    features = np.c_[data.features[:, 1:], codes]
    # Even codes are positives: no threshold tells, a set does.
    data = replace(data, features=features, label=(codes % 2 == 0).astype(np.float32))
    options = {"n_estimators": 3, "num_threads": 1, "min_child_samples": 5, "params": {"cat_smooth": 1}}
    ranker = LightGBM(features=("age", "rare"), categorical_features=("rare",), **options).fit(data)
    assert ranker.forest_.nodes.category_node[0] == 0
    assert order_found(ranker.score(as_batch(data)), data) == 1.0
    assert np.abs(ranker.contributions(as_batch(data))).mean(axis=0).argmax() == 1
    save_state(tmp_path / "ranker", ranker.partial_fit(data, 2))
    loaded, _ = load_state(tmp_path / "ranker")
    np.testing.assert_array_equal(loaded.score(as_batch(data)), ranker.score(as_batch(data)))
    with pytest.raises(ConfigurationError, match=r"'rares'.*rare"):
        LightGBM(categorical_features=("rares",), **options).fit(data)


def test_trees_without_splits():
    x = np.ones((50, 2), np.float32)
    booster = lightgbm.train(QUIET | {"objective": "regression"}, lightgbm.Dataset(x, np.arange(50.0) % 2), 3)
    forest = compile_lightgbm(booster, 2)
    np.testing.assert_allclose(forest.raw_score(x[:4]), 0.5)


@pytest.mark.parametrize(
    "objective", ["binary", "lambdarank", "poisson", "rank_xendcg", "regression", "tweedie"]
)
def test_score_equals_predict_of_a_booster_trained_by_hand(objective):
    data = make_data()
    ranker = LightGBM(objective=objective, n_estimators=20, num_threads=1, min_child_samples=5).fit(data)
    settings = QUIET | {
        "objective": objective, "learning_rate": 0.05, "min_child_samples": 5, "reg_lambda": 1.0,
        "label_gain": [0.0, 1.0],
    }  # fmt: skip
    groups = {"group": np.full(60, 20)} if "rank" in objective else {}
    informative = np.repeat([0 < part.sum() < 20 for part in data.label.reshape(60, 20)], 20)
    if groups:
        groups = {"group": np.full(informative.sum() // 20, 20)}
    rows = informative if groups else np.ones(1200, np.bool_)
    booster = lightgbm.train(
        settings, lightgbm.Dataset(data.features[rows], data.label[rows], **groups), num_boost_round=20
    )
    held = make_data(seed=4)
    np.testing.assert_allclose(
        ranker.score(as_batch(held)), booster.predict(held.features), rtol=1e-5, atol=1e-6
    )
    assert order_found(ranker.score(as_batch(held)), held) > 0.8


def test_a_ranking_objective_is_not_misled_by_what_a_group_has_in_common():
    data, held = make_data(), make_data(seed=4)
    ranker = LightGBM(objective="lambdarank", n_estimators=30, num_threads=1, min_child_samples=10).fit(data)
    binary = LightGBM(n_estimators=30, num_threads=1, min_child_samples=10).fit(data)
    (own, common), (own_binary, common_binary) = (
        np.abs(fitted.contributions(as_batch(held))).mean(axis=0)[:2] for fitted in (ranker, binary)
    )
    assert common / own < 0.5 * common_binary / own_binary


def test_labels_are_gains_in_lambdarank():
    # Clicks find rows of gain 1, age rows of gain 0.1: the first matter ten times as much to NDCG.
    rng = np.random.default_rng(0)
    n = 2000
    x = rng.integers(0, 2, (n, 2)).astype(np.float32)
    label = np.where(x[:, 0] > 0, 1.0, np.where(x[:, 1] > 0, 0.1, 0.0)).astype(np.float32)
    data = RankingData(
        x, ("clicks", "age"), label, np.ones(n, np.float32), np.arange(0, n + 1, 10), np.ones(n, np.int64),
        np.arange(1, n + 1), np.zeros(n),
    )  # fmt: skip
    ranker = LightGBM(objective="lambdarank", n_estimators=30, num_threads=1, min_child_samples=5).fit(data)
    score = ranker.score(
        Candidates.from_lists([[1, 2, 3]], features=[[0, 0], [0, 1], [1, 0]], feature_names=["clicks", "age"])
    )
    assert score[0] < score[1] < score[2]
    with pytest.raises(DataError, match=r"distinct labels.*rank_xendcg.*hint"):
        LightGBM(objective="rank_xendcg").fit(replace(data, label=rng.random(n).astype(np.float32)))
    # as many levels as rows
    many = replace(data, label=(label + 0.01 * rng.random(n)).astype(np.float32))
    assert (
        order_found(
            LightGBM(objective="lambdarank", n_estimators=5, num_threads=1).fit(many).score(as_batch(many)),
            many,
        )
        > 0.6
    )


@pytest.mark.parametrize("objective", ["binary", "lambdarank"])
def test_validation_chooses_the_number_of_trees_and_is_learned_from(objective):
    data, held = make_data(30), make_data(30, seed=2)
    eager = LightGBM(
        objective=objective, n_estimators=200, learning_rate=0.5, min_child_samples=2, early_stopping_rounds=5,
        num_threads=1,
    )  # fmt: skip
    chosen = clone(eager).fit(replace(data, validation=held))
    assert 1 <= chosen.n_estimators_ < 60
    both = replace(data, **{
        name: np.concatenate([getattr(data, name), getattr(held, name)])
        for name in ("features", "label", "weight", "user", "item", "now")
    }, offsets=np.arange(0, 1201, 20))  # fmt: skip
    again = LightGBM(**{**vars_of(eager), "n_estimators": chosen.n_estimators_}).fit(both)
    np.testing.assert_array_equal(again.score(as_batch(held)), chosen.score(as_batch(held)))
    free = clone(eager)
    free.early_stopping_rounds = None
    free.n_estimators = 30
    assert free.fit(replace(data, validation=held)).n_estimators_ == 30
    nothing = replace(held, label=np.zeros_like(held.label))
    free.early_stopping_rounds = 5
    assert free.fit(replace(data, validation=nothing)).n_estimators_ == 30


def vars_of(ranker: LightGBM) -> dict:
    return {name: part for name, part in vars(ranker).items() if not name.endswith("_")}


def test_trees_do_not_depend_on_the_number_of_threads():
    data, batch = make_data(100), as_batch(make_data(seed=3))
    scores = [
        LightGBM(n_estimators=3, subsample=0.7, colsample_bytree=0.7, num_threads=n).fit(data).score(batch)
        for n in (1, 2)
    ]
    np.testing.assert_array_equal(*scores)


def test_serves_without_lightgbm(tmp_path):
    ranker = LightGBM(n_estimators=10, num_threads=1).fit(make_data())
    batch = as_batch(make_data(seed=3))
    save_state(tmp_path / "ranker", ranker)
    np.testing.assert_array_equal(load_state(tmp_path / "ranker")[0].score(batch), ranker.score(batch))
    code = f"""
import sys
sys.modules["lightgbm"] = None
from recokit.data import Candidates, RankingData
from recokit.data.state.folder import load_state
ranker, _ = load_state({str(tmp_path / "ranker")!r})
batch = Candidates.from_lists([[1]], features=[[1.0, 0.0, 0.5, 0.0]], feature_names={list(NAMES)!r})
print(ranker.score(batch)[0], ranker.contributions(batch).shape)
import numpy as np
one = np.ones(1)
try:
    ranker.fit(RankingData(np.ones((1, 1)), ("a",), one, one, np.array([0, 1]), one, one, one))
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "(1, 4)" in done.stdout
    assert "ConfigurationError found no lightgbm" in done.stdout and "recokit[lightgbm]" in done.stdout


def test_too_large_a_group():
    data = make_data(501)
    whole = replace(data, offsets=np.array([0, len(data)]))
    with pytest.raises(DataError, match=r"group of 10020 rows.*at most 10,000.*hint"):
        LightGBM(objective="lambdarank").fit(whole)
    fits = replace(data, offsets=np.array([0, 10_000, len(data)]))
    ranker = LightGBM(objective="lambdarank", n_estimators=3, num_threads=1).fit(fits)
    assert ranker.n_estimators_ == 3


@pytest.mark.parametrize(
    "options",
    [
        {"objective": "binarry"},
        {"num_leaves": 65},
        {"num_leaves": 1},
        {"n_estimators": 0},
        {"min_child_samples": 0},
        {"learning_rate": 0.0},
        {"subsample": 1.5},
        {"colsample_bytree": 0.0},
        {"reg_alpha": -1.0},
        {"reg_lambda": np.nan},
        {"max_depth": -2},
        {"num_threads": -1},
        {"early_stopping_rounds": 0},
        {"features": ("a", "a")},
        {"params": {"num_leaves": 4}},
        {"params": {"deterministic": False}},
        {"params": {"categorical_feature": [0]}},
        {"categorical_features": ("a", "a")},
    ],
    ids=str,
)
def test_options_are_checked(options):
    name = next(iter(options))
    with pytest.raises(ConfigurationError, match=name):
        LightGBM(**options)


def test_trees_that_are_more_than_leaf_values():
    with pytest.raises(ConfigurationError, match=r"more than split and add.*linear_tree"):
        LightGBM(n_estimators=3, num_threads=1, params={"linear_tree": True}).fit(make_data())


def test_params_reach_lightgbm():
    data, batch = make_data(), as_batch(make_data(seed=3))
    plain = LightGBM(n_estimators=5, num_threads=1).fit(data)
    monotone = LightGBM(n_estimators=5, num_threads=1, params={"monotone_constraints": [-1, 0, 0, 0]}).fit(
        data
    )
    assert (plain.score(batch) != monotone.score(batch)).any()
    assert 0 not in monotone.forest_.nodes.feature[monotone.forest_.nodes.left > 0]
    steep = LightGBM(n_estimators=5, num_threads=1, params={"sigmoid": 2.0}).fit(data)
    assert abs(steep.score(batch).mean() - plain.score(batch).mean()) < 0.02


@pytest.mark.skipif(library.kernels() is None, reason="no compiled kernels on this machine")
def test_one_request_is_faster_than_lightgbm():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20_000, 30)).astype(np.float32)
    label = x[:, :10].sum(axis=1) + rng.normal(size=20_000) > 1
    settings = QUIET | {"objective": "binary", "num_leaves": 31}
    booster = lightgbm.train(settings, lightgbm.Dataset(x, label), 300)
    forest, rows = compile_lightgbm(booster, 30), x[:1000]
    with limited_threads(1):
        ours = min(_seconds(lambda: forest.raw_score(rows)) for _ in range(10))
        theirs = min(
            _seconds(lambda: booster.predict(rows, raw_score=True, num_threads=1)) for _ in range(10)
        )
    assert ours < 0.3 * theirs  # about 0.08 on a free core


def _seconds(call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
