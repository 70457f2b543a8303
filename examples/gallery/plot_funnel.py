"""
The funnel of a population
==========================

How many candidates come in, what each rule takes, what is shown: of one request, or of two hundred.
"""

# %%
import matplotlib.pyplot as plt

import recokit as rk
from recokit import candidates, diversity, features, rankers, rules

market = rk.datasets.make_marketplace(n_users=300, n_items=150, seed=1)
data = market.dataset
pipeline = rk.Pipeline(
    [
        candidates.Merge([candidates.History(), candidates.ItemKNN(), candidates.Popular()], limit=100),
        rules.InStock(market.stock_at(data.until)),
        rules.NotOwned(except_for="consumable"),
        rules.Where("not item.recalled"),
        features.Standard(),
        rankers.LogisticRegression(),
        rules.MaxPerGroup("seller", 3, within=10),
        diversity.MMR(0.8),
    ]
).fit(data, label_window="7D", windows=1)

# %%
# Every run leaves a trace; ``funnel`` has one record for each stage.
users = data.user_ids.ids[:200].tolist()
trace = pipeline.recommend(users, k=10, now=data.until).trace
steps = [step for step in trace.funnel() if step["role"] in ("fusion", "filter", "selection")]
print(*steps, sep="\n")

# %%
# Filters are asked together, so that each counts all that it would take; an item that two refuse is counted twice.
filters = [step for step in steps if step["role"] == "filter"]
selection = next(step for step in steps if step["role"] == "selection")
found = filters[0]["n_in"] / len(users)
bars, left = [("found", 0.0, found, f"{found:.0f} candidates")], found
for step in filters:
    taken = step["removed"] / len(users)
    left -= taken
    bars.append((step["name"], left, taken, f"takes {taken:.1f}"))
ranked, shown = selection["n_in"] / len(users), selection["n_out"] / len(users)
bars += [("ranked", 0.0, ranked, f"{ranked:.1f}"), ("shown", 0.0, shown, f"{shown:.0f}")]

fig, ax = plt.subplots(figsize=(6.8, 3.6), layout="constrained")
for place, (_, start, width, text) in enumerate(bars):
    ax.barh(place, width, left=start, color="C0" if start == 0 else "C1")
    ax.text(start + width + 1, place, text, va="center")
ax.set_yticks(range(len(bars)), [name for name, *_ in bars])
ax.invert_yaxis()
ax.set(xlabel="candidates of a request, mean of 200", xlim=(0, 1.3 * found))
ax.set_title("Where the candidates go", loc="left")
plt.show()
