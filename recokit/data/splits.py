"""Splits of a dataset for evaluation, and what each one leaks.

Only splits at one global time are honest about the future. The others are there because published tables use them, and
warn with :class:`~recokit.errors.LeakageWarning` where training events lie after test events.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from recokit._kernels.segments import rank_in_row
from recokit._utils import options
from recokit._utils.options import one_of, require, whole
from recokit.data.dataset import Dataset
from recokit.data.times import seconds, timestamp
from recokit.errors import DataError, LeakageWarning
from recokit.typing import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Split:
    """A train and a test part that share users, items and tables.

    Parameters
    ----------
    train, test : Dataset
        Cold users and items of the test part stay in it.
    name : str
        What the split is.
    n_leaking : int
        Training events at or after the first test event: what a model in production could not have seen.

    Examples
    --------
    >>> log = {"user": [1, 1, 2, 2], "item": [5, 6, 5, 7], "timestamp": [10, 20, 30, 40]}
    >>> split = next(rolling(Dataset.from_frame(log), start=20, horizon="15s", step="100s"))
    >>> split
    Split('expanding, 20 to 35': 1 train events, 2 test events of 2 users, 1 of them cold; 2 items, 1 of them cold)
    """

    train: Dataset
    test: Dataset
    name: str = ""
    n_leaking: int = 0

    def __iter__(self) -> Iterator[Dataset]:
        """Yield train and test, so that ``train, test = split``."""
        yield from (self.train, self.test)

    @property
    def n_cold_users(self) -> int:
        """Users of the test part without a training event."""
        return _cold(self.train.interactions.user, self.test.interactions.user)

    @property
    def n_cold_items(self) -> int:
        """Items of the test part without a training event."""
        return _cold(self.train.interactions.item, self.test.interactions.item)

    def __repr__(self) -> str:
        test = self.test.interactions
        users, items = len(np.unique(test.user)), len(np.unique(test.item))
        leak = f"; {self.n_leaking:,} train events after the first test event" if self.n_leaking else ""
        return (
            f"Split({self.name!r}: {len(self.train.interactions):,} train events, {len(test):,} test events of "
            f"{users:,} users, {self.n_cold_users:,} of them cold; {items:,} items, {self.n_cold_items:,} of them "
            f"cold{leak})"
        )


def rolling(
    dataset: Dataset,
    *,
    start: str | float,
    horizon: str | float,
    step: str | float | None = None,
    window: str | float | None = None,
) -> Iterator[Split]:
    """Yield splits at global times, one after the other: train before each cut, test right after it.

    Parameters
    ----------
    dataset : Dataset
        All events.
    start : str or float
        The first cut, an ISO date or seconds.
    horizon : str or float
        Length of each test part, such as ``"7D"``. A last one that the data does not fill is left out.
    step : str or float, optional
        From one cut to the next; the horizon by default, so that no event is tested twice.
    window : str or float, optional
        Length of each training part; all that is before the cut by default, as :func:`expanding` does.

    Raises
    ------
    DataError
        If not one split has events in both parts.

    Examples
    --------
    >>> log = {"user": [1, 1, 1, 1], "item": [5, 6, 7, 8], "timestamp": [0, 10, 20, 30]}
    >>> splits = rolling(Dataset.from_frame(log), start=10, horizon="10s", window="10s")
    >>> [(split.train.interactions.item.tolist(), split.test.interactions.item.tolist()) for split in splits]
    [([1], [2]), ([2], [3])]
    """
    cut, length = timestamp(start), seconds(horizon)
    stride = length if step is None else seconds(step)
    back = np.inf if window is None else seconds(window)
    log = dataset.interactions
    last = float(log.timestamp[-1]) if len(log) else -np.inf
    found = 0
    first = cut
    while cut + length <= last + 1e-9:
        train, test = log.between(cut - back, cut), log.between(cut, cut + length)
        if len(train) and len(test):
            found += 1
            yield Split(
                dataset.with_interactions(train, cut=cut),
                dataset.with_interactions(test),
                f"{'expanding' if window is None else 'rolling'}, {cut:g} to {cut + length:g}",
            )
        cut += stride
    if not found:
        span = log.timestamp[[0, -1]].tolist() if len(log) else "no events"
        raise DataError(
            f"found no split with events in both parts from {first:g} on, for a horizon of {length:g} seconds; "
            f"the data spans {span}"
        )


def expanding(
    dataset: Dataset, *, start: str | float, horizon: str | float, step: str | float | None = None
) -> Iterator[Split]:
    """Yield splits at global times that train on all events before each cut; options as for :func:`rolling`.

    Examples
    --------
    >>> log = {"user": [1, 1, 1, 1], "item": [5, 6, 7, 8], "timestamp": [0, 10, 20, 30]}
    >>> splits = expanding(Dataset.from_frame(log), start=10, horizon="10s")
    >>> [(split.train.interactions.item.tolist(), split.test.interactions.item.tolist()) for split in splits]
    [([1], [2]), ([1, 2], [3])]
    """
    yield from rolling(dataset, start=start, horizon=horizon, step=step)


def last_n(dataset: Dataset, n: int = 1) -> Split:
    """Hold out each user's last n events; leave-one-out for n of 1.

    Of events of one moment those that come last in the log are held out; events of weight 0 never are. Users with n
    events or fewer have no training event: they are cold, and stay in the test part.

    Warns
    -----
    LeakageWarning
        Where training events of some users lie after test events of others.

    Examples
    --------
    >>> log = {"user": [1, 1, 2, 2], "item": [5, 6, 5, 7], "timestamp": [10, 20, 30, 40]}
    >>> train, test = last_n(Dataset.from_frame({**log, "timestamp": [10, 30, 20, 40]}))
    >>> test.interactions.item.tolist()
    [2, 3]
    """
    require(whole(1), n=n)
    log = dataset.interactions
    signals = np.flatnonzero(log.counted)
    offsets, order = log.signals.by_user
    order = signals[order]
    user = log.user[order]
    from_end = offsets[user + 1] - offsets[user] - rank_in_row(user, offsets)
    held = np.zeros(len(log), np.bool_)
    held[order] = from_end <= n
    return _split(dataset, held, f"last {n} of each user")


def k_core(dataset: Dataset, k: int = 5, *, per: Literal["both", "user", "item"] = "both") -> Dataset:
    """Return the events of users and items with at least k distinct partners, repeated until that holds.

    What published tables are made of, and not how a shop looks: cold users and items are gone, and whether an item
    stays depends on its future. So filter before a split to reproduce a table, never to judge a model.

    Parameters
    ----------
    dataset : Dataset
        All events.
    k : int, default 5
        Distinct items of a user, and distinct users of an item.
    per : {"both", "user", "item"}, default "both"
        Whom it is asked of.

    Returns
    -------
    Dataset
        With the same vocabularies and tables.

    Warns
    -----
    LeakageWarning
        Where events go: those that stay were chosen by later ones.

    Raises
    ------
    DataError
        If no event is left.

    Examples
    --------
    >>> log = {"user": [1, 1, 2, 2, 3], "item": [5, 6, 5, 6, 5], "timestamp": [1, 2, 3, 4, 5]}
    >>> import warnings
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     k_core(Dataset.from_frame(log), 2)
    Dataset(4 interactions, 3 users, 2 items; purchase 1 (signal))
    """
    require(whole(1), k=k)
    require(one_of("both", "user", "item"), per=per)
    log = dataset.interactions
    width = dataset.n_items + 1
    pairs, of_pair = np.unique(log.user * width + log.item, return_inverse=True)
    user, item = pairs // width, pairs % width
    kept = np.ones(len(pairs), np.bool_)
    while True:
        enough = kept.copy()
        if per != "item":
            enough &= np.bincount(user[kept], minlength=dataset.n_users + 1)[user] >= k
        if per != "user":
            enough &= np.bincount(item[kept], minlength=width)[item] >= k
        if (enough == kept).all():
            break
        kept = enough
    if not kept.any():
        raise DataError(
            f"found no event in the {k}-core of {len(log)} events; expected some; hint: a smaller k"
        )
    if kept.all():
        return dataset
    left = np.flatnonzero(kept[of_pair])
    _warn(
        f"the {k}-core keeps {len(left):,} of {len(log):,} events, chosen by what happened later; "
        "figures on it do not hold for new users and items",
        depth=3,
    )
    return dataset.with_interactions(log.take(left), cut=dataset.cut)


def cold_users(dataset: Dataset, share: float = 0.1, *, seed: int = 0, given: int = 0) -> Split:
    """Hold out a share of the users with all their events, so that they are cold in training.

    Parameters
    ----------
    dataset : Dataset
        All events.
    share : float, default 0.1
        Share of the users with events.
    seed : int, default 0
        Which users are drawn.
    given : int, default 0
        Their first events that stay in training, as a short history.

    Warns
    -----
    LeakageWarning
        Where training events of others lie after test events.

    Examples
    --------
    >>> log = {"user": [1, 1, 2, 2], "item": [5, 6, 5, 7], "timestamp": [30, 40, 10, 20]}
    >>> import warnings
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     cold_users(Dataset.from_frame(log), 0.5).n_cold_users
    1
    """
    log = dataset.interactions
    held = _drawn(log.user, share, seed, "users")
    if given:
        offsets, order = log.by_user
        early = np.zeros(len(log), np.bool_)
        early[order] = rank_in_row(log.user[order], offsets) < given
        held &= ~early
    return _split(dataset, held, f"{share:.0%} of users")


def cold_items(dataset: Dataset, share: float = 0.1, *, seed: int = 0) -> Split:
    """Hold out a share of the items with all their events, so that they are cold in training; see :func:`cold_users`.

    Examples
    --------
    >>> log = {"user": [1, 1, 2, 2], "item": [5, 6, 5, 6], "timestamp": [10, 20, 30, 40]}
    >>> import warnings
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     cold_items(Dataset.from_frame(log), 0.5).n_cold_items
    1
    """
    return _split(dataset, _drawn(dataset.interactions.item, share, seed, "items"), f"{share:.0%} of items")


def _drawn(codes: IntArray, share: float, seed: int, what: str) -> BoolArray:
    require(options.share, share=share)
    known = np.unique(codes[codes > 0])
    if len(known) < 2:
        raise DataError(f"found {len(known)} {what} with events; expected at least 2")
    n = min(max(round(share * len(known)), 1), len(known) - 1)
    return np.isin(codes, np.random.default_rng(seed).choice(known, n, replace=False))


def _split(dataset: Dataset, held: BoolArray, name: str) -> Split:
    log = dataset.interactions
    train, test = log.take(np.flatnonzero(~held)), log.take(np.flatnonzero(held))
    for part, events in (("train", train), ("test", test)):
        if not len(events):
            raise DataError(f"found no events in the {part} part of a split by {name} of {len(log)} events")
    n_leaking = _leaking(train.timestamp, float(test.timestamp[0]))
    if n_leaking:
        _warn(
            f"a split by {name} trains on {n_leaking:,} of {len(train):,} events that are not before the first test "
            "event; a model in production has not seen them; hint: Dataset.split_at cuts at one time",
            depth=4,
        )
    return Split(dataset.with_interactions(train), dataset.with_interactions(test), name, n_leaking)


def _leaking(train: FloatArray, first_test: float) -> int:
    return len(train) - int(np.searchsorted(train, first_test))


def _cold(train: IntArray, test: IntArray) -> int:
    return len(np.setdiff1d(test[test > 0], train))


def _warn(message: str, depth: int) -> None:
    warnings.warn(message, LeakageWarning, stacklevel=depth)
