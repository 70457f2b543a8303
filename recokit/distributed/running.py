"""Run: a job over Parquet files by processes of this machine; what was killed goes on where it stopped."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from recokit._utils.options import require, whole
from recokit._utils.progress import progress_bar
from recokit._utils.threads import limited_threads
from recokit.data.state.commit import flush, locked
from recokit.distributed.parts import Part, identity, parquet_files, parts_of
from recokit.errors import ConfigurationError, DataError, StageError

if TYPE_CHECKING:
    import pyarrow as pa

#: Rows of a part by default: seconds of work, which is what a kill costs.
PART_ROWS = 10_000
#: The file that says whose parts lie in a folder; readers of Parquet skip names that begin with "_" or ".".
_ABOUT = "_run.json"


class Job(Protocol):
    """What :func:`run` runs: batches in, batches out, the same for the same rows."""

    @property
    def schema(self) -> pa.Schema:
        """Columns of the batches that come out."""
        ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """What decides the answers, as JSON."""
        ...

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Answer batches."""
        ...


@dataclass(frozen=True)
class RunReport:
    """What :func:`run` did.

    Parameters
    ----------
    rows, parts : int
        Rows in the target, and files.
    resumed : int
        Parts that an earlier run had done.
    statuses : mapping of str to int
        Rows by ``status``, of jobs that have it.
    seconds : float
        Of this run.
    """

    rows: int
    parts: int
    resumed: int
    statuses: Mapping[str, int]
    seconds: float


def run(
    job: Job,
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    workers: int = 2,
    part_rows: int = PART_ROWS,
    progress: bool = False,
) -> RunReport:
    """Run a job over Parquet files with processes of this machine.

    The target becomes a folder of Parquet files, one for each part of the source, in its order. A part appears when it
    is complete on disk, under the name that is its own: whenever the run is killed, the same call does what is left,
    and no row is there twice.

    Parameters
    ----------
    job : Recommend or another job
    source : str or path
        A Parquet file, or a folder of them.
    target : str or path
        A new folder, or that of an earlier run of the same job over the same rows.
    workers : int, default 2
        Processes; 1 works in this one.
    part_rows : int, default 10,000
        Rows of a part: how much a kill may cost.
    progress : bool, default False
        Show a bar.

    Returns
    -------
    RunReport

    Raises
    ------
    ConfigurationError
        If the target holds something else, or another run writes it now.
    DataError
        If the source is not there, or a part that is done has not the rows of its part.
    StageError
        If rows cannot be answered, or a worker dies; what is done stays.

    Examples
    --------
    >>> import tempfile
    >>> import pyarrow as pa, pyarrow.parquet as pq
    >>> import recokit as rk
    >>> from recokit import distributed as ds
    >>> folder = tempfile.mkdtemp()
    >>> data = rk.testing.toy_dataset()
    >>> rk.Pipeline([rk.candidates.Popular()]).fit(data).save(f"{folder}/model")
    >>> pq.write_table(pa.table({"user_id": data.user_ids.ids}), f"{folder}/users.parquet")
    >>> job = ds.Recommend(f"{folder}/model", now=data.until)
    >>> report = ds.run(job, f"{folder}/users.parquet", f"{folder}/lists.parquet", workers=1)
    >>> report.rows, report.statuses
    (20, {'OK': 20})
    """
    require(whole(1), workers=workers, part_rows=part_rows)
    started, files, folder = time.monotonic(), parquet_files(source), Path(target)
    parts = parts_of(files, part_rows)
    _claim(folder, {"job": dict(job.settings), "source": identity(files), "part_rows": part_rows})
    with locked(folder, wait=False) as alone:
        if alone is False:
            raise ConfigurationError(f"found another run that writes {folder}; expected to be the only one")
        for left in folder.glob(".part-*"):
            left.unlink(missing_ok=True)
        todo = [part for part in parts if not (folder / part.name).exists()]
        steps = _work(job, todo, folder, min(workers, max(1, len(todo))))
        for _ in progress_bar(steps, show=progress, label="run", total=len(todo)):
            pass
        flush(folder)
        statuses = _checked_statuses(parts, folder)
    rows = sum(part.stop - part.start for part in parts)
    return RunReport(rows, len(parts), len(parts) - len(todo), statuses, time.monotonic() - started)


def _claim(folder: Path, about: Mapping[str, Any]) -> None:
    """Make the folder that of this run, or find that it is.

    Raises
    ------
    ConfigurationError
        If it holds something else.
    """
    text, name = json.dumps(about, sort_keys=True), folder / _ABOUT
    folder.mkdir(parents=True, exist_ok=True)
    if not name.exists():
        if any(not one.name.startswith(".") for one in folder.iterdir()):
            raise ConfigurationError(f"found files in {folder} that no run wrote; expected a new folder")
        draft = folder / f".{_ABOUT}.{os.getpid()}"
        draft.write_text(text, encoding="utf-8")
        flush(draft)
        os.replace(draft, name)
    found = json.loads(name.read_text(encoding="utf-8"))
    expected = json.loads(text)
    other = [key for key in expected if found.get(key) != expected[key]]
    if other:
        raise ConfigurationError(
            f"found a run of another {other[0]} in {folder}; expected the same, to go on with; hint: another target"
        )


def _work(job: Job, parts: Sequence[Part], folder: Path, workers: int) -> Iterator[None]:
    """Do the parts, in this process or in some; yields after each."""
    if workers == 1:
        for part in parts:
            _do(job, part, folder)
            yield
        return
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor, as_completed
    from concurrent.futures.process import BrokenProcessPool

    # Spawned, not forked: threads of BLAS do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_start, initargs=(job, folder)) as pool:
        waiting = [pool.submit(_do_here, part) for part in parts]
        try:
            for done in as_completed(waiting):
                yield done.result()
        except BrokenProcessPool as error:
            raise StageError(
                f"found a worker dead; expected {workers} to live; hint: what is done stays, the same call goes on; "
                "where memory is short, fewer workers",
                name="run",
                role="job",
                cause=error,
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _do(job: Job, part: Part, folder: Path) -> None:
    """Answer the rows of a part into its file, which appears when it is complete on disk."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    made = pa.Table.from_batches(job(part.batches()), job.schema)
    draft = folder / f".{part.name}.{os.getpid()}"
    pq.write_table(made, draft)
    flush(draft)
    os.replace(draft, folder / part.name)


#: What a worker works on.
_WORK: tuple[Job, Path]


def _start(job: Job, folder: Path) -> None:
    """Make a worker ready: it ends when the process that started it has ended."""
    global _WORK
    import threading
    from multiprocessing import connection, parent_process

    _WORK = (job, folder)
    parent = parent_process()
    assert parent is not None

    def follow() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _do_here(part: Part) -> None:
    with limited_threads(1):  # as many processes as cores
        _do(_WORK[0], part, _WORK[1])


def _checked_statuses(parts: Sequence[Part], folder: Path) -> dict[str, int]:
    """Return how many rows have each status.

    Raises
    ------
    DataError
        If a part has not as many rows as it should.
    """
    import pyarrow.parquet as pq

    statuses: Counter[str] = Counter()
    for part in parts:
        with pq.ParquetFile(folder / part.name) as file:
            if file.metadata.num_rows != part.stop - part.start:
                raise DataError(
                    f"found {file.metadata.num_rows} rows in {folder / part.name}; expected {part.stop - part.start}; "
                    "hint: remove the file and run again"
                )
            if "status" in file.schema_arrow.names:
                statuses.update(file.read(["status"])["status"].to_pylist())
    return dict(statuses)
