"""Inputs of rankers: features found by name, and the meaning of labels."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np

from recokit._utils.options import Rule, optional
from recokit._utils.params import is_fitted
from recokit.compose.alone.rankers import AloneRanker
from recokit.data import Candidates, RankingData, Schema
from recokit.errors import ConfigurationError, DataError, did_you_mean
from recokit.typing import AnyArray, Float32Array, FloatArray, IntArray


def _distinct(names: Any) -> bool:
    return bool(names) and not isinstance(names, str) and len(set(names)) == len(names)


DISTINCT_NAMES = Rule("a sequence of distinct names such as ('price',)", _distinct)
#: Rule of the option ``features``.
FEATURES = optional(DISTINCT_NAMES)


def positions_of(names: Sequence[str], known: Sequence[str], who: str) -> IntArray:
    """Return where each name is among the known ones.

    Raises
    ------
    ConfigurationError
        Naming the first feature that is not there, with the closest known one.
    """
    place = {name: position for position, name in enumerate(known)}
    missing = [name for name in names if name not in place]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ConfigurationError(
            f"found no feature {missing[0]!r}{more} for {who}; expected the {len(names)} features it uses; "
            f"{did_you_mean(missing[0], known)}"
        )
    return np.array([place[name] for name in names], np.int64)


class NamedFeatures(AloneRanker):
    """A ranker that finds its features by name, so that it serves wherever something provides them.

    Subclasses have the option ``features``, and call :meth:`_use` when they know which features they take, in order.
    """

    features: Sequence[str] | None
    feature_names_: tuple[str, ...]
    positions_: IntArray
    #: The names at whose ``positions_`` the features stand, once bound.
    bound_names_: tuple[str, ...] | None = None

    def bind(self, schema: Schema) -> Self:
        """Learn where the features stand; ConfigurationError where one is missing."""
        bound = copy.copy(self)
        names = self.feature_names_ if is_fitted(self, "feature_names_") else self.features
        if names is not None:
            bound.positions_ = positions_of(names, schema.feature_names, type(self).__name__)
            bound.bound_names_ = tuple(schema.feature_names)
        return bound

    def _use(self, names: Sequence[str]) -> None:
        """Set the features used; where they stand is no longer known."""
        self.feature_names_, self.bound_names_ = tuple(names), None

    def _wanted(self, data: RankingData) -> tuple[tuple[str, ...], IntArray]:
        """Return the features to learn from, by the option or all, and their columns in training rows."""
        names = tuple(self.features) if self.features is not None else data.feature_names
        return names, positions_of(names, data.feature_names, type(self).__name__)

    def _select(self, candidates: Candidates) -> Float32Array:
        """Return the features used, (N, F), in the order of the fit."""
        positions = self._positions(candidates)
        if positions is None:
            return candidates.features
        # take keeps rows contiguous, where indexing would transpose the memory and with it the order of summation.
        picked: Float32Array = candidates.features.take(positions, axis=1)
        return picked

    def _columns(self, candidates: Candidates, rows: slice = slice(None)) -> Float32Array:
        """Return a copy of the features used, (F, N), each contiguous, in the order of the fit."""
        positions = self._positions(candidates)
        features = candidates.features[rows].T
        return np.array(features, order="C") if positions is None else features[positions]

    def _positions(self, candidates: Candidates) -> IntArray | None:
        """Return where the features used stand; None where they are all there are, in order."""
        names = candidates.feature_names
        if names == self.feature_names_:
            return None
        if names == self.bound_names_:
            return self.positions_
        return positions_of(self.feature_names_, names, type(self).__name__)


def sigmoid(raw: AnyArray) -> Float32Array:
    """Return probabilities (N,) float32 of log-odds; no overflow at either end."""
    # tanh saturates silently where exp overflows.
    return (0.5 + 0.5 * np.tanh(0.5 * raw)).astype(np.float32)


def all_rows(data: RankingData) -> RankingData:
    """Return training and validation rows as one."""
    later = data.validation
    if later is None:
        return data
    if later.feature_names != data.feature_names:
        raise DataError(
            f"found validation rows with features {later.feature_names}; "
            f"expected the same as training, {data.feature_names}"
        )
    return RankingData.joined([replace(part, columns={}) for part in (data, later)])


class Targets:
    """Training rows of a binary learner, from graded labels.

    A row of gain ``g`` is a positive with the share ``g / max(g)`` of its weight and a negative with the rest, so that
    a binary learner's probability estimates the expected gain as a share of the largest one. Binary labels give
    plain classification.

    Parameters
    ----------
    data : RankingData
    columns : ndarray of int64
        Columns of the features to use.
    largest : float, optional
        The gain that counts as a whole positive; the largest label by default.

    Attributes
    ----------
    features : ndarray of float32, shape (M, F)
    positive : ndarray of bool, shape (M,)
    weight : ndarray of float64, shape (M,)
        Scaled to a mean of 1.

    Raises
    ------
    DataError
        If labels or weights are negative, a label is above ``largest``, or there is no positive or no negative.
    """

    def __init__(self, data: RankingData, columns: IntArray, largest: float | None = None) -> None:
        label, weight = checked_labels(data)
        largest = float(label.max()) if largest is None else largest
        if label.max() > largest:
            raise DataError(
                f"found label {label.max()}; expected at most {largest}, the largest of the first fit; hint: fit anew"
            )
        share = label / largest
        graded = np.flatnonzero((share > 0) & (share < 1))
        picked = np.concatenate([np.arange(len(label)), graded])
        self.positive = np.concatenate([share > 0, np.zeros(len(graded), np.bool_)])
        require_negatives(label)
        part: FloatArray = np.concatenate([np.where(share > 0, share, 1.0), 1.0 - share[graded]])
        self.weight = weight[picked] * part
        self.weight /= self.weight.mean()
        features = (
            data.features
            if np.array_equal(columns, np.arange(data.features.shape[1]))
            else data.features[:, columns]
        )
        self.features = features if not len(graded) else features[picked]


def checked_labels(data: RankingData) -> tuple[FloatArray, FloatArray]:
    """Return labels and weights as float64.

    Raises
    ------
    DataError
        If one is negative, or there is no positive.
    """
    label = data.label.astype(np.float64)
    weight = data.weight.astype(np.float64)
    _require(label >= 0, label, "label")
    _require(np.isfinite(weight) & (weight >= 0), weight, "weight")
    if not label.any():
        raise DataError(
            f"found no positives among {len(label)} rows; expected at least one label above 0; "
            "hint: a longer label_window, more windows, or sources that find what users go on to take"
        )
    return label, weight


def require_negatives(label: FloatArray) -> None:
    """Raise DataError where every label is above 0."""
    if label.all():
        raise DataError(
            f"found only positives among {len(label)} rows; expected negatives too; "
            "hint: candidates that were not taken are the negatives"
        )


def _require(ok: AnyArray, values: FloatArray, name: str) -> None:
    bad = np.flatnonzero(~ok)
    if len(bad):
        raise DataError(
            f"found {name} {values[bad[0]]}; expected finite values of at least 0", rows=bad.tolist()
        )
