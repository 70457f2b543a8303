"""FairTopK: FA*IR, enough protected items in every prefix of a list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from recokit._utils import options
from recokit._utils.options import check_options, require, whole
from recokit.data import Schema, Window
from recokit.diversity._around import Around
from recokit.diversity._similarity import check_codes, items_of
from recokit.errors import ConfigurationError
from recokit.protocols import Objective
from recokit.typing import AnyArray, BoolArray, Float32Array, FloatArray, IntArray


def fair_minimum(k: int, share: float, *, alpha: float = 0.1, adjust: bool = True) -> IntArray:
    """Return how many protected items each prefix of a fair list has at least: FA*IR's table.

    A prefix of n items is fair unless so few protected ones would stand in it by chance with probability ``alpha`` or
    less, were each place given to a protected item with probability ``share``. A list is tested at each of its k
    prefixes, so by chance a fair one would fail far more often than ``alpha``; the adjusted table is made with the
    largest significance for which it fails at most that often (Zehlike et al., 2017, section 4.2).

    Parameters
    ----------
    k : int
        Length of the lists.
    share : float
        Protected items wanted, above 0 and below 1.
    alpha : float, default 0.1
        Probability that a fair list fails.
    adjust : bool, default True
        Whether ``alpha`` is that of the whole list, not of each prefix.

    Returns
    -------
    ndarray of int64, shape (k,)

    Raises
    ------
    ConfigurationError
        If an option is out of range.

    Examples
    --------
    >>> fair_minimum(12, 0.5, adjust=False).tolist()
    [0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 3, 4]
    >>> fair_minimum(12, 0.5).tolist()
    [0, 0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 3]
    """
    require(whole(1), k=k)
    require(options.share, share=share, alpha=alpha)
    from scipy.stats import binom

    n = np.arange(1, k + 1)
    below = binom.cdf(np.arange(k)[None, :], n[:, None], share)  # P(at most j of n), j < n counts
    if not adjust:
        return _table(below, alpha)
    # Tables change only where the significance passes one of these: search among them, from the strictest.
    steps = np.unique(below[below <= alpha])
    low, high = -1, len(steps)  # the table of steps[low] fails seldom enough; -1 asks for nothing
    while high - low > 1:
        middle = (low + high) // 2
        if _failure(_table(below, float(steps[middle])), share) <= alpha:
            low = middle
        else:
            high = middle
    return _table(below, float(steps[low])) if low >= 0 else np.zeros(k, np.int64)


def _table(below: FloatArray, alpha: float) -> IntArray:
    """Return the smallest numbers whose binomial probability of at most so many is above ``alpha``."""
    return np.asarray((below <= alpha).sum(axis=1), np.int64)


def _failure(minimum: IntArray, share: float) -> float:
    """Return the probability that a list of independent draws fails at some prefix."""
    passing = np.array([1.0])  # by number of protected items, so far without failure
    for needed in minimum.tolist():
        passing = np.append(passing * (1 - share), 0.0) + np.append(0.0, passing * share)
        passing[:needed] = 0.0
    return float(1 - passing.sum())


@dataclass(frozen=True, eq=False)
class _State:
    """Which candidates are protected, (B, W), how many are in the list, (B,), and the next place, (B,)."""

    protected: BoolArray
    held: IntArray
    place: IntArray
    within: Any


class FairTopK(Around):
    """Objective of ranked group fairness: FA*IR (Zehlike et al., 2017).

    Every prefix of the list has at least as many protected items as :func:`fair_minimum` says, if there are so many
    candidates; where a place needs one, the best protected item gets it, else the best of all.

    Parameters
    ----------
    protected : str or ndarray of bool, shape (n_items + 1,)
        A column of the item table, true or above 0 for protected items; or by item code.
    share : float
        Protected items wanted, above 0 and below 1.
    k : int, default 10
        The first so many places are fair.
    alpha : float, default 0.1
        Probability that a fair list fails the test.
    adjust : bool, default True
        Whether ``alpha`` is that of the whole list, not of each prefix.
    objective : Objective, optional
        What is best, such as ``MMR(0.7)``; relevance alone by default.
    pool : int, default 100
        The list is chosen from so many candidates with the best scores; more only where limits leave it short.
        Protected items below are not found.

    Raises
    ------
    ConfigurationError
        If an option is out of range, or there is no such column.

    Examples
    --------
    >>> from recokit.data import Candidates
    >>> from recokit.slates import select
    >>> protected = np.array([False, False, False, False, True])
    >>> batch = Candidates.from_lists([[1, 2, 3, 4]], scores=[[0.9, 0.8, 0.7, 0.1]])
    >>> fair = FairTopK(protected, 0.7, k=3, adjust=False)
    >>> batch.item[select(batch, np.array([3]), objective=fair).index].tolist()
    [1, 4, 2]
    """

    def __init__(
        self,
        protected: str | AnyArray,
        share: float,
        *,
        k: int = 10,
        alpha: float = 0.1,
        adjust: bool = True,
        objective: Objective | None = None,
        pool: int = 100,
    ) -> None:
        self.protected, self.share, self.k, self.alpha, self.adjust = protected, share, k, alpha, adjust
        self.objective, self.pool = objective, pool
        check_options(self, self._OPTIONS)
        self.minimum_ = fair_minimum(k, share, alpha=alpha, adjust=adjust)
        if not isinstance(protected, str):
            if not isinstance(protected, np.ndarray) or protected.ndim != 1 or protected.dtype != np.bool_:
                raise ConfigurationError(
                    f"found protected={protected!r}; expected the name of an item column, or bool (n_items + 1,)"
                )
            self.flag_ = protected

    @property
    def requires(self) -> tuple[str, ...]:
        """The item column, and what the objective inside requires."""
        own = (f"item.{self.protected.removeprefix('item.')}",) if isinstance(self.protected, str) else ()
        return (*own, *super().requires)

    def bind(self, schema: Schema) -> Any:
        """Return a copy that knows which items are protected."""
        bound = super().bind(schema)
        if isinstance(self.protected, str):
            column = schema.item_column(self.protected)
            if column.dtype.kind != "f":
                raise ConfigurationError(
                    f"found labels or text in item column {self.protected!r}; expected numbers or booleans, "
                    "above 0 for protected items"
                )
            bound.flag_ = column > 0
        else:
            check_codes("protected", self.protected, schema)
        return bound

    def start(self, window: Window) -> _State:
        """Return the state before the first choice."""
        flag = self.flag_
        protected = flag[items_of(window, len(flag))]
        none = np.zeros(len(protected), np.int64)
        return _State(protected, none, none, self._inner.start(window))

    def gain(self, state: _State) -> Float32Array:
        """Return the gain of the objective inside; minus infinity for others where a protected item is needed."""
        needs = (state.place < self.k) & (state.held < self.minimum_[np.minimum(state.place, self.k - 1)])
        gain = self._inner.gain(state.within)
        if not needs.any():
            return np.asarray(gain)
        return np.where(needs[:, None] & ~state.protected, -np.inf, gain).astype(np.float32)

    def update(self, state: _State, chosen: IntArray, active: BoolArray) -> _State:
        """Return the state after each active row chose a candidate."""
        held = state.held + (active & state.protected[np.arange(len(chosen)), chosen])
        within = self._inner.update(state.within, chosen, active)
        return _State(state.protected, held, state.place + active, within)
