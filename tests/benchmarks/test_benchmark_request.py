"""The request benchmark in small: three ways agree on every list, and the last line is one JSON object."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def test_the_three_ways_agree_and_the_report_ends_in_json() -> None:
    # A process of its own: the benchmark pins itself to one core for good.
    command = [sys.executable, "-m", "benchmarks.request", "--items", "2000", "--requests", "20"]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["benchmark"] == "request"
    names = {check["name"] for check in found["checks"]}
    assert {"clustered: warm p99", "iid Gaussian: p50 over plain numpy"} <= names
