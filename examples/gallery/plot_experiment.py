"""
An A/B test, and interleaving
=============================

Two pipelines serve the same shop. A test of users needs thousands; interleaving both in one list needs far fewer.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

import recokit as rk
from recokit import candidates, experiments as ex
from recokit.data import DAY

market = rk.datasets.make_marketplace(2_500, 60, seed=5)
start = rk.data.timestamp("2025-01-25")
known = market.dataset.before(start)
old = rk.Pipeline([candidates.Popular()]).fit(known)
new = rk.Pipeline([candidates.PopularInCategory()], fallback=candidates.Popular()).fit(known)
everybody = market.dataset.user_ids.ids


def clicks_on(answer, come, rng):
    """Return the rows and places that are clicked, by the marketplace's truth."""
    row = np.repeat(np.arange(len(come)), np.diff(answer.offsets))
    place = np.arange(len(row)) - answer.offsets[row]
    chance = market.position_bias[place] * market.relevance(come[row] + 1, answer.item)
    return row, rng.random(len(row)) < chance


# %%
# Two weeks, 1,000 visits a day; a user's arm follows from the user's name.
exposures, parts, rng = [], [], np.random.default_rng(1)
test = ex.Experiment("by-category", {"control": old, "new": new})
log = ex.Exposures(exposures.extend)
served = ex.Served(test, observers=[log])
for now in start + DAY * (np.arange(14) + 0.4):
    come = rng.choice(len(everybody), 1_000, replace=False)
    row, clicked = clicks_on(served.recommend(everybody[come].tolist(), k=5, now=now), come, rng)
    parts.append((everybody[come], np.full(len(come), now), np.bincount(row, clicked, minlength=len(come))))
log.flush()
events = dict(
    zip(("user_id", "timestamp", "clicks"), map(np.concatenate, zip(*parts, strict=True)), strict=True)
)
report = ex.analyze(exposures, events, primary="clicks", reading=ex.GroupSequential(looks=14))
print(report)

# %%
# Interleaving: each of 300 users sees both pipelines in one list, and clicks vote.
lists = []
mixed = ex.Interleaved({"old": old, "new": new}, by="team_draft", log=lists.extend)
come = np.arange(300)
answer = mixed.recommend(everybody[come].tolist(), k=5, now=start)
row, clicked = clicks_on(answer, come, rng)
votes = ex.preference(
    lists,
    {
        "user_id": everybody[come][row[clicked]],
        "item_id": answer.item_ids.decode(answer.item[clicked]),
        "timestamp": np.full(int(clicked.sum()), start + 60.0),
    },
)
print(votes)

# %%
# The boundary: only beyond it may a test that is looked at every day be stopped.
curve = report.curves[0]
value = np.array([one.value for one in curve.differences])
reach = np.array(curve.reaches) * np.array([one.error for one in curve.differences])
looks = (np.array(curve.times) - start) / DAY
fig, ax = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
ax.fill_between(looks, value - reach, value + reach, alpha=0.15)
ax.plot(looks, value, marker="o", markersize=4)
ax.axhline(0, color="0.4", linewidth=1)
clear = np.flatnonzero(value - reach > 0)
if len(clear):
    first = clear[0]
    ax.annotate(
        f"beyond the boundary: day {looks[first]:.0f}",
        (looks[first], value[first] - reach[first]),
        xytext=(12, -26),
        textcoords="offset points",
        arrowprops={"arrowstyle": "->", "color": "0.4"},
    )
ax.set(xlabel="day of the test", ylabel="more clicks of a user, new - control")
ax.set_title("May it be stopped? Looked at every day", loc="left")
plt.show()
