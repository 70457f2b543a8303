"""popularity_front: every strength on the same users, in a table and a picture."""

from __future__ import annotations

import pytest

import recokit as rk
from recokit import candidates
from recokit.errors import ConfigurationError
from recokit.rankers import PopularityNormalized, Weighted
from recokit.tuning import popularity_front


@pytest.fixture(scope="module")
def split():
    market = rk.datasets.make_marketplace(150, 400, seed=1)
    return market.dataset.split_at(market.dataset.until - 14 * rk.data.DAY)


@pytest.fixture(scope="module")
def pipeline(split):
    scored = [candidates.ItemKNN(n_neighbors=30), Weighted({"item_knn_score": 1.0})]
    return rk.Pipeline([*scored, PopularityNormalized.of(split[0])]).fit(split[0])


@pytest.fixture(scope="module")
def front(pipeline, split):
    return popularity_front(pipeline, split[1], strengths=[1.0, 0.0, 0.5], more=["Recall@10"])


def test_the_front_measures_every_strength_on_the_same_users(front, pipeline, split):
    rows = front.table()
    assert [row["strength"] for row in rows] == [0.0, 0.5, 1.0]
    plain = rk.evaluate(
        pipeline.without("popularity_normalized"), split[1], ["NDCG@10", "CatalogCoverage@10"]
    )
    for metric in ("NDCG@10", "CatalogCoverage@10"):
        assert rows[0][metric] == plain[metric].mean != rows[2][metric]
    assert rows[0]["difference"] == 0.0
    assert rows[2]["difference"] == pytest.approx(rows[2]["NDCG@10"] - rows[0]["NDCG@10"], abs=1e-6)
    assert str(front).count("\n") == 4 and "Recall@10" in str(front) and "strength" in front._repr_html_()
    assert repr(front) == "PopularityFront(3 strengths, NDCG@10 against CatalogCoverage@10)"


def test_the_front_is_drawn(front):
    axes = front.plot()
    assert [text.get_text() for text in axes.texts] == ["0", "0.5", "1"]
    assert axes.get_xlabel() == "CatalogCoverage@10" and front.plot(axes) is axes
    axes.figure.canvas.draw()


def test_the_front_needs_a_stage_with_a_strength():
    data = rk.testing.toy_dataset()
    pipeline = rk.Pipeline([candidates.Popular(), PopularityNormalized.of(data)]).fit(data)
    with pytest.raises(ConfigurationError, match="found no strengths"):
        popularity_front(pipeline, {"user-1": [101]}, strengths=[])
    with pytest.raises(ConfigurationError, match="no option strength"):
        popularity_front(pipeline, {"user-1": [101]}, stage="popular")
    with pytest.raises(ConfigurationError, match=r"found strength=-1\.0"):
        popularity_front(pipeline, {"user-1": [101]}, strengths=[-1.0])


def test_defaults_and_intervals(front, pipeline, split):
    usual = popularity_front(pipeline, split[1])
    assert usual.strengths == (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0)
    assert (usual.accuracy, usual.breadth) == ("NDCG@10", "CatalogCoverage@10")
    for row in front.table():
        assert row["low"] <= row["difference"] <= row["high"]
    last = front.table()[-1]
    cost = front.evaluations.compare("strength=1", "strength=0", "NDCG@10")
    assert (last["difference"], last["low"], last["high"]) == (cost.mean, cost.low, cost.high)


def test_the_stage_that_was_given_stays(front, pipeline):
    assert pipeline["popularity_normalized"].strength == 0.3 and len(front.strengths) == 3
