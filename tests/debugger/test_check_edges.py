"""Where each check begins to speak: at its threshold it is silent, beyond it it is not, and says how bad it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from recokit.data import Candidates, Requests
from recokit.debugger import Finding, RankerScan, Scan, Severity, SourceScan, Vectors
from recokit.debugger.checks.candidates import CandidateRecall, IndexHealth, SourceAge, SourceMix
from recokit.debugger.checks.features import FeatureCoverage, FeatureFreshness, FeatureValues
from recokit.debugger.checks.lists import HardRules, ListChanges, RuleChanges
from recokit.debugger.checks.ranking import RankerInputs, ScoreOrder, Scores, ScoreSpread
from recokit.debugger.checks.serving import Outcome, Snapshot, StageErrors, StageTimes
from recokit.debugger.diagnosis import funnel_of, gaps_of, ranked_findings
from recokit.debugger.evidence import FeaturePair
from recokit.protocols import Role, traits_of
from recokit.trace import Status

NOW = 1.75e9
DAY = 86_400.0


def batch(
    item: Sequence[int], score: Any = None, features: Any = None, names: tuple[str, ...] = (), **columns: Any
) -> Candidates:
    """Return the candidates of one request."""
    n = len(item)
    score = np.linspace(1, 0, n) if score is None else score
    values = np.zeros((n, 0)) if features is None else np.asarray(features)
    return Candidates(
        Requests.build(np.array([1]), now=NOW),
        offsets=np.array([0, n]),
        row=np.zeros(n, np.int64),
        item=np.asarray(item, np.int64),
        score=np.asarray(score, np.float32),
        sources=np.ones(n, np.uint64),
        source_names=("one",),
        columns=columns,
        features=values.astype(np.float32),
        feature_names=names,
    )


def event(name: str, role: str, **parts: Any) -> Any:
    """Return what a trace says of one stage."""
    usual = {
        "error": "", "skipped": "", "detail": {}, "before": None, "after": None, "kept": None, "n_rows": 1,
        "n_in": 0, "n_out": 0, "seconds": 0.0, "failed_rows": np.zeros(0, np.int64),
    }  # fmt: skip
    return SimpleNamespace(name=name, role=role, **{**usual, **parts})


def seen(*events: Any, **parts: Any) -> Any:
    """Return evidence of one user's run."""
    found_by = parts.pop("found_by", {})
    usual: dict[str, Any] = {
        "trace": SimpleNamespace(events=events, versions={}, reasons=(("why",),)),
        "stages": {one.name: SimpleNamespace(names=(), requires=()) for one in events},
        "events": lambda *roles: [one for one in events if one.role in roles],
        "failed_here": lambda one: bool(one.error),
        "place_in": lambda batch: slice(0, len(batch)),
        "of_row": lambda batch: batch,
        "found_by": lambda source: np.array(found_by.get(source, ()), np.int64),
        "candidate_sources": {name: len(items) for name, items in found_by.items()},
        "ids": lambda codes: tuple(np.asarray(codes).tolist()),
        "alone": True, "baseline": None, "budget": 0.1, "codes": None, "cold": False, "feature_age": {}, "k": 10,
        "feature_stage": {}, "known_good": None, "now": NOW, "ranked": None, "retrieved": None, "row": 0, "scale": {},
        "scan": Scan(), "status": 0, "top": np.arange(10), "best": np.arange(1, 11), "recorded": None,
        "recall_of_others": None,
    }  # fmt: skip
    made = SimpleNamespace(**{**usual, **parts})
    made.traits = lambda name: traits_of(made.stages.get(name))
    made.fitted_until = lambda name: made.traits(name).fitted_until
    return made


def codes(findings: Any) -> list[str]:
    """Return the codes of findings with their severities, such as ``"STALE_INDEX warning"``."""
    return [f"{one.code} {one.severity.name.lower()}" for one in findings]


SOURCES = (event("merge.one", "source"), event("merge.two", "source"))


def aged(days: float) -> Any:
    return {"merge.one": SimpleNamespace(fitted_until_=NOW - days * DAY), "merge.two": SimpleNamespace()}


# -- candidates ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n_usual", "severity"), [(0, "note"), (2, "note"), (3, "critical")])
def test_absent_good_items_are_a_cause_where_the_baseline_finds_three(n_usual: int, severity: str) -> None:
    good = np.array([0, 5, 6, 7])
    finders = {"one": [1], "two": [*good[1 : 1 + n_usual], 2]}
    baseline = seen(*SOURCES, found_by=finders, retrieved_items=np.array(finders["two"]))
    evidence = seen(retrieved=batch([1, 2]), known_good=good, baseline=baseline)
    (found,) = CandidateRecall().look(evidence)
    assert codes([found]) == [f"CANDIDATE_GENERATION_FAILURE {severity}"]
    assert found.stage == ("merge.two" if n_usual else "") and found.relative
    assert found.items == (5, 6, 7) and found.evidence["not_in_catalogue"] == 1
    assert found.evidence["in_baseline_by_source"] == {"merge.one": 0, "merge.two": n_usual}
    assert f"the baseline finds {n_usual or 'none either'}" in found.message
    assert (
        "none of 4 items known to be good is among 2 candidates; the catalogue lacks 1 of them"
        in found.message
    )


