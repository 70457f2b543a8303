"""Disclose: a label on what is paid for or boosted, and a check that it is there."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recokit._utils.params import Configured, same
from recokit.data import Candidates, Schema
from recokit.errors import ConfigurationError
from recokit.protocols import MovesItems
from recokit.rules._groups import item_name, numeric_column
from recokit.typing import AnyArray, BoolArray


@dataclass(frozen=True, eq=False)
class _Marked:
    """A label, the candidates that must carry it, and those of which nobody knows, (N,) bool."""

    label: str
    must: BoolArray
    unknown: BoolArray


class Disclose(Configured):
    """Annotator that labels sponsored and boosted items, and hard check that none goes without its label.

    Parameters
    ----------
    column : str, boost, or sequence of these, default "sponsored"
        Item column: above 0 is sponsored, 0 is not. An item where it is missing may be either, and is dropped. Or a
        rule that moves items, such as :class:`Boost`: what it touches carries its label.
    label : str, optional
        The label of a column; the column's name by default. Rules have their own.

    Raises
    ------
    ConfigurationError
        If a label is empty, holds a comma or is given for a rule, or there is no such column.

    Examples
    --------
    >>> from recokit.testing import toy_dataset
    >>> rule = Disclose("sponsored").bind(toy_dataset().schema)
    >>> batch = Candidates.from_lists([[1, 2, 3]])
    >>> rule.verify(batch.with_columns(rule.annotate(batch))).all()
    np.True_
    """

    flags_: Sequence[AnyArray | None]

    provides = ("labels",)

    def __init__(self, column: Any = "sponsored", *, label: str | None = None) -> None:
        self.column, self.label = column, label
        for part in self._parts:
            if not isinstance(part, MovesItems) or part.label is None:
                item_name(part)
        single = isinstance(column, str)
        if label is not None and (not single or not label or "," in label):
            raise ConfigurationError(f"found label={label!r}; expected text without a comma, for one column")
        if not self._parts:
            raise ConfigurationError("found nothing to disclose; expected a column or a rule")

    @property
    def _parts(self) -> Sequence[Any]:
        return self.column if isinstance(self.column, list | tuple) else (self.column,)

    @property
    def requires(self) -> tuple[str, ...]:
        """The item columns, and what the rules require."""
        names = [(item_name(part),) if isinstance(part, str) else part.requires for part in self._parts]
        return tuple(dict.fromkeys(name for part in names for name in part))

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that it puts and checks."""
        return tuple(self._label(part) for part in self._parts)

    def discloses(self, part: Any) -> bool:
        """Tell whether it labels what a rule of the same class and options touches, or an item column flags."""
        if isinstance(part, str):
            return any(isinstance(mine, str) and item_name(mine) == item_name(part) for mine in self._parts)
        return any(not isinstance(mine, str) and same(mine, part) for mine in self._parts)

    def disclosing(self, old: Any, new: Any) -> Disclose:
        """Return one that labels what a new rule touches in place of an old one."""
        parts = [new if not isinstance(mine, str) and same(mine, old) else mine for mine in self._parts]
        return Disclose(parts if isinstance(self.column, list | tuple) else parts[0], label=self.label)

    def bind(self, schema: Schema) -> Any:
        """Return a copy that knows what is sponsored, with its rules bound."""
        bound: Any = copy.copy(self)
        bound.flags_ = [
            numeric_column(schema, part) if isinstance(part, str) else None for part in self._parts
        ]
        parts = [part if isinstance(part, str) else part.bind(schema) for part in self._parts]
        bound.column = parts if isinstance(self.column, list | tuple) else parts[0]
        return bound

    def annotate(self, candidates: Candidates) -> Mapping[str, AnyArray]:
        """Return the column ``labels``, (N,) object: labels joined by commas, empty for none."""
        labels = candidates.columns.get("labels", np.full(len(candidates.item), "", object)).copy()
        for marked in self._marked(candidates):
            missing = marked.must & ~_has(labels, marked.label)
            labels[missing & (labels != "")] += ","
            labels[missing] += marked.label
        return {"labels": labels}

    def verify(self, candidates: Candidates) -> BoolArray:
        """Tell which items may be shown, (N,) bool: known to be neither sponsored nor boosted, or labelled."""
        labels = candidates.columns.get("labels")
        passed = np.ones(len(candidates.item), np.bool_)
        for marked in self._marked(candidates):
            labelled = np.False_ if labels is None else _has(labels, marked.label)
            passed &= (~marked.must | labelled) & ~marked.unknown
        return passed

    def _marked(self, candidates: Candidates) -> list[_Marked]:
        found = []
        for part, flag in zip(self._parts, self.flags_, strict=True):
            if flag is None:
                must, unknown = part.touches(candidates), np.zeros(len(candidates.item), np.bool_)
            else:
                value = flag[candidates.item]
                must, unknown = value > 0, np.isnan(value)
            found.append(_Marked(self._label(part), must, unknown))
        return found

    def _label(self, part: Any) -> str:
        return str(self.label or part.removeprefix("item.")) if isinstance(part, str) else str(part.label)


def _has(labels: AnyArray, label: str) -> BoolArray:
    """Tell which candidates carry a label, (N,) bool."""
    kinds, which = np.unique(labels.astype(str), return_inverse=True)
    return np.array([label in kind.split(",") for kind in kinds], np.bool_)[which]
