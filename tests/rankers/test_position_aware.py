"""PositionAware and PopularityNormalized: the place explains clicks in training only; popularity counts for less."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, features
from recokit.data import Candidates, RankingData
from recokit.data.state.encode import from_state, to_state
from recokit.errors import ConfigurationError, ContractError, DataError
from recokit.rankers import (
    LogisticRegression,
    PopularityNormalized,
    PositionAware,
    Weighted,
)


def clicks(seed=0, n=40_000):
    """Price says where an item stands, quality what is wanted; only the place and the quality make clicks."""
    rng = np.random.default_rng(seed)
    price, quality = rng.normal(size=(2, n))
    place = 1 + np.clip((price + rng.normal(size=n)) * 2 + 4, 0, 9).astype(int)
    label = rng.random(n) < place**-0.7 / (1 + np.exp(1 - quality))
    block = np.stack([price, quality], axis=1).astype(np.float32)
    code = np.arange(n)
    return RankingData(block, ("price", "quality"), label.astype(np.float32), np.ones(n, np.float32),
                       np.arange(0, n + 1, 10), code, code, np.zeros(n), columns={"position": place})  # fmt: skip


def effect(ranker, feature):
    """Return how much the score changes as one feature goes from -1 to 1."""
    block = np.zeros((2, 2))
    block[:, ("price", "quality").index(feature)] = -1, 1
    low, high = ranker.score(
        Candidates.from_lists([[1, 2]], features=block, feature_names=["price", "quality"])
    )
    return float(high - low)


class Told(LogisticRegression):
    """A ranker that remembers what it was fitted on."""

    def fit(self, data):
        self.told_ = data
        return super().fit(data)


def test_what_the_place_explains_is_not_credited_to_the_price():
    data = clicks()
    naive, aware = LogisticRegression().fit(data), PositionAware(LogisticRegression()).fit(data)
    assert effect(naive, "price") < -0.08
    assert abs(effect(aware, "price")) < 0.03
    assert effect(aware, "quality") > effect(naive, "quality") > 0.05


def test_the_place_of_serving_is_one_for_all():
    data = clicks(n=4_000)
    first, fifth = (PositionAware(LogisticRegression(), position=place).fit(data) for place in (1, 5))
    batch = Candidates.from_lists([[1, 2]], features=[[0, 0], [1, 1]], feature_names=["price", "quality"])
    assert (first.score(batch) > fifth.score(batch)).all()
    assert "log_position" in first.ranker_.feature_names_
    np.testing.assert_array_equal(from_state(*to_state(first)).score(batch), first.score(batch))


def test_the_validation_part_gets_its_places_too():
    data = clicks(n=2_000)
    later = clicks(1, 2_000)
    told = PositionAware(Told()).fit(replace(data, validation=later)).ranker_.told_.validation
    assert told.feature_names == ("price", "quality", "log_position")
    np.testing.assert_allclose(told.features[:, 2], np.log(later.columns["position"]), rtol=1e-6)
    with pytest.raises(DataError, match="found no column 'position'"):
        PositionAware(LogisticRegression()).fit(replace(data, validation=replace(data, columns={})))


def test_a_pipeline_binds_it_and_serves_without_places():
    data = rk.testing.toy_dataset()
    pipeline = rk.Pipeline([candidates.Popular(), features.Standard(), LogisticRegression()])
    pipeline.fit(data, label_window="7D")
    rows = pipeline.training_data(data, label_window="7D").data
    rows = replace(rows, columns={"position": np.ones(len(rows), int)}, validation=None)
    debiased = pipeline.replace("logistic_regression", PositionAware(LogisticRegression()).fit(rows))
    assert len(debiased.recommend(["user-1"], k=5, now=data.until).ids(0)) == 5


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({}, "found no column 'position'.*impression_rows"),
        ({"position": np.zeros(1_000)}, "found position 0.0"),
    ],
)
def test_rows_without_places_are_an_error(columns, message):
    with pytest.raises(DataError, match=message):
        PositionAware(LogisticRegression()).fit(replace(clicks(n=1_000), columns=columns))


def test_options_are_checked():
    with pytest.raises(ConfigurationError, match="expected a whole number of at least 1"):
        PositionAware(LogisticRegression(), position=0)
    with pytest.raises(ConfigurationError, match="expected a ranker that learns"):
        PositionAware(Weighted({"price": 1.0}))
    data = clicks(n=1_000)
    with pytest.raises(ConfigurationError, match="found a feature 'log_position'"):
        PositionAware(LogisticRegression()).fit(replace(data, feature_names=("price", "log_position")))


# -- popularity --------------------------------------------------------------------------------------

COUNTS = np.array([0.0, 90.0, 0.0, 10.0, np.nan])


def scored(score, features=None):
    names = () if features is None else ["count"]
    batch = Candidates.from_lists([[1, 2, 3, 4]], features=features, feature_names=names)
    return batch.with_score(np.asarray(score, np.float32))


def test_scores_are_divided_by_a_power_of_popularity():
    found = PopularityNormalized(COUNTS, strength=0.5).score(scored([1.0, 1.0, 1.0, 1.0]))
    np.testing.assert_allclose(found, [10**-0.5, 1, 2**-0.5, 1], rtol=1e-6)
    np.testing.assert_array_equal(
        PopularityNormalized(COUNTS, strength=0.0).score(scored([3, 2, 1, 4])), [3, 2, 1, 4]
    )


def test_popularity_never_helps_a_score_below_zero():
    found = PopularityNormalized(COUNTS, strength=1.0).score(scored([-1.0, -1.0, 0.0, np.nan]))
    np.testing.assert_allclose(found, [-10, -1, 0, np.nan], rtol=1e-6)


def test_orders_do_not_depend_on_the_scale_of_scores():
    score = np.array([0.9, 0.3, 0.5, 0.2])
    stage = PopularityNormalized(COUNTS, strength=0.7)
    np.testing.assert_allclose(stage.score(scored(score * 100)), 100 * stage.score(scored(score)), rtol=1e-6)


def test_popularity_may_be_a_feature_as_of_the_request():
    block = COUNTS[1:, None]
    by_name = PopularityNormalized("count", strength=0.5).score(scored([1, 2, 3, 4], block))
    by_item = PopularityNormalized(COUNTS, strength=0.5).score(scored([1, 2, 3, 4]))
    np.testing.assert_array_equal(by_name, by_item)


def test_popularity_of_a_dataset_counts_users():
    log = {"user": [1, 1, 2, 3], "item": [1, 1, 1, 2], "timestamp": [1, 2, 3, 4], "weight": [1, 1, 1, 0]}
    stage = PopularityNormalized.of(rk.Dataset.from_frame(log), strength=0.2)
    assert stage.popularity.tolist() == [0, 2, 0] and stage.strength == 0.2


def test_popularity_of_other_items_is_an_error():
    data = rk.testing.toy_dataset()
    with pytest.raises(ConfigurationError, match="found popularity of 5 rows and 30 items"):
        PopularityNormalized(COUNTS).bind(data.schema)
    with pytest.raises(ConfigurationError, match=r"found no feature 'cout'.*'count'"):
        PopularityNormalized("cout").bind(replace(data.schema, feature_names=("count",)))
    with pytest.raises(ContractError, match="found item code 9"):
        PopularityNormalized(COUNTS).score(Candidates.from_lists([[9]]))


def test_rows_without_any_score_are_told_of():
    data = rk.testing.toy_dataset()
    stages = [candidates.Popular(), PopularityNormalized.of(data)]
    answer = rk.Pipeline(stages).fit(data).recommend(["user-1", "user-2"], k=3, now=data.until)
    reason = "PopularityNormalized: found no scores to normalise"
    assert all(any(reason in text for text in row) for row in answer.reasons)


@pytest.mark.parametrize(
    "options", [{"popularity": 3}, {"strength": -1.0}, {"prior": 0.0}, {"strength": np.inf}]
)
def test_popularity_options_are_checked(options):
    with pytest.raises(ConfigurationError, match="found"):
        PopularityNormalized(**{"popularity": COUNTS, **options})
