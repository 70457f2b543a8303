"""
From your own CSV files to a list
=================================

Two files, an event log and a catalogue, are all that is needed. Replace the first block by your own files.
"""

# %%
# A marketplace is generated and written as a shop would export it.
import csv
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

import recokit as rk
from recokit import candidates, features, rankers, rules

folder = Path(tempfile.mkdtemp())
market = rk.datasets.make_marketplace(n_users=300, n_items=150, seed=1).dataset
log, catalogue = market.interactions, market.items

with open(folder / "events.csv", "w", newline="") as file:
    rows = csv.writer(file)
    rows.writerow(["customer", "product", "time", "event"])
    users, items = market.user_ids.decode(log.user), market.item_ids.decode(log.item)
    names = [log.event_names[code] for code in log.event]
    rows.writerows(zip(users, items, log.timestamp, names, strict=True))

with open(folder / "products.csv", "w", newline="") as file:
    rows = csv.writer(file)
    rows.writerow(["product", "category", "price"])
    category = catalogue.categorical["category"]
    for code, item in enumerate(market.item_ids.ids, start=1):
        label = category.labels.decode(category.codes[[code]])[0]
        rows.writerow([item, label, round(float(catalogue.column("price")[code]), 2)])

# %%
# Read them. Any dataframe will do; ``columns=`` says what your names mean.
data = rk.Dataset.from_frame(
    pd.read_csv(folder / "events.csv"),
    items=pd.read_csv(folder / "products.csv"),
    columns={"user_id": "customer", "item_id": "product", "timestamp": "time"},
)
train, test = data.split_at("2025-03-20", horizon="7D")
print(data)

# %%
# Two stages: sources that find, a ranker that orders.
pipeline = rk.Pipeline(
    [
        candidates.Merge(
            [candidates.History(), candidates.ItemKNN(), candidates.Popular(half_life="14D")], limit=100
        ),
        features.Standard(),
        rankers.LogisticRegression(),
        rules.MaxShare("category", 0.4),
    ]
).fit(train, label_window="7D")
print(pipeline.recommend(["user-42"], k=5, now=train.until).ids(0))

# %%
# Is it better than the list that everybody gets? The intervals say how sure that is.
popular = rk.Pipeline([candidates.Popular(half_life="14D")]).fit(train)
figures = rk.evaluate(
    {"pipeline": pipeline, "popular": popular}, test, ["NDCG@10"], by="activity", history=train
)
fig, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
figures.plot("NDCG@10", ax=ax)
ax.set_title("Two files, one pipeline: better than popular?", loc="left", pad=28)
plt.show()