def test_one_good_item_among_the_candidates_is_no_failure_and_none_at_all_is_one() -> None:
    assert CandidateRecall().look(seen(retrieved=batch([1, 2]), known_good=np.array([2, 3]))) == []
    assert CandidateRecall().look(seen(retrieved=batch([1, 2]), known_good=np.zeros(0, np.int64))) == []
    (found,) = CandidateRecall().look(seen(retrieved=batch([])))
    assert codes([found]) == ["CANDIDATE_GENERATION_FAILURE critical"] and not found.relative
    (found,) = CandidateRecall().look(seen(retrieved=batch([1]), known_good=np.array([0, 0])))
    assert "dataset" in found.action and found.items == () and not found.relative
    (found,) = CandidateRecall().look(seen(retrieved=batch([1]), known_good=np.array([0, 3])))
    assert "No ranker" in found.action


@pytest.mark.parametrize(
    ("days", "usual", "shared", "expected"),
    [
        (7, None, 20, []),
        (7.1, None, 20, ["STALE_INDEX warning"]),
        (9, 8, 20, []),
        (9, 7.9, 20, ["STALE_INDEX warning"]),
        (9, 1, 10, ["STALE_INDEX warning"]),
        (9, 1, 9, ["STALE_INDEX critical"]),
    ],
)
def test_a_source_is_stale_after_a_week(days: float, usual: Any, shared: int, expected: list[str]) -> None:
    baseline = None
    if usual is not None:
        baseline = seen(*SOURCES, stages=aged(usual), found_by={"one": range(1, 21)})
    mine = [*range(1, shared + 1), *range(100, 120)]
    evidence = seen(*SOURCES, stages=aged(days), baseline=baseline, found_by={"one": mine, "two": [1]})
    found = SourceAge().look(evidence)
    assert codes(found) == expected
    if found:
        assert found[0].stage == "merge.one" and found[0].evidence["age_days"] == days
        assert (
            found[0].evidence["baseline_age_days"] == (usual or 0) and found[0].evidence["max_age_days"] == 7
        )
        assert f"{days:.1f} days before" in found[0].message


def sources(here: Any, usual: Any, n_out: int = 30, n_usual: int = 30, **parts: Any) -> Any:
    baseline = seen(event("merge.one", "source", n_out=n_usual), SOURCES[1], found_by=usual)
    return seen(
        event("merge.one", "source", n_out=n_out), SOURCES[1], found_by=here, baseline=baseline, **parts
    )


@pytest.mark.parametrize(("shared", "expected"), [(4, []), (3, ["SOURCE_CHANGED critical"])])
def test_a_source_keeps_a_fifth_of_its_first_items(shared: int, expected: list[str]) -> None:
    here = {"one": [*range(1, shared + 1), *range(50, 70 - shared), *range(10, 30)], "two": [1]}
    found = SourceMix().look(sources(here, {"one": range(1, 31), "two": [1]}))
    assert codes(found) == expected
    if found:
        assert found[0].evidence == {"shared": 0.15} and "15% of the baseline's first 20" in found[0].message
        assert found[0].items == tuple(range(4, 10)) and found[0].relative


@pytest.mark.parametrize(("rest", "severity"), [(0.5, "critical"), (0.51, "note")])
def test_a_sound_index_excuses_other_items(rest: float, severity: str) -> None:
    scan = Scan({"merge.one": SourceScan(shared_of_rest=rest)})
    evidence = sources({"one": [90], "two": [1]}, {"one": range(1, 31), "two": [1]}, scan=scan)
    assert codes(SourceMix().look(evidence)) == [f"SOURCE_CHANGED {severity}"]


@pytest.mark.parametrize(
    ("count", "n_out", "others", "expected"),
    [
        (40, 61, 97, ["SOURCE_FLOODS critical"]),
        (39, 61, 97, []),  # ten items more
        (40, 60, 97, []),  # twice the usual answer
        (40, 61, 98, []),  # and three of a hundred of the others pushed out
    ],
)
def test_a_flood_is_more_items_of_a_longer_answer_in_the_place_of_others(
    count: int, n_out: int, others: int, expected: list[str]
) -> None:
    here = {"one": range(1, count + 1), "two": range(1, others + 1)}
    found = SourceMix().look(sources(here, {"one": range(1, 31), "two": range(1, 101)}, n_out))
    assert codes(found) == expected
    if found:
        assert found[0].evidence["baseline_by_source"] == {"one": 30, "two": 100}
        assert "adds 40 candidates, in the baseline 30" in found[0].message


def test_a_large_source_floods_from_a_tenth_more() -> None:
    usual = {"one": range(1, 201), "two": range(1, 101)}
    for count, expected in ((219, []), (220, ["SOURCE_FLOODS critical"])):
        here = {"one": range(1, count + 1), "two": range(1, 91)}
        assert codes(SourceMix().look(sources(here, usual, 401, 200))) == expected


