"""The two-stage benchmark in small: recokit's side, the exchange with the peer, and the report."""

from __future__ import annotations

import py_compile
import sys
from pathlib import Path

import numpy as np
import pytest

import recokit as rk
from benchmarks import two_stage
from benchmarks.two_stage import OPTIONS, Task, as_lists, compared, ours

SMALL = {**OPTIONS, "n_factors": 4, "n_iterations": 1, "lightgbm": {"n_estimators": 3}}

#: Stands for the interpreter with RecTools: everybody is told items 1, 2 and 3.
PEER = """#!{python}
import json, sys
import numpy as np
folder = sys.argv[2]
given, options = np.load(f"{{folder}}/given.npz"), json.load(open(f"{{folder}}/options.json"))
assert options["unseen_only"] is False and len(given["user"]) == len(given["item"]) == len(given["timestamp"])
user = np.repeat(given["asked"], 3)
np.savez(f"{{folder}}/found.npz", user=user[::-1], item=np.tile([3, 2, 1], len(user) // 3),
         rank=np.tile([3, 2, 1], len(user) // 3))
json.dump({{"fit": 3.0, "recommend": 1.0}}, open(f"{{folder}}/seconds.json", "w"))
"""


@pytest.fixture
def task():
    pytest.importorskip("lightgbm")
    data = rk.testing.toy_dataset()
    cut = data.until - 7 * 86_400
    return Task("toy", *data.split_at(cut, horizon="7D"), "7D", False)


def test_both_sides_are_judged_by_the_same_users(task, tmp_path):
    peer = tmp_path / "python"
    peer.write_text(PEER.format(python=sys.executable))
    peer.chmod(0o755)
    checks = {check.name: check for check in compared(task, SMALL, peer)}
    always = as_lists(
        task,
        np.repeat(task.users, 3),
        np.tile([1, 2, 3], len(task.users)),
        np.tile([1, 2, 3], len(task.users)),
    )
    expected = rk.evaluate(always, task.test, ["NDCG@10"])["NDCG@10"].mean
    assert checks["toy: NDCG@10"].goal == pytest.approx(expected) and expected > 0
    assert checks["toy: RecTools fit"].value == 3.0 and checks["toy: RecTools recommend"].value == 1.0
    ratio = checks["toy: RecTools' seconds over recokit's"]
    mine = checks["toy: recokit fit"].value + checks["toy: recokit recommend"].value
    assert ratio.value == pytest.approx(4.0 / mine) and ratio.goal == 5


def test_the_sources_are_those_asked_for(task):
    found = ours(task, {**SMALL, "sources": ["popular"]}).found
    assert {name for names in found.sources for name in names} == {"popular"}
    assert len(found) == len(task.users) and np.diff(found.offsets).max() == 10


def test_the_peer_compiles():
    py_compile.compile(str(Path(two_stage.__file__).with_name("_two_stage_peer.py")), doraise=True)
