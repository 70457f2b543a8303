"""Training rows: what a ranker learns from, made of a log that an engine holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from recokit.data import RankingData, Requests, seconds
from recokit.data.context import Declared, checked_context
from recokit.data.recode import recoded
from recokit.distributed.by_user import by_user
from recokit.distributed.evaluating import read_log
from recokit.distributed.recommend import Recommend
from recokit.errors import ConfigurationError
from recokit.pipeline import Pipeline
from recokit.pipeline.fitting import fitted_prefix
from recokit.training import Negatives, TrainingWindow
from recokit.training.two_stage import FittedPrefix, rows_of_window

if TYPE_CHECKING:
    import pyarrow as pa

_OWN = {"label": "float32", "weight": "float32", "now": "float64", "validation": "bool"}
_SPARK = {"label": "float", "weight": "float", "now": "double", "validation": "boolean"}


def training_rows(
    job: Recommend,
    log: Any,
    *,
    label_window: str | float,
    negatives: Negatives | None = Negatives(),  # noqa: B008  (frozen)
    validation: bool = True,
    context: Declared | None = None,
    seed: int = 0,
    reading: Mapping[str, Any] | None = None,
    partitions: int | None = None,
) -> Any:
    """Return the rows that a ranker learns from, of all users of a log, labelled by what happened after ``job.now``.

    The model's own stages before its ranker, fitted on what was before ``job.now``, are asked for every user of the log
    at that time; features are those of that time; the events of the window from then on are the labels. These are the
    rows of ``Pipeline.training_data`` for that window.

    Parameters
    ----------
    job : Recommend
        Of a pipeline with a ranker that learns, fitted on events before ``job.now``.
    log : Spark DataFrame, path, or dataframe
        As for :func:`evaluate`; a user without an event before ``job.now`` or in the window is not asked for.
    label_window : str or float
        Length of the window, such as ``"7D"``, or seconds.
    negatives : Negatives, optional
        How negatives are sampled, without a sampler of its own; None keeps them all.
    validation : bool, default True
        Whether a fifth of the users is marked to validate.
    context : mapping of str to value, optional
        Context columns of the requests; those of the pipeline by default.
    seed : int, default 0
        As for ``fit``.
    reading, partitions
        As for :func:`evaluate`.

    Returns
    -------
    Spark DataFrame or pyarrow Table
        ``user_id``, ``item_id``, ``label``, ``weight``, ``now``, ``validation`` and a float column for each feature,
        NaN where missing; write it as Parquet.

    Raises
    ------
    ConfigurationError
        If no ranker of the pipeline learns, a stage has seen events of the window, or negatives have a sampler.

    Notes
    -----
    Users and items that the model does not know have no rows: newcomers come with the next model.

    Examples
    --------
    >>> import tempfile
    >>> import pyarrow as pa
    >>> import recokit as rk
    >>> from recokit import candidates, distributed as ds, features, rankers
    >>> data = rk.testing.toy_dataset(100, 30, n_events=2_000)
    >>> now, folder = data.until - 7 * 86_400, tempfile.mkdtemp()
    >>> stages = [candidates.Popular(), features.Standard(), rankers.LogisticRegression()]
    >>> rk.Pipeline(stages).fit(data.before(now), label_window="7D").save(folder)
    >>> log = pa.table({"user_id": data.user_ids.decode(data.interactions.user).tolist(),
    ...                 "item_id": data.item_ids.decode(data.interactions.item).tolist(),
    ...                 "timestamp": data.interactions.timestamp})
    >>> rows = ds.training_rows(ds.Recommend(folder, now=now), log, label_window="7D")
    >>> rows.column_names[:4]
    ['user_id', 'item_id', 'label', 'weight']
    """
    import pyarrow as pa

    if job.now is None:
        raise ConfigurationError(f"found {job!r} without now; expected the time at which labels begin")
    if negatives is not None and negatives.by is not None:
        raise ConfigurationError(
            f"found negatives by {negatives.by!r}, which learns from all users; expected Negatives without by="
        )
    pipeline = job.saved.open()
    declared = pipeline.context if context is None else checked_context(context)
    prefix = fitted_prefix(pipeline, declared)
    names = prefix.run(Requests.build(np.zeros(1, np.int64), now=job.now, seed=seed)).feature_names
    ids = {"user_id": job.schema.field("user_id").type, "item_id": job.schema.field("items").type.value_type}
    own = {name: pa.type_for_alias(type_) for name, type_ in _OWN.items()}
    schema = pa.schema({**ids, **own, **dict.fromkeys(names, pa.float32())})
    kinds = {name: "bigint" if type_ == pa.int64() else "string" for name, type_ in ids.items()}
    spark = {**kinds, **_SPARK, **dict.fromkeys(names, "float")}
    options = {"negatives": negatives, "validation": validation, "seed": seed}
    reading = dict(reading or {})
    return by_user(
        log,
        _Rows(job, reading, seconds(label_window), context=declared, options=options, schema=schema),
        user=reading.get("columns", {}).get("user_id", "user_id"),
        partitions=partitions,
        schema=schema,
        spark_schema=", ".join(f"`{name}` {type_}" for name, type_ in spark.items()),
    )


@dataclass(frozen=True, eq=False)
class _Rows:
    """Makes the rows of the users of a partition."""

    job: Recommend
    reading: Mapping[str, Any]
    length: float
    context: Declared
    options: Mapping[str, Any]
    schema: pa.Schema

    def __call__(self, log: pa.Table) -> Iterator[pa.RecordBatch]:
        pipeline, now = self.job.saved.open(), self.job.now
        assert now is not None
        prefix: FittedPrefix = fitted_prefix(pipeline, self.context)
        known = pipeline.schema
        events = replace(recoded(read_log(log, self.reading), known), users=known.users, items=known.items)
        window = TrainingWindow(now, now, now + self.length)
        for held, part in rows_of_window(prefix, events, window, **self.options):
            yield self._batch(pipeline, part, held)

    def _batch(self, pipeline: Pipeline, rows: RankingData, held: bool) -> pa.RecordBatch:
        import pyarrow as pa

        columns = {
            "user_id": pipeline.schema.user_ids.decode(rows.user).tolist(),
            "item_id": pipeline.schema.item_ids.decode(rows.item).tolist(),
            "label": rows.label,
            "weight": rows.weight,
            "now": rows.now,
            "validation": np.full(len(rows.user), held),
            **{name: rows.features[:, place] for place, name in enumerate(rows.feature_names)},
        }
        made = [pa.array(columns[field.name], field.type) for field in self.schema]
        return pa.RecordBatch.from_arrays(made, schema=self.schema)
