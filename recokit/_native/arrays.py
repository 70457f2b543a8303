"""Arrays as pointers for compiled kernels: type, order and alignment are checked here and nowhere else.

A pointer is valid while its array lives: hold the array in a variable during the call.

Examples
--------
>>> import numpy as np
>>> pointer = float32(np.ones(3, np.float32))
>>> float32(np.ones(3))
Traceback (most recent call last):
    ...
recokit.errors.ContractError: found an array of float64; expected float32, ...
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cache, partial
from typing import Any

import numpy as np

from recokit._native.library import ffi
from recokit.errors import ContractError
from recokit.typing import AnyArray

# Read while this is imported, which Python does once: a cache would let threads that come first together read each its
# own, and structures of one set of declarations are refused by functions of another.
if os.environ.get("RECOKIT_NATIVE") != "0":
    ffi()

_IN_ORDER = 0x0001 | 0x0100  # NPY_ARRAY_C_CONTIGUOUS, NPY_ARRAY_ALIGNED
_WRITABLE = _IN_ORDER | 0x0400  # NPY_ARRAY_WRITEABLE


class Pointer:
    """Turns arrays of one dtype into pointers: ``p(array)`` to read, ``p.out(array)`` to write."""

    __slots__ = ("_ctype", "_dtype", "_from_buffer")

    def __init__(self, dtype: type, ctype: str) -> None:
        self._dtype = np.dtype(dtype)
        self._ctype = ctype
        self._from_buffer = self._bind

    def __call__(self, array: AnyArray) -> Any:
        """Return the address of the first element, for reading."""
        if array.dtype != self._dtype or array.flags.num & _IN_ORDER != _IN_ORDER:
            raise self._refused(array)
        return self._from_buffer(array)

    def out(self, array: AnyArray) -> Any:
        """Return the address of the first element, for writing."""
        if array.dtype != self._dtype or array.flags.num & _WRITABLE != _WRITABLE:
            raise self._refused(array)
        return self._from_buffer(array)

    def of(self, array: AnyArray, ndim: int = 1) -> Any:
        """Return the address of an array of any layout, for reading: of a copy, which it keeps, where it must be.

        Its length is what a kernel is told, so that another number of axes would be another number of elements.
        """
        if array.ndim != ndim:
            raise ContractError(f"found an array of shape {array.shape}; expected {ndim} axes")
        if array.dtype == self._dtype and array.flags.num & _IN_ORDER == _IN_ORDER:
            return self._from_buffer(array)
        if not np.can_cast(array.dtype, self._dtype, "same_kind"):
            raise self._refused(array)
        return self._from_buffer(np.array(array, self._dtype, order="C"))

    def each(self, arrays: Iterable[AnyArray]) -> list[Any]:
        """Return the addresses of several arrays, for an argument that is an array of pointers."""
        return [self.of(array) for array in arrays]

    def _bind(self, array: AnyArray) -> Any:
        # The declarations are read when the first kernel runs, not when this module is imported.
        declarations = ffi()
        kind = declarations.typeof(f"{self._ctype}[]")
        self._from_buffer = partial(
            declarations._backend.from_buffer, kind
        )  # without the text form of a type
        return self._from_buffer(array)

    def _refused(self, array: AnyArray) -> ContractError:
        flaws = [
            "contiguous" if not array.flags.c_contiguous else "",
            "aligned" if not array.flags.aligned else "",
        ]
        found = f"an array of {array.dtype}{''.join(f', not {flaw}' for flaw in flaws if flaw)}"
        if not array.flags.writeable:
            found += ", read-only"
        return ContractError(
            f"found {found}; expected {self._dtype}, C-contiguous, aligned, writable where written"
        )


boolean = Pointer(np.bool_, "_Bool")
uint8 = Pointer(np.uint8, "uint8_t")
int32 = Pointer(np.int32, "int32_t")
int64 = Pointer(np.int64, "int64_t")
uint32 = Pointer(np.uint32, "uint32_t")
uint64 = Pointer(np.uint64, "uint64_t")
float32 = Pointer(np.float32, "float")
float64 = Pointer(np.float64, "double")


def new(ctype: str, content: Any) -> Any:
    """Return a new C object of a pointer or array type, such as ``"rk_slate *"``; it owns its memory."""
    return _backend().newp(_type(ctype), content)


@cache
def _backend() -> Any:
    return ffi()._backend


@cache
def _type(ctype: str) -> Any:
    return ffi().typeof(ctype)


@cache
def null() -> Any:
    """Return the pointer for an array that is not there."""
    return ffi().NULL
