"""Beyond accuracy, list by list: how different its items are, and how they compare with the history."""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np

from recokit._kernels.membership import locate_sorted
from recokit._kernels.segments import segment_sum
from recokit._utils.options import require, share, whole
from recokit.data.ragged import Ragged
from recokit.data.schema import Schema
from recokit.data.table import Categorical
from recokit.errors import ConfigurationError
from recokit.metrics.base import Metric, UserMetric
from recokit.metrics.matched_lists import MatchedLists, flatten
from recokit.typing import AnyArray, FloatArray, IntArray


class UserCoverage(UserMetric):
    """Share of users who get a list of at least so many items.

    Ge, Delgado-Battenfeld and Jannach, *Beyond accuracy*, 2010. Defined for every user, with or without relevant items.

    Parameters
    ----------
    k : int
        How many places count.
    at_least : int, default 1
        Known items that a list must have.

    Examples
    --------
    >>> lists = [["a", "b"], ["c"], []]
    >>> round(UserCoverage(2)(lists), 4), round(UserCoverage(2, at_least=2)(lists), 4)
    (0.6667, 0.3333)
    """

    bare = "at_least"

    def __init__(self, k: int, *, at_least: int = 1) -> None:
        super().__init__(k)
        require(whole(1, self.k), at_least=at_least)
        self.at_least = at_least

    @property
    def definition(self) -> str:
        """What exactly is computed."""
        return f"1 with at least {self.at_least} known items in the list, else 0"

    def per_user(self, matched: MatchedLists) -> FloatArray:
        """Return 1 or 0 for each list, (U,) float64."""
        row, item = matched.top(self.k)
        return (np.bincount(row[item > 0], minlength=len(matched)) >= self.at_least).astype(np.float64)


class ItemMetric(Metric):
    """A metric that reads labels or vectors of items; the second base says of what it is a metric.

    Parameters
    ----------
    k : int
        How many places count.
    by : str, Categorical or ndarray
        Name of an item column (bound by ``evaluate``); labels by item code, (n_items + 1,); or vectors by
        item code, (n_items + 1, d). Row 0 stands for unknown items. A missing label is a label like any
        other.
    """

    bare = "by"

    def __init__(self, k: int, *, by: str | Categorical | AnyArray) -> None:
        super().__init__(k)
        self.by = by
        self.features_: AnyArray | None = None if isinstance(by, str) else _features(by)

    @property
    def column(self) -> str | None:
        """Name of the item column that ``by`` is, None where it holds labels or vectors."""
        return self.by if isinstance(self.by, str) else None

    def bind(self, schema: Schema) -> Self:
        """Return a copy that reads the item column that ``by`` names."""
        bound = copy.copy(self)
        if isinstance(self.by, str):
            bound.features_ = _features(schema.item_column(self.by))
        return bound

    @property
    def features(self) -> AnyArray:
        """Label codes or unit vectors by item code; ConfigurationError if ``by`` was not bound."""
        if self.features_ is None:
            raise ConfigurationError(
                f"found by={self.by!r} without item columns; expected labels or vectors by item code; "
                "hint: evaluate binds names to the item table of the truth or the history"
            )
        return self.features_

    def features_of(self, item: IntArray) -> AnyArray:
        """Return label codes or unit vectors of item codes; those of row 0 for codes beyond the last."""
        return np.asarray(self.features[np.where(item < len(self.features), item, 0)])

    def __call__(
        self,
        lists: Sequence[Sequence[Any] | AnyArray] | AnyArray,
        truths: Sequence[Collection[Any]] | AnyArray | None = None,
        *,
        history: Sequence[Collection[Any]] | AnyArray | None = None,
        **context: Any,
    ) -> float:
        """Return the metric of lists, truths and history of item codes."""
        codes, offsets = flatten(lists)
        relevant, starts = flatten([()] * len(lists) if truths is None else truths)
        matched = MatchedLists.from_arrays(offsets, codes.astype(np.int64), starts, relevant.astype(np.int64))
        if history is not None:
            past, starts = flatten(history)
            matched = replace(matched, history=Ragged(starts, past.astype(np.int64)))
        return self.value(matched)


