"""Exposure of sellers over 10,000 requests, with and without amortised fairness: `python -m benchmarks.fairness`.

The contest: 20 sellers of 8 to 25 items that users like nearly equally, with a probability of 0.5 and standard
deviations of 0.015 between sellers, items and users. Small differences decide who is on top, and so a ranker by
relevance alone gives most exposure to few. The price of fairness grows with these differences: it is also told for
twice as large ones, and for the generated marketplace, whose sellers have 4 to 63 items and whose users differ much in
taste.

Requests come one after the other, each with 100 random items to choose from. The ranker is a perfect one: its scores
are the true probabilities of a click. So NDCG with these as gains is 1 without fairness, and its price is seen exactly.
In the middle the ledger is saved, thrown away and loaded.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks._harness import Check, report
from recokit.data import Candidates, Vocabulary
from recokit.datasets import make_marketplace
from recokit.diversity import ExposureLedger, FairExposure
from recokit.metrics import exposure_gap
from recokit.slates import select

__all__ = ["Outcome", "World", "contest", "main", "marketplace", "run", "simulate"]

K, ELIGIBLE = 10, 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--strength", type=float, default=0.1)
    parser.add_argument(
        "--plot", type=Path, help="where to draw shares of exposure and merit, such as fairness.png"
    )
    options = parser.parse_args()
    checks = run(options.requests, options.strength, options.plot)
    report("fairness", checks, {"requests": options.requests, "strength": options.strength})


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a simulation came to.

    Parameters
    ----------
    ndcg : float
        Mean NDCG@10 with true relevance as gains.
    exposure, merit : ndarray of float64, shape (S,)
        Shares of the sellers.
    path : ndarray of float64, shape (T, 2)
        Requests served, and the largest gap then.
    """

    ndcg: float
    exposure: NDArray[np.float64]
    merit: NDArray[np.float64]
    path: NDArray[np.float64]

    @property
    def gap(self) -> NDArray[np.float64]:
        """How far each seller's share of exposure is from its share of merit, as a part of the latter."""
        return exposure_gap(self.exposure, self.merit)


@dataclass(frozen=True, eq=False)
class World:
    """Sellers by item, and how relevant items are to a user drawn at random: ``relevance(rng, items)``."""

    seller: NDArray[np.object_]
    relevance: Callable[[np.random.Generator, NDArray[np.int64]], NDArray[np.float64]]


def contest(seed: int = 0, spread: float = 0.015) -> World:
    rng = np.random.default_rng(seed)
    seller = np.repeat(np.arange(20), rng.integers(8, 26, 20))
    liked = 0.5 + rng.normal(0, spread, 20)[seller] + rng.normal(0, spread, len(seller))
    return World(
        np.array([f"seller-{code}" for code in seller], object),
        lambda rng, items: np.clip(liked[items - 1] + rng.normal(0, spread, len(items)), 0, 1),
    )


def marketplace(seed: int = 0) -> World:
    market = make_marketplace(500, 300, seed=seed, n_sellers=20, sessions_per_user=1.0)
    codes = market.dataset.items.column("seller")[1:]
    return World(
        market.dataset.items.labels("seller").ids[codes - 1].astype(object),
        lambda rng, items: market.relevance(int(rng.integers(1, 501)), items),
    )


def simulate(
    world: World,
    n_requests: int,
    *,
    strength: float,
    merit: str = "mean",
    restart: tuple[int, Path] | None = None,
    seed: int = 0,
) -> Outcome:
    """Serve requests one by one; at ``restart`` the ledger goes through a folder, as when a process ends."""
    rng, n_items = np.random.default_rng(seed), len(world.seller)
    ledger = ExposureLedger(Vocabulary(np.arange(1, n_items + 1)), world.seller, merit=merit)
    discount = 1 / np.log2(np.arange(K) + 2)
    ndcg, path = np.empty(n_requests), []
    for request in range(n_requests):
        if restart is not None and request == restart[0]:
            ledger.save(restart[1])
            del ledger
            ledger = ExposureLedger.load(restart[1])
        items = 1 + rng.permutation(n_items)[:ELIGIBLE]
        relevance = world.relevance(rng, items)
        batch = Candidates.from_lists([items.tolist()], scores=[relevance.tolist()])
        chosen = select(batch, np.array([K]), objective=FairExposure(ledger, strength), pool=ELIGIBLE)
        ledger.count(batch.take(chosen.offsets, chosen.index), batch)
        ndcg[request] = relevance[chosen.index] @ discount / (np.sort(relevance)[: -K - 1 : -1] @ discount)
        if request % 100 == 99:
            path.append((request + 1, np.abs(_outcome(ledger, 0.0, []).gap).max()))
    return _outcome(ledger, float(ndcg.mean()), path)