def test_an_empty_source_is_a_cause_only_beside_a_baseline() -> None:
    here = {"one": [], "two": [1]}
    (found,) = SourceMix().look(sources(here, {"one": [1, 2], "two": [1]}))
    assert codes([found]) == ["SOURCE_EMPTY critical"] and found.relative and "baseline 2" in found.message
    (found,) = SourceMix().look(sources(here, {"one": [], "two": [1]}))
    assert codes([found]) == ["SOURCE_EMPTY note"] and not found.relative
    (found,) = SourceMix().look(seen(*SOURCES, found_by=here))
    assert codes([found]) == ["SOURCE_EMPTY note"] and found.evidence == {"candidates": 0, "baseline": 0}
    for parts in ({"error": "x"}, {"skipped": "x"}, {"n_rows": 0}):
        assert SourceMix().look(seen(event("merge.one", "source", **parts), found_by={"one": []})) == []


def test_fallbacks_and_fusions_are_no_sources() -> None:
    others = event("fallback.one", "source"), event("merge", "source"), event("nested.three", "source")
    evidence = seen(*others, found_by={"one": []}, stages={"fallback.one": 1, "merge": 1})
    assert SourceMix().look(evidence) == []


def scanned(**parts: Any) -> Any:
    whole = SourceScan(probes=50, answered=1.0, shared=0.9, vanished=0.0, appeared=0.0, shared_of_rest=0.9)
    return seen(scan=Scan({"merge.one": replace(whole, **parts)}))


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({}, []),
        ({"vanished": 0.12}, []),
        ({"vanished": 0.125}, ["INDEX_TRUNCATED critical"]),
        ({"vanished": 0.5, "appeared": 0.5}, []),
        ({"vanished": 0.5, "shared_of_rest": 0.5}, []),
        ({"vanished": 0.5, "shared_of_rest": 0.51}, ["INDEX_TRUNCATED critical"]),
        ({"shared": 0.15}, []),
        ({"shared": 0.14}, ["INDEX_SHUFFLED critical"]),
        ({"shared": 0.14, "answered": 0.0}, []),
        ({"shared": float("nan"), "vanished": 0.5}, []),
    ],
)
def test_an_index_is_truncated_or_shuffled_beyond_its_bounds(parts: Any, expected: list[str]) -> None:
    found = IndexHealth().look(scanned(gone=np.array([3, 4]), **parts))
    assert codes(found) == expected
    if found:
        assert (
            found[0].stage == "merge.one" and found[0].items == (3, 4) and found[0].evidence["probes"] == 50
        )
        assert {"shared", "lost", "vanished", "appeared", "answered", "baseline_answered"} <= set(
            found[0].evidence
        )


@pytest.mark.parametrize(
    ("here", "usual", "expected"),
    [
        ((0.01, 0.5), None, []),
        ((0.02, 0.5), None, ["EMBEDDING_NOT_FINITE critical"]),
        ((0.02, 0.5), (0.01, 0.5), []),
        ((0.03, 0.5), (0.01, 0.5), ["EMBEDDING_NOT_FINITE critical"]),
        ((0.0, 0.98), None, []),
        ((0.0, 0.99), None, ["EMBEDDING_COLLAPSED critical"]),
        ((0.0, 0.99), (0.0, 0.89), ["EMBEDDING_COLLAPSED critical"]),
        ((0.0, 0.99), (0.0, 0.9), []),
    ],
)
def test_vectors_are_finite_and_point_many_ways(here: Any, usual: Any, expected: list[str]) -> None:
    def vectors(figures: Any) -> tuple[Vectors, ...]:
        return () if figures is None else (Vectors("v_", figures[0], 0.0, figures[1], 1.0),)

    evidence = scanned(shared=0.0, answered=0.0, vectors=vectors(here), usual_vectors=vectors(usual))
    found = IndexHealth().look(evidence)
    assert codes(found) == expected
    assert all("merge.one.v_" in one.message for one in found)


# -- features ------------------------------------------------------------------------------------------

NAMES = ("a", "b", "c", "d")


def pair(here: Any, usual: Any) -> FeaturePair:
    items = np.arange(1, len(here) + 1)
    made = FeaturePair.of(batch(items, None, here, NAMES), items, batch(items, None, usual, NAMES), items)
    assert made is not None
    return made


def featured(paired: FeaturePair | None, **parts: Any) -> Any:
    usual: dict[str, Any] = {
        "feature_coverage": dict.fromkeys(NAMES, 1.0),
        "feature_stage": dict.fromkeys(NAMES, "standard"),
    }
    usual |= {"dead_features": []}
    return seen(paired_features=paired, **{**usual, **parts})


@pytest.mark.parametrize(("c", "expected"), [(0.2, []), (0.19, ["FEATURE_QUALITY_ISSUE critical"])])
def test_four_fifths_of_the_values_are_expected(c: float, expected: list[str]) -> None:
    coverage = {"a": 1.0, "b": 1.0, "c": c, "d": 1.0}
    found = FeatureCoverage().look(featured(None, feature_coverage=coverage))
    assert codes(found) == expected
    if found:
        assert found[0].evidence["features"] == ["c"] and found[0].evidence["expected"] == 0.8
        assert "80% of the features of the top 10 items have a value, expected 80%" in found[0].message
        assert found[0].stage == "standard"
    assert FeatureCoverage().look(featured(None, feature_coverage={})) == []


def values(n: int = 10) -> np.ndarray:
    return np.random.default_rng(0).uniform(1, 2, (n, 4))


