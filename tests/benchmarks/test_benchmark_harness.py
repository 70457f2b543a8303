"""The benchmarks' shared helpers."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks._harness import Check, measure, percentiles, report

ROOT = Path(__file__).resolve().parents[2]


def test_measure_warms_up_and_repeats() -> None:
    calls = []
    seconds = measure(lambda: calls.append(gc.isenabled()), warmup=2, repeat=5)
    assert seconds.shape == (5,)
    assert (seconds >= 0).all()
    assert calls == [True, True, False, False, False, False, False]
    assert gc.isenabled()


def test_percentiles_are_named() -> None:
    assert percentiles(np.arange(101.0), (50, 99.9)) == {"p50": 50.0, "p99.9": pytest.approx(99.9)}


def test_checks_know_their_direction() -> None:
    assert Check.at_most("a", 1.0, 2.0).ok
    assert not Check.at_least("a", 1.0, 2.0).ok
    assert not Check.at_most("a", float("nan"), 2.0).ok
    assert Check.info("a", 1.0).ok


def test_report_ends_with_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    checks = [Check.at_most("p99", 4.6, 10, "ms"), Check.at_least("speed-up", float("nan"), 5)]
    assert not report("request", checks, {"sources": 3})
    *table, last = capsys.readouterr().out.splitlines()
    found = json.loads(last)
    assert [*found] == ["benchmark", "machine", "checks", "sources"]
    assert found["checks"][0] == {
        "name": "p99", "value": 4.6, "goal": 10.0, "unit": "ms", "ok": True, "relation": "<="
    }  # fmt: skip
    assert found["checks"][1]["value"] is None
    assert any("MISSED" in line for line in table)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="cores can be chosen on Linux only")
def test_pin_to_core() -> None:
    # In a process of its own: the limit lasts as long as the process.
    code = """
import os
import numpy
from threadpoolctl import threadpool_info
from benchmarks._harness import pin_to_core
pin_to_core(1)
print(len(os.sched_getaffinity(0)), *{pool["num_threads"] for pool in threadpool_info()})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.split() == ["1", "1"]
