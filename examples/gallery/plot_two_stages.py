"""
Two stages against one
======================

Sources find candidates; a ranker with features of all of them orders. Is the second stage worth its keep?
"""

# %%
import matplotlib.pyplot as plt

import recokit as rk
from recokit import candidates, features, rankers

data = rk.datasets.make_marketplace(n_users=600, n_items=200, seed=3).dataset
train, test = data.split_at("2025-03-18", horizon="10D")

sources = {
    "history": candidates.History(half_life="30D"),
    "item_knn": candidates.ItemKNN(),
    "popular": candidates.Popular(half_life="14D"),
}
two_stages = rk.Pipeline(
    [
        candidates.Merge(list(sources.values()), limit=100),
        features.Standard(),
        rankers.GradientBoosting(n_estimators=60, early_stopping=False),
    ]
).fit(train, label_window="7D")

# %%
# The same fitted sources, merged without a ranker, and each alone.
merged = two_stages.without("standard", "gradient_boosting")
alone = {name: merged.without(*(f"merge.{other}" for other in sources if other != name)) for name in sources}
found = rk.evaluate({"two stages": two_stages, "merged": merged, **alone}, test, ["NDCG@10"], history=train)
print(found)
print(found.compare_all("two stages"))

# %%
scores = {name: found[name]["NDCG@10"] for name in found}
names = sorted(scores, key=lambda name: scores[name].mean)
fig, ax = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
for place, name in enumerate(names):
    score, color = scores[name], "C0" if name == "two stages" else "0.55"
    ax.plot([score.low, score.high], [place, place], color=color, linewidth=3, alpha=0.5)
    ax.plot(score.mean, place, "o", color=color)
    ax.annotate(
        f"{score.mean:.3f}", (score.mean, place), xytext=(0, 8), textcoords="offset points", ha="center"
    )
ax.set_yticks(range(len(names)), names)
ax.set(xlabel="NDCG@10, with its 95% interval", ylim=(-0.5, len(names) - 0.3))
ax.set_title("One stage finds, the second orders", loc="left")
plt.show()
