"""Choice: what selection found for some rows, and how the parts of a batch are joined."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from recokit._ops.segments import rank_in_row, rows_to_offsets
from recokit.data import Candidates
from recokit.typing import BoolArray, FloatArray, IntArray

__all__ = ["Chosen", "either", "in_fusion_order", "join_chosen"]


@dataclass(frozen=True, eq=False)
class Chosen:
    """Positions of a batch in list order, and which limits the lists do not keep."""

    offsets: IntArray
    index: IntArray
    relaxed: Mapping[str, BoolArray]
    propensity: FloatArray | None = None
    #: By row, the limits that cannot hold together; with full capture only.
    conflicts: Mapping[int, tuple[str, ...]] = field(default_factory=dict)


def in_fusion_order(batch: Candidates) -> Candidates:
    """Return the batch with scores that keep the order of fusion in rows without any finite one."""
    finite = np.isfinite(batch.score)
    if finite.all():
        return batch
    fused = (1.0 / (1.0 + rank_in_row(batch.row, batch.offsets))).astype(np.float32)
    if finite.any():
        scored = np.zeros(batch.n_rows, np.bool_)
        scored[batch.row[finite]] = True
        fused = np.where(scored[batch.row], batch.score, fused)
    return batch.with_score(fused)


def join_chosen(batch: Candidates, pieces: list[Chosen]) -> Chosen:
    """Join what was found for the parts of a batch."""
    if len(pieces) == 1:
        return pieces[0]
    index = np.concatenate([np.zeros(0, np.int64), *(piece.index for piece in pieces)])
    order = np.argsort(batch.row[index], kind="stable")
    index = index[order]
    propensity = None
    if any(piece.propensity is not None for piece in pieces):
        parts = [
            np.full(len(piece.index), np.nan) if piece.propensity is None else piece.propensity
            for piece in pieces
        ]
        propensity = np.concatenate(parts)[order]
    relaxed: dict[str, BoolArray] = {}
    for piece in pieces:
        for cap, mask in piece.relaxed.items():
            relaxed[cap] = relaxed[cap] | mask if cap in relaxed else mask
    found = {row: names for piece in pieces for row, names in piece.conflicts.items()}
    return Chosen(rows_to_offsets(batch.row[index], batch.n_rows), index, relaxed, propensity, found)


def either(
    mine: Mapping[str, BoolArray], here: BoolArray, theirs: Mapping[str, BoolArray], there: BoolArray
) -> dict[str, BoolArray]:
    """Return limits not kept, from one source in some rows and from another in others."""
    nowhere = np.zeros(len(here), np.bool_)
    return {
        name: (mine.get(name, nowhere) & here) | (theirs.get(name, nowhere) & there)
        for name in dict.fromkeys((*mine, *theirs))
    }
