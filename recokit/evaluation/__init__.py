"""Evaluation: recommenders against what happened, by segment, with intervals.

:func:`evaluate` takes a pipeline, finished recommendations, or several of them by name, and gives
:class:`Evaluation` (or :class:`Evaluations`). :func:`compare` gives the paired :class:`Difference` of two,
:func:`compare_all` those of several with one, corrected for their number; :func:`mean_interval` is the interval they
all use. :func:`evaluate_items` tells new items from established ones.
:func:`evaluate_splits` makes one table of several models over several splits.
:class:`Gate` says whether a candidate may replace the baseline, :class:`RollingQuality` whether to train more often.
"""

from recokit._stats.intervals import mean_interval, quantile_interval
from recokit.evaluation.comparison import Comparison, Difference, Evaluations, compare, compare_all
from recokit.evaluation.evaluate import evaluate
from recokit.evaluation.gate import Condition, Gate, GateResult, Verdict
from recokit.evaluation.items import evaluate_items
from recokit.evaluation.over_splits import SplitEvaluations, evaluate_splits
from recokit.evaluation.report import Evaluation, Score
from recokit.evaluation.rolling import Advice, RollingQuality, TrainingAdvice

__all__ = [
    "Advice",
    "Comparison",
    "Condition",
    "Difference",
    "Evaluation",
    "Evaluations",
    "Gate",
    "GateResult",
    "RollingQuality",
    "Score",
    "SplitEvaluations",
    "TrainingAdvice",
    "Verdict",
    "compare",
    "compare_all",
    "evaluate",
    "evaluate_items",
    "evaluate_splits",
    "mean_interval",
    "quantile_interval",
]
