"""
From exploration to off-policy evaluation
=========================================

Lists drawn at random, with their probabilities logged, tell what another pipeline would have earned.
"""

# %%
# The old pipeline explores; its log has the propensity of each place.
import matplotlib.pyplot as plt
import numpy as np

import recokit as rk
from recokit import candidates, exploration, off_policy
from recokit.debias import ImpressionLog

market = rk.datasets.make_marketplace(300, 25, seed=1)
cut = float(np.median(market.impressions.timestamp))
before = market.dataset.before(cut)
N = 800


def policy(temperature):
    """Return a pipeline that draws from its list."""
    return rk.Pipeline([candidates.Popular(), exploration.Softmax(temperature=temperature)]).fit(before)


def serve(pipeline, n, start):
    """Serve lists of two, each with a seed of its own; users click by the truth."""
    rng, parts = np.random.default_rng(start), []
    for number in range(start, start + n):
        user = int(rng.integers(1, market.dataset.n_users + 1))
        made = pipeline.recommend([f"user-{user}"], k=2, now=cut + 60.0 * (number - start + 1), seed=number)
        worth = market.position_bias[:2] * market.relevance(user, made.item)
        parts.append((user, made.item, rng.random(2) < worth, made.columns["propensity"], worth.sum()))
    return parts


parts = serve(policy(1.0), N, 1)
log = ImpressionLog(
    user=np.repeat([part[0] for part in parts], 2),
    item=np.concatenate([part[1] for part in parts]),
    timestamp=np.repeat(cut + 60.0 * np.arange(1, N + 1), 2),
    position=np.tile([1, 2], N),
    label=np.concatenate([part[2] for part in parts]).astype(np.float32),
    group=np.repeat(np.arange(N), 2),
    propensity=np.concatenate([part[3] for part in parts]),
)

# %%
# Three candidates that were never served, judged by that log alone; then the truth, which a shop never has.
temperatures = [2.0, 0.6, 0.4]
found = [off_policy.counterfactual(policy(t), log, ["SNRIPS"])["SNRIPS"] for t in temperatures]
truth = [np.mean([part[4] for part in serve(policy(t), 400, 10_000)]) for t in temperatures]
served = log.label.sum() / N

# %%
fig, ax = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
for place, (one, true) in enumerate(zip(found, truth, strict=True)):
    ax.plot([one.low, one.high], [place, place], color="C0", linewidth=3, alpha=0.5)
    ax.plot(one.value, place, "o", color="C0", label="estimate from the old log" if not place else None)
    ax.plot(true, place, "D", color="C1", label="truth" if not place else None)
ax.axvline(served, color="0.6", linestyle="--", linewidth=1)
ax.annotate("served", (served, 2.45), xytext=(4, 0), textcoords="offset points", color="0.4")
ax.set_yticks(range(3), [f"temperature {t:g}" for t in temperatures])
ax.set(xlabel="clicks of a request", ylim=(-0.5, 2.8))
ax.legend(frameon=False, loc="lower right")
ax.set_title("What would they have earned?", loc="left")
plt.show()
