"""Rankers: stages that score candidates from their features. All learn features by name.

:class:`LogisticRegression` (linear, one product for each request), :class:`LinearRanker` (linear, learns the order
within each request), :class:`GradientBoosting` (trees), :class:`LambdaMART` (trees, the order within each request),
:class:`LightGBM` (either, with the extra ``lightgbm``), :class:`NeuralNet` and :class:`CrossNetwork` (small networks,
with embeddings of ids and labels), :class:`Weighted` (fixed weights, nothing to learn). :class:`Blend` and
:class:`Cascade` are made of other rankers. :class:`MultiObjective` has a head for each type of event; :func:`sweep`
tells what other weights would bring about.

Around a ranker: :class:`Calibrated` makes probabilities of its scores, :class:`PositionAware` learns with the place
where items were shown; after one, :class:`PopularityNormalized` takes out what fits everybody.

:class:`FromEstimator` takes any estimator with ``fit`` and ``predict``, :class:`FromFunction` any function or model
that has learned already, :class:`FromXGBoost` and :class:`FromCatBoost` their trees, :class:`FromOnnx` a
model in the ONNX format (with the extra ``onnx``).
"""

from typing import TYPE_CHECKING

from recokit._utils.faces import lazy_face

if TYPE_CHECKING:
    from recokit.rankers.blend import Blend as Blend
    from recokit.rankers.calibrated import Calibrated as Calibrated
    from recokit.rankers.cascade import Cascade as Cascade
    from recokit.rankers.cross_network import CrossNetwork as CrossNetwork
    from recokit.rankers.from_estimator import FromEstimator as FromEstimator
    from recokit.rankers.from_function import FromFunction as FromFunction
    from recokit.rankers.from_onnx import FromOnnx as FromOnnx
    from recokit.rankers.from_trees import FromCatBoost as FromCatBoost, FromXGBoost as FromXGBoost
    from recokit.rankers.gradient_boosting import GradientBoosting as GradientBoosting
    from recokit.rankers.lambda_mart import LambdaMART as LambdaMART
    from recokit.rankers.light_gbm import LightGBM as LightGBM
    from recokit.rankers.linear_ranker import LinearRanker as LinearRanker
    from recokit.rankers.logistic_regression import LogisticRegression as LogisticRegression
    from recokit.rankers.multi_objective import MultiObjective as MultiObjective
    from recokit.rankers.neural_net import NeuralNet as NeuralNet
    from recokit.rankers.popularity_normalized import PopularityNormalized as PopularityNormalized
    from recokit.rankers.position_aware import PositionAware as PositionAware
    from recokit.rankers.weight_sweep import (
        UtilityFront as UtilityFront,
        Weighting as Weighting,
        sweep as sweep,
    )
    from recokit.rankers.weighted import Weighted as Weighted

__getattr__, __dir__ = lazy_face(__name__)
