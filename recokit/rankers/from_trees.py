"""FromXGBoost, FromCatBoost: boosted trees that learned elsewhere, read from their JSON and scored as recokit's own."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from recokit._kernels.forest import MAX_LEAVES, Forest, Tree
from recokit._utils.options import require, shortened
from recokit.data import Candidates
from recokit.data.state.outside import Outside
from recokit.errors import ConfigurationError, DataError
from recokit.rankers._inputs import DISTINCT_NAMES, NamedFeatures, sigmoid
from recokit.typing import AnyArray, Float32Array, FloatArray

#: Beyond this float32 ends.
_HIGHEST = 80.0


class _FromTrees(Outside, NamedFeatures, ABC):
    """A ranker whose trees are read from a model's JSON, which it keeps as bytes; explained like recokit's own."""

    places = ("model",)

    def __init__(self, model: str | os.PathLike[str] | bytes | AnyArray, *, features: Sequence[str]) -> None:
        require(DISTINCT_NAMES, features=features)
        self.model, self.features = _content(model), features
        self._use(features)
        self._forest, self._link = self._read(
            _parsed(self.model, type(self).__name__), len(self.feature_names_)
        )

    @abstractmethod
    def _read(
        self, model: Mapping[str, Any], n_features: int
    ) -> tuple[Forest, Callable[[FloatArray], AnyArray]]:
        """Return the trees, and what makes a score of their sum."""

    @property
    def intercept_(self) -> float:
        """The mean raw score over the training rows, to which contributions add."""
        from recokit._kernels.tree_shap import expected_score

        return expected_score(self._forest)

    def score(self, candidates: Candidates) -> Float32Array:
        """Return the model's own predictions, (N,) float32."""
        return np.asarray(self._link(self._forest.raw_score(self._select(candidates))), np.float32)

    def contributions(self, candidates: Candidates) -> FloatArray:
        """Return what each feature adds to the raw score, (N, F) float64, as ``GradientBoosting`` does."""
        from recokit._kernels.tree_shap import contributions_of

        return contributions_of(self._forest, self._select(candidates))


class FromXGBoost(_FromTrees):
    """Rank by a booster of XGBoost; xgboost itself is not needed to serve it.

    Trees are read from the model's JSON, ``booster.save_raw("json")`` or a file of ``save_model("model.json")``, and
    scored and explained by recokit's kernels.

    Parameters
    ----------
    model : path, bytes or ndarray of uint8
        The JSON. A file is read at construction; the attribute is its content as an array.
    features : sequence of str
        Features that the model takes, in its order; found by name.

    Raises
    ------
    ConfigurationError
        If it is no JSON of XGBoost, has another number of features, several classes or targets, splits by category,
        trees of more than 64 leaves, linear boosters, or an objective whose scores are not known here.
    DataError
        If it is no JSON.

    Notes
    -----
    Scores are ``booster.predict``'s, to 1e-6: probabilities of ``binary:logistic``, sums of trees of ``rank:*`` and
    ``reg:squarederror``. Missing values are NaN. A model that stopped early is saved with the trees that are to count:
    ``booster[: booster.best_iteration + 1]``.

    Examples
    --------
    >>> tree = {"left_children": [1, -1, -1], "right_children": [2, -1, -1], "split_indices": [0, 0, 0],
    ...         "split_conditions": [2.5, -1.0, 1.0], "default_left": [1, 0, 0], "sum_hessian": [4.0, 2.0, 2.0],
    ...         "categories_nodes": []}
    >>> model = {"learner": {
    ...     "learner_model_param": {"base_score": "[5E-1]", "num_class": "0", "num_feature": "1", "num_target": "1"},
    ...     "objective": {"name": "reg:squarederror"},
    ...     "gradient_booster": {"name": "gbtree", "model": {"trees": [tree]}}}}
    >>> ranker = FromXGBoost(json.dumps(model).encode(), features=["price"])
    >>> batch = Candidates.from_lists([[7, 8]], features=[[2.0], [2.5]], feature_names=["price"])
    >>> ranker.score(batch).tolist()
    [-0.5, 1.5]
    """

    def _read(
        self, model: Mapping[str, Any], n_features: int
    ) -> tuple[Forest, Callable[[FloatArray], AnyArray]]:
        try:
            learner = model["learner"]
            about, booster = learner["learner_model_param"], learner["gradient_booster"]
            objective, kind = str(learner["objective"]["name"]), str(booster["name"])
            _require_features(int(about["num_feature"]), n_features)
            if int(about["num_class"]) > 1 or int(about.get("num_target", 1)) > 1:
                raise ConfigurationError(
                    "found several classes or targets; expected one score for a candidate"
                )
            drop = booster.get("weight_drop")
            inner = booster["gbtree"] if kind == "dart" else booster
            if kind not in ("gbtree", "dart"):
                raise ConfigurationError(f"found booster {kind!r}; expected gbtree or dart")
            weights = drop or [1.0] * len(inner["model"]["trees"])
            trees = [
                _xgboost_tree(tree, weight)
                for tree, weight in zip(inner["model"]["trees"], weights, strict=True)
            ]
            base = float(str(about["base_score"]).strip("[]"))
        except (LookupError, TypeError, ValueError) as error:
            if isinstance(error, ConfigurationError):
                raise
            raise ConfigurationError(
                f"found JSON that is no model of XGBoost ({shortened(error)}); expected save_raw('json')"
            ) from error
        to_margin, link = _xgboost_link(objective)
        return Forest.compile(trees, n_features, to_margin(base)), link


