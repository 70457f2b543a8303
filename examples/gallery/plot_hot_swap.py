"""
A new model under traffic
=========================

A service answers while another version takes over. No request fails, and each says which model made it.
"""

# %%
import threading
import time

import matplotlib.pyplot as plt
import numpy as np

import recokit as rk
from recokit import candidates, rules, serving

data = rk.datasets.make_marketplace(500, 200, seed=2).dataset


def version(half_life):
    """Return a fitted pipeline, a version of the same service."""
    stages = [
        candidates.Merge([candidates.ItemKNN(), candidates.Popular(half_life=half_life)]),
        rules.NotOwned(),
    ]
    return rk.Pipeline(stages, clock=lambda: data.until).fit(data)


old, new = version("60D"), version("7D")
service = serving.Service(old, fallback=serving.Precomputed.of(old), budget_ms=2_000).start()

# %%
# Two threads ask without pause; after a second the new version comes.
users, answers, done = data.user_ids.ids, [], threading.Event()
began = time.perf_counter()


def ask(seed):
    """Ask for users at random until told to stop."""
    rng = np.random.default_rng(seed)
    while not done.is_set():
        asked = time.perf_counter()
        answer = service.recommend_now(str(rng.choice(users)), k=10)
        answers.append((asked - began, time.perf_counter() - asked, answer.fingerprint, len(answer.ids())))
        time.sleep(0.002)


threads = [threading.Thread(target=ask, args=(seed,)) for seed in (1, 2)]
for thread in threads:
    thread.start()
time.sleep(1.0)
swap_began = time.perf_counter() - began
service.swap(new, "new")
swap_ended = time.perf_counter() - began
time.sleep(1.0)
done.set()
for thread in threads:
    thread.join()
service.drain()

# %%
asked, took, model, length = map(np.array, zip(*answers, strict=True))
assert (length > 0).all()
fig, ax = plt.subplots(figsize=(6.8, 3.6), layout="constrained")
for fingerprint, name, color in ((old.fingerprint, "old", "C0"), (new.fingerprint, "new", "C1")):
    mine = model == fingerprint
    label = f"{name}: {mine.sum():,} answers"
    ax.scatter(asked[mine], 1e3 * took[mine], s=8, alpha=0.5, color=color, label=label)
ax.axvspan(swap_began, swap_ended, color="0.88", zorder=0)
ax.text(swap_began, 0.97, "swap ", transform=ax.get_xaxis_transform(), ha="right", va="top", color="0.4")
ax.set(xlabel="seconds", ylabel="milliseconds of a request", ylim=(0, 1.4e3 * np.quantile(took, 0.99)))
ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(0, 0.95), markerscale=2)
ax.set_title("A swap, and no request lost", loc="left")
plt.show()
