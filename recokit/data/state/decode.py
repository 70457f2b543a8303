"""The half of the codec that reads: nodes of a JSON tree become objects of classes on the allow-list."""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import importlib
import inspect
import math
import re
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any

import numpy as np

from recokit._utils.moved import saved_class, saved_names
from recokit._utils.options import shortened
from recokit._utils.params import Configured
from recokit.data.live import Live
from recokit.data.state.outside import Connection, Connections, Outside, is_place
from recokit.errors import ConfigurationError, DataError
from recokit.typing import AnyArray

#: Classes of scipy.sparse that are stored.
SPARSE = ("csr_matrix", "csr_array", "csc_matrix", "csc_array")
#: Classes of recokit that hold data, and say so neither by their kind nor by a state of their own.
#: Modules whose classes write to files and servers, whatever they look like.
_WRITERS = ("recokit.monitoring.feature_log.log:", "recokit.monitoring.export.", "recokit.stores._")
_HOLDERS = ("recokit.data.vocabulary:Vocabulary", _FOREST := "recokit._kernels.forest:Forest")


def class_path(cls: type) -> str:
    """Return ``"module:Qualified.name"`` of a class."""
    return f"{cls.__module__}:{cls.__qualname__}"


class Decoder:
    """Rebuilds nodes; ``objects`` are those rebuilt so far, which later nodes refer to."""

    def __init__(self, arrays: Mapping[str, AnyArray], trusted: Mapping[str, type]) -> None:
        self.objects: list[Any] = []
        self._arrays, self._trusted = arrays, trusted
        self._connections = Connections(None, {})

    def given_connections(self, given: Mapping[str, Any] | None, nodes: Iterable[Any]) -> None:
        """Take the caller's connections.

        Raises
        ------
        ConfigurationError
            If they are not those that the nodes name.
        """
        needed = {}
        for node in nodes:
            found = self._connection_of(node)
            if found is not None:
                needed[found[1]] = found[0].__name__
        self._connections = Connections(given, needed)

    def _connection_of(self, node: Any) -> tuple[type[Connection], str] | None:
        """Return class and name of the connection that a node stands for; states of old name none."""
        if not isinstance(node, dict) or node.get("$") not in ("connection", "object"):
            return None
        if node["$"] == "object" and not str(node.get("class")).startswith("recokit."):
            return None
        cls = self.resolve(node["class"])
        if not issubclass(cls, Connection):
            return None
        return cls, str(node["name"] if "name" in node else cls.connection_name(node["options"]))

    def decode(self, node: Any) -> Any:
        """Rebuild a node and everything in it."""
        if isinstance(node, list):
            return [self.decode(part) for part in node]
        if not isinstance(node, dict):
            return node
        return _DECODE[node["$"]](self, node)

    def items(self, node: dict[str, Any]) -> list[Any]:
        """Rebuild the items of a container."""
        return [self.decode(part) for part in node["items"]]

    def named(self, parts: dict[str, Any]) -> dict[str, Any]:
        """Rebuild the values of a mapping."""
        return {name: self.decode(part) for name, part in parts.items()}

    def ref(self, node: dict[str, Any]) -> Any:
        """Return an object rebuilt before."""
        if not 0 <= node["to"] < len(self.objects):
            raise DataError(
                f"found a reference to object {node['to']} of {len(self.objects)}; the state is malformed"
            )
        return self.objects[node["to"]]

    def array(self, node: dict[str, Any]) -> AnyArray:
        """Return a stored array in its own dtype, shape and order."""
        stored = self._arrays[node["key"]]
        if "dtype" not in node:
            return stored.T if node.get("order") == "F" else stored
        dtype = np.lib.format.descr_to_dtype(_descr(node["dtype"]))
        if not stored.size:
            if math.prod(node["shape"]) * dtype.itemsize:
                raise DataError(
                    f"found nothing for an array of shape {node['shape']}; the state is malformed"
                )
            return np.zeros(node["shape"], dtype)
        return stored.view(dtype).reshape(node["shape"])

    def objects_array(self, node: dict[str, Any]) -> AnyArray:
        """Rebuild an array of objects."""
        items = node["items"]
        return np.fromiter(map(self.decode, items), object, len(items)).reshape(node["shape"])

    def sparse(self, node: dict[str, Any]) -> Any:
        """Rebuild a sparse matrix, its indices checked."""
        import scipy.sparse

        if node["class"] not in SPARSE:
            raise DataError(f"found sparse class {node['class']!r}; expected one of {', '.join(SPARSE)}")
        parts = tuple(self.decode(node[name]) for name in ("data", "indices", "indptr"))
        matrix = getattr(scipy.sparse, node["class"])(parts, shape=tuple(node["shape"]))
        matrix.check_format(full_check=True)  # wrong indices would make compiled code read past the arrays
        return matrix

    def instance(self, node: dict[str, Any]) -> Any:
        """Rebuild an instance of an allowed class."""
        cls = self.resolve(node["class"])
        if issubclass(cls, Connection):
            return self.connection(node)
        self._check_storable(cls, node)
        new = saved_names(class_path(cls))
        if node["options"] is None:
            built = cls.__new__(cls)
        else:
            options = {new.get(name, name): part for name, part in self.named(node["options"]).items()}
            built = self._constructed(cls, options, node["class"])
        if "state" in node:
            built.load_state(self.decode(node["state"]))
        else:
            for saved_name, part in self.named(node["attributes"]).items():
                name = new.get(saved_name, saved_name)
                _check_attribute(cls, name)
                self._check_learned(cls, name)
                if not is_cached(cls, name):
                    object.__setattr__(built, name, part)  # frozen dataclasses too
        return built

    def _constructed(self, cls: type, options: dict[str, Any], saved_as: str) -> Any:
        if issubclass(cls, Outside):
            places = {name for name in cls.places if is_place(options.get(name))}
            options |= dict.fromkeys(places)
        try:
            return cls(**options)
        except TypeError as error:
            raise DataError(
                f"found saved options {sorted(options)} that {saved_as} does not take ({shortened(error)}); "
                "the state was saved by another version of that class"
            ) from error

    def _check_storable(self, cls: type, node: dict[str, Any]) -> None:
        """Check that a class of recokit is one that holds data: others may do more than that when they are made."""
        path = class_path(cls)
        if path in self._trusted:
            return
        holds = (
            issubclass(cls, Configured | Enum | tuple) or dataclasses.is_dataclass(cls) or path in _HOLDERS
        )
        holds = holds or (_has_method(cls, "state") and _has_method(cls, "load_state"))
        if (
            not holds
            or path.startswith(_WRITERS)
            or (node["options"] is None and path != _FOREST and "state" not in node)
        ):
            raise DataError(f"found {path} in a saved state; expected a class that is saved as its options")

    def _check_learned(self, cls: type, name: str) -> None:
        """Check that an attribute of recokit's own class is one that it learns: its constructor makes the others."""
        path = class_path(cls)
        fields = {field.name for field in dataclasses.fields(cls)} if dataclasses.is_dataclass(cls) else set()
        learned = (name.endswith("_") and not name.startswith("_")) or name in fields
        if not learned and path not in self._trusted and path != _FOREST:
            raise DataError(
                f"found attribute {name!r} of {path} in a saved state; expected what it learns only"
            )

    def connection(self, node: dict[str, Any]) -> Any:
        """Return the connection that the caller gave for a node."""
        found = self._connection_of(node)
        if found is None:
            raise DataError(f"found {node['class']!r} for a connection; the state is malformed")
        cls, name = found
        options = {key: part for key, part in self.named(node["options"]).items() if key not in cls.places}
        return self._connections.connect(cls, name, options)

    def member(self, node: dict[str, Any]) -> Any:
        """Return a member of an allowed enum."""
        cls = self.resolve(node["class"])
        if not issubclass(cls, Enum):
            raise DataError(f"found {node['class']} for an enum member; the state is malformed")
        return cls[node["name"]]

    def resolve(self, path: str) -> Any:
        """Return the class of a path, if it is recokit's own or trusted."""
        if path in self._trusted:
            return self._trusted[path]
        path = saved_class(path)
        module, _, name = path.partition(":")
        if not re.fullmatch(r"recokit(\.(?!__)\w+)*", module):
            raise ConfigurationError(
                f"found class {path!r} in a saved state; expected recokit's own classes; "
                f"hint: import it and load with trusted=[{name.rpartition('.')[2]}]"
            )
        try:
            cls: Any = functools.reduce(getattr, name.split("."), importlib.import_module(module))
        except (ImportError, AttributeError) as error:
            raise DataError(
                f"found class {path!r} in a saved state; expected one that this version of recokit has; "
                "hint: load it with the version in its manifest.json, or fit and save the model anew"
            ) from error
        if not (isinstance(cls, type) and class_path(cls) == path):
            raise DataError(f"found {path!r} in a saved state; expected a class of recokit")
        return cls


