"""A fit that collapsed says so, and a sound one does not."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from recokit import candidates, rankers
from recokit.candidates import _collapse, pure_svd
from recokit.data import Dataset, RankingData, Retrieved
from recokit.errors import FitWarning


@pytest.fixture(scope="module")
def data() -> Dataset:
    """Users of four tastes among 200 items, some of them popular with everybody."""
    rng = np.random.default_rng(0)
    user = np.repeat(np.arange(1, 301), 15)
    worth = 1 / np.arange(1, 201)
    taste = (user % 4) * 50 + rng.integers(50, size=len(user)) + 1
    item = np.where(rng.random(len(user)) < 0.5, taste, rng.choice(200, len(user), p=worth / worth.sum()) + 1)
    return Dataset.from_frame({"user": user, "item": item, "timestamp": rng.permutation(len(user))})


def rows(seed: int = 0) -> RankingData:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(600, 3)).astype(np.float32)
    label = (x[:, 0] + rng.normal(size=600) > 1.0).astype(np.float32)
    ones, user = np.ones(600, np.float32), np.repeat(np.arange(1, 31), 20)
    names, item = ("a", "b", "c"), np.arange(1, 601)
    return RankingData(x, names, label, ones, np.arange(0, 601, 20), user, item, np.zeros(600))


COLLAPSED = {
    "one list, IALS": (candidates.IALS(8, regularization=30.0), "one list for everybody"),
    "one list, PureSVD": (candidates.PureSVD(1), "one list for everybody"),
    "level loss, SASRec": (
        candidates.SASRec(8, n_epochs=3, learning_rate=1e-12, dropout=0.0, max_history=5, batch_size=1024),
        "expected it to fall",
    ),
    "level loss, TwoTower": (
        candidates.TwoTower(8, n_epochs=3, learning_rate=1e-12, batch_size=4096),
        "expected it to fall",
    ),
}


@pytest.mark.parametrize("name", list(COLLAPSED))
def test_a_source_that_collapsed_warns(data: Dataset, name: str) -> None:
    source, said = COLLAPSED[name]
    with pytest.warns(FitWarning, match=said):
        source.fit(data)


def test_a_spectrum_that_did_not_converge_warns(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pure_svd, "_ITERATIONS", 0)
    with pytest.warns(FitWarning, match=r"spectrum of GraphFilter not converged.* of factor \d+ of 8"):
        candidates.GraphFilter(response=[0.3], n_factors=8).fit(data)


@pytest.mark.parametrize("ranker", [rankers.LambdaMART, rankers.GradientBoosting])
def test_trees_without_a_split_warn(ranker: type) -> None:
    with pytest.warns(FitWarning, match="all candidates score alike"):
        ranker(n_estimators=3, min_samples_leaf=400).fit(rows())


SOUND = {
    "IALS": candidates.IALS(8),
    "IALS, strong": candidates.IALS(8, regularization=0.03),
    "PureSVD": candidates.PureSVD(8),
    "GraphFilter": candidates.GraphFilter(),
    "GraphFilter, factors": candidates.GraphFilter(response=[0.3], n_factors=24),
    "EASE": candidates.EASE(),
    "SASRec": candidates.SASRec(8, n_epochs=2, max_history=5),
    "TwoTower": candidates.TwoTower(8, n_epochs=2),
}


@pytest.mark.parametrize("name", list(SOUND))
def test_a_sound_source_does_not_warn(data: Dataset, name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", FitWarning)
        SOUND[name].fit(data)


@pytest.mark.parametrize("ranker", [rankers.LambdaMART, rankers.GradientBoosting])
def test_sound_trees_do_not_warn(ranker: type) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", FitWarning)
        ranker(n_estimators=3).fit(replace(rows(), validation=rows(1)))


def test_alike_is_the_mean_share_over_pairs_of_rows() -> None:
    lists = [[1, 2, 3], [1, 2, 4], [5, 6, 7]]
    share = [len({*a} & {*b}) / 3 for i, a in enumerate(lists) for j, b in enumerate(lists) if i != j]
    found = Retrieved(np.array([0, 3, 6, 9]), np.concatenate(lists), np.zeros(9, np.float32))
    assert _collapse._shared(found.item, len(found.offsets) - 1) == pytest.approx(np.mean(share))
    assert _collapse._shared(Retrieved.empty(3).item, 3) == 0.0


@pytest.mark.parametrize(("alike", "warns"), [(0.79, False), (0.8, True)])
def test_from_a_share_of_80_percent_on(
    data: Dataset, monkeypatch: pytest.MonkeyPatch, alike: float, warns: bool
) -> None:
    monkeypatch.setattr(_collapse, "_shared", lambda items, n_lists: alike)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        candidates.PureSVD(8).fit(data)
    assert any(one.category is FitWarning for one in caught) == warns


def test_small_data_is_not_judged() -> None:
    few = Dataset.from_frame(
        {"user": np.repeat(np.arange(40), 3), "item": np.arange(120), "timestamp": range(120)}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error", FitWarning)
        candidates.PureSVD(1).fit(few)


def test_vectors_that_are_singular_ones_leave_nothing() -> None:
    matrix = sp.csr_matrix(np.diag([3.0, 2.0, 1.0]).astype(np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("error", FitWarning)
        _collapse.warn_if_rough("it", matrix, np.eye(3, dtype=np.float32), np.array([3.0, 2.0, 1.0]))
    turned, values = np.eye(3, dtype=np.float32)[[0, 1, 1]].T, np.array([3.0, 2.0, 2000.0])
    with pytest.warns(FitWarning, match="100% of factor 3 of 3"):
        _collapse.warn_if_rough("it", matrix, turned, values)
