"""advise_dimension: the number of dimensions that a catalogue needs, measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recokit._utils.options import between, require, whole
from recokit._utils.report import Content, Report, Table
from recokit.candidates._retrieve import retrieve_nearest
from recokit.candidates.pure_svd import PureSVD
from recokit.data import Dataset, Requests
from recokit.data.events.user_history import UserHistory
from recokit.data.sampling import hold_out
from recokit.errors import ConfigurationError, DataError


@dataclass(frozen=True, repr=False)
class DimensionAdvice(Report):
    """Recall of the held-out items by number of dimensions.

    Parameters
    ----------
    dimension : int
        The smallest whose recall is within ``tolerance`` of the best.
    customary : int
        The number that is customary for a catalogue of this size.
    table : tuple of dict
        For each number of dimensions: ``dimension``, ``recall``, and ``megabytes`` of the item vectors.
    k : int
        Depth of the recall.
    """

    dimension: int
    customary: int
    table: tuple[dict[str, float], ...]
    k: int

    def _content(self) -> Content:
        rows = [
            [f"{row['dimension']:.0f}", f"{row['recall']:.4f}", f"{row['megabytes']:.1f}"]
            for row in self.table
        ]
        return Content(
            f"{self.dimension} dimensions ({self.customary} are customary for a catalogue of this size)",
            [Table(["dimension", f"recall@{self.k}", "MB"], rows)],
        )


def customary_dimension(n_items: int) -> int:
    """Return the customary number of dimensions: 64 below 100,000 items, 128 to 10,000,000, 256 above.

    Examples
    --------
    >>> [customary_dimension(n) for n in (50_000, 100_000, 20_000_000)]
    [64, 128, 256]
    """
    return 64 if n_items < 100_000 else 128 if n_items <= 10_000_000 else 256


def advise_dimension(
    dataset: Dataset,
    dimensions: Sequence[int] = (16, 32, 64, 128, 256),
    *,
    k: int = 50,
    share: float = 0.2,
    tolerance: float = 0.01,
    max_users: int = 5_000,
    seed: int = 0,
) -> DimensionAdvice:
    """Measure how well factors of several sizes find items that were held out.

    The factors are those of :class:`PureSVD`, which are nested: one decomposition serves all sizes. A trained model of
    another kind has another best size, but needs more dimensions for the same reason: more tastes than axes.

    Parameters
    ----------
    dataset : Dataset
    dimensions : sequence of int, default (16, 32, 64, 128, 256)
        Those above the number of users or items are left out.
    k : int, default 50
        Depth of the recall.
    share : float, default 0.2
        Share of each user's items held out.
    tolerance : float, default 0.01
        Relative recall that a smaller size may lose against the best.
    max_users : int, default 5000
        Size of the sample of users.
    seed : int, default 0
        Of the sample, the hold-out and the decomposition.

    Raises
    ------
    ConfigurationError
        If an option is out of range.
    DataError
        If nobody has enough items to hold some out.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> user = rng.integers(0, 60, 2000)
    >>> item = user % 4 * 10 + rng.integers(0, 10, 2000)  # four tastes
    >>> data = Dataset.from_frame({"user": user, "item": item, "timestamp": np.arange(2000)})
    >>> advise_dimension(data, [1, 4, 16], k=10).dimension
    4
    """
    if not dimensions or min(dimensions) < 1:
        raise ConfigurationError(f"found dimensions={list(dimensions)}; expected numbers of at least 1")
    require(whole(1), k=k, max_users=max_users)
    require(between(0, 1, open_high=True), tolerance=tolerance)
    train, test = hold_out(dataset, share=share, seed=seed)
    users = np.unique(test.interactions.user)
    users = users[users > 0]
    if not len(users):
        raise DataError("found nobody with items to hold out; expected users with several distinct items")
    if len(users) > max_users:
        users = np.sort(np.random.default_rng(seed).choice(users, max_users, replace=False))
    sizes = sorted({min(size, train.n_users, train.n_items) for size in dimensions})
    model = PureSVD(sizes[-1], seed=seed).fit(train)
    vectors = model.item_factors_
    requests = Requests.build(users, now=train.until + 1)
    history = UserHistory().fit(train).hydrate(requests).ragged["history"]
    requests = Requests.build(users, now=train.until + 1, ragged={"history": history, "exclude": history})
    taken = model._history_matrix(requests, len(vectors))
    recalls = [_recall(requests, taken, np.ascontiguousarray(vectors[:, :size]), test, k) for size in sizes]
    best = sizes[int(np.argmax(np.array(recalls) >= max(recalls) * (1 - tolerance)))]
    table = tuple(
        {"dimension": float(size), "recall": recall, "megabytes": 4e-6 * size * len(vectors)}
        for size, recall in zip(sizes, recalls, strict=True)
    )
    return DimensionAdvice(best, customary_dimension(dataset.n_items), table, k)


def _recall(requests: Requests, taken: Any, vectors: Any, test: Dataset, k: int) -> float:
    """Return the mean recall at k of the users."""
    usable = np.asarray(vectors.any(axis=1))
    known = np.asarray(np.diff(taken.indptr) > 0)
    lists = retrieve_nearest(requests, k, taken @ vectors, vectors, known=known, usable=usable)
    row = np.repeat(np.arange(len(requests)), np.diff(lists.offsets))
    width = len(vectors)
    truth = np.unique(test.interactions.user * width + test.interactions.item)
    hits = np.bincount(row[np.isin(requests.user[row] * width + lists.item, truth)], minlength=len(requests))
    theirs = truth[np.isin(truth // width, requests.user)]
    total = np.bincount(np.searchsorted(requests.user, theirs // width), minlength=len(requests))
    return float(np.mean(hits / np.maximum(total, 1)))
