"""Budget: how many places may be explored, in all or in each period."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from recokit._utils.options import check_options, optional, whole
from recokit.data import Live, seconds
from recokit.data.times import duration
from recokit.typing import BoolArray, FloatArray, IntArray


@dataclass(frozen=True)
class Spent:
    """Spending of a budget.

    Parameters
    ----------
    period : int
        Number of the period, counted from 1970; 0 without periods.
    places : int
        Places explored in it.
    """

    period: int = 0
    places: int = 0


class Budget(Live[Spent]):
    """Places that may be explored, in all or in each period; spent as requests are answered.

    Parameters
    ----------
    places : int
        At least 0.
    per : duration, optional
        Length of a period by the time of the requests, such as ``"1D"``; by default the budget is for all time.
    name : str, default "exploration_budget"
        How traces name it.

    Raises
    ------
    ConfigurationError
        If an option is out of range.

    Notes
    -----
    A run sees what was spent before it began. So requests that run at the same time, or in one batch, may overspend by
    what they explore themselves; requests of a period that has passed explore nothing. What was spent is saved with a
    pipeline.

    Examples
    --------
    >>> budget = Budget(100, per="1D")
    >>> budget.spend(np.array([86_400.0, 86_401.0]))
    >>> budget.pin()[1]
    Spent(period=1, places=2)
    """

    def __init__(
        self, places: int, *, per: str | float | None = None, name: str = "exploration_budget"
    ) -> None:
        self.places, self.per = places, per
        check_options(self, {"places": whole(0), "per": optional(duration)})
        self._spending = threading.Lock()
        super().__init__(Spent(), name=name)

    def left(self, spent: Spent, now: FloatArray) -> BoolArray:
        """Tell which requests, by their times (B,), may explore."""
        period = self._periods(now)
        fresh = period > spent.period
        return np.asarray(
            (fresh & (self.places > 0)) | ((period == spent.period) & (spent.places < self.places))
        )

    def spend(self, now: FloatArray) -> None:
        """Count one explored place for each time (M,)."""
        if not len(now):
            return
        period = self._periods(now)
        with self._spending:
            spent = self.pin()[1]
            latest = max(int(period.max()), spent.period)
            before = spent.places if latest == spent.period else 0
            self.set(Spent(latest, before + int(np.count_nonzero(period == latest))))

    def _periods(self, now: FloatArray) -> IntArray:
        if self.per is None:
            return np.zeros(len(now), np.int64)
        return np.floor(now / seconds(self.per)).astype(np.int64)

    def state(self) -> dict[str, Any]:
        """Return what was spent."""
        spent = self.pin()[1]
        return {"period": spent.period, "places": spent.places}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what was spent."""
        self.set(Spent(**state))

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "places": self.places, "per": self.per}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__({**state, "_spending": threading.Lock()})

    def __repr__(self) -> str:
        per = "" if self.per is None else f", per={self.per!r}"
        return f"Budget({self.places}{per})"