@pytest.mark.parametrize(
    ("n_usual", "n_missing", "expected"),
    [
        (10, 5, []),
        (10, 6, ["FEATURES_LOST critical"]),
        (5, 3, ["FEATURES_LOST critical"]),
        (4, 4, []),
    ],
)
def test_a_feature_is_lost_with_half_of_its_values(n_usual: int, n_missing: int, expected: list[str]) -> None:
    here, usual = values(), values()
    here[n_usual:, 1] = usual[n_usual:, 1] = np.nan
    here[:n_missing, 1] = np.nan
    found = FeatureCoverage().look(featured(pair(here, usual)))
    assert codes(found) == expected
    assert all(one.evidence["features"] == ["b"] and one.relative for one in found)


@pytest.mark.parametrize(("dead", "expected"), [([], []), (["one_score"], ["FEATURES_LOST critical"])])
def test_a_sources_score_is_lost_where_no_candidate_has_it(dead: list[str], expected: list[str]) -> None:
    """A source that finds other items has no score for those of the baseline."""
    here = values()
    here[:6, 0] = np.nan
    parts = featured(pair(here, values()))
    parts.paired_features = replace(
        parts.paired_features, names=("one_score", *parts.paired_features.names[1:])
    )
    parts.candidate_sources, parts.dead_features = {"one": 3}, dead
    assert codes(FeatureCoverage().look(parts)) == expected


@pytest.mark.parametrize(("n_missing", "code"), [(8, "FEATURES_LOST"), (9, "FEATURE_QUALITY_ISSUE")])
def test_a_fifth_of_the_baselines_values_missing_is_an_issue(n_missing: int, code: str) -> None:
    here = values()
    here.ravel()[: n_missing * 4 : 4] = np.nan
    (found,) = FeatureCoverage().look(featured(pair(here, values())))
    assert (found.code, found.relative) == (code, code == "FEATURES_LOST")


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        (1, []),
        (1.1, ["STALE_FEATURES warning"]),
        (7, ["STALE_FEATURES warning"]),
        (7.1, ["STALE_FEATURES critical"]),
    ],
)
def test_features_are_stale_after_a_day_and_spoil_the_list_after_a_week(
    days: float, expected: list[str]
) -> None:
    found = FeatureFreshness().look(featured(None, feature_age={"a": days * DAY, "b": 0.0}))
    assert codes(found) == expected
    if found:
        assert found[0].evidence == {"features": ["a"], "oldest_days": days} and found[0].stage == "standard"
        assert f"1 of 2 features are stale, the oldest by {days:.1f} days" in found[0].message


def changed(column: Any, usual: Any = None) -> list[Finding]:
    here, before = values(20), values(20)
    if usual is not None:
        before[:, 1] = usual
    here[:, 1] = column(before[:, 1].copy())
    scale = {"b": 0.5}
    return FeatureValues().look(featured(pair(here, before), scale=scale))


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (lambda v: v, []),
        (lambda v: 7.9 * v, ["FEATURES_DRIFTED critical"]),
        (lambda v: 8.1 * v, ["FEATURES_SCALED critical"]),
        (lambda v: v / 8.1, ["FEATURES_SCALED critical"]),
        (lambda v: v + 0.99, []),
        (lambda v: v + 1.01, ["FEATURES_DRIFTED critical"]),
        (lambda v: v - 1.01, ["FEATURES_DRIFTED critical"]),
        (lambda v: np.where(np.arange(20) < 4, 1.5, v), []),
        (lambda v: np.where(np.arange(20) < 5, 1.5, v), ["FEATURES_DEFAULTED critical"]),
        (lambda v: np.where(np.arange(20) < 10, 10 * v, v), ["FEATURES_DRIFTED critical"]),
    ],
)
def test_values_that_mean_something_else(column: Any, expected: list[str]) -> None:
    found = changed(column)
    assert codes(found) == expected
    assert all(one.evidence["features"] == ["b"] and one.relative for one in found)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(4.0, []), (180.0, []), (182.0, ["FEATURES_SCALED critical"]), (0.0, ["FEATURES_DEFAULTED critical"]),
     (-1.0, ["FEATURES_DEFAULTED critical"])],
)  # fmt: skip
def test_a_feature_of_the_user_is_one_value(value: float, expected: list[str]) -> None:
    here, usual = values(20), values(20)
    usual[:, 1], here[:, 1] = 1.0, value
    assert codes(FeatureValues().look(featured(pair(here, usual), scale={"b": 1e9}))) == expected


def test_two_features_that_change_places_are_named_both() -> None:
    here = values(20)[:, [1, 0, 2, 3]]
    (found,) = FeatureValues().look(featured(pair(here, values(20))))
    assert codes([found]) == ["FEATURES_SWAPPED critical"] and found.evidence["features"] == ["a", "b"]
    copied = values(20)
    copied[:, 0] = copied[:, 1]
    assert "FEATURES_SWAPPED critical" not in codes(FeatureValues().look(featured(pair(copied, values(20)))))


def test_features_of_a_source_are_left_to_its_checks() -> None:
    here = values(20)
    here[:, 1] *= 100
    assert len(FeatureValues().look(featured(pair(here, values(20))))) == 1
    evidence = featured(replace(pair(here, values(20)), names=("a", "one_rank", "c", "d")))
    evidence.candidate_sources = {"one": 9}
    assert FeatureValues().look(evidence) == []


