"""The parts that a suggestion is made of: sources for what was seen, and a ranker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from recokit import candidates, rankers
from recokit.compose.step import Step
from recokit.suggestion.look import Look

#: Most items that EASE is tried on: 260 MB and some ten seconds.
_EASE_ITEMS = 8_000


@dataclass(frozen=True, eq=False)
class Proposal:
    """A source to try, with what its fit and a thousand answers cost on one core, in seconds, roughly."""

    name: str
    make: Callable[[], Any]
    cost: float


def _popular(half_life: str | None) -> Proposal:
    name = "popular" if half_life is None else f"popular_{half_life.lower()}"
    return Proposal(name, lambda: Step(candidates.Popular(half_life=half_life), name=name), 0.2)


def proposals(look: Look) -> list[Proposal]:
    """Return the sources that may suit, the cheap ones first; all of them have names of their own."""
    found = [_popular(None)]
    if look.days:
        found += [_popular(half_life) for half_life in ("1D", "2D", "7D", "30D") if _fits(half_life, look)]
    if look.labels and "category" in look.labels:
        found.append(Proposal("popular_in_category", candidates.PopularInCategory, 0.5))
    if look.users < 20 or look.per_user < 1:
        return found
    millions = look.events / 1e6
    pairs = look.events * max(look.per_user, look.events / max(look.users, 1)) / 1e9
    if look.repeating:
        found += [
            Proposal("history", candidates.History, 1.0),
            Proposal("next_basket", candidates.NextBasket, 1.0 + 4 * millions + 40 * pairs),
        ]
    found.append(Proposal("item_knn", candidates.ItemKNN, 1.0 + 4 * millions + 20 * pairs))
    if look.days:
        recent = Step(candidates.ItemKNN(half_life="30D", max_history=20), name="item_knn_recent")
        found += [
            Proposal("item_knn_recent", lambda: recent, 1.0 + 4 * millions),
            Proposal("transitions", candidates.Transitions, 1.0 + 3 * millions),
            Proposal("session_knn", lambda: candidates.SessionKNN(max_history=10), 2.0 + 15 * millions),
        ]
    found += [
        Proposal("graph_filter", candidates.GraphFilter, 1.0 + 10 * millions + 20 * pairs),
        Proposal("user_knn", candidates.UserKNN, 1.0 + 30 * millions + 20 * pairs),
    ]
    if look.items <= _EASE_ITEMS:
        found.append(Proposal("ease", candidates.EASE, 1.0 + (look.items / 4000) ** 3 * 3))
    found.append(Proposal("ials", candidates.IALS, 2.0 + 40 * millions))
    return sorted(found, key=lambda one: one.cost)


def _fits(half_life: str, look: Look) -> bool:
    return 3 * float(half_life.removesuffix("D")) <= look.days


def ranker(strongest: str, share: float) -> Any:
    """Return boosted trees that count so much beside the score of the strongest source."""
    trees = rankers.LambdaMART(n_estimators=120, learning_rate=0.05, early_stopping=False)
    if share == 1.0:
        return trees
    own = rankers.Weighted({f"{strongest}_score": 1.0})
    return Step(rankers.Blend([trees, own], weights=[share, round(1 - share, 2)]), name="ranker")
