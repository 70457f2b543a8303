"""Calibrated: scores become probabilities, learned on rows that the ranker has not seen."""

from __future__ import annotations

import copy
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, Literal, Self

import numpy as np

from recokit._kernels.hashing import uniform
from recokit._utils.options import between, finite, one_of, rules, whole
from recokit._utils.params import is_fitted
from recokit.compose.alone.rankers import AloneRanker
from recokit.data import Candidates, RankingData, Schema
from recokit.errors import ConfigurationError, DataError
from recokit.rankers._calibration import METHODS, fit_curve
from recokit.rankers._composite import as_candidates, bound_parts, check_rankers, fit_parts, requires_of
from recokit.typing import AnyArray, Float32Array, FloatArray, IntArray


@dataclass(eq=False, repr=False)
class Calibrated(AloneRanker):
    """Turn a ranker's scores into probabilities that hold: of candidates at 3 percent, 3 percent are taken.

    The order of a segment's candidates stays (ties may appear at the ends with ``"isotonic"``). The curve is learned on
    the validation part of the training rows, which the ranker then does not train on, with the rows' weights, so
    sampled negatives count for all that they stand for.

    Parameters
    ----------
    ranker : scorer
        Any ranker; its scores may be of any scale for ``"isotonic"`` and ``"platt"``.
    method : {"isotonic", "platt", "temperature", "beta"}, default "isotonic"
        ``"isotonic"``: a rising curve of any shape, linear between the centres of its steps; needs some hundred
        positives. ``"platt"``: ``sigmoid(a * x + b)`` of log-odds, or of scores that are no probabilities.
        ``"temperature"``: ``sigmoid(x / T)`` of log-odds. ``"beta"``: ``sigmoid(a * log(p) - b * log(1 - p) + c)``;
        Kull, Silva Filho and Flach, *Beta calibration*, 2017. Slopes are never below 0.
    by : str, optional
        Segments with a curve each: an item or user column (``"item.category"``), or the name of a feature with few
        values. Segments with too few positives, new and missing values get the curve of all rows.
    share : float, default 0.5
        Share of the validation groups that calibrate, the newest; the ranker gets the others as its validation
        part, for choices such as the number of trees. With 1.0 it gets none.
    min_positives : int, default 50
        Positives that a segment needs for a curve of its own.
    threshold : float, default 0.0
        A label above it is a positive; the probability is that of a positive.

    Attributes
    ----------
    ranker_ : scorer
        The fitted ranker.
    curve_ : Curve
        Scores to probabilities, of all rows.
    segments_ : ndarray of float64, shape (S,)
        Values of ``by`` with curves of their own, ascending.
    curves_ : list of Curve
        Theirs.

    Raises
    ------
    ConfigurationError
        If it is no ranker, or an option is out of range.

    Examples
    --------
    >>> from recokit.rankers import LogisticRegression
    >>> rng = np.random.default_rng(0)
    >>> def rows(n, now):
    ...     x = rng.normal(size=(n, 1)).astype(np.float32)
    ...     label = (rng.random(n) < 0.1 * (x[:, 0] > 0)).astype(np.float32)
    ...     code = np.arange(1, n + 1)
    ...     return RankingData(x, ("price",), label, np.ones(n, np.float32), np.arange(0, n + 1, 10), code, code,
    ...                        np.full(n, now))
    >>> ranker = Calibrated(LogisticRegression())
    >>> ranker = ranker.fit(replace(rows(4000, 0.0), validation=rows(4000, 1.0)))
    >>> batch = Candidates.from_lists([[7, 8]], features=[[-1.0], [1.0]], feature_names=["price"])
    >>> [round(p, 1) for p in ranker.score(batch).tolist()]
    [0.0, 0.1]
    """

    _OPTIONS = rules(
        method=one_of(*METHODS),
        share=between(0, 1, open_low=True),
        min_positives=whole(1),
        threshold=finite(),
    )

    ranker: Any
    method: Literal["isotonic", "platt", "temperature", "beta"] = "isotonic"
    _: KW_ONLY
    by: str | None = None
    share: float = 0.5
    min_positives: int = 50
    threshold: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rankers([self.ranker], "Calibrated")

    @property
    def requires(self) -> tuple[str, ...]:
        """Names that the ranker needs, and the segment."""
        of_segment = () if self.by is None else (self.by if self._in_table else f"feature.{self.by}",)
        return tuple(dict.fromkeys((*requires_of([self.ranker]), *of_segment)))

    @property
    def _in_table(self) -> bool:
        return self.by is not None and self.by.startswith(("item.", "user."))

    def fit(self, data: RankingData) -> Self:
        """Fit the ranker on the training rows, then the curves on validation rows.

        Raises
        ------
        DataError
            If there is no validation part, or its calibration rows have no positive or no negative.
        ConfigurationError
            If nothing is called ``by``, or the method needs probabilities and the scores are none.
        """
        if data.validation is None:
            raise DataError(
                "found no validation part in the training rows; expected rows that the ranker does not train on; "
                "hint: Pipeline.fit(..., validation=True), or validation_from= for logged impressions"
            )
        held, rest = self._split(data.validation)
        self.ranker_ = fit_parts([self.ranker], replace(data, validation=rest))[0]
        self.table_ = self._table(data.schema)
        batch = as_candidates(held)
        scores = np.asarray(self.ranker_.score(batch), np.float64)
        positive, weight = held.label > self.threshold, held.weight.astype(np.float64)
        self.curve_ = fit_curve(self.method, scores, positive, weight)
        segment = self._segment(batch)
        values, code = np.unique(segment, return_inverse=True)
        counted = positive & (weight > 0) & np.isfinite(segment)
        rich = np.bincount(code[counted], minlength=len(values)) >= self.min_positives
        rich &= np.bincount(code[~positive & (weight > 0)], minlength=len(values)) > 0
        rich &= self.by is not None
        self.segments_ = values[rich]
        rows = [code == place for place in np.flatnonzero(rich)]
        self.curves_ = [fit_curve(self.method, scores[r], positive[r], weight[r]) for r in rows]
        return self

    def bind(self, schema: Schema) -> Self:
        """Bind the ranker and the segment's column; ConfigurationError where one is missing."""
        bound = copy.copy(self)
        if is_fitted(self, "ranker_"):
            bound.ranker_ = bound_parts([self.ranker_], schema)[0]
        else:
            bound.ranker = bound_parts([self.ranker], schema)[0]
        bound.table_ = self._table(schema)
        return bound

    def score(self, candidates: Candidates) -> Float32Array:
        """Return the probability of a positive, (N,) float32; NaN where the ranker's score is."""
        scores = np.asarray(self.ranker_.score(candidates), np.float64)
        probability = self.curve_(scores)
        if self.curves_:
            segment = self._segment(candidates)
            for value, curve in zip(self.segments_.tolist(), self.curves_, strict=True):
                rows = segment == value
                probability[rows] = curve(scores[rows])
        return probability.astype(np.float32)

    def _table(self, schema: Schema | None) -> FloatArray | None:
        """Return the segment of each user or item code, (n + 1,) float64; None where it is a feature."""
        if not self._in_table:
            return None
        if schema is None:
            raise ConfigurationError(
                f"found by={self.by!r} and training rows without a schema, which holds the column; "
                "hint: RankingData(..., schema=dataset.schema), as build_training_set gives"
            )
        name = str(self.by)
        column = schema.item_column(name) if name.startswith("item.") else schema.user_column(name)
        if column.dtype.kind not in "iuf":
            raise ConfigurationError(f"found text in {name}; expected labels or numbers to calibrate by")
        return column.astype(np.float64)

    def _segment(self, batch: Candidates) -> FloatArray:
        """Return the segment of each row, (N,) float64; NaN for none."""
        if self.by is None:
            return np.zeros(len(batch))
        if self.table_ is None:
            return batch.feature(self.by).astype(np.float64)
        code: AnyArray = batch.item if self.by.startswith("item.") else batch.user
        known = code < len(self.table_)
        return np.where(known, self.table_[np.where(known, code, 0)], np.nan)

    def _split(self, validation: RankingData) -> tuple[RankingData, RankingData | None]:
        """Return the groups that calibrate, the newest, and the others."""
        groups = np.flatnonzero(np.diff(validation.offsets) > 0)
        first = validation.offsets[groups]
        now, user = validation.now[first], validation.user[first]
        # Of requests at one moment, a sample by hash.
        draw = uniform(np.zeros(len(groups), np.uint64), user, stream=31)
        newest: IntArray = groups[np.lexsort((draw, -now))]
        n = max(1, round(self.share * len(groups)))
        held = validation.take(np.sort(newest[:n]))
        rest = validation.take(np.sort(newest[n:])) if n < len(groups) else None
        return held, rest
