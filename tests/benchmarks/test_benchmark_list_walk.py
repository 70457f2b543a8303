"""The walk of a list: stays in modules, counted."""

from __future__ import annotations

import json

import pytest

from benchmarks.list_walk import Call, stays, traced_calls, walk_of
from recokit import testing
from recokit._native import library
from recokit.candidates import Popular
from recokit.pipeline import Pipeline


def test_each_change_of_module_is_a_stay() -> None:
    calls = [Call(module, "f", False) for module in "aabbbaca"]
    assert stays(calls) == ["a", "b", "a", "c", "a"]
    assert stays([]) == []


@pytest.mark.skipif(
    library.kernels() is None, reason="the way through compiled kernels is the one that is known"
)
def test_only_functions_of_recokit_are_counted_and_those_of_selection_are_marked() -> None:
    pipeline = Pipeline([Popular()]).fit(testing.toy_dataset())
    calls = traced_calls(lambda: (json.dumps({}), pipeline.recommend([None], k=3, now=2e9)))
    assert all(call.module.startswith("recokit") for call in calls)
    selecting = {call.module.split(".")[1] for call in calls if call.selecting}
    assert selecting == {"slates", "_kernels", "_native", "_utils"}
    walk = walk_of(calls)
    assert walk[0].module in {"recokit.pipeline.finish", "recokit.pipeline.selection"}
    assert len(walk) < len(calls)
