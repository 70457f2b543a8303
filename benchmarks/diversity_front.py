"""What diversity costs on ml-100k: `python -m benchmarks.diversity_front`; `--plot front.png` draws it.

At cuts in time a pipeline (EASE, popularity for the rest, nothing seen before) is fitted on what was before and makes
its candidates for the users of the next week. Cuts before 1998-01-01 are the validation part: there each
objective's trade-off is chosen, the most diverse one that keeps 95% of the NDCG@10 of relevance alone. Later cuts are
the test part. Diversity is the mean over pairs of 1 - cosine of genres.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import recokit as rk
from benchmarks._data import folder
from benchmarks._harness import Check, report
from recokit import candidates, rankers, rules
from recokit.data import Candidates, Ragged
from recokit.datasets import load_movielens
from recokit.diversity import DPP, MMR, MSD, Calibration, FacilityLocation, Proportional, TopK, XQuAD
from recokit.metrics import NDCG, IntraListDiversity, MatchedLists
from recokit.slates import select

__all__ = ["Front", "Lists", "front", "lists_at", "main", "run"]

K, DAY, KEEP = 10, 86_400.0, 0.95
CUTS = np.arange(np.datetime64("1997-11-01"), np.datetime64("1998-04-17"), 7)
TEST_FROM = np.datetime64("1998-01-01")
TRADE_OFFS = (1.0, 0.99, 0.97, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cuts", type=int, default=len(CUTS), help="so many cuts, spread evenly")
    parser.add_argument("--plot", type=Path, help="where to draw the fronts")
    options = parser.parse_args()
    report("diversity_front", run(options.cuts, options.plot), {"cuts": options.cuts})


@dataclass(frozen=True, eq=False)
class Lists:
    """Scored candidates of requests, and what their users rated in the week after."""

    batch: Candidates
    truth: Ragged


@dataclass(frozen=True, eq=False)
class Front:
    """NDCG@10 and diversity (T,) of each trade-off on the test part, and the place of the one chosen on validation."""

    trade_offs: tuple[float, ...]
    ndcg: NDArray[np.float64]
    diversity: NDArray[np.float64]
    chosen: int


def lists_at(data: Any, cut: float) -> Lists:
    """Return the candidates of the users who rate something in the week after a cut."""
    train, log = data.before(cut), data.interactions
    later = (log.timestamp >= cut) & (log.timestamp < cut + 7 * DAY)
    users = np.unique(log.user[later])
    merged = candidates.Merge([candidates.EASE(), candidates.Popular(half_life="60D")], limit=300)
    ranker = rankers.Weighted({"ease_score": 1.0, "popular_score": 1e-9})
    pipeline = rk.Pipeline([merged, rules.NotSeen(), ranker]).fit(train)
    ids = data.user_ids.decode(users)
    batch = pipeline.candidates(pipeline.requests(ids.tolist(), k=K, now=cut))
    # The training part has fewer items and other codes: from here on those of the whole.
    code = np.concatenate([[0], data.item_ids.encode(pipeline.schema.item_ids.ids)])
    past = batch.requests.ragged["history"]
    requests = rk.Requests.build(
        users, k=K, now=cut, ragged={"history": Ragged(past.offsets, code[past.values])}
    )
    moved = rk.Candidates(requests, batch.offsets, batch.row, code[batch.item], batch.score, batch.sources)
    order = np.argsort(log.user[later], kind="stable")
    counts = np.bincount(log.user[later], minlength=data.n_users + 1)[users]
    return Lists(moved, Ragged(np.concatenate([[0], np.cumsum(counts)]), log.item[later][order]))


def judge(
    lists: list[Lists], objective: Any, by: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return NDCG@10 and diversity of each list."""
    found = []
    for part in lists:
        chosen = select(part.batch, np.full(part.batch.n_rows, K), objective=objective)
        matched = MatchedLists.from_arrays(
            chosen.offsets, part.batch.item[chosen.index], part.truth.offsets, part.truth.values
        )
        found.append((NDCG(K).per_user(matched), IntraListDiversity(K, by=by).per_user(matched)))
    ndcg, diversity = zip(*found, strict=True)
    return np.concatenate(ndcg), np.concatenate(diversity)


