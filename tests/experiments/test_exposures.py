"""Exposures: each once, in pieces, and there after a process was killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recokit.errors import ConfigurationError, DataError
from recokit.experiments import Exposures, Shown, read_log

ROOT = Path(__file__).resolve().parents[2]


def shown(*units: str, arm: str = "new", version: str = "v1", now: float = 0.0, **more: Any) -> Shown:
    n = len(units)
    return Shown("e", "home", units, [arm] * n, [version] * n, np.full(n, now), forced=[False] * n, **more)


def test_an_exposure_is_written_once_for_each_arm_and_version() -> None:
    rows: list[Any] = []
    log = Exposures(rows.extend, flush_rows=1)
    for one in (shown("a", "b"), shown("a"), shown("a", version="v2"), shown("a", arm="control")):
        log.exposed(one)
    assert [(row["unit"], row["arm"], row["version"]) for row in rows] == [
        ("a", "new", "v1"),
        ("b", "new", "v1"),
        ("a", "new", "v2"),
        ("a", "control", "v1"),
    ]


def test_rows_wait_until_there_are_enough_or_for_long_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("recokit.experiments.exposures.time.monotonic", lambda: clock[0])
    rows: list[Any] = []
    log = Exposures(rows.extend, flush_rows=3, flush_seconds=2.0)
    log.exposed(shown("a", "b"))
    assert not rows
    log.exposed(shown("c"))
    assert len(rows) == 3
    log.exposed(shown("d"))
    clock[0] += 1.9
    log.exposed(shown("a"))
    assert len(rows) == 3
    clock[0] += 0.1
    log.exposed(shown("a"))  # nothing new, but what waits is due
    assert len(rows) == 4


def test_memory_is_bounded_and_what_was_forgotten_is_written_again() -> None:
    rows: list[Any] = []
    log = Exposures(rows.extend, flush_rows=1, capacity=2)
    log.exposed(shown("a", "b", "c", "a"))
    assert [row["unit"] for row in rows] == ["a", "b", "c", "a"]


@pytest.mark.parametrize("name", ["log.jsonl", "parts"])
def test_what_is_written_is_read_back(tmp_path: Path, name: str) -> None:
    with Exposures(tmp_path / name, flush_rows=2) as log:
        log.exposed(shown("a", "ö", now=1.5))
        log.exposed(shown("a", differs=True))
        log.exposed(shown("c"))
    frame = read_log(tmp_path / name)
    assert frame.ids("unit").tolist() == ["a", "ö", "a", "c"]
    assert frame.times("timestamp").tolist() == [1.5, 1.5, 0.0, 0.0]
    assert frame.column("layer")[1].tolist() == ["home"] * 4
    assert np.nan_to_num(frame.number("differs"), nan=-1).tolist() == [-1, -1, 1, -1]


def test_a_last_line_that_was_cut_off_is_skipped_and_any_other_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(json.dumps({"unit": "a"}) + '\n{"unit": "b', encoding="utf-8")
    assert read_log(path).ids("unit").tolist() == ["a"]
    path.write_text('{"unit": "b\n' + json.dumps({"unit": "a"}) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match="JSON"):
        read_log(path)
    with pytest.raises(DataError, match="no log"):
        read_log(tmp_path / "nowhere.jsonl")


def test_a_killed_process_loses_at_most_its_last_flush(tmp_path: Path) -> None:
    code = """
import sys, numpy as np
from recokit.experiments import Exposures, Shown
log = Exposures(sys.argv[1], flush_rows=10, flush_seconds=3600)
for i in range(10**9):
    log.exposed(Shown("e", None, [f"u{i}"], ["new"], ["v"], np.zeros(1), [False]))
    if i % 10 == 4:
        print(i, flush=True)
"""
    path = tmp_path / "log.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    seen = 0
    while seen < 200:
        seen = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    rest = process.stdout.read().split()
    process.wait()
    process.stdout.close()
    seen = int(rest[-1]) if rest else seen
    units = read_log(path).ids("unit").tolist()
    assert units == [f"u{i}" for i in range(len(units))]
    assert len(units) >= seen + 1 - 10


def test_erasing_a_user_forgets_what_waits() -> None:
    rows: list[Any] = []
    log = Exposures(rows.extend)
    log.exposed(shown("a", "b"))
    assert log.erase_user("a") == 1
    log.flush()
    assert [row["unit"] for row in rows] == ["b"]


@pytest.mark.parametrize("options", [{"flush_rows": 0}, {"flush_seconds": 0.0}, {"capacity": 0}], ids=str)
def test_numbers_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Exposures([].extend, **options)
