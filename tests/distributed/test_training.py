"""Training rows on partitions: the rows that ``Pipeline.training_data`` makes of the same window."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import recokit as rk
from recokit import candidates, distributed as ds, features, rankers
from recokit.data import DAY, sampling
from recokit.errors import ConfigurationError
from recokit.testing import toy_dataset
from recokit.training import Negatives


@pytest.fixture(scope="module")
def data() -> rk.Dataset:
    return toy_dataset(150, 60, n_events=2_500)


@pytest.fixture(scope="module")
def now(data: rk.Dataset) -> float:
    return float(np.nextafter(data.until, np.inf)) - 7 * DAY


@pytest.fixture(scope="module")
def pipeline(data: rk.Dataset, now: float) -> rk.Pipeline:
    stages = [
        candidates.Merge([candidates.ItemKNN(), candidates.Popular()]),
        features.Standard(),
        rankers.LogisticRegression(),
    ]
    return rk.Pipeline(stages).fit(data.before(now), label_window="7D")


@pytest.fixture(scope="module")
def job(pipeline: rk.Pipeline, now: float, tmp_path_factory: pytest.TempPathFactory) -> ds.Recommend:
    folder = tmp_path_factory.mktemp("models") / "model"
    pipeline.save(folder)
    return ds.Recommend(folder, now=now)


@pytest.fixture(scope="module")
def log(data: rk.Dataset) -> pa.Table:
    events = data.interactions
    return pa.table(
        {
            "user_id": data.user_ids.decode(events.user).tolist(),
            "item_id": data.item_ids.decode(events.item).tolist(),
            "timestamp": events.timestamp,
            "event": [events.event_names[code] for code in events.event.tolist()],
        }
    )


def _rows(table: pa.Table) -> dict[tuple[str, int], list[Any]]:
    rows = {(row.pop("user_id"), row.pop("item_id")): list(row.values()) for row in table.to_pylist()}
    assert len(rows) == table.num_rows
    return rows


@pytest.mark.parametrize("partitions", [1, 5])
def test_the_rows_are_those_that_fit_learns_from(
    partitions: int, job: ds.Recommend, pipeline: rk.Pipeline, data: rk.Dataset, log: pa.Table
) -> None:
    made = ds.training_rows(job, log, label_window="7D", seed=4, partitions=partitions)
    expected = pipeline.training_data(data, label_window="7D", windows=1, max_requests=None, seed=4).data
    assert tuple(made.column_names[6:]) == expected.feature_names
    rows, n = _rows(made), 0
    assert expected.validation is not None
    for part, held in ((expected, False), (expected.validation, True)):
        users, items = data.user_ids.decode(part.user), data.item_ids.decode(part.item)
        for place, key in enumerate(zip(users.tolist(), items.tolist(), strict=True)):
            label, weight, when, validates, *values = rows[key]
            assert (label, weight, when, validates) == (part.label[place], part.weight[place], job.now, held)
            assert np.allclose(values, part.features[place], rtol=1e-5, atol=1e-6, equal_nan=True)
            n += 1
    assert n == len(rows) and 0 < sum(row[0] > 0 for row in rows.values()) < n


def test_all_negatives_without_validation(job: ds.Recommend, log: pa.Table) -> None:
    few = ds.training_rows(job, log, label_window="7D")
    every = ds.training_rows(job, log, label_window="7D", negatives=None, validation=False)
    assert every.num_rows >= few.num_rows and not any(every["validation"].to_pylist())
    assert set(every["weight"].to_pylist()) == {1.0}


def test_what_cannot_be_labelled_is_refused(
    job: ds.Recommend, log: pa.Table, data: rk.Dataset, now: float, tmp_path: Path
) -> None:
    rk.Pipeline([candidates.Popular()]).fit(data.before(now)).save(tmp_path / "m")
    with pytest.raises(ConfigurationError, match="no trainable ranker"):
        ds.training_rows(ds.Recommend(tmp_path / "m", now=now), log, label_window="7D")
    with pytest.raises(ConfigurationError, match="without now"):
        ds.training_rows(ds.Recommend(job.path), log, label_window="7D")
    with pytest.raises(ConfigurationError, match="earlier"):
        ds.training_rows(ds.Recommend(job.path, now=now - 30 * DAY), log, label_window="7D")
    by = Negatives(by=sampling.PopularityNegatives())
    with pytest.raises(ConfigurationError, match="without by="):
        ds.training_rows(job, log, label_window="7D", negatives=by)