# -- ranking -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_bad", "expected"), [(0, []), (1, ["SCORES_NOT_FINITE warning"]), (2, ["SCORES_NOT_FINITE critical"])]
)
def test_a_tenth_of_the_scores_may_be_no_number(n_bad: int, expected: list[str]) -> None:
    score = np.r_[np.full(n_bad, np.nan), np.arange(10.0 - n_bad)]
    after = batch(range(1, 11), score)
    evidence = seen(
        event("clean", "scorer", after=batch(range(1, 11))),
        event("rank", "scorer", after=after),
        ranked=after,
    )
    found = Scores().look(evidence)
    assert codes(found) == expected
    for one in found:
        assert (
            one.stage == "rank"
            and one.items == tuple(range(1, n_bad + 1))
            and one.evidence["share"] == n_bad / 10
        )
        assert f"{n_bad}0% of 10 scores" in one.message


def spread(relative: float, tied: float = 0.0, usual: Any = None) -> Any:
    figures = {"relative_spread": relative, "tied": tied, "spread": 0.1, "has_scorer": True}
    baseline = None if usual is None else seen(relative_spread=usual[0], tied=usual[1])
    return seen(event("rank", "scorer"), baseline=baseline, **figures)


@pytest.mark.parametrize(
    ("evidence", "expected", "text"),
    [
        (spread(0.01), [], ""),
        (spread(0.009), ["RANKING_DIFFERENTIATION_FAILURE critical"], "span 0.90%"),
        (spread(0.009, usual=(0.019, 0.0)), ["RANKING_DIFFERENTIATION_FAILURE note"], "span"),
        (spread(0.009, usual=(0.02, 0.0)), ["RANKING_DIFFERENTIATION_FAILURE critical"], "span"),
        (spread(0.5, 0.75, (0.5, 0.25)), [], ""),
        (spread(0.5, 0.8, (0.5, 0.25)), ["RANKING_DIFFERENTIATION_FAILURE critical"], "80% of the top 20"),
        (spread(0.009, 0.8, (0.009, 0.25)), ["RANKING_DIFFERENTIATION_FAILURE critical"], "span"),
        (spread(float("nan")), [], ""),
    ],
)
def test_the_best_are_told_apart(evidence: Any, expected: list[str], text: str) -> None:
    found = ScoreSpread().look(evidence)
    assert codes(found) == expected
    assert all(one.stage == "rank" and text in one.message for one in found)


@pytest.mark.parametrize(("n_tied", "blamed"), [(10, "second"), (11, "first")])
def test_the_first_scorer_with_half_of_its_best_tied_is_flat(n_tied: int, blamed: str) -> None:
    score = np.r_[np.full(n_tied, 9.0), np.linspace(8, 0, 40 - n_tied)]
    first = event("first", "scorer", after=batch(range(1, 41), score))
    second = event("second", "scorer", after=batch(range(1, 41)))
    evidence = seen(first, second, relative_spread=0.0, tied=1.0, spread=0.0, has_scorer=True)
    assert ScoreSpread().look(evidence)[0].stage == blamed


@pytest.mark.parametrize(
    ("alike", "expected"), [(0.5, []), (0.49, ["RANKING_CHANGED critical"]), (float("nan"), [])]
)
def test_rankers_of_other_features_are_other_models(alike: float, expected: list[str]) -> None:
    importance = {"a": 0.05, "b": 0.5, "c": 0.2, "d": 0.1, "e": 0.1, "f": 0.06}
    scan = Scan(rankers={"rank": RankerScan(importance, {"c": 1.0}, alike, 0.0)})
    found = RankerInputs().look(seen(scan=scan))
    assert codes(found) == expected
    if found:
        assert "b, c instead of c" in found[0].message
        assert found[0].evidence["importance"] == {name: importance[name] for name in "bcdef"}


def ordered(here: Any, usual: Any, alike: float | None = None) -> Any:
    items = np.arange(1, len(here) + 1)
    baseline = seen(event("rank", "scorer", after=batch(items, usual)))
    scan = Scan() if alike is None else Scan(rankers={"rank": RankerScan({}, {}, alike, 0.0)})
    return seen(event("rank", "scorer", after=batch(items, here)), baseline=baseline, scan=scan)


def test_the_order_is_that_of_the_baseline_or_turned_round_or_another() -> None:
    score = np.arange(10.0)
    assert ScoreOrder().look(ordered(score, score)) == []
    assert codes(ScoreOrder().look(ordered(-score, score))) == ["RANKING_INVERTED critical"]
    assert ScoreOrder().look(ordered(-score[:9], score[:9])) == []  # too few to compare
    assert ScoreOrder().look(ordered(np.ones(10), score)) == []
    mixed = np.array([5, 0, 8, 3, 9, 1, 6, 2, 7, 4.0])
    assert codes(ScoreOrder().look(ordered(mixed, score))) == ["RANKING_CHANGED warning"]
    assert codes(ScoreOrder().look(ordered(mixed, score, 0.49))) == ["RANKING_CHANGED warning"]
    assert codes(ScoreOrder().look(ordered(mixed, score, 0.5))) == ["RANKING_CHANGED note"]
    (found,) = ScoreOrder().look(ordered(mixed, score))
    assert found.evidence["candidates"] == 10 and found.relative
    assert found.evidence["rank_correlation"] == pytest.approx(np.corrcoef(mixed, score)[0, 1])


