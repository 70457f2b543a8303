"""Boosts: how far items move, what ends labelled; and the report of what rules did."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import recokit as rk
from recokit import candidates, rules
from recokit.data import Candidates, Requests
from recokit.errors import ConfigurationError, NotFittedError
from recokit.features import SourceScores
from recokit.rankers import Weighted
from recokit.rules.boost import moved
from recokit.testing import toy_dataset

DATA = toy_dataset()
SCHEMA = DATA.schema
IDS = DATA.item_ids.decode(np.arange(DATA.n_items + 1)).tolist()


def ranks(batch: Candidates, score: np.ndarray) -> list[np.ndarray]:
    """Return the place of each candidate in its row: by score, ties in order of candidates, broken scores last."""
    places = []
    for start, end in zip(batch.offsets[:-1], batch.offsets[1:], strict=True):
        part = score[start:end]
        order = sorted(
            range(len(part)),
            key=lambda i, part=part: (not np.isfinite(part[i]), -part[i] if np.isfinite(part[i]) else 0, i),
        )
        place = np.empty(len(part), np.int64)
        place[order] = np.arange(len(part))
        places.append(place)
    return places


SCORES = st.one_of(
    st.integers(-3, 3).map(float), st.floats(-1e6, 1e6, width=32), st.sampled_from([np.nan, np.inf, -np.inf])
)


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(
        st.lists(st.tuples(SCORES, st.sampled_from([0.0, 0.0, 0.1, 0.5, 3.0])), min_size=0, max_size=25),
        min_size=1,
        max_size=4,
    ),
    most=st.integers(1, 6),
    down=st.booleans(),
)
def test_nothing_moves_further_than_it_may(rows: Any, most: int, down: bool) -> None:
    scores = [[score for score, _ in row] for row in rows]
    batch = Candidates.from_lists([list(range(1, len(row) + 1)) for row in rows], scores=scores)
    bonus = np.array([part for row in rows for _, part in row])
    score = moved(batch, bonus, most, up=not down)
    assert score.dtype == np.float32 and score.shape == batch.score.shape
    quiet = (bonus == 0) | ~np.isfinite(batch.score)
    np.testing.assert_array_equal(score[quiet], batch.score[quiet])
    finite = np.isfinite(batch.score)
    assert ((score <= batch.score) if down else (score >= batch.score))[finite].all()
    before, after = ranks(batch, batch.score), ranks(batch, score)
    for mine, theirs in zip(before, after, strict=True):
        assert np.abs(mine - theirs).max(initial=0) <= most


def test_a_boost_without_a_bound_in_the_way_is_a_share_of_the_range() -> None:
    batch = Candidates.from_lists([[1, 2, 3, 4], [1, 2]], scores=[[8.0, 6.0, 4.0, 0.0], [5.0, 5.0]])
    bonus = np.array([0.0, 0.0, 0.25, 0.0, 0.0, 0.5])
    assert moved(batch, bonus, 9, up=True).tolist() == [8.0, 6.0, 6.0, 0.0, 5.0, 5.5]


@pytest.mark.parametrize("max_places", [1, 2, 3])
@pytest.mark.parametrize("start", range(7))
def test_a_strong_boost_moves_an_item_by_exactly_as_many_places_as_it_may(
    start: int, max_places: int
) -> None:
    lists = [[1, 2, 3], [1, 2, 3, 4, 5, 6, 7]]
    batch = Candidates.from_lists(lists, scores=[[3.0, 2.0, 1.0], [7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0]])
    bonus = np.zeros(10)
    bonus[3 + start] = 50.0
    risen = ranks(batch, moved(batch, bonus, max_places, up=True))
    sunk = ranks(batch, moved(batch, bonus, max_places, up=False))
    assert risen[1][start] == max(start - max_places, 0)
    assert sunk[1][start] == min(start + max_places, 6)
    assert risen[0].tolist() == sunk[0].tolist() == [0, 1, 2]


def boosted(rule: Any, scores: list[float], **options: Any) -> list[int]:
    requests = Requests.build(np.array([1]), **options)
    batch = Candidates.from_lists([list(range(1, len(scores) + 1))], scores=[scores], requests=requests)
    return batch.item[np.argsort(-rule.bind(SCHEMA).score(batch), kind="stable")].tolist()


class TestWhatIsTouched:
    def test_items_by_id_or_by_condition(self) -> None:
        assert boosted(rules.Boost([IDS[3]], strength=5.0), [0.9, 0.8, 0.7, 0.6]) == [3, 1, 2, 4]
        cheap = int(np.nanargmin(SCHEMA.item_column("price")[1:5])) + 1
        condition = f"item.price <= {SCHEMA.item_column('price')[cheap] + 0.001}"
        assert boosted(rules.Boost(condition, strength=5.0), [0.5] * 4)[0] == cheap
        assert rules.Boost(condition).requires == ("item.price",)

    def test_burying_sinks(self) -> None:
        rule = rules.Bury([IDS[1]], strength=5.0, max_places=2)
        assert boosted(rule, [0.9, 0.8, 0.7, 0.6]) == [2, 3, 1, 4]
        assert rule.label is None

    def test_a_column_scales_the_strength(self) -> None:
        rule = rules.Boost([IDS[1], IDS[2]], strength=1.0, by="sponsored").bind(SCHEMA)
        rule.weight_ = np.array([0.0, 0.5, 0.0, 0.0])
        batch = Candidates.from_lists([[1, 2, 3]], scores=[[0.2, 0.4, 1.2]])
        np.testing.assert_allclose(rule.score(batch), [0.7, 0.4, 1.2])
        assert rule.touches(batch).tolist() == [True, False, False]

    def test_the_column_that_scales_is_clipped_to_0_and_1_and_0_where_missing(self) -> None:
        column = np.full(len(SCHEMA.item_ids) + 1, np.nan, np.float32)
        column[1:6] = [0.25, 3.0, -1.0, np.nan, 1.0]
        items = replace(
            SCHEMA.items,
            numeric=np.column_stack([SCHEMA.items.numeric, column]),
            numeric_names=(*SCHEMA.items.numeric_names, "margin"),
        )
        batch = Candidates.from_lists([[1, 2, 3, 4, 5, 6]], scores=[[0.0, 0.0, 0.0, 0.0, 0.0, 1.0]])
        rule = rules.Boost(IDS[1:6], strength=0.5, max_places=9, by="margin")
        bound = rule.bind(replace(SCHEMA, items=items))
        np.testing.assert_allclose(bound.score(batch), [0.125, 0.5, 0.0, 0.0, 0.5, 1.0])
        assert bound.touches(batch).tolist() == [True, True, False, False, True, False]
        assert rule.requires == ("item.margin",)

    def test_an_unknown_id_touches_nothing_and_the_last_item_counts(self) -> None:
        batch = Candidates.from_lists([[1, 2, DATA.n_items]])
        for build in (rules.Boost, rules.Bury):
            rule = build([IDS[-1], 10**9]).bind(SCHEMA)
            assert rule.touches(batch).tolist() == [False, False, True]

    def test_options_left_out_are_as_documented(self) -> None:
        boost, bury, new = rules.Boost([IDS[1]]), rules.Bury([IDS[1]]), rules.FreshnessBoost()
        for rule in (boost, bury, new):
            assert (rule.strength, rule.max_places) == (0.1, 5)
        assert (boost.by, boost.label, boost.requires) == (None, "boosted", ())
        assert (bury.by, bury.label) == (None, None)
        assert (new.label, new.requires) == ("new", ("item.launched_at",))

    def test_an_item_is_new_from_its_launch_until_the_end_of_its_window(self) -> None:
        day = 86_400.0
        rule = rules.FreshnessBoost().bind(SCHEMA)
        rule.launched_ = day * np.array([np.nan, 6.0, 6.01, 20.0, 20.01, 13.0])
        requests = Requests.build(np.array([1]), now=20 * day)
        batch = Candidates.from_lists(
            [[1, 2, 3, 4, 5]], scores=[[0.0, 0.0, 0.0, 0.0, 0.0]], requests=requests
        )
        assert rule.touches(batch).tolist() == [False, True, True, False, True]
        # Without a range of scores, a bonus is a share of 1.
        np.testing.assert_allclose(rule.score(batch)[[0, 2, 3, 4]], [0.0, 0.1, 0.0, 0.05], rtol=1e-6)

    def test_new_items_rise_less_every_day(self) -> None:
        rule = rules.FreshnessBoost(window="10D", strength=1.0, max_places=9).bind(SCHEMA)
        rule.launched_ = np.array([np.nan, 0.0, 5 * 86_400.0, np.nan, 99 * 86_400.0])
        requests = Requests.build(np.array([1]), now=9 * 86_400.0)
        batch = Candidates.from_lists([[1, 2, 3, 4]], scores=[[0.0, 0.0, 0.5, 1.0]], requests=requests)
        np.testing.assert_allclose(rule.score(batch), [0.1, 0.6, 0.5, 1.0], rtol=1e-6)
        assert rule.touches(batch).tolist() == [True, True, False, False]

    def test_a_condition_on_the_request_boosts_for_some(self) -> None:
        rule = rules.Boost("request.vip and item.price > 0", strength=9.0)
        columns = {"vip": np.array([True])}
        assert (
            rule.bind(SCHEMA)
            .touches(Candidates.from_lists([[1]], requests=Requests.build(np.array([1]), columns=columns)))
            .all()
        )

    @pytest.mark.parametrize(
        ("build", "message"),
        [
            (lambda: rules.Boost([1], strength=0), "strength=0"),
            (lambda: rules.Boost([1], max_places=0), "max_places=0"),
            (lambda: rules.Boost([1], label="a,b"), "without a comma"),
            (lambda: rules.Boost(5), "found items=5"),  # type: ignore[arg-type]
            (lambda: rules.Boost("price > 5"), "names are item.x"),
            (lambda: rules.Boost("item.prise > 5").bind(SCHEMA), "did you mean 'price'"),
            (lambda: rules.Boost([1], by="margn").bind(SCHEMA), "found no item column 'margn'"),
            (lambda: rules.Bury([1], strength=-1.0), "strength=-1"),
            (lambda: rules.FreshnessBoost(label=""), "without a comma"),
            (lambda: rules.FreshnessBoost("category").bind(SCHEMA), "labels or text"),
        ],
    )
    def test_options_that_make_no_sense_are_refused(self, build: Any, message: str) -> None:
        with pytest.raises(ConfigurationError, match=message):
            build()

    def test_unbound_rules_say_so(self) -> None:
        for rule in (rules.Boost([1]), rules.Bury("item.price > 1"), rules.FreshnessBoost()):
            with pytest.raises(NotFittedError, match="before bind"):
                rule.score(Candidates.from_lists([[1]], scores=[[1.0]]))


def pipeline_of(*stages: Any, **options: Any) -> rk.Pipeline:
    head = [candidates.Popular(half_life=None), SourceScores(), Weighted({"popular_rank": -1.0})]
    return rk.Pipeline([*head, *stages], **options).fit(DATA)


STRONG = rules.Boost("item.price < 20", strength=5.0, max_places=3)
BOOST = rules.Boost("item.price < 20", strength=0.3, max_places=3)


class TestLabels:
    def test_every_boosted_item_ends_labelled(self) -> None:
        new = rules.FreshnessBoost(window="400D", strength=0.2)
        pipeline = pipeline_of(BOOST, new, rules.Disclose(["sponsored", BOOST, new]))
        result = pipeline.recommend(["user-1", None], k=10, now=DATA.until)
        price, sponsored = SCHEMA.item_column("price"), SCHEMA.item_column("sponsored")
        age = DATA.until - SCHEMA.item_column("launched_at")
        labels = [str(label).split(",") for label in result.columns["labels"]]
        for item, found in zip(result.item.tolist(), labels, strict=True):
            assert ("boosted" in found) == bool(price[item] < 20)
            assert ("sponsored" in found) == bool(sponsored[item] > 0)
            assert ("new" in found) == bool(0 <= age[item] < 400 * 86_400)
        assert any("boosted" in found for found in labels) and len(result.item) == 20

    def test_a_boost_that_nothing_labels_is_refused(self) -> None:
        for tail in ([], [rules.Disclose("sponsored")], [rules.Disclose(rules.Boost([1], label="other"))]):
            with pytest.raises(
                ConfigurationError, match="found boost, which moves items, and nothing that labels"
            ):
                pipeline_of(BOOST, *tail)
        pipeline_of(rules.Bury("item.price > 5"))  # who sinks needs no label

    def test_what_labels_a_boost_cannot_be_taken_out_alone(self) -> None:
        pipeline = pipeline_of(BOOST, rules.Disclose(BOOST))
        with pytest.raises(ConfigurationError, match="nothing that labels them 'boosted'"):
            pipeline.without("disclose")
        assert "disclose" not in pipeline.without("boost", "disclose").names
        assert pipeline.prefix("disclose").names[-1] == "boost"

    def test_nor_can_one_be_swapped_in(self) -> None:
        pipeline = pipeline_of(rules.Bury("item.price > 5"))
        with pytest.raises(ConfigurationError, match="nothing that labels them 'boosted'"):
            pipeline.replace("bury", BOOST)

    def test_an_item_whose_label_was_lost_is_dropped(self) -> None:
        rule = rules.Disclose(BOOST).bind(SCHEMA)
        batch = Candidates.from_lists([[1, 2, 3, 4, 5, 6]])
        touched = BOOST.bind(SCHEMA).touches(batch)
        assert touched.any() and not touched.all()
        np.testing.assert_array_equal(rule.verify(batch), ~touched)
        labelled = batch.with_columns(rule.annotate(batch))
        assert rule.verify(labelled).all() and rule.labels == ("boosted",)
        lost = labelled.with_columns({"labels": np.full(6, "sponsored", object)})
        np.testing.assert_array_equal(rule.verify(lost), ~touched)

    def test_labels_are_not_put_twice(self) -> None:
        rule = rules.Disclose(BOOST).bind(SCHEMA)
        batch = Candidates.from_lists([[1, 2, 3]])
        once = batch.with_columns(rule.annotate(batch))
        assert rule.annotate(once)["labels"].tolist() == once.columns["labels"].tolist()

    @pytest.mark.parametrize("column", [[], 5, [5]])
    def test_there_must_be_something_to_disclose(self, column: Any) -> None:
        with pytest.raises(ConfigurationError):
            rules.Disclose(column)
        with pytest.raises(ConfigurationError, match="for one column"):
            rules.Disclose(["sponsored"], label="ad")

    def test_a_pipeline_with_a_boost_is_saved_and_loaded(self, tmp_path: Any) -> None:
        pipeline = pipeline_of(
            BOOST, rules.Where("item.price < request.budget"), rules.Disclose(["sponsored", BOOST])
        )
        asked: dict[str, Any] = {"k": 8, "now": DATA.until, "context": {"budget": 40.0}}
        first = pipeline.recommend(["user-1"], **asked)
        pipeline.save(tmp_path / "model")
        again = rk.Pipeline.load(tmp_path / "model").recommend(["user-1"], **asked)
        assert again.ids(0) == first.ids(0)
        assert again.columns["labels"].tolist() == first.columns["labels"].tolist()


class TestReport:
    def pipeline(self) -> rk.Pipeline:
        return pipeline_of(
            rules.Where(f"item.price < {np.nanquantile(SCHEMA.item_column('price'), 0.8)}"),
            rules.NotSeen(),
            STRONG,
            rules.MaxPerGroup("category", 1),
            rules.Disclose(["sponsored", STRONG]),
        )

    def test_what_each_rule_did(self) -> None:
        result = self.pipeline().recommend(["user-1", "user-2", None], k=8, now=DATA.until, capture="full")
        found = rules.report(result)
        events = {event.name: event for event in result.trace.events}
        assert found["where"].removed == events["where"].n_in - events["where"].n_out > 0
        assert found["not_seen"].kind == "filter" and found["not_seen"].rows == 3
        relaxed = {
            row for row in range(3) if any("max_per_group" in reason for reason in result.reasons[row])
        }
        relaxed_rule = next(
            rule for rule in found.rules if rule.kind == "limit" and "max_per_group" in rule.name
        )
        assert relaxed_rule.relaxed == len(relaxed) > 0
        boost = found["boost"]
        event = events["boost"]
        pairs = zip(
            ranks(event.before, event.before.score), ranks(event.after, event.after.score), strict=True
        )
        places = np.concatenate([np.abs(before - after) for before, after in pairs])
        assert boost.moved == np.count_nonzero(places) > 0 and boost.most_places == places.max() == 3
        assert found.requests == 3 and found.items == len(result.item)

    def test_without_full_capture_nobody_knows_what_moved(self) -> None:
        result = self.pipeline().recommend([None], k=3, now=DATA.until)
        assert rules.report(result)["boost"].moved is None
        assert rules.report(result.trace).to_dict() == rules.report([result.trace]).to_dict()

    def test_chunks_add_up(self) -> None:
        pipeline = self.pipeline()
        one = rules.report(pipeline.recommend([None], k=3, now=DATA.until))
        many = rules.report(pipeline.recommend([None] * 1_100, k=3, now=DATA.until))
        assert many.requests == 1_100
        assert many["where"].removed == 1_100 * one["where"].removed

    def test_a_failed_rule_is_seen(self) -> None:
        def broken(candidates: Candidates) -> np.ndarray:
            raise ConnectionError("no answer")

        result = pipeline_of(rules.FromFunction(broken)).recommend([None, "user-1"], k=3, now=2e9)
        assert rules.report(result)["from_function"].failed_rows == 2

    def test_it_is_shown(self) -> None:
        found = rules.report(self.pipeline().recommend([None, "user-1"], k=8, now=DATA.until, capture="full"))
        text, page = str(found), found._repr_html_()
        assert text.splitlines()[0] == f"2 requests, {found.items} items shown"
        assert "where" in text and "most places" in text and "<table" in page and "not_seen" in page
        assert json.loads(json.dumps(found.to_dict()))["requests"] == 2
        assert repr(found).startswith("RulesReport(")

    def test_what_has_no_trace_is_refused(self) -> None:
        for run in (5, [], [5]):
            with pytest.raises(ConfigurationError, match="expected a trace"):
                rules.report(run)
        with pytest.raises(ConfigurationError, match="found no rule 'x'; expected one of"):
            rules.report(self.pipeline().recommend([None], now=2e9))["x"]
