"""
Every user overnight, by a job
==============================

The same job runs in plain processes, on Spark or on Ray. Its answer is that of one call, list by list.
"""

# %%
# A fitted model in a folder, and the users in a Parquet file: that is all a job needs.
import tempfile

import matplotlib.pyplot as plt
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import recokit as rk
from recokit import candidates, distributed, rules

folder = tempfile.mkdtemp()
data = rk.datasets.make_marketplace(1_500, 200, seed=2).dataset
users = data.user_ids.ids.tolist()
sources = candidates.Merge([candidates.ItemKNN(), candidates.Popular()], limit=100)
pipeline = rk.Pipeline([sources, rules.NotOwned()]).fit(data)
pipeline.save(f"{folder}/model")
pq.write_table(pa.table({"user_id": users}), f"{folder}/users.parquet")

# %%
# ``workers=1`` works in this process. With more, each worker opens the model once; put the call under
# ``if __name__ == "__main__":`` then, as Python asks of programs that start processes.
job = distributed.Recommend(f"{folder}/model", k=10, now=data.until)
report = distributed.run(job, f"{folder}/users.parquet", f"{folder}/lists.parquet", workers=1)
print(report)

# %%
# The lists are those of one call here.
lists = pq.read_table(f"{folder}/lists.parquet")
there = dict(zip(lists["user_id"].to_pylist(), lists["items"].to_pylist(), strict=True))
here = pipeline.recommend(users, k=10, now=data.until)
same = np.mean([there[user] == here.ids(row) for row, user in enumerate(users)])
print(f"{same:.0%} of {len(users):,} lists are the same")

# %%
# How often each item is shown, by both answers.
fig, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
shown = np.concatenate([data.item_ids.encode(there[user]) for user in users])
for name, items, style in (("one call", here.item, "-"), ("the job", shown, "--")):
    counts = np.sort(np.bincount(items, minlength=data.n_items + 1)[1:])[::-1]
    ax.plot(np.arange(1, len(counts) + 1), counts, style, linewidth=2.5, label=name)
ax.set(xlabel="items, most shown first", ylabel="lists with the item", ylim=(0, None))
ax.legend(frameon=False)
ax.set_title(f"{report.rows:,} lists, {same:.0%} the same", loc="left")
plt.show()
