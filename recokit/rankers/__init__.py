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
that has learned already, :class:`FromOnnx` a model in the ONNX format (with the extra ``onnx``).
"""

from recokit.rankers.blend import Blend
from recokit.rankers.calibrated import Calibrated
from recokit.rankers.cascade import Cascade
from recokit.rankers.cross_network import CrossNetwork
from recokit.rankers.from_estimator import FromEstimator
from recokit.rankers.from_function import FromFunction
from recokit.rankers.from_onnx import FromOnnx
from recokit.rankers.gradient_boosting import GradientBoosting
from recokit.rankers.lambda_mart import LambdaMART
from recokit.rankers.light_gbm import LightGBM
from recokit.rankers.linear_ranker import LinearRanker
from recokit.rankers.logistic_regression import LogisticRegression
from recokit.rankers.multi_objective import MultiObjective
from recokit.rankers.neural_net import NeuralNet
from recokit.rankers.popularity_normalized import PopularityNormalized
from recokit.rankers.position_aware import PositionAware
from recokit.rankers.sweep import UtilityFront, Weighting, sweep
from recokit.rankers.weighted import Weighted

__all__ = [
    "Blend",
    "Calibrated",
    "Cascade",
    "CrossNetwork",
    "FromEstimator",
    "FromFunction",
    "FromOnnx",
    "GradientBoosting",
    "LambdaMART",
    "LightGBM",
    "LinearRanker",
    "LogisticRegression",
    "MultiObjective",
    "NeuralNet",
    "PopularityNormalized",
    "PositionAware",
    "UtilityFront",
    "Weighted",
    "Weighting",
    "sweep",
]
