"""ListMonitor: coverage, diversity, novelty and popularity of the lists, of new items and for cold users."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from recokit.data import Dataset, Vocabulary, activity_segments
from recokit.data.segments import item_segments
from recokit.data.times import DAY
from recokit.monitoring.counters import Counters, Key, MetricSpec
from recokit.monitoring.monitor import Monitor
from recokit.trace import Trace
from recokit.typing import BoolArray, FloatArray, IntArray

_LISTS = MetricSpec("recokit_lists", "counter", "Lists with at least one item.", ("users",))


_ITEMS = MetricSpec("recokit_listed_items", "counter", "Items in lists.", ("users", "items"))


_DIVERSITY = MetricSpec(
    "recokit_list_diversity", "summary", "Share of a list's pairs of items that are of different categories."
)


_NOVELTY = MetricSpec(
    "recokit_item_self_information", "summary", "Self-information of the items in lists, in bits.", ("users",)
)


_POPULARITY = MetricSpec(
    "recokit_item_popularity_ratio",
    "summary",
    "Popularity rank of the items in lists, 1 the most popular.",
    ("users",),
)


_COVERAGE = MetricSpec(
    "recokit_catalog_coverage_ratio",
    "gauge",
    "Share of the catalogue's items that were in a list.",
    ("period", "users", "items"),
)


USERS, ITEMS = ("cold", "warm"), ("new", "established")


#: Marks of the items shown; sums of the items of lists: how many, information, popularity, new ones.
_SHOWN, _SUMS = "shown", "sums"


class ListMonitor(Monitor):
    """Coverage, diversity, novelty and popularity of each day's and week's lists, cold users and new items apart.

    Parameters
    ----------
    catalog : Catalog
        Popularity, novelty and segments of items and users.

    Notes
    -----
    Coverage is the distinct items of a period over the catalogue, as :class:`recokit.metrics.CatalogCoverage` defines
    it; it grows with traffic, so compare days with days. Diversity is that of
    :class:`recokit.metrics.IntraListDiversity` by category; lists of one item have none. Memory: two
    bytes an item and day, 70 for five weeks.

    Examples
    --------
    >>> import recokit as rk
    >>> from recokit import candidates
    >>> data = rk.testing.toy_dataset()
    >>> lists = ListMonitor(Catalog.of(data))
    >>> pipeline = rk.Pipeline([candidates.Popular()], observers=[lists]).fit(data)
    >>> _ = pipeline.recommend(["user-1", "user-2", None], k=3, now=data.until)
    >>> figures = lists.figures(lists.total())
    >>> figures["lists"], figures["coverage"]["all"], figures["coverage"]["new items"]
    ({'cold': 1, 'warm': 2}, 0.1, 0.0)
    """

    metrics = (_LISTS, _ITEMS, _DIVERSITY, _NOVELTY, _POPULARITY, _COVERAGE)

    def __init__(self, catalog: Catalog) -> None:
        super().__init__(slot=DAY, n_slots=1)
        self.catalog = catalog
        self._table = np.column_stack(
            [np.ones(catalog.n_items + 1), catalog.information, catalog.popularity, catalog.new_item]
        )
        self._new = catalog.new_item[1:]

    def _count(self, counters: Counters, trace: Trace) -> None:
        code = self.catalog.items_of(trace)
        if not len(code):
            return
        size = len(self._table)
        for users, n_lists, of in self._parts(trace, code):
            counters.add((_LISTS.name, users), n_lists)
            counters.add_array((_SUMS, users), np.add.reduce(self._table.take(of, 0)))
            counters.mark((_SHOWN, users), of, size)
        self._count_diversity(counters, self.catalog.category[code].tolist(), trace.selected.offsets.tolist())

    def _parts(self, trace: Trace, code: IntArray) -> Iterator[tuple[str, int, IntArray]]:
        """Give the lists of cold and of warm users: how many, and the items in them."""
        cold = self.catalog.cold_of(trace)
        if len(cold) == 1:
            yield ("cold" if cold[0] else "warm"), 1, code
            return
        filled = trace.selected.counts > 0
        for users, rows in zip(USERS, (cold, ~cold), strict=True):
            n = int(np.count_nonzero(rows & filled))
            if n:
                yield users, n, code[rows[trace.selected.row]]

    def _count_diversity(self, counters: Counters, labels: list[int], offsets: list[int]) -> None:
        total, lists = 0.0, 0
        for start, end in pairwise(offsets):
            n = end - start
            if n > 1:
                total += 1.0 - 2.0 * _pairs_alike(labels[start:end]) / (n * (n - 1))
                lists += 1
        if lists:
            counters.add((f"{_DIVERSITY.name}_sum",), total)
            counters.add((f"{_DIVERSITY.name}_count",), lists)

    # -- reading -----------------------------------------------------------------------------------

    def counters(self, counters: Counters) -> Mapping[Key, float]:
        """Return the counts and sums, by users."""
        found = dict(counters.counts)
        for key, sums in counters.arrays.items():
            users = key[1]
            n, bits, popularity, new = sums.tolist()
            found[_ITEMS.name, users, "new"] = new
            found[_ITEMS.name, users, "established"] = n - new
            for metric, total in ((_NOVELTY, bits), (_POPULARITY, popularity)):
                found[f"{metric.name}_sum", users], found[f"{metric.name}_count", users] = total, n
        return found

    def coverage(self, counters: Counters) -> dict[tuple[str, str], float]:
        """Return the share of items shown, by users (``all``, ``cold``, ``warm``) and items (``all``, ``new``, ...)."""
        shown = {users: self._shown(counters, users) for users in USERS}
        shown["all"] = shown["cold"] | shown["warm"]
        parts = {"all": np.ones_like(self._new), "new": self._new, "established": ~self._new}
        return {
            (users, items): int(np.count_nonzero(seen & part)) / max(int(np.count_nonzero(part)), 1)
            for users, seen in shown.items()
            for items, part in parts.items()
        }

    def _shown(self, counters: Counters, users: str) -> BoolArray:
        seen = counters.marks.get((_SHOWN, users))
        return np.zeros_like(self._new) if seen is None else seen[1:]

    def gauges(self, now: float) -> dict[Key, float]:
        """Return the coverage of the last whole day and the last whole week before ``now``; none before there is one.

        A period under way would look like a collapse.
        """
        today = int(now // DAY)
        whole_weeks = {day: counters for day, counters in self.weeks().items() if day + 7 <= today}
        periods = {"day": self.days().get(today - 1), "week": whole_weeks.get(max(whole_weeks, default=0))}
        return {
            (_COVERAGE.name, period, *labels): share
            for period, counters in periods.items()
            if counters is not None
            for labels, share in self.coverage(counters).items()
        }

    def figures(self, counters: Counters) -> dict[str, Any]:
        """Return lists, items, coverage, diversity, novelty and popularity of a period; None without lists."""
        counts, coverage = self.counters(counters), self.coverage(counters)

        def mean(metric: MetricSpec, *labels: str) -> float | None:
            n = counts.get((f"{metric.name}_count", *labels), 0.0)
            return counts[(f"{metric.name}_sum", *labels)] / n if n else None

        return {
            "lists": {users: int(counts.get((_LISTS.name, users), 0)) for users in USERS},
            "items": {
                f"{items}, {users} users": int(counts.get((_ITEMS.name, users, items), 0))
                for users in USERS
                for items in ITEMS
            },
            "coverage": {
                "all": coverage["all", "all"],
                **{f"{items} items": coverage["all", items] for items in ITEMS},
                **{f"{users} users": coverage[users, "all"] for users in USERS},
            },
            "diversity": mean(_DIVERSITY),
            "novelty": {users: mean(_NOVELTY, users) for users in USERS},
            "popularity": {users: mean(_POPULARITY, users) for users in USERS},
        }


def _pairs_alike(labels: list[int]) -> int:
    """Return how many pairs of a list share a label; of ten, a loop is faster than counting."""
    seen: dict[int, int] = {}
    alike = 0
    for label in labels:
        before = seen.get(label, 0)
        alike += before
        seen[label] = before + 1
    return alike


@dataclass(frozen=True, eq=False, repr=False)
class Catalog:
    """Popularity, novelty and segments of items and users, by code of the dataset's ids; row 0 is unknown.

    A model with other vocabularies is monitored too: ids are looked up then, which takes some 0.1 ms a request; a
    catalog of the new data spares that.

    Parameters
    ----------
    item_ids, user_ids : Vocabulary
        Ids of the codes.
    information : ndarray of float64, shape (n_items + 1,)
        Self-information of an item, ``-log2`` of the share of events that are its own, in bits; an item without any
        counts as half an event. Zhou et al., *Solving the apparent diversity-accuracy dilemma*, 2010.
    popularity : ndarray of float64, shape (n_items + 1,)
        Share of the items that have at most as many events, 0 to 1.
    new_item : ndarray of bool, shape (n_items + 1,)
        Items with fewer than ``new`` events; unknown items are new.
    cold_user : ndarray of bool, shape (n_users + 1,)
        Users with fewer than ``cold`` events; unknown users are cold.
    category : ndarray of int64, shape (n_items + 1,)
        Labels that tell items apart for diversity; all 0 without a column.
    """

    item_ids: Vocabulary
    user_ids: Vocabulary
    information: FloatArray
    popularity: FloatArray
    new_item: BoolArray
    cold_user: BoolArray
    category: IntArray

    @classmethod
    def of(cls, dataset: Dataset, *, category: str = "category", new: int = 5, cold: int = 5) -> Catalog:
        """Read a catalog from the training data.

        Parameters
        ----------
        dataset : Dataset
            The one that the model was fitted on.
        category : str, default "category"
            Item column for diversity, if there is one.
        new, cold : int, default 5
            Items and users with fewer events are new and cold.

        Examples
        --------
        >>> import recokit as rk
        >>> catalog = Catalog.of(rk.testing.toy_dataset())
        >>> int(catalog.new_item[1:].sum()), int(catalog.cold_user[1:].sum())
        (5, 1)
        """
        events = np.bincount(dataset.interactions.item, minlength=dataset.n_items + 1)
        events[0] = 0
        rank = np.searchsorted(np.sort(events[1:]), events, side="right") / max(dataset.n_items, 1)
        rank[0] = 0.0
        new_item = item_segments(dataset, new=new).codes == 1
        new_item[0] = True
        items = dataset.items
        labels = items.categorical[category].codes if category in items.categorical else np.zeros_like(events)
        return cls(
            item_ids=dataset.item_ids,
            user_ids=dataset.user_ids,
            information=-np.log2(np.maximum(events, 0.5) / max(events.sum(), 1)),
            popularity=rank,
            new_item=new_item,
            cold_user=activity_segments(dataset, cold=cold).codes == 1,
            category=np.asarray(labels, np.int64),
        )

    def __repr__(self) -> str:
        return f"Catalog({len(self.item_ids)} items, {len(self.user_ids)} users)"

    @property
    def n_items(self) -> int:
        """Number of items, without the unknown one."""
        return len(self.item_ids)

    def items_of(self, trace: Trace) -> IntArray:
        """Return this catalog's codes of the items that a run showed, (N,) int64; 0 for unknown ones."""
        item, ids = trace.selected.item, trace.item_ids
        if ids is None or self._same(ids, self.item_ids):
            return item
        return self.item_ids.encode(ids.decode(item))

    def cold_of(self, trace: Trace) -> BoolArray:
        """Return which users of a run are cold, (B,) bool."""
        user, ids = trace.requests.user, trace.user_ids
        if ids is None or self._same(ids, self.user_ids):
            return self.cold_user[user]
        known = user > 0
        cold = np.ones(len(user), np.bool_)
        cold[known] = self.cold_user[self.user_ids.encode(ids.decode(user[known]))]
        return cold

    def _same(self, ids: Vocabulary, mine: Vocabulary) -> bool:
        return ids is mine or ids.fingerprint == mine.fingerprint
