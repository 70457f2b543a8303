"""
Caps and fair exposure
======================

Large sellers fill the lists. A cap bounds one list; a ledger looks at all of them together.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

import recokit as rk
from recokit import candidates, diversity, rankers, rules

data = rk.datasets.make_marketplace(300, 150, seed=3, n_sellers=10).dataset
users = data.user_ids.ids[:200].tolist()


def shares(stage):
    """Serve 200 users one after another; return each seller's share of exposure and of what it merits."""
    ledger = diversity.ExposureLedger.of(data, "seller")
    built = stage(ledger)
    stages = [candidates.Popular(), rankers.Weighted({"popular_score": 1.0}), *built]
    pipeline = rk.Pipeline(stages, observers=[ledger]).fit(data)
    for user in users:
        pipeline.recommend([user], k=10, now=data.until)
    table = {row["group"]: row for row in ledger.table()}
    return {name: (row["exposure"], row["merit"]) for name, row in table.items()}


served = {
    "no rule": shares(lambda ledger: []),
    "at most 2 of a seller": shares(lambda ledger: [rules.MaxPerGroup("seller", 2, within=10)]),
    "fair exposure": shares(lambda ledger: [diversity.FairExposure(ledger)]),
}

# %%
# Exposure beside merit: on the diagonal a seller gets the attention that its items' scores earn.
fig, panels = plt.subplots(1, 3, figsize=(7.6, 3.2), sharex=True, sharey=True, layout="constrained")
for ax, (name, values) in zip(panels, served.items(), strict=True):
    exposure, merit = np.array(list(values.values())).T
    exposure, merit = exposure / exposure.sum(), merit / merit.sum()
    top = 100 * max(exposure.max(), merit.max())
    ax.axline((0, 0), slope=1, color="0.6", linestyle="--", linewidth=1)
    ax.scatter(100 * merit, 100 * exposure, alpha=0.8)
    ax.set_title(f"{name}\ngap {50 * np.abs(exposure - merit).sum():.0f} points", loc="left", fontsize=10)
    ax.set_xlabel("merit, % of all")
panels[0].set_ylabel("exposure, % of all")
plt.show()
