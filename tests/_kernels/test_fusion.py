"""Fusion of ranked lists against loops over items."""

from __future__ import annotations

import numpy as np
import pytest

from recokit._kernels.fusion import RRF_K, fuse_lists
from recokit.errors import DataError

Lists = list[list[list[int]]]


def csr(lists: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in lists])]).astype(np.int64)
    return offsets, np.array([item for row in lists for item in row], np.int64)


def expected(lists: Lists, row: int, by: str, limit: int, shares: list[float]) -> list[int]:
    """Return the fused items of a row: by rank with ties by list, by summed reciprocal ranks, or shares first."""
    best: dict[int, tuple[int, ...]] = {}
    gain: dict[int, float] = {}
    for source, rows in enumerate(lists):
        for rank, item in enumerate(rows[row]):
            beyond = int(by == "quota" and rank >= int(limit * shares[source] + 1e-9))
            best[item] = min(best.get(item, (9,)), (beyond, rank, source))
            gain[item] = gain.get(item, 0) + 1 / (RRF_K + 1 + rank)
    if by == "rrf":
        return sorted(best, key=lambda item: (-round(gain[item], 12), best[item]))[:limit]
    return sorted(best, key=lambda item: best[item])[:limit]


@pytest.mark.parametrize("by", ["interleave", "rrf", "quota"])
@pytest.mark.parametrize("seed", range(6))
def test_lists_are_fused_as_by_hand(by: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(25):
        n_rows, n_lists = int(rng.integers(1, 5)), int(rng.integers(1, 5))
        lists = [
            [rng.permutation(np.arange(1, 12))[: rng.integers(0, 7)].tolist() for _ in range(n_rows)]
            for _ in range(n_lists)
        ]
        parts = [csr(rows) for rows in lists]
        scores = [rng.random(len(item)).astype(np.float32) for _, item in parts]
        limit = int(rng.integers(1, 12))
        shares = rng.dirichlet(np.ones(n_lists)).round(1).tolist()
        fused = fuse_lists(
            [offsets for offsets, _ in parts],
            [item for _, item in parts],
            scores,
            by=by,  # type: ignore[arg-type]
            limit=limit,
            shares=shares,
        )
        for row in range(n_rows):
            mine = slice(fused.offsets[row], fused.offsets[row + 1])
            items = fused.item[mine].tolist()
            wanted = lists[0][row][:limit] if n_lists == 1 else expected(lists, row, by, limit, shares)
            assert items == wanted
            assert (fused.row[mine] == row).all()
            for source, (offsets, _) in enumerate(parts):
                for i, item in enumerate(items):
                    at = fused.offsets[row] + i
                    held = item in lists[source][row]
                    assert bool(fused.sources[at] >> np.uint64(source) & np.uint64(1)) == held
                    if held:
                        rank = lists[source][row].index(item)
                        assert fused.rank[source, at] == rank + 1
                        assert fused.score[source, at] == scores[source][offsets[row] + rank]
                    else:
                        assert np.isnan([fused.rank[source, at], fused.score[source, at]]).all()


def test_keys_of_more_than_63_bits_are_refused() -> None:
    offsets = np.array([0, 1])
    huge = np.array([2**62])
    with pytest.raises(DataError, match="expected at most 63"):
        fuse_lists(
            [offsets] * 2, [huge, huge], [np.ones(1, np.float32)] * 2, by="rrf", limit=3, shares=[1, 1]
        )


def test_a_fused_single_list_is_a_copy() -> None:
    offsets, item, score = np.array([0, 2]), np.array([5, 3]), np.array([2.0, 1.0], np.float32)
    fused = fuse_lists([offsets], [item], [score], by="rrf", limit=2, shares=[1])
    fused.item[0], fused.score[0, 0], fused.offsets[0] = 9, 9.0, 9
    assert item.tolist() == [5, 3]
    assert score.tolist() == [2.0, 1.0]
    assert offsets.tolist() == [0, 2]
