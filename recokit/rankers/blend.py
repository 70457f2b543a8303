"""Blend: several rankers, one score."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np

from recokit._kernels.segments import segment_sum
from recokit._stats.ranks import mid_ranks
from recokit._utils.options import one_of, require
from recokit._utils.params import is_fitted
from recokit.compose.alone.rankers import AloneRanker
from recokit.data import Candidates, RankingData, Schema
from recokit.errors import ConfigurationError
from recokit.rankers._composite import (
    as_candidates,
    bound_parts,
    check_rankers,
    fit_held_out,
    fit_parts,
    requires_of,
)
from recokit.rankers._linear import minimise
from recokit.rankers._losses import can_learn, groups_of
from recokit.typing import Float32Array, FloatArray, IntArray


class Blend(AloneRanker):
    """Rank by a weighted mean of several rankers.

    Parameters
    ----------
    rankers : sequence of rankers
        Fitted as clones, all on the same rows.
    weights : sequence of float, optional
        Weight of each. By default learned: the rankers are fitted without half of the validation groups, the weights of
        at least 0 that order these best (softmax loss) are found, and the rankers are fitted again on everything. Equal
        where there is nothing to learn them from.
    by : {"standard", "rank", "score"}, default "standard"
        Parts of it: scores less their mean, over their deviation, within each request; ranks within each request, 1
        for the best to 0 for the last, ties in the middle; or the scores themselves, where their scales agree.

    Attributes
    ----------
    rankers_ : list
        The fitted rankers.
    weights_ : ndarray of float64
        With a sum of 1.

    Raises
    ------
    ConfigurationError
        For no ranker, something that is none, or weights that are not one finite number of at least 0 for each.

    Examples
    --------
    >>> from recokit.data import Candidates
    >>> from recokit.rankers import Weighted
    >>> x = np.array([[1.0, 300.0], [2.0, 200.0], [3.0, 100.0]], np.float32)
    >>> data = RankingData(x, ("a", "b"), np.array([0, 1, 1], np.float32), np.ones(3, np.float32), np.array([0, 3]),
    ...                    np.ones(3, np.int64), np.arange(1, 4), np.zeros(3))
    >>> blend = Blend([Weighted({"a": 1.0}), Weighted({"b": 1.0})], weights=[3, 1], by="rank").fit(data)
    >>> blend.score(Candidates.from_lists([[1, 2, 3]], features=x, feature_names=["a", "b"])).tolist()
    [0.25, 0.5, 0.75]
    """

    def __init__(
        self,
        rankers: Sequence[Any],
        *,
        weights: Sequence[float] | None = None,
        by: Literal["standard", "rank", "score"] = "standard",
    ) -> None:
        check_rankers(rankers, "Blend")
        require(one_of("standard", "rank", "score"), by=by)
        if weights is not None:
            given = np.asarray(weights, np.float64)
            if (
                given.shape != (len(rankers),)
                or not (np.isfinite(given) & (given >= 0)).all()
                or not given.any()
            ):
                raise ConfigurationError(
                    f"found weights={weights!r}; expected {len(rankers)} finite numbers of at least 0, not all 0"
                )
        self.rankers, self.weights, self.by = rankers, weights, by

    @property
    def requires(self) -> tuple[str, ...]:
        """Names that the rankers need."""
        return requires_of(self.rankers)

    def fit(self, data: RankingData) -> Self:
        """Fit every ranker, and learn the weights if none were given.

        Raises
        ------
        DataError, ConfigurationError
            As the rankers do.
        """
        weights = np.ones(len(self.rankers)) if self.weights is None else np.asarray(self.weights, np.float64)
        if self.weights is None and len(self.rankers) > 1:
            weights = self._learn_weights(data)
        self.weights_ = weights / weights.sum()
        self.rankers_ = fit_parts(self.rankers, data)
        return self

    def bind(self, schema: Schema) -> Self:
        """Return a copy with every ranker bound to the schema."""
        bound = copy.copy(self)
        if is_fitted(self, "rankers_"):
            bound.rankers_ = bound_parts(self.rankers_, schema)
        else:
            bound.rankers = bound_parts(self.rankers, schema)
        return bound

    def score(self, candidates: Candidates) -> Float32Array:
        """Return the blended score, (N,) float32; NaN where a ranker of weight above 0 gives none."""
        used = np.flatnonzero(self.weights_)
        parts = self._parts([self.rankers_[i] for i in used], candidates)
        blended: Float32Array = np.einsum("nr,r->n", parts, self.weights_[used]).astype(np.float32)
        return blended

    def _parts(self, rankers: Sequence[Any], candidates: Candidates) -> FloatArray:
        """Return each ranker's normalised scores, (N, R) float64."""
        parts = [
            _normalised(ranker.score(candidates), candidates.row, candidates.offsets, self.by)
            for ranker in rankers
        ]
        return np.stack(parts, axis=1)

    def _learn_weights(self, data: RankingData) -> FloatArray:
        equal = np.ones(len(self.rankers))
        held_out = fit_held_out(self.rankers, data)
        if held_out is None or not can_learn(held_out[1], by_row=False):
            return equal
        rankers, unseen = held_out
        index, groups = groups_of(unseen)
        parts = self._parts(rankers, as_candidates(unseen))[index]
        weights = minimise(np.nan_to_num(parts), groups, "softmax", 1.0, positive=True)
        return weights if weights.any() else equal


def _normalised(score: Float32Array, row: IntArray, offsets: IntArray, by: str) -> FloatArray:
    values = score.astype(np.float64)
    if by == "score":
        return values
    known = ~np.isnan(values)
    filled, n_rows = np.where(known, values, 0.0), len(offsets) - 1
    count = np.maximum(segment_sum(known, row, n_rows), 1.0)
    if by == "rank":
        return np.where(known, (mid_ranks(values, row) - 1.0) / np.maximum(count - 1.0, 1.0)[row], np.nan)
    mean = (segment_sum(filled, row, n_rows) / count)[row]
    deviation = np.sqrt(segment_sum(np.where(known, (values - mean) ** 2, 0.0), row, n_rows) / count)[row]
    # Where all are equal, rounding noise is no order.
    flat = deviation <= 1e-6 * np.abs(mean)
    return np.where(flat & known, 0.0, (values - mean) / np.where(flat, 1.0, deviation))
