"""
What each source adds
=====================

Recall of a source alone says little: what counts is what is lost without it.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

import recokit as rk
from recokit import candidates

data = rk.datasets.make_marketplace(n_users=1_000, n_items=400, seed=3).dataset
train, test = data.split_at("2025-03-18", horizon="10D")
merge = candidates.Merge(
    [
        candidates.History(half_life="30D"),
        candidates.ItemKNN(),
        candidates.EASE(),
        candidates.PopularInCategory(),
        candidates.Popular(half_life="14D"),
    ]
).fit(train)
report = candidates.report(merge, train, test, k=(20,), by=None)
print(report)

# %%
recall = np.array([report[name].recall[20] for name in report.sources])
only = np.array([report[name].only[20] for name in report.sources])
together = report["together"].recall[20]
order = np.argsort(recall)
names = [report.sources[i] for i in order]
fig, ax = plt.subplots(figsize=(6.8, 3.6), layout="constrained")
ax.barh(names, 100 * recall[order], color="0.8")
ax.barh(names, 100 * only[order], color="C1")
for place, i in enumerate(order):
    ax.text(100 * recall[i] + 0.6, place, f"{100 * recall[i]:.0f}%, alone {100 * only[i]:.1f}", va="center")
ax.axvline(100 * together, color="0.4", linestyle="--", linewidth=1)
ax.set(xlabel="Recall@20, %; in colour what no other source finds", xlim=(0, 100 * together * 1.25))
ax.set_title(f"All together find {100 * together:.0f}%", loc="left")
plt.show()
