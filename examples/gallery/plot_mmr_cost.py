"""
What diversity costs
====================

MMR trades relevance for variety. The truth of a generated marketplace shows the price of each step.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

import recokit as rk
from recokit import candidates, diversity, metrics, rankers

market = rk.datasets.make_marketplace(300, 200, seed=3)
data = market.dataset
users = data.user_ids.ids[:150].tolist()
vectors = market.item_factors
base = rk.Pipeline(
    [candidates.ItemKNN(), rankers.Weighted({"item_knn_score": 1.0}), diversity.MMR(1.0, vectors=vectors)],
    fallback=candidates.Popular(),
).fit(data)

# %%
# One fitted pipeline; only the objective is exchanged.
variety = metrics.IntraListDiversity(10, by=vectors)
weights = [1.0, 0.85, 0.7, 0.5, 0.3]
points = []
for weight in weights:
    pipeline = base.replace("mmr", diversity.MMR(weight, vectors=vectors))
    shown = pipeline.recommend(users, k=10, now=data.until)
    lists = [shown.codes(row) for row in range(len(users))]
    chance = np.mean([market.relevance(user, items).mean() for user, items in enumerate(lists, start=1)])
    points.append((float(variety(lists)), float(chance)))

# %%
x, y = np.array(points).T
fig, ax = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
ax.plot(x, 100 * y, marker="o")
for weight, a, b in zip(weights, x, 100 * y, strict=True):
    ax.annotate(f"{weight:g}", (a, b), xytext=(6, 5), textcoords="offset points")
corner = {"transform": ax.transAxes, "ha": "right", "va": "top", "color": "0.4"}
ax.text(0.97, 0.93, "beside each point:\nMMR's weight of relevance", **corner)
ax.set(xlabel="diversity within a list (mean distance of two items)", ylabel="true chance of a click, %")
ax.margins(0.12)
ax.set_title("The first steps towards variety are cheap", loc="left")
plt.show()
