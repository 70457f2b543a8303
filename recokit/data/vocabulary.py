"""Vocabulary: external ids at the edge, codes inside."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np

from recokit._utils.options import shown
from recokit.errors import DataError
from recokit.typing import AnyArray, IntArray


class Vocabulary:
    """A frozen, two-way map between external ids and codes 1..n; code 0 means unknown.

    Parameters
    ----------
    ids : sequence of int or str
        Distinct external ids; the first becomes code 1.

    Raises
    ------
    DataError
        If ids repeat, are missing, or mix integers with text.

    Notes
    -----
    Integer ids are looked up by binary search, text ids by a dict; both are built here, so no request pays
    for them.

    Examples
    --------
    >>> vocabulary = Vocabulary(["apple", "pear"])
    >>> vocabulary.encode(["pear", "quince"]).tolist()
    [2, 0]
    >>> vocabulary.decode([2]).tolist()
    ['pear']
    """

    def __init__(self, ids: Sequence[Any] | AnyArray) -> None:
        self.ids = as_ids(ids).copy()
        self.ids.flags.writeable = False
        self._fingerprint = ""  # made when it is first asked for
        if self.kind == "int":
            self._order = np.argsort(self.ids, kind="stable")
            self._sorted = self.ids[self._order]
            repeated = self._order[1:][self._sorted[1:] == self._sorted[:-1]]
        else:
            self._codes: dict[str, int] = dict(
                zip(self.ids.tolist(), range(1, len(self.ids) + 1), strict=True)
            )
            repeated = np.zeros(0, np.int64)
            if len(self._codes) != len(self.ids):
                last = np.array([self._codes[id_] for id_ in self.ids.tolist()]) - 1
                repeated = np.flatnonzero(last != np.arange(len(self.ids)))
        if len(repeated):
            raise DataError(
                f"found id {shown(self.ids[repeated[0]])} more than once; expected distinct ids",
                rows=repeated.tolist(),
            )

    @property
    def kind(self) -> Literal["int", "str"]:
        """``"int"`` or ``"str"``: what the external ids are."""
        return "int" if self.ids.dtype.kind == "i" else "str"

    def __len__(self) -> int:
        """Return the number of known ids; codes run from 1 to this number."""
        return len(self.ids)

    def __contains__(self, id_: Any) -> bool:
        return bool(self.encode([id_])[0])

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Vocabulary) and self.fingerprint == other.fingerprint)

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} {self.kind} ids)"

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the ids in order, as 16 hex digits: equal content, equal fingerprint."""
        if not self._fingerprint:
            content = self.ids.tobytes() if self.kind == "int" else json.dumps(self.ids.tolist()).encode()
            self._fingerprint = hashlib.sha256(self.kind.encode() + content).hexdigest()[:16]
        return self._fingerprint

    def encode(self, ids: Iterable[Any] | AnyArray) -> IntArray:
        """Return the code of each id, 0 where it is unknown.

        Raises
        ------
        DataError
            If the ids are of the wrong kind (``"42"`` against integer ids): that is a bug, not a cold user.
        """
        found = as_ids(ids)
        if not len(found) or not len(self.ids):
            return np.zeros(len(found), np.int64)
        if (found.dtype.kind == "i") != (self.ids.dtype.kind == "i"):
            kind = "int" if found.dtype.kind == "i" else "str"
            raise DataError(
                f"found {kind} ids such as {shown(found[0])}; expected {self.kind} ids such as {shown(self.ids[0])}; "
                f"hint: convert them with {self.kind}() before the call"
            )
        if found.dtype.kind == "i":
            position = self._sorted.searchsorted(found)
            known = self._sorted.take(position, mode="clip") == found
            return np.asarray((self._order.take(position, mode="clip") + 1) * known)
        get = self._codes.get
        return np.fromiter((get(id_, 0) for id_ in found.tolist()), np.int64, len(found))

    def decode(self, codes: Sequence[int] | IntArray) -> AnyArray:
        """Return the id of each code; an object array with None where a code is 0.

        Raises
        ------
        DataError
            If a code is negative or above n: it belongs to another vocabulary.
        """
        codes = np.asarray(codes, np.int64)
        if len(codes) and (codes.min() < 0 or codes.max() > len(self)):
            raise DataError(f"found codes from {codes.min()} to {codes.max()}; expected 0 to {len(self)}")
        if codes.all():
            return self.ids[codes - 1]
        decoded = np.full(len(codes), None, object)
        decoded[codes > 0] = self.ids[codes[codes > 0] - 1]
        return decoded

    def extend(self, ids: Iterable[Any]) -> Vocabulary:
        """Return a vocabulary with the new ids among ``ids`` appended; old codes stay as they are."""
        found = as_ids(ids)
        unknown = found[self.encode(found) == 0].tolist()
        return Vocabulary([*self.ids.tolist(), *dict.fromkeys(unknown)]) if unknown else self