def _xgboost_tree(tree: Mapping[str, Any], weight: float) -> Tree:
    if tree["categories_nodes"]:
        raise ConfigurationError(
            "found splits by category; expected numbers; hint: rankers.FromOnnx, or one-hot columns"
        )
    left, right = np.array(tree["left_children"], np.int64), np.array(tree["right_children"], np.int64)
    leaf = left < 0
    _require_leaves(int(leaf.sum()))
    conditions = np.array(tree["split_conditions"], np.float32)
    # XGBoost goes left below the threshold, recokit up to it: the next smaller number of float32, as it compares.
    below = np.nextafter(conditions, np.float32(-np.inf)).astype(np.float64)
    return _in_order(
        Tree(
            feature=np.where(leaf, 0, np.array(tree["split_indices"], np.int64)),
            threshold=np.where(leaf, 0.0, below),
            left=np.maximum(left, 0),
            right=np.maximum(right, 0),
            missing_left=np.array(tree["default_left"]).astype(np.bool_),
            value=np.where(leaf, conditions.astype(np.float64) * weight, 0.0),
            cover=np.array(tree["sum_hessian"], np.float64),
        )
    )


def _in_order(tree: Tree) -> Tree:
    """Return a tree without nodes that pruning left behind, children after their parents."""
    order = [0]
    for node in order:  # the list grows while it is read
        order += [int(side[node]) for side in (tree.left, tree.right) if side[node]]
    place = np.zeros(len(tree.value), np.int64)
    place[order] = np.arange(len(order))
    return Tree(
        feature=tree.feature[order],
        threshold=tree.threshold[order],
        left=place[tree.left[order]],
        right=place[tree.right[order]],
        missing_left=tree.missing_left[order],
        value=tree.value[order],
        cover=tree.cover[order],
    )


def _same(value: Any) -> Any:
    return value


def _exponential(raw: FloatArray) -> AnyArray:
    return np.exp(np.minimum(raw, _HIGHEST))


def _xgboost_link(objective: str) -> tuple[Callable[[float], float], Callable[[FloatArray], AnyArray]]:
    """Return what makes a sum's start of the base score, and a score of a sum."""
    if objective in ("binary:logistic", "reg:logistic"):
        return lambda base: float(np.log(base / (1.0 - base))), sigmoid
    if objective in ("count:poisson", "reg:gamma", "reg:tweedie"):
        return lambda base: float(np.log(base)), _exponential
    if objective == "binary:logitraw":
        return lambda base: float(np.log(base / (1.0 - base))), _same
    if objective.startswith("rank:") or objective in (
        "reg:squarederror",
        "reg:absoluteerror",
        "reg:pseudohubererror",
    ):
        return _same, _same
    raise ConfigurationError(
        f"found objective {objective!r}; expected binary, rank, count or reg; hint: rankers.FromOnnx"
    )


