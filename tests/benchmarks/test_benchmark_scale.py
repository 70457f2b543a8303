"""The scale benchmark in small: it runs without data and ends in one JSON object."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_the_report_ends_in_json() -> None:
    command = [sys.executable, "-m", "benchmarks.scale", "--made", "--items", "1000", "--events", "5000"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    values = {check["name"]: check["value"] for check in found["checks"]}
    assert values["iid Gaussian 1,000: recall@100"] == 1.0
    assert {"ItemKNN, 5,000 events: fit", "IALS, 5,000 events: fit"} <= set(values)
