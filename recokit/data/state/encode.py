"""A codec without pickle: objects to a JSON tree and plain arrays, and back through an allow-list of classes.

The tree is ``{"objects": [...], "root": node}``. JSON scalars and lists stand for themselves; anything else
is a node ``{"$": kind, ...}``. Arrays, sparse matrices and instances are kept once in ``objects``, in an
order in which each refers only to earlier ones; ``{"$": "ref", "to": i}`` names one, so what was shared is
shared again.

An instance is stored as its class path and

- what its ``state()`` returns, given back to ``load_state(state)`` of an instance built from its
  options; else
- its fields, for a dataclass, with attributes that end with ``_`` beside them; else
- its constructor options, stored under their own names, and its attributes that end with ``_``; else
- all its attributes.

A connection is stored as its class, a name and its options without the place that it leads to; whoever loads the state
gives it again. A text in an option that names a place is stored as None.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import math
import types
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

import numpy as np

from recokit._utils.options import shortened
from recokit._utils.params import Configured, get_params
from recokit.data.live import Live
from recokit.data.state.decode import SPARSE, Decoder, class_path, is_cached
from recokit.data.state.outside import Connection, Outside, distinct, saved_options, without_places
from recokit.errors import ConfigurationError, DataError, RecokitError
from recokit.typing import AnyArray

_CODE = (
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    types.ModuleType,
    functools.partial,
    type,
)


def to_state(obj: Any) -> tuple[dict[str, Any], dict[str, AnyArray]]:
    """Turn an object into a JSON tree and named arrays.

    Parameters
    ----------
    obj : object
        None, bool, int, float, str, list, tuple, dict, set, time spans and moments, enum members, numpy
        arrays and scalars, scipy CSR and CSC matrices, :class:`~recokit.data.Live` values, and instances made
        of these.

    Returns
    -------
    tree : dict
        JSON without NaN or infinity.
    arrays : dict of str to ndarray
        Arrays of plain dtypes, C-contiguous, without byte order or objects.

    Raises
    ------
    ConfigurationError
        For a function, a class, a reference back to the object itself, or anything else that is not data. The
        message names where it was found.

    Examples
    --------
    >>> tree, arrays = to_state({"weight": np.array([1.0, 2.0]), "half_life": float("inf")})
    >>> from_state(tree, arrays)
    {'weight': array([1., 2.]), 'half_life': inf}
    """
    encoder = Encoder()
    root = encoder.encode(obj, type(obj).__name__)
    return {"objects": encoder.objects, "root": root}, encoder.arrays


def from_state(
    tree: Mapping[str, Any],
    arrays: Mapping[str, AnyArray],
    trusted: Iterable[type] = (),
    connections: Mapping[str, Any] | None = None,
) -> Any:
    """Rebuild an object from :func:`to_state`'s tree and arrays.

    Parameters
    ----------
    tree : mapping
        The JSON tree.
    arrays : mapping of str to ndarray
        The arrays.
    trusted : iterable of type
        Classes outside recokit that the state may be made of.
    connections : mapping of str to object, optional
        For each connection that the state names the open store, or its URL or path. A state opens none itself.

    Raises
    ------
    ConfigurationError
        If the state names a class that is neither recokit's nor trusted, or a connection that is not given.
    DataError
        If the state is malformed or does not fit this version's classes.
    """
    decoder = Decoder(arrays, {class_path(cls): cls for cls in trusted})
    try:
        decoder.given_connections(connections, tree["objects"])
        for node in tree["objects"]:
            decoder.objects.append(decoder.decode(node))
        return decoder.decode(tree["root"])
    except (RecokitError, ImportError):
        raise
    except Exception as error:  # whatever a constructor says of options that nobody saved
        raise DataError(
            f"found a saved state that cannot be rebuilt ({type(error).__name__}: {shortened(error)}); "
            "expected one written by save_state of this version of recokit"
        ) from error


def _is_own(cls: type) -> bool:
    return cls.__module__.partition(".")[0] == "recokit"


class Encoder:
    """Turns objects into nodes; ``objects`` are the shared ones, ``arrays`` what nodes name."""

    def __init__(self) -> None:
        self.objects: list[Any] = []
        self.arrays: dict[str, AnyArray] = {}
        self._seen: dict[int, int] = {}
        self._kept: list[
            Any
        ] = []  # keeps ids unique: a temporary that was freed could lend its id to another object
        self._open: set[int] = set()
        self._connections: list[str] = []

    def encode(self, value: Any, path: str) -> Any:
        """Return the node of a value, which was found at a path."""
        kind = type(value)
        if value is None or kind in (bool, int, str):
            return value
        if kind is float:
            return value if math.isfinite(value) else {"$": "float", "value": repr(value)}
        if isinstance(value, np.generic) and kind is not np.void:
            return {"$": "scalar", "dtype": value.dtype.str, "hex": value.tobytes().hex()}
        if kind is dt.timedelta:
            return {"$": "timedelta", "value": [value.days, value.seconds, value.microseconds]}
        if kind in (dt.datetime, dt.date):
            return {"$": kind.__name__, "value": value.isoformat()}
        if isinstance(value, Enum):
            return {"$": "enum", "class": class_path(kind), "name": value.name}
        if isinstance(value, _CODE):
            name = getattr(value, "__qualname__", repr(value))
            raise ConfigurationError(
                f"found code, {name}, at {path}; expected data, since a saved state holds no code; "
                "hint: make it a small class with attributes, and load with trusted=[that class]"
            )
        if id(value) in self._open:
            raise ConfigurationError(
                f"found a reference back to an object that holds it, at {path}; expected a tree"
            )
        self._open.add(id(value))
        try:
            return self._container(value, path) if kind in _CONTAINERS else self._shared(value, path)
        finally:
            self._open.discard(id(value))

    def _container(self, value: Any, path: str) -> Any:
        if isinstance(value, dict):
            if all(type(key) is str for key in value):
                return {
                    "$": "dict",
                    "items": {key: self.encode(part, f"{path}[{key!r}]") for key, part in value.items()},
                }
            pairs = [
                [self.encode(k, f"a key of {path}"), self.encode(v, f"{path}[{k!r}]")]
                for k, v in value.items()
            ]
            return {"$": "pairs", "items": pairs}
        if isinstance(value, set | frozenset):
            value_list = sorted(value, key=repr)  # the order of a set changes from run to run
            return {
                "$": type(value).__name__,
                "items": [self.encode(part, f"{path}{{}}") for part in value_list],
            }
        items = [self.encode(part, f"{path}[{i}]") for i, part in enumerate(value)]
        return items if isinstance(value, list) else {"$": "tuple", "items": items}

    def _shared(self, value: Any, path: str) -> Any:
        if id(value) not in self._seen:
            node = self._node(value, path)
            self._seen[id(value)] = len(self.objects)
            self._kept.append(value)
            self.objects.append(node)
        return {"$": "ref", "to": self._seen[id(value)]}

    def _node(self, value: Any, path: str) -> dict[str, Any]:
        if isinstance(value, np.ma.MaskedArray):
            raise ConfigurationError(
                f"found a masked array at {path}; expected a plain one; hint: use filled(...)"
            )
        if isinstance(value, np.ndarray):
            return self._array(np.asarray(value), path)
        if type(value).__name__ in SPARSE and type(value).__module__.startswith("scipy.sparse"):
            parts = {
                name: self.encode(getattr(value, name), f"{path}.{name}")
                for name in ("data", "indices", "indptr")
            }
            return {"$": "sparse", "class": type(value).__name__, "shape": list(value.shape), **parts}
        if type(value) is Live:
            return {"$": "live", "name": value.name, "value": self.encode(value.pin()[1], f"{path}.value")}
        if isinstance(value, Connection):
            return self._connection(value, path)
        return self._instance(value, path)

    def _connection(self, value: Connection, path: str) -> dict[str, Any]:
        name = distinct(type(value).connection_name(get_params(value)), self._connections)
        self._connections.append(name)
        options = self._named(saved_options(value), path)
        return {"$": "connection", "class": class_path(type(value)), "name": name, "options": options}

    def _array(self, array: AnyArray, path: str) -> dict[str, Any]:
        if array.dtype.kind == "O":
            items = array.ravel().tolist()
            if not {type(item) for item in items} <= {str, int, bool, type(None)}:
                items = [self.encode(item, f"{path}[{i}]") for i, item in enumerate(items)]
            return {"$": "objects", "shape": list(array.shape), "items": items}
        if array.dtype.hasobject:
            raise ConfigurationError(
                f"found objects inside the structured array at {path}; expected plain fields"
            )
        key = f"a{len(self.arrays)}"
        if array.dtype.kind in "biuf" and array.dtype.itemsize <= 8 and array.dtype.isnative:
            # BLAS rounds by memory layout: an array keeps its own, and a loaded model scores as it did.
            fortran = array.flags.f_contiguous and not array.flags.c_contiguous
            self.arrays[key] = np.asarray(array.T if fortran else array, order="C")
            return {"$": "array", "key": key, **({"order": "F"} if fortran else {})}
        self.arrays[key] = np.frombuffer(array.tobytes(), np.uint8)
        descr = np.lib.format.dtype_to_descr(array.dtype)
        return {"$": "array", "key": key, "dtype": descr, "shape": list(array.shape)}

    def _instance(self, value: Any, path: str) -> dict[str, Any]:
        cls = type(value)
        library = cls.__module__.partition(".")[0]
        if library in _OF_FRAMES:
            raise ConfigurationError(
                f"found a {cls.__name__} of {library} at {path}; expected a list, mapping or array; "
                "hint: .tolist() for values, .to_dict() for values by id"
            )
        node = {"$": "object", "class": class_path(cls)}
        attributes = getattr(value, "__dict__", {})
        if not (hasattr(value, "__dict__") or dataclasses.is_dataclass(value) or isinstance(value, tuple)):
            raise ConfigurationError(
                f"found a {cls.__module__}.{cls.__qualname__} at {path}; expected numbers, text, arrays, "
                "containers, or instances made of these; hint: give its owner state() and load_state(state)"
            )
        if callable(getattr(cls, "state", None)) and callable(getattr(cls, "load_state", None)):
            options = _options(value)
            state = self.encode(value.state(), f"{path}.state()")
            return node | {"options": self._named(options, path), "state": state}
        fitted = {name: part for name, part in attributes.items() if _is_fitted(name)}
        if dataclasses.is_dataclass(value) and not isinstance(value, Configured):
            fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
            given = {field.name for field in dataclasses.fields(value) if field.init}
            rest = {name: part for name, part in (fitted | fields).items() if name not in given}
            fields = {name: part for name, part in fields.items() if name in given}
            if isinstance(value, Outside):
                fields = without_places(value, fields)
            return node | {"options": self._named(fields, path), "attributes": self._named(rest, path)}
        options = _options(value)
        if options is not None and _options_suffice(value, options):
            rest = {name: part for name, part in fitted.items() if name not in options}
            return node | {"options": self._named(options, path), "attributes": self._named(rest, path)}
        held = {name: part for name, part in attributes.items() if not is_cached(cls, name)}
        return node | {"options": None, "attributes": self._named(held, path)}

    def _named(self, parts: Mapping[str, Any] | None, path: str) -> dict[str, Any] | None:
        if parts is None:
            return None
        return {name: self.encode(part, f"{path}.{name}") for name, part in parts.items()}


#: Libraries whose objects are held as a user gave them, and belong to no saved state.
_OF_FRAMES = ("pandas", "polars", "pyarrow")
_CONTAINERS = (dict, list, tuple, set, frozenset)


def _is_fitted(name: str) -> bool:
    return name.endswith("_") and not name.startswith("_")


def _options(value: Any) -> dict[str, Any] | None:
    try:
        options = get_params(value)
        return without_places(value, options) if isinstance(value, Outside) else options
    except (ConfigurationError, ValueError, TypeError):
        if isinstance(value, Configured):
            raise
        return None


def _options_suffice(value: Any, options: Mapping[str, Any]) -> bool:
    """Tell whether the constructor rebuilds all that is neither an option nor fitted.

    Private attributes of recokit's own classes are built by their constructors; nobody promised that of other
    classes.
    """
    if isinstance(value, Configured):
        return True
    held = [name for name in getattr(value, "__dict__", {}) if not is_cached(type(value), name)]
    rest = [name for name in held if name not in options and not _is_fitted(name)]
    return bool(options) and all(name.startswith("_") and _is_own(type(value)) for name in rest)
