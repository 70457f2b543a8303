"""PositionAware: the place where an item was shown explains its clicks in training, and is one for all in serving."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any, Self

import numpy as np

from recokit._utils.options import require, whole
from recokit._utils.params import is_fitted
from recokit.compose.alone.rankers import AloneRanker
from recokit.data import Candidates, RankingData, Schema
from recokit.errors import ConfigurationError, DataError
from recokit.protocols import RankerTrainable, Role, role_of
from recokit.rankers._composite import bound_parts, fit_parts, requires_of
from recokit.typing import AnyArray, Float32Array

#: Name of the feature that the ranker gets.
FEATURE = "log_position"


class PositionAware(AloneRanker):
    """Train a ranker with the place as one more feature, and serve it as if everything stood in one place.

    The ranker can then tell what was clicked because it was wanted from what was clicked because it stood high, and
    needs no propensities. It works as far as places and features can be told apart: where the log was always sorted by
    the same feature, they cannot, and weights do better (:func:`recokit.debias.inverse_propensity`).

    Parameters
    ----------
    ranker : scorer
        Any ranker with ``fit`` that learns features by name. A model that can only add (a linear one) gets no
        interaction of place and features.
    position : int, default 1
        The place that all candidates are scored for.

    Attributes
    ----------
    ranker_ : scorer
        The fitted ranker; its feature ``log_position`` is the logarithm of the place.

    Raises
    ------
    ConfigurationError
        If it is no ranker that learns, the place is below 1, or there is a feature of that name already.

    Examples
    --------
    >>> from recokit.rankers import LogisticRegression
    >>> rng = np.random.default_rng(0)
    >>> place = rng.integers(1, 4, 999)
    >>> label = (rng.random(999) < 1 / place).astype(np.float32)  # the place alone decides
    >>> codes = np.arange(999)
    >>> data = RankingData(1.0 / place[:, None].astype(np.float32) + rng.random((999, 1), np.float32), ("price",),
    ...                    label, np.ones(999, np.float32), np.arange(0, 1000, 3), codes, codes, np.zeros(999),
    ...                    columns={"position": place})
    >>> ranker = PositionAware(LogisticRegression()).fit(data)
    >>> batch = Candidates.from_lists([[7, 8]], features=[[0.5], [1.5]], feature_names=["price"])
    >>> low, high = ranker.score(batch)
    >>> bool(abs(high - low) < 0.1)
    True
    """

    def __init__(self, ranker: Any, *, position: int = 1) -> None:
        if role_of(ranker) is not Role.SCORER or not isinstance(ranker, RankerTrainable):
            raise ConfigurationError(f"found {ranker!r}; expected a ranker that learns, with fit and score")
        require(whole(1), position=position)
        self.ranker, self.position = ranker, position

    @property
    def requires(self) -> tuple[str, ...]:
        """Names that the ranker needs."""
        return requires_of([self.ranker])

    def fit(self, data: RankingData) -> Self:
        """Learn from labelled impressions.

        Raises
        ------
        DataError
            If the rows have no column ``position``, or some were not shown; and whatever the ranker raises.
        ConfigurationError
            If a feature is called ``log_position``.
        """
        if FEATURE in data.feature_names:
            raise ConfigurationError(f"found a feature {FEATURE!r}; expected none of that name")
        self.ranker_ = fit_parts([self.ranker], _with_position(data))[0]
        return self

    def bind(self, schema: Schema) -> Self:
        """Bind the ranker; ConfigurationError where it misses a feature."""
        wider = replace(schema, feature_names=(*schema.feature_names, FEATURE))
        bound = copy.copy(self)
        if is_fitted(self, "ranker_"):
            bound.ranker_ = bound_parts([self.ranker_], wider)[0]
        else:
            bound.ranker = bound_parts([self.ranker], wider)[0]
        return bound

    def score(self, candidates: Candidates) -> Float32Array:
        """Return the ranker's scores as if all stood in one place, (N,) float32."""
        place = np.full((len(candidates), 1), np.log(self.position), np.float32)
        scores: Float32Array = self.ranker_.score(candidates.with_features(place, (FEATURE,)))
        return scores


def _with_position(data: RankingData) -> RankingData:
    """Return rows with the place as the last feature, the validation part too."""
    if "position" not in data.columns:
        raise DataError(
            "found no column 'position' in the rows; expected the places where items were shown; "
            "hint: debias.impression_rows, or FeatureLog.read"
        )
    place: AnyArray = np.asarray(data.columns["position"], np.float64)
    bad = np.flatnonzero(~(place >= 1))
    if len(bad):
        raise DataError(
            f"found position {place[bad[0]]}; expected places from 1; hint: leave out what was not shown",
            rows=bad,
        )
    return replace(
        data,
        features=np.column_stack([data.features, np.log(place)]).astype(np.float32),
        feature_names=(*data.feature_names, FEATURE),
        validation=None if data.validation is None else _with_position(data.validation),
    )
