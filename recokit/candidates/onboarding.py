"""Onboarding: what to ask a newcomer, so that a few answers tell most."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from recokit._utils.options import require, shown as quoted, whole
from recokit.data import Dataset, Vocabulary
from recokit.errors import DataError, did_you_mean
from recokit.typing import AnyArray, Float32Array, FloatArray, IntArray

#: Powers of e by which a user counts more who took what was chosen, and less who took what was shown and left.
_ALIKE, _UNLIKE = 2.5, 0.1
#: Share of a user's weight that goes once one thing on the screen is to his taste.
_SERVED = 0.4
#: Users with many events count less: by their number to this power.
_ACTIVE = 0.25


class Onboarding:
    """Choose items, or categories of items, to show a newcomer, who says which of them he likes.

    Each screen is chosen for the users of the data as far as they agree with the answers so far (information): a thing
    that many of them took is worth asking (coverage), and who has something on the screen already counts less for the
    next place (variety). It is fitted by the constructor, keeps no state between calls and draws nothing at random but
    a sample of the users, by the seed.

    Parameters
    ----------
    dataset : Dataset
        Whose users and signals to learn from.
    by : str, default "item"
        ``"item"``, or the name of an item column of labels such as ``"category"``.
    items : sequence of ids, optional
        Items that may be shown to anybody: those in stock, without recalled ones. All items by default.
    pool : int, default 400
        The things that may be asked at all: those that most users took.
    max_users : int, default 5_000
        Users that are looked at, a sample where there are more. A call takes some 10 ms at the defaults.
    seed : int, default 0
        Of the sample.

    Raises
    ------
    ConfigurationError
        If an option is out of range, or there is no such column of labels.
    DataError
        If nobody took anything that may be asked.

    Notes
    -----
    What a user counts is a likelihood: each chosen thing that he took multiplies it, each shown and left one divides
    it, by less, since people overlook much of what they like. Judged by NDCG@10 of ``ItemKNN`` on what newcomers took
    later, after 3 and 5 screens of 6, it is above screens of the most popular items on MovieLens 100K and on the
    marketplace; screens of items at random tell next to nothing.

    Examples
    --------
    >>> import recokit as rk
    >>> onboarding = Onboarding(rk.testing.toy_dataset())
    >>> first = onboarding.ask(n=3)
    >>> second = onboarding.ask(chosen=first[:1], shown=first, n=3)
    >>> len(first), len(second), set(first) & set(second)
    (3, 3, set())
    >>> onboarding.history(first[:1]) == first[:1]
    True
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        by: str = "item",
        items: Sequence[Any] | None = None,
        pool: int = 400,
        max_users: int = 5_000,
        seed: int = 0,
    ) -> None:
        require(whole(1), pool=pool, max_users=max_users)
        require(whole(0), seed=seed)
        self.by, self.pool, self.max_users, self.seed = by, pool, max_users, seed
        log = dataset.interactions.personal
        allowed = np.ones(dataset.n_items + 1, np.bool_)
        if items is not None:
            allowed[:] = False
            allowed[dataset.item_ids.encode(list(items))] = True
        allowed[0] = False
        inside = allowed[log.item]
        user, item = log.user[inside], log.item[inside]
        of_item, self._names = _things(dataset, by)
        thing = of_item[item]
        known = thing > 0
        user, thing, item = user[known], thing[known], item[known]
        if not len(user):
            raise DataError(
                "found no signal of a known user on what may be asked; expected some; hint: items=, weights"
            )
        self._fit(user, thing, len(self._names))
        self._representatives = _most_taken(item, user, of_item)
        self._item_ids = dataset.item_ids

    def _fit(self, user: IntArray, thing: IntArray, n_things: int) -> None:
        pairs = np.unique(np.stack([user, thing], axis=1), axis=0)
        taken = np.bincount(pairs[:, 1], minlength=n_things + 1)
        self._asked = np.argsort(-taken[1:], kind="stable")[: min(self.pool, np.count_nonzero(taken))] + 1
        place = np.full(n_things + 1, -1)
        place[self._asked] = np.arange(len(self._asked))
        self._place = place
        people = np.unique(pairs[:, 0])
        if len(people) > self.max_users:
            people = np.sort(np.random.default_rng(self.seed).choice(people, self.max_users, replace=False))
        row = np.searchsorted(people, pairs[:, 0])
        row[row == len(people)] = 0
        use = (people[row] == pairs[:, 0]) & (place[pairs[:, 1]] >= 0)
        #: Who took what, users by things that may be asked.
        self._took: Float32Array = np.zeros((len(people), len(self._asked)), np.float32)
        self._took[row[use], place[pairs[use, 1]]] = 1.0
        activity = self._took.sum(axis=1)
        self._weight: FloatArray = np.where(activity > 0, np.maximum(activity, 1.0) ** -_ACTIVE, 0.0)

    def ask(self, chosen: Iterable[Any] = (), shown: Iterable[Any] = (), *, n: int = 6) -> list[Any]:
        """Return what to show next.

        Parameters
        ----------
        chosen : iterable of ids or labels
            What the newcomer chose so far.
        shown : iterable of ids or labels
            What he was shown so far; what he chose counts as shown.
        n : int, default 6
            Things on a screen.

        Returns
        -------
        list
            Ids, or labels, best first; fewer where there are no more.

        Raises
        ------
        ConfigurationError
            If ``n`` is below 1.
        DataError
            For ids of the wrong kind, or a label that there is not. Items that the data lacks are passed over.
        """
        require(whole(1), n=n)
        liked = self._places(chosen)
        seen = np.union1d(liked, self._places(shown))
        left = self._agreeing(liked, np.setdiff1d(seen, liked))
        taken = np.zeros(len(self._asked), np.bool_)
        taken[seen] = True
        screen: list[int] = []
        for _ in range(min(n, int(np.count_nonzero(~taken)))):
            worth = left @ self._took
            worth[taken] = -1.0
            best = int(worth.argmax())
            screen.append(best)
            taken[best] = True
            left = left * (1.0 - _SERVED * self._took[:, best])
        return list(self._names.decode(self._asked[screen]).tolist())

    def history(self, chosen: Iterable[Any], *, per_label: int = 3) -> list[Any]:
        """Return the choices as a history, for ``recommend([None], history=[...])``.

        Parameters
        ----------
        chosen : iterable of ids or labels
            What the newcomer chose.
        per_label : int, default 3
            Items that stand for a label: those that most users took.

        Returns
        -------
        list
            Item ids: the chosen ones, or those that stand for the chosen labels.

        Raises
        ------
        ConfigurationError
            If ``per_label`` is below 1.
        DataError
            For ids of the wrong kind, or a label that there is not.
        """
        require(whole(1), per_label=per_label)
        things = self._codes(chosen)
        if self.by == "item":
            return list(self._item_ids.decode(things[things > 0]).tolist())
        standing = [self._representatives.get(thing, [])[:per_label] for thing in things.tolist()]
        return list(self._item_ids.decode([item for items in standing for item in items]).tolist())

    def __repr__(self) -> str:
        return (
            f"Onboarding({len(self._asked)} of {len(self._names)} {self.by} values, {len(self._took)} users)"
        )

    def _agreeing(self, liked: IntArray, left_out: IntArray) -> FloatArray:
        """Return how much each user counts, by how far he agrees with the answers."""
        agrees = self._took[:, liked].sum(axis=1, dtype=np.float64) / max(np.sqrt(len(liked)), 1.0)
        differs = self._took[:, left_out].sum(axis=1, dtype=np.float64)
        logarithm = _ALIKE * agrees - _UNLIKE * differs
        return np.asarray(self._weight * np.exp(logarithm - logarithm.max()))

    def _codes(self, things: Iterable[Any]) -> IntArray:
        given = list(things)
        codes = self._names.encode(given) if given else np.zeros(0, np.int64)
        if self.by != "item" and len(codes) and not codes.all():
            wrong = given[int(np.argmin(codes))]
            raise DataError(
                f"found {self.by} {quoted(wrong)}; {did_you_mean(str(wrong), self._names.ids.tolist())}"
            )
        return codes

    def _places(self, things: Iterable[Any]) -> IntArray:
        places = self._place[self._codes(things)]
        return np.unique(places[places >= 0])


def _things(dataset: Dataset, by: str) -> tuple[IntArray, Vocabulary]:
    """Return the code of the thing that each item is, or belongs to, and the names of things."""
    if by == "item":
        return np.arange(dataset.n_items + 1), dataset.item_ids
    labelled = dataset.items.labelled(by.removeprefix("item."))
    return labelled.codes, labelled.labels


def _most_taken(item: IntArray, user: IntArray, of_item: IntArray) -> dict[int, list[int]]:
    """Return the items of each thing, those that most users took first."""
    pairs = np.unique(np.stack([user, item], axis=1), axis=0)
    taken = np.bincount(pairs[:, 1])
    items: AnyArray = np.argsort(-taken, kind="stable")
    found: dict[int, list[int]] = {}
    for one in items[taken[items] > 0].tolist():
        found.setdefault(int(of_item[one]), []).append(one)
    return found
