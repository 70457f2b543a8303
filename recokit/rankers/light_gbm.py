"""LightGBM: boosted trees, learned by LightGBM and scored from plain arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recokit._kernels.forest import MAX_LEAVES, ZERO, Forest, Tree
from recokit._utils.options import finite, one_of, optional, rules, whole
from recokit.data import RankingData
from recokit.errors import ConfigurationError, DataError
from recokit.rankers._forest_ranker import RATE, ForestRanker
from recokit.rankers._inputs import FEATURES, Targets, checked_labels, positions_of, sigmoid
from recokit.rankers._losses import can_learn, groups_of
from recokit.typing import AnyArray, Float32Array, FloatArray, IntArray

_OBJECTIVES = ("binary", "lambdarank", "poisson", "rank_xendcg", "regression", "tweedie")
_RANKING = ("lambdarank", "rank_xendcg")
#: LightGBM's own limit for one group of a ranking objective.
_MAX_GROUP = 10_000
#: Levels of "rank_xendcg", each worth twice the one below.
_MAX_LEVELS = 31
#: Rows that the compiled trees are tried on.
_TRIED_ROWS = 256


@dataclass(eq=False, repr=False, kw_only=True)
class LightGBM(ForestRanker):
    """Rank by boosted trees that LightGBM learns, with its objectives for whole requests.

    LightGBM (the extra ``lightgbm``) is needed by :meth:`fit` alone. The trees are kept as arrays: a saved ranker is
    loaded and served without it, several times as fast, and equal to LightGBM's own raw prediction within 1e-5.

    Parameters
    ----------
    objective : str, default "binary"
        ``"binary"``: the score is the probability of a positive, or the expected gain as a share of the largest where
        labels are graded. ``"lambdarank"``: pairs of a request, weighted by what swapping them changes NDCG by, with
        the labels as gains. ``"rank_xendcg"``: listwise; the distinct labels count as levels 0, 1, 2..., of gain
        ``2 ** level - 1``. Scores of these two are raw sums. ``"regression"``, ``"poisson"`` and ``"tweedie"``: the
        score is the expected label.
    n_estimators : int, default 300
        Trees, at most.
    learning_rate : float, default 0.05
    num_leaves : int, default 31
        Leaves of a tree, 2 to 64.
    max_depth : int, default -1
        Splits from root to leaf, at most; -1 for no limit.
    min_child_samples : int, default 50
        Training rows in a leaf, at least.
    reg_alpha, reg_lambda : float, defaults 0.0 and 1.0
        L1 and L2 penalties on leaf values.
    subsample, colsample_bytree : float, default 1.0
        Shares of the rows, drawn anew for each tree, and of the features that a tree may use.
    early_stopping_rounds : int, optional, default 30
        Where the data has validation rows, trees are added until this many bring nothing there, by NDCG@10 for
        ranking objectives and by the loss for others; the model is then learned again on training and validation rows
        together with the best number. None uses all trees.
    random_state : int, default 0
    num_threads : int, default 0
        Threads of ``fit``, 0 for all cores. The trees do not depend on it.
    params : mapping, optional
        Further parameters of LightGBM by their names there, such as ``{"max_bin": 63, "zero_as_missing": True,
        "lambdarank_truncation_level": 20}``.
    features : sequence of str, optional
        Features to use; all by default.
    categorical_features : sequence of str, optional
        Those of them whose values are categories: whole numbers from 0, of which splits take any set. LightGBM reads a
        number without what stands behind its point; a value below 0, a missing one, and one that training had not, goes
        the same way at every split.

    Attributes
    ----------
    feature_names_ : tuple of str
        Features used.
    forest_ : Forest
        The fitted trees.
    n_estimators_ : int
        Trees used.
    intercept_ : float
        Raw score that :meth:`contributions` add to.

    Raises
    ------
    ConfigurationError
        If an option is out of range, a feature is missing on use, LightGBM is not installed on ``fit``, or ``params``
        ask for trees that are more than splits and leaf values, such as linear ones.

    Notes
    -----
    For ranking objectives, groups without a difference between labels teach nothing and are left out, as are rows of
    weight 0; a group may have at most 10,000 rows.

    Examples
    --------
    >>> import numpy as np
    >>> from recokit.data import Candidates, RankingData
    >>> x = np.arange(400, dtype=np.float32)[:, None]
    >>> one = np.ones(400, np.float32)
    >>> data = RankingData(x, ("clicks",), (x[:, 0] % 100 > 70).astype(np.float32), one, np.arange(0, 401, 100),
    ...                    np.repeat([1, 2, 3, 4], 100), np.arange(1, 401), np.zeros(400))
    >>> ranker = LightGBM(objective="lambdarank", n_estimators=20, num_threads=1).fit(data)
    >>> batch = Candidates.from_lists([[7, 8]], features=[[110.0], [390.0]], feature_names=["clicks"])
    >>> low, high = ranker.score(batch)
    >>> bool(low < high)
    True
    """

    _OPTIONS = rules(
        objective=one_of(*_OBJECTIVES),
        n_estimators=whole(1),
        learning_rate=RATE,
        num_leaves=whole(2, MAX_LEAVES),
        max_depth=whole(-1),
        min_child_samples=whole(1),
        reg_alpha=finite(0),
        reg_lambda=finite(0),
        subsample=RATE,
        colsample_bytree=RATE,
        early_stopping_rounds=optional(whole(1)),
        num_threads=whole(0),
        features=FEATURES,
        categorical_features=FEATURES,
    )

    objective: str = "binary"
    n_estimators: int = 300
    learning_rate: float = 0.05
    num_leaves: int = 31
    max_depth: int = -1
    min_child_samples: int = 50
    reg_alpha: float = 0.0
    reg_lambda: float = 1.0
    subsample: float = 1.0
    colsample_bytree: float = 1.0
    early_stopping_rounds: int | None = 30
    random_state: int = 0
    num_threads: int = 0
    params: Mapping[str, Any] | None = None
    features: Sequence[str] | None = None
    categorical_features: Sequence[str] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        options = {*self._settings(), "n_estimators", "random_state", "categorical_feature"}
        taken = sorted(set(self.params or ()) & options)
        if taken:
            raise ConfigurationError(
                f"found {taken[0]!r} in params; expected other parameters than those that the options set: "
                f"{', '.join(self._settings())}"
            )

    def _settings(self) -> dict[str, Any]:
        return {
            "objective": self.objective,
            "learning_rate": self.learning_rate,
            "num_leaves": self.num_leaves,
            "max_depth": self.max_depth,
            "min_child_samples": self.min_child_samples,
            "reg_alpha": self.reg_alpha,
            "reg_lambda": self.reg_lambda,
            "subsample": self.subsample,
            "subsample_freq": int(self.subsample < 1.0),
            "colsample_bytree": self.colsample_bytree,
            "seed": self.random_state,
            "num_threads": self.num_threads,
            # The two that make the trees independent of the number of threads.
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
        }

    def _choose_n_trees(self, data: RankingData, columns: IntArray) -> int:
        import_lightgbm()
        if self.early_stopping_rounds is None or not self._can_choose(data.validation):
            return self.n_estimators
        return int(self._train(data, columns, self.n_estimators, None, data.validation).best_iteration)

    def _can_choose(self, validation: RankingData | None) -> bool:
        if validation is None or len(validation) == 0:
            return False
        if self.objective in ("binary", *_RANKING):
            return can_learn(validation, by_row=self.objective == "binary")
        return bool(validation.label.min() < validation.label.max())

    def _learn(self, data: RankingData, columns: IntArray, n_trees: int, start: Forest | None) -> Forest:
        booster = self._train(data, columns, n_trees, start)
        forest = compile_lightgbm(booster, len(columns))
        tried = np.ascontiguousarray(data.features[:_TRIED_ROWS, columns])
        expected = booster.predict(tried, raw_score=True)
        if not np.allclose(forest.raw_score(tried), expected, rtol=1e-5, atol=1e-5):
            raise ConfigurationError(
                f"found trees that do more than split and add, with params={self.params}; expected gbdt, dart or goss "
                "without linear trees or averaged output"
            )
        return forest

    def _train(
        self,
        data: RankingData,
        columns: IntArray,
        n_trees: int,
        start: Forest | None,
        validation: RankingData | None = None,
    ) -> Any:
        lightgbm = import_lightgbm()
        levels = self._levels(data, validation)
        settings: dict[str, Any] = {**self._settings(), **(self.params or {})}
        if self.objective == "lambdarank":
            settings["label_gain"] = levels.tolist()
        train = self._dataset(data, columns, levels, start, settings)
        if validation is None:
            return lightgbm.train(settings, train, n_trees)
        if self.objective in _RANKING:
            settings |= {"metric": "ndcg", "eval_at": 10}
        held = self._dataset(validation, columns, levels, start, settings).set_reference(train)
        stop = lightgbm.early_stopping(self.early_stopping_rounds, first_metric_only=True, verbose=False)
        return lightgbm.train(settings, train, n_trees, valid_sets=[held], callbacks=[stop])

    def _levels(self, data: RankingData, validation: RankingData | None) -> FloatArray:
        """Return the distinct labels, ascending: the gains of LightGBM's levels 0, 1, 2..."""
        labels = [rows.label for rows in (data, validation) if rows is not None]
        levels = np.unique(np.concatenate(labels)).astype(np.float64)
        if self.objective == "rank_xendcg" and len(levels) > _MAX_LEVELS:
            raise DataError(
                f"found {len(levels)} distinct labels; expected at most {_MAX_LEVELS} for 'rank_xendcg'; "
                "hint: objective='lambdarank' takes any"
            )
        return levels

    def _dataset(
        self,
        data: RankingData,
        columns: IntArray,
        levels: FloatArray,
        start: Forest | None,
        settings: Mapping[str, Any],
    ) -> Any:
        features, label, weight, sizes = self._rows(data, columns, levels)
        return import_lightgbm().Dataset(
            np.ascontiguousarray(features),
            label,
            categorical_feature=self._categories(data, columns),
            weight=weight,
            group=sizes,
            init_score=None if start is None else start.raw_score(features),
            params=dict(settings),
        )

    def _categories(self, data: RankingData, columns: IntArray) -> list[int]:
        """Return which of the columns hold categories."""
        used = [data.feature_names[column] for column in columns.tolist()]
        positions: list[int] = positions_of(
            self.categorical_features or (), used, type(self).__name__
        ).tolist()
        return positions

    def _rows(
        self, data: RankingData, columns: IntArray, levels: FloatArray
    ) -> tuple[Float32Array, AnyArray, FloatArray, IntArray | None]:
        """Return features, labels, weights and group sizes as the objective takes them."""
        if self.objective == "binary":
            targets = Targets(data, columns, self.largest_gain_)
            return targets.features, targets.positive, targets.weight, None
        if self.objective not in _RANKING:
            label, weight = checked_labels(data)
            if label.min() == label.max():
                raise DataError(f"found only labels of {label[0]:g}; expected labels that differ")
            return data.features[:, columns], label, weight, None
        index, groups = groups_of(data)
        sizes = np.diff(groups.offsets)
        if sizes.max() > _MAX_GROUP:
            raise DataError(
                f"found a group of {sizes.max()} rows; expected at most {_MAX_GROUP:,} for {self.objective!r}; "
                "hint: fewer candidates or sampled negatives, or objective='binary'"
            )
        level = np.searchsorted(levels, groups.label)
        return data.features[index][:, columns], level, groups.weight, sizes

    def _answer(self, raw: FloatArray) -> Float32Array:
        if self.objective == "binary":
            return sigmoid(raw * float((self.params or {}).get("sigmoid", 1.0)))
        if self.objective in ("poisson", "tweedie"):
            return np.exp(np.minimum(raw, 80.0)).astype(np.float32)  # beyond 80 float32 ends
        return raw.astype(np.float32)


