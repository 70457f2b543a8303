"""Negatives that are hard to tell from positives: mined from candidates, shown and not taken, or a mixture."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any, Protocol, Self

import numpy as np

from recokit._kernels.membership import pairs_in_sets
from recokit._kernels.segments import (
    counts_to_offsets,
    gather_segments,
    offsets_to_rows,
    rank_in_row,
    rows_to_offsets,
)
from recokit._utils.options import require, whole
from recokit._utils.params import Configured, clone
from recokit.compose.fusion import retrieve_allowed
from recokit.data import Dataset, Ragged, Requests
from recokit.data.event_types import names_of
from recokit.data.events.user_history import UserHistory
from recokit.data.sampling import NegativeSampler, Positives, Sampled, draws
from recokit.errors import ConfigurationError
from recokit.protocols import Bindable, Role, Trainable, role_of, traits_of
from recokit.typing import FloatArray, IntArray

#: Users at a time.
_CHUNK = 1024
#: Tells the choice between the parts of a mixture from their own draws.
_CHOICE = 0x5EED


class Shown(Protocol):
    """Impressions: equally long columns, such as those of Interactions."""

    @property
    def user(self) -> IntArray:
        """User codes."""
        ...

    @property
    def item(self) -> IntArray:
        """Item codes."""
        ...

    @property
    def timestamp(self) -> FloatArray:
        """Seconds since 1970."""
        ...


class HardNegatives(Configured):
    """Negatives from the top of a source's list, what the user took left out: those a model confuses with positives.

    Parameters
    ----------
    source : source
        Where to mine. One that is fitted already is used as it is, any other is cloned and fitted on the same data.
    depth : int, default 100
        Each draw is uniform among so many items.
    skip : int, default 0
        The first so many items are passed over: at the very top are many that the user would have taken.

    Raises
    ------
    ConfigurationError
        If it is no source, an option is out of range, or in ``fit`` the source has learned from later events.

    Attributes
    ----------
    source_ : source
        The fitted source.
    positives_ : Positives
    """

    def __init__(self, source: Any, *, depth: int = 100, skip: int = 0) -> None:
        if role_of(source) is not Role.SOURCE:
            raise ConfigurationError(f"found {source!r} to mine negatives from; expected a source")
        require(whole(1), depth=depth)
        require(whole(0), skip=skip)
        self.source, self.depth, self.skip = source, depth, skip

    def fit(self, dataset: Dataset) -> Self:
        """Learn what was taken, and fit the source if it is not."""
        source = self.source
        if traits_of(source).fitted_until == -np.inf and isinstance(source, Trainable):
            source = clone(source).fit(dataset)
        until = traits_of(source).fitted_until
        if until > dataset.until:
            raise ConfigurationError(
                f"found a source fitted on events until {until:.0f} and data until {dataset.until:.0f}; "
                "expected a source that has not seen later events"
            )
        self.source_ = source.bind(dataset.schema) if isinstance(source, Bindable) else source
        self.positives_ = Positives.of(dataset)
        self.history_ = UserHistory().fit(dataset)
        self.now_ = _end_of(dataset)
        return self

    def lists(self, user: IntArray) -> Ragged:
        """Return the items that are drawn from for each user, (B,) lists, best first.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        taken = self.positives_
        counts, items = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for start in range(0, len(user), _CHUNK):
            some = user[start : start + _CHUNK]
            offsets, index = gather_segments(taken.offsets, some)
            exclude = Ragged(offsets, taken.item[index])
            requests = Requests.build(some, now=self.now_, ragged={"exclude": exclude})
            hydrated = self.history_.hydrate(requests)
            requests = requests.hydrated(hydrated.columns, hydrated.ragged)
            lists = retrieve_allowed(self.source_, requests, self.depth + self.skip)
            row = offsets_to_rows(lists.offsets)
            deep = rank_in_row(row, lists.offsets) >= self.skip
            counts.append(np.bincount(row[deep], minlength=len(some)))
            items.append(lists.item[deep])
        return Ragged(counts_to_offsets(np.concatenate(counts)), np.concatenate(items))

    def sample(self, user: IntArray, n: int, *, seed: int = 0, key: IntArray | None = None) -> Sampled:
        """Draw n items, with replacement, for each row; see :meth:`UniformNegatives.sample`."""
        users, row = np.unique(user, return_inverse=True)
        lists = self.lists(users)
        return _pick(lists.offsets[row], lists.counts[row], lists.values, draws(user, n, seed, key))

    def probability(self, user: IntArray, item: IntArray) -> FloatArray:
        """Return the probability (N,) with which a draw for the user gives the item."""
        users, row = np.unique(user, return_inverse=True)
        lists = self.lists(users)
        inside = pairs_in_sets(row, item, lists.offsets, lists.values)
        return np.where(inside, 1.0 / np.maximum(lists.counts[row], 1), 0.0)


