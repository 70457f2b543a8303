"""FairExposure: lists that pay back what groups are owed."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from recokit._utils.options import Rule, check_options, finite
from recokit.data import Schema, Window
from recokit.diversity._around import Around
from recokit.diversity._similarity import items_of
from recokit.diversity.exposure import ExposureLedger
from recokit.errors import ConfigurationError
from recokit.protocols import DrawsAtRandom, Objective
from recokit.typing import BoolArray, Float32Array, FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class _State:
    """Group of each candidate, (B, W), what groups are owed, (B, G + 1), and the next place: owed is written into."""

    group: IntArray
    owed: FloatArray
    place: IntArray
    per_list: float
    within: Any


class FairExposure(Around):
    """Objective of exposure in proportion to merit, amortised over requests.

    A controller in proportion to the error (Morik et al., 2020; amortised as by Biega et al., 2018): to the gain of
    each item it adds ``strength`` times what its group is owed, in lists' worth of exposure, at most 1 either way. A
    group that had too little rises until it is paid, and within a list every place counts at once.

    Parameters
    ----------
    ledger : ExposureLedger
        What groups had and should have had. Give it to the pipeline as an observer too, or nothing is counted.
    strength : float, default 0.1
        How much relevance, of a row's range of 0 to 1, a group gets for each list that it is owed. Less is smoother and
        costs less relevance; more pays back within fewer requests.
    objective : Objective, optional
        What else to heed, such as ``MMR(0.7)``; relevance alone by default.
    pool : int, default 100
        The list is chosen from so many candidates with the best scores; more only where limits leave it short.

    Raises
    ------
    ConfigurationError
        If an option is out of range, or the objective draws at random: what is owed would make its log wrong.

    Notes
    -----
    The state lies in the ledger, outside the stage: a run pins one version and can be replayed. All requests of one
    batch see the same version. Items without a group are neither raised nor lowered.

    Examples
    --------
    >>> from recokit.data import Candidates, Vocabulary
    >>> from recokit.slates import select
    >>> ledger = ExposureLedger(Vocabulary(["x", "y"]), np.array(["ann", "bob"]))
    >>> batch = Candidates.from_lists([[1, 2]], scores=[[0.51, 0.50]])
    >>> fair, first = FairExposure(ledger, strength=1.0).bind_to(ledger.item_ids), []
    >>> for _ in range(6):
    ...     chosen = select(batch, np.array([1]), objective=fair)
    ...     ledger.count(batch.take(chosen.offsets, chosen.index), batch)
    ...     first.append(int(batch.item[chosen.index[0]]))
    >>> first
    [1, 1, 2, 1, 2, 1]
    """

    _OPTIONS: ClassVar[Mapping[str, Rule]] = {**Around._OPTIONS, "strength": finite(0)}
    #: Group of each item by code; before ``bind`` the codes are those of the ledger.
    group_: IntArray | None = None

    def __init__(
        self,
        ledger: ExposureLedger,
        strength: float = 0.1,
        *,
        objective: Objective | None = None,
        pool: int = 100,
    ) -> None:
        if not isinstance(ledger, ExposureLedger):
            raise ConfigurationError(f"found ledger {ledger!r}; expected an ExposureLedger")
        if isinstance(objective, DrawsAtRandom):
            raise ConfigurationError(
                f"found {type(objective).__name__}, which draws, inside FairExposure; expected it around: what is owed "
                "changes its probabilities; hint: exploration.Softmax(FairExposure(...))"
            )
        self.ledger, self.strength, self.objective, self.pool = ledger, strength, objective, pool
        check_options(self, self._OPTIONS)

    def bind(self, schema: Schema) -> Any:
        """Return a copy that knows each item's group."""
        return super().bind(schema).bind_to(schema.item_ids)

    def bind_to(self, item_ids: Any) -> Any:
        """Return a copy for the item codes of a vocabulary, for use without a pipeline."""
        bound: Any = copy.copy(self)
        bound.group_ = self.ledger.groups_of(item_ids)
        return bound

    def start(self, window: Window) -> _State:
        """Return the state before the first choice."""
        group = self.group_
        if group is None:
            group = self.ledger.groups_of(self.ledger.item_ids)
        group = group[items_of(window, len(group))]
        now = window.candidates.requests.read(self.ledger)
        owed = np.tile(now.owed, (len(group), 1))
        per_list = now.exposure.sum() / max(now.requests, 1)
        return _State(group, owed, np.zeros(len(group), np.int64), per_list, self._inner.start(window))

    def gain(self, state: _State) -> Float32Array:
        """Return the gain of the objective inside plus what is owed, (B, W)."""
        boost = np.clip(self.strength * state.owed, -1, 1).astype(np.float32)
        boost = boost[np.arange(len(boost))[:, None], state.group]
        return np.asarray(self._inner.gain(state.within) + boost)

    def update(self, state: _State, chosen: IntArray, active: BoolArray) -> _State:
        """Return the state after each active row chose a candidate."""
        rows = np.flatnonzero(active)
        group = state.group[rows, chosen[rows]]
        # Before the first list is counted nothing is known of what a list has to give.
        paid = self.ledger.look(state.place[rows]) / state.per_list if state.per_list > 0 else 0.0
        state.owed[rows, group] -= np.where(group > 0, paid, 0.0)
        place = state.place + active
        within = self._inner.update(state.within, chosen, active)
        return _State(state.group, state.owed, place, state.per_list, within)
