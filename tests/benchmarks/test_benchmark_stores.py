"""The benchmark of the stores in small: it runs and ends in one JSON object."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def test_the_report_ends_in_json() -> None:
    command = [sys.executable, "-m", "benchmarks.stores", "--ids", "300", "--repeat", "5"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    values = {check["name"]: check["value"] for check in found["checks"]}
    for name in ("Resident", "SQLite", "Redis"):
        assert values[f"{name} failed"] == 0
        assert values[f"{name} p50"] > 0 and values[f"{name} by hand, p50"] > 0
