"""Rows are chosen in blocks: what a list is, and how probable, depends on no other row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from recokit.data import Candidates, Cap, Pin
from recokit.diversity import DPP, MMR, MSD, TopK
from recokit.exploration import Softmax
from recokit.slates import select, solver
from recokit.slates.select import Selection


@pytest.mark.parametrize("limited", [False, True])
@pytest.mark.parametrize("kind", [TopK, MMR, MSD, DPP, Softmax])
def test_lists_do_not_depend_on_the_size_of_a_block(
    kind: Any, limited: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(7)
    vectors = rng.normal(size=(61, 16))
    objective = kind(0.5, vectors=vectors) if kind in (MMR, MSD, DPP) else kind()
    counts = [30, 0, 12, 50, 1, 44, 30]
    batch = Candidates.from_lists(
        [(1 + rng.permutation(60)[:n]).tolist() for n in counts],
        scores=[rng.normal(size=n).round(1).tolist() for n in counts],  # some are equal
    )
    k = np.array([10, 3, 12, 0, 1, 20, 7])
    limits: list[Cap | Pin] = []
    if limited:
        limits = [
            Cap("group", rng.integers(0, 6, len(batch)), maximum=3),
            Pin("pin", np.where(rng.random(len(batch)) < 0.05, 2, 0)),
        ]

    def chosen(block: int) -> Selection:
        monkeypatch.setattr(solver, "BLOCK", block)
        return select(batch, k, limits=limits, objective=objective)

    together = chosen(10**9)
    assert len(together.index)
    for block in (1, 100):
        found = chosen(block)
        np.testing.assert_array_equal(found.index, together.index)
        np.testing.assert_array_equal(found.offsets, together.offsets)
        assert found.relaxed.keys() == together.relaxed.keys()
        if kind is Softmax:
            assert found.propensity is not None and together.propensity is not None
            np.testing.assert_array_equal(found.propensity, together.propensity)
