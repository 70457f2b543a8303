"""
What was served, beside what is computed again
==============================================

The feature log keeps what the ranker saw. Computed again offline, each value must be the same. One is not.
"""

# %%
import tempfile
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np

import recokit as rk
from recokit import candidates, features, rankers
from recokit.monitoring import FeatureLog, skew

data = rk.datasets.make_marketplace(400, 150, days=60, seed=4).dataset
cut = data.until - 10 * 86_400
folder = tempfile.mkdtemp()
log = FeatureLog(folder, sample=0.5)
blocks = [features.ItemActivity(windows=("7D",)), features.UserItem(), features.Item("price")]
pipeline = rk.Pipeline(
    [candidates.Popular(half_life="14D"), features.Assemble(blocks), rankers.LogisticRegression()],
    observers=[log],
).fit(data.before(cut), label_window="7D")
pipeline.recommend(data.user_ids.ids[:200].tolist(), k=10, now=cut)
log.close()

# %%
# With the data of that time nothing differs.
print(skew(folder, pipeline, data.before(cut)).findings)

# %%
# Then somebody changes the catalogue's prices to cents of another currency: the report names the column.
column = data.items.numeric_names.index("price")
numeric = data.items.numeric.copy()
numeric[:, column] *= np.where(np.arange(len(numeric)) % 3, 1.0, 1.3)
changed = replace(data.before(cut), items=replace(data.items, numeric=numeric))
report = skew(folder, pipeline, changed)
print(report["skew.values"])

# %%
rows = FeatureLog.read(folder, outcomes=data, label_window="2D")
names = list(rows.feature_names)
place = names.index("item_price")
served, again = rows.features[:, place], numeric[rows.item, column]
fig, ax = plt.subplots(figsize=(5.4, 4.4), layout="constrained")
same = np.isclose(served, again)
ax.scatter(served[same], again[same], s=16, alpha=0.5, color="0.6", label="the same")
ax.scatter(served[~same], again[~same], s=16, alpha=0.7, color="C1", label="not the same")
ax.axline((0, 0), slope=1, color="0.5", linewidth=1, linestyle="--")
ax.set(xlabel="item_price as served", ylabel="item_price computed again")
ax.legend(frameon=False, loc="upper left")
ax.set_title(f"Skew in {', '.join(report.features)}", loc="left")
plt.show()
