"""Evaluate on partitions: figures and intervals are those of one machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import recokit as rk
from recokit import candidates, distributed as ds
from recokit.errors import ConfigurationError, DataError

METRICS = [
    "NDCG@5",
    "Recall@5",
    "MAP@5",
    "Coverage@5",
    "Gini@5",
    "Novelty@5",
    "IntraListDiversity@5:category",
]
NOW = 1.6e9 + 50 * 86_400


@pytest.fixture(scope="module")
def log() -> dict[str, Any]:
    rng = np.random.default_rng(5)
    users = rng.integers(0, 400, 6_000)
    users[:1_500] = 7  # somebody with a quarter of all events
    times = np.round(rng.uniform(1.6e9, 1.6e9 + 60 * 86_400, 6_000))
    return {
        "user_id": [f"u{user}" for user in users],
        "item_id": (rng.random(6_000) ** 2 * 90).astype(int),
        "timestamp": times,
        "event": rng.choice(["view", "purchase"], 6_000),
    }


@pytest.fixture(scope="module")
def data(log: dict[str, Any]) -> rk.Dataset:
    items = {"item_id": np.arange(90), "category": [f"c{item % 7}" for item in range(90)]}
    users = {"user_id": sorted(set(log["user_id"]))}
    users["region"] = [f"r{len(user)}" for user in users["user_id"]]
    return rk.Dataset.from_frame(log, items=items, users=users)


@pytest.fixture(scope="module")
def pipeline(data: rk.Dataset) -> rk.Pipeline:
    stages = [candidates.Merge([candidates.ItemKNN(), candidates.Popular()])]
    return rk.Pipeline(stages).fit(data.before(NOW))


@pytest.fixture(scope="module")
def job(pipeline: rk.Pipeline, tmp_path_factory: pytest.TempPathFactory) -> ds.Recommend:
    folder = tmp_path_factory.mktemp("models") / "model"
    pipeline.save(folder)
    return ds.Recommend(folder, now=NOW, seed=3)


def _assert_equal(found: rk.evaluation.Evaluation, expected: rk.evaluation.Evaluation) -> None:
    assert found.segments == expected.segments and found.metrics == expected.metrics
    for mine, theirs in zip(found.scores, expected.scores, strict=True):
        numbers = [(one.mean, one.low, one.high) for one in (mine, theirs)]
        assert np.allclose(*numbers, rtol=0, atol=1e-12, equal_nan=True), mine.metric
        assert (mine.metric, mine.segment, mine.n, mine.few) == (
            theirs.metric,
            theirs.segment,
            theirs.n,
            theirs.few,
        )
    order = np.argsort(expected.users.ids)
    assert found.users.ids.tolist() == expected.users.ids[order].tolist()
    assert np.array_equal(found.per_user, expected.per_user[order], equal_nan=True)
    assert found.statuses == expected.statuses and found.n_without_truth == expected.n_without_truth
    assert (found.k, found.now, found.sampled) == (expected.k, expected.now, expected.sampled)


@pytest.mark.parametrize("partitions", [1, 2, 7, 64])
def test_the_figures_are_those_of_one_machine(
    partitions: int, job: ds.Recommend, pipeline: rk.Pipeline, log: dict[str, Any], data: rk.Dataset
) -> None:
    history, test = data.split_at(NOW)
    expected = rk.evaluate(pipeline, test, METRICS, by="activity", history=history, now=NOW, seed=3)
    assert 0 < expected["NDCG@5"].mean < 1 and not np.isnan(expected["Novelty@5"].mean)
    found = ds.evaluate(job, pa.table(log), METRICS, by="activity", partitions=partitions)
    _assert_equal(found, expected)


@pytest.mark.parametrize(
    "by", ["region", {"u7": "heavy", "u1": "light", "u33": "light"}], ids=["column", "labels"]
)
def test_segments_are_a_column_of_the_models_users_or_labels_by_id(
    by: Any, job: ds.Recommend, pipeline: rk.Pipeline, log: dict[str, Any], data: rk.Dataset
) -> None:
    history, test = data.split_at(NOW)
    expected = rk.evaluate(pipeline, test, ["NDCG@5"], by=by, history=history, now=NOW, seed=3)
    assert len(expected.segments) > 2
    _assert_equal(ds.evaluate(job, pa.table(log), ["NDCG@5"], by=by, partitions=5), expected)


def test_partitions_without_truth_or_with_unknown_items_only(
    job: ds.Recommend, pipeline: rk.Pipeline
) -> None:
    log = {
        "user_id": ["a", "u7", "z", "u7"],
        "item_id": [1, 2, 999, 3],
        "timestamp": [NOW - 9, NOW - 9, NOW, NOW + 1],
    }
    data = rk.Dataset.from_frame(log)
    metrics = ["Recall@5", "Coverage@5"]
    expected = rk.evaluate(
        pipeline, data.split_at(NOW)[1], metrics, history=data.before(NOW), now=NOW, seed=3
    )
    assert expected["Recall@5"].n == 2 and expected["Coverage@5"].mean > 0
    _assert_equal(ds.evaluate(job, pa.table(log), metrics, partitions=3), expected)


def test_parquet_files_and_other_column_names(job: ds.Recommend, log: dict[str, Any], tmp_path: Path) -> None:
    table = pa.table(log)
    pq.write_table(
        table.rename_columns(["customer", "item_id", "timestamp", "event"]), tmp_path / "log.parquet"
    )
    reading = {"columns": {"user_id": "customer"}}
    found = ds.evaluate(job, tmp_path / "log.parquet", ["NDCG@5"], reading=reading, partitions=3)
    _assert_equal(found, ds.evaluate(job, table, ["NDCG@5"]))


def test_a_model_that_knows_the_answers_is_refused(
    data: rk.Dataset, log: dict[str, Any], tmp_path: Path
) -> None:
    rk.Pipeline([candidates.Popular()]).fit(data).save(tmp_path / "m")
    with pytest.raises(DataError, match="knows these answers"):
        ds.evaluate(ds.Recommend(tmp_path / "m", now=NOW), pa.table(log), ["NDCG@5"])


def test_what_cannot_be_evaluated_is_refused(job: ds.Recommend, log: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="without now"):
        ds.evaluate(ds.Recommend(job.path), pa.table(log))
    with pytest.raises(ConfigurationError, match="user id to label"):
        ds.evaluate(job, pa.table(log), by=np.zeros(3))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no user with a relevant item"):
        ds.evaluate(job, pa.table(log).slice(0, 0))
    with pytest.raises(DataError, match="expected 'user_id'"):
        ds.evaluate(job, pa.table({"who": ["a"]}))
