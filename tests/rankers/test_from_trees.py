"""FromXGBoost and FromCatBoost: trees from JSON by hand, edge by edge; real models are in tests/adapters."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest

import recokit as rk
from recokit.data import Candidates
from recokit.errors import ConfigurationError, DataError
from recokit.rankers import FromCatBoost, FromXGBoost

#: Splits "a" at 0.5 and, below it, "b" at 2; missing values of "a" go right, of "b" left.
TREE = {
    "left_children": [1, 3, -1, -1, -1],
    "right_children": [2, 4, -1, -1, -1],
    "split_indices": [0, 1, 0, 0, 0],
    "split_conditions": [0.5, 2.0, 4.0, -1.0, 1.0],
    "default_left": [0, 1, 0, 0, 0],
    "sum_hessian": [10.0, 6.0, 4.0, 3.0, 3.0],
    "categories_nodes": [],
}


def xgboost_model(objective="reg:squarederror", base="[5E-1]", trees=(TREE,), **booster):
    about = {"base_score": base, "num_class": "0", "num_feature": "2", "num_target": "1"}
    boosting = {"name": "gbtree", "model": {"trees": list(trees)}, **booster}
    return {
        "learner": {
            "learner_model_param": about,
            "objective": {"name": objective},
            "gradient_booster": boosting,
        }
    }


def catboost_model(loss="RMSE", nan="AsIs"):
    columns = [{"feature_index": i, "flat_feature_index": i, "nan_value_treatment": nan} for i in range(2)]
    splits = [{"border": 0.5, "float_feature_index": 0}, {"border": 2.0, "float_feature_index": 1}]
    tree = {"splits": splits, "leaf_values": [1.0, 2.0, 3.0, 4.0], "leaf_weights": [1, 2, 3, 4]}
    return {
        "features_info": {"float_features": columns},
        "oblivious_trees": [tree],
        "scale_and_bias": [2.0, [0.25]],
        "model_info": {"params": {"loss_function": {"type": loss}}},
    }


def scores(ranker, rows):
    features = np.array(rows, np.float32)
    batch = Candidates.from_lists(
        [list(range(1, len(rows) + 1))], features=features, feature_names=["a", "b"]
    )
    return ranker.score(batch)


def of(cls, model):
    return cls(json.dumps(model).encode(), features=["a", "b"])


ROWS = [
    [0.5, 0.0],
    [np.nextafter(np.float32(0.5), np.float32(0)), 1.9],
    [0.0, 2.0],
    [np.nan, 0.0],
    [0.0, np.nan],
]


def test_xgboost_goes_left_below_the_threshold_and_missing_values_where_they_went():
    assert scores(of(FromXGBoost, xgboost_model()), ROWS).tolist() == [4.5, -0.5, 1.5, 4.5, -0.5]


@pytest.mark.parametrize(
    ("objective", "base", "expected"),
    [
        ("binary:logistic", "[2E-1]", 1 / (1 + np.exp(-(np.log(0.25) + 4.0)))),
        ("binary:logitraw", "2E-1", np.log(0.25) + 4.0),
        ("rank:ndcg", "[5E-1]", 4.5),
        ("count:poisson", "[2]", 2 * np.exp(4.0)),
    ],
)
def test_scores_of_xgboost_are_those_of_the_objective(objective, base, expected):
    found = scores(of(FromXGBoost, xgboost_model(objective, base)), [[1.0, 0.0]])
    np.testing.assert_allclose(found, [expected], rtol=1e-6)


def test_dropped_trees_of_xgboost_weigh_what_is_left():
    inner = {"model": {"trees": [TREE, TREE]}}
    model = xgboost_model(name="dart", gbtree=inner, weight_drop=[0.5, 0.25])
    assert scores(of(FromXGBoost, model), [[1.0, 0.0]]).tolist() == [0.5 + 0.75 * 4.0]


def test_catboost_goes_right_above_the_border_and_counts_the_first_split_lowest():
    ranker = of(FromCatBoost, catboost_model())
    # leaf = (a > 0.5) + 2 * (b > 2)
    assert scores(ranker, [[0.5, 2.0], [0.6, 2.0], [0.5, 2.1], [0.6, 2.1]]).tolist() == [
        2.25,
        4.25,
        6.25,
        8.25,
    ]


@pytest.mark.parametrize(("nan", "leaf"), [("AsFalse", 1.0), ("AsTrue", 4.0)])
def test_missing_values_of_catboost(nan, leaf):
    found = scores(of(FromCatBoost, catboost_model(nan=nan)), [[np.nan, np.nan]])
    assert found.tolist() == [2 * leaf + 0.25]


def test_a_probability_of_catboost():
    found = scores(of(FromCatBoost, catboost_model("Logloss")), [[0.0, 0.0]])
    np.testing.assert_allclose(found, [1 / (1 + np.exp(-2.25))], rtol=1e-6)


@pytest.mark.parametrize(("cls", "model"), [(FromXGBoost, xgboost_model()), (FromCatBoost, catboost_model())])
def test_contributions_add_up_to_the_raw_score(cls, model):
    ranker = of(cls, model)
    features = np.array([[0.6, 1.0], [0.1, 3.0]], np.float32)
    batch = Candidates.from_lists([[1, 2]], features=features, feature_names=["a", "b"])
    total = ranker.contributions(batch).sum(axis=1) + ranker.intercept_
    np.testing.assert_allclose(total, ranker.score(batch), atol=1e-6)


def changed(model, *path, to):
    model = copy.deepcopy(model)
    part = model
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = to
    return model


LEARNER = ("learner", "learner_model_param")
REFUSED = {
    "objective": (FromXGBoost, xgboost_model("survival:cox"), "survival:cox"),
    "linear": (FromXGBoost, xgboost_model(name="gblinear"), "gblinear"),
    "classes": (FromXGBoost, changed(xgboost_model(), *LEARNER, "num_class", to="3"), "several classes"),
    "features": (FromXGBoost, changed(xgboost_model(), *LEARNER, "num_feature", to="3"), "takes 3"),
    "categories": (FromXGBoost, xgboost_model(trees=[{**TREE, "categories_nodes": [0]}]), "by category"),
    "other json": (FromXGBoost, {"trees": []}, "no model of XGBoost"),
    "labels": (
        FromCatBoost,
        changed(catboost_model(), "features_info", "categorical_features", to=[1]),
        "labels",
    ),
    "deep": (
        FromCatBoost,
        changed(
            catboost_model(),
            "oblivious_trees",
            0,
            "splits",
            to=[{"border": 0.0, "float_feature_index": 0}] * 7,
        ),
        "128 leaves",
    ),
    "several values": (
        FromCatBoost,
        changed(catboost_model(), "oblivious_trees", 0, "leaf_values", to=[0.0] * 8),
        "several values",
    ),
    "not catboost": (FromCatBoost, {"features_info": {}}, "no model of CatBoost"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name):
    cls, model, said = REFUSED[name]
    with pytest.raises(ConfigurationError, match=said):
        of(cls, model)


def test_no_json_no_file_no_bytes():
    with pytest.raises(DataError, match="found no JSON for FromXGBoost"):
        FromXGBoost(b"{", features=["a"])
    with pytest.raises(DataError, match="JSON of a list"):
        FromXGBoost(b"[]", features=["a"])
    with pytest.raises(ConfigurationError, match="found no model to read"):
        FromXGBoost("no/such/file.json", features=["a"])
    with pytest.raises(ConfigurationError, match="found dict"):
        FromXGBoost({}, features=["a"])


@pytest.mark.parametrize(("cls", "model"), [(FromXGBoost, xgboost_model()), (FromCatBoost, catboost_model())])
def test_a_pipeline_is_saved_with_the_trees_inside(cls, model, tmp_path):
    path = tmp_path / "model.json"
    path.write_text(json.dumps(model), encoding="utf-8")
    data = rk.testing.toy_dataset()
    blocks = rk.features.Assemble([rk.features.Item(["price"]), rk.features.ItemActivity(windows=("7D",))])
    bare = rk.Pipeline([rk.candidates.Popular(), blocks]).fit(data)
    run = bare.recommend(["user-3"], now=data.until, capture="full")
    names = run.trace.of("assemble")[0].after.feature_names[:2]
    pipeline = rk.Pipeline([rk.candidates.Popular(), blocks, cls(path, features=names)]).fit(data)
    path.unlink()
    pipeline.save(tmp_path / "saved")
    again = rk.Pipeline.load(tmp_path / "saved")
    expected = pipeline.recommend(["user-3"], now=data.until).to_records()
    assert again.recommend(["user-3"], now=data.until).to_records() == expected
