"""Interleaving: lists mixed of several arms' lists, and the credit that each arm gets for a click on an item.

Every function takes lists of distinct items, best first, how many places there are, and a generator. A click is worth
``credit[item, arm]`` to an arm; what an arm is worth more than another is the difference of their credits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from recokit.errors import ConfigurationError
from recokit.typing import FloatArray

#: Lists that an optimised mix chooses from, at most.
_CHOICES = 40
#: How fast the chance of an item falls with its rank in a probabilistic mix (Hofmann et al.).
_TAU = 3.0


class Mixed(NamedTuple):
    """A mixed list and the credit of each of its items, (n, A) float64."""

    items: list[int]
    credit: FloatArray


def team_draft(lists: Sequence[Sequence[int]], k: int, rng: np.random.Generator) -> Mixed:
    """Let arms pick their best item in turns, in a random order in each round; a click is worth 1 to who picked it.

    Radlinski, Kurup and Joachims, *How does clickthrough data reflect retrieval quality?*, 2008; with more than two
    arms team-draft multileaving (Schuth et al., 2014).

    Examples
    --------
    >>> team_draft([[1, 2], [3, 4]], 2, np.random.default_rng(0)).items
    [1, 3]
    """
    items, teams, taken, at = list[int](), list[int](), set[int](), [0] * len(lists)
    while len(items) < k:
        before = len(items)
        for arm in rng.permutation(len(lists)).tolist():
            own = lists[arm]
            while at[arm] < len(own) and own[at[arm]] in taken:
                at[arm] += 1
            if at[arm] < len(own) and len(items) < k:
                items.append(own[at[arm]])
                teams.append(arm)
                taken.add(own[at[arm]])
        if len(items) == before:
            break
    return Mixed(items, np.eye(len(lists))[teams].reshape(len(items), len(lists)))


def balanced(lists: Sequence[Sequence[int]], k: int, rng: np.random.Generator) -> Mixed:
    """Let two arms alternate from a random start, each adding its next item if it is new.

    Joachims, *Evaluating retrieval performance using clickthrough data*, 2003. A click is worth 1 to the arm that ranks
    the item higher, 1/2 to each where both rank it alike. Known to favour one of two lists that are shifts of each
    other; team draft does not.

    Raises
    ------
    ConfigurationError
        For more than two arms.
    """
    if len(lists) != 2:
        raise ConfigurationError(f"found {len(lists)} arms; expected two for by='balanced'")
    items, at, turn = list[int](), [0, 0], int(rng.integers(2))
    while len(items) < k and (at[0] < len(lists[0]) or at[1] < len(lists[1])):
        if at[turn] < len(lists[turn]):
            one = lists[turn][at[turn]]
            if one not in items:
                items.append(one)
            at[turn] += 1
        turn = 1 - turn
    rank = ranks(lists, items)
    first = (rank < rank[:, ::-1]).astype(np.float64)
    return Mixed(items, np.where(rank == rank[:, ::-1], 0.5, first))


def probabilistic(lists: Sequence[Sequence[int]], k: int, rng: np.random.Generator) -> Mixed:
    """Draw each place from a random arm, items with a chance that falls with their rank; also of many arms.

    Hofmann, Whiteson and de Rijke, *A probabilistic method for inferring preferences from clicks*, 2011. A click is
    worth to each arm the chance that it was the one that was drawn from.
    """
    known = sorted({item for own in lists for item in own})
    place = {item: i for i, item in enumerate(known)}
    weight = np.zeros((len(lists), len(known)))
    for arm, own in enumerate(lists):
        weight[arm, [place[item] for item in own]] = np.arange(1, len(own) + 1, dtype=np.float64) ** -_TAU
    items, credit = list[int](), list[FloatArray]()
    while len(items) < k and weight.any():
        total = weight.sum(axis=1)
        arms = np.flatnonzero(total > 0)
        chances = weight[arms] / total[arms, None]
        drawn = int(rng.choice(len(known), p=chances[rng.integers(len(arms))]))
        share = np.zeros(len(lists))
        share[arms] = chances[:, drawn] / chances[:, drawn].sum()
        items.append(known[drawn])
        credit.append(share)
        weight[:, drawn] = 0.0
    return Mixed(items, np.array(credit).reshape(len(items), len(lists)))


def optimised(lists: Sequence[Sequence[int]], k: int, rng: np.random.Generator) -> Mixed:
    """Draw one of the lists that arms could make by taking turns, with chances that favour no arm.

    Radlinski and Craswell, *Optimized interleaving for online retrieval evaluation*, 2013: whoever clicks without
    looking, down to any place, prefers no arm; of the chances that do so, those that vary least. A click is worth the
    mean rank of the item less its rank in the arm's list.
    """
    choices = allowed(lists, k, rng)
    chances = unbiased_chances(lists, choices)
    items = list(choices[int(rng.choice(len(choices), p=chances))])
    return Mixed(items, rank_credit(lists, items))


def allowed(lists: Sequence[Sequence[int]], k: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
    """Return the lists that arms can make by adding their next new item in any order of turns; some of many."""
    found: dict[tuple[int, ...], None] = {}
    if len(lists) ** k <= 8 * _CHOICES:
        _grow(lists, k, (), found)
    else:
        for _ in range(4 * _CHOICES):
            found[_turns(lists, k, rng)] = None
            if len(found) == _CHOICES:
                break
    return list(found)


def _grow(
    lists: Sequence[Sequence[int]], k: int, made: tuple[int, ...], found: dict[tuple[int, ...], None]
) -> None:
    following = {next((item for item in own if item not in made), None) for own in lists} - {None}
    if len(made) == k or not following:
        found[made] = None
        return
    for item in sorted(one for one in following if one is not None):
        _grow(lists, k, (*made, item), found)


def _turns(lists: Sequence[Sequence[int]], k: int, rng: np.random.Generator) -> tuple[int, ...]:
    made: list[int] = []
    while len(made) < k:
        order = rng.permutation(len(lists)).tolist()
        item = next((one for arm in order for one in lists[arm] if one not in made), None)
        if item is None:
            break
        made.append(item)
    return tuple(made)


def unbiased_chances(lists: Sequence[Sequence[int]], choices: Sequence[tuple[int, ...]]) -> FloatArray:
    """Return the chance of each list, (L,), for which random clicks down to any place favour no arm.

    Where no chances do so for the lists given, those that come closest.

    Examples
    --------
    >>> unbiased_chances([[1, 2], [2, 3]], [(1, 2), (2, 1), (2, 3)]).round(3).tolist()
    [0.333, 0.333, 0.333]
    """
    from scipy.optimize import linprog

    n_arms, length = len(lists), max(map(len, choices))
    gained = np.zeros((len(choices), length, n_arms))
    for row, made in enumerate(choices):
        gained[row, : len(made)] = rank_credit(lists, made)
    sums = np.cumsum(gained, axis=1)
    # One arm's credit follows from the others': they add up to 0.
    equal = sums[:, :, :-1].reshape(len(choices), -1).T
    looked = 1.0 / np.arange(1, length + 1)
    varies = ((looked[:, None] * gained).sum(axis=1) ** 2).sum(axis=1)
    slack = np.eye(len(equal))
    found = linprog(
        np.concatenate([varies, np.full(2 * len(equal), 1e4 * (1.0 + varies.max()))]),
        A_eq=np.block([[equal, slack, -slack], [np.ones((1, len(choices))), np.zeros((1, 2 * len(equal)))]]),
        b_eq=np.concatenate([np.zeros(len(equal)), [1.0]]),
        method="highs",
    )
    chances = np.maximum(found.x[: len(choices)], 0.0)
    return np.asarray(chances / chances.sum())


def ranks(lists: Sequence[Sequence[int]], items: Sequence[int]) -> FloatArray:
    """Return the 1-based rank of each item in each arm's list, (n, A); one beyond its end where it has it not."""
    rank = np.empty((len(items), len(lists)))
    for arm, own in enumerate(lists):
        place = {item: i for i, item in enumerate(own, 1)}
        rank[:, arm] = [place.get(item, len(own) + 1) for item in items]
    return rank


def rank_credit(lists: Sequence[Sequence[int]], items: Sequence[int]) -> FloatArray:
    """Return the mean rank of each item less its rank in each arm's list, (n, A)."""
    rank = ranks(lists, items)
    return np.asarray(rank.mean(axis=1, keepdims=True) - rank)


METHODS: dict[str, Callable[[Sequence[Sequence[int]], int, np.random.Generator], Mixed]] = {
    "team_draft": team_draft,
    "balanced": balanced,
    "optimised": optimised,
    "probabilistic": probabilistic,
}