def _outcome(ledger: ExposureLedger, ndcg: float, path: list[tuple[int, float]]) -> Outcome:
    now = ledger.pin()[1]
    exposure, merit = now.exposure[1:], now.target[1:]
    return Outcome(ndcg, exposure / exposure.sum(), merit / merit.sum(), np.array(path).reshape(-1, 2))


def run(n_requests: int, strength: float, plot: Path | None = None) -> list[Check]:
    world = contest()
    with tempfile.TemporaryDirectory() as folder:
        restart = (n_requests // 2, Path(folder) / "ledger")
        fair = simulate(world, n_requests, strength=strength, restart=restart)
    through = simulate(world, n_requests, strength=strength)
    plain = simulate(world, n_requests, strength=0.0)
    if plot is not None:
        draw(plain, fair, plot)
    return [
        Check.at_most(
            "contest: largest gap of a seller's exposure to its merit", np.abs(fair.gap).max(), 0.05
        ),
        Check.at_most("contest: NDCG@10 that it costs", 1 - fair.ndcg / plain.ndcg, 0.02),
        Check.at_most("contest: difference to a run without a restart", _apart(fair, through), 0.0),
        Check.at_least("contest: largest gap by relevance alone", np.abs(plain.gap).max(), 0.5),
        Check.info("contest: exposure of the 5 sellers shown most, relevance alone", _top(plain.exposure)),
        Check.info("contest: exposure of the 5 sellers shown most", _top(fair.exposure)),
        Check.info("contest: merit of the 5 sellers with most", _top(fair.merit)),
        *other_checks(n_requests // 4, strength),
    ]


def other_checks(n_requests: int, strength: float) -> list[Check]:
    """Return what fairness does where it is dearer: no goals, the price is the world's."""
    market, checks = marketplace(), []
    for name, world, merit in (
        ("contest, twice the differences", contest(spread=0.03), "mean"),
        ("marketplace", market, "mean"),
        ("marketplace, merit='sum'", market, "sum"),
    ):
        plain, fair = (simulate(world, n_requests, strength=each, merit=merit) for each in (0.0, strength))
        checks += [
            Check.info(f"{name}: largest gap by relevance alone", np.abs(plain.gap).max()),
            Check.info(f"{name}: largest gap", np.abs(fair.gap).max()),
            Check.info(f"{name}: NDCG@10 that it costs", 1 - fair.ndcg / plain.ndcg),
        ]
    return checks


def _apart(one: Outcome, other: Outcome) -> float:
    return float(np.abs(one.exposure - other.exposure).max())


def _top(share: NDArray[np.float64]) -> float:
    return float(np.sort(share)[-5:].sum())


def draw(plain: Outcome, fair: Outcome, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[3, 2])
    order = np.argsort(-fair.merit)
    place = np.arange(len(order))
    left.bar(place - 0.21, plain.exposure[order], 0.42, color="#c2793d", label="exposure, relevance alone")
    left.bar(place + 0.21, fair.exposure[order], 0.42, color="#1f5fa8", label="exposure, FairExposure")
    left.plot(place, fair.merit[order], "k_", markersize=15, markeredgewidth=2, label="merit")
    left.set(xlabel="sellers, by merit", ylabel="share", xticks=[])
    left.legend(frameon=False)
    for outcome, colour, name in ((plain, "#c2793d", "relevance alone"), (fair, "#1f5fa8", "FairExposure")):
        right.plot(*outcome.path.T, color=colour, label=name)
    right.axhline(0.05, color="0.5", linestyle="--", linewidth=1, label="5%")
    right.set(xlabel="requests", ylabel="largest gap of a seller", yscale="log", ylim=(1e-4, None))
    right.legend(frameon=False)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
