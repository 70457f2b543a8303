"""The benchmark of the debugger: its tasks, what counts as right, and how results are kept and joined."""

from __future__ import annotations

import pytest

from benchmarks import _diagnosis_cases as cases, _diagnosis_report as joined, diagnosis
from benchmarks._diagnosis_cases import Task
from benchmarks._diagnosis_world import world
from recokit.testing import faults

#: Kinds whose stage and cause come first for few users of a small market.
NAMED = (
    "stale_index",
    "nan_scores",
    "inverted_ranker",
    "stock_feed_empty",
    "failing_stage",
    "features_swapped",
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECOKIT_DIAGNOSIS_CACHE", str(tmp_path_factory.mktemp("fits")))
        patch.setattr(cases, "KNOWN", 5)
        patch.setattr(cases, "NEW", 3)
        world("marketplace", "neighbours")
        yield world("marketplace", "neighbours")  # this one from disk


@pytest.mark.parametrize("kind", NAMED)
def test_a_planted_fault_is_named_with_its_stage(place, kind, monkeypatch):
    monkeypatch.setattr(cases, "_confirmed", lambda found, planted, seed: {})
    found = cases.result_of(Task("marketplace", "neighbours", kind, "refit", 0), place)
    assert found["right"], found


@pytest.mark.slow
def test_the_right_stage_heals_and_a_wrong_one_does_not(place):
    found = cases.result_of(Task("marketplace", "neighbours", "inverted_ranker", "refit", 0), place)
    assert found["healed"] and not found["healed_wrong"] and found["wrong"] not in found["planted"][0]


def test_a_result_is_right_by_cause_stage_and_scope():
    planted = faults.Planted(None, ("ranker", ""), ("A", "B"), scope="device=app")
    assert cases._fits(planted, "B", "", "device=app") and cases._fits(planted, "A", "ranker", "device=app")
    assert not cases._fits(planted, "A", "ranker", "everyone")
    assert not cases._fits(planted, "C", "ranker", "device=app")
    assert not cases._fits(planted, "A", "standard", "device=app")
    everyone = faults.Planted(None, ("ranker",), ("CANDIDATE_GENERATION_FAILURE",))
    assert cases._fits(everyone, "CANDIDATE_GENERATION_FAILURE", "", "everyone")


def test_judgement_and_development_share_no_place_and_no_seed():
    judged, dev = diagnosis.judgement().tasks, diagnosis.development(list(faults.CATALOGUE), range(5)).tasks
    places = {(task.world, task.shape) for task in dev}
    assert places and all(task.seed < 100 for task in dev)
    assert all(task.seed >= diagnosis.JUDGED_SEED for task in judged)
    assert not places & {(task.world, task.shape) for task in judged}
    kinds = {task.what for task in judged if task.baseline == "refit"}
    assert kinds >= set(faults.CATALOGUE) and len({task.key for task in judged}) == len(judged)


def test_shards_together_are_the_whole():
    suite = diagnosis.judgement()
    parts = [suite.part(shard, 7) for shard in range(7)]
    assert sorted(task for part in parts for task in part) == list(suite.tasks)
    assert all(list(part) == sorted(part) and len({task.world for task in part}) > 1 for part in parts)


def result(kind, right, seed=0, baseline="refit", **more):
    return {
        "key": f"{kind}{seed}{baseline}", "world": "w", "what": kind, "baseline": baseline, "seed": seed,
        "right": right, "in_top_three": right, "said": [["OTHER", "x", ""]], **more,
    }  # fmt: skip


def test_results_are_kept_and_those_of_another_version_do_not_count(tmp_path, monkeypatch):
    joined.write(tmp_path, result("flat_ranker", True))
    assert list(joined.read(tmp_path)) == ["flat_ranker0refit"]
    monkeypatch.setattr(joined, "version", lambda: "another")
    assert joined.read(tmp_path) == {}


def test_a_kind_counts_as_named_from_four_of_five_on():
    four = [result("flat_ranker", seed != 3, seed) for seed in range(5)]
    three = [result("nan_scores", seed > 1, seed) for seed in range(5)]
    found = {check.name: check.value for check in joined.checks([*four, *three])}
    assert found["kinds named, with a baseline"] == 0.5
    assert found["right one in the top three"] == 0.7
    assert "| `nan_scores` | 3 of 5 |  | 2 x OTHER x |" in joined.markdown(three)
    assert "missed: nan_scores" in joined.summary([*four, *three])


def test_healthy_users_and_pairs_are_counted():
    healthy = [
        {"key": "h", "world": "w", "what": "healthy", "baseline": "refit", "users": 100, "ill": ["one"]},
        {
            "key": "i",
            "world": "w",
            "what": "healthy",
            "baseline": "refit",
            "users": 100,
            "ill": ["two", "three"],
        },
    ]
    checks = {
        check.name: check for check in joined.checks([*healthy, result("pair", True), result("pair", False)])
    }
    assert not checks["healthy with a finding, w beside last week's"].ok
    assert checks["two at once, both in the top three"].value == 0.5
    proofs = [result("flat_ranker", True, n, healed=n > 0, healed_wrong=n > 2) for n in range(4)]
    checks = {check.name: check for check in joined.checks(proofs)}
    assert (checks["confirm heals"].value, checks["confirm heals by a wrong stage"].value) == (0.75, 0.25)
