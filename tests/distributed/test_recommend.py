"""Recommend: what a job answers is what ``Pipeline.recommend`` answers, row by row."""

from __future__ import annotations

import pickle
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import recokit as rk
from recokit import candidates, distributed as ds
from recokit.distributed.saved import n_loads
from recokit.errors import ConfigurationError, DataError, StageError
from recokit.serving import Artifacts

USERS = ["user-3", None, "user-7", "nobody", "user-3"]


@pytest.fixture
def job(model: Path, data: rk.Dataset) -> ds.Recommend:
    return ds.Recommend(model, k=5, now=data.until)


def _equal(table: pa.Table, made: rk.Recommendations) -> None:
    """Assert that a table holds some recommendations, to the last bit."""
    rows = table.to_pylist()
    assert len(rows) == len(made)
    for row, records in zip(rows, made.to_records(), strict=True):
        assert row["items"] == [record["item_id"] for record in records]
        assert row["ranks"] == [record["rank"] for record in records]
        assert row["sources"] == [record["sources"] for record in records]
        assert row["labels"] == [record["labels"] for record in records]
        scores = np.array([record["score"] for record in records], np.float32)
        assert np.array_equal(np.array(row["scores"], np.float32), scores, equal_nan=True)
    assert [row["reasons"] for row in rows] == [list(one) for one in made.reasons]
    assert [row["status"] for row in rows] == [rk.trace.Status(int(one)).name for one in made.status]


def test_a_row_for_each_row_as_the_pipeline_answers(
    job: ds.Recommend, pipeline: rk.Pipeline, data: rk.Dataset
) -> None:
    made = pipeline.recommend(USERS, k=5, now=data.until)
    table = job.table(pa.table({"user_id": USERS}))
    assert table.schema == job.schema and table["user_id"].to_pylist() == USERS
    assert any(label for row in table["labels"].to_pylist() for label in row), "no label was compared"
    _equal(table, made)


def test_lists_times_lengths_seeds_and_context_are_columns(
    model: Path, pipeline: rk.Pipeline, data: rk.Dataset
) -> None:
    now = [data.until, data.until - 86_400.0, data.until, data.until, data.until]
    given: dict[str, Any] = {
        "history": [[101, 105], None, [], [150, 999], None],
        "session": [None, [103], None, [104], [101]],
        "items": [None, [101, 102, 103], None, None, None],
        "exclude": [[104], None, None, [101, 102], None],
    }
    job = ds.Recommend(model, k=9, now="2020-01-01", context=["market"])
    asked = {
        "user_id": USERS,
        **given,
        "k": [1, 2, None, 4, 5],
        "seed": [7, None, 1, 2, 3],
        "now": pa.array([datetime.fromtimestamp(one, UTC) for one in now]),
        "market": ["de", "fr", None, "de", "fr"],
    }
    made = pipeline.recommend(
        USERS, [1, 2, 9, 4, 5], **given, now=now, seed=[7, 0, 1, 2, 3], context={"market": asked["market"]}
    )
    _equal(job.table(pa.table(asked)), made)
    asked["now"] = now
    _equal(job.table(pa.table(asked)), made)


@pytest.mark.parametrize("rows", [1, 7, 600])
def test_the_cut_into_batches_changes_nothing(
    job: ds.Recommend, pipeline: rk.Pipeline, data: rk.Dataset, rows: int
) -> None:
    users = data.user_ids.ids.tolist() * 3
    batches = pa.table({"user_id": users}).to_batches(max_chunksize=rows)
    answers = list(job(iter(batches)))
    assert max(answer.num_rows for answer in answers) <= 512
    table = pa.Table.from_batches(answers)
    whole = job.table(pa.table({"user_id": users}))
    assert table.drop(["scores"]) == whole.drop(["scores"])
    # BLAS rounds by shape.
    assert np.allclose(_scores(table), _scores(whole), atol=1e-5, equal_nan=True)


def _scores(table: pa.Table) -> np.ndarray:
    return np.concatenate([np.array(row, np.float32) for row in table["scores"].to_pylist()])


def test_a_job_is_small_and_opens_its_model_once_in_a_process(job: ds.Recommend) -> None:
    content = pickle.dumps(job)
    assert len(content) < 1_000
    loads = n_loads()
    for _ in range(3):
        pickle.loads(content).table(pa.table({"user_id": ["user-1"]}))
    assert n_loads() == loads


def test_an_empty_partition_opens_nothing(job: ds.Recommend) -> None:
    assert list(job(iter([]))) == []
    assert job.table(pa.table({"user_id": pa.array([], pa.string())})).schema == job.schema


