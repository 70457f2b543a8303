"""The compiled form of slate selection: arrays checked and handed to C, where `greedy` and `Limits` choose it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from recokit._kernels.slate_arrays import CapArrays, Gains
from recokit._native import arrays
from recokit._native.library import check, ffi, kernels
from recokit.errors import ContractError
from recokit.typing import AnyArray, BoolArray, IntArray

_WHOLE_LIST = np.iinfo(np.int64).max
_SIZES = {"n": "n_items", "d": "n_dimensions", "c": "n_columns", "m": "n_each", "l": "n_aspects"}
#: Type and shape of each array of gains: B rows, W candidates, and sizes that the kernel gets told.
_ARRAYS = {
    "relevance": (arrays.float32, "bw"),
    "finite": (arrays.boolean, "bw"),
    "item": (arrays.int64, "bw"),
    "vectors": (arrays.float32, "nd"),
    "has_vector": (arrays.boolean, "n"),
    "labels": (arrays.int64, "nc"),
    "aspect": (arrays.int64, "bwm"),
    "aspect_weight": (arrays.float32, "bwm"),
    "covers": (arrays.float32, "bwm"),
    "target": (arrays.float64, "bl"),
}
_CONTENT = ("mmr", "msd", "dpp", "facility")
_ASPECTS = ("calibration", "proportional", "xquad")


def chosen_lists(
    caps: Sequence[CapArrays], valid: BoolArray, k: IntArray, start: IntArray, gains: Gains, *, early: int
) -> IntArray:
    """Return what :func:`recokit._kernels.slate_greedy.greedy` does, (B, K)."""
    slate = _Slate(caps, valid, k, start)
    picked = np.empty(start.shape, np.int64)
    check(
        kernels().rk_slate_greedy(slate.struct, _gains(gains, valid.shape), early, arrays.int64.out(picked))
    )
    return picked


def allowed_at(
    caps: Sequence[CapArrays], valid: BoolArray, k: IntArray, picked: IntArray, place: int, *, early: int
) -> tuple[BoolArray, BoolArray]:
    """Return what :meth:`recokit._kernels.slate_limits.Limits.open` does, (B, W) and (B,)."""
    slate = _Slate(caps, valid, k, picked)
    allowed, lost = np.empty(valid.shape, np.bool_), np.empty(len(valid), np.bool_)
    out = arrays.boolean.out
    check(kernels().rk_slate_allowed(slate.struct, place, early, out(allowed), out(lost)))
    return allowed, lost


class _Slate:
    """The struct ``rk_slate``, and what has to live as long."""

    def __init__(self, caps: Sequence[CapArrays], valid: BoolArray, k: IntArray, start: IntArray) -> None:
        rows, width = valid.shape
        if k.shape != (rows,) or start.ndim != 2 or len(start) != rows:
            raise ContractError(
                f"found k of shape {k.shape} and lists of shape {start.shape}; expected {rows} rows"
            )
        new = ffi().new
        self.held = [np.ascontiguousarray(valid), *(np.ascontiguousarray(a, np.int64) for a in (k, start))]
        self.caps = new("rk_cap[]", len(caps))
        for struct, cap in zip(self.caps, caps, strict=True):
            groups = [self._array(group, (rows, width)) for group in cap.groups]
            self.held.append(layers := new("int64_t *[]", groups))
            struct.n_layers, struct.groups = len(groups), layers
            struct.maximum = arrays.null() if cap.maximum is None else self._array(cap.maximum, (rows,))
            struct.minimum, struct.sliding = cap.minimum, cap.sliding
            struct.within = _WHOLE_LIST if cap.within is None else cap.within
        pointers = [arrays.boolean(self.held[0]), arrays.int64(self.held[1]), arrays.int64(self.held[2])]
        self.struct = new("rk_slate *", [rows, width, start.shape[1], len(caps), *pointers, self.caps])

    def _array(self, array: IntArray, shape: tuple[int, ...]) -> Any:
        if array.shape != shape:
            raise ContractError(f"found a cap's array of shape {array.shape}; expected {shape}")
        array = np.ascontiguousarray(array, np.int64)
        self.held.append(array)
        return arrays.int64(array)


def _gains(gains: Gains, shape: tuple[int, ...]) -> Any:
    """Return the struct ``rk_gains``; its arrays live as long as the gains."""
    sizes = dict(zip("bw", shape, strict=True))
    struct = ffi().new("rk_gains *")
    for name, (pointer, axes) in _ARRAYS.items():
        array: AnyArray | None = getattr(gains, name)
        if array is None:
            continue
        if array.ndim != len(axes) or any(
            sizes.setdefault(axis, n) != n for axis, n in zip(axes, array.shape, strict=True)
        ):
            raise ContractError(f"found {name} of shape {array.shape}; expected axes {axes} of sizes {sizes}")
        setattr(struct, name, pointer(array))
    for axis, name in _SIZES.items():
        setattr(struct, name, sizes.get(axis, 0))
    needed = _NEEDED.get(gains.kind, ())
    if (missing := [name for name in needed if getattr(gains, name) is None]) or (
        gains.kind in _CONTENT and (gains.vectors is None) == (gains.labels is None)
    ):
        raise ContractError(
            f"found {gains.kind} without {missing or 'either vectors or labels'}; expected all"
        )
    struct.kind = getattr(kernels(), f"RK_{gains.kind.upper()}")
    struct.trade_off, struct.smoothing = gains.trade_off, gains.smoothing
    return struct


_NEEDED = {
    "relevance": ("relevance",),
    **dict.fromkeys(_CONTENT, ("relevance", "item")),
    **dict.fromkeys(_ASPECTS, ("relevance", "aspect", "aspect_weight", "target")),
    "xquad": ("relevance", "aspect", "aspect_weight", "covers", "target"),
}
