"""Metrics against other libraries: `python -m benchmarks.metric_agreement [--rounds 40]`.

Random and adversarial inputs (graded labels, short lists, tied scores, users without a list, lists without a truth,
more relevant items than places) go to ranx, pytrec_eval, ir-measures, RecTools, LensKit, RecBole and implicit; the
preset of each must give the value of every user, and the mean, to 1e-9. The peers need an environment of their own,
see requirements-metric-peers.txt: set RECOKIT_PEERS_PYTHON to its interpreter. A peer that is not there fails its
check.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import _metric_peers
from benchmarks._harness import Check, report
from recokit.metrics import MatchedLists, UserMetric, parse, preset

__all__ = ["difference", "implicit_difference", "made"]

#: Lists up to this long: ranx keeps the order of equal scores in no longer ones.
SHORT = 15


def made(seed: int, *, n_users: int = 60, ties: bool = False) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return lists and truth as columns; users come in any order, the items of a list best first."""
    rng = np.random.default_rng(seed)
    n_items = int(rng.integers(15, 80))
    longest = SHORT if ties else int(rng.integers(1, 60))
    listed, matched = rng.random((2, n_users)) < 0.85
    listed[:2], matched[:2] = (True, False), (True, True)  # in every round: one with both, one without a list
    shown, relevant = [], []
    for user in rng.permutation(n_users):
        items = rng.permutation(n_items) + 1
        if listed[user]:
            length = int(rng.integers(1, min(longest, n_items) + 1))
            step = rng.integers(0, 2, length) if ties else 1 + rng.random(length)
            score = 1000.0 - np.cumsum(step)
            shown.append([np.full(length, user), items[:length], np.arange(1, length + 1), score])
        if matched[user]:
            many = int(rng.integers(1, min(30, n_items) + 1))
            picked = rng.permutation(n_items + 10)[:many] + 1  # some stand in no catalogue
            relevant.append([np.full(many, user), picked, rng.integers(1, 5, many)])
    columns = [np.concatenate(part) for part in zip(*shown, strict=True)]
    wanted = [np.concatenate(part) for part in zip(*relevant, strict=True)]
    return (
        dict(zip(("user", "item", "rank", "score"), columns, strict=True)),
        dict(zip(("user", "item", "gain"), wanted, strict=True)),
    )


def difference(
    peer: str, lists: dict[str, Any], truth: dict[str, Any], k: int, p: float = 0.8
) -> tuple[float, int]:
    """Return the largest difference to a peer, of users and of means, and how many values were compared."""
    call, name = _metric_peers.PEERS[peer]
    theirs = call(lists, truth, k, p)
    own = preset(name)
    frame = {key: lists[key] for key in ("user", "item", "score" if peer in _SCORED else "rank")}
    wanted = {"user": truth["user"], "item": truth["item"], "weight": truth["gain"]}
    matched = MatchedLists.from_frames(frame, wanted, ties=own.ties)
    assert matched.users is not None
    worst, n = 0.0, 0
    for asked, values in theirs.items():
        metric = parse(asked if ":" in asked else f"{asked}:{name}")
        assert isinstance(metric, UserMetric)
        ours = dict(zip(matched.users.tolist(), metric.per_user(matched).tolist(), strict=True))
        # A list without a truth is no user of ours; LensKit gives it 0.
        known = {user: v for user, v in values.items() if not np.isnan(ours[user])}
        worst = max([worst, *(abs(v - ours[user]) for user, v in known.items())])
        n += len(known)
        if ":" not in asked:
            mean = own.value(matched, asked) if peer != "ir-measures" else metric.value(matched)
            worst = max(worst, abs(float(np.mean(list(values.values()))) - mean))
    return worst, n


_SCORED = ("ranx", "pytrec_eval", "ir-measures")


def implicit_difference(seed: int, k: int) -> float:
    """Return the largest difference of the means to implicit, for full lists."""
    from scipy.sparse import csr_matrix

    rng = np.random.default_rng(seed)
    n_users, n_items = 50, 40
    items: NDArray[Any] = np.argsort(rng.random((n_users, n_items)), axis=1)[:, :k]
    truth = csr_matrix(rng.random((n_users, n_items)) < rng.random((n_users, 1)) * 0.5)
    truth.sort_indices()
    theirs = _metric_peers.implicit_metrics(items, truth, k)
    relevant = [truth.indices[a:b] for a, b in zip(truth.indptr[:-1], truth.indptr[1:], strict=True)]
    matched = MatchedLists.from_lists(items, relevant, n_items=n_items)
    own = preset("implicit")
    (precision,) = own.metrics([f"Precision@{k}"])
    assert isinstance(precision, UserMetric)
    ours = {name.lower(): own.value(matched, f"{name}@{k}") for name in ("NDCG", "MAP", "AUC")}
    ours["precision"] = _metric_peers.implicit_precision(precision.per_user(matched), matched.n_relevant, k)
    return max(abs(ours[name] - theirs[name]) for name in ours)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    _metric_peers.use_peers_python("benchmarks.metric_agreement")
    absent = _metric_peers.missing()
    print(f"not here: {', '.join(absent)}" if absent else "all peers are here")
    checks = []
    for peer in _metric_peers.PEERS:
        worst, n = np.nan, 0
        if peer.replace("-", "_") not in absent:
            worst = 0.0
            for seed in range(options.rounds):
                # Ties: RecTools, LensKit and RecBole take ranks, so they meet none.
                lists, truth = made(seed, ties=seed % 4 == 3)
                gap, compared = difference(peer, lists, truth, k=(1, 3, 10, 50)[seed // 4 % 4])
                worst, n = max(worst, gap), n + compared
        checks.append(Check.at_most(f"{peer}: largest difference of {n:,} values, and of means", worst, 1e-9))
    here = "implicit" not in absent
    worst = max(implicit_difference(seed, k) for seed in range(10) for k in (1, 5, 20)) if here else np.nan
    checks.append(Check.at_most("implicit: largest difference of means", worst, 1e-9))
    report("metric_agreement", checks)


if __name__ == "__main__":
    main()
