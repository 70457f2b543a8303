"""Evidence of one user in a captured run, computed by hand here: scores, features, rules and lists."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from recokit.data import Candidates, Ragged, Requests
from recokit.debugger.captured import Captured, n_missing, n_shared
from recokit.debugger.evidence import Evidence, FeaturePair, share_tied
from recokit.protocols import Role
from recokit.trace import StageEvent, Trace

N = 24  # candidates of the row looked at, the second of two
NAMES = ("a", "b")


def candidates(score: Any, features: Any = None) -> Candidates:
    """Return 3 candidates of the first row and N of the second, whose items are 1 to N."""
    score = np.r_[[9.0, 9.0, 9.0], np.asarray(score, np.float64)]
    n = len(score)
    features = np.ones((N, 2)) if features is None else features
    history = Ragged(np.array([0, 2, 3]), np.array([1, 2, 3]))
    return Candidates(
        Requests.build(np.array([1, 2]), k=5, now=np.array([100.0, 200.0]), ragged={"history": history}),
        offsets=np.array([0, 3, n]),
        row=np.r_[0, 0, 0, np.ones(n - 3, np.int64)],
        item=np.r_[1, 2, 3, np.arange(1, n - 2)],
        score=score.astype(np.float32),
        sources=np.where(np.arange(n) % 2, 1, 3).astype(np.uint64),
        source_names=("one", "two"),
        columns={"one_rank": np.r_[1, 2, 3, np.arange(n - 3, 0, -1)].astype(np.float32)},
        features=np.r_[np.full((3, 2), np.nan), features].astype(np.float32),
        feature_names=NAMES,
    )


def event(name: str, role: str, before: Any = None, after: Any = None, **parts: Any) -> StageEvent:
    return StageEvent(name, role, 0.0, 0.5, parts.pop("n_in", 0), 0, 2, before=before, after=after, **parts)


def evidence(batch: Candidates, *events: StageEvent, selected: Any = (), **parts: Any) -> Evidence:
    """Return the evidence of the second row of a run that ranked a batch."""
    items = np.array([1, *selected], np.int64)
    chosen = batch.take(np.array([0, 1, len(items)]), np.r_[0, items[1:] + 2])
    trace = Trace(
        batch.requests,
        (*events, event("selection", "selection", before=batch, after=chosen)),
        np.array([0, 1]),
        ((), ()),
        2.0,
        0.1,
        {},
        {},
        "",
        chosen,
    )
    nodes = parts.pop("nodes", ())
    schema: Any = SimpleNamespace(
        item_ids=SimpleNamespace(decode=lambda codes: np.array([f"item-{code}" for code in codes]))
    )
    return Evidence(Captured(trace, nodes, seconds=parts.pop("seconds", {})), 1, None, schema, 0.1, **parts)


def test_the_row_is_read_from_its_own_place() -> None:
    one = evidence(candidates(np.arange(N)), selected=(4, 5))
    assert (one.now, one.k, one.status, one.alone, one.unknown, one.cold) == (
        200.0,
        5,
        1,
        False,
        False,
        False,
    )
    assert one.ranked is not None and one.ranked.item.tolist() == list(range(1, N + 1))
    assert one.selected.tolist() == [4, 5]
    assert one.top.tolist() == list(range(N - 1, 3, -1)) and len(one.top) == 20
    assert one.best.tolist() == [24, 23, 22, 21, 20] and one.top_scores.tolist() == list(range(23, 13, -1))
    assert (
        one.exchanged == 5 and evidence(candidates(np.arange(N)), selected=(24, 23, 22, 5, 4)).exchanged == 2
    )
    assert one.ids(np.arange(1, 15)) == tuple(f"item-{code}" for code in range(1, 11))


def test_candidates_by_source_and_in_its_order() -> None:
    batch = candidates(np.zeros(N))
    one = evidence(batch, event("merge", "source", after=batch))
    assert one.candidate_sources == {"one": N, "two": N // 2}
    assert one.found_by("one").tolist() == list(range(N, 0, -1)) and one.found_by("two").tolist() == []
    assert one.retrieved_items.tolist() == list(range(1, N + 1))
    moved = replace(one, codes=np.arange(100)[::-1])
    assert moved.found_by("one").tolist() == [99 - item for item in range(N, 0, -1)]


def test_the_spread_is_the_range_of_the_ten_best_beside_the_upper_half() -> None:
    one = evidence(candidates(np.arange(N)))
    assert one.spread == 9.0
    assert one.relative_spread == pytest.approx(9 / 11)  # of 12 to 23
    assert evidence(candidates(1e6 * np.arange(N))).relative_spread == pytest.approx(9 / 11)
    low = evidence(candidates(np.r_[np.full(12, -1e9), np.arange(12)]))
    assert low.relative_spread == pytest.approx(9 / 11)
    assert np.isnan(evidence(candidates(np.r_[1.0, np.full(N - 1, np.nan)])).spread)
    assert evidence(candidates(np.r_[2.0, 1.0, np.full(N - 2, np.nan)])).spread == 1.0
    assert evidence(candidates(np.zeros(N))).relative_spread == 0.0
    # Rounding spreads nothing: a range of a ten-millionth of the scores is none.
    close = evidence(candidates(1.0 + 2.0**-22 * np.arange(N)))
    assert close.relative_spread == pytest.approx(9 * 2.0**-22 / (11 * 2.0**-22), rel=0.2)


def test_scores_that_are_no_numbers_are_last_and_ties_are_counted() -> None:
    score = np.r_[np.nan, np.inf, np.arange(N - 2)]
    one = evidence(candidates(score))
    assert one.top[:2].tolist() == [N - 1, N - 2]
    assert share_tied(np.array([1, 1, 2, 3.0])) == 0.5
    assert share_tied(np.array([1, np.nan, np.nan])) == 0.0 and share_tied(np.zeros(0)) == 0.0
    # Of the top 20 alone.
    assert evidence(candidates(np.r_[np.zeros(4), np.arange(1, 21)])).tied == 0.0
    assert evidence(candidates(np.r_[np.zeros(4), np.arange(1, 20), 19])).tied == 0.1


def test_scores_are_those_of_the_last_scorer_matched_by_item() -> None:
    batch = candidates(np.arange(N))
    given = candidates(np.full(N, 7.0))
    scored = replace(batch, score=np.r_[np.zeros(3), np.arange(N) / 2].astype(np.float32))
    first, last = event("a", "scorer", after=given), event("b", "scorer", after=scored)
    assert evidence(batch, first, last).scores.tolist() == (np.arange(N) / 2).tolist()
    assert evidence(batch, last, first).scores.tolist() == [7.0] * N
    assert evidence(batch).scores.tolist() == list(range(N)) and not evidence(batch).has_scorer
    turned = scored.take(scored.offsets, np.r_[0:3, np.arange(N + 2, 2, -1)])
    assert evidence(batch, event("b", "scorer", after=turned)).scores.tolist() == (np.arange(N) / 2).tolist()


def test_coverage_is_that_of_the_top_and_spares_what_a_new_user_cannot_have() -> None:
    features = np.ones((N, 2))
    features[:8, 0] = np.nan  # four of them among the 20 best
    features[:, 1] = np.nan
    batch = candidates(np.arange(N), features)
    one = evidence(batch)
    assert one.feature_coverage == {"a": 0.8, "b": 0.0} and one.dead_features == ["b"]
    history = Ragged(np.array([0, 2, 2]), np.array([1, 2]))
    cold = evidence(replace(batch, requests=replace(batch.requests, ragged={"history": history})))
    assert cold.cold and cold.feature_coverage == {"a": 0.8}
    unknown = evidence(replace(batch, requests=replace(batch.requests, user=np.array([1, 0]), ragged={})))
    assert unknown.cold and unknown.unknown and unknown.feature_coverage == {"a": 0.8}


def test_ages_are_those_of_features_by_their_stage() -> None:
    stage = SimpleNamespace(names=NAMES, freshness=lambda: {"a": 150.0, "other": 0.0})
    index = SimpleNamespace(freshness=lambda now: 1 / 0)
    nodes = (
        SimpleNamespace(name="block", role=Role.FEATURIZER, stage=stage),
        SimpleNamespace(name="index", role=Role.SOURCE, stage=index),
    )
    one = evidence(candidates(np.arange(N)), event("block", "featurizer"), nodes=nodes)
    assert one.feature_age == {"a": 50.0} and one.feature_stage == {"a": "block", "b": "block"}


def test_rules_remove_from_the_top_by_their_own_record() -> None:
    whole, kept = candidates(np.arange(N)), np.ones(N + 3, np.bool_)
    kept[[0, 3, -1]] = False  # of the other row, the worst, and the best
    rule = event("rule", "filter", before=whole, after=whole.compress(kept), kept=kept, n_in=N + 3)
    captured_before = event("merge", "source", after=whole)
    ranked = whole.compress(kept)
    assert evidence(ranked, captured_before, rule).removed == {"rule": [24]}
    assert evidence(ranked, captured_before, rule).best_with_rules_off.tolist() == list(range(24, 4, -1))
    nothing = replace(rule, n_in=0)
    assert evidence(whole, captured_before, nothing).removed == {"rule": []}


def test_stages_that_failed_elsewhere_did_not_fail_here() -> None:
    one = evidence(candidates(np.arange(N)))
    assert one.failed_here(event("a", "scorer", error="x"))
    assert one.failed_here(event("a", "scorer", error="x", failed_rows=np.array([1])))
    assert not one.failed_here(event("a", "scorer", error="x", failed_rows=np.array([0])))
    assert not one.failed_here(event("a", "scorer", failed_rows=np.array([1])))


def test_seconds_are_of_all_calls_of_a_stage_or_of_the_whole_run() -> None:
    one = evidence(candidates(np.arange(N)), event("a", "scorer"), event("a", "scorer"), event("b", "scorer"))
    assert (one.seconds("a"), one.seconds("b"), one.seconds()) == (1.0, 0.5, 2.0)
    again = evidence(candidates(np.arange(N)), event("a", "scorer"), seconds={"a": 0.1, "": 0.3})
    assert (again.seconds("a"), again.seconds()) == (0.1, 0.3)
    assert one.place_of == {"a": 0, "b": 2, "selection": 3}


def test_short_lists_are_compared_as_sets() -> None:
    some, others = np.array([1, 2, 3, 3]), np.array([3, 4])
    assert (n_missing(some, others), n_shared(some, others)) == (2, 1)
    assert (n_missing(others, some), n_shared(others, some)) == (1, 1)


# -- pairs of features ---------------------------------------------------------------------------------


def paired(here: Any, usual: Any, items: Any, usual_items: Any, names: Any = NAMES) -> FeaturePair | None:
    def one(features: Any, names: Any) -> Any:
        return SimpleNamespace(features=np.asarray(features, np.float32), feature_names=names)

    return FeaturePair.of(one(here, NAMES), np.array(items), one(usual, names), np.array(usual_items))


def test_features_are_paired_by_item_and_name() -> None:
    here = np.arange(12.0).reshape(6, 2)
    pair = paired(here, here[::-1][:, ::-1], [1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1], ("b", "a"))
    assert pair is not None and pair.names == NAMES
    assert pair.here.tolist() == pair.usual.tolist() == here.tolist() and not pair.changed.any()


def test_five_items_in_common_are_enough_and_two_hundred_are_compared() -> None:
    here = np.ones((6, 2))
    assert paired(here, here, range(1, 7), range(2, 8)) is not None
    assert paired(here, here, range(1, 7), range(3, 9)) is None
    assert paired(here, here, range(1, 7), range(1, 7), ("c", "d")) is None
    many = paired(np.ones((300, 2)), np.ones((300, 2)), range(300), range(300))
    assert many is not None and many.here.shape == (200, 2)


def test_a_value_has_changed_beyond_a_ten_thousandth() -> None:
    usual = np.full((6, 2), 1_000.0)
    here = usual.copy()
    here[0, 0], here[1, 0], here[2, 0], here[3, 0] = 1_000.09, 1_000.2, np.nan, -1_000
    pair = paired(here, usual, range(1, 7), range(1, 7))
    assert pair is not None
    assert pair.changed[:, 0].tolist() == [False, True, False, True, False, False]
    assert pair.there[:, 0].tolist() == [True, True, False, True, True, True] and pair.there_usual.all()
    assert pair.both[:, 0].tolist() == pair.there[:, 0].tolist()
