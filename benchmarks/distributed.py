"""Lists on an engine against lists of one process: equal, at what price, and what is fixed.

    python -m benchmarks.distributed [--users 2000 20000 100000] [--no-spark]

Processor seconds are those of Python processes, model loads left out: what a job costs beside ``Pipeline.recommend`` on
the same rows, both measured in turn. Wall-clock seconds, which make the model of the time that c cores take, need a
quiet machine.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import recokit as rk
from benchmarks._harness import Check, report
from benchmarks._spark import has_spark, session
from recokit import candidates, distributed as ds, features, rankers, rules
from recokit.distributed.saved import n_loads

#: Users of a call, as an engine's batch has them.
BATCH = 10_000
NOW = 1.7e9
MB = 1 << 20


@dataclass(frozen=True)
class World:
    """A fitted pipeline, its folder, a job of it, and users to ask for."""

    pipeline: rk.Pipeline
    folder: Path
    job: ds.Recommend
    users: list[str]

    @classmethod
    def made(cls, n_users: int, folder: Path) -> World:
        """Make a log of ten events a user, and fit."""
        rng, n = np.random.default_rng(0), 10 * n_users
        n_items = max(200, n_users // 4)
        users = [f"user-{user}" for user in rng.integers(0, n_users, n)]
        log = {
            "user_id": users,
            "item_id": (rng.random(n) ** 2 * n_items).astype(np.int64),
            "timestamp": rng.uniform(NOW - 60 * 86_400, NOW, n),
        }
        stages = [
            candidates.Merge([candidates.ItemKNN(), candidates.Popular()], limit=200),
            rules.NotOwned(),
            features.Standard(),
            rankers.LogisticRegression(),
        ]
        pipeline = rk.Pipeline(stages).fit(
            rk.Dataset.from_frame(log, now=NOW + 1), label_window="7D", windows=1
        )
        pipeline.save(folder / "model")
        return cls(pipeline, folder, ds.Recommend(folder / "model", k=10, now=NOW), sorted(set(users)))

    @property
    def model_mb(self) -> float:
        """Size of the model's files."""
        return sum(file.stat().st_size for file in (self.folder / "model").rglob("*")) / MB

    def table(self, n: int) -> pa.Table:
        """Return n users to ask for; some twice where there are fewer."""
        return pa.table({"user_id": [self.users[place % len(self.users)] for place in range(n)]})


def cpu(call: Callable[[], object]) -> float:
    """Return the processor seconds of a call."""
    start = time.process_time()
    call()
    return time.process_time() - start


def in_this_process(world: World, n: int) -> list[Check]:
    """Compare the job with the call that it wraps, on batches in turn."""
    batches = world.table(n).to_batches(max_chunksize=BATCH)
    spent = np.zeros((len(batches), 2))
    for row, batch in enumerate(batches):
        users = batch.column(0).to_pylist()
        both = [
            lambda users=users: world.pipeline.recommend(users, k=10, now=NOW),
            lambda b=batch: list(world.job([b])),
        ]
        for which in (0, 1) if row % 2 else (1, 0):
            spent[row, which] = cpu(both[which])
    local, job = spent.sum(axis=0)
    return [
        Check.info(f"local batch, {n} users", local / n * 1e6, "us of CPU a user"),
        Check.info(f"job in this process, {n} users", job / n * 1e6, "us of CPU a user"),
        Check.at_most(f"job against local batch, {n} users", job / local, 1.15, "times the CPU"),
    ]


# -- processes over Parquet ----------------------------------------------------------------------------


def processes(world: World, n: int) -> list[Check]:
    """Run over Parquet with one process and with two: what is fixed, and what a second one gains."""
    source = world.folder / f"users-{n}.parquet"
    pq.write_table(world.table(n), source)
    pq.write_table(world.table(2), world.folder / "two.parquet")
    _run(world, source, 1)  # what is loaded once in this process
    seconds = {workers: _run(world, source, workers) for workers in (1, 2)}
    start = _run(world, world.folder / "two.parquet", 2, part_rows=1)
    u = seconds[1] / n
    return [
        Check.info("processes: fixed, two started and the model loaded in each", start, "s"),
        Check.info(f"processes: T(1), {n} users", seconds[1], "s"),
        Check.info(f"processes: T(2), {n} users", seconds[2], "s"),
        Check.info(
            "processes: T(2) against fixed + users x u / 2", seconds[2] / (start + n * u / 2), "times"
        ),
    ]


def _run(world: World, source: Path, workers: int, part_rows: int = 1_000) -> float:
    with tempfile.TemporaryDirectory() as target:
        start = time.perf_counter()
        ds.run(world.job, source, Path(target) / "lists", workers=workers, part_rows=part_rows)
        return time.perf_counter() - start


# -- Spark ---------------------------------------------------------------------------------------------


