"""An AnnIndex's state as plain data, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from recokit.candidates import _faiss
from recokit.candidates._ann_base import Base
from recokit.candidates._ann_live import Changes, Snapshot
from recokit.errors import DataError
from recokit.typing import Float32Array, IntArray

__all__ = ["snapshot_from", "state_of"]

Given = tuple[IntArray | None, Float32Array]


def state_of(snapshot: Snapshot, given: Given) -> dict[str, Any]:
    """Return a snapshot as arrays and numbers; vectors that the options hold are left to them."""
    base = snapshot.base
    same = base.vectors.shape == given[1].shape and bool(np.array_equal(base.vectors, given[1]))
    return {
        "codes": base.codes,
        "vectors": None if same else base.vectors,
        "kind": base.kind,
        "index": None if base.index is None else _faiss.to_bytes(base.index),
        "changes": snapshot.changes,
        "n_items": snapshot.n_items,
        "n_probe": snapshot.n_probe,
        "number": snapshot.number,
        "until": snapshot.until,
        "changed": snapshot.changed,
    }


def snapshot_from(state: dict[str, Any], given: Callable[[], Given]) -> Snapshot:
    """Return the snapshot that :func:`state_of` described.

    Raises
    ------
    DataError
        If codes, vectors and index do not belong together.
    """
    codes = state["codes"]
    vectors = given()[1] if state["vectors"] is None else np.ascontiguousarray(state["vectors"])
    if codes is not None and len(codes) != len(vectors):
        raise DataError(f"found {len(codes)} item codes for {len(vectors)} vectors; expected one for each")
    index = None
    if state["index"] is not None:
        index = _faiss.from_bytes(state["index"], len(vectors), vectors.shape[1])
    changes: Changes = state["changes"]
    return Snapshot(
        Base(codes, vectors, state["kind"], index),
        changes,
        state["n_items"],
        state["n_probe"],
        state["number"],
        state["until"],
        state["changed"],
    )
