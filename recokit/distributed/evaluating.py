"""Evaluate: a job against a log that is spread over an engine, as exact as on one machine."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from recokit._utils.options import require, share
from recokit.data import Dataset, Schema
from recokit.data.context import Declared, checked_context
from recokit.data.recode import recoded
from recokit.distributed.by_user import by_user
from recokit.distributed.recommend import Recommend
from recokit.errors import ConfigurationError
from recokit.evaluation import Evaluation
from recokit.evaluation.evaluate import BASELINE, list_length, user_segments
from recokit.evaluation.figures import Figures, Measures, Setting, figures_of
from recokit.evaluation.list_sources import ServedLists
from recokit.evaluation.overlap import overlap_of, require_no_overlap
from recokit.evaluation.truth import truth_of_dataset
from recokit.metrics import CatalogueMetric, Metric, UserMetric
from recokit.metrics.registry import parse_all
from recokit.protocols import Bindable
from recokit.typing import FloatArray

if TYPE_CHECKING:
    import pyarrow as pa

#: Users asked for at a time.
_CHUNK = 1024


def evaluate(
    job: Recommend,
    log: Any,
    metrics: Sequence[str | Metric] = BASELINE,
    *,
    by: str | Mapping[Any, Any] | None = None,
    k: int | None = None,
    context: Declared | None = None,
    confidence: float = 0.95,
    reading: Mapping[str, Any] | None = None,
    partitions: int | None = None,
) -> Evaluation:
    """Evaluate a job's model against a log that an engine holds.

    The log is cut at ``job.now``: what was before is history, what is from then on is the truth. All events of a user
    go to one partition, which measures its users; what comes back are their values and sums over them, never means, so
    figures and intervals are those of :func:`recokit.evaluate`.

    Parameters
    ----------
    job : Recommend
        With ``now``; its ``k`` is not used.
    log : Spark DataFrame, path, or dataframe
        Events as for :meth:`recokit.Dataset.from_frame`: a frame of Spark, Parquet files, or a frame that lies here.
    metrics : sequence of str or Metric
        As for :func:`recokit.evaluate`.
    by : str or mapping, optional
        ``"activity"``, a column of the model's users, or user id to label.
    k : int, optional
        List length; the largest k of the metrics by default.
    context : mapping of str to value, optional
        Context columns of the requests.
    confidence : float, default 0.95
        Of the intervals.
    reading : mapping, optional
        Options of :meth:`recokit.Dataset.from_frame`, such as ``{"columns": {"user_id": "customer"}}``.
    partitions : int, optional
        How many partitions; by default Spark's own number, and 1 of a log that lies here. It changes no figure.

    Returns
    -------
    Evaluation
        Users sorted by id.

    Raises
    ------
    ConfigurationError
        If the job has no time, or segments are given by user code.
    DataError
        If no user has a relevant item, or the model has seen events of the truth.

    Notes
    -----
    The driver gets 8 bytes for each user and metric, and the ids. Metrics that read past events, such as novelty, need
    a first pass over the log, which counts the events of each item.

    Examples
    --------
    >>> import tempfile
    >>> import recokit as rk
    >>> from recokit import distributed as ds
    >>> log = {"user_id": [1, 2, 1, 2], "item_id": ["fig", "pear", "pear", "fig"], "timestamp": [1.0, 2.0, 8.0, 9.0]}
    >>> folder = tempfile.mkdtemp()
    >>> rk.Pipeline([rk.candidates.Popular()]).fit(rk.Dataset.from_frame(log).before(5.0)).save(folder)
    >>> import pyarrow as pa
    >>> found = ds.evaluate(ds.Recommend(folder, now=5.0), pa.table(log), ["Recall@2"], partitions=2)
    >>> found["Recall@2"].mean, found["Recall@2"].n
    (1.0, 2)
    """
    import pyarrow as pa

    require(share, confidence=confidence)
    if job.now is None:
        raise ConfigurationError(f"found {job!r} without now; expected the time at which the log is cut")
    if not (by is None or isinstance(by, str | Mapping)):
        raise ConfigurationError(
            f"found by as {type(by).__name__}; expected 'activity', a user column, or a mapping of user id to label"
        )
    schema = job.saved.open().schema
    measured = parse_all(metrics)
    measures = Measures(_bound(measured, schema), list_length(k, measured), job.now, confidence)
    reading = dict(reading or {})
    spread: dict[str, Any] = {
        "user": reading.get("columns", {}).get("user_id", "user_id"),
        "partitions": partitions,
        "schema": pa.schema({"part": pa.binary()}),
        "spark_schema": "part binary",
    }
    popularity = None
    if any(metric.needs_history for metric in measured):
        counted = _gathered(by_user(log, _CountItems(job, reading), **spread))
        popularity = np.sum([np.zeros(len(schema.item_ids) + 1), *counted], axis=0)
    measure = _Measure(
        job,
        reading,
        metrics=tuple(metrics),
        k=measures.k,
        by=by,
        context=checked_context(context),
        popularity=popularity,
    )
    figures = Figures.joined(_gathered(by_user(log, measure, **spread)))
    return figures.evaluation("pipeline", measures, "")


@dataclass(frozen=True, eq=False)
class _CountItems:
    """Counts the past events of each item of the model, of the users of a partition."""

    job: Recommend
    reading: Mapping[str, Any]

    def __call__(self, log: pa.Table) -> Iterator[pa.RecordBatch]:
        schema, now = self.job.saved.open().schema, self.job.now
        assert now is not None
        past = read_log(log, self.reading).before(now)
        item = recoded(past, schema).interactions.signals.item
        yield _packed(np.bincount(item, minlength=len(schema.item_ids) + 1).astype(np.float64))


@dataclass(frozen=True, eq=False)
class _Measure:
    """Measures the users of a partition."""

    job: Recommend
    reading: Mapping[str, Any]
    metrics: tuple[str | Metric, ...]
    k: int
    by: str | Mapping[Any, Any] | None
    context: Declared
    popularity: FloatArray | None

    def __call__(self, log: pa.Table) -> Iterator[pa.RecordBatch]:
        job, pipeline = self.job, self.job.saved.open()
        assert job.now is not None
        events = read_log(log, self.reading)
        past, test = events.before(job.now), _from(events, job.now)
        require_no_overlap({"pipeline": overlap_of(pipeline, test, past)})
        truth = truth_of_dataset(test)
        tables = _tables(test, pipeline.schema)
        setting = Setting(
            truth=truth,
            measures=Measures(
                _bound(parse_all(self.metrics), pipeline.schema), self.k, job.now, confidence=0.5
            ),
            segments=user_segments(self.by, truth.users, history=past, tables=tables, now=job.now),
            item_tables=tables,
            history=past,
            popularity=self.popularity,
        )
        lists = ServedLists(pipeline, truth, self.k, job.now, seed=job.seed, context=self.context)
        yield _packed(figures_of(lists, setting, range(0, len(truth), _CHUNK), _CHUNK))


def read_log(log: pa.Table, reading: Mapping[str, Any]) -> Dataset:
    """Return the events of a partition."""
    return Dataset.from_frame(log, **reading)


def _from(events: Dataset, now: float) -> Dataset:
    """Return the events from a time on, in the same codes."""
    return replace(events, interactions=events.interactions.between(now, np.inf))


def _tables(test: Dataset, schema: Schema) -> Dataset:
    """Return the model's users and items, with their tables."""
    return replace(recoded(test, schema), users=schema.users, items=schema.items)


def _bound(metrics: Sequence[Any], schema: Schema) -> list[UserMetric | CatalogueMetric]:
    """Return metrics that know the item columns of the model."""
    return [one.bind(schema) if isinstance(one, Bindable) else one for one in metrics]


def _packed(part: Any) -> pa.RecordBatch:
    """Return a result of a partition as one row, for the driver of the same job."""
    import pyarrow as pa

    return pa.RecordBatch.from_pydict({"part": pa.array([pickle.dumps(part)], pa.binary())})


def _gathered(frame: Any) -> list[Any]:
    """Return the results of all partitions."""
    rows = frame.toArrow() if hasattr(frame, "toArrow") else frame
    return [pickle.loads(part) for part in rows["part"].to_pylist()]
