"""Contributions of tree rankers: equal to those of LightGBM, and in time."""

from __future__ import annotations

import time

import lightgbm
import numpy as np
import pytest

from recokit._kernels.tree_shap import contributions_of, expected_score
from recokit.rankers.light_gbm import compile_lightgbm


def booster_and_rows(n_trees: int, params: dict | None = None) -> tuple[lightgbm.Booster, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3000, 30)).astype(np.float32)
    x[rng.random(x.shape) < 0.1] = np.nan
    x[:, :2] = np.round(3 * x[:, :2])
    label = np.nansum(x[:, :10], axis=1) + rng.normal(size=3000) > 1
    options = {"objective": "binary", "num_leaves": 31, "verbosity": -1, "num_threads": 1} | (params or {})
    categories = options.pop("categorical_feature", [])
    return lightgbm.train(options, lightgbm.Dataset(x, label, categorical_feature=categories), n_trees), x[
        :200
    ]


@pytest.mark.parametrize(
    "params", [{}, {"zero_as_missing": True}, {"num_leaves": 64}, {"categorical_feature": [0, 1]}], ids=str
)
def test_equal_those_of_lightgbm(params: dict) -> None:
    booster, rows = booster_and_rows(20, params)
    forest = compile_lightgbm(booster, 30)
    expected = booster.predict(rows, pred_contrib=True)
    np.testing.assert_allclose(contributions_of(forest, rows), expected[:, :-1], atol=1e-6)
    np.testing.assert_allclose(expected_score(forest), expected[0, -1], atol=1e-6)


def test_the_top_of_a_request_is_explained_in_time() -> None:
    booster, rows = booster_and_rows(100)
    forest = compile_lightgbm(booster, 30)
    contributions_of(forest, rows[:10])
    seconds = []
    for _ in range(10):
        start = time.process_time()
        contributions_of(forest, rows[:10])
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.04
