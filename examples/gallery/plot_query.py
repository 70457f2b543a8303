"""
A query in words
================

``recommend(query=...)`` reads conditions on the catalogue's own columns, and holds them as hard rules.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

import recokit as rk
from recokit import candidates, rules, text

rng = np.random.default_rng(0)
n = 400
kinds, colours = np.array(["shoe", "shirt", "bag"]), np.array(["red", "blue", "green", "black"])
kind, colour = rng.choice(kinds, n), rng.choice(colours, n)
catalogue = {
    "item_id": np.arange(1, n + 1),
    "title": [f"{a} {b} no. {i}" for i, (a, b) in enumerate(zip(colour, kind, strict=True))],
    "colour": colour,
    "kind": kind,
    "brand": rng.choice(["acme", "zest", "nord"], n),
    "price": np.round(rng.lognormal(3.9, 0.5, n), 2),
}
log = {
    "user_id": rng.integers(1, 60, 3_000),
    "item_id": rng.integers(1, n + 1, 3_000),
    "timestamp": np.sort(rng.uniform(1e9, 1e9 + 30 * 86_400, 3_000)),
}
data = rk.Dataset.from_frame(log, items=catalogue)

# %%
# What is understood of the words, before anything is found.
words = "red shoe below 50, not from acme"
read = text.ParseQuery(data.items)(words)
print(read.where)

# %%
pipeline = rk.Pipeline([text.ParseQuery(), candidates.Text(columns=["title"]), rules.Asked()]).fit(data)
shown = pipeline.recommend(query=words, k=10, now=data.until)
print(shown.titles(0))

# %%
# Each condition takes its part of the catalogue; what is shown meets them all.
price, brand = np.array(catalogue["price"]), np.array(catalogue["brand"])
steps = [
    ("catalogue", np.ones(n, bool)),
    ("shoe", kind == "shoe"),
    ("red", colour == "red"),
    ("below 50", price < 50),
    ("not from acme", brand != "acme"),
]
left = np.logical_and.accumulate([mask for _, mask in steps]).sum(axis=1)
fig, ax = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
names = [name for name, _ in steps]
ax.barh(names, left, color=["0.75", *["C0"] * 4])
for place, count in enumerate(left):
    ax.text(count + 5, place, f"{count}", va="center")
ax.invert_yaxis()
ax.set(xlabel="items that are left", xlim=(0, 450))
ax.set_title(f"“{words}”", loc="left")
plt.show()
assert all((price[i - 1] < 50) and brand[i - 1] != "acme" for i in shown.ids(0))
