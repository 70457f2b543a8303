"""The ranker benchmark in small: every ranker equals its training framework's own prediction."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_rankers_equal_their_frameworks_and_the_report_ends_in_json() -> None:
    pytest.importorskip("lightgbm")
    # A process of its own: the benchmark pins itself to one core for good.
    sizes = ["--rows", "1500", "--trees", "8", "--calls", "3", "--batch", "2"]
    command = [sys.executable, "-m", "benchmarks.rankers", *sizes]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["benchmark"] == "rankers"
    gaps = {check["name"]: check for check in found["checks"] if "difference" in check["name"]}
    assert len(gaps) == 6 and all(check["ok"] for check in gaps.values()), gaps
    raw = [check["value"] for check in found["checks"] if "raw scores that differ" in check["name"]]
    assert raw == [0, 0]
