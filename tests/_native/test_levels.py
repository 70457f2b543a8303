"""Every level gives the same bits, and so does every thread: on sound and on hostile arguments."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from recokit._native import library

sys.path.insert(0, str(Path(__file__).parent))
import test_hostile as hostile

LEVELS = library.levels() if library.kernels() is not None else ()
SEEDS = range(1000, 1040)


def bits(name: str, seed: int) -> Any:
    """Return an answer's bits, or the words of its error."""
    found = hostile.outcome(name, seed)
    if isinstance(found, Exception):
        return str(found)
    return [(part.dtype.str, part.shape, part.tobytes()) for part in found]


@pytest.mark.skipif(len(LEVELS) < 2, reason="this machine runs one level")
@pytest.mark.parametrize("name", hostile.TARGETS)
def test_every_level_gives_the_same_bits(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = [bits(name, seed) for seed in SEEDS]
    for level in LEVELS[:-1]:
        other = library.load(level)
        for module in hostile.MODULES:
            monkeypatch.setattr(module, "kernels", lambda loaded=other: loaded)
        assert [bits(name, seed) for seed in SEEDS] == expected


@pytest.mark.skipif(not LEVELS, reason="no compiled kernels")
@pytest.mark.parametrize("name", hostile.TARGETS)
def test_four_threads_give_the_same_bits(name: str) -> None:
    expected = [bits(name, seed) for seed in SEEDS[:10]]
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: [bits(name, seed) for seed in SEEDS[:10]], range(4)))
    assert answers == [expected] * 4
