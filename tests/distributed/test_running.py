"""Run: processes over Parquet, killed whenever, complete in the end and no row twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import recokit as rk
from recokit import distributed as ds
from recokit.distributed.parts import parquet_files, parts_of
from recokit.errors import ConfigurationError, DataError, StageError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def job(model: Path, data: rk.Dataset) -> ds.Recommend:
    return ds.Recommend(model, k=3, now=data.until)


@pytest.fixture
def users(data: rk.Dataset, tmp_path: Path) -> Path:
    path = tmp_path / "users.parquet"
    pq.write_table(pa.table({"user_id": data.user_ids.ids.tolist() * 2}), path, row_group_size=90)
    return path


def _lists(folder: Path) -> pa.Table:
    """Return what any reader of Parquet finds in a folder: names that begin with "." or "_" are not data."""
    return pa.concat_tables([pq.ParquetFile(file).read() for file in parquet_files(folder)])


def test_rows_come_out_in_their_order_whatever_the_parts(
    job: ds.Recommend, users: Path, tmp_path: Path
) -> None:
    expected = job.table(pq.ParquetFile(users).read())
    for part_rows in (37, 10_000):
        report = ds.run(job, users, tmp_path / f"{part_rows}", workers=1, part_rows=part_rows)
        found = _lists(tmp_path / f"{part_rows}")
        assert found.drop(["scores"]) == expected.drop(["scores"])
        assert (report.rows, report.parts, report.resumed) == (400, -(-400 // part_rows), 0)
        assert report.statuses == {"OK": 400}


def test_a_part_is_its_rows_whatever_the_row_groups(tmp_path: Path) -> None:
    for place, groups in enumerate((4, 10_000)):
        table = pa.table({"n": list(range(place * 9_000, (place + 1) * 9_000))})
        pq.write_table(table, tmp_path / f"{place}.parquet", row_group_size=groups)
    parts = parts_of(parquet_files(tmp_path), 5_000)
    read = [[n for batch in part.batches() for n in batch.column(0).to_pylist()] for part in parts]
    assert [len(rows) for rows in read] == [5_000, 4_000, 5_000, 4_000]
    assert list(chain.from_iterable(read)) == list(range(18_000))


def test_a_folder_is_read_without_what_is_hidden(tmp_path: Path) -> None:
    for name in ("b.parquet", "a.parquet", "_x.parquet", ".y.parquet", "z.txt"):
        (tmp_path / name).touch()
    assert [Path(file).name for file in parquet_files(tmp_path)] == ["a.parquet", "b.parquet"]


def test_no_row_gives_an_empty_file_with_its_columns(job: ds.Recommend, tmp_path: Path) -> None:
    pq.write_table(pa.table({"user_id": pa.array([], pa.string())}), tmp_path / "users.parquet")
    report = ds.run(job, tmp_path / "users.parquet", tmp_path / "lists", workers=1)
    assert report.rows == 0 and _lists(tmp_path / "lists").schema.equals(job.schema)


def test_what_is_done_is_not_done_again(job: ds.Recommend, users: Path, tmp_path: Path) -> None:
    target = tmp_path / "lists"
    ds.run(job, users, target, workers=1, part_rows=100)
    before = {file: os.stat(file).st_mtime_ns for file in parquet_files(target)}
    (target / "part-00002.parquet").unlink()
    (target / ".part-00002.parquet.123").write_text("what a killed writer left")
    report = ds.run(job, users, target, workers=1, part_rows=100)
    assert report.resumed == 3 and report.rows == 400
    after = {file: os.stat(file).st_mtime_ns for file in parquet_files(target)}
    assert [file for file in after if after[file] != before[file]] == [str(target / "part-00002.parquet")]
    assert sorted(one.name for one in target.iterdir()) == [
        "_run.json",
        *(f"part-{place:05d}.parquet" for place in range(4)),
    ]


def test_another_run_into_the_same_folder_is_refused(
    job: ds.Recommend, model: Path, users: Path, tmp_path: Path
) -> None:
    target = tmp_path / "lists"
    ds.run(job, users, target, workers=1)
    other = ds.Recommend(model, k=4, now=job.now)
    with pytest.raises(ConfigurationError, match="another job"):
        ds.run(other, users, target, workers=1)
    with pytest.raises(ConfigurationError, match="another part_rows"):
        ds.run(job, users, target, workers=1, part_rows=7)
    pq.write_table(pa.table({"user_id": ["user-1"] * 400}), users)
    with pytest.raises(ConfigurationError, match="another source"):
        ds.run(job, users, target, workers=1)


def test_a_folder_of_something_else_is_left_alone(job: ds.Recommend, users: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(ConfigurationError, match="no run wrote"):
        ds.run(job, users, tmp_path / "mine", workers=1)
    with pytest.raises(DataError, match="no Parquet file"):
        ds.run(job, tmp_path / "nothing.parquet", tmp_path / "lists", workers=1)


def test_a_part_that_lost_rows_is_told(job: ds.Recommend, users: Path, tmp_path: Path) -> None:
    ds.run(job, users, tmp_path / "lists", workers=1, part_rows=200)
    part = tmp_path / "lists" / "part-00001.parquet"
    pq.write_table(pq.ParquetFile(part).read().slice(0, 199), part)
    with pytest.raises(DataError, match="found 199 rows"):
        ds.run(job, users, tmp_path / "lists", workers=1, part_rows=200)


def test_two_runs_do_not_write_one_folder(job: ds.Recommend, users: Path, tmp_path: Path) -> None:
    from recokit.data.state.commit import locked

    ds.run(job, users, tmp_path / "lists", workers=1)
    with locked(tmp_path / "lists"), pytest.raises(ConfigurationError, match="another run"):
        ds.run(job, users, tmp_path / "lists", workers=1)


class Broken:
    """A job that fails, or whose process dies, where the first user is met."""

    def __init__(self, how: str) -> None:
        self.how = how
        self.schema = pa.schema({"user_id": pa.string()})
        self.settings: Mapping[str, Any] = {}

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            if "user-1" in batch.column(0).to_pylist():
                if self.how == "dies":
                    os.kill(os.getpid(), signal.SIGKILL)
                raise StageError("found user-1", name="broken", role="job")
            yield batch


@pytest.mark.parametrize(("how", "said"), [("fails", "found user-1"), ("dies", "a worker dead")])
def test_a_job_that_fails_or_dies_is_told_and_what_is_done_stays(
    how: str, said: str, users: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with pytest.raises(StageError, match=said):
        ds.run(_importable(how), users, tmp_path / "lists", part_rows=10)
    assert (tmp_path / "lists" / "_run.json").exists()


def _importable(how: str) -> Any:
    """Return the job as workers can import it: pytest's import mode knows this file by another name."""
    from tests.distributed import test_running

    return test_running.Broken(how)


