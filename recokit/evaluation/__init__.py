"""Evaluation: recommenders against what happened, by segment, with intervals.

:func:`evaluate` takes a pipeline, finished recommendations, or several of them by name, and gives
:class:`Evaluation` (or :class:`Evaluations`); :func:`compare` gives the paired :class:`Difference` of two;
:func:`mean_interval` is the interval they all use. :func:`evaluate_items` tells new items from established ones.
"""

from recokit.evaluation.evaluate import evaluate
from recokit.evaluation.intervals import mean_interval
from recokit.evaluation.items import evaluate_items
from recokit.evaluation.report import Difference, Evaluation, Evaluations, Score, compare

__all__ = [
    "Difference",
    "Evaluation",
    "Evaluations",
    "Score",
    "compare",
    "evaluate",
    "evaluate_items",
    "mean_interval",
]
