"""What tests of jobs share: data, a fitted pipeline, and the folder that it is saved in."""

from __future__ import annotations

from pathlib import Path

import pytest

import recokit as rk
from recokit import candidates, features, rankers, rules
from recokit.testing import toy_dataset


@pytest.fixture(scope="session")
def data() -> rk.Dataset:
    return toy_dataset(200, 60, n_events=3_000)


@pytest.fixture(scope="session")
def pipeline(data: rk.Dataset) -> rk.Pipeline:
    stages = [
        candidates.Merge([candidates.ItemKNN(), candidates.Popular()]),
        rules.NotOwned(),
        features.Standard(),
        rankers.LogisticRegression(),
        rules.MaxPerGroup("seller", 3),
        rules.Disclose("sponsored"),
    ]
    made = rk.Pipeline(stages, fallback=candidates.Popular(), context={"market": "de"})
    return made.fit(data, label_window="7D")


@pytest.fixture(scope="session")
def model(pipeline: rk.Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "model"
    pipeline.save(folder)
    return folder
