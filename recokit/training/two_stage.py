"""Two-stage temporal training: candidates of sources fitted before a cut, labelled by the events after it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np

from recokit._kernels.hashing import mix, uniform
from recokit._kernels.segments import counts_to_offsets
from recokit._utils.options import optional, whole
from recokit._utils.params import clone
from recokit._utils.progress import progress_bar, say
from recokit._utils.report import Content, Report
from recokit.compose.step import snake_case
from recokit.data import Candidates, Dataset, Ragged, RankingData, Requests
from recokit.data.sampling import NegativeSampler
from recokit.errors import ConfigurationError, DataError
from recokit.protocols import traits_of
from recokit.training.labels import label_candidates, label_events, window_events, window_truth
from recokit.training.negatives import Negatives, as_negatives, sample_negatives
from recokit.training.report import TrainingReport, WindowReport
from recokit.training.windows import (
    MAX_REQUESTS,
    TrainingWindow,
    plan_requests,
    plan_windows,
    sample_requests,
)
from recokit.typing import BoolArray, IntArray, UInt64Array

#: Share of the requests that validate where there is only one window.
HELD_OUT = 0.2
#: Requests run at a time: bounds the memory that all candidates with all features take.
CHUNK_ROWS = 256


class FittedPrefix(Protocol):
    """A pipeline's stages before its ranker, fitted on data before a cut.

    Attributes
    ----------
    stages : mapping of str to object
        The fitted stages by path; sources among them carry ``fitted_until_``.
    skipped : tuple of str
        Paths of the stages left out because they depend on today's state.
    """

    stages: Mapping[str, Any]
    skipped: tuple[str, ...]

    def run(self, requests: Requests) -> Candidates:
        """Hydrate, retrieve, filter and featurise, in the order of fusion."""
        ...


@dataclass(frozen=True, eq=False, repr=False)
class TrainingSet(Report):
    """Labelled rows for a ranker, and the report on them."""

    data: RankingData
    report: TrainingReport

    def _content(self) -> Content:
        rows, report = self.data._content(), self.report._content()
        return replace(
            report, title="Training set", summary=rows.summary, tables=[*report.tables, *rows.tables]
        )


@dataclass(frozen=True)
class _Options:
    """How the rows of every window are made."""

    requests_at: Literal["auto", "cut", "session"]
    negatives: Negatives | None
    validation: bool
    max_requests: int | None
    seed: int
    chunk_rows: int
    progress: bool


@dataclass(frozen=True, eq=False)
class _WindowRows:
    """Rows of one window, for training and for validation."""

    trained: list[RankingData]
    held: list[RankingData]
    report: WindowReport
    skipped: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Labelled:
    """Rows of a chunk of requests, with the negatives kept by kind and other counts."""

    data: RankingData
    negatives: Mapping[str, int]
    counts: Mapping[str, int]


def build_training_set(
    fit_prefix: Callable[[Dataset], FittedPrefix],
    dataset: Dataset,
    *,
    label_window: str | float,
    windows: int | None = None,
    gap: str | float = 0,
    requests_at: Literal["auto", "cut", "session"] = "cut",
    negatives: Negatives | NegativeSampler | None = Negatives(),  # noqa: B008  (frozen)
    validation: bool = True,
    max_requests: int | None = MAX_REQUESTS,
    seed: int = 0,
    chunk_rows: int = CHUNK_ROWS,
    progress: bool = False,
) -> TrainingSet:
    """Build the rows that a ranker learns from, without leakage.

    For each window: sources are fitted strictly before its cut, requests are made at its start for every user known
    by then and every newcomer of the window, run through the pipeline's own prefix in chunks, labelled by what
    happened in the window, and negatives are sampled. A positive that the sources missed is not added: the ranker
    will not see such rows when it serves. The newest window validates; with one window, a fifth of the requests do.
    Columns ``event.{name}`` (bool) of the rows say which types of events followed.

    Parameters
    ----------
    fit_prefix : callable
        Gets the dataset before a cut and returns the pipeline's prefix fitted on it.
    dataset : Dataset
        Everything that may be learned from.
    label_window, windows, gap
        See :func:`plan_windows`.
    requests_at : {"auto", "cut", "session"}, default "cut"
        See :func:`plan_requests`.
    max_requests : int, optional
        Requests of each window at most: a sample by hash, the same for the same seed, and the report says of how many.
        None takes all, which costs time in proportion.
    negatives : Negatives or NegativeSampler, optional
        How negatives are sampled; a sampler alone decides on all of them; None keeps them all.
    validation : bool, default True
        Whether rows are held out for the ranker's own choices, such as the number of trees.
    seed : int, default 0
    chunk_rows : int, default 256
        Requests run at a time. The result does not depend on it.
    progress : bool, default False
        Whether to show a progress bar.

    Raises
    ------
    DataError
        If the data is too short, or no candidate of any training window was taken.
    ConfigurationError
        If a source has seen events after a request.
    """
    optional(whole(1)).check("max_requests", max_requests, DataError)
    plan = plan_windows(dataset, label_window, windows, gap)
    options = _Options(
        requests_at=requests_at,
        negatives=as_negatives(negatives),
        validation=validation,
        max_requests=max_requests,
        seed=seed,
        chunk_rows=chunk_rows,
        progress=progress,
    )
    parts = [_window_rows(fit_prefix, dataset, plan, place, options) for place in range(len(plan))]
    reports = tuple(part.report for part in parts)
    trained = [rows for part in parts for rows in part.trained]
    if not trained or not sum(report.positives for report in reports):
        raise DataError(
            f"found no positives among {sum(report.candidates for report in reports)} candidates of {len(plan)} "
            "training windows; expected candidates that users went on to take; "
            "hint: a longer label_window, more windows, or sources with a higher recall"
        )
    held = [rows for part in parts for rows in part.held]
    data = replace(assemble(trained, held), schema=dataset.schema)
    skipped = tuple(dict.fromkeys(name for part in parts for name in part.skipped))
    return TrainingSet(data, TrainingReport(reports, skipped, data.feature_names))


def rows_of_window(
    prefix: FittedPrefix,
    dataset: Dataset,
    window: TrainingWindow,
    *,
    negatives: Negatives | NegativeSampler | None,
    validation: bool,
    seed: int,
) -> Iterator[tuple[bool, RankingData]]:
    """Return the rows of all users of a dataset in one window, chunk by chunk, and whether they validate.

    The prefix is fitted on what was before the window's cut already; options as for :func:`build_training_set`.
    """
    options = _Options(
        requests_at="cut",
        negatives=as_negatives(negatives),
        validation=validation,
        max_requests=None,
        seed=seed,
        chunk_rows=CHUNK_ROWS,
        progress=False,
    )
    rows = _window_rows(lambda before: prefix, dataset, [window], 0, options)
    yield from ((False, part) for part in rows.trained)
    yield from ((True, part) for part in rows.held)


def train_ranker(
    ranker: Any, fit_prefix: Callable[[Dataset], FittedPrefix], dataset: Dataset, **options: Any
) -> tuple[Any, TrainingReport]:
    """Return a fitted clone of a ranker, and the report on its rows; options as for :func:`build_training_set`."""
    training = build_training_set(fit_prefix, dataset, **options)
    return clone(ranker).fit(training.data), training.report


def assemble(train: Sequence[RankingData], validation: Sequence[RankingData] = ()) -> RankingData:
    """Join parts into one set of training rows, with the validation rows beside them; columns that all have are kept.

    Raises
    ------
    DataError
        If there is no part, or the parts' features differ.
    """
    joined = RankingData.joined(train)
    return replace(joined, validation=RankingData.joined(validation)) if validation else joined


def require_fitted_before(stages: Mapping[str, Any], requests: Requests) -> None:
    """Check that no stage has seen events from after a request.

    Raises
    ------
    ConfigurationError
        Naming the first stage whose ``fitted_until_`` is later than the earliest request. Stages with ``as_of`` set
        evaluate strictly before each request's own time and are exempt.
    """
    earliest = float(requests.now.min(initial=np.inf))
    for name, stage in stages.items():
        traits = traits_of(stage)
        until = traits.fitted_until
        if until > earliest and not traits.as_of:
            raise ConfigurationError(
                f"found {name} fitted on events until {until:.0f} and a training request at {earliest:.0f}, "
                f"{until - earliest:.0f} s earlier; expected sources fitted before the request; "
                "hint: a source given ready-made (a hot swap) has seen the labels: let fit train a clone of it"
            )


def _window_rows(
    fit_prefix: Callable[[Dataset], FittedPrefix],
    dataset: Dataset,
    plan: Sequence[TrainingWindow],
    place: int,
    options: _Options,
) -> _WindowRows:
    """Return the rows of one window of a plan, chunk by chunk."""
    window = plan[place]
    prefix = fit_prefix(dataset.before(window.cut))
    planned = plan_requests(dataset, window, requests_at=options.requests_at, seed=options.seed)
    requests = sample_requests(planned, options.max_requests, options.seed)
    require_fitted_before(prefix.stages, requests)
    later = dataset.interactions.between(window.start, window.end)
    truth, events = window_truth(requests, later), window_events(requests, later)
    seeds = _request_seeds(requests)
    held_out = _held_out(
        seeds,
        newest=place == len(plan) - 1,
        n_windows=len(plan),
        validation=options.validation,
    )
    negatives = None if options.negatives is None else options.negatives.fitted(dataset.before(window.end))
    report = WindowReport(window.cut, window.start, window.end, _part_name(held_out), available=len(planned))
    trained: list[RankingData] = []
    held: list[RankingData] = []
    label = f"window {place + 1} of {len(plan)}"
    for rows in _chunks(len(requests), options.chunk_rows, options.progress, label):
        batch = prefix.run(requests.take(rows))
        chunk = _label_and_sample(batch, truth.take(rows), events.take(rows), seeds[rows], negatives)
        report = report.plus(chunk.negatives, **chunk.counts)
        for side, mask in ((trained, ~held_out[rows]), (held, held_out[rows])):
            if mask.any():
                side.append(chunk.data if mask.all() else chunk.data.take(np.flatnonzero(mask)))
    return _WindowRows(trained, held, report, prefix.skipped)


def _label_and_sample(
    batch: Candidates, truth: Ragged, events: Ragged, seeds: UInt64Array, negatives: Negatives | None
) -> _Labelled:
    label = label_candidates(batch, truth)
    positive = label > 0
    if negatives is None:
        index, weight = np.arange(len(label)), np.ones(len(label), np.float32)
        hard = np.zeros(len(label), np.bool_)
    else:
        size = negatives.propensity(batch.user, batch.item)
        index, weight, hard = sample_negatives(
            label, batch.offsets, batch.item, seed=seeds, negatives=negatives, propensity=size
        )
    n_positive, n_hard = int(positive.sum()), int(hard.sum())
    n_other = len(index) - n_positive - n_hard
    if negatives is None:
        kinds = {"all": n_other}
    else:
        rest = "uniform" if negatives.by is None else snake_case(type(negatives.by).__name__)
        kinds = {"hard": n_hard, rest: n_other}
    counts = {
        "groups": batch.n_rows,
        "groups_with_positives": len(np.unique(batch.row[positive])),
        "candidates": len(batch),
        "positives": n_positive,
        "missed": len(truth.values) - n_positive,
        "rows": len(index),
    }
    row = batch.row[index]
    data = RankingData(
        features=batch.features[index],
        feature_names=batch.feature_names,
        label=label[index],
        weight=weight,
        offsets=counts_to_offsets(np.bincount(row, minlength=batch.n_rows)),
        user=batch.user[index],
        item=batch.item[index],
        now=batch.now[index],
        columns={name: column[index] for name, column in label_events(batch, events).items()},
    )
    return _Labelled(data, kinds, counts)


def _request_seeds(requests: Requests) -> UInt64Array:
    """Return one seed for each request: a user's requests at different times draw different negatives."""
    return mix(requests.seed ^ np.ascontiguousarray(requests.now).view(np.uint64))


def _held_out(seeds: UInt64Array, *, newest: bool, n_windows: int, validation: bool) -> BoolArray:
    if not validation or not newest:
        return np.zeros(len(seeds), np.bool_)
    if n_windows > 1:
        return np.ones(len(seeds), np.bool_)
    return uniform(seeds, np.zeros(len(seeds), np.int64), stream=13) < HELD_OUT


def _part_name(held_out: BoolArray) -> Literal["train", "validation", "both"]:
    if not held_out.any():
        return "train"
    return "validation" if held_out.all() else "both"


def _chunks(n_rows: int, size: int, progress: bool, label: str) -> Iterator[IntArray]:
    starts: Iterable[int] = range(0, n_rows, size)
    for start in progress_bar(starts, show=progress, label=label, total=-(-n_rows // size)):
        say(f"{label}, {start:,} of {n_rows:,} requests")
        yield np.arange(start, min(start + size, n_rows))
