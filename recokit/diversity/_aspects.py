"""Aspects: the labels of items, one or several of each, and how much of each label a list should have."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from recokit._kernels.slate_arrays import Gains, Kind
from recokit._utils.options import check_options, shown
from recokit.compose.alone.lists import AloneObjective
from recokit.data import Schema, Window
from recokit.data.columns import split
from recokit.diversity._content import Known
from recokit.diversity._similarity import OBJECTIVE_OPTIONS, check_codes, items_of
from recokit.errors import ConfigurationError, did_you_mean
from recokit.typing import AnyArray, Float32Array, FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Aspects:
    """Labels by item code.

    Parameters
    ----------
    code : ndarray of int64, shape (n_items + 1, m)
        Label codes of each item from the left, then 0.
    labels : tuple of str
        The label of each code from 1 on.
    """

    code: IntArray
    labels: tuple[str, ...]

    @classmethod
    def of(cls, column: AnyArray, names: AnyArray | None, separator: str | None) -> Aspects:
        """Build from a column (n + 1,) of codes and their names from 1 on, or of values; several by a separator."""
        if names is None:
            # The first of all is the unknown item's: it has no label.
            values = np.array(["" if _missing(value) else str(value) for value in column.tolist()])
            values[0] = ""
            kinds, column = np.unique(values, return_inverse=True)
            names = kinds.astype(object)
        else:
            names = np.concatenate([[""], np.asarray(names).astype(str)]).astype(object)
        parts = [split(name, separator) for name in names.tolist()]
        labels = tuple(sorted({part for several in parts for part in several}))
        place = {label: code for code, label in enumerate(labels, 1)}
        table = np.zeros((len(parts), max((len(several) for several in parts), default=0) or 1), np.int64)
        for code, several in enumerate(parts):
            table[code, : len(several)] = sorted({place[part] for part in several})
        return cls(table[column], labels)

    @property
    def known(self) -> AnyArray:
        """Whether an item has a label, (n_items + 1,)."""
        return self.code[:, 0] > 0

    def shares(self, rows: IntArray, item: IntArray, weight: FloatArray, n_rows: int) -> FloatArray:
        """Return the weighted share of each label among items of some rows, (B, L + 1); zeros where there is none."""
        code, width = self.code[item], len(self.labels) + 1
        each = (code > 0) * (weight / np.maximum((code > 0).sum(axis=1), 1))[:, None]
        key = rows[:, None] * width + code
        found = np.bincount(key.ravel(), each.ravel(), n_rows * width).reshape(n_rows, width)
        total = found.sum(axis=1, keepdims=True)
        return np.asarray(found / np.where(total > 0, total, 1))


def _request_rows(window: Window) -> IntArray:
    """Return the request of each row of a window, (B,): a window may be of some of the batch's rows."""
    if not len(window.candidates):
        return np.arange(len(window.valid))
    return window.candidates.row[window.index[:, 0]]


def _missing(value: Any) -> bool:
    return value is None or value != value


@dataclass(frozen=True, eq=False)
class InWindow:
    """The labels of a window's candidates.

    Parameters
    ----------
    code : ndarray of int64, shape (B, W, m)
    weight : ndarray of float32, shape (B, W, m)
        1 over the number of an item's labels, 0 beyond the last.
    target : ndarray of float64, shape (B, L + 1)
        Share of each label that the row's list should have.
    relevance : ndarray of float32, shape (B, W)
        Weighted by the trade-off.
    known : Known
    """

    code: IntArray
    weight: Float32Array
    target: FloatArray
    relevance: Float32Array
    known: Known

    def at(self, table: AnyArray) -> AnyArray:
        """Return the values of a table (B, L + 1) at each candidate's labels, (B, W, m)."""
        return table[np.arange(len(table))[:, None, None], self.code]

    def covers(self, window: Window) -> Float32Array:
        """Return how well each candidate covers each of its labels, (B, W, m): by its relevance."""
        return np.where(self.code > 0, window.relevance[:, :, None], np.float32(0))

    def gain(self, novelty: AnyArray) -> Float32Array:
        """Return the relevance and what is new, (B, W), which items without a label have the mean of."""
        return self.relevance + self.known.neutral(novelty.astype(np.float32))