class IntraListDiversity(ItemMetric, UserMetric):
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

    def per_user(self, matched: MatchedLists) -> FloatArray:
        """Return the metric of each list, (U,) float64, NaN for lists of fewer than two items."""
        row, item = matched.top(self.k)
        features = self.features_of(item)
        n = np.bincount(row, minlength=len(matched)).astype(np.float64)
        similar = _equal_pairs if features.ndim == 1 else _cosine_of_pairs
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(n > 1, 1.0 - similar(features, row, len(matched)) / (n * (n - 1.0) / 2.0), np.nan)


class Miscalibration(ItemMetric, UserMetric):
    """How far the mix of categories in a list is from that of the user's history: 0 where it is the same.

    The Kullback-Leibler divergence ``sum(p_c * ln(p_c / q_c))`` in nats, where p is the share of category c among
    the history's events and q that among the list's items, smoothed as ``(1 - alpha) * q + alpha * p``. Steck,
    *Calibrated recommendations*, 2018. Undefined without history, or without a list.

    Parameters
    ----------
    k : int
        How many places count.
    by : str, Categorical or ndarray
        Categories: an item column (bound by ``evaluate``) or labels by item code, (n_items + 1,).
    alpha : float, default 0.01
        Share of the history's mix in the list's, as in the paper: keeps the divergence finite, at most
        ``ln(1 / alpha)``.

    Examples
    --------
    History half fruit, half tools; the list all fruit: ``0.5 ln(0.5 / 0.995) + 0.5 ln(0.5 / 0.005)``.

    >>> labels = np.array(["", "fruit", "fruit", "tool"])
    >>> round(Miscalibration(10, by=labels)([[1, 2]], history=[[1, 3]]), 4)
    1.9585
    """

    needs_history = True
    bounds = (0.0, np.inf)

    def __init__(self, k: int, *, by: str | Categorical | AnyArray, alpha: float = 0.01) -> None:
        super().__init__(k, by=by)
        require(share, alpha=alpha)
        require_labels(self)
        self.alpha = alpha

    @property
    def definition(self) -> str:
        """What exactly is computed."""
        return f"KL divergence of the list's categories from the history's, smoothed by {self.alpha:g}"

    def per_user(self, matched: MatchedLists) -> FloatArray:
        """Return the divergence of each list, (U,) float64, NaN without history or list."""
        past = history_of(self, matched)
        row, item = matched.top(self.k)
        n = len(matched)
        past_label, label = self.features_of(past.values), self.features_of(item)
        size = int(max(past_label.max(initial=0), label.max(initial=0))) + 1
        p_row, p_label, p = _shares(past.rows, past_label, n, size)
        q_row, q_label, q = _shares(row, label, n, size)
        place, shared = locate_sorted(q_row * size + q_label, p_row * size + p_label)
        listed = np.where(shared, q[place], 0.0) if len(q) else np.zeros(len(p))
        terms = p * np.log(p / ((1 - self.alpha) * listed + self.alpha * p))
        defined = (past.counts > 0) & (np.bincount(row, minlength=n) > 0)
        return np.where(defined, segment_sum(terms, p_row, n), np.nan)


def require_labels(metric: ItemMetric) -> None:
    """Raise ConfigurationError where ``by`` holds vectors."""
    if metric.features_ is not None and metric.features_.ndim != 1:
        raise ConfigurationError("found vectors for by; expected a label for each item")


def history_of(metric: Metric, matched: MatchedLists) -> Ragged:
    """Return the history; ConfigurationError where there is none."""
    if matched.history is None:
        raise ConfigurationError(
            f"found no history of the users for {metric.name}; expected history=, such as "
            "MatchedLists.from_lists(lists, truths, history=...), or evaluate(..., history=train)"
        )
    return matched.history


def _shares(row: IntArray, label: IntArray, n: int, size: int) -> tuple[IntArray, IntArray, FloatArray]:
    """Return (row, label) pairs, ascending, and each label's share of its row."""
    keys, counts = np.unique(row * size + label, return_counts=True)
    return keys // size, keys % size, counts / np.bincount(row, minlength=n)[keys // size]


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
