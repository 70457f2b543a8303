"""What explaining a forest once keeps aside is none of the model: it is neither saved nor part of a fingerprint."""

from __future__ import annotations

import recokit as rk
from recokit import candidates, features, rankers, rules
from recokit.data.state.digest import digest


def test_a_model_that_explained_has_the_fingerprint_of_what_is_read_back(tmp_path):
    data = rk.testing.toy_dataset()
    stages = [
        candidates.Popular(),
        features.Standard(),
        rankers.GradientBoosting(n_estimators=3),
        rules.Reasons(),
    ]
    pipeline = rk.Pipeline(stages).fit(data, label_window="14D")
    pipeline.recommend(["user-1"], now=data.until)  # reasons ask the forest for the boxes of its leaves
    assert "boxes" in vars(pipeline["gradient_boosting"].forest_)
    pipeline.save(tmp_path / "model")
    loaded = rk.Pipeline.load(tmp_path / "model")
    assert digest(loaded["gradient_boosting"]) == digest(pipeline["gradient_boosting"])
    assert "boxes" not in vars(loaded["gradient_boosting"].forest_)
