"""FromEstimator: an estimator of scikit-learn, XGBoost or another library with ``fit`` and ``predict`` as a ranker."""

from __future__ import annotations

import copy
import inspect
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from recokit._kernels.segments import offsets_to_rows
from recokit._utils.options import one_of, optional, require
from recokit._utils.params import is_fitted
from recokit.data import Candidates, RankingData
from recokit.data.state.encode import to_state
from recokit.errors import ConfigurationError, DataError
from recokit.rankers._inputs import (
    FEATURES,
    NamedFeatures,
    Targets,
    all_rows,
    checked_labels,
    require_negatives,
)
from recokit.rankers._losses import groups_of
from recokit.rankers.from_function import as_scores
from recokit.typing import AnyArray, Float32Array, FloatArray, IntArray

_LOGGER = logging.getLogger("recokit")

#: The most informative first; the last one all have.
METHODS = ("predict_proba", "decision_function", "predict")
#: Names under which ``fit`` takes groups: ids of rows, or sizes.
_GROUPS = ("qid", "group_id", "group")


class FromEstimator(NamedFeatures):
    """Rank by an estimator with scikit-learn's ``fit`` and ``predict``, such as a pipeline that ends with a classifier.

    A classifier (``predict_proba`` or ``decision_function``) learns which candidates are positives, as
    :class:`LogisticRegression` does, so that labels between count in part. Where ``fit`` takes groups (``qid``,
    ``group_id`` or ``group``, as those of ``XGBRanker``, ``CatBoostRanker`` and ``LGBMRanker``) it gets the requests,
    those whose labels differ, with the labels as they are.
    Anything else learns the labels.

    Parameters
    ----------
    estimator : object
        With ``fit(X, y)``, and one of the methods below. It stays as it is: ``fit`` learns in a copy.
    method : {"predict_proba", "decision_function", "predict"}, optional
        Method that scores: the probability of the positive class, or the method's own answer. By default the first of
        the three that the estimator has.
    weighted : bool, default True
        Whether training weights go to ``fit``: as ``sample_weight``, in a pipeline to its last step. To an estimator
        that takes ``qid``, as XGBoost's, goes one weight for each request, the mean weight of its positives. If False,
        the estimator learns without, and a classifier takes every label above 0 for a positive.
    features : sequence of str, optional
        Features to use; all by default.

    Attributes
    ----------
    feature_names_ : tuple of str
        Features used.
    all_missing_ : tuple of str
        Features left out, since no row has a value of theirs.
    estimator_ : object
        The fitted copy.

    Raises
    ------
    ConfigurationError
        If the estimator lacks ``fit`` or the method, or a feature is missing on use. In ``fit``, where weights differ
        and the estimator takes none. On saving, if the fitted estimator holds more than numbers, text and arrays.

    Notes
    -----
    Missing values are NaN: an estimator that cannot take them needs a step before it that fills them, such as
    ``make_pipeline(SimpleImputer(), ...)``. Rows of ``data.validation`` are trained on as well. A saved state holds no
    code and no pickle: an estimator of plain arrays, such as a linear model, is saved and loaded with
    ``trusted=[its classes]``; a forest of scikit-learn is not. A model that is fitted already is for
    :class:`FromFunction`, or stays as it is inside scikit-learn's ``FrozenEstimator``.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> x = np.arange(8, dtype=np.float32)[:, None]
    >>> one = np.ones(8, np.float32)
    >>> data = RankingData(x, ("clicks",), (x[:, 0] > 4).astype(np.float32), one, np.array([0, 8]),
    ...                    np.ones(8, np.int64), np.arange(1, 9), np.zeros(8))
    >>> ranker = FromEstimator(Ridge()).fit(data)
    >>> batch = Candidates.from_lists([[7, 8]], features=[[1.0], [6.0]], feature_names=["clicks"])
    >>> low, high = ranker.score(batch)
    >>> bool(low < high)
    True
    """

    def __init__(
        self,
        estimator: Any,
        *,
        method: str | None = None,
        weighted: bool = True,
        features: Sequence[str] | None = None,
    ) -> None:
        if inspect.isclass(estimator) or not callable(getattr(estimator, "fit", None)):
            raise ConfigurationError(
                f"found {estimator!r}; expected an estimator with fit(X, y), such as Ridge(); "
                "hint: FromFunction takes functions and models that are fitted already"
            )
        require(optional(one_of(*METHODS)), method=method)
        require(FEATURES, features=features)
        usable = [name for name in METHODS if hasattr(estimator, name)]
        if not usable or method not in (None, *usable):
            raise ConfigurationError(
                f"found {type(estimator).__name__} without {method or 'predict'}; it has {', '.join(usable) or 'none'}"
            )
        self.estimator, self.method, self.weighted, self.features = estimator, method, weighted, features
        self._method = method or usable[0]

    def fit(self, data: RankingData) -> Self:
        """Fit a copy of the estimator to labelled candidates.

        Raises
        ------
        DataError
            If the labels give nothing to learn from, one is negative, or the estimator cannot take the features.
        ConfigurationError
            If weights differ and the estimator takes none, or ``features`` names one that the data lacks.
        """
        if not len(data.features):
            raise DataError("found 0 rows; expected some to learn from")
        names, columns = self._wanted(data)
        names, columns = self._without_all_missing(names, columns, data)
        features, target, options = self._rows(all_rows(data), columns)
        estimator = _unfitted(self.estimator)
        try:
            estimator.fit(features, target, **options)
        except (TypeError, ValueError) as error:
            raise DataError(self._refused("fit", error)) from error
        self.estimator_ = estimator
        self._use(names)
        return self

    def _without_all_missing(
        self, names: tuple[str, ...], columns: IntArray, data: RankingData
    ) -> tuple[tuple[str, ...], IntArray]:
        """Return the features that have any value, which estimators need; the others are named in ``all_missing_``."""
        there = np.asarray(~np.isnan(data.features[:, columns]).all(axis=0))
        self.all_missing_ = tuple(name for name, any_ in zip(names, there, strict=True) if not any_)
        if not there.any() and len(names):
            raise DataError(
                f"found no value in any of {len(names)} features, such as {names[0]!r}; expected some"
            )
        if self.all_missing_:
            _LOGGER.warning(
                "%s leaves out %d features without any value: %s",
                type(self.estimator).__name__,
                len(self.all_missing_),
                ", ".join(self.all_missing_),
            )
        return tuple(name for name in names if name not in self.all_missing_), columns[there]

    def score(self, candidates: Candidates) -> Float32Array:
        """Return the estimator's answers, (N,) float32.

        Raises
        ------
        DataError
            If the estimator cannot take the features.
        """
        features = self._select(candidates)
        if len(features) == 0:  # scikit-learn answers nothing about no rows
            return np.zeros(0, np.float32)
        try:
            answer = getattr(self.estimator_, self._method)(features)
        except ValueError as error:
            raise DataError(self._refused(self._method, error)) from error
        if self._method == "predict_proba":
            answer = np.asarray(answer)[:, -1]
        return as_scores(answer, len(features), f"{type(self.estimator).__name__}.{self._method}")

    def state(self) -> dict[str, Any]:
        """Return what ``fit`` learned, for saving.

        Raises
        ------
        ConfigurationError
            If the estimator holds more than numbers, text and arrays.
        """
        if not is_fitted(self, "estimator_"):
            return {}
        try:
            to_state(self.estimator_)
        except ConfigurationError as error:
            raise ConfigurationError(
                f"found a fitted {type(self.estimator).__name__} that is no plain data ({error}); hint: save its data "
                "and fit after loading, or use a ranker that is saved, as GradientBoosting, LambdaMART and LightGBM are"
            ) from error
        return {"estimator": self.estimator_, "feature_names": self.feature_names_}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take back what :meth:`state` returned."""
        if state:
            self.estimator_ = state["estimator"]
            self._use(state["feature_names"])

    def _rows(self, data: RankingData, columns: IntArray) -> tuple[Float32Array, AnyArray, dict[str, Any]]:
        """Return features, targets, and the other arguments of ``fit``."""
        taken = _arguments(self.estimator)
        grouped = next((name for name in _GROUPS if name in taken), None)
        if grouped is not None:
            index, groups = groups_of(data)
            ids = grouped != "group"
            options = {grouped: offsets_to_rows(groups.offsets) if ids else np.diff(groups.offsets)}
            weight = groups.importance if grouped == "qid" else groups.weight
            return data.features[index][:, columns], groups.label, options | self._weights(weight)
        label, weight = checked_labels(data)
        if not _is_classifier(self.estimator):
            if label.min() == label.max():
                raise DataError(f"found only labels of {label[0]:g}; expected labels that differ")
            return data.features[:, columns], label, self._weights(weight)
        if self.weighted:
            targets = Targets(data, columns)
            return targets.features, targets.positive.astype(np.int64), self._weights(targets.weight)
        require_negatives(label)
        return data.features[:, columns], (label > 0).astype(np.int64), {}

    def _weights(self, weight: FloatArray) -> dict[str, Any]:
        name = _weight_argument(self.estimator)
        if not self.weighted or (name is None and (weight == weight[0]).all()):
            return {}
        if name is None:
            raise ConfigurationError(
                f"found weights or graded labels, and {type(self.estimator).__name__}.fit takes no sample_weight; "
                "hint: weighted=False learns without"
            )
        return {name: weight}

    def _refused(self, what: str, error: Exception) -> str:
        first_line = str(error).partition("\n")[0]
        return (
            f"found features that {type(self.estimator).__name__}.{what} does not take ({first_line}); "
            "hint: missing values are NaN; a step before it can fill them, such as SimpleImputer()"
        )


def _unfitted(estimator: Any) -> Any:
    from sklearn.base import clone

    return clone(estimator) if hasattr(estimator, "get_params") else copy.deepcopy(estimator)


def _is_classifier(estimator: Any) -> bool:
    return hasattr(estimator, "predict_proba") or hasattr(estimator, "decision_function")


def _arguments(estimator: Any) -> set[str]:
    """Return the names of what ``fit`` takes."""
    return set(inspect.signature(estimator.fit).parameters)


def _weight_argument(estimator: Any) -> str | None:
    """Return the name under which ``fit`` takes weights, None if it takes none."""
    if "sample_weight" in _arguments(estimator):
        return "sample_weight"
    steps = getattr(estimator, "steps", None)
    if steps and (inner := _weight_argument(steps[-1][1])):
        return f"{steps[-1][0]}__{inner}"
    return None