class FromCatBoost(_FromTrees):
    """Rank by a model of CatBoost; catboost itself is not needed to serve it.

    Trees are read from a file that ``save_model("model.json", format="json")`` wrote, and scored and explained by
    recokit's kernels.

    Parameters
    ----------
    model : path, bytes or ndarray of uint8
        The JSON. A file is read at construction; the attribute is its content as an array.
    features : sequence of str
        Features that the model takes, in its order; found by name.

    Raises
    ------
    ConfigurationError
        If it is no JSON of CatBoost, has another number of features, features of labels or text, trees that are not
        symmetric or deeper than 6, or several classes.
    DataError
        If it is no JSON.

    Notes
    -----
    Scores are probabilities of ``Logloss`` and ``CrossEntropy``, else the raw values, to 1e-6. Missing values are NaN.

    Examples
    --------
    >>> tree = {"splits": [{"border": 2.5, "float_feature_index": 0, "split_type": "FloatFeature"}],
    ...         "leaf_values": [-1.0, 1.0], "leaf_weights": [2, 2]}
    >>> about = {"feature_index": 0, "flat_feature_index": 0, "nan_value_treatment": "AsIs"}
    >>> model = {"features_info": {"float_features": [about]}, "oblivious_trees": [tree], "scale_and_bias": [1, [0.5]],
    ...          "model_info": {"params": {"loss_function": {"type": "RMSE"}}}}
    >>> ranker = FromCatBoost(json.dumps(model).encode(), features=["price"])
    >>> batch = Candidates.from_lists([[7, 8]], features=[[2.5], [3.0]], feature_names=["price"])
    >>> ranker.score(batch).tolist()
    [-0.5, 1.5]
    """

    def _read(
        self, model: Mapping[str, Any], n_features: int
    ) -> tuple[Forest, Callable[[FloatArray], AnyArray]]:
        try:
            about = model["features_info"]
            if about.get("categorical_features") or about.get("text_features"):
                raise ConfigurationError("found features of labels or text; expected numbers")
            _require_features(len(about["float_features"]), n_features)
            if "oblivious_trees" not in model:
                raise ConfigurationError(
                    "found trees that are not symmetric; expected grow_policy='SymmetricTree'"
                )
            scale, bias = model["scale_and_bias"]
            (start,) = bias if isinstance(bias, list) else [bias]
            trees = [
                _catboost_tree(tree, about["float_features"], scale) for tree in model["oblivious_trees"]
            ]
            loss = str(model["model_info"]["params"]["loss_function"]["type"])
        except (LookupError, TypeError, ValueError) as error:
            if isinstance(error, ConfigurationError):
                raise
            raise ConfigurationError(
                f"found JSON that is no model of CatBoost with one score ({shortened(error)}); expected "
                "save_model(path, format='json')"
            ) from error
        return Forest.compile(trees, n_features, float(start)), sigmoid if loss in (
            "Logloss",
            "CrossEntropy",
        ) else _same


def _catboost_tree(tree: Mapping[str, Any], columns: Sequence[Mapping[str, Any]], scale: float) -> Tree:
    """Return a symmetric tree as nodes: level by level, the last split of the list first."""
    splits = list(reversed(tree.get("splits") or []))
    depth = len(splits)
    _require_leaves(2**depth)
    feature = [int(split["float_feature_index"]) for split in splits]
    treatment = {int(column["feature_index"]): column["nan_value_treatment"] for column in columns}
    flat = {int(column["feature_index"]): int(column["flat_feature_index"]) for column in columns}
    inner = 2**depth - 1
    level = np.floor(np.log2(np.arange(inner) + 1)).astype(np.int64)
    values = np.array(tree["leaf_values"], np.float64)
    if len(values) != inner + 1:
        raise ConfigurationError("found several values for a leaf; expected one score for a candidate")
    weights = [np.array(tree["leaf_weights"], np.float64)]
    for _ in range(depth):
        weights.append(weights[-1].reshape(-1, 2).sum(axis=1))
    leaves, nodes = np.zeros(inner + 1), np.arange(inner)

    def of_level(values: list[Any], dtype: Any) -> AnyArray:
        found: AnyArray = np.array(values, dtype)
        return np.asarray(found[level])

    return Tree(
        feature=np.append(of_level([flat[one] for one in feature], np.int64), leaves.astype(np.int64)),
        # The value and the border are both of float32: what is above the border goes right.
        threshold=np.append(of_level([split["border"] for split in splits], np.float64), leaves),
        left=np.append(2 * nodes + 1, leaves.astype(np.int64)),
        right=np.append(2 * nodes + 2, leaves.astype(np.int64)),
        missing_left=np.append(
            of_level([treatment[one] != "AsTrue" for one in feature], np.bool_), leaves > 0
        ),
        value=np.append(np.zeros(inner), values * scale),
        cover=np.concatenate(weights[::-1]),
    )


def _require_features(found: int, expected: int) -> None:
    if found != expected:
        raise ConfigurationError(
            f"found {expected} features and a model that takes {found}; expected as many"
        )


def _require_leaves(n: int) -> None:
    if n > MAX_LEAVES:
        raise ConfigurationError(
            f"found a tree of {n} leaves; expected at most {MAX_LEAVES}; hint: max_leaves or max_depth=6, or "
            "rankers.FromOnnx"
        )


def _content(model: Any) -> AnyArray:
    """Return the JSON as an array of bytes."""
    if isinstance(model, np.ndarray) and model.dtype == np.uint8:
        return model
    if isinstance(model, str | os.PathLike):
        try:
            with open(model, "rb") as file:
                model = file.read()
        except OSError as error:
            raise ConfigurationError(f"found no model to read at {os.fspath(model)!r} ({error})") from error
    if not isinstance(model, bytes | bytearray):
        raise ConfigurationError(f"found {type(model).__name__}; expected a path or bytes of JSON")
    return np.frombuffer(bytes(model), np.uint8)


def _parsed(model: AnyArray, who: str) -> Mapping[str, Any]:
    try:
        parsed = json.loads(model.tobytes())
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"found no JSON for {who} ({shortened(error)}); expected the model saved as JSON"
        ) from error
    if not isinstance(parsed, dict):
        raise DataError(f"found JSON of a {type(parsed).__name__} for {who}; expected a model")
    return parsed
