"""
A shop's week
=============

New goods come every day. One model was fitted on Monday and left alone; the other learns each night. In so
short a time clicks hardly differ; what is sold out does.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

import recokit as rk
from recokit import candidates, rules
from recokit.data import DAY

market = rk.datasets.make_marketplace(900, 250, seed=8, days=60, sessions_per_user=10)
data = market.dataset
monday = data.until - 10 * DAY
users = data.user_ids.ids[:400].tolist()
codes = np.arange(1, 401)


def learn(until):
    """Return a pipeline that knows the log until then, and the stock of that morning."""
    known = data.before(until)
    sources = candidates.Merge(
        [candidates.ItemKNN(), candidates.Trending(), candidates.Popular(half_life="7D")]
    )
    return rk.Pipeline([sources, rules.InStock(market.stock_at(until))], fallback=candidates.Popular()).fit(
        known
    )


# %%
# Seven days: everybody comes in the morning. What they would click is known from the marketplace.
frozen = learn(monday)
days, names = range(8), ("frozen", "learns each night")
clicks, gone = {name: [] for name in names}, {name: [] for name in names}
for day in days:
    now = monday + day * DAY
    stock = market.stock_at(now)
    for name, pipeline in zip(names, (frozen, learn(now)), strict=True):
        shown = pipeline.recommend(users, k=5, now=now)
        row = np.repeat(np.arange(len(users)), np.diff(shown.offsets))
        place = np.arange(len(row)) - shown.offsets[row]
        chance = (
            market.position_bias[place] * market.relevance(codes[row], shown.item) * (stock[shown.item] > 0)
        )
        clicks[name].append(1_000 * chance.sum() / len(users))
        gone[name].append(100 * float((stock[shown.item] == 0).mean()))

# %%
fig, panels = plt.subplots(2, 1, figsize=(6.4, 4.8), sharex=True, layout="constrained")
titles = ("clicks of 1,000 visits", "% of places with goods that are sold out")
for ax, figures, title in zip(panels, (clicks, gone), titles, strict=True):
    for color, (name, values) in zip(("C1", "C0"), figures.items(), strict=True):
        ax.plot(days, values, marker="o", color=color, label=name)
    ax.set_title(title, loc="left", fontsize=11)
    ax.set_ylim(0, 1.15 * max(max(values) for values in figures.values()))
panels[0].legend(frameon=False, loc="lower right", ncols=2)
panels[1].set_xticks(list(days), ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun", "Mon"])
plt.show()
