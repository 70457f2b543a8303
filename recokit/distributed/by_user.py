"""By user: a function of all the events of some users, on each partition of a log."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recokit.distributed.parts import parquet_files
from recokit.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

#: Rows of all users of a partition to rows of another kind.
OfUsers = Callable[["pa.Table"], Iterator["pa.RecordBatch"]]


@dataclass(frozen=True)
class _Whole:
    """A partition read whole, since a user's events may lie in several batches."""

    function: OfUsers

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        filled = [batch for batch in batches if batch.num_rows]
        if filled:
            yield from self.function(pa.Table.from_batches(filled))


def by_user(
    frame: Any, function: OfUsers, *, user: str, partitions: int | None, schema: pa.Schema, spark_schema: str
) -> Any:
    """Call a function on each partition of a log, of which each has all the events of its users.

    Returns
    -------
    Spark DataFrame or Table
        Of the rows that come out: not yet computed by Spark; a table of a log that lies here.
    """
    import pyarrow as pa

    if hasattr(frame, "mapInArrow"):
        spread = frame.repartition(*([] if partitions is None else [partitions]), user)
        return spread.mapInArrow(_Whole(function), spark_schema)
    log = _log_of(frame)
    if user not in log.schema.names:
        raise DataError(f"found columns {', '.join(log.schema.names)[:200]}; expected {user!r}")
    made = [
        batch for part in _split(log, user, partitions or 1) for batch in _Whole(function)(part.to_batches())
    ]
    return pa.Table.from_batches(made, schema)


def _log_of(frame: Any) -> pa.Table:
    """Return a log that lies here as a table: Parquet files, or any frame that narwhals reads."""
    import narwhals as nw
    import pyarrow as pa
    import pyarrow.parquet as pq

    if isinstance(frame, str | os.PathLike):
        return pa.concat_tables([pq.ParquetFile(file).read() for file in parquet_files(frame)])
    return frame if isinstance(frame, pa.Table) else nw.from_native(frame, eager_only=True).to_arrow()


def _split(log: pa.Table, user: str, partitions: int) -> Iterator[pa.Table]:
    """Cut a log by user."""
    import pyarrow as pa

    if partitions == 1:
        yield log
        return
    codes = log[user].combine_chunks().dictionary_encode().indices.fill_null(0).to_numpy(zero_copy_only=False)
    for place in range(partitions):
        yield log.filter(pa.array(codes % partitions == place))
