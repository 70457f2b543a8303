"""The half of the codec that reads: nodes of a JSON tree become objects of classes on the allow-list."""

from __future__ import annotations

import datetime as dt
import functools
import importlib
import re
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

import numpy as np

from recokit._utils.moved import saved_class, saved_names
from recokit.data.live import Live
from recokit.errors import ConfigurationError, DataError
from recokit.typing import AnyArray

#: Classes of scipy.sparse that are stored.
SPARSE = ("csr_matrix", "csr_array", "csc_matrix", "csc_array")


def class_path(cls: type) -> str:
    """Return ``"module:Qualified.name"`` of a class."""
    return f"{cls.__module__}:{cls.__qualname__}"


class Decoder:
    """Rebuilds nodes; ``objects`` are those rebuilt so far, which later nodes refer to."""

    def __init__(self, arrays: Mapping[str, AnyArray], trusted: Mapping[str, type]) -> None:
        self.objects: list[Any] = []
        self._arrays, self._trusted = arrays, trusted

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
        new = saved_names(class_path(cls))
        if node["options"] is None:
            built = cls.__new__(cls)
        else:
            options = {new.get(name, name): part for name, part in self.named(node["options"]).items()}
            try:
                built = cls(**options)
            except TypeError as error:
                raise DataError(
                    f"found saved options {sorted(options)} that {node['class']} does not take ({error}); "
                    "the state was saved by another version of that class"
                ) from error
        if "state" in node:
            built.load_state(self.decode(node["state"]))
        else:
            for name, part in self.named(node["attributes"]).items():
                object.__setattr__(built, new.get(name, name), part)  # frozen dataclasses too
        return built

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
