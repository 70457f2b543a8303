"""The debugger names stage and cause of faults planted inside real stages, with last week's pipeline to compare."""

from __future__ import annotations

import dataclasses

import pytest

from benchmarks import _diagnosis_world as worlds, diagnosis as benchmark
from benchmarks._diagnosis_faults import KINDS

#: In a catalogue of 200 items nothing can be crowded out, and 20 users are too few to tell segments apart.
SMALL = tuple(kind for kind in KINDS if kind not in ("flooding_source", "one_segment"))
#: Known and new users asked about each, and those that need more, or take long.
USERS = {"columns_swapped": (10, 5), "only_new_users": (10, 5), "cap_too_tight": (2, 1), "slow_stage": (3, 1)}


@pytest.fixture(scope="module")
def world() -> worlds.World:
    return worlds.marketplace()


@pytest.mark.parametrize("kind", SMALL)
def test_a_planted_fault_is_named_with_its_stage(world: worlds.World, kind: str) -> None:
    n, new = USERS.get(kind, (5, 3))
    found = benchmark.case(world, kind, 0, n=n, new=new)
    assert found.right, found


@pytest.mark.slow
@pytest.mark.parametrize("kind", SMALL)
def test_a_planted_fault_is_named_for_more_users(world: worlds.World, kind: str) -> None:
    found = benchmark.case(world, kind, 0, n=10, new=5)
    assert found.right, found


def test_healthy_users_have_no_finding(world: worlds.World) -> None:
    assert benchmark.healthy_users(world, 12) == []


@pytest.mark.slow
def test_more_healthy_users_have_no_finding(world: worlds.World) -> None:
    assert benchmark.healthy_users(world, 25) == []


def test_the_confusion_matrix_tells_what_was_said(world: worlds.World) -> None:
    found = benchmark.case(world, "flat_ranker", 1, n=4, new=1)
    wrong = dataclasses.replace(found, right=False, said="STAGE_SLOW", stage="standard")
    text = benchmark.confusion([found, wrong])
    assert "1 of 2" in text and "1 x STAGE_SLOW standard" in text


@pytest.mark.slow
def test_the_benchmark_runs(capsys: pytest.CaptureFixture[str]) -> None:
    benchmark.main(["--quick", "--kinds", "flat_ranker", "nan_scores"])
    assert '"benchmark": "diagnosis"' in capsys.readouterr().out.splitlines()[-1]