# -- kill -9 -----------------------------------------------------------------------------------------

_SCRIPT = """
import sys
from recokit import distributed as ds
if __name__ == "__main__":
    model, now, users, target = sys.argv[1:]
    job = ds.Recommend(model, k=3, now=float(now))
    print(ds.run(job, users, target, workers=2, part_rows=5).rows)
"""


def _children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children") as children:
        return [int(child) for child in children.read().split()]


def _killed_and_resumed(kills: int, model: Path, data: rk.Dataset, users: Path, folder: Path) -> None:
    script, target = folder / "script.py", folder / "lists"
    script.write_text(_SCRIPT)
    command = [sys.executable, str(script), str(model), str(data.until), str(users), str(target)]
    draw = random.Random(1)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    n_parts = 400 // 5
    for kill in range(kills):
        done = _n_parts(target)
        wanted = done + draw.randint(0, max(0, (n_parts - done) // (kills - kill) - 1))
        run = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while _n_parts(target) < wanted + (done > 0) and run.poll() is None:
            time.sleep(0.002)
        time.sleep(draw.random() * 0.05)
        # The run itself, or one of its workers.
        workers = [pid for pid in _children(run.pid) if kill % 2]
        for pid in (workers or [run.pid])[-1:]:
            os.kill(pid, signal.SIGKILL)
        assert run.wait() != 0 or _n_parts(target) == n_parts
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert finished.stdout.strip() == "400", finished.stderr
    job = ds.Recommend(model, k=3, now=data.until)
    expected = job.table(pq.ParquetFile(users).read())
    assert _lists(target).drop(["scores"]) == expected.drop(["scores"])


def _n_parts(target: Path) -> int:
    return len(list(target.glob("part-*"))) if target.is_dir() else 0


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks for workers in /proc")
@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_at_random_points_it_is_complete_and_no_row_is_there_twice(
    kills: int, model: Path, data: rk.Dataset, users: Path, tmp_path: Path
) -> None:
    _killed_and_resumed(kills, model, data, users, tmp_path)
