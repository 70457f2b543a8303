"""
Leakage, caught
===============

A feature that counts an item's events over *all* of the data knows the future. Offline it looks superb.
"""

# %%
# Training rows as of two earlier dates, with features that see only what had happened by then.
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np

import recokit as rk
from recokit import candidates, features, rankers
from recokit.training.leakage import detect_leakage

data = rk.datasets.make_marketplace(600, 150, days=60, seed=6).dataset
log = data.interactions
pipeline = rk.Pipeline(
    [
        candidates.Popular(),
        features.Assemble([features.ItemActivity(windows=("7D",)), features.UserItem()]),
        rankers.LogisticRegression(),
    ]
)
rows = pipeline.training_data(data.before("2025-02-01"), label_window="5D", windows=2).data
print(detect_leakage(rows, events=data).ok)

# %%
# Somebody joins two columns by hand: the item's events of all time, and whether this user ever took this item.
ever = np.bincount(log.item, minlength=data.n_items + 1)[rows.item]
pairs = np.unique(log.user * (data.n_items + 1) + log.item)
took = np.isin(rows.user * (data.n_items + 1) + rows.item, pairs)
leaky = replace(
    rows,
    features=np.column_stack([rows.features, ever, took]).astype(np.float32),
    feature_names=(*rows.feature_names, "item_events", "user_took_item"),
    validation=None,
)
found = detect_leakage(leaky, events=data)
print(found.features)

# %%
# How well each column alone tells the label: the area under its ROC curve.


def auc(values):
    """Return the chance that a positive row has the higher value."""
    order = np.argsort(np.argsort(values + 1e-9 * np.arange(len(values)) % 7)) + 1.0
    positive = rows.label > 0
    n, m = positive.sum(), (~positive).sum()
    area = (order[positive].sum() - n * (n + 1) / 2) / (n * m)
    return max(area, 1 - area)


areas = {
    name: auc(np.nan_to_num(leaky.features[:, column])) for column, name in enumerate(leaky.feature_names)
}
names = sorted(areas, key=areas.get)[-10:]
fig, ax = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
colors = ["C1" if name in found.features else "0.75" for name in names]
ax.barh(names, [areas[name] - 0.5 for name in names], left=0.5, color=colors)
for place, name in enumerate(names):
    caught = "  leaks: caught" if name in found.features else ""
    ax.text(areas[name] + 0.004, place, f"{areas[name]:.2f}{caught}", va="center")
ax.set(xlim=(0.5, 1.25), xticks=[0.5, 0.6, 0.7, 0.8, 0.9, 1.0], xlabel="AUC of the column alone")
ax.set_title("Too good to be true, and named", loc="left")
plt.show()
