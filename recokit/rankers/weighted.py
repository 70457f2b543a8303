"""Weighted: a linear blend of named features, columns and scores."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import lru_cache
from typing import Self

import numpy as np

from recokit._kernels.weighted import weighted_sums
from recokit.compose.alone.rankers import AloneRanker
from recokit.data import Candidates, Schema
from recokit.errors import ConfigurationError, did_you_mean
from recokit.typing import Float32Array, IntArray


class Weighted(AloneRanker):
    """Blend named values with fixed weights.

    Parameters
    ----------
    weights : mapping of str to float
        Weight of each feature, candidate column (such as ``"popular_rank"``), or ``"score"``, the score so far. A value
        that is missing (NaN) counts 0.

    Raises
    ------
    ConfigurationError
        If there are no weights, one is not finite, or, when the pipeline is compiled or on use, a name is unknown.

    Examples
    --------
    >>> from recokit.data import Candidates
    >>> batch = Candidates.from_lists([[3, 5]], features=[[1.0, 0.5], [2.0, float("nan")]], feature_names=["a", "b"])
    >>> Weighted({"a": 1.0, "b": 10.0}).score(batch).tolist()
    [6.0, 2.0]
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        if not weights:
            raise ConfigurationError(
                "found no weights; expected at least one, such as Weighted({'score': 1.0})"
            )
        for name, weight in weights.items():
            if not isinstance(name, str) or not np.isfinite(weight):
                raise ConfigurationError(
                    f"found weight {weight!r} for {name!r}; expected a name and a finite number"
                )
        self.weights = weights

    def bind(self, schema: Schema) -> Self:
        """Check that something provides every name."""
        columns = {f"{source}_{part}" for source in schema.source_names for part in ("rank", "score")}
        known = {*schema.feature_names, *schema.provided, *columns, "score"}
        for name in self.weights:
            if name not in known:
                raise ConfigurationError(
                    f"found {name!r} in Weighted, which nothing before it provides; {did_you_mean(name, known)}"
                )
        return copy.copy(self)

    def score(self, candidates: Candidates) -> Float32Array:
        """Return the weighted sum, (N,) float32."""
        places = _places(candidates.feature_names, tuple(self.weights))
        if places is not None:
            weights = np.fromiter(self.weights.values(), np.float32, len(places))
            return weighted_sums(candidates.features, places, weights)
        total: Float32Array = self.contributions(candidates).sum(axis=1, dtype=np.float32)
        return total

    @property
    def feature_names_(self) -> tuple[str, ...]:
        """The names that are weighed, in the order of ``contributions``."""
        return tuple(self.weights)

    def contributions(self, candidates: Candidates) -> Float32Array:
        """Return what each name adds to the score, (N, number of weights) float32, in the order of the weights."""
        place = {name: i for i, name in enumerate(candidates.feature_names)}
        names = list(self.weights)
        inside = [i for i, name in enumerate(names) if name in place]
        parts = np.empty((len(candidates), len(names)), np.float32)
        parts[:, inside] = candidates.features[:, [place[names[i]] for i in inside]]
        for i, name in enumerate(names):
            if name not in place:
                parts[:, i] = _column(candidates, name)
        parts *= np.fromiter(self.weights.values(), np.float32, len(names))
        parts[np.isnan(parts)] = 0.0
        return parts


@lru_cache(maxsize=64)
def _places(features: tuple[str, ...], names: tuple[str, ...]) -> IntArray | None:
    """Return the column of each name among the features, None where one is not there."""
    place = {name: i for i, name in enumerate(features)}
    if any(name not in place for name in names):
        return None
    return np.array([place[name] for name in names], np.int64)


def _column(candidates: Candidates, name: str) -> Float32Array:
    if name == "score":
        return candidates.score
    if name not in candidates.columns:
        known = [*candidates.feature_names, *candidates.columns, "score"]
        raise ConfigurationError(
            f"found no feature or column {name!r} for Weighted; {did_you_mean(name, known)}"
        )
    return candidates.columns[name].astype(np.float32)
