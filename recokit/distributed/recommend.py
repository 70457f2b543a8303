"""Recommend: lists for the rows of Arrow batches, wherever an engine runs them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from recokit._utils.options import Rule, error_text, require, shortened, shown, whole
from recokit.data import timestamp
from recokit.distributed.rows import (
    LISTS,
    PLAIN,
    SPARK_TYPES,
    columns_of,
    failed_columns,
    ids_of,
    list_columns,
    seconds_of,
)
from recokit.distributed.saved import Saved
from recokit.errors import ConfigurationError, DataError, StageError
from recokit.pipeline import Pipeline
from recokit.pipeline.model import CHUNK_ROWS

if TYPE_CHECKING:
    import pyarrow as pa

_KEPT = Rule(
    f"column names with a type each, one of {', '.join(SPARK_TYPES)}",
    lambda keep: isinstance(keep, Mapping) and all(type_ in SPARK_TYPES for type_ in keep.values()),
)
_NAMES = Rule(
    "a list of column names",
    lambda names: (
        isinstance(names, Sequence)
        and not isinstance(names, str)
        and all(isinstance(name, str) for name in names)
    ),
)
_SEED = Rule("a whole number", lambda seed: isinstance(seed, int) and not isinstance(seed, bool))
_MAPPING = Rule("recokit's name to your column's", lambda value: value is None or isinstance(value, Mapping))
_OWN_COLUMNS = ("user_id", "items", "scores", "ranks", "sources", "labels", "status", "reasons")


class Recommend:
    """A job that makes lists: an iterator of Arrow batches in, one out, a row for each row.

    It is a path and a hash. Each process that works on it opens the model once, its arrays mapped into memory, and
    answers as ``Pipeline.recommend`` does, whatever the batches, partitions and retries are.

    Parameters
    ----------
    path : str or path
        Folder of ``Pipeline.save``, or of :class:`recokit.serving.Artifacts`, whose current version is taken now; each
        worker must find it there. A URL of artifacts needs ``cache``.
    k : int, default 10
        List length; a column ``k`` says it for each row.
    now : str or float, optional
        Request time; else a column ``now`` must. There is no clock: a task that is tried again answers the same.
    context : sequence of str, default ()
        Context columns that the pipeline reads.
    keep : mapping of str to str, optional
        Columns that go through unread, with their types, such as ``{"request_id": "int64"}``.
    columns : mapping of str to str, optional
        recokit's name to your column's, such as ``{"user_id": "customer"}``.
    seed : int, default 0
        Of stochastic stages; a column ``seed`` says it for each row.
    trusted : sequence of type, default ()
        Your own stage classes, of a package that is installed on the workers.
    connections : mapping of str to str, optional
        URL or path of each store that the pipeline reads.
    cache : str or path, optional
        For a URL: the folder of each machine that the model is copied to.

    Raises
    ------
    ConfigurationError
        For a pipeline in memory, classes that workers cannot import or that are not trusted, or options out of range.
    DataError
        If there is no model at the path.

    Notes
    -----
    A batch has ``user_id`` (integers, text or UUIDs; null for an anonymous user) and may have lists of item ids
    (``history``, ``session``, ``items``, ``exclude``; null for none given), ``now``, ``k``, ``seed`` and context. Other
    columns are refused.

    A list has ``user_id``, what is kept, ``items``, ``scores`` (NaN where not scored), ``ranks`` from 1, ``sources``
    and ``labels`` of each item, ``status`` (``"OK"``, ``"DEGRADED"``, ``"FALLBACK"``, ``"EMPTY"``, ``"FAILED"``) and
    ``reasons``. A row that cannot be asked is FAILED and says why. What is wrong with all of them, such as ids of
    another type, raises and names the users.

    Examples
    --------
    >>> import tempfile
    >>> import pyarrow as pa
    >>> import recokit as rk
    >>> folder = tempfile.mkdtemp()
    >>> data = rk.testing.toy_dataset()
    >>> rk.Pipeline([rk.candidates.Popular()]).fit(data).save(folder)
    >>> job = Recommend(folder, k=2, now=data.until)
    >>> lists = job.table(pa.table({"user_id": ["user-1", None]}))
    >>> lists.num_rows, lists["status"].to_pylist()
    (2, ['OK', 'OK'])
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        k: int = 10,
        now: str | float | None = None,
        context: Sequence[str] = (),
        keep: Mapping[str, str] | None = None,
        columns: Mapping[str, str] | None = None,
        seed: int = 0,
        trusted: Sequence[type] = (),
        connections: Mapping[str, str] | None = None,
        cache: str | os.PathLike[str] | None = None,
    ) -> None:
        require(whole(1), k=k)
        require(_SEED, seed=seed)
        require(_KEPT, keep=keep or {})
        require(_NAMES, context=context)
        require(_MAPPING, columns=columns)
        self.path, self.k, self.seed = str(path), k, seed
        self.now = None if now is None else timestamp(now)
        self.context, self.keep, self.columns = tuple(context), dict(keep or {}), dict(columns or {})
        taken = sorted(set(_OWN_COLUMNS) & set(self.keep))
        if taken:
            raise ConfigurationError(
                f"found {taken[0]!r} in keep; expected names that a list has no column of"
            )
        self.saved = Saved.of(path, trusted=trusted, connections=connections, cache=cache)
        schema = self.saved.open().schema
        self._user_kind, self._item_kind = schema.user_ids.kind, schema.item_ids.kind

    # -- what an engine calls ----------------------------------------------------------------------

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Return the lists of some batches, at most 512 rows at a time: for Spark's ``mapInArrow``.

        Raises
        ------
        StageError
            If rows cannot be answered by a fault that is not theirs; it names their users.
        DataError
            For columns that are missing, of another type, or unknown.
        """
        for batch in batches:
            for start in range(0, batch.num_rows, CHUNK_ROWS):
                yield self._lists(batch.slice(start, CHUNK_ROWS))

    def table(self, table: pa.Table) -> pa.Table:
        """Return the lists of a table: for Ray's ``map_batches(job.table, batch_format="pyarrow")``."""
        import pyarrow as pa

        return pa.Table.from_batches(self(table.to_batches()), self.schema)

    @property
    def fingerprint(self) -> str:
        """Of the pipeline that answers."""
        return self.saved.fingerprint

    @property
    def settings(self) -> Mapping[str, Any]:
        """What decides the lists, as JSON: the model's fingerprint and the options."""
        names = ("k", "now", "seed", "context", "keep", "columns")
        return {"model": self.fingerprint, **{name: getattr(self, name) for name in names}}

    @property
    def schema(self) -> pa.Schema:
        """The columns of the lists, as Arrow has them."""
        import pyarrow as pa

        texts, item = pa.list_(pa.string()), self._item_type
        return pa.schema(
            {
                "user_id": _arrow_type(self._user_kind),
                **{name: pa.type_for_alias(type_) for name, type_ in self.keep.items()},
                "items": pa.list_(item),
                "scores": pa.list_(pa.float32()),
                "ranks": pa.list_(pa.int32()),
                "sources": pa.list_(texts),
                "labels": pa.list_(texts),
                "status": pa.string(),
                "reasons": texts,
            }
        )

    @property
    def spark_schema(self) -> str:
        """The columns of the lists, as Spark has them."""
        user, item = (SPARK_TYPES[f"{_arrow_type(kind)}"] for kind in (self._user_kind, self._item_kind))
        kept = "".join(f"`{name}` {SPARK_TYPES[type_]}, " for name, type_ in self.keep.items())
        return (
            f"user_id {user}, {kept}items array<{item}>, scores array<float>, ranks array<int>, "
            "sources array<array<string>>, labels array<array<string>>, status string, reasons array<string>"
        )

    def __repr__(self) -> str:
        return f"Recommend({self.path!r}, k={self.k}, now={self.now!r}; model {self.fingerprint})"

    # -- inside ------------------------------------------------------------------------------------

    @property
    def _item_type(self) -> pa.DataType:
        return _arrow_type(self._item_kind)

    def _lists(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return the lists of one chunk."""
        import pyarrow as pa

        given = columns_of(batch, (*PLAIN, *LISTS), (*self.context, *self.keep), self.columns)
        users = self._users(given, batch.num_rows)
        pipeline = self.saved.open()
        try:
            columns = self._columns(pipeline, given, users)
        except Exception as error:
            raise StageError(
                f"found {batch.num_rows} rows that cannot be answered, of users {shown(users[0])} to "
                f"{shown(users[-1])}: {error_text(error)}",
                name="recommend",
                role="job",
                cause=error,
            ) from error
        made = {**given, "user_id": pa.array(users, _arrow_type(self._user_kind)), **columns}
        types = zip(self.schema.names, self.schema.types, strict=True)
        return pa.RecordBatch.from_arrays(
            [made[name].cast(type_) for name, type_ in types], schema=self.schema
        )

    def _users(self, given: Mapping[str, pa.Array], n_rows: int) -> list[Any]:
        if "user_id" in given:
            return ids_of(given["user_id"], self._user_kind, "user_id")
        if not given.keys() & set(LISTS):
            raise DataError(f"found columns {', '.join(given)}; expected user_id, or lists such as history")
        return [None] * n_rows

    def _columns(
        self, pipeline: Pipeline, given: Mapping[str, pa.Array], users: list[Any]
    ) -> dict[str, pa.Array]:
        """Return the columns of the lists; where the rows cannot be asked together, each is asked alone."""
        import pyarrow as pa

        asked = self._arguments(given)
        try:
            return list_columns(pipeline.recommend(users, **asked), self._item_type)
        except DataError as error:
            if len(users) == 1:
                return failed_columns(shortened(error), self._item_type)
        rows = ({name: column.slice(row, 1) for name, column in given.items()} for row in range(len(users)))
        alone = [self._columns(pipeline, row, [user]) for row, user in zip(rows, users, strict=True)]
        return {name: pa.concat_arrays([one[name] for one in alone]) for name in alone[0]}

    def _arguments(self, given: Mapping[str, pa.Array]) -> dict[str, Any]:
        """Return the arguments of ``recommend`` besides the users."""
        asked: dict[str, Any] = {"k": self.k, "seed": self.seed, "now": self.now}
        for name in given.keys() & {"k", "seed"}:
            asked[name] = [asked[name] if one is None else one for one in given[name].to_pylist()]
        if "now" in given:
            asked["now"] = seconds_of(given["now"])
        elif self.now is None:
            raise ConfigurationError(
                "found neither now nor a column of it; expected the time of the requests: a task that is tried again "
                "must answer the same; hint: Recommend(path, now='2025-06-01')"
            )
        for name in given.keys() & set(LISTS):
            asked[name] = ids_of(given[name], self._item_kind, name)
        return {**asked, "context": {name: given[name].to_pylist() for name in self.context}}


def _arrow_type(kind: str) -> pa.DataType:
    import pyarrow as pa

    return pa.int64() if kind == "int" else pa.string()
