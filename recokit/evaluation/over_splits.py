"""Several models over several splits: each is fitted on the part before and evaluated on the part after."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recokit._utils.frames_out import Recorded
from recokit._utils.progress import progress_bar
from recokit._utils.report import Content, Report, Table
from recokit.errors import ConfigurationError, did_you_mean
from recokit.evaluation.comparison import Evaluations
from recokit.evaluation.evaluate import BASELINE, evaluate
from recokit.evaluation.report import notes_of
from recokit.metrics.base import Metric
from recokit.typing import FloatArray


@dataclass(frozen=True, eq=False, repr=False)
class SplitEvaluations(Recorded, Report):
    """What :func:`evaluate_splits` found.

    Parameters
    ----------
    parts : mapping of str to Evaluations
        The evaluations of all models, by split.
    """

    parts: Mapping[str, Evaluations]

    def __getitem__(self, split: str) -> Evaluations:
        """Return the evaluations of a split; ConfigurationError for one that is not there."""
        if split not in self.parts:
            raise ConfigurationError(f"found no split {split!r}; {did_you_mean(split, self.parts)}")
        return self.parts[split]

    def __len__(self) -> int:
        return len(self.parts)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the models."""
        return tuple(next(iter(self.parts.values())))

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics."""
        return next(iter(next(iter(self.parts.values())).values())).metrics

    def means(self, name: str, metric: str) -> FloatArray:
        """Return a model's mean on each split, (S,) float64."""
        return np.array([part[name][metric].mean for part in self.parts.values()], np.float64)

    def to_records(self) -> list[dict[str, Any]]:
        """Return the records of all evaluations, each with its split first; see ``Evaluation.to_records``."""
        return [
            {"split": split, **record} for split, part in self.parts.items() for record in part.to_records()
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return each split's figures, ready for JSON."""
        return {split: part.to_dict() for split, part in self.parts.items()}

    def _content(self) -> Content:
        rows = [
            [split, name, *(str(one[metric]) for metric in self.metrics)]
            for split, part in self.parts.items()
            for name, one in part.items()
        ]
        rows += [
            ["mean of splits", name, *(self._mean(name, metric) for metric in self.metrics)]
            for name in self.names
        ]
        first = list(next(iter(self.parts.values())).values())
        table = Table(["split", "name", *self.metrics], rows)
        of = f"{len(self.names)} models on {len(self)} splits"
        title = f"{of}, means with {first[0].confidence:.0%} intervals of users"
        return Content("Evaluation over splits", [table], title, notes_of(first[:1]))

    def _mean(self, name: str, metric: str) -> str:
        means = self.means(name, metric)
        return f"{means.mean():.4f} ({means.min():.4f} to {means.max():.4f})"


def evaluate_splits(
    models: Mapping[str, Any],
    splits: Mapping[str, Any] | Iterable[Any],
    metrics: Sequence[str | Metric] = BASELINE,
    *,
    fit: Mapping[str, Any] | None = None,
    progress: bool = False,
    **options: Any,
) -> SplitEvaluations:
    """Fit several models on the first part of each split and evaluate them on the second, all in one table.

    Parameters
    ----------
    models : mapping of str to pipeline
        What has ``fit(dataset)`` and ``recommend``; copies are fitted, these stay as they are.
    splits : iterable of (train, test), or mapping of str to these
        Such as ``data.splits.rolling(...)`` gives them.
    metrics : sequence of str or Metric
        As for :func:`evaluate`.
    fit : mapping of str to value, optional
        Options of each ``fit``, such as ``{"label_window": "7D"}``.
    progress : bool, default False
        Show a bar.
    **options
        Of :func:`evaluate`, such as ``by`` or ``k``.

    Returns
    -------
    SplitEvaluations
        ``to_frame()`` has a row for each split, model, segment and metric.

    Raises
    ------
    ConfigurationError
        Without a model or a split.

    Examples
    --------
    >>> import recokit as rk
    >>> data = rk.testing.toy_dataset()
    >>> models = {"popular": rk.Pipeline([rk.candidates.Popular()]), "knn": rk.Pipeline([rk.candidates.ItemKNN()])}
    >>> found = evaluate_splits(models, [data.split_at(data.until - 3 * 86_400)], ["NDCG@10", "HR@10"])
    >>> found.names, found.metrics, len(found)
    (('popular', 'knn'), ('NDCG@10', 'HitRate@10'), 1)
    """
    named = (
        dict(splits) if isinstance(splits, Mapping) else {str(i): split for i, split in enumerate(splits, 1)}
    )
    if not named or not models:
        raise ConfigurationError(
            f"found {len(models)} models and {len(named)} splits; expected at least one of each"
        )
    parts = {}
    for split in progress_bar(list(named), show=progress, label="splits", total=len(named)):
        train, test = named[split]
        fitted = {name: copy.copy(model).fit(train, **(fit or {})) for name, model in models.items()}
        parts[split] = evaluate(fitted, test, metrics, **{"history": train, **options})
    return SplitEvaluations(parts)
