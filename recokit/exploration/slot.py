"""ExplorationSlot: some places of a list for a policy, the others for the best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recokit._kernels.segments import rank_in_row
from recokit._utils.options import between, check_options
from recokit.data import Schema, Window
from recokit.errors import ConfigurationError, did_you_mean
from recokit.exploration._draws import POOL, Around, AroundState, checked_objective, row_draws, window_items
from recokit.exploration.budget import Budget
from recokit.exploration.epsilon_greedy import is_best
from recokit.protocols import DrawsAtRandom, Role, bound, role_of, traits_of
from recokit.typing import AnyArray, BoolArray, FloatArray, IntArray

_COIN = 25


@dataclass(frozen=True, eq=False)
class _State:
    """States of the objective and of the policy, which candidates the policy may draw, and which rows may explore."""

    best: AroundState
    policy: Any
    eligible: BoolArray
    funded: BoolArray


class ExplorationSlot(Around):
    """Objective that lets a policy fill some places, and fills the others with the best.

    Parameters
    ----------
    policy : Objective that draws
        Fills the slot, such as ``Softmax()`` or ``EpsilonGreedy(epsilon=1.0)``, which draws any with equal probability.
    objective : Objective, optional
        Says what is best elsewhere, such as ``diversity.MMR()``; by default the ranker's score.
    places : sequence of int, default (5,)
        1-based places of the slot.
    rate : float, default 1.0
        Probability, above 0, that a place of the slot is explored; each is decided by itself.
    eligible : str, optional
        What may be explored: ``"item.is_new"``, items where that column is above 0; or ``"source.explore"``, items that
        the source of that name found. All by default. A place for which nothing eligible is allowed gets the best.
    budget : Budget, optional
        Places that may be explored in all or in each period. It is spent by the slot as an observer:
        ``Pipeline([..., slot], observers=[slot])``.
    pool : int, default 100
        Candidates with the best scores that may be chosen.

    Raises
    ------
    ConfigurationError
        If an option is out of range, the policy draws nothing, or there is no such column or source.

    Attributes
    ----------
    flag_ : ndarray of bool, shape (n_items + 1,)
        What is eligible, where a column says so; after ``bind``.

    Examples
    --------
    >>> from recokit.data import Candidates, Requests
    >>> from recokit.exploration import EpsilonGreedy
    >>> from recokit.slates import select
    >>> slot = ExplorationSlot(EpsilonGreedy(epsilon=1.0), places=[2], rate=0.5)
    >>> requests = Requests.build(np.array([1]), seed=5)
    >>> batch = Candidates.from_lists([[7, 8, 9]], scores=[[0.9, 0.5, 0.1]], requests=requests)
    >>> found = select(batch, np.array([3]), objective=slot)
    >>> found.propensity.tolist()
    [1.0, 0.75, 1.0]
    """

    flag_: BoolArray

    def __init__(
        self,
        policy: Any,
        objective: Any = None,
        *,
        places: Sequence[int] = (5,),
        rate: float = 1.0,
        eligible: str | None = None,
        budget: Budget | None = None,
        pool: int = 100,
    ) -> None:
        if role_of(policy) is not Role.OBJECTIVE or not isinstance(policy, DrawsAtRandom):
            raise ConfigurationError(
                f"found {policy!r} as policy; expected one that draws, such as Softmax()"
            )
        if not len(places) or min(places) < 1:
            raise ConfigurationError(f"found places={tuple(places)}; expected places from 1")
        if eligible is not None and not eligible.startswith(("item.", "source.")):
            raise ConfigurationError(
                f"found eligible={eligible!r}; expected 'item.' and a column, or 'source.' and a source"
            )
        if budget is not None and not isinstance(budget, Budget):
            raise ConfigurationError(f"found budget={budget!r}; expected a Budget")
        self.policy: Any = policy
        self.objective, self.places = checked_objective(objective), places
        self.rate, self.eligible, self.budget, self.pool = rate, eligible, budget, pool
        check_options(self, {"rate": between(0, 1, open_low=True), **POOL})

    @property
    def requires(self) -> tuple[str, ...]:
        """The item column, and what the policy and the objective require."""
        column = (self.eligible,) if self.eligible is not None and self.eligible.startswith("item.") else ()
        return tuple(dict.fromkeys((*column, *traits_of(self.policy).requires, *super().requires)))

    def bind(self, schema: Schema) -> Any:
        """Return a copy with policy and objective bound, that knows what is eligible."""
        twin = super().bind(schema)
        twin.policy = bound(self.policy, schema)
        if self.eligible is None:
            return twin
        kind, _, name = self.eligible.partition(".")
        if kind == "item":
            column = schema.item_column(name)
            if column.dtype.kind != "f":
                raise ConfigurationError(
                    f"found labels in item column {name!r}; expected numbers or booleans"
                )
            twin.flag_ = column > 0
        elif name not in schema.source_names:
            raise ConfigurationError(f"found no source {name!r}; {did_you_mean(name, schema.source_names)}")
        return twin

    def start(self, window: Window) -> _State:
        """Return the state before the first choice."""
        requests = window.candidates.requests
        funded = np.ones(len(window.valid), np.bool_)
        if self.budget is not None and len(window.candidates) and window.index.shape[1]:
            left = self.budget.left(requests.read(self.budget), requests.now)
            funded = left[window.candidates.row[window.index[:, 0]]]
        return _State(super().start(window), self.policy.start(window), self._eligible(window), funded)

    def _eligible(self, window: Window) -> BoolArray:
        if self.eligible is None or not len(window.candidates):
            return window.valid
        kind, _, name = self.eligible.partition(".")
        if kind == "item":
            flag: BoolArray = self.flag_
            return np.asarray(window.valid & flag[window_items(window)])
        bit = np.uint64(window.candidates.source_names.index(name))
        bits = (window.candidates.sources >> bit) & np.uint64(1)
        return np.asarray(window.valid & (bits[window.index] == 1))

    def gain(self, state: _State) -> FloatArray:
        """Return the objective's gains; in rows that explore at this place the policy's, above all others, (B, W)."""
        explores = self._open(state) & (state.best.draws.row(_COIN) < self.rate)
        if not explores.any():
            return np.asarray(state.best.base, np.float64)
        drawn = np.where(
            state.eligible, _squashed(self.policy.gain(state.policy)) + 3.0, _squashed(state.best.base)
        )
        return np.where(explores[:, None], drawn, state.best.base)

    def update(self, state: _State, chosen: IntArray, active: BoolArray) -> _State:
        """Return the state after each active row chose a candidate."""
        best = super().update(state.best, chosen, active)
        return _State(best, self.policy.update(state.policy, chosen, active), state.eligible, state.funded)

    def propensity(self, state: _State, chosen: IntArray, allowed: BoolArray) -> FloatArray:
        """Return the probability of each choice, (B,)."""
        best = is_best(state.best.base, chosen, allowed)
        options = allowed & state.eligible
        rate = np.where(self._open(state) & options.any(axis=1), self.rate, 0.0)
        if not rate.any():
            return best.astype(np.float64)
        drawn = np.where(
            options[np.arange(len(chosen)), chosen],
            self.policy.propensity(state.policy, chosen, options),
            0.0,
        )
        return np.asarray(rate * drawn + (1 - rate) * best)

    def observe(self, trace: Any) -> None:
        """Spend the budget on the places that a run explored; called where the slot is an observer of a pipeline."""
        selected = trace.selected
        propensity = selected.columns.get("propensity")
        if self.budget is None or propensity is None:
            return
        place = rank_in_row(selected.row, selected.offsets)
        coin = row_draws(selected.requests.seed[selected.row], place, _COIN)
        # A probability of 1 is a place where there was nothing to explore, or no budget left to do it.
        explored = np.isin(place + 1, list(self.places)) & (coin < self.rate) & (propensity < 1)
        self.budget.spend(selected.now[explored])

    def _open(self, state: _State) -> BoolArray:
        """Tell which rows may explore at this place, (B,)."""
        return state.funded & np.isin(state.best.draws.place + 1, list(self.places))


def _squashed(gain: AnyArray) -> FloatArray:
    """Return gains in their order, between -1 and 1."""
    wide = np.asarray(gain, np.float64)
    return np.asarray(wide / (1.0 + np.abs(wide)))
