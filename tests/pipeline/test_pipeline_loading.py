"""Serving loads what it runs: no training, evaluation, metrics or tuning."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, diversity, features, rankers, rules
from recokit.data import load_state, save_state
from recokit.datasets.marketplace import Marketplace
from recokit.errors import DataError

SERVE = """
import json, sys
def loaded():
    return sorted(name for name in sys.modules if name.partition(".")[0] == "recokit")
from recokit.pipeline import Pipeline
imported = loaded()
pipeline = Pipeline.load(sys.argv[1])
answer = pipeline.recommend(json.loads(sys.argv[2]), k=8, now=pipeline.fitted_until)
print(json.dumps([imported, loaded(), [answer.ids(row) for row in range(len(answer))]]))
"""
LABORATORY = {
    "training",
    "evaluation",
    "metrics",
    "tuning",
    "off_policy",
    "debias",
    "debugger",
    "monitoring",
    "_stats",
}


@pytest.fixture(scope="module")
def saved(market: Marketplace, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, rk.Pipeline]:
    pipeline = rk.Pipeline(
        [
            candidates.Merge([candidates.History(), candidates.ItemKNN(), candidates.Popular()], limit=50),
            rules.InStock(np.ones(market.dataset.n_items + 1)),
            rules.NotOwned(),
            features.Standard(),
            rankers.GradientBoosting(n_estimators=3),
            rules.MaxShare("category", 0.4),
            rules.MaxPerGroup("seller", 3, within=10),
            diversity.MMR(0.7),
            rules.Disclose("sponsored"),
        ]
    ).fit(market.dataset, label_window="7D", windows=1, max_requests=60)
    path = tmp_path_factory.mktemp("saved") / "pipeline"
    pipeline.save(path)
    return path, pipeline


def test_a_saved_pipeline_is_served_without_the_laboratory(saved: tuple[Path, rk.Pipeline]) -> None:
    path, pipeline = saved
    users = pipeline.schema.user_ids.ids[:2].tolist()
    arguments = [sys.executable, "-c", SERVE, str(path), json.dumps(users)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    imported, served, lists = json.loads(done.stdout)
    assert len(imported) <= 95, imported
    assert len(served) <= 150, served
    assert not {name.split(".")[1] for name in served if "." in name} & LABORATORY
    answer = pipeline.recommend(users, k=8, now=pipeline.fitted_until)
    assert lists == [answer.ids(row) for row in range(2)]


@pytest.mark.parametrize("part", ["user_ids", "item_ids", "schema", "items"])
def test_a_state_whose_parts_do_not_fit_is_a_data_error(part: str, tmp_path: Path) -> None:
    rk.Pipeline([candidates.Popular()]).fit(rk.testing.toy_dataset()).save(tmp_path / "good")
    state, extra = load_state(tmp_path / "good", (), None)
    changed = dict(state)
    if part == "schema":
        changed["schema"] = {"item_ids": [1, 2]}
    else:
        changed["schema"] = replace(state["schema"], **{part: np.arange(3)})
    save_state(tmp_path / "odd", changed, extra)
    with pytest.raises(DataError, match="found a saved "):
        rk.Pipeline.load(tmp_path / "odd")
