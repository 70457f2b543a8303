"""Rankers: stages that score candidates from their features. All learn features by name.

:class:`LogisticRegression` (linear, one product for each request), :class:`LinearRanker` (linear, learns the order
within each request), :class:`GradientBoosting` (trees), :class:`NeuralNet` and :class:`CrossNetwork` (small networks,
with embeddings of ids and labels), :class:`Weighted` (fixed weights, nothing to learn). :class:`Blend` and
:class:`Cascade` are made of other rankers. :class:`MultiObjective` has a head for each type of event; :func:`sweep`
tells what other weights would bring about.
"""

from recokit.rankers.blend import Blend
from recokit.rankers.cascade import Cascade
from recokit.rankers.cross_network import CrossNetwork
from recokit.rankers.gradient_boosting import GradientBoosting
from recokit.rankers.linear_ranker import LinearRanker
from recokit.rankers.logistic_regression import LogisticRegression
from recokit.rankers.multi_objective import MultiObjective
from recokit.rankers.neural_net import NeuralNet
from recokit.rankers.sweep import UtilityFront, Weighting, sweep
from recokit.rankers.weighted import Weighted

__all__ = [
    "Blend",
    "Cascade",
    "CrossNetwork",
    "GradientBoosting",
    "LinearRanker",
    "LogisticRegression",
    "MultiObjective",
    "NeuralNet",
    "UtilityFront",
    "Weighted",
    "Weighting",
    "sweep",
]