def _has_method(cls: type, name: str) -> bool:
    return inspect.isfunction(inspect.getattr_static(cls, name, None))


def is_cached(cls: type, name: str) -> bool:
    """Tell whether an attribute is a value that the class computes once: it is computed anew, not stored."""
    return isinstance(inspect.getattr_static(cls, name, None), functools.cached_property)


def _check_attribute(cls: type, name: str) -> None:
    """Check that an attribute of a state stands in place of nothing that the class does."""
    found = inspect.getattr_static(cls, name, None)
    if name.startswith("__") or callable(found) or isinstance(found, property | classmethod | staticmethod):
        raise DataError(
            f"found attribute {name!r} of {class_path(cls)} in a saved state, which is a method of that class; "
            "the state is malformed"
        )


def _descr(node: Any) -> Any:
    """Undo what JSON does to a dtype description: fields, titled names and shapes are tuples again."""
    if not isinstance(node, list):
        return node
    return [
        tuple(
            tuple(part) if isinstance(part, list) and i != 1 else _descr(part) for i, part in enumerate(field)
        )
        for field in node
    ]


def _scalar(node: dict[str, Any]) -> Any:
    return np.frombuffer(bytes.fromhex(node["hex"]), np.dtype(node["dtype"]))[0]


_DECODE: Mapping[str, Callable[[Decoder, dict[str, Any]], Any]] = {
    "array": Decoder.array,
    "connection": Decoder.connection,
    "date": lambda _, node: dt.date.fromisoformat(node["value"]),
    "datetime": lambda _, node: dt.datetime.fromisoformat(node["value"]),
    "dict": lambda decoder, node: decoder.named(node["items"]),
    "enum": Decoder.member,
    "float": lambda _, node: float(node["value"]),
    "frozenset": lambda decoder, node: frozenset(decoder.items(node)),
    "live": lambda decoder, node: Live(decoder.decode(node["value"]), name=node["name"]),
    "object": Decoder.instance,
    "objects": Decoder.objects_array,
    "pairs": lambda decoder, node: {
        decoder.decode(key): decoder.decode(value) for key, value in node["items"]
    },
    "ref": Decoder.ref,
    "scalar": lambda _, node: _scalar(node),
    "set": lambda decoder, node: set(decoder.items(node)),
    "sparse": Decoder.sparse,
    "timedelta": lambda _, node: dt.timedelta(*node["value"]),
    "tuple": lambda decoder, node: tuple(decoder.items(node)),
}