def test_what_is_kept_goes_through_unread(model: Path, data: rk.Dataset) -> None:
    job = ds.Recommend(model, k=1, now=data.until, keep={"request": "int64"}, columns={"user_id": "customer"})
    table = job.table(pa.table({"customer": ["user-1", "user-2"], "request": pa.array([5, 6], pa.int32())}))
    assert table["request"].to_pylist() == [5, 6] and table.schema.field("request").type == pa.int64()
    assert "`request` bigint" in job.spark_schema
    assert table["user_id"].to_pylist() == ["user-1", "user-2"]


def test_a_row_that_cannot_be_asked_fails_alone(
    job: ds.Recommend, pipeline: rk.Pipeline, data: rk.Dataset
) -> None:
    asked = {"user_id": USERS, "k": [5, 0, 5, 5, 5], "history": [None, None, [101, None], None, None]}
    rows = job.table(pa.table(asked)).to_pylist()
    assert [row["status"] for row in rows] == ["OK", "FAILED", "FAILED", "OK", "OK"]
    assert "k=0" in rows[1]["reasons"][0] and rows[1]["items"] == []
    alone = pipeline.recommend(USERS, k=5, now=data.until)
    assert [rows[row]["items"] for row in (0, 3, 4)] == [alone.ids(row) for row in (0, 3, 4)]


def test_a_time_that_is_missing_fails_alone(job: ds.Recommend, data: rk.Dataset) -> None:
    rows = job.table(pa.table({"user_id": ["user-1", "user-2"], "now": [data.until, None]})).to_pylist()
    assert [row["status"] for row in rows] == ["OK", "FAILED"]


def test_what_fails_for_all_names_the_users(job: ds.Recommend) -> None:
    with pytest.raises(StageError, match="2 rows that cannot be answered, of users 'user-1' to 'user-9'"):
        job.table(pa.table({"user_id": ["user-1", "user-9"], "session": [["a"], ["b"]]}))


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"user_id": [1, 2]}, "expected text"),
        ({"user_id": ["a"], "sesion": [[101]]}, "did you mean 'session'"),
        ({"market": ["de"]}, "hint: context="),
        ({"k": [3]}, "expected user_id, or lists"),
    ],
    ids=["integers for text", "typing error", "context undeclared", "no user"],
)
def test_columns_that_nobody_understands_are_refused(
    job: ds.Recommend, columns: dict[str, Any], said: str
) -> None:
    with pytest.raises(DataError, match=said):
        job.table(pa.table(columns))


def test_users_may_be_left_out_where_lists_say_who_asks(
    job: ds.Recommend, pipeline: rk.Pipeline, data: rk.Dataset
) -> None:
    table = job.table(pa.table({"session": [[101, 102], [130]]}))
    _equal(table, pipeline.recommend(session=[[101, 102], [130]], k=5, now=data.until))


def test_a_job_without_a_time_is_refused(model: Path) -> None:
    with pytest.raises(StageError, match="neither now nor a column"):
        ds.Recommend(model).table(pa.table({"user_id": ["user-1"]}))


def test_declared_columns_must_be_there(model: Path) -> None:
    job = ds.Recommend(model, now=0.0, context=["market"])
    with pytest.raises(DataError, match="no column 'market'"):
        job.table(pa.table({"user_id": ["user-1"]}))
    renamed = ds.Recommend(model, now=0.0, columns={"session": "clicks"})
    with pytest.raises(DataError, match="no column 'clicks'"):
        renamed.table(pa.table({"user_id": ["user-1"]}))


# -- ids ---------------------------------------------------------------------------------------------


def _saved(path: Path, users: list[Any], items: list[Any]) -> rk.Pipeline:
    log = {"user_id": users, "item_id": items, "timestamp": np.arange(1e9, 1e9 + len(users))}
    pipeline = rk.Pipeline([candidates.ItemKNN(n_neighbors=3)], fallback=candidates.Popular())
    pipeline.fit(rk.Dataset.from_frame(log)).save(path)
    return pipeline


def test_integer_ids_stay_integers(tmp_path: Path) -> None:
    pipeline = _saved(tmp_path / "m", [2**62, 2**62, 7], [10, 2**40, 10])
    job = ds.Recommend(tmp_path / "m", k=2, now=2e9)
    table = job.table(pa.table({"user_id": [2**62, None, 7]}))
    assert table["user_id"].to_pylist() == [2**62, None, 7]
    _equal(table, pipeline.recommend([2**62, None, 7], k=2, now=2e9))
    assert table.schema.field("items").type == pa.list_(pa.int64())


