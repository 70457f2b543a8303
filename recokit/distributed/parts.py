"""Parts: rows of Parquet files, cut so that each is done whole or not at all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recokit.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

#: Rows read at a time, and bytes at the end of a file that tell it from another: its footer is there.
_BATCH, _END = 4096, 1 << 16


@dataclass(frozen=True)
class Part:
    """Rows ``start`` to ``stop`` of a file; ``name`` is that of the file that their lists go to."""

    name: str
    file: str
    start: int
    stop: int

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Read the rows, in order."""
        import pyarrow.parquet as pq

        with pq.ParquetFile(self.file) as file:
            first = 0
            for group in range(file.num_row_groups):
                last = first + file.metadata.row_group(group).num_rows
                if first < self.stop and last > self.start:
                    yield from self._of_group(file, group, first)
                first = last

    def _of_group(self, file: Any, group: int, first: int) -> Iterator[pa.RecordBatch]:
        for batch in file.iter_batches(_BATCH, row_groups=[group]):
            start, stop = max(self.start - first, 0), min(self.stop - first, batch.num_rows)
            if start < stop:
                yield batch.slice(start, stop - start)
            first += batch.num_rows


def parquet_files(source: str | os.PathLike[str]) -> list[str]:
    """Return the Parquet files of a path, sorted: itself, or those in the folder, but for hidden ones.

    Raises
    ------
    DataError
        If there is none.
    """
    path = Path(source)
    found = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    files = [str(one) for one in found if not any(p[0] in "._" for p in one.relative_to(path).parts)]
    if not files or not Path(files[0]).is_file():
        raise DataError(f"found no Parquet file at {path}; expected one, or a folder of them")
    return files


def parts_of(files: Sequence[str], rows: int) -> list[Part]:
    """Cut files into parts of so many rows; at least one, which may be empty."""
    cuts = [(file, start, min(start + rows, n)) for file, n in _sizes(files) for start in range(0, n, rows)]
    cuts = cuts or [(files[0], 0, 0)]
    return [Part(f"part-{i:05d}.parquet", *cut) for i, cut in enumerate(cuts)]


def identity(files: Sequence[str]) -> list[list[Any]]:
    """Return what tells files from others: name, rows, and a hash of their ends."""
    return [[Path(file).name, n, _end_hash(file)] for file, n in _sizes(files)]


def _sizes(files: Sequence[str]) -> list[tuple[str, int]]:
    import pyarrow.parquet as pq

    return [(file, pq.read_metadata(file).num_rows) for file in files]


def _end_hash(file: str) -> str:
    with open(file, "rb") as content:
        content.seek(max(0, os.path.getsize(file) - _END))
        return hashlib.sha256(content.read()).hexdigest()[:16]
