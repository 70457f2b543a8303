"""
Do scores mean what they say?
=============================

A bid, a threshold or a mix of two lists needs scores that are probabilities. Calibration makes them so.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

import recokit as rk
from recokit import candidates, features, metrics, rankers

market = rk.datasets.make_marketplace(700, 80, seed=5)
train, test = market.dataset.split_at(market.dataset.until - 7 * 86_400)


def pipeline_of(ranker):
    """Return a fitted pipeline with one source and this ranker."""
    stages = [candidates.Popular(), features.Standard(), ranker]
    return rk.Pipeline(stages).fit(train, label_window="7D", windows=2)


# %%
# What happened in the week after, beside what was predicted for it.
pairs = np.unique(test.interactions.user * 1_000 + test.interactions.item)


def reliability_of(pipeline):
    """Compare predicted with observed rates over all candidates of all users."""
    batch = pipeline.candidates(pipeline.requests(train.user_ids.ids.tolist(), now=train.cut))
    return metrics.reliability(batch.score, np.isin(batch.user * 1_000 + batch.item, pairs))


trees = {"n_estimators": 30, "early_stopping": False}
raw = reliability_of(pipeline_of(rankers.GradientBoosting(**trees)))
calibrated = reliability_of(pipeline_of(rankers.Calibrated(rankers.GradientBoosting(**trees), "isotonic")))

# %%
fig, panels = plt.subplots(1, 2, figsize=(7.6, 3.8), layout="constrained")
for ax, name, found in zip(panels, ("as trained", "calibrated"), (raw, calibrated), strict=True):
    found.plot(ax=ax)
    ax.set_title("")
    ax.set_title(f"{name}: off by {100 * found.ece:.1f} points", loc="left", fontsize=11)
plt.show()