def boosted(moved: int) -> Any:
    """A scorer after the first, which puts so many of the last items first."""
    before = np.linspace(1, 0, 1_000)
    after = before.copy()
    after[1_000 - moved :] += 2
    return event(
        "boost", "scorer", before=batch(range(1, 1_001), before), after=batch(range(1, 1_001), after)
    )


@pytest.mark.parametrize(
    ("moved", "usual", "expected"), [(8, 0, []), (9, 0, ["SCORER_DOMINATES critical"]), (9, 5, [])]
)
def test_a_boost_leaves_most_of_the_order(moved: int, usual: int, expected: list[str]) -> None:
    first = event("rank", "scorer")
    found = ScoreOrder().look(seen(first, boosted(moved), baseline=seen(first, boosted(usual))))
    assert codes(found) == expected
    for one in found:
        assert one.evidence == pytest.approx({"order_kept": 11 / 20, "baseline": 1.0})
        assert one.stage == "boost" and one.relative


# -- the list ------------------------------------------------------------------------------------------


def ruled(kept: Any, usual: Any = None, **parts: Any) -> Any:
    kept = np.asarray(kept)
    rule = event(
        "rule", "filter", before=batch(range(1, len(kept) + 1)), kept=kept, n_in=len(kept), n_out=kept.sum()
    )
    baseline = None
    if usual is not None:
        baseline = seen(
            event("rule", "filter", before=batch(range(1, len(kept) + 1)), kept=np.asarray(usual))
        )
    items = SimpleNamespace(categorical={})
    return seen(rule, baseline=baseline, schema=SimpleNamespace(items=items), **parts)


@pytest.mark.parametrize(
    ("n_open", "n_removed", "expected"), [(20, 10, []), (20, 11, 1), (8, 4, []), (8, 5, 1)]
)
def test_rules_may_remove_half_of_the_top(n_open: int, n_removed: int, expected: Any) -> None:
    removed = list(range(1, n_removed + 1))
    evidence = ruled(
        np.arange(n_open) >= n_removed,
        removed={"rule": removed, "other": removed[:2]},
        best_with_rules_off=np.arange(n_open),
    )
    found = HardRules().look(evidence)
    assert codes(found) == (["BUSINESS_RULES_TOO_AGGRESSIVE critical"] if expected else [])
    for one in found:
        assert one.stage == "rule" and one.evidence["removed_by"] == {"rule": n_removed, "other": 2}
        assert f"remove {n_removed} of the top {n_open}, rule most of them" in one.message
        assert one.items == tuple(removed)


@pytest.mark.parametrize(
    ("n", "extra", "expected"), [(102, 5, []), (102, 6, 1), (20, 2, []), (20, 3, 1)]
)  # a twentieth, and three items
def test_a_rule_may_remove_a_twentieth_more_than_the_baselines(n: int, extra: int, expected: Any) -> None:
    kept = np.arange(n) >= extra + 2
    found = RuleChanges().look(ruled(kept, np.arange(n) >= 2))
    assert codes(found) == (["RULE_REMOVES_MORE critical"] if expected else [])
    for one in found:
        assert one.evidence == {"removed": extra, "of": n - 2, "group": ""} and one.relative
        assert one.items == tuple(range(3, extra + 3))


@pytest.mark.parametrize(("n_gone", "n_of_group", "left", "group"), [
    (10, 9, 1, "kind=red"), (10, 8, 1, ""), (10, 9, 2, ""), (3, 3, 1, "kind=red"),
])  # fmt: skip
def test_a_group_is_named_that_nearly_all_removed_items_have_and_no_other(
    n_gone: int, n_of_group: int, left: int, group: str
) -> None:
    kept = np.arange(30) >= n_gone
    label = np.r_[0, np.full(n_of_group, 2), np.ones(30, np.int64)]
    label[30] = left
    evidence = ruled(kept, np.ones(30, np.bool_), ranked=batch(range(n_gone + 1, 31)))
    labels = SimpleNamespace(decode=lambda codes: [("", "blue", "red")[code] for code in codes])
    evidence.schema.items.categorical["kind"] = SimpleNamespace(codes=label, labels=labels)
    (found,) = RuleChanges().look(evidence)
    assert found.evidence["group"] == group


def listed(by_limits: int, by_diversity: int, more: Any = None, size: int = 10) -> Any:
    captured = SimpleNamespace(
        usually_limited=None if more is None else 1,
        usually_listed=None if more is None else 1,
        names=lambda *roles: ["cap"],
    )
    return seen(
        event("selection", "selection"),
        captured=captured, best=np.arange(1, size + 1), selected=np.arange(1, size + 1), limited=np.arange(1, size + 1),
        exchanged=max(by_limits, by_diversity), exchanged_by_limits=by_limits, exchanged_by_diversity=by_diversity,
        kept_off_by_limits=0 if more is None else more[0], kept_off_by_diversity=0 if more is None else more[1],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        (listed(0, 0), []),
        (listed(7, 7), ["LIST_CHANGED note"]),
        (listed(8, 0), ["LIMIT_TOO_TIGHT critical"]),
        (listed(0, 8), ["DIVERSITY_TOO_STRONG critical"]),
        (listed(8, 8), ["LIMIT_TOO_TIGHT critical", "DIVERSITY_TOO_STRONG critical"]),
        (listed(9, 9, (1, 1)), ["LIST_CHANGED note"]),
        (listed(1, 1, (2, 0)), ["LIMIT_TOO_TIGHT critical"]),
        (listed(1, 1, (0, 2)), ["DIVERSITY_TOO_STRONG critical"]),
        (listed(0, 0, (2, 2)), []),
    ],
)
def test_limits_and_diversity_change_so_much_of_a_list(evidence: Any, expected: list[str]) -> None:
    found = ListChanges().look(evidence)
    assert codes(found) == expected
    stages = {"LIMIT_TOO_TIGHT": "cap", "DIVERSITY_TOO_STRONG": "selection", "LIST_CHANGED": "selection"}
    assert all(one.stage == stages[one.code] for one in found)


