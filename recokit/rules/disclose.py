"""Disclose: a label on what is paid for, and a check that it is there."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np

from recokit._configured import Configured
from recokit.data import Candidates, Schema
from recokit.errors import ConfigurationError
from recokit.rules._columns import item_name, numeric_column, require_bound
from recokit.typing import AnyArray, BoolArray

__all__ = ["Disclose"]


class Disclose(Configured):
    """Annotator that labels sponsored items, and hard check that none goes without its label (R15).

    Parameters
    ----------
    column : str, default "sponsored"
        Item column: above 0 is sponsored, 0 is not. An item where it is missing may be either, and is dropped.
    label : str, optional
        The label; the column's name by default.

    Raises
    ------
    ConfigurationError
        If the label is empty or holds a comma, or there is no such column.

    Examples
    --------
    >>> from recokit.testing import toy_dataset
    >>> rule = Disclose("sponsored").bind(toy_dataset().schema)
    >>> batch = Candidates.from_lists([[1, 2, 3]])
    >>> rule.verify(batch.with_columns(rule.annotate(batch))).all()
    np.True_
    """

    provides = ("labels",)

    def __init__(self, column: str = "sponsored", *, label: str | None = None) -> None:
        item_name(column)
        if label is not None and (not label or "," in label):
            raise ConfigurationError(f"found label={label!r}; expected text without a comma")
        self.column, self.label = column, label

    @property
    def requires(self) -> tuple[str, ...]:
        """The item column."""
        return (item_name(self.column),)

    def bind(self, schema: Schema) -> Any:
        """Return a copy that knows what is sponsored."""
        bound: Any = copy.copy(self)
        column = numeric_column(schema, self.column)
        bound.sponsored_, bound.unknown_ = column > 0, np.isnan(column)
        return bound

    def annotate(self, candidates: Candidates) -> Mapping[str, AnyArray]:
        """Return the column ``labels``, (N,) object: labels joined by commas, empty for none."""
        before = candidates.columns.get("labels", np.full(len(candidates), "", object))
        name = self._label
        sponsored = require_bound(self, "sponsored_")[candidates.item]
        labels = before.copy()
        labels[sponsored & (before == "")] = name
        labels[sponsored & (before != "")] += f",{name}"
        return {"labels": labels}

    def verify(self, candidates: Candidates) -> BoolArray:
        """Tell which items may be shown, (N,) bool: known not to be sponsored, or labelled."""
        sponsored = require_bound(self, "sponsored_")[candidates.item]
        unknown = require_bound(self, "unknown_")[candidates.item]
        labels = candidates.columns.get("labels")
        labelled = np.zeros(len(candidates), np.bool_)
        if labels is not None:
            kinds, which = np.unique(labels.astype(str), return_inverse=True)
            labelled = np.array([self._label in kind.split(",") for kind in kinds], np.bool_)[which]
        return (~sponsored | labelled) & ~unknown

    @property
    def _label(self) -> str:
        return self.label or self.column.removeprefix("item.")
