"""
Five faults, five verdicts
==========================

Each fault is planted in a healthy pipeline; the debugger is told nothing, finds the stage, and proves it by mending.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

import recokit as rk
from recokit import candidates, features, rankers, rules
from recokit.testing import faults
from recokit.testing.faults import hydration, sources

market = rk.datasets.make_marketplace(n_users=300, n_items=150, seed=1)
train, test = market.dataset.split_at("2025-03-20", horizon="7D")
healthy = rk.Pipeline(
    [
        candidates.Merge([candidates.ItemKNN(), candidates.History(), candidates.Popular()], limit=100),
        rules.InStock(market.stock_at(train.until)),
        features.Standard(),
        rankers.LogisticRegression(),
    ],
    fallback=candidates.Popular(half_life=None),
).fit(train, label_window="7D")

small = healthy["standard"].names[:6]
broken = {
    "ranker upside down": ("logistic_regression", faults.inverted(healthy["logistic_regression"])),
    "stock is not asked": ("in_stock", rules.InStock(np.ones(train.n_items + 1))),
    "history cut to 3": ("user_history", hydration.newest(healthy["user_history"], 3)),
    "source cut to 3": ("merge.item_knn", sources.shortened(healthy["merge.item_knn"], 3)),
    "features x 1,000": ("standard", faults.scaled(healthy["standard"], small, 1_000)),
}

# %%
# One user's list is asked about. ``diagnose`` compares with the baseline stage by stage.
user = test.user_ids.decode(test.interactions.user[:1])[0]
users = test.user_ids.decode(np.unique(test.interactions.user)).tolist()
codes = test.user_ids.encode(users)


def relevance(pipeline):
    """Return the true chance of a click, mean over the lists of all users."""
    shown = pipeline.recommend(users, k=10, now=train.until)
    return float(np.mean([market.relevance(code, shown.codes(row)).mean() for row, code in enumerate(codes)]))


usual, found = relevance(healthy), {}
for name, (stage, fault) in broken.items():
    suspect = healthy.replace(stage, fault)
    debugger = rk.RecommendationDebugger(
        suspect, known_good=test, baseline=healthy, log=train, budget_ms=10_000
    )
    diagnosis = debugger.diagnose(user, now=train.until)
    found[name] = (diagnosis.verdict, diagnosis.stage == stage, relevance(suspect) / usual - 1)
    print(f"{name}: {diagnosis.verdict} at {diagnosis.stage}")

# %%
fig, ax = plt.subplots(figsize=(7.2, 3.8), layout="constrained")
names = list(found)[::-1]
effect = [100 * found[name][2] for name in names]
ax.barh(names, effect, color="C1", alpha=0.8)
reach = max(map(abs, effect))
for place, name in enumerate(names):
    verdict, right, _ = found[name]
    ax.text(0.05 * reach, place, f"{verdict}{'' if right else ' ?'}", va="center", fontsize=9)
ax.axvline(0, color="0.4", linewidth=1)
ax.set(xlim=(-1.15 * reach, 1.15 * reach), xlabel="change of the lists' true relevance, %")
ax.set_title("What the fault costs, and what the debugger says", loc="left")
plt.show()
