"""Compared: objectives that compare items, their options and the choice of content."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from recokit._kernels.slate_arrays import Gains, Kind
from recokit._utils.options import between, check_options, whole
from recokit.compose.alone.lists import AloneObjective
from recokit.data import Schema, Vocabulary, Window
from recokit.data.columns import Several
from recokit.diversity._content import Content, Labels, LabelSets, Pairs, Vectors, unit_vectors
from recokit.errors import ConfigurationError, ContractError
from recokit.typing import AnyArray, BoolArray, Float32Array, IntArray

#: Options of all objectives that weigh relevance against something.
OBJECTIVE_OPTIONS = {"trade_off": between(0, 1), "pool": whole(1)}


class Compared(AloneObjective):
    """An objective that weighs relevance against the likeness of items; see :class:`recokit.diversity.MMR`."""

    labels_: IntArray

    kernel: ClassVar[Kind]
    #: Whether something is known of each item, by code; None where a function compares, or labels.
    known_: BoolArray | None = None
    #: The model's item ids, once bound, for a function that compares ids.
    item_ids_: Vocabulary | None = None

    def __init__(
        self,
        trade_off: float = 0.7,
        *,
        vectors: AnyArray | None = None,
        columns: Sequence[str] | None = None,
        similarity: Any | Callable[[AnyArray, AnyArray], AnyArray] | None = None,
        pool: int = 100,
        codes: bool = False,
    ) -> None:
        by = {"vectors": vectors, "columns": columns, "similarity": similarity}
        named = [name for name, value in by.items() if value is not None]
        if len(named) > 1:
            raise ConfigurationError(
                f"found both {' and '.join(named)}; expected one of them to compare items by"
            )
        self.trade_off, self.vectors, self.columns = trade_off, vectors, columns
        self.similarity, self.pool, self.codes = similarity, pool, codes
        check_options(self, OBJECTIVE_OPTIONS)
        if vectors is not None:
            if np.ndim(vectors) != 2 or not isinstance(vectors, np.ndarray) or not np.isfinite(vectors).all():
                raise ConfigurationError(
                    f"found vectors as {type(vectors).__name__} of shape {np.shape(vectors)}; expected finite ones in "
                    "an array of shape (n_items + 1, D)"
                )
            self.unit_ = unit_vectors(vectors)
            self.known_ = np.asarray(self.unit_.any(axis=1))
        elif similarity is not None and not callable(similarity):
            shape = np.shape(similarity)
            if len(shape) != 2 or shape[0] != shape[1]:
                raise ConfigurationError(
                    f"found similarity of shape {shape}; expected (n_items + 1, n_items + 1), or a function of two "
                    "arrays of item ids"
                )
            self.known_ = np.asarray((similarity != 0).sum(axis=1)).ravel() > 0

    @property
    def requires(self) -> tuple[str, ...]:
        """The item columns named."""
        return tuple(f"item.{name.removeprefix('item.')}" for name in self.columns or ())

    @property
    def own_code(self) -> bool:
        """Whether a function of the user's own compares."""
        return callable(self.similarity)

    def bind(self, schema: Schema) -> Any:
        """Return a copy that knows the labels to compare items by."""
        bound: Any = copy.copy(self)
        if self.known_ is not None:
            check_codes("vectors" if self.vectors is not None else "similarity", self.known_, schema)
        elif self.similarity is None:
            names = self.columns if self.columns is not None else tuple(schema.items.categorical)
            if not names:
                raise ConfigurationError(
                    "found neither vectors nor a categorical item column; expected something to compare items by; "
                    f"hint: {type(self).__name__}(vectors=...)"
                )
            bound.labels_ = _label_columns(schema, names)
        elif not self.codes:
            bound.item_ids_ = schema.item_ids
        return bound

    def content(self, window: Window) -> Content:
        """Return what the window's items are compared by."""
        if self.vectors is not None and self.known_ is not None:
            return Vectors(self.unit_, self.known_, items_of(window, len(self.unit_)), window.valid)
        if self.similarity is not None:
            item = items_of(window, None if self.known_ is None else len(self.known_))
            return Pairs(self.similarity, self.known_, item, window.valid, self.item_ids_)
        labels = self.labels_
        kind = Labels if labels.ndim == 2 else LabelSets
        return kind(labels, items_of(window, len(labels)), window.valid)

    def as_arrays(self, window: Window) -> Gains | None:
        """Return what gains follow from, for the compiled kernel; None for a similarity, or labels in sets."""
        if self.similarity is not None:
            return None
        vectors = None if self.vectors is None else self.unit_
        labels = self._bound_labels() if vectors is None else None
        if labels is not None and labels.ndim == 3:
            return None  # sets of labels
        known = vectors if labels is None else labels
        assert known is not None
        return Gains(
            self.kernel,
            self.trade_off,
            window.relevance,
            item=items_of(window, len(known)),
            vectors=vectors,
            has_vector=self.known_,
            labels=labels,
        )

    def _bound_labels(self) -> IntArray:
        labels: IntArray = self.labels_
        return labels


