"""Digest: what tells one stage from another, options and everything learned, without writing it."""

from __future__ import annotations

import hashlib
import json
import weakref
from typing import Any

import numpy as np

from recokit.data.live import Live
from recokit.data.state.encode import Encoder
from recokit.data.state.outside import Connection
from recokit.data.vocabulary import Vocabulary
from recokit.errors import ConfigurationError
from recokit.typing import AnyArray

#: Digests of arrays that are still there: copies of a stage for another pipeline share their arrays.
_KNOWN: dict[int, tuple[weakref.ref[AnyArray], str]] = {}


def digest(stage: Any) -> str:
    """Return the SHA-256 of what a saved stage would hold, as 16 hex digits.

    Live values and stores count by their options: they change while a model serves. A stage that cannot be saved
    counts by its repr.

    Examples
    --------
    >>> digest(np.arange(3)) == digest(np.arange(3)), digest(np.arange(3)) == digest(np.arange(4))
    (True, False)
    """
    encoder = _Digester()
    try:
        tree: Any = {"root": encoder.encode(stage, ""), "objects": encoder.objects}
    except ConfigurationError:
        tree = repr(stage)
    return _sha256(json.dumps(tree, separators=(",", ":")).encode())


class _Digester(Encoder):
    """An encoder that has digests in place of arrays."""

    def _node(self, value: Any, path: str) -> dict[str, Any]:
        if isinstance(value, Vocabulary):
            return {"$": "vocabulary", "digest": value.fingerprint}
        if isinstance(value, Live):
            return {"$": "live", "name": value.name}
        if isinstance(value, Connection):
            return {"$": "connection", "class": type(value).__name__}
        return super()._node(value, path)

    def _array(self, array: AnyArray, path: str) -> dict[str, Any]:
        return {"$": "array", "digest": _of_array(array)}


def _of_array(array: AnyArray) -> str:
    known = _KNOWN.get(id(array))
    if known is not None and known[0]() is array:
        return known[1]
    content = repr(array.ravel().tolist()).encode() if array.dtype.hasobject else _bytes_of(array)
    found = _sha256(repr((array.dtype.str, array.shape)).encode(), content)
    # Bound here: at the interpreter's end the module's name is gone before the array.
    key, forget = id(array), _KNOWN.pop
    _KNOWN[key] = weakref.ref(array, lambda _: forget(key, None)), found
    return found


def _bytes_of(array: AnyArray) -> Any:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data if array.size else b""


def _sha256(*parts: Any) -> str:
    whole = hashlib.sha256()
    for part in parts:
        whole.update(part)
    return whole.hexdigest()[:16]
