"""Evaluate: lists against what happened, streamed by chunks of users."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict, Unpack, overload

import numpy as np

from recokit._utils.options import require, share, whole
from recokit._utils.progress import progress_bar
from recokit.data import Categorical, Dataset, Vocabulary, timestamp
from recokit.data.context import Declared, checked_context
from recokit.data.dataset import require_dataset
from recokit.data.segments import segments_by
from recokit.errors import ConfigurationError
from recokit.evaluation.comparison import Evaluations
from recokit.evaluation.figures import Measures, Setting, figures_of
from recokit.evaluation.list_sources import source_of
from recokit.evaluation.overlap import overlap_of, require_no_overlap
from recokit.evaluation.report import ALL, Evaluation
from recokit.evaluation.truth import Truth
from recokit.metrics import Metric
from recokit.metrics.registry import parse_all
from recokit.protocols import Bindable, Recommender
from recokit.result import Recommendations
from recokit.typing import AnyArray, IntArray

#: Metrics of the offline baseline: the first places, what candidates hold, and all ranks between.
BASELINE = ("NDCG@10", "Recall@50", "MAP@10")

By = str | Categorical | np.ndarray | Mapping[Any, Any]


class _Options(TypedDict, total=False):
    by: By | None
    history: Dataset | None
    users: Iterable[Any] | None
    k: int | None
    now: str | float | None
    context: Declared | None
    confidence: float
    chunk_size: int
    seed: int
    allow_overlap: bool
    progress: bool


@overload
def evaluate(
    subject: Mapping[str, Recommender | Recommendations],
    truth: Any,
    metrics: Sequence[str | Metric] = ...,
    **options: Unpack[_Options],
) -> Evaluations: ...
@overload
def evaluate(
    subject: Recommender | Recommendations,
    truth: Any,
    metrics: Sequence[str | Metric] = ...,
    **options: Unpack[_Options],
) -> Evaluation: ...
def evaluate(
    subject: Any,
    truth: Any,
    metrics: Sequence[str | Metric] = BASELINE,
    *,
    by: By | None = None,
    history: Dataset | None = None,
    users: Iterable[Any] | None = None,
    k: int | None = None,
    now: str | float | None = None,
    context: Declared | None = None,
    confidence: float = 0.95,
    chunk_size: int = 1024,
    seed: int = 0,
    allow_overlap: bool = False,
    progress: bool = False,
) -> Evaluation | Evaluations:
    """Evaluate recommendations against what happened.

    Every user with a relevant item counts: one without a list, or with an empty one, counts 0. Users are
    streamed in chunks, so memory does not grow with the lists.

    Lists that are only part of the catalogue, and yet miss nothing relevant to anybody, are taken for candidates
    sampled around the relevant items; the result says so (``sampled``). Such figures may even order recommenders
    otherwise than full lists do (Krichene and Rendle, *On sampled metrics for item recommendation*, 2020).

    Parameters
    ----------
    subject : pipeline, Recommendations, or mapping of str to these
        What to evaluate. A pipeline is asked for ``recommend(user_ids, k=, now=, seed=)``. A mapping gives
        :class:`Evaluations`, to be compared user by user.
    truth : Dataset, mapping or Ragged
        A test part: each user's items with a weight above 0 are relevant, their gain is the largest weight.
        Or user id to item ids (or to a mapping of item id to gain). Or item codes of the recommender's own
        vocabulary, a row for each of ``users``, with an optional column ``gain``.
    metrics : sequence of str or Metric
        Names such as ``"NDCG@10"``, or metrics.
    by : str, Categorical, ndarray or mapping, optional
        Segments, as :func:`recokit.data.segments.segments_by` takes them: ``"activity"``, a user column,
        labels by user code, or user id to label.
    history : Dataset, optional
        The part before the cut: ``"activity"`` counts its events strictly before ``now``. By default the
        ``dataset`` attribute of the pipeline, if it has one.
    users : iterable of ids, optional
        Evaluate these only.
    k : int, optional
        List length to ask a pipeline for; the largest k of the metrics by default. Limits such as a
        category's share hold for the list that is asked for: evaluate ``NDCG@10`` on its own where the lists
        shown are 10 long.
    now : str or float, optional
        Request time. By default the history's cut, else the first event of the truth.
    context : mapping of str to value, optional
        Context columns of the requests: a value for all, or a mapping of user id to value, unknown for other users.
    confidence : float, default 0.95
        Of the intervals, see :func:`mean_interval`.
    chunk_size : int, default 1024
        Users at a time.
    seed : int, default 0
        For stochastic stages.
    allow_overlap : bool, default False
        Evaluate also a model that has seen events from the time of the truth on, as after a split that is none in time;
        the report says so. Refused by default: such figures are those of a model that knows the answers.
    progress : bool, default False
        Show a bar.

    Returns
    -------
    Evaluation or Evaluations

    Raises
    ------
    DataError
        If the history is no Dataset, no user has a relevant item, a user has two lists, ids are of the wrong kind, or
        a model or the history has seen what it is evaluated on.
    ConfigurationError
        For unknown metrics, segments or columns, or impossible options.

    Examples
    --------
    >>> from recokit.data import Ragged, Vocabulary
    >>> made = Recommendations(
    ...     users=np.array(["ann", "bob"], object), offsets=np.array([0, 2, 3]), item=np.array([1, 2, 3]),
    ...     score=np.ones(3, np.float32), columns={}, sources=((),) * 3, status=np.zeros(2, np.int64),
    ...     reasons=((), ()), item_ids=Vocabulary(["pear", "fig", "kiwi"]))
    >>> found = evaluate(made, {"ann": ["fig"], "bob": ["kiwi", "lime"]}, ["Recall@2"])
    >>> round(found["Recall@2"].mean, 2), found["Recall@2"].n
    (0.75, 2)
    """
    subjects = dict(subject) if isinstance(subject, Mapping) else {_name(subject): subject}
    if not subjects:
        raise ConfigurationError("found an empty mapping to evaluate; expected at least one name")
    require(share, confidence=confidence)
    require(whole(1), chunk_size=chunk_size)
    if history is not None:
        require_dataset(history, "history")
    if users is None and not isinstance(truth, Dataset | Mapping):
        users = _users_of(subjects)
    relevant = Truth.of(truth, users)
    history = history if history is not None else _history_of(subjects)
    # Attributes of users and items are the same before and after the cut, activity is not.
    item_tables = truth if isinstance(truth, Dataset) else history
    measured = parse_all(metrics)
    if item_tables is not None:
        schema = item_tables.schema
        measured = [one.bind(schema) if isinstance(one, Bindable) else one for one in measured]
    now = _request_time(now, history, relevant)
    past = history if history is None or now is None else history.before(now)
    overlap = {name: overlap_of(one, truth, past) for name, one in subjects.items()}
    if not allow_overlap:
        require_no_overlap(overlap)
    setting = Setting(
        truth=relevant,
        measures=Measures(measured, list_length(k, measured), now, confidence),
        segments=user_segments(by, relevant.users, history=history, tables=item_tables, now=now),
        item_tables=item_tables,
        history=past,
    )
    parts = {}
    for name, one in subjects.items():
        lists = source_of(
            one, relevant, k=setting.measures.k, now=now, seed=seed, context=checked_context(context)
        )
        steps = range(0, len(relevant), chunk_size)
        bar = progress_bar(steps, show=progress, label=f"evaluate {name}", total=len(steps))
        parts[name] = figures_of(lists, setting, bar, chunk_size).evaluation(
            name, setting.measures, overlap[name]
        )
    return Evaluations(parts) if isinstance(subject, Mapping) else next(iter(parts.values()))


def _name(subject: Any) -> str:
    return "recommendations" if isinstance(subject, Recommendations) else type(subject).__name__.lower()


def _users_of(subjects: Mapping[str, Any]) -> AnyArray | None:
    """Return the users of the only recommendations, whose rows a Ragged truth then goes with."""
    only = next(iter(subjects.values()))
    return only.users if len(subjects) == 1 and isinstance(only, Recommendations) else None


def _history_of(subjects: Mapping[str, Any]) -> Dataset | None:
    """Return the dataset of the first pipeline that keeps one; a recommender need not."""
    datasets = (getattr(subject, "dataset", None) for subject in subjects.values())
    return next((dataset for dataset in datasets if isinstance(dataset, Dataset)), None)


def list_length(k: int | None, metrics: Sequence[Metric]) -> int:
    """Return the length of the lists to ask for: the longest that a metric looks at, unless one is given."""
    longest = max(metrics, key=lambda metric: metric.k)
    if k is not None and k < longest.k:
        raise ConfigurationError(f"found k={k}; expected at least {longest.k}, which {longest.name} looks at")
    return longest.k if k is None else k


def _request_time(now: str | float | None, history: Dataset | None, truth: Truth) -> float | None:
    if now is not None:
        return timestamp(now)
    return history.cut if history is not None and history.cut is not None else truth.start


def user_segments(
    by: By | None, users: Vocabulary, *, history: Dataset | None, tables: Dataset | None, now: float | None
) -> tuple[IntArray, tuple[str, ...]]:
    """Return each user's segment, (U,), and the names; code 0 is all users, or none in particular."""
    if by is None:
        return np.zeros(len(users), np.int64), (ALL,)
    if isinstance(by, Mapping):
        codes, names = _labelled(by, users)
    else:
        if isinstance(by, str) and by == "activity":
            # Events of the test part would make power users of whoever has much to be right about.
            tables = history if history is None or now is None else history.before(now)
        if tables is None:
            raise ConfigurationError(
                f"found by={by!r} without a dataset to take it from; "
                "expected history=, the part before the cut"
            )
        segments = segments_by(tables, by)
        codes = segments.codes[tables.user_ids.encode(users.ids)]
        names = [str(label) for label in segments.labels.ids.tolist()]
    if ALL in names:
        raise ConfigurationError(
            f"found a segment named {ALL!r}; expected another name: that one is all users"
        )
    return codes, (ALL, *names)


def _labelled(by: Mapping[Any, Any], users: Vocabulary) -> tuple[IntArray, list[str]]:
    labels = [by.get(user) for user in users.ids.tolist()]
    names = sorted({str(label) for label in labels if label is not None})
    place = {name: code for code, name in enumerate(names, 1)}
    return np.array([0 if label is None else place[str(label)] for label in labels], np.int64), names