def import_lightgbm() -> Any:
    """Return the module ``lightgbm``; ConfigurationError where it is not installed."""
    try:
        import lightgbm
    except ImportError as error:
        raise ConfigurationError(
            "found no lightgbm, which LightGBM needs to learn; hint: pip install 'recokit[lightgbm]'; "
            "GradientBoosting and LambdaMART need no extra"
        ) from error
    return lightgbm


def compile_lightgbm(booster: Any, n_features: int) -> Forest:
    """Compile a booster (constant leaves) into a Forest."""
    dump = booster.dump_model()
    nodes = [_flatten(tree["tree_structure"]) for tree in dump["tree_info"]]
    zero = any(node.get("missing_type") == "Zero" for tree in nodes for node in tree)
    return Forest.compile([_tree(tree) for tree in nodes], n_features, 0.0, zero_is_missing=zero)


def _flatten(root: dict[str, Any]) -> list[dict[str, Any]]:
    """List a tree's nodes, each with the positions of its children."""
    nodes = [dict(root)]
    for node in nodes:  # the list grows while it is read
        for side in ("left_child", "right_child"):
            if side in node:
                nodes.append(dict(node[side]))
                node[side] = len(nodes) - 1
    return nodes


def _tree(nodes: list[dict[str, Any]]) -> Tree:
    sets = {
        at: sorted(map(int, str(node.pop("threshold")).split("||")))
        for at, node in enumerate(nodes)
        if node.get("decision_type") == "=="
    }

    def column(name: str, default: Any, dtype: Any) -> AnyArray:
        return np.array([node.get(name, default) for node in nodes], dtype)

    return Tree(
        feature=column("split_feature", 0, np.int64),
        threshold=_beside_zero(column("threshold", 0.0, np.float64)),
        left=column("left_child", 0, np.int64),
        right=column("right_child", 0, np.int64),
        missing_left=np.array([_missing_left(node) for node in nodes], np.bool_),
        value=column("leaf_value", 0.0, np.float64),
        cover=np.array([node.get("internal_count", node.get("leaf_count", 1)) for node in nodes], np.float64),
        category_node=np.repeat(
            np.array(list(sets), np.int64), [len(categories) for categories in sets.values()]
        ),
        category=np.array([category for categories in sets.values() for category in categories], np.int64),
    )


def _beside_zero(threshold: FloatArray) -> FloatArray:
    """Return thresholds moved so that whatever LightGBM reads as 0 goes where 0 goes."""
    zero = float(ZERO)
    below, above = (threshold >= -zero) & (threshold < 0), (threshold >= 0) & (threshold <= zero)
    return np.where(below, np.nextafter(-zero, -1.0), np.where(above, zero, threshold))


def _missing_left(node: Mapping[str, Any]) -> bool:
    if node.get("decision_type") == "==":
        return False
    # A feature that never was missing: LightGBM reads a missing value as 0.
    if node.get("missing_type") == "None":
        return bool(node["threshold"] >= 0.0)
    return bool(node.get("default_left", False))
