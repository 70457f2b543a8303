"""Evaluation by items: how well new items, or those of a category, are recommended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from recokit.data import Categorical, Dataset, Schema
from recokit.data.segments import item_segments_by
from recokit.errors import ConfigurationError, DataError, VocabularyMismatch
from recokit.evaluation.comparison import Evaluations
from recokit.evaluation.evaluate import evaluate
from recokit.evaluation.report import ALL, Evaluation, Score
from recokit.metrics import CatalogueMetric, Exposure, MatchedLists, Metric, RelevanceMetric
from recokit.metrics.registry import parse_all
from recokit.protocols import Bindable
from recokit.result import Recommendations
from recokit.typing import AnyArray, IntArray

#: Quality, and coverage: whether new items are shown at all.
VIEWS = ("NDCG@10", "Recall@50", "CatalogCoverage@10")


def evaluate_items(
    subject: Any,
    truth: Dataset,
    metrics: Sequence[str | Metric] = VIEWS,
    *,
    history: Dataset,
    by: str | Categorical | AnyArray = "novelty",
    new: int = 5,
    k: int | None = None,
    seed: int = 0,
    confidence: float = 0.95,
) -> Evaluations:
    """Evaluate recommendations separately for new and for established items.

    The lists are those of all items, as users get them. For each segment of items, quality is that of the relevant
    items of the segment alone, among the users who have any; coverage is the share of the segment's items that is
    shown to any user of the truth. For new users, see ``evaluate(..., by="activity")``.

    Parameters
    ----------
    subject : pipeline or Recommendations
        What to evaluate; a pipeline is asked once.
    truth : Dataset
        The test part.
    metrics : sequence of str or Metric
        Metrics of relevance or of the catalogue.
    history : Dataset
        The part before the cut, which says what is new.
    by : str, Categorical or ndarray, default "novelty"
        As in :func:`recokit.data.segments.item_segments_by`.
    new : int, default 5
        Items with fewer events before the cut are new.
    k : int, optional
        List length to ask for; the largest k of the metrics by default.
    seed, confidence
        As in :func:`evaluate`.

    Returns
    -------
    Evaluations
        One for each segment with items, by its name. A segment without a relevant item has NaN and 0 users.

    Raises
    ------
    ConfigurationError
        For a metric of neither kind, or unknown segments.
    DataError
        If the truth is no Dataset.
    VocabularyMismatch
        If recommendations, truth and history do not share their items.

    Examples
    --------
    >>> import recokit as rk
    >>> data = rk.testing.toy_dataset()
    >>> train, test = data.split_at(data.until - 10 * 86_400)
    >>> found = evaluate_items(rk.Pipeline([rk.candidates.Popular()]).fit(train), test, history=train)
    >>> found["new"]["Recall@50"].n < found["established"]["Recall@50"].n
    True
    """
    if not isinstance(truth, Dataset):
        raise DataError(f"found {type(truth).__name__} for the truth; expected a Dataset, the test part")
    measured = parse_all(metrics)
    for metric in measured:
        if not isinstance(metric, RelevanceMetric | CatalogueMetric):
            raise ConfigurationError(
                f"found {metric!r}; expected metrics of relevance or of the catalogue, such as 'NDCG@10'"
            )
    segments = item_segments_by(history, by, new=new)
    k = k or max(metric.k for metric in measured)
    lists = _lists(subject, truth, k, history.cut, seed)
    if not lists.item_ids == truth.item_ids == history.item_ids:
        raise VocabularyMismatch(
            "found other items in the recommendations than in truth and history; expected one dataset, split by time"
        )
    parts = {}
    for name, items in _items_of(segments).items():
        part = _of_segment(lists, truth, measured, items, k=k, confidence=confidence)
        parts[name] = replace(part, name=name)
    return Evaluations(parts)


def _items_of(segments: Categorical) -> dict[str, IntArray]:
    """Return the items of each segment that has some; an item of several labels is in several."""
    if segments.separator is not None:
        several = segments.several
        return {label: np.flatnonzero(several.having(label)) for label in several.labels.ids.tolist()}
    codes = np.unique(segments.codes[segments.codes > 0]).tolist()
    return {str(segments.labels.ids[code - 1]): np.flatnonzero(segments.codes == code) for code in codes}


def _lists(subject: Any, truth: Dataset, k: int, now: float | None, seed: int) -> Recommendations:
    if isinstance(subject, Recommendations):
        return subject
    users = np.unique(truth.interactions.user[truth.interactions.counted])
    when = truth.interactions.timestamp[0] if now is None else now
    ids = truth.user_ids.decode(users[users > 0])
    lists: Recommendations = subject.recommend(ids, k=k, now=float(when), seed=seed)
    return lists


class _Within(CatalogueMetric):
    """A metric of the catalogue, of some items only."""

    def __init__(self, metric: CatalogueMetric, items: IntArray) -> None:
        super().__init__(metric.k)
        self.metric, self.items = metric, items

    @property
    def definition(self) -> str:
        return self.metric.definition

    @property
    def name(self) -> str:
        return self.metric.name

    @property
    def column(self) -> str | None:
        return self.metric.column

    def bind(self, schema: Schema) -> _Within:
        return _Within(self.metric.bind(schema), self.items) if isinstance(self.metric, Bindable) else self

    def exposure(self, matched: MatchedLists) -> Exposure:
        return self.metric.exposure(matched)

    def from_exposure(self, exposure: Exposure, n_items: int | None) -> float:
        return self.metric.from_exposure(exposure.of(self.items), len(self.items))


def _of_segment(
    lists: Recommendations,
    truth: Dataset,
    metrics: Sequence[Metric],
    items: IntArray,
    **options: Any,
) -> Evaluation:
    """Evaluate quality by the segment's relevant items, and coverage of its items by all lists."""
    log = truth.interactions
    relevant = np.isin(log.item, items) & log.counted & (log.user > 0)
    quality = [metric for metric in metrics if isinstance(metric, RelevanceMetric)]
    coverage = [_Within(metric, items) for metric in metrics if isinstance(metric, CatalogueMetric)]
    parts: list[Evaluation] = []
    if quality and relevant.any():
        of_segment = truth.with_interactions(log.take(np.flatnonzero(relevant)))
        parts.append(evaluate(lists, of_segment, quality, **options))
    if coverage or not parts:
        parts.append(evaluate(lists, truth, [*coverage, *([] if parts else quality)], **options))
    scores = {score.metric: score for part in parts for score in part.scores}
    values = {metric: parts[0].values(metric) for metric in parts[0].metrics if relevant.any()}
    if not relevant.any():
        nothing = float("nan")
        scores |= {metric.name: Score(metric.name, ALL, nothing, nothing, nothing, n=0) for metric in quality}
    names = tuple(metric.name for metric in metrics)
    unknown = np.full(len(parts[0]), np.nan, np.float32)
    return replace(
        parts[0],
        metrics=names,
        scores=tuple(scores[metric] for metric in names),
        per_user=np.stack([values.get(metric, unknown) for metric in names], axis=1),
        definitions={metric.name: metric.definition for metric in metrics},
    )