def as_ids(ids: Any, name: str = "ids") -> AnyArray:
    """Return ids as int64, or as an object array of str: the array given, if it is one already.

    Raises
    ------
    DataError
        With row numbers, where ids are neither, or a mix of both.
    """
    array = ids if isinstance(ids, np.ndarray) else _objects(ids)
    if array.ndim != 1:
        raise DataError(f"found {name} of shape {array.shape}; expected one dimension")
    if array.dtype.kind in "iu":
        return _int64(array, name)
    if array.dtype.kind == "U":
        return array.astype(object)
    values = array.tolist()
    kinds = set(map(type, values))
    if not kinds:
        return np.zeros(0, object)
    if kinds == {int}:
        return _int64(array, name)
    if all(_id_kind(kind) == "int" for kind in kinds):
        return _int64(array, name)
    if all(_id_kind(kind) == "str" for kind in kinds):
        return array if kinds == {str} else np.array([str(value) for value in values], object)
    first = _id_kind(type(values[0])) or "an id"
    bad = next(i for i, value in enumerate(values) if _id_kind(type(value)) != first)
    raise DataError(
        f"found {name} of types {', '.join(sorted(kind.__name__ for kind in kinds))}, as {values[bad]!r}; "
        "expected all integers or all text; hint: convert the column with str() and drop missing ids",
        rows=[bad],
    )


def factorize(ids: AnyArray) -> tuple[IntArray, AnyArray]:
    """Return codes from 1, (N,) int64, and the distinct ids, sorted, for ids as :func:`as_ids` returns them."""
    if ids.dtype.kind == "i":
        distinct, inverse = np.unique(ids, return_inverse=True)
        return inverse.astype(np.int64) + 1, distinct
    values = ids.tolist()
    ordered = sorted(set(values))  # much faster than sorting the text of every row
    code = dict(zip(ordered, range(1, len(ordered) + 1), strict=True))
    return np.fromiter(map(code.__getitem__, values), np.int64, len(values)), _objects(ordered)


def _objects(ids: Any) -> AnyArray:
    if isinstance(ids, str | bytes):
        raise DataError(f"found {ids!r} for a sequence of ids; expected a list, such as [{ids!r}]")
    values = list(ids)
    return np.fromiter(values, object, len(values))  # unlike np.array, keeps tuples whole


def _int64(array: AnyArray, name: str) -> IntArray:
    if array.dtype == np.uint64:  # numpy would wrap large numbers around without a word
        array = array.astype(object)
    try:
        return array.astype(np.int64, copy=False)
    except OverflowError:
        bad = [i for i, value in enumerate(array.tolist()) if not -(2**63) <= value < 2**63]
        raise DataError(
            f"found id {array[bad[0]]} in {name!r}; expected integers of 64 bits or text", rows=bad
        ) from None


def _id_kind(kind: type) -> str:
    if issubclass(kind, str):
        return "str"
    return "int" if issubclass(kind, int | np.integer) and kind is not bool else ""
