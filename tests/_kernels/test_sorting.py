"""Packed sort keys against plain sorting."""

from __future__ import annotations

import numpy as np
import pytest

from recokit._kernels.sorting import bits_for, group_pairs, require_bits, sort_packed, top_by_score
from recokit.errors import DataError


def test_bits_hold_every_number_up_to_the_largest() -> None:
    assert [bits_for(n) for n in (0, 1, 2, 3, 4, 255, 256)] == [0, 1, 2, 2, 3, 8, 9]


def test_sixty_three_bits_fit_and_one_more_does_not() -> None:
    require_bits(63, "keys")
    with pytest.raises(DataError, match="found keys, whose sort keys need 64 bits"):
        require_bits(64, "keys")


@pytest.mark.parametrize("bits", [31, 32, 33, 60])
def test_keys_of_any_width_are_sorted_whole(bits: int) -> None:
    keys = np.array([2**bits - 1, 0, 2 ** (bits - 1), 1, 2 ** (bits - 1) + 1])
    assert sort_packed(keys, bits).tolist() == sorted(keys.tolist())
    assert sort_packed(keys, bits).dtype == np.int64


@pytest.mark.parametrize("seed", range(5))
def test_groups_of_items_hold_first_last_and_sum(seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 7, 4)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    item, weight = rng.integers(0, 4, offsets[-1]), rng.random(offsets[-1])
    pairs = group_pairs(offsets, item)
    at = 0
    for row in range(4):
        mine = item[offsets[row] : offsets[row + 1]].tolist()
        kinds = sorted(set(mine))
        assert pairs.offsets[row + 1] - pairs.offsets[row] == len(kinds)
        for kind in kinds:
            where = offsets[row] + np.flatnonzero(np.array(mine) == kind)
            assert (pairs.first[at], pairs.last[at]) == (where[0], where[-1])
            assert pairs.sum(weight)[at] == pytest.approx(weight[where].sum())
            at += 1
    assert at == len(pairs.starts)


def test_sums_of_no_groups_are_empty() -> None:
    assert group_pairs(np.array([0, 0]), np.zeros(0, np.int64)).sum(np.zeros(0)).shape == (0,)


@pytest.mark.parametrize("k", [0, 1, 3, 9])
def test_the_best_of_each_row_by_score_then_code(k: int) -> None:
    rng = np.random.default_rng(k)
    values = np.array([0.0, -0.0, 1.5, -2.0, np.nan, np.inf, -np.inf], np.float32)
    counts = np.array([6, 0, 1, 5])
    offsets = np.concatenate([[0], np.cumsum(counts)])
    score, code = rng.choice(values, 12), np.concatenate([rng.permutation(20)[:n] for n in counts])
    new_offsets, codes, scores = top_by_score(offsets, score, code, k)
    for row in range(4):
        mine = range(offsets[row], offsets[row + 1])
        ranked = sorted(
            mine,
            key=lambda i: (not np.isfinite(score[i]), -score[i] if np.isfinite(score[i]) else 0, code[i]),
        )[:k]
        part = slice(new_offsets[row], new_offsets[row + 1])
        assert codes[part].tolist() == code[ranked].tolist()
        shown = np.where(np.isfinite(score[ranked]), score[ranked], np.nan)
        np.testing.assert_array_equal(scores[part], shown)
