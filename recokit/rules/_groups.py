"""Groups of items by a column, and the limits on them."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from recokit._kernels.segments import counts_to_offsets, gather_segments
from recokit._utils.options import Rule, check_options, optional, whole
from recokit.compose.alone.lists import AloneRule
from recokit.compose.step import snake_case
from recokit.data import Candidates, Cap, Schema
from recokit.data.columns import split
from recokit.errors import ConfigurationError, did_you_mean
from recokit.typing import AnyArray, IntArray

Only = str | float | bool | Sequence[Any]

#: The name of an item column, with or without ``"item."`` in front.
ITEM_COLUMN = Rule(
    "the name of an item column, such as 'category'",
    lambda value: isinstance(value, str) and bool(value.removeprefix("item.")),
)

#: What discloses that items were moved for the business.
LABEL = Rule(
    "text without a comma, or None",
    lambda label: label is None or (isinstance(label, str) and bool(label) and "," not in label),
)


class GroupLimit(AloneRule, ABC):
    """A limit on the groups that an item column makes; subclasses say its :meth:`_bounds`. Abstract."""

    cap_: Cap

    _OPTIONS: ClassVar[Mapping[str, Rule]] = {"column": ITEM_COLUMN, "within": optional(whole(1))}

    column: str
    hard: bool
    relax_order: int
    within: int | None = None
    only: Only | None = None
    separator: str | None = None
    #: Whether items without a value are limited together, or not at all.
    missing: Literal["together", "alone"] = "together"

    def _check(self) -> None:
        check_options(self, self._OPTIONS)

    @property
    def requires(self) -> tuple[str, ...]:
        """The item column."""
        return (item_name(self.column),)

    def bind(self, schema: Schema) -> Any:
        """Return a copy that has the cap on all items by code."""
        bound: Any = copy.copy(self)
        group, offsets = groups_by(
            schema, self.column, only=self.only, separator=self.separator, missing=self.missing
        )
        kind, name = snake_case(type(self).__name__), self.column.removeprefix("item.")
        bound.cap_ = Cap(
            f"{kind}({name})" if self.only is None else f"{kind}({name}={self.only})",
            group,
            offsets,
            hard=self.hard,
            relax_order=self.relax_order,
            **self._bounds(),
        )
        return bound

    def limit(self, candidates: Candidates) -> tuple[Cap, ...]:
        """Return the cap on these candidates."""
        return (self.cap_.of_items(candidates.item),)

    @abstractmethod
    def _bounds(self) -> dict[str, Any]:
        """Return what the cap bounds, as :class:`recokit.data.Cap` calls it."""


def groups_by(
    schema: Schema,
    column: str,
    *,
    only: Only | None = None,
    separator: str | None = None,
    missing: Literal["together", "alone"] = "together",
) -> tuple[IntArray, IntArray | None]:
    """Group items by a column: group codes by item code, negative for none, and CSR offsets where they have several.

    Parameters
    ----------
    schema : Schema
        The model's tables.
    column : str
        A categorical or numeric item column, or a text column with a separator.
    only : value or sequence of values, optional
        Items with another value are in no group.
    separator : str, optional
        Between the values of an item that has several; that of the column by default, where it has one.
    missing : {"together", "alone"}
        Whether items without a value are a group or in none; in none with ``only`` or ``separator``.

    Raises
    ------
    ConfigurationError
        If there is no such column or value, or free text is to be grouped.
    """
    name = column.removeprefix("item.")
    values = schema.known_item_column(name)
    name = schema.items.named(name)
    if name in schema.items.categorical:
        separator = separator or schema.items.categorical[name].separator
        labels = schema.items.labels(name).ids.astype(object)
        codes = values.astype(np.int64)
    elif values.dtype.kind == "f" and name in schema.items.numeric_names:
        # A number (a seller's, or a flag) groups by its values.
        known, codes = np.unique(values, return_inverse=True)
        labels = known[~np.isnan(known)].astype(object)
        codes = np.where(np.isnan(values), 0, codes.ravel() + 1)
    elif separator is not None:
        texts = np.where(values == None, "", values).astype(str)  # noqa: E711
        known, codes = np.unique(texts, return_inverse=True)
        labels, codes = known.astype(object), codes.ravel() + 1
    else:
        raise ConfigurationError(
            f"found free text in item column {name!r}; expected labels or numbers to group by; "
            "hint: Dataset.from_frame(..., categorical=[...]) or separator="
        )
    offsets = None
    if separator is not None:
        labels, codes, offsets = _split(labels, codes, separator)
    if only is not None:
        codes = np.where(np.isin(codes, _wanted(labels, only, name)), codes, -1)
    elif separator is not None or missing == "alone":
        codes = np.where(codes > 0, codes, -1)
    return codes.astype(np.int64), offsets


def _split(labels: Any, codes: IntArray, separator: str) -> tuple[Any, IntArray, IntArray]:
    """Return the parts that labels are made of, the parts' codes item by item, and the CSR offsets of the items."""
    parts = [[], *(sorted({*split(str(label), separator)}) for label in labels)]
    names = sorted({part for label in parts for part in label})
    code = {name: i + 1 for i, name in enumerate(names)}
    starts = counts_to_offsets(np.array([len(label) for label in parts]))
    flat = np.array([code[part] for label in parts for part in label], np.int64)
    offsets, index = gather_segments(starts, codes)
    return np.array(names, object), flat[index], offsets


def _wanted(labels: Any, only: Only, column: str) -> list[int]:
    known = {label: i + 1 for i, label in enumerate(labels.tolist())}
    wanted = [only] if isinstance(only, str) or not isinstance(only, Sequence) else list(only)
    for value in wanted:
        if value not in known:
            raise ConfigurationError(
                f"found only={value!r}; expected a value of item column {column!r}; "
                f"{did_you_mean(str(value), [str(label) for label in known])}"
            )
    return [known[value] for value in wanted]


def item_name(column: str) -> str:
    """Return a column as ``"item.category"``, whether or not it was named so.

    Raises
    ------
    ConfigurationError
        If it is no name.
    """
    ITEM_COLUMN.check("column", column)
    return f"item.{column.removeprefix('item.')}"


def numeric_column(schema: Schema, column: str) -> AnyArray:
    """Return a numeric or boolean item column by code, (n_items + 1,) float32, NaN where missing.

    Raises
    ------
    ConfigurationError
        If there is no such column, or it holds text: the labels "yes" and "no" are both something.
    """
    values = schema.known_item_column(column)
    if values.dtype.kind != "f":
        raise ConfigurationError(
            f"found labels or text in item column {column!r}; expected numbers or booleans, above 0 where it holds"
        )
    return values