@dataclass(frozen=True, eq=False)
class GainState:
    """Weighted relevance and gain so far, (B, W): the gain is written into, each run has its own."""

    content: Content
    relevance: Float32Array
    gain: Float32Array


class Incremental(Compared):
    """An objective whose gain is relevance less something that each choice adds to."""

    def gain(self, state: GainState) -> Float32Array:
        """Return the gain, (B, W); what has no content loses what its row's others lose in the mean."""
        if state.content.known.all:
            return state.gain
        return state.relevance + state.content.known.neutral(state.gain - state.relevance)


def _label_columns(schema: Schema, names: Sequence[str]) -> IntArray:
    """Return the columns' label codes, (n + 1, C), or (n + 1, C, m) where one of them holds several labels."""
    table = schema.items
    columns = {name: table.categorical.get(table.named(name.removeprefix("item."))) for name in names}
    if all(column is None or column.separator is None for column in columns.values()):
        return np.stack([_labels(schema, name) for name in names], axis=1)
    sets = [
        _labels(schema, name)[:, None]
        if column is None or column.separator is None
        else _in_slots(column.several)
        for name, column in columns.items()
    ]
    widest = max(labels.shape[1] for labels in sets)
    return np.stack([np.pad(labels, ((0, 0), (0, widest - labels.shape[1]))) for labels in sets], axis=1)


def _in_slots(several: Several) -> IntArray:
    """Return each item's label codes from the left, then 0, (n + 1, m)."""
    counts = np.diff(several.offsets)
    slots = np.zeros((len(counts), max(int(counts.max(initial=0)), 1)), np.int64)
    slots[np.arange(slots.shape[1]) < counts[:, None]] = several.code
    return slots


def _labels(schema: Schema, name: str) -> IntArray:
    """Return an item column as label codes, 0 where it is missing."""
    column = schema.item_column(name)
    if column.dtype.kind == "i":
        return column.astype(np.int64)
    if column.dtype.kind == "O":
        missing = np.array([value is None for value in column])
        codes = np.unique(np.where(missing, "", column).astype(str), return_inverse=True)[1] + 1
    else:
        missing = np.isnan(column)
        codes = np.unique(column, return_inverse=True)[1] + 1
    return np.asarray(np.where(missing, 0, codes), np.int64)


def items_of(window: Window, n_codes: int | None = None) -> IntArray:
    """Return the item codes of a window, (B, W).

    Raises
    ------
    ContractError
        If a code is not below ``n_codes``.
    """
    item = window.candidates.item[window.index] if window.candidates.item.size else window.index
    if n_codes is not None and item.size and item.max() >= n_codes:
        raise ContractError(f"found item code {item.max()}; expected at most {n_codes - 1}")
    return item


def weighted(trade_off: float, relevance: Float32Array) -> Float32Array:
    """Return the share of relevance in a gain, ``trade_off * relevance``, as a new array."""
    return np.asarray(np.float32(trade_off) * relevance)


def check_codes(what: str, values: AnyArray, schema: Schema) -> None:
    """Check that there is one value for each item code.

    Raises
    ------
    ConfigurationError
        If there are more or fewer.
    """
    if len(values) != len(schema.item_ids) + 1:
        raise ConfigurationError(
            f"found {what} for {len(values)} item codes; expected {len(schema.item_ids) + 1}, "
            "row 0 for unknown items"
        )
