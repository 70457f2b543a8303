"""The diversity benchmarks in small: they run, agree with the peer, draw, and their reports end in JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def checks_of(*command: str, **env: str) -> dict[str, Any]:
    # A process of its own: a benchmark pins itself to one core for good.
    done = subprocess.run(
        [sys.executable, "-m", *command],
        capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False, env={**os.environ, **env},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {check["name"]: check for check in json.loads(done.stdout.splitlines()[-1])["checks"]}


def test_lists_are_those_of_pyversity() -> None:
    pytest.importorskip("pyversity")
    sizes = ["--candidates", "100", "--k", "10", "--batch", "6", "--rounds", "2"]
    found = checks_of("benchmarks.diversity", *sizes)
    same = {name: check for name, check in found.items() if name.endswith("the same lists")}
    assert len(same) == 6 and all(check["ok"] for check in same.values()), same


@pytest.mark.slow
def test_every_objective_finds_more_diversity_on_real_lists(data_dir: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plot = tmp_path / "front.png"
    env = {"RECOKIT_DATA": str(data_dir)}
    found = checks_of("benchmarks.diversity_front", "--cuts", "2", "--plot", str(plot), **env)
    assert all(check["ok"] for check in found.values()), found
    assert plot.stat().st_size > 10_000
