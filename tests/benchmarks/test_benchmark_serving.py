"""The benchmark of the service in small: its parts run, and no fault keeps an answer back or breaks a rule."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks._serving_faults import FAULTS, PLACES, grid


def measured(*options: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.serving", "--users", "60", "--items", "60", *options]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False)
    found = json.loads(done.stdout.splitlines()[-1])
    return {check["name"]: check["value"] for check in found["checks"]}


@pytest.mark.slow
def test_the_parts_end_in_one_json_object() -> None:
    sizes = ["--seconds", "0.5", "--connections", "4", "--hits", "20", "--swaps", "4"]
    found = measured("--part", "coalescing", "overload", "lists", "swaps", *sizes)
    assert found["errors of them"] == found["lists of another model than they say"] == 0
    assert found["answers equal to single ones"] == 1.0
    assert found["requests/s, 4 connections"] > 0 and found["connections broken"] == 0
    assert found["list hit p50"] > 0


@pytest.mark.parametrize("place", ["stock", "ranker", "queue"])
def test_no_fault_keeps_an_answer_back_or_breaks_a_rule(place: str) -> None:
    faults = ("hang", "garbage") if place != "stock" else ("refuse", "hang")
    for cell in grid(24, budget_ms=400.0, places=(place,), faults=faults).values():
        assert (cell.silent, cell.broken, cell.requests) == (0, 0, 24), str(cell)


@pytest.mark.slow
def test_no_fault_of_any_place_does() -> None:
    found = grid(24, budget_ms=400.0)
    assert len(found) == len(PLACES) * len(FAULTS) + 1
    assert all((cell.silent, cell.broken) == (0, 0) for cell in found.values())