class ImpressedNotClicked(Configured):
    """Negatives among the items that the user was shown and never took: seen and turned down.

    Parameters
    ----------
    shown : Interactions or the like, optional
        What was shown, as columns ``user``, ``item`` and ``timestamp`` in the codes of the data set, such as the
        ``impressions`` of a generated marketplace. Only what was shown before the end of the data counts. By default
        the events of type ``event`` of the data set itself.
    event : str, default "impression"
        Without ``shown``: the type of event that tells that an item was shown. All other events of a weight above 0
        are positives.

    Raises
    ------
    ConfigurationError
        In ``fit``, if nothing was shown, or codes are not those of the data.

    Notes
    -----
    Each draw is uniform among the distinct items that qualify. Users who took all that they were shown have none.

    Attributes
    ----------
    refused_ : Positives
        The pairs that were shown and not taken.

    Examples
    --------
    >>> log = {"user": [1, 1, 1], "item": [7, 8, 7], "timestamp": [1, 1, 2], "event": ["impression"] * 2 + ["click"]}
    >>> data = Dataset.from_frame(log)
    >>> sampled = ImpressedNotClicked().fit(data).sample(np.array([1]), 2)
    >>> data.item_ids.decode(sampled.item[0]).tolist()
    [8, 8]
    """

    def __init__(self, shown: Shown | None = None, *, event: str = "impression") -> None:
        self.shown, self.event = shown, event

    def fit(self, dataset: Dataset) -> Self:
        """Learn what was shown and not taken."""
        log = dataset.interactions
        if self.shown is None:
            shown: Shown = log.of(self.event)
            others = [name for name in log.event_names if name not in names_of(log.event_names, self.event)]
            taken = Positives.of(dataset.with_interactions(log.of(*others), cut=dataset.cut))
        else:
            shown, taken = self.shown, Positives.of(dataset)
        user, item = np.asarray(shown.user), np.asarray(shown.item)
        if not len(user) or not (
            user.min() >= 0
            and user.max() <= dataset.n_users
            and item.min() >= 0
            and item.max() <= dataset.n_items
        ):
            extent = (
                f"{len(user)} impressions, users to {user.max(initial=0)}, items to {item.max(initial=0)}"
            )
            raise ConfigurationError(
                f"found {extent}; expected some, in codes of {dataset!r}; "
                f"hint: events of type {self.event!r}, or shown="
            )
        before = (shown.timestamp < _end_of(dataset)) & (item > 0)
        width = dataset.n_items + 1
        pair = np.unique(user[before] * width + item[before])
        pair = pair[~taken.contains(pair // width, pair % width)]
        offsets = rows_to_offsets(pair // width, dataset.n_users + 1)
        self.refused_ = Positives(offsets, pair % width, dataset.n_items)
        return self

    def sample(self, user: IntArray, n: int, *, seed: int = 0, key: IntArray | None = None) -> Sampled:
        """Draw n items, with replacement, for each row; see :meth:`UniformNegatives.sample`."""
        start = self.refused_.offsets[user]
        count = self.refused_.offsets[user + 1] - start
        return _pick(start, count, self.refused_.item, draws(user, n, seed, key))

    def probability(self, user: IntArray, item: IntArray) -> FloatArray:
        """Return the probability (N,) with which a draw for the user gives the item."""
        count = self.refused_.offsets[user + 1] - self.refused_.offsets[user]
        return np.where(self.refused_.contains(user, item), 1.0 / np.maximum(count, 1), 0.0)


class MixedNegatives(Configured):
    """Each draw from one of several samplers, in given shares.

    Parameters
    ----------
    samplers : sequence of (sampler, share)
        For a user that one of them has nothing for, the others share its part. Shares need not add up to 1.

    Raises
    ------
    ConfigurationError
        For no sampler, or a share that is not above 0.

    Examples
    --------
    >>> from recokit.data.sampling import PopularityNegatives, UniformNegatives
    >>> data = Dataset.from_frame({"user": [1, 2, 3, 3], "item": [1, 1, 2, 3], "timestamp": [1, 2, 3, 4]})
    >>> mixed = MixedNegatives([(UniformNegatives(), 1.0), (PopularityNegatives(alpha=1), 3.0)]).fit(data)
    >>> mixed.probability(np.array([0, 0]), np.array([1, 2])).round(4).tolist()
    [0.4583, 0.2708]
    """

    def __init__(self, samplers: Sequence[tuple[Any, float]]) -> None:
        if not samplers or not all(0 < share < np.inf for _, share in samplers):
            raise ConfigurationError(
                f"found {samplers!r}; expected at least one pair of a sampler and a share above 0"
            )
        self.samplers = samplers

    def fit(self, dataset: Dataset) -> Self:
        """Fit copies of the samplers."""
        # Not clones: these would take a fitted source out of HardNegatives and fit another.
        self.samplers_: list[NegativeSampler] = [copy(sampler).fit(dataset) for sampler, _ in self.samplers]
        return self

    def sample(self, user: IntArray, n: int, *, seed: int = 0, key: IntArray | None = None) -> Sampled:
        """Draw n items, with replacement, for each row; see :meth:`UniformNegatives.sample`."""
        parts = [sampler.sample(user, n, seed=seed, key=key) for sampler in self.samplers_]
        share = np.cumsum(self._shares(user), axis=0)
        choice = draws(user, n, seed ^ _CHOICE, key)
        which = np.minimum((choice[None] >= share[:, :, None]).sum(axis=0), len(parts) - 1)
        item = np.take_along_axis(np.stack([part.item for part in parts]), which[None], axis=0)[0]
        owner = np.repeat(user, n)
        return Sampled(item, self.probability(owner, item.ravel()).reshape(item.shape))

    def probability(self, user: IntArray, item: IntArray) -> FloatArray:
        """Return the probability (N,) with which a draw for the user gives the item."""
        parts = np.stack([sampler.probability(user, item) for sampler in self.samplers_])
        return np.asarray((self._shares(user) * parts).sum(axis=0))

    def _shares(self, user: IntArray) -> FloatArray:
        """Return each sampler's share of a user's draws, (S, B): none where it has nothing."""
        users, row = np.unique(user, return_inverse=True)
        has = np.stack([sampler.sample(users, 1).item[:, 0] > 0 for sampler in self.samplers_])
        share = has * np.array([share for _, share in self.samplers])[:, None]
        return np.asarray((share / np.maximum(share.sum(axis=0), 1e-300))[:, row])


def _pick(start: IntArray, count: IntArray, items: IntArray, draw: FloatArray) -> Sampled:
    """Pick uniformly from ``count`` items from ``start`` on, for each row's draws (B, n)."""
    place = np.minimum((draw * count[:, None]).astype(np.int64), count[:, None] - 1)
    some = np.broadcast_to(count[:, None] > 0, draw.shape)
    item = np.zeros(draw.shape, np.int64)
    item[some] = items[(start[:, None] + place)[some]]
    return Sampled(item, np.where(some, 1.0 / np.maximum(count, 1)[:, None], 0.0))


def _end_of(dataset: Dataset) -> float:
    """Return the first moment after the data."""
    if dataset.cut is not None:
        return dataset.cut
    return float(np.nextafter(dataset.until, np.inf)) if len(dataset.interactions) else 0.0
