"""Evaluations made of given values, for tests of what is done with them."""

from __future__ import annotations

import numpy as np

from recokit.data import Vocabulary
from recokit.evaluation import Evaluation
from recokit.evaluation.report import Score


def evaluation(
    name, values, *, segment=None, segments=("all",), metrics=("NDCG@10",), users=None, now=1.0, k=10
):
    """An Evaluation of given values by user (U, M)."""
    values = np.asarray(values, np.float32).reshape(len(values), -1)
    segment = np.zeros(len(values), np.int64) if segment is None else np.asarray(segment)
    scores = tuple(
        Score.of(
            metric, label, values[segment == code if code else slice(None), column], 0.95, bounds=(0.0, 1.0)
        )
        for code, label in enumerate(segments)
        for column, metric in enumerate(metrics)
    )
    return Evaluation(
        name=name,
        scores=scores,
        users=Vocabulary(np.arange(1, len(values) + 1) if users is None else users),
        metrics=metrics,
        definitions={metric: f"what {metric} is" for metric in metrics},
        per_user=values,
        segment=segment,
        segments=segments,
        statuses={"OK": len(values)},
        n_without_truth=0,
        n_outside=0,
        k=k,
        now=now,
        confidence=0.95,
    )
