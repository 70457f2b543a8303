"""What all rankers share: features found by name, and what the labels mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from recokit.data import Candidates, RankingData, Schema
from recokit.errors import ConfigurationError, DataError, did_you_mean
from recokit.typing import AnyArray, Float32Array, FloatArray, IntArray

__all__ = [
    "Targets",
    "all_rows",
    "bound_positions",
    "check_features",
    "checked_labels",
    "columns_of",
    "positions_of",
    "require_negatives",
    "select",
    "sigmoid",
]


def check_features(features: Sequence[str] | None) -> None:
    """Check the option ``features``: None for all, or distinct names."""
    if features is None:
        return
    if isinstance(features, str) or not features or len(set(features)) != len(features):
        raise ConfigurationError(
            f"found features={features!r}; expected None for all, or a sequence of distinct names such as ('price',)"
        )


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


def bound_positions(stage: Any, schema: Schema, names: Sequence[str] | None) -> dict[str, Any]:
    """Return the attributes that bind a ranker to a schema's features."""
    if names is None:
        return {}
    positions = positions_of(names, schema.feature_names, type(stage).__name__)
    return {"bound_names_": tuple(schema.feature_names), "positions_": positions}


def select(stage: Any, candidates: Candidates) -> Float32Array:
    """Return the features that a fitted ranker uses, (N, F), in the order of its fit; matched by name."""
    positions = _positions(stage, candidates)
    if positions is None:
        return candidates.features
    # take keeps rows contiguous, where indexing would transpose the memory and with it the order of summation.
    picked: Float32Array = candidates.features.take(positions, axis=1)
    return picked


def columns_of(stage: Any, candidates: Candidates, rows: slice = slice(None)) -> Float32Array:
    """Return a copy of the features that a fitted ranker uses, (F, N): each one contiguous; matched by name."""
    positions = _positions(stage, candidates)
    features = candidates.features[rows].T
    return np.array(features, order="C") if positions is None else features[positions]


def _positions(stage: Any, candidates: Candidates) -> IntArray | None:
    """Return where the features that a ranker uses stand; None where they are all there are, in order."""
    names: tuple[str, ...] = stage.feature_names_
    found = candidates.feature_names
    if found == names:
        return None
    if getattr(stage, "bound_names_", None) == found:
        bound: IntArray = stage.positions_
        return bound
    return positions_of(names, found, type(stage).__name__)


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
    both: dict[str, Any] = {
        name: np.concatenate([getattr(data, name), getattr(later, name)])
        for name in ("features", "label", "weight", "user", "item", "now")
    }
    offsets = np.concatenate([data.offsets, data.offsets[-1] + later.offsets[1:]])
    return replace(data, **both, offsets=offsets, validation=None, columns={})


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