def test_the_name_of_a_limit_is_asked_for_its_role() -> None:
    evidence = listed(8, 0)
    evidence.captured.names = lambda *roles: ["cap"] if roles == (Role.CONSTRAINT,) else []
    assert ListChanges().look(evidence)[0].stage == "cap"


# -- serving -------------------------------------------------------------------------------------------


def test_each_stage_that_failed_or_was_skipped_is_named_once() -> None:
    events = (
        event("a", "filter", error="ValueError: x"),
        event("a", "filter", error="again"),
        event("b", "scorer", skipped="no time left"),
        event("c", "source", detail={"part_errors": "part: KeyError"}),
        event("d", "source"),
        event("e", "annotator", error="z"),
    )
    found = StageErrors().look(seen(*events))
    assert codes(found) == ["STAGE_FAILED critical", "STAGE_SKIPPED warning", *["STAGE_FAILED critical"] * 2]
    assert [one.stage for one in found] == ["a", "b", "c", "e"]
    assert found[0].evidence == {"error": "ValueError: x", "role": "filter"}
    assert "lets nothing pass" in found[0].action and found[1].message == "no time left"
    assert "part: KeyError" in found[2].message and "lists are made without it" in found[3].action


def timed(usual: Any, **taken: float) -> Any:
    def run(seconds: dict[str, float], **parts: Any) -> Any:
        events = [event(name, "filter") for name in seconds]
        return seen(
            *events, seconds=lambda name="": seconds[name] if name else sum(seconds.values()), **parts
        )

    return run(taken, baseline=None if usual is None else run(usual))


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        (timed(None, a=0.04, b=0.06), []),
        (timed(None, a=0.04, b=0.061), [("b", "critical")]),
        (timed({"a": 0.01, "b": 0.02}, a=0.01, b=0.04), []),
        (timed({"a": 0.01, "b": 0.02}, a=0.01, b=0.041), [("b", "warning")]),
        (timed({"a": 0.04, "b": 0.01}, a=0.061, b=0.01), []),  # not twice the time
        (timed({"a": 0.01, "b": 0.001}, a=0.01, b=0.02), []),  # a fifth of the budget more
        (timed({"a": 0.01, "b": 0.001}, a=0.01, b=0.022), [("b", "warning")]),
        (timed({"a": 0.08, "b": 0.08}, a=0.08, b=0.08), []),  # over budget, as ever
        (timed({"a": 0.01, "b": 0.02}, a=0.01, b=0.1), [("b", "critical")]),
    ],
)
def test_a_stage_is_slow_beside_its_usual_time_or_the_budget(evidence: Any, expected: Any) -> None:
    found = StageTimes().look(evidence)
    assert [(one.stage, one.severity.name.lower()) for one in found] == expected
    for one in found:
        assert one.evidence["stage_ms"] == pytest.approx(1e3 * evidence.seconds(one.stage))
        assert one.evidence["ms"] == pytest.approx(1e3 * evidence.seconds()) and "of 100 ms" in one.message
    evidence.alone = False
    assert StageTimes().look(evidence) == []


def test_an_older_version_of_a_live_value_is_named() -> None:
    evidence = seen(baseline=seen())
    evidence.trace.versions = {"stock": 3, "price": 5, "own": 1}
    evidence.baseline.trace.versions = {"stock": 5, "price": 5}
    (found,) = Snapshot().look(evidence)
    assert codes([found]) == ["STALE_SNAPSHOT warning"] and found.evidence == {"version": 3, "baseline": 5}
    assert "missed 2 updates" in found.action and "'stock'" in found.message
    assert Snapshot().look(seen()) == []


@pytest.mark.parametrize(
    ("status", "usual", "expected"),
    [
        (Status.OK, None, []),
        (Status.EMPTY, None, ["EMPTY_LIST symptom"]),
        (Status.FAILED, None, ["EMPTY_LIST symptom"]),
        (Status.FALLBACK, None, ["FALLBACK_SERVED symptom"]),
        (Status.FALLBACK, Status.FALLBACK, ["FALLBACK_SERVED note"]),
        (Status.FALLBACK, Status.OK, ["FALLBACK_SERVED symptom"]),
    ],
)
def test_the_outcome_is_told_with_its_reasons(status: Status, usual: Any, expected: list[str]) -> None:
    found = Outcome().look(
        seen(status=int(status), baseline=None if usual is None else seen(status=int(usual)))
    )
    assert codes(found) == expected
    assert all("why" in one.message and one.evidence == {"status": status.name} for one in found)
    assert codes(Outcome().look(seen(cold=True))) == ["COLD_START note"]


