"""Array aliases used in recokit's signatures."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["AnyArray", "BoolArray", "Float32Array", "FloatArray", "IntArray", "UInt64Array"]

#: An array of any dtype.
AnyArray: TypeAlias = NDArray[Any]
#: An array of bool.
BoolArray: TypeAlias = NDArray[np.bool_]
#: An array of float32.
Float32Array: TypeAlias = NDArray[np.float32]
#: An array of float64.
FloatArray: TypeAlias = NDArray[np.float64]
#: An array of int64.
IntArray: TypeAlias = NDArray[np.int64]
#: An array of uint64.
UInt64Array: TypeAlias = NDArray[np.uint64]