class Aspected(AloneObjective):
    """An objective of labels; see :class:`recokit.diversity.Calibration`."""

    kernel: ClassVar[Kind]
    smoothing = 0.0

    def __init__(
        self,
        by: str | AnyArray,
        trade_off: float = 0.7,
        *,
        separator: str | None = None,
        target: str | Mapping[str, float] = "history",
        pool: int = 100,
    ) -> None:
        named = isinstance(by, str) and by.removeprefix("item.")
        if not named and getattr(by, "ndim", 0) != 1:
            raise ConfigurationError(
                f"found by={shown(by)}; expected the name of an item column, or labels (n_items + 1,)"
            )
        if separator == "":
            raise ConfigurationError("found separator=''; expected what stands between labels, such as '|'")
        if isinstance(target, str):
            if target not in ("history", "candidates"):
                raise ConfigurationError(
                    f"found target={target!r}; expected 'history', 'candidates', or shares by label"
                )
        elif not target or not all(np.isfinite(share) and share >= 0 for share in target.values()):
            raise ConfigurationError(f"found target={target!r}; expected shares of at least 0 by label")
        self.by, self.trade_off, self.separator = by, trade_off, separator
        self.target, self.pool = target, pool
        check_options(self, OBJECTIVE_OPTIONS)
        if not isinstance(by, str):
            self.aspects_ = Aspects.of(np.asarray(by), None, separator)
            self._check_target(self.aspects_)

    @property
    def requires(self) -> tuple[str, ...]:
        """The item column, and the history where it is the target."""
        column = (f"item.{self.by.removeprefix('item.')}",) if isinstance(self.by, str) else ()
        return (*column, "history") if self.target == "history" else column

    def bind(self, schema: Schema) -> Any:
        """Return a copy that knows each item's labels."""
        bound: Any = copy.copy(self)
        if isinstance(self.by, str):
            name = schema.items.named(self.by.removeprefix("item."))
            column = schema.items.categorical.get(name)
            names = None if column is None else column.labels.ids
            separator = self.separator or (None if column is None else column.separator)
            bound.aspects_ = Aspects.of(schema.item_column(name), names, separator)
            self._check_target(bound.aspects_)
        else:
            check_codes("labels", self.aspects_.code, schema)
        return bound

    def _check_target(self, aspects: Aspects) -> None:
        if not isinstance(self.target, str):
            for label in self.target:
                if label not in aspects.labels:
                    hint = did_you_mean(label, aspects.labels)
                    raise ConfigurationError(f"found a target for the label {label!r}; {hint}")

    def labels_of(self, window: Window) -> InWindow:
        """Return the labels of a window and the rows' targets."""
        aspects: Aspects = self.aspects_
        item = items_of(window, len(aspects.code))
        code = aspects.code[item]
        weight = (code > 0) / np.maximum((code > 0).sum(axis=2, keepdims=True), 1)
        return InWindow(
            code,
            weight.astype(np.float32),
            self._targets(window, item),
            np.float32(self.trade_off) * window.relevance,
            Known(window.valid, code[:, :, 0] > 0),
        )

    def as_arrays(self, window: Window) -> Gains:
        """Return what gains follow from, for the compiled kernel."""
        labels = self.labels_of(window)
        return Gains(
            self.kernel,
            self.trade_off,
            window.relevance,
            aspect=labels.code,
            aspect_weight=labels.weight,
            covers=labels.covers(window),
            target=labels.target,
            smoothing=self.smoothing,
        )

    def _targets(self, window: Window, item: IntArray) -> FloatArray:
        aspects, n_rows = self.aspects_, len(item)
        if not isinstance(self.target, str):
            shares = np.array([0.0, *(self.target.get(label, 0.0) for label in aspects.labels)])
            return np.tile(shares / max(shares.sum(), 1e-300), (n_rows, 1))
        rows = np.repeat(np.arange(n_rows), item.shape[1])
        weight = (window.relevance * window.valid).astype(np.float64).ravel()
        found = aspects.shares(rows, item.ravel(), weight, n_rows)
        if self.target == "history":
            past = window.candidates.requests.signals().take(_request_rows(window))
            inside = np.where(past.values < len(aspects.code), past.values, 0)
            shares = aspects.shares(past.rows, inside, np.ones(len(inside)), n_rows)
            found = np.where(shares.any(axis=1, keepdims=True), shares, found)
        return found
