"""The profile of training: saved with the pipeline, checked before and while it serves."""

import numpy as np

import recokit as rk
from recokit import candidates, features, monitoring, rankers


def test_the_profile_travels_with_the_pipeline_and_serving_is_held_against_it(tmp_path):
    data = rk.datasets.make_marketplace(150, 60, days=40, seed=3).dataset
    stages = [candidates.Popular(), features.ItemActivity(windows=("7D",)), rankers.LogisticRegression()]
    pipeline = rk.Pipeline(stages)
    rows = pipeline.training_data(data, label_window="7D", windows=1).data
    pipeline.fit(data, label_window="7D", windows=1)
    assert pipeline.profile is None
    pipeline.profile = monitoring.ReferenceProfile.of(rows)
    pipeline.save(tmp_path / "model")
    loaded = rk.Pipeline.load(tmp_path / "model")
    assert loaded.profile.names == rows.feature_names
    assert loaded.without().profile is loaded.profile
    names = {name: np.full(500, 1e6) for name in rows.feature_names}
    assert monitoring.DriftMonitor(loaded.profile).check(names).drifted
    report = rk.preflight(loaded, data, n_requests=1, budget_ms=5000)
    assert report["data.drift"].status != "not checked"
    loaded.profile = None
    assert rk.preflight(loaded, data, n_requests=1, budget_ms=5000)["data.drift"].status == "not checked"
    assert loaded.fit(data, label_window="7D", windows=1).profile is None
