"""
Drift: two columns of four have moved
=====================================

A profile of the training data is kept with the model. Each day's requests are held against it.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

from recokit.monitoring import DriftMonitor, ReferenceProfile

rng = np.random.default_rng(0)


def day(number):
    """Return what 500 requests of a day saw: prices jump on day 8, a country comes up slowly."""
    share = 0.1 + 0.03 * number
    return {
        "price": rng.lognormal(3.0 + (0.35 if number >= 8 else 0.0), 0.4, 500),
        "age_days": rng.exponential(30, 500),
        "country": rng.choice(["DE", "FR", "NL"], 500, p=[0.6 - share / 2, 0.4 - share / 2, share]),
        "device": rng.choice(["app", "web"], 500, p=[0.7, 0.3]),
    }


usual = [day(0) for _ in range(10)]
profile = ReferenceProfile.of({name: np.concatenate([one[name] for one in usual]) for name in usual[0]})

# %%
# Each day on its own: ``check`` answers what moved, and by how much.
monitor = DriftMonitor(profile)
days, history = range(1, 15), []
for number in days:
    observed = day(number)
    report = monitor.check(observed)
    history.append((observed, report.drifted))
print(report)

# %%
fig, panels = plt.subplots(2, 2, figsize=(7.2, 4.4), sharex=True, layout="constrained")
means = {
    "price": lambda values: np.mean(values),
    "age_days": lambda values: np.mean(values),
    "country": lambda values: 100 * np.mean(values == "NL"),
    "device": lambda values: 100 * np.mean(values == "app"),
}
units = {
    "price": "mean price",
    "age_days": "mean age, days",
    "country": "% from NL",
    "device": "% in the app",
}
for ax, (name, figure) in zip(panels.flat, means.items(), strict=True):
    values = np.array([figure(observed[name]) for observed, _ in history])
    flagged = np.array([name in drifted for _, drifted in history])
    ax.axhline(figure(np.concatenate([one[name] for one in usual])), color="0.6", linestyle="--", linewidth=1)
    ax.plot(days, values, color="0.45")
    ax.scatter(np.array(days)[flagged], values[flagged], color="C1", zorder=3)
    ax.set_title(f"{units[name]}: {flagged.sum()} days flagged", loc="left", fontsize=10)
    ax.set_ylim(0, 1.35 * values.max())
for ax in panels[1]:
    ax.set_xlabel("day")
plt.show()
