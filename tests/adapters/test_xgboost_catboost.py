"""Models that XGBoost and CatBoost trained: `make test-adapters`, in an environment of their own."""

from __future__ import annotations

import numpy as np
import pytest

from recokit.data import Candidates
from recokit.rankers import FromCatBoost, FromXGBoost

NAMES = [f"f{i}" for i in range(8)]


@pytest.fixture(scope="module")
def rows():
    """Return features with missing values and ties, labels, and groups of 100."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4000, 8)).astype(np.float32)
    x[:, 3] = np.round(x[:, 3] * 2)
    y = (x[:, 0] + x[:, 1] * x[:, 2] + x[:, 3] + rng.normal(size=4000) > 0).astype(int)
    x[rng.random(x.shape) < 0.1] = np.nan
    return x, y, np.repeat(np.arange(40), 100)


def batch_of(x):
    return Candidates.from_lists([list(range(1, len(x) + 1))], features=x, feature_names=NAMES)


XGBOOST = {
    "binary": {"objective": "binary:logistic", "max_depth": 5},
    "rank": {"objective": "rank:ndcg", "max_depth": 5},
    "leafwise": {
        "objective": "reg:squarederror",
        "max_leaves": 31,
        "grow_policy": "lossguide",
        "max_depth": 0,
    },
    "poisson": {"objective": "count:poisson"},
    "dart": {"objective": "binary:logistic", "booster": "dart", "rate_drop": 0.3, "max_depth": 4},
}


@pytest.mark.parametrize("name", XGBOOST)
def test_xgboost(name, rows):
    xgboost = pytest.importorskip("xgboost")
    x, y, groups = rows
    matrix = xgboost.DMatrix(x, y, qid=groups if name == "rank" else None)
    booster = xgboost.train({**XGBOOST[name], "nthread": 1}, matrix, 60)
    ranker = FromXGBoost(bytes(booster.save_raw("json")), features=NAMES)
    np.testing.assert_allclose(ranker.score(batch_of(x)), booster.predict(matrix), rtol=1e-6, atol=1e-6)
    if name != "dart":
        theirs = booster.predict(matrix, pred_contribs=True)[:50, :-1]
        np.testing.assert_allclose(ranker.contributions(batch_of(x))[:50], theirs, atol=1e-5)


@pytest.mark.parametrize("loss", ["Logloss", "RMSE", "YetiRank"])
@pytest.mark.parametrize("missing", ["Min", "Max"])
def test_catboost(loss, missing, rows, tmp_path):
    catboost = pytest.importorskip("catboost")
    x, y, groups = rows
    options = {"loss_function": loss, "iterations": 40, "nan_mode": missing, "verbose": 0, "thread_count": 1}
    model = catboost.CatBoost({**options, "train_dir": str(tmp_path / "log")})
    model.fit(x, y, group_id=groups if loss == "YetiRank" else None)
    model.save_model(str(tmp_path / "model.json"), format="json")
    kind = "Probability" if loss == "Logloss" else "RawFormulaVal"
    theirs = model.predict(x, prediction_type=kind)
    theirs = theirs[:, 1] if theirs.ndim == 2 else theirs
    found = FromCatBoost(tmp_path / "model.json", features=NAMES).score(batch_of(x))
    np.testing.assert_allclose(found, theirs, rtol=1e-6, atol=1e-6)
