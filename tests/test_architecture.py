"""docs/explain/architecture.md is the map: what it names exists, and what exists it names."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from recokit._native import library

ROOT = Path(__file__).resolve().parent.parent
MAP = (ROOT / "docs/explain/architecture.md").read_text(encoding="utf-8")
WAY = MAP[MAP.index("## How a request flows") : MAP.index("## Where to add something")]
PATHS = sorted(set(re.findall(r"`(recokit/[\w/.]+|tests/[\w/]+)`", MAP)))


def test_every_path_on_the_map_exists() -> None:
    assert len(PATHS) > 40
    assert not [path for path in PATHS if not (ROOT / path).exists()]


def test_every_folder_and_single_file_is_on_the_map() -> None:
    folders = {path.parent.relative_to(ROOT).as_posix() for path in (ROOT / "recokit").rglob("__init__.py")}
    single = {path.relative_to(ROOT).as_posix() for path in (ROOT / "recokit").glob("*.py")}
    missing = (folders | single) - set(PATHS) - {"recokit", "recokit/__init__.py"}
    assert not missing


def test_the_layers_are_those_that_are_checked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = {contract["id"]: contract for contract in project["tool"]["importlinter"]["contracts"]}
    checked = [sorted(re.split(r" [|:] ", layer)) for layer in contracts["layers"]["layers"]]
    section = MAP[MAP.index("## Layers") : MAP.index("## How a request flows")]
    rows = re.findall(r"^\| [\w]+ \| ([\w, ]+) \|", section, re.MULTILINE)
    assert [sorted(row.split(", ")) for row in rows if row != "packages"] == checked


@pytest.fixture(scope="module")
def walk() -> list[str]:
    """Return how many functions of ours one request calls, then the names of those on a list's way."""
    code = (
        "from benchmarks.list_walk import measure, walk_of\n"
        "calls = measure()[1]\n"
        "print(len(calls))\n"
        "print(*sorted({f'{call.module}.{call.name}' for call in walk_of(calls)}), sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_request_calls_few_functions(walk: list[str]) -> None:
    # Features ask for all their columns at once: asked column by column there were 2,170 calls.
    assert int(walk[0]) <= 1700


@pytest.mark.skipif(library.kernels() is None, reason="the map shows the way through compiled kernels")
def test_every_function_on_a_lists_way_is_on_the_map(walk: list[str]) -> None:
    ours = ("recokit.pipeline.", "recokit.slates.", "recokit._kernels.slate_")
    names = {line.rpartition(".")[2] for line in walk[1:] if line.startswith(ours) and "<" not in line}
    named = {name for line in WAY.splitlines() for name in re.findall(r"`(\w+)`", line)}
    assert len(names) > 25
    # Constructors are named by their class, and entering a stage is `stage`.
    assert not {name for name in names if not name.startswith("__")} - named


def test_every_function_that_the_way_names_is_defined_there() -> None:
    for row in re.findall(r"^\|[^|]+\| (`recokit[^|]+) \| ([^|]+) \|$", WAY, re.MULTILINE):
        source = "".join(
            (ROOT / path).read_text(encoding="utf-8") for path in re.findall(r"`([^`]+)`", row[0])
        )
        for name in re.findall(r"`(\w+)`", row[1]):
            assert re.search(rf"(def|class) {name}\b", source), f"{name} is not in {row[0]}"
