"""Arrays of a saved state: the safetensors format, read out of memory that was verified before."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from recokit.errors import DataError
from recokit.typing import AnyArray

_DTYPES = {
    "BOOL": "?", "I8": "i1", "U8": "u1", "I16": "<i2", "U16": "<u2", "F16": "<f2",
    "I32": "<i4", "U32": "<u4", "F32": "<f4", "I64": "<i8", "U64": "<u8", "F64": "<f8",
}  # fmt: skip


def arrays_of(content: AnyArray) -> dict[str, AnyArray]:
    """Return the arrays of a file's bytes, as views of them.

    Parameters
    ----------
    content : ndarray of uint8
        The file: eight bytes with the length of the header, the header as JSON, the arrays.

    Raises
    ------
    DataError
        If it is no file of that format.

    Examples
    --------
    >>> from safetensors.numpy import save
    >>> arrays_of(np.frombuffer(save({"a": np.arange(3.0)}), np.uint8))
    {'a': array([0., 1., 2.])}
    """
    try:
        start = 8 + int.from_bytes(content[:8].tobytes(), "little")
        if not 8 < start <= len(content):
            raise ValueError(f"header of {start - 8} bytes")
        header = json.loads(content[8:start].tobytes())
        header.pop("__metadata__", None)
        return {name: _array(content[start:], about) for name, about in header.items()}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise DataError(
            f"found arrays of a saved state that cannot be read ({type(error).__name__}); "
            "expected the safetensors format, as save_state writes it"
        ) from error


def _array(content: AnyArray, about: dict[str, Any]) -> AnyArray:
    dtype, shape, (start, end) = np.dtype(_DTYPES[about["dtype"]]), about["shape"], about["data_offsets"]
    if not (0 <= start <= end <= len(content) and end - start == math.prod(shape) * dtype.itemsize):
        raise ValueError("offsets beyond the file, or of another size than the array's")
    part = content[start:end]
    aligned = part if part.ctypes.data % dtype.itemsize == 0 else part.copy()
    return aligned.view(dtype).reshape(shape)