def test_uuids_are_their_text(tmp_path: Path) -> None:
    ids = [uuid.UUID(int=place) for place in (1, 2, 3)]
    users, items = [ids[0], ids[0], ids[1]], [ids[0], ids[1], ids[1]]
    pipeline = _saved(tmp_path / "m", [str(one) for one in users], [str(one) for one in items])
    job = ds.Recommend(tmp_path / "m", k=2, now=2e9)
    asked = pa.table(
        {
            "user_id": pa.array([one.bytes for one in ids], pa.binary(16)).cast(pa.uuid()),
            "exclude": pa.array([[str(ids[0])], None, []], pa.list_(pa.string())),
        }
    )
    _equal(
        job.table(asked),
        pipeline.recommend([str(one) for one in ids], k=2, now=2e9, exclude=[[str(ids[0])], None, []]),
    )


def test_unicode_ids(tmp_path: Path) -> None:
    users = ["Ünal", "李雷", "a,b", "Ünal"]
    pipeline = _saved(tmp_path / "m", users, ["🍐", "зима", "🍐", "зима"])
    table = ds.Recommend(tmp_path / "m", k=2, now=2e9).table(pa.table({"user_id": users}))
    _equal(table, pipeline.recommend(users, k=2, now=2e9))


# -- models ------------------------------------------------------------------------------------------


def test_the_version_that_serves_when_the_job_is_made(
    tmp_path: Path, pipeline: rk.Pipeline, data: rk.Dataset
) -> None:
    models = Artifacts(tmp_path / "models")
    models.publish(pipeline)
    job = ds.Recommend(tmp_path / "models", k=3, now=data.until)
    models.publish(rk.Pipeline([candidates.Popular()]).fit(data))
    later = ds.Recommend(tmp_path / "models", k=3, now=data.until)
    _equal(job.table(pa.table({"user_id": USERS})), pipeline.recommend(USERS, k=3, now=data.until))
    assert job.fingerprint == pipeline.fingerprint != later.fingerprint
    assert pickle.loads(pickle.dumps(job)).fingerprint == job.fingerprint


def test_another_model_at_the_path_is_refused(
    tmp_path: Path, pipeline: rk.Pipeline, data: rk.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.save(tmp_path / "m")
    job = ds.Recommend(tmp_path / "m", now=data.until)
    rk.Pipeline([candidates.Popular()]).fit(data).save(tmp_path / "m")
    monkeypatch.setattr("recokit.distributed.saved._OPENED", {})  # as in a process that starts now
    with pytest.raises(DataError, match=f"expected {job.fingerprint}"):
        job.table(pa.table({"user_id": ["user-1"]}))


def test_a_process_keeps_two_models_open(
    tmp_path: Path, data: rk.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: dict[Any, Any] = {}
    monkeypatch.setattr("recokit.distributed.saved._OPENED", opened)
    jobs = []
    for place in range(3):
        rk.Pipeline([candidates.Popular(half_life=f"{place + 1}D")]).fit(data).save(tmp_path / str(place))
        jobs.append(ds.Recommend(tmp_path / str(place), now=data.until))
    assert [saved.path for saved in opened] == [str(tmp_path / "1"), str(tmp_path / "2")]


class OwnFilter:
    """A stage of a package that is installed everywhere, as far as a test can tell."""

    def keep(self, batch: Any) -> Any:
        return batch.item % 2 == 0


def test_own_stages_are_trusted_or_refused_when_the_job_is_made(tmp_path: Path, data: rk.Dataset) -> None:
    rk.Pipeline([candidates.Popular(), OwnFilter()]).fit(data).save(tmp_path / "m")
    with pytest.raises(ConfigurationError, match="trusted"):
        ds.Recommend(tmp_path / "m", now=data.until)


def test_what_workers_cannot_use_is_refused(tmp_path: Path, pipeline: rk.Pipeline, model: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"hint: pipeline\.save"):
        ds.Recommend(pipeline)  # type: ignore[arg-type]

    class Local:
        def keep(self, batch: Any) -> Any: ...

    with pytest.raises(ConfigurationError, match="cannot import"):
        ds.Recommend(model, trusted=[Local])
    notebook = type("Mine", (), {"__module__": "__main__"})
    with pytest.raises(ConfigurationError, match="not into a notebook"):
        ds.Recommend(model, trusted=[notebook])
    with pytest.raises(ConfigurationError, match="open object"):
        ds.Recommend(model, connections={"users": object()})  # type: ignore[dict-item]
    with pytest.raises(DataError, match="no folder"):
        ds.Recommend(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no model"):
        ds.Recommend(tmp_path / "empty")


@pytest.mark.parametrize(
    "options",
    [
        {"k": 0},
        {"seed": 0.5},
        {"keep": {"request": "decimal"}},
        {"keep": {"items": "string"}},
        {"context": "market"},
        {"columns": ["user_id"]},
    ],
    ids=str,
)
def test_options_out_of_range_are_refused(model: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        ds.Recommend(model, **options)