def on_spark(world: World, sizes: Sequence[int]) -> list[Check]:
    """Run on two executors: equal lists, loads, memory, and what is fixed."""
    start = time.perf_counter()
    with _quiet(), session(executors=2, memory_mb=1024) as spark:
        started = time.perf_counter() - start
        first = _wall(lambda: _collected(spark, world.table(2), 2, _nothing, "user_id string"))
        nothing = {
            tasks: _wall(
                lambda tasks=tasks: _collected(spark, world.table(64), tasks, _nothing, "user_id string")
            )
            for tasks in (1, 64)
        }
        task = (nothing[64] - nothing[1]) / 63
        checks = [
            Check.info("spark: session", started, "s"),
            Check.info("spark: first job, workers started", first, "s"),
            Check.info("spark: a warm job of one task", nothing[1], "s"),
            Check.info("spark: each further task", task, "s"),
        ]
        frame = world.table(min(sizes))
        checks += [_differing(spark, world, frame, tasks) for tasks in (1, 2, 7, 64)]
        for n in sizes:
            checks += _measured(spark, world, n)
    return checks


def _nothing(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield from batches


def _collected(spark: Any, table: pa.Table, tasks: int, job: Any, schema: str) -> pa.Table:
    return spark.createDataFrame(table).repartition(tasks).mapInArrow(job, schema).toArrow()


def _wall(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _differing(spark: Any, world: World, table: pa.Table, tasks: int) -> Check:
    made = _collected(spark, table, tasks, world.job, world.job.spark_schema)
    found = {row["user_id"]: row["items"] for row in made.to_pylist()}
    expected = {row["user_id"]: row["items"] for row in world.job.table(table).to_pylist()}
    differing = sum(found.get(user) != items for user, items in expected.items())
    return Check.at_most(f"spark: lists that differ, {tasks} tasks", differing, 0, "lists")


def _measured(spark: Any, world: World, n: int) -> list[Check]:
    """Measure a job inside the workers: processor seconds, loads and memory of each."""
    schema = "pid bigint, users bigint, cpu double, loads bigint, rss double, pss double"
    job = _Measured(world.job)
    _collected(spark, world.table(4), 4, job, schema)  # the model is loaded where it is not yet
    start = time.perf_counter()
    rows = _collected(spark, world.table(n), 16, job, schema).to_pylist()
    wall = time.perf_counter() - start
    local = sum(
        cpu(lambda b=batch: world.pipeline.recommend(b.column(0).to_pylist(), k=10, now=NOW))
        for batch in world.table(n).to_batches(max_chunksize=BATCH)
    )
    spent, loads = sum(row["cpu"] for row in rows), max(row["loads"] for row in rows)
    checks = [
        Check.info(f"spark: {n} users, 16 tasks, warm", wall, "s"),
        Check.info(f"spark: {n} users, in workers", spent / n * 1e6, "us of CPU a user"),
        Check.at_most(
            f"spark: in workers against local batch, {n} users", spent / local, 1.15, "times the CPU"
        ),
    ]
    if n == 20_000 or n < 2_000:
        checks += [
            Check.at_most("spark: loads of the model in a process", loads, 1, "loads"),
            Check.at_most(
                "spark: a worker's RSS beyond the model",
                max(row["rss"] for row in rows) - world.model_mb,
                300,
                "MB",
            ),
            Check.info("spark: a worker's PSS", max(row["pss"] for row in rows), "MB"),
            Check.info("model", world.model_mb, "MB"),
        ]
    return checks


@dataclass(frozen=True)
class _Measured:
    """A job that tells what it cost, a row for each partition."""

    job: ds.Recommend

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        start, users = time.process_time(), 0
        for lists in self.job(batches):
            users += lists.num_rows
        spent = time.process_time() - start
        if users:
            rss, pss = memory()
            row = {
                "pid": os.getpid(),
                "users": users,
                "cpu": spent,
                "loads": n_loads(),
                "rss": rss,
                "pss": pss,
            }
            yield pa.RecordBatch.from_pylist([row])


def memory() -> tuple[float, float]:
    """Return the resident memory of this process, and its share of it, in MB."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]
    kb = {line.split(":")[0]: float(line.split()[1]) for line in lines}
    return kb["Rss"] / 1024, kb["Pss"] / 1024


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what Java prints out of the report."""
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--users", type=int, nargs="+", default=[2_000, 20_000])
    parser.add_argument("--no-spark", action="store_true", help="processes only")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        world = World.made(min(20_000, max(options.users)), Path(folder))
        checks = [check for n in options.users for check in in_this_process(world, n)]
        checks += processes(world, max(n for n in options.users if n <= 20_000))
        if not options.no_spark and has_spark():
            checks += on_spark(world, options.users)
    report("distributed", checks)


if __name__ == "__main__":
    main()
