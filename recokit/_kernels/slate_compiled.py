"""The compiled form of slate selection: arrays checked and handed to C, where `greedy` and `Limits` choose it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from recokit._kernels.slate_arrays import CapArrays, Gains
from recokit._native import arrays
from recokit._native.library import check, kernels
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
#: The arrays that each kind cannot do without.
_NEEDED = {
    "in_order": frozenset[str](),
    "relevance": frozenset({"relevance"}),
    **dict.fromkeys(_CONTENT, frozenset({"relevance", "item"})),
    **dict.fromkeys(_ASPECTS, frozenset({"relevance", "aspect", "aspect_weight", "target"})),
    "xquad": frozenset({"relevance", "aspect", "aspect_weight", "covers", "target"}),
}
#: The arrays that each kind reads, where they are given.
_READ = {
    "in_order": (),
    "relevance": ("relevance", "finite"),
    **dict.fromkeys(_CONTENT, ("relevance", "finite", "item", "vectors", "has_vector", "labels")),
    **dict.fromkeys(_ASPECTS, ("relevance", "finite", "aspect", "aspect_weight", "covers", "target")),
}


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
        if k.shape != (rows,) or len(start) != rows:
            raise ContractError(
                f"found k of shape {k.shape} and lists of shape {start.shape}; expected {rows} rows"
            )
        self.held: list[Any] = []
        structs = arrays.new("rk_cap[]", [self._cap(cap, rows, width) for cap in caps])
        pointers = arrays.boolean.of(valid, 2), arrays.int64.of(k), arrays.int64.of(start, 2)
        self.held += structs, pointers
        self.struct = arrays.new("rk_slate *", [rows, width, start.shape[1], len(caps), *pointers, structs])

    def _cap(self, cap: CapArrays, rows: int, width: int) -> list[Any]:
        groups = [self._pointer(group, (rows, width)) for group in cap.groups]
        layers = arrays.new("int64_t *[]", groups)
        self.held.append(layers)
        maximum = arrays.null() if cap.maximum is None else self._pointer(cap.maximum, (rows,))
        within = _WHOLE_LIST if cap.within is None else cap.within
        return [len(groups), layers, maximum, cap.minimum, within, cap.sliding]

    def _pointer(self, array: IntArray, shape: tuple[int, ...]) -> Any:
        if array.shape != shape:
            raise ContractError(f"found a cap's array of shape {array.shape}; expected {shape}")
        pointer = arrays.int64.of(array, len(shape))
        self.held.append(pointer)
        return pointer


def _gains(gains: Gains, shape: tuple[int, ...]) -> Any:
    """Return the struct ``rk_gains``; its arrays live as long as the gains."""
    sizes, fields = dict(zip("bw", shape, strict=True)), {}
    for name in _READ[gains.kind]:
        array: AnyArray | None = getattr(gains, name)
        if array is None:
            continue
        pointer, axes = _ARRAYS[name]
        # An axis is as long as the first array says that has it.
        if tuple(map(sizes.setdefault, axes, array.shape)) != array.shape or array.ndim != len(axes):
            raise ContractError(f"found {name} of shape {array.shape}; expected axes {axes} of sizes {sizes}")
        fields[name] = pointer(array)
    if not _NEEDED[gains.kind] <= fields.keys() or (
        gains.kind in _CONTENT and ("vectors" in fields) == ("labels" in fields)
    ):
        raise ContractError(
            f"found {gains.kind} with {sorted(fields)}; expected {sorted(_NEEDED[gains.kind])}, and for content either "
            "vectors or labels"
        )
    fields.update((name, sizes[axis]) for axis, name in _SIZES.items() if axis in sizes)
    fields["kind"] = getattr(kernels(), f"RK_{gains.kind.upper()}")
    fields["trade_off"], fields["smoothing"] = gains.trade_off, gains.smoothing
    return arrays.new("rk_gains *", fields)
