"""Reasons: every item of many lists names a source that found it and the features that raised its score most."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, features, rankers, rules
from recokit.data import Candidates
from recokit.errors import ConfigurationError
from recokit.rules.reasons import REASON_TEMPLATES, _Texts


@pytest.fixture(scope="module")
def market() -> rk.datasets.Marketplace:
    return rk.datasets.make_marketplace(n_users=1_100, n_items=120, seed=2, sessions_per_user=4)


@pytest.fixture(scope="module")
def train(market: rk.datasets.Marketplace) -> rk.Dataset:
    return market.dataset.split_at("2025-03-20", horizon="7D")[0]


@pytest.fixture(scope="module")
def pipeline(train: rk.Dataset) -> rk.Pipeline:
    boost = rules.Boost("item.price < 20", label="bargain")
    return rk.Pipeline(
        [
            candidates.Merge([candidates.ItemKNN(), candidates.History(), candidates.Popular()], limit=60),
            features.Standard(),
            rankers.LogisticRegression(),
            boost,
            rules.Disclose(["sponsored", boost]),
            rules.Reasons(n_features=2),
        ]
    ).fit(train, label_window="7D", max_requests=300)


def read(text: str) -> dict[str, str]:
    """Return the numbers by code."""
    return {code: value for code, _, value in (part.partition("=") for part in text.split("; "))}


def test_every_item_of_two_hundred_lists_names_its_sources_and_what_raised_its_score(
    pipeline: rk.Pipeline, train: rk.Dataset
) -> None:
    users = train.user_ids.decode(np.arange(1, 201)).tolist()
    result = pipeline.recommend(users, k=10, now=train.until)
    assert len(result) == 200
    ranker = pipeline["logistic_regression"]
    batch = pipeline.candidates(pipeline.requests(users, now=train.until))
    place = {
        (row, item): n
        for n, (row, item) in enumerate(zip(batch.row.tolist(), batch.item.tolist(), strict=True))
    }
    rows = np.repeat(np.arange(len(result)), np.diff(result.offsets))
    index = np.array(
        [place[row, item] for row, item in zip(rows.tolist(), result.item.tolist(), strict=True)]
    )
    parts = ranker.contributions(batch)[index]
    # That these are the parts of the score is checked by the score itself.
    probability = ranker.score(batch)[index].astype(np.float64)
    logit = np.log(probability / (1 - probability))
    np.testing.assert_allclose(parts.sum(axis=1) + ranker.intercept_, logit, rtol=1e-3, atol=1e-3)
    column = {name: n for n, name in enumerate(ranker.feature_names_)}
    for n, (text, sources) in enumerate(zip(result.columns["reasons"].tolist(), result.sources, strict=True)):
        reasons = read(text)
        named = {code.partition(".")[2] for code in reasons if code.startswith("source.")}
        assert named == set(sources) and named
        told = {
            code.partition(".")[2]: float(v) for code, v in reasons.items() if code.startswith("feature.")
        }
        # By value, not by name: two features that raised it alike may come in either order.
        for name, value in told.items():
            assert value == pytest.approx(parts[n, column[name]], rel=5e-3)
        strongest = np.sort(parts[n][parts[n] > 0])[::-1][:2]
        np.testing.assert_allclose(list(told.values()), strongest, rtol=5e-3)


def test_an_item_that_no_feature_raised_has_its_source_only(train: rk.Dataset) -> None:
    stages = [candidates.Popular(), features.SourceScores(), rankers.Weighted({"popular_rank": -1.0})]
    result = rk.Pipeline([*stages, rules.Reasons()]).fit(train).recommend([None], k=3, now=train.until)
    assert (result.scores(0) < 0).all()
    for record in result.to_records()[0]:
        place = round(-1 / record["score"])  # the feature is 1 / rank
        assert record["reasons"] == f"source.popular={place}"
        assert record["explanation"] == f"found by popular (place {place})"


def test_the_place_in_each_source_is_the_one_that_the_source_gave(
    pipeline: rk.Pipeline, train: rk.Dataset
) -> None:
    users = train.user_ids.decode(np.arange(1, 6)).tolist()
    result = pipeline.recommend(users, k=5, now=train.until, capture="full")
    popular = pipeline["merge.popular"]
    found = popular.retrieve(result.trace.requests, 60)
    for row in range(5):
        span = slice(result.offsets[row], result.offsets[row + 1])
        ranked = found.item[found.offsets[row] : found.offsets[row + 1]].tolist()
        for item, text in zip(
            result.codes(row).tolist(), result.columns["reasons"][span].tolist(), strict=True
        ):
            given = read(text).get("source.popular")
            assert given is None or int(given) == ranked.index(item) + 1


def test_rules_that_touched_an_item_and_its_labels_are_named(
    pipeline: rk.Pipeline, train: rk.Dataset
) -> None:
    users = train.user_ids.decode(np.arange(1, 51)).tolist()
    result = pipeline.recommend(users, k=10, now=train.until)
    price, sponsored = (train.items.column(name)[result.item] for name in ("price", "sponsored"))
    reasons = [read(text) for text in result.columns["reasons"].tolist()]
    assert [("rule.boost" in one) for one in reasons] == (price < 20).tolist()
    assert [("label.bargain" in one) for one in reasons] == (price < 20).tolist()
    assert [("label.sponsored" in one) for one in reasons] == (sponsored > 0).tolist()
    assert (price < 20).any() and (sponsored > 0).any()


def test_words_come_from_templates_and_a_saved_pipeline_gives_the_same(
    pipeline: rk.Pipeline, train: rk.Dataset, tmp_path: object
) -> None:
    words = {"source.popular": "liked by many", "feature": "", "rule": "", "label": "{name}!"}
    worded = pipeline.replace("reasons", rules.Reasons(templates=words))
    result = worded.recommend([None], k=3, now=train.until)
    assert all("liked by many" in text and "feature" not in text for text in result.columns["explanation"])
    worded.save(f"{tmp_path}/model")
    again = rk.Pipeline.load(f"{tmp_path}/model").recommend([None], k=3, now=train.until)
    assert again.columns["reasons"].tolist() == result.columns["reasons"].tolist()
    assert again.columns["explanation"].tolist() == result.columns["explanation"].tolist()


@pytest.mark.parametrize(("n_features", "named"), [(0, ""), (1, "=+5"), (2, "=+5 =+3"), (3, "=+5 =+3 =+1")])
def test_as_many_features_are_named_as_asked_for_the_strongest_first(n_features: int, named: str) -> None:
    class Given:
        """A ranker whose features add fixed numbers."""

        feature_names_ = ("f", "g", "h", "i", "j")

        def score(self, candidates: Candidates) -> np.ndarray:
            return np.zeros(len(candidates), np.float32)

        def contributions(self, candidates: Candidates) -> np.ndarray:
            return np.array([[1.0, 5.0, 0.0, 3.0, -9.0], [0.0, -1.0, 2.0, 0.0, 0.0]])

    rule = rules.Reasons(n_features=n_features)
    rule._scorers = {"first": rankers.Weighted({"x": 1.0}), "given": Given()}
    batch = Candidates.from_lists([[1], [2]], features=np.zeros((2, 5)), feature_names="fghij")
    texts = rule.annotate(batch)["reasons"].tolist()
    best = [f"feature.{name}" for name in "gif"]
    expected = "; ".join(name + value for name, value in zip(best, named.split(), strict=False))
    assert texts == [expected, "feature.h=+2" if n_features else ""]


def test_three_features_by_default_and_never_fewer_than_none() -> None:
    assert rules.Reasons().n_features == 3
    with pytest.raises(ConfigurationError, match="n_features=-1"):
        rules.Reasons(n_features=-1)


def test_reasons_need_a_source_to_name() -> None:
    schema = rk.testing.toy_dataset().schema
    with pytest.raises(ConfigurationError, match="found no source before Reasons"):
        rules.Reasons().bind(schema)


def test_places_and_labels_are_named_item_by_item() -> None:
    found = replace(
        Candidates.from_lists([[1, 2, 3]]),
        sources=np.array([2, 3, 2], np.uint64),
        source_names=("item_knn", "popular"),
    )
    batch = found.with_columns(
        {
            "popular_rank": np.array([2.0, np.nan, 11.0]),
            "labels": np.array(["new,ad", "", "ad"], object),
        }
    )
    texts = rules.Reasons().annotate(batch)
    assert texts["reasons"].tolist() == [
        "source.popular=2; label.ad; label.new",
        "source.item_knn; source.popular",
        "source.popular=11; label.ad",
    ]
    assert texts["explanation"].tolist() == [
        "found by popular (place 2); ad; new",
        "found by item_knn (place ); found by popular (place )",
        "found by popular (place 11); ad",
    ]


def test_a_template_for_nothing_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="sauce"):
        rules.Reasons(templates={"sauce.popular": "x"})
    with pytest.raises(ConfigurationError, match="n_features=-1"):
        rules.Reasons(n_features=-1)


def test_the_non_profiling_variant_knows_nothing_of_the_user(
    pipeline: rk.Pipeline, train: rk.Dataset
) -> None:
    quiet = pipeline.non_profiling()
    users = train.user_ids.decode(np.arange(1, 31)).tolist()
    result = quiet.recommend(users, k=10, now=train.until, history=None)
    assert result.users.tolist() == users
    nobody = pipeline.recommend([None], k=10, now=train.until)
    assert all(result.ids(row) == nobody.ids(0) for row in range(30))
    assert any(
        pipeline.recommend(users, k=10, now=train.until).ids(row) != nobody.ids(0) for row in range(30)
    )
    assert {name for sources in result.sources for name in sources} <= {"popular"}
    given = quiet.recommend(
        None, history=[[nobody.ids(0)[0]]], session=[[nobody.ids(0)[1]]], k=10, now=train.until
    )
    assert given.ids(0) == nobody.ids(0)
    coded = quiet.run(pipeline.requests(users[:3], now=train.until))
    assert [coded.ids(row) for row in range(3)] == [nobody.ids(0)] * 3


def test_the_non_profiling_variant_keeps_what_the_request_says(
    pipeline: rk.Pipeline, train: rk.Dataset
) -> None:
    quiet = pipeline.non_profiling()
    first = quiet.recommend([None], k=3, now=train.until).ids(0)
    rest = quiet.recommend(["user-1"], k=3, now=train.until, exclude=[first[:1]]).ids(0)
    assert first[0] not in rest and len(rest) == 3
    assert rest == quiet.recommend([None], k=3, now=train.until, exclude=[first[:1]]).ids(0)


def test_a_reason_without_a_number_has_its_name_alone() -> None:
    texts = _Texts(3, {**REASON_TEMPLATES, "source.knn": ""})
    texts.add("rule.boost", np.array([True, False, True]))
    texts.add("source.popular", np.array([True, True, False]), np.array(["2", "", "9"], object))
    texts.add("source.knn", np.array([False, True, False]), np.array(["1", "1", "1"], object))
    assert texts.codes.tolist() == [
        "rule.boost; source.popular=2",
        "source.popular; source.knn=1",
        "rule.boost",
    ]
    assert texts.words.tolist() == [
        "moved by boost; found by popular (place 2)",
        "found by popular (place )",
        "moved by boost",
    ]


@pytest.mark.parametrize("title", ["name", None], ids=["titles", "ids"])
def test_words_name_the_item_by_its_title_where_there_is_one(title: str | None) -> None:
    data = rk.Dataset.from_frame(
        {"user": [1, 1, 2], "item": [10, 20, 10], "timestamp": [1.0, 2.0, 3.0]},
        items={"item": [10, 20], "name": ["Up", None]},
        title=title,
    )
    words = {"source": "many like {title}, place {value} of {name}"}
    shown = rk.Pipeline([candidates.Popular(half_life=None), rules.Reasons(templates=words)]).fit(data)
    first = "Up" if title else "10"
    assert shown.recommend([None], k=2, now=9.0).columns["explanation"].tolist() == [
        f"many like {first}, place 1 of popular",
        "many like 20, place 2 of popular",
    ]
