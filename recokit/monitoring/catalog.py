"""Catalog: which items and users are known, popular, new and cold, by the data that the model was trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recokit.data import Dataset, Vocabulary, activity_segments
from recokit.data.item_segments import item_segments
from recokit.trace import Trace
from recokit.typing import BoolArray, FloatArray, IntArray

__all__ = ["Catalog"]


@dataclass(frozen=True, eq=False, repr=False)
class Catalog:
    """What monitors must know of items and users, by code of the dataset's vocabularies, row 0 for unknown ones.

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
            What the model was fitted on.
        category : str, default "category"
            Item column for diversity, if there is one.
        new, cold : int, default 5
            Items and users with fewer events are new and cold; R8.

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
