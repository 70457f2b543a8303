"""Look: what a dataset is like, as far as it decides on sources and windows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recokit.data import DAY, Dataset
from recokit.data.times import seconds
from recokit.typing import BoolArray, FloatArray, IntArray

#: Lengths of label windows, the first that suits is taken; then shorter ones, for short logs.
_WINDOWS = ("7D", "14D", "30D", "90D")
_SHORT = ("3D", "1D", "6h", "1h")
#: Users that a window should have, and windows that should fit into the log.
_USERS, _FIT = 200, 5
#: Share of the newest events that turnover and repeats are counted in.
_NEWEST = 0.1
#: From this share of repeats on, users want again what they had.
REPEATS = 0.1


@dataclass(frozen=True)
class Look:
    """What a dataset is like.

    Parameters
    ----------
    events, users, items : int
        Signals, users with one, and items with one.
    days : float
        From the first signal to the last; 0 where events have no times.
    per_user : float
        Median number of signals of a user.
    repeats : float
        Share of the newest tenth of the signals whose user had the item before.
    new_items, new_users : float
        Share of the newest tenth of the signals with items, or of users, that had none before.
    anonymous : float
        Share of the signals of no user.
    ratings : bool
        Whether events are of one type with at least three different weights.
    labels : tuple of str
        Categorical columns of the items.
    horizon : str
        Length of a label window, such as ``"7D"``; empty where the log is too short for one.
    """

    events: int
    users: int
    items: int
    days: float
    per_user: float
    repeats: float
    new_items: float
    new_users: float
    anonymous: float
    ratings: bool
    labels: tuple[str, ...]
    horizon: str

    @classmethod
    def at(cls, dataset: Dataset) -> Look:
        """Look at a dataset."""
        log = dataset.interactions.signals
        per_user = np.bincount(log.user[log.user > 0])
        time = log.timestamp
        newest = np.arange(len(log)) >= int(len(log) * (1 - _NEWEST))
        width = dataset.n_items + 1
        weights = np.unique(log.weight)
        return cls(
            events=len(log),
            users=int(np.count_nonzero(per_user)),
            items=len(np.unique(log.item[log.item > 0])),
            days=float(time[-1] - time[0]) / DAY if len(log) else 0.0,
            per_user=float(np.median(per_user[per_user > 0])) if per_user.any() else 0.0,
            repeats=_known(log.user * width + log.item, newest),
            new_items=1.0 - _known(log.item, newest),
            new_users=1.0 - _known(log.user, newest),
            anonymous=float((log.user == 0).mean()) if len(log) else 0.0,
            ratings=len(dataset.interactions.event_names) == 1 and len(weights) >= 3,
            labels=tuple(dataset.items.categorical),
            horizon=_horizon(log.user, time),
        )

    @property
    def repeating(self) -> bool:
        """Whether users take again what they had."""
        return self.repeats >= REPEATS

    def words(self) -> list[str]:
        """Return what was seen, in sentences."""
        said = [
            f"{self.events:,} signals of {self.users:,} users with {self.items:,} items over {self.days:,.0f} days, "
            f"{self.per_user:g} for the median user"
        ]
        if self.repeating:
            said.append(
                f"repeats: {self.repeats:.0%} of the newest events are of items that their user had before"
            )
        else:
            said.append(
                f"new items: {self.repeats:.0%} of the newest events repeat, so what users had is left out"
            )
        if self.new_items >= 0.05:
            said.append(
                f"turnover: {self.new_items:.0%} of the newest events are with items that had none before"
            )
        if self.new_users >= 0.2:
            said.append(
                f"newcomers: {self.new_users:.0%} of the newest events are of users that had none before"
            )
        if self.anonymous:
            said.append(f"anonymous: {self.anonymous:.0%} of the signals are of no user")
        if self.ratings:
            said.append(
                "ratings: low ones count for less, and none counts against an item; declare dislikes to be 0"
            )
        return said


def _known(code: IntArray, newest: BoolArray) -> float:
    """Return the share of the newest codes that are among the others."""
    return float(np.isin(code[newest], code[~newest]).mean()) if newest.any() else 0.0


def _horizon(user: IntArray, time: FloatArray) -> str:
    span = float(time[-1] - time[0]) if len(time) else 0.0
    fitting = [length for length in _WINDOWS if _FIT * seconds(length) <= span]
    for length in fitting:
        if len(np.unique(user[(time > time[-1] - seconds(length)) & (user > 0)])) >= _USERS:
            return length
    if fitting:
        return fitting[-1]
    return next((length for length in _SHORT if _FIT * seconds(length) <= span), "")
