"""Random numbers by counters: the same in C, in numpy and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from recokit._kernels import hashing
from recokit._kernels.hashing import row_seeds, uniform

MASK = 2**64 - 1
INT64 = st.integers(-(2**63), 2**63 - 1)
CASES = st.tuples(st.integers(-(2**70), 2**70), st.lists(INT64, max_size=9), st.integers(0, 40))


def mix(value: int) -> int:
    z = (value + 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def compare(case: tuple[int, list[int], int], monkeypatch: pytest.MonkeyPatch) -> None:
    seed, codes, stream = case
    user = np.array(codes, np.int64)
    seeds = [mix(mix(seed & MASK) ^ mix(code & MASK)) for code in codes]
    draws = [
        ((mix(of_row ^ mix((code & MASK) ^ (stream << 48))) >> 12) + 0.5) * 2.0**-52
        for of_row, code in zip(seeds, codes, strict=True)
    ]
    for native in (hashing.kernels, lambda: None):
        with monkeypatch.context() as patch:
            patch.setattr(hashing, "kernels", native)
            assert row_seeds(seed, user).tolist() == seeds
            assert uniform(np.array(seeds, np.uint64), user, stream).tolist() == draws


@settings(max_examples=100, deadline=None)
@given(CASES)
def test_draws_are_those_of_splitmix(case: tuple[int, list[int], int]) -> None:
    compare(case, pytest.MonkeyPatch())


@pytest.mark.slow
@settings(max_examples=2_000, deadline=None)
@given(CASES)
def test_draws_are_those_of_splitmix_in_thousands_of_cases(case: tuple[int, list[int], int]) -> None:
    compare(case, pytest.MonkeyPatch())


def test_seeds_and_counters_are_spread_over_each_other() -> None:
    seed = np.array([3, 4], np.uint64)
    assert uniform(seed[:1], np.array([7, 8]))[0] == uniform(seed, np.array([7, 8]))[0]
