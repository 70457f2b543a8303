"""The fairness benchmark in small: it runs, draws, and its report ends in JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


def test_the_report_ends_in_json_and_the_plot_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    command = [
        sys.executable,
        "-m",
        "benchmarks.fairness",
        "--requests",
        "200",
        "--plot",
        str(tmp_path / "fair.png"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == 0, done.stderr
    found = {check["name"]: check for check in json.loads(done.stdout.splitlines()[-1])["checks"]}
    assert found["contest: difference to a run without a restart"]["value"] == 0.0
    assert found["contest: largest gap by relevance alone"]["ok"]
    assert (tmp_path / "fair.png").stat().st_size > 10_000
