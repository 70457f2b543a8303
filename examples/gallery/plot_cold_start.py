"""
Cold start: what a few clicks are worth
=======================================

An anonymous visitor has no history, only this visit. How much better does the list become with each click?
"""

# %%
# The marketplace knows how much each user likes each item, so the lists can be judged by the truth.
import matplotlib.pyplot as plt
import numpy as np

import recokit as rk
from recokit import candidates

market = rk.datasets.make_marketplace(n_users=1_500, n_items=200, seed=4)
data, until = market.dataset, market.dataset.until
log = data.interactions

# %%
# Sources in order: neighbours of what was clicked, what is popular in those categories, what is popular.
sources = candidates.FirstOf(
    [candidates.ItemKNN(), candidates.PopularInCategory(), candidates.Popular()], min_items=10
)
pipeline = rk.Pipeline([sources]).fit(data)
popular = rk.Pipeline([candidates.Popular()]).fit(data)

# %%
# 200 visitors whose clicks we know; they come back without an account, and we show the model the first n of them.
# What was clicked is not shown again, so that both lists lose good items as n grows.
clicks = log.event == log.event_names.index("click")
liked = {user: list(dict.fromkeys(log.item[clicks & (log.user == user)]))[:8] for user in range(1, 500)}
visitors = [user for user, items in liked.items() if len(items) >= 5][:200]


def relevance(runner, n_clicks):
    """Return the mean probability of a click over the ten items shown, for each visitor."""
    session = [data.item_ids.decode(np.array(liked[user][:n_clicks], np.int64)).tolist() for user in visitors]
    seen = session if n_clicks else None
    shown = runner.recommend([None] * len(visitors), k=10, session=session, exclude=seen, now=until)
    return np.array([market.relevance(user, shown.codes(row)).mean() for row, user in enumerate(visitors)])


counts = [0, 1, 2, 3, 4, 5]
by_clicks = [relevance(pipeline, n) for n in counts]
baseline = [relevance(popular, n) for n in counts]

# %%
fig, ax = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
for values, name, color in ((by_clicks, "by the visit", "C0"), (baseline, "popular", "C1")):
    mean = np.array([value.mean() for value in values])
    error = np.array([1.96 * value.std() / np.sqrt(len(value)) for value in values])
    ax.fill_between(counts, mean - error, mean + error, alpha=0.15, color=color)
    ax.plot(counts, mean, marker="o", color=color)
    ax.annotate(name, (counts[-1], mean[-1]), xytext=(8, -3), textcoords="offset points", color=color)
ax.set(xlabel="clicks known of the visit", ylabel="true chance of a click, mean of 10", xlim=(-0.2, 6.2))
ax.set_title("What the first clicks of a stranger are worth", loc="left")
plt.show()