def front(
    objectives: Mapping[float, Any], tune: list[Lists], test: list[Lists], by: NDArray[np.float64]
) -> Front:
    """Choose a trade-off on the validation part, and judge all of them on the test part."""
    tuned = np.array([[part.mean() for part in judge(tune, each, by)] for each in objectives.values()])
    allowed = tuned[:, 0] >= KEEP * judge(tune, TopK(), by)[0].mean()
    chosen = int(np.where(allowed, tuned[:, 1], -1).argmax())
    tested = np.array([[part.mean() for part in judge(test, each, by)] for each in objectives.values()])
    return Front(tuple(objectives), tested[:, 0], tested[:, 1], chosen)


def run(n_cuts: int, plot: Path | None = None) -> list[Check]:
    data = load_movielens(folder() / "ml-100k")
    cuts = CUTS[np.unique(np.linspace(0, len(CUTS) - 1, n_cuts).round().astype(int))]
    made = [lists_at(data, cut.astype("datetime64[s]").astype(float)) for cut in cuts]
    tune = [part for part, cut in zip(made, cuts, strict=True) if cut < TEST_FROM]
    test = [part for part, cut in zip(made, cuts, strict=True) if cut >= TEST_FROM]
    names = np.array(["", *data.items.labels("genres").ids])[data.items.column("genres")]
    kinds = sorted({genre for several in names.tolist() for genre in several.split("|") if genre})
    genres = np.array([[genre in several.split("|") for genre in kinds] for several in names.tolist()], float)

    objectives: dict[str, Any] = {
        **{kind.__name__: kind_by(kind, vectors=genres) for kind in (MMR, MSD, DPP, FacilityLocation)},
        **{kind.__name__: kind_by(kind, names, separator="|") for kind in (Calibration, XQuAD, Proportional)},
    }
    fronts = {name: front(each, tune, test, genres) for name, each in objectives.items()}
    plain = [part.mean() for part in judge(test, TopK(), genres)]
    if plot is not None:
        draw(fronts, plain, plot)
    checks = [
        Check.info("candidate lists, validation", sum(part.batch.n_rows for part in tune)),
        Check.info("candidate lists, test", sum(part.batch.n_rows for part in test)),
        Check.info("relevance alone: NDCG@10", plain[0]),
        Check.info("relevance alone: diversity", plain[1]),
    ]
    for name, found in fronts.items():
        at = found.chosen
        more = found.diversity[at] / plain[1] - 1
        checks += [
            Check.info(f"{name}: trade-off", found.trade_offs[at]),
            Check.info(f"{name}: NDCG@10", found.ndcg[at]),
            Check.info(f"{name}: NDCG@10 that it costs", 1 - found.ndcg[at] / plain[0]),
            # The last three have another aim than different pairs.
            Check.at_least(f"{name}: diversity, more by", more, 0.02) if name in ("MMR", "MSD", "DPP")
            else Check.info(f"{name}: diversity, more by", more),
        ]  # fmt: skip
    return checks


def kind_by(kind: Any, *args: Any, **options: Any) -> dict[float, Any]:
    """Return an objective of a kind at each trade-off."""
    return {trade_off: kind(*args, trade_off=trade_off, **options) for trade_off in TRADE_OFFS}


def draw(fronts: Mapping[str, Front], plain: list[float], path: Path) -> None:
    from matplotlib.figure import Figure

    axes = Figure(figsize=(7.5, 5), layout="constrained").add_subplot()
    colours = ("#1f5fa8", "#c2793d", "#3d8f5f", "#7d4fa3", "#999999", "#b8a000", "#b03060")
    for (name, found), colour in zip(fronts.items(), colours, strict=True):
        axes.plot(found.diversity, found.ndcg, color=colour, marker=".", linewidth=1, label=name)
        at = found.chosen
        axes.plot(
            found.diversity[at], found.ndcg[at], "o", color=colour, markersize=9, markeredgecolor="black"
        )
    axes.plot(plain[1], plain[0], "k*", markersize=14, label="relevance alone")
    axes.set(xlabel="diversity of genres in the list", ylabel="NDCG@10", ylim=(0, None))
    axes.set_title(
        "ml-100k, test part: a point for each trade-off, the one chosen on validation ringed", fontsize=10
    )
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=9)
    axes.figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
