"""Spark: the lists of a cluster are those of one machine, however it cuts the rows and whatever dies."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import recokit as rk
from benchmarks._spark import has_spark, session
from recokit import candidates, distributed as ds, features, rankers, rules
from recokit.distributed.saved import n_loads

pytestmark = [
    pytest.mark.spark,
    pytest.mark.skipif(not has_spark(), reason="pyspark or Java is not installed; see make test-spark"),
    # pyspark 4 says so of pandas 3; rows go through Arrow here, and pandas never sees them.
    pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas:FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
#: A user with so many events, where others have ten.
SKEWED, HEAVY = "Überuser-李", 100_000


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    with session() as started:
        yield started


@pytest.fixture(scope="module")
def log() -> dict[str, Any]:
    rng = np.random.default_rng(3)
    n, heavy = 3_000, np.arange(HEAVY) % 40
    users = [f"пользователь-{user}" for user in rng.integers(0, 300, n)] + [SKEWED] * HEAVY
    items = np.concatenate([(rng.random(n) ** 2 * 80).astype(int), heavy])
    times = np.concatenate([rng.uniform(1.6e9, 1.603e9, n), np.linspace(1.6e9, 1.603e9, HEAVY)])
    return {"user_id": users, "item_id": [f"🍐-{item}" for item in items], "timestamp": times}


@pytest.fixture(scope="module")
def now() -> float:
    return 1.602e9


@pytest.fixture(scope="module")
def pipeline(log: dict[str, Any], now: float) -> rk.Pipeline:
    stages = [
        candidates.Merge([candidates.ItemKNN(), candidates.Popular()]),
        features.Standard(),
        rankers.LogisticRegression(),
        rules.NotOwned(),
    ]
    made = rk.Pipeline(stages, fallback=candidates.Popular())
    return made.fit(rk.Dataset.from_frame(log).before(now), label_window="7D", windows=1)


@pytest.fixture(scope="module")
def job(pipeline: rk.Pipeline, now: float, tmp_path_factory: pytest.TempPathFactory) -> ds.Recommend:
    folder = tmp_path_factory.mktemp("models") / "model"
    pipeline.save(folder)
    return ds.Recommend(folder, k=5, now=now)


@pytest.fixture(scope="module")
def asked(log: dict[str, Any]) -> pa.Table:
    users = [*sorted(set(log["user_id"])), "nobody"]
    long = [f"🍐-{item % 40}" for item in range(HEAVY)]
    return pa.table({"user_id": users, "history": [long if user == SKEWED else None for user in users]})


@pytest.fixture(scope="module")
def local(job: ds.Recommend, asked: pa.Table) -> dict[str, Any]:
    return _by_user(job.table(asked))


def _by_user(table: pa.Table) -> dict[str, Any]:
    rows = table.to_pylist()
    found = {row["user_id"]: row for row in rows}
    assert len(found) == len(rows), "a user has two lists"
    return found


def _assert_equal(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found.keys() == expected.keys()
    for user, row in found.items():
        assert np.allclose(row.pop("scores"), expected[user]["scores"], atol=1e-5, equal_nan=True)
        assert row == {name: value for name, value in expected[user].items() if name != "scores"}


@pytest.mark.parametrize("partitions", [1, 2, 7, 64])
def test_the_lists_are_those_of_one_machine(
    partitions: int, spark: Any, job: ds.Recommend, asked: pa.Table, local: dict[str, Any]
) -> None:
    frame = spark.createDataFrame(asked).repartition(partitions)
    lists = frame.mapInArrow(job, job.spark_schema)
    _assert_equal(_by_user(lists.toArrow()), local)


def test_a_killed_worker_costs_a_retry_and_a_process_loads_once(
    spark: Any, job: ds.Recommend, asked: pa.Table, local: dict[str, Any], tmp_path: Path
) -> None:
    lists = (
        spark.createDataFrame(asked)
        .repartition(7)
        .mapInArrow(_dies_once(job, tmp_path / "died"), job.spark_schema)
    )
    _assert_equal(_by_user(lists.toArrow()), local)
    assert (tmp_path / "died").exists()
    loads = spark.createDataFrame(asked).repartition(7).mapInArrow(_loads(job), "pid bigint, loads bigint")
    counted = {(row.pid, row.loads) for row in loads.collect()}
    assert {n for _, n in counted} == {1} and len(counted) <= 2


def test_empty_partitions_and_no_rows_at_all(spark: Any, job: ds.Recommend, asked: pa.Table) -> None:
    few = spark.createDataFrame(asked.slice(0, 3)).repartition(16)
    assert few.mapInArrow(job, job.spark_schema).count() == 3
    assert few.where("false").mapInArrow(job, job.spark_schema).toArrow().num_rows == 0


def test_a_partition_that_fails_names_its_users(spark: Any, job: ds.Recommend) -> None:
    frame = spark.createDataFrame(pa.table({"user_id": ["ann", "bob"], "exclude": [[1], [2]]})).coalesce(1)
    with pytest.raises(Exception, match="of users 'ann' to 'bob'"):
        frame.mapInArrow(job, job.spark_schema).collect()


def test_figures_and_training_rows_are_those_of_one_machine(
    spark: Any, job: ds.Recommend, pipeline: rk.Pipeline, log: dict[str, Any], now: float
) -> None:
    history, test = rk.Dataset.from_frame(log).split_at(now)
    metrics, table = ["NDCG@5", "Recall@5", "Gini@5"], pa.table(log)
    expected = rk.evaluate(pipeline, test, metrics, by="activity", history=history, now=now)
    frame = spark.createDataFrame(table)
    for partitions in (1, 7):
        found = ds.evaluate(job, frame, metrics, by="activity", partitions=partitions)
        assert len(found.scores) == len(expected.scores)
        for mine, theirs in zip(found.scores, expected.scores, strict=True):
            numbers = [(one.mean, one.low, one.high, one.n) for one in (mine, theirs)]
            assert np.allclose(*numbers, rtol=0, atol=1e-12, equal_nan=True)
    rows = ds.training_rows(job, frame, label_window="7D", partitions=7).toArrow()
    key = [("user_id", "ascending"), ("item_id", "ascending")]
    local_rows = ds.training_rows(job, table, label_window="7D").sort_by(key)
    rows = rows.sort_by(key)
    for name in ("user_id", "item_id", "label", "weight", "validation"):
        assert rows[name].to_pylist() == local_rows[name].to_pylist()


Mapped = Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]


def _dies_once(job: ds.Recommend, flag: Path) -> Mapped:
    """Return a job of which one process is killed, once, after it has answered."""

    def mapped(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for answer in job(batches):
            yield answer
            if not flag.exists():
                flag.touch()
                os.kill(os.getpid(), signal.SIGKILL)

    return mapped


def _loads(job: ds.Recommend) -> Mapped:
    """Return a job that tells its process, and how many times that has loaded a model."""

    def mapped(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for _ in job(batches):
            yield pa.RecordBatch.from_pydict({"pid": [os.getpid()], "loads": [n_loads()]})

    return mapped
