"""Cascade: a dear ranker for the top of a cheap one."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from recokit._kernels.segments import rank_in_row
from recokit._utils.params import is_fitted
from recokit.compose.alone.rankers import AloneRanker
from recokit.data import Candidates, RankingData, Schema
from recokit.errors import ConfigurationError
from recokit.rankers._composite import bound_parts, check_rankers, fit_parts, requires_of
from recokit.typing import BoolArray, Float32Array, FloatArray, IntArray


def _check_pairs(stages: Any) -> None:
    """Check that each stage is a ranker and a limit."""
    listed = list(stages) if isinstance(stages, list | tuple) else None
    if listed is not None and all(isinstance(one, list | tuple) and len(one) == 2 for one in listed):
        return
    kinds = type(stages).__name__ if listed is None else ", ".join(type(one).__name__ for one in listed[:5])
    raise ConfigurationError(
        f"found {kinds} as stages of Cascade; expected pairs of a ranker and a limit; "
        "hint: Cascade([(cheap, None), (dear, 100)])"
    )


class Cascade(AloneRanker):
    """Score all candidates cheaply, and only the best of each request again with a better ranker.

    The best keep the score that the last ranker gave them. The others stand below them in the order of the ranker that
    saw them last; their scores say no more than that.

    Parameters
    ----------
    stages : sequence of (ranker, limit)
        Rankers from the cheapest to the dearest, fitted as clones, all on the same rows. The first one's limit is None,
        it scores everything; each other one scores so many of every request, those that the one before put first. Ties
        are broken by item. A service under load asks for less effort, and the limits shrink with it.

    Attributes
    ----------
    rankers_ : list
        The fitted rankers.

    Raises
    ------
    ConfigurationError
        For no ranker, something that is none, or limits that are not None and then numbers that do not grow.

    Examples
    --------
    >>> from recokit.rankers import Weighted
    >>> x = np.array([[1.0, 3.0], [2.0, 5.0], [3.0, 4.0]], np.float32)
    >>> data = RankingData(x, ("cheap", "dear"), np.array([0, 1, 1], np.float32), np.ones(3, np.float32),
    ...                    np.array([0, 3]), np.ones(3, np.int64), np.arange(1, 4), np.zeros(3))
    >>> cascade = Cascade([(Weighted({"cheap": 1.0}), None), (Weighted({"dear": 1.0}), 2)]).fit(data)
    >>> batch = Candidates.from_lists([[7, 8, 9]], features=x, feature_names=["cheap", "dear"])
    >>> cascade.score(batch).tolist()
    [3.0, 5.0, 4.0]
    """

    def __init__(self, stages: Sequence[tuple[Any, int | None]]) -> None:
        _check_pairs(stages)
        check_rankers([ranker for ranker, _ in stages], "Cascade")
        first, *others = [limit for _, limit in stages]
        counts = [0 if limit is None else limit for limit in others]
        if first is not None or any(count < 1 for count in counts) or sorted(counts, reverse=True) != counts:
            raise ConfigurationError(
                f"found the limits {[first, *others]}; expected None for the first ranker, which scores everything, "
                "then numbers of at least 1 that do not grow"
            )
        self.stages = stages

    @property
    def requires(self) -> tuple[str, ...]:
        """Names that the rankers need."""
        return requires_of([ranker for ranker, _ in self.stages])

    def fit(self, data: RankingData) -> Self:
        """Fit every ranker.

        Raises
        ------
        DataError, ConfigurationError
            As the rankers do.
        """
        self.rankers_ = fit_parts([ranker for ranker, _ in self.stages], data)
        return self

    def bind(self, schema: Schema) -> Self:
        """Return a copy with every ranker bound to the schema."""
        bound = copy.copy(self)
        if is_fitted(self, "rankers_"):
            bound.rankers_ = bound_parts(self.rankers_, schema)
        else:
            rankers = bound_parts([ranker for ranker, _ in self.stages], schema)
            bound.stages = [(ranker, limit) for ranker, (_, limit) in zip(rankers, self.stages, strict=True)]
        return bound

    def score(self, candidates: Candidates) -> Float32Array:
        """Return the scores, (N,) float32."""
        score = self.rankers_[0].score(candidates).astype(np.float64)
        level = np.zeros(len(score), np.int64)
        for i, (ranker, (_, limit)) in enumerate(zip(self.rankers_[1:], self.stages[1:], strict=True), 1):
            best = _best(candidates, score, level, candidates.requests.shrunk(limit or 0))
            score[best] = ranker.score(candidates.compress(best))
            level[best] = i
        return _below(candidates, score, level)


def _order(candidates: Candidates, score: FloatArray, level: IntArray) -> IntArray:
    """Return the order of each row: the highest level first, then the best score; without a score last."""
    return np.lexsort((candidates.item, -np.nan_to_num(score, nan=-np.inf), -level, candidates.row))


def _best(candidates: Candidates, score: FloatArray, level: IntArray, limit: int) -> BoolArray:
    """Tell which candidates are among the first ``limit`` of their row, (N,) bool."""
    order = _order(candidates, score, level)
    best = np.zeros(len(order), np.bool_)
    best[order[rank_in_row(candidates.row, candidates.offsets) < limit]] = True
    return best


def _below(candidates: Candidates, score: FloatArray, level: IntArray) -> Float32Array:
    """Return scores in which whatever did not reach the last level stands below what did, equals equal."""
    result = score.astype(np.float32)
    order = _order(candidates, score, level)
    row, ordered, steps = candidates.row[order], score[order], level[order]
    last = steps == level.max(initial=0)
    if last.all():
        return result
    new = np.ones(len(order), np.bool_)
    new[1:] = (row[1:] != row[:-1]) | (steps[1:] != steps[:-1]) | (ordered[1:] != ordered[:-1])
    run = np.cumsum(new)
    floor = np.full(candidates.n_rows, np.inf)
    np.fmin.at(floor, row[last], ordered[last])
    floor[~np.isfinite(floor)] = 0.0
    # The number of the last run of each row's best: the runs below count on from there.
    reached = np.zeros(candidates.n_rows, np.int64)
    reached[row[last]] = run[last]
    # A step that float32 can still tell from none.
    step = np.maximum(1.0, np.abs(floor) * 2.0**-16)
    result[order[~last]] = (floor[row] - step[row] * (run - reached[row]))[~last]
    return result