# -- the order of findings -----------------------------------------------------------------------------


def a(code: str, severity: Severity, stage: str, place: Any = "list", *, relative: bool = False) -> Finding:
    return Finding(code, severity, stage, "", "", place, "data", relative=relative)


def test_findings_are_ranked_by_severity_then_by_place() -> None:
    place_of = {"first": 0, "second": 1, "third": 2}
    late, early = a("LATE", Severity.WARNING, "third"), a("EARLY", Severity.WARNING, "first")
    note, worst = a("NOTE", Severity.NOTE, "first"), a("WORST", Severity.CRITICAL, "second")
    assert [one.code for one in ranked_findings([late, note, worst, early], place_of)] == [
        "WORST",
        "EARLY",
        "LATE",
        "NOTE",
    ]
    nowhere = [
        a(part.upper(), Severity.WARNING, "", part) for part in ("serving", "list", "ranking", "candidates")
    ]
    assert [one.code for one in ranked_findings([*nowhere, late], place_of)] == [
        "LATE", "CANDIDATES", "RANKING", "LIST", "SERVING",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("cause", "severity"),
    [
        (Severity.SYMPTOM, Severity.CRITICAL),
        (Severity.WARNING, Severity.SYMPTOM),
        (Severity.CRITICAL, Severity.SYMPTOM),
    ],
)
def test_a_difference_after_a_cause_is_a_symptom(cause: Severity, severity: Severity) -> None:
    place_of = {"first": 0, "second": 1}
    later = a("LATER", Severity.CRITICAL, "second", relative=True)
    found = {one.code: one.severity for one in ranked_findings([later, a("CAUSE", cause, "first")], place_of)}
    assert found == {"CAUSE": cause, "LATER": severity}
    own = ranked_findings([replace(later, relative=False), a("CAUSE", cause, "first")], place_of)
    assert {one.code: one.severity for one in own}["LATER"] == Severity.CRITICAL
    slow = ranked_findings([a("STAGE_SLOW", Severity.CRITICAL, "first"), later], place_of)
    assert {one.code: one.severity for one in slow}["LATER"] == Severity.CRITICAL


def test_a_rule_that_removed_nothing_does_not_hide_the_next() -> None:
    kept = np.arange(30) >= 9
    later = ruled(kept, np.ones(30, np.bool_))
    first = event("idle", "filter", before=batch(range(1, 31)), kept=np.ones(30, np.bool_), n_in=30, n_out=30)
    few = event("few", "filter", before=batch(range(1, 31)), kept=np.arange(30) >= 2, n_in=30, n_out=28)
    rule, usual = later.trace.events[0], later.baseline.trace.events[0]
    same = [replaced(usual, name) for name in ("idle", "few")]
    evidence = seen(first, few, rule, baseline=seen(*same, usual), schema=later.schema)
    assert [one.stage for one in RuleChanges().look(evidence)] == ["rule"]


def replaced(one: Any, name: str) -> Any:
    return SimpleNamespace(**{**vars(one), "name": name})


def test_the_funnel_of_one_row_of_many_is_its_own() -> None:
    two = batch(range(1, 6))
    two = replace(two, offsets=np.array([0, 2, 5]), row=np.array([0, 0, 1, 1, 1]))
    kept = np.array([True, True, False, True, False])
    rule = event("rule", "filter", before=two, after=two, kept=kept, n_in=5, n_out=3, seconds=0.002)
    source = event("merge.one", "source", n_out=9)
    broken = event("rank", "scorer", before=two, after=two, error="x", skipped="late")
    many = seen(source, rule, broken, alone=False, row=1, candidate_sources={"one": 4})
    found = [(step["n_in"], step["n_out"], step["removed"], step["ms"]) for step in funnel_of(many)]
    assert found == [(0, 4, 0, 0.0), (3, 1, 2, 2.0), (3, 3, 0, 0.0)]
    assert [(step["error"], step["skipped"]) for step in funnel_of(many)][2] == ("x", "late")
    alone = seen(source, rule)
    assert [(step["n_in"], step["n_out"]) for step in funnel_of(alone)] == [(0, 9), (5, 3)]


def test_gaps_name_the_checks_that_could_not_run() -> None:
    bare = seen(has_scorer=False, alone=False, ranked=batch([1], None, [[1.0]], ("a",)))
    assert [gap.partition(":")[0] for gap in gaps_of(bare)] == [
        "recall of the candidates", "changes of sources, features, scores and rules", "self-test of the indexes",
        "freshness of features", "spread of the scores", "times",
    ]  # fmt: skip
    scan = Scan({"merge.one": SourceScan()})
    assert gaps_of(seen(has_scorer=True, baseline=seen(), scan=scan, known_good=np.array([1]))) == ()


def test_what_a_filter_that_kept_no_record_removed_is_not_known() -> None:
    here = event("stock", "filter", n_in=10, n_out=4)
    usual = event("stock", "filter", n_in=10, n_out=10, before=batch(range(1, 11)), kept=np.ones(10, bool))
    assert RuleChanges().look(seen(here, baseline=seen(usual))) == []
