"""Beyond accuracy: how much of the catalogue is shown, and how different the items of a list are."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np

from recokit._ops.segments import segment_sum
from recokit.data.ragged import Ragged
from recokit.data.schema import Schema
from recokit.data.table import Categorical
from recokit.errors import ConfigurationError
from recokit.metrics.base import CatalogueMetric, UserMetric
from recokit.metrics.judged import Judged, flatten
from recokit.typing import AnyArray, FloatArray, IntArray

__all__ = ["CatalogCoverage", "IntraListDiversity"]


class CatalogCoverage(CatalogueMetric):
    """Share of the catalogue that stands in the first k places of at least one list.

    Aggregate diversity; Ge, Delgado-Battenfeld and Jannach, *Beyond accuracy*, 2010. Grows with the number of
    lists: compare equal numbers of users only.

    Parameters
    ----------
    k : int
        How many places count.
    n_items : int, optional
        Size of the catalogue; by default what the judged lists say, which is the model's item vocabulary.

    Examples
    --------
    >>> CatalogCoverage(2, n_items=10)([["a", "b", "c"], ["b", "a"]])
    0.2
    """

    definition = "distinct items shown / items in the catalogue"

    def __init__(self, k: int, *, n_items: int | None = None) -> None:
        super().__init__(k)
        if n_items is not None and n_items < 1:
            raise ConfigurationError(f"found n_items={n_items}; expected at least 1")
        self.n_items = n_items

    def from_exposure(self, exposure: IntArray, n_items: int | None) -> float:
        """Return the share of ``n_items`` with an exposure above 0; the unknown item, code 0, does not count.

        Raises
        ------
        ConfigurationError
            If the size of the catalogue is not known.
        """
        size = self.n_items if self.n_items is not None else n_items
        if not size:
            raise ConfigurationError(
                f"found no size of the catalogue for {self.name}; expected n_items, such as "
                f"CatalogCoverage({self.k}, n_items=1000)"
            )
        return float(np.count_nonzero(exposure[1:]) / size)

    def __call__(self, lists: Sequence[Sequence[Any] | AnyArray] | AnyArray) -> float:
        """Return the coverage of lists of ids."""
        return self.value(Judged.from_lists(lists, [()] * len(lists)))


class IntraListDiversity(UserMetric):
    """Mean dissimilarity of all pairs in the first k places of a list; undefined for lists of fewer than two.

    The dissimilarity of two items is 1 minus the cosine of their vectors; for labels, 1 where they differ and
    0 where they are equal. Smyth and McClave, *Similarity vs. diversity*, 2001.

    Parameters
    ----------
    k : int
        How many places count.
    by : str, Categorical or ndarray
        Name of an item column (bound by ``evaluate``); labels by item code, (n_items + 1,); or vectors by
        item code, (n_items + 1, d). Row 0 stands for unknown items. A missing label is a label like any
        other, a zero vector is at right angles to all.

    Raises
    ------
    ConfigurationError
        If ``by`` is neither, or is a name that was not bound.

    Examples
    --------
    Of the three pairs of the list, two have different labels.

    >>> labels = np.array(["", "fruit", "fruit", "tool"])
    >>> round(IntraListDiversity(10, by=labels)([[1, 2, 3]]), 4)
    0.6667
    """

    definition = "mean over pairs of 1 - similarity"
    bounds = (0.0, 2.0)

    def __init__(self, k: int, *, by: str | Categorical | AnyArray) -> None:
        super().__init__(k)
        self.by = by
        self.features_: AnyArray | None = None if isinstance(by, str) else _features(by)

    @property
    def name(self) -> str:
        """``"IntraListDiversity@10"``; with a column's name ``"IntraListDiversity@10:category"``."""
        return f"{super().name}:{self.by}" if isinstance(self.by, str) else super().name

    def bind(self, schema: Schema) -> IntraListDiversity:
        """Return a copy that reads the item column that ``by`` names."""
        bound = copy.copy(self)
        if isinstance(self.by, str):
            bound.features_ = _features(schema.item_column(self.by))
        return bound

    def per_user(self, judged: Judged) -> FloatArray:
        """Return the metric of each list, (U,) float64, NaN for lists of fewer than two items."""
        if self.features_ is None:
            raise ConfigurationError(
                f"found by={self.by!r} without item columns; expected labels or vectors by item code; "
                "hint: evaluate binds names to the item table of the truth or the history"
            )
        row, item = judged.top(self.k)
        features = self.features_[np.where(item < len(self.features_), item, 0)]
        n = np.bincount(row, minlength=len(judged)).astype(np.float64)
        similar = _equal_pairs if features.ndim == 1 else _cosine_of_pairs
        with np.errstate(invalid="ignore"):
            return np.where(n > 1, 1.0 - similar(features, row, len(judged)) / (n * (n - 1.0) / 2.0), np.nan)

    def __call__(self, lists: Sequence[Sequence[int] | AnyArray]) -> float:
        """Return the mean for lists of item codes."""
        codes, offsets = flatten(lists)
        return self.value(Judged(Ragged(offsets, codes.astype(np.int64)), Ragged.empty(len(lists))))


def _features(by: Categorical | AnyArray) -> AnyArray:
    """Return label codes (n + 1,) int64, or unit vectors (n + 1, d) float64."""
    values = by.codes if isinstance(by, Categorical) else np.asarray(by)
    if values.ndim == 1 and len(values):
        labels: AnyArray = values if values.dtype.kind != "O" else values.astype(str)
        return np.asarray(np.unique(labels, return_inverse=True)[1], np.int64)
    if values.ndim == 2 and values.dtype.kind in "fiub" and len(values):
        vectors = values.astype(np.float64)
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / np.where(length > 0, length, 1.0))
    raise ConfigurationError(
        f"found by of shape {values.shape} and type {values.dtype}; "
        "expected labels (n_items + 1,) or vectors (n_items + 1, d)"
    )


def _equal_pairs(label: IntArray, row: IntArray, n_rows: int) -> FloatArray:
    """Count the pairs of each row with equal labels."""
    width = int(label.max(initial=0)) + 1
    keys, count = np.unique(row * width + label, return_counts=True)
    return segment_sum(count * (count - 1) / 2.0, keys // width, n_rows)


def _cosine_of_pairs(vector: FloatArray, row: IntArray, n_rows: int) -> FloatArray:
    """Sum the cosines of all pairs of each row: (|sum of vectors|^2 - sum of |vector|^2) / 2."""
    total = np.zeros((n_rows, vector.shape[1]))
    starts = np.flatnonzero(np.concatenate([[True], row[1:] != row[:-1]])) if len(row) else row
    total[row[starts]] = np.add.reduceat(vector, starts, axis=0) if len(row) else vector
    own = segment_sum(np.einsum("ij,ij->i", vector, vector), row, n_rows)
    return np.asarray((np.einsum("ij,ij->i", total, total) - own) / 2.0)
