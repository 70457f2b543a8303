"""UserLog: the events of each user as a log has them, beside which hydrated lists are read."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from recokit.data import Dataset, Requests, Schema
from recokit.data.events.user_history import EventLists
from recokit.typing import AnyArray, FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Listed:
    """One list of one user's events: items, oldest first, and their times where they are known."""

    items: IntArray
    times: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.items)

    def where(self, kept: AnyArray) -> Listed:
        """Return some of the events."""
        return Listed(self.items[kept], None if self.times is None else self.times[kept])

    @property
    def events(self) -> list[tuple[int, float]]:
        """The events, to compare: an item and its time."""
        times = np.zeros(len(self)) if self.times is None else self.times
        return list(zip(self.items.tolist(), times.tolist(), strict=True))


@dataclass(frozen=True)
class UserLog:
    """The events of each user strictly before a time, in the codes of a pipeline.

    Parameters
    ----------
    dataset : Dataset
        The log.
    schema : Schema
        Of the pipeline.
    """

    dataset: Dataset
    schema: Schema

    def before(self, requests: Requests, row: int) -> Listed:
        """Return what the log has of the user of one request; nothing of a user that the model does not know."""
        code = int(requests.user[row])
        if not code:
            return Listed(np.zeros(0, np.int64), np.zeros(0))
        user = self.dataset.user_ids.encode(self.schema.user_ids.decode(np.array([code])))
        lists = self._lists.before(user, requests.now[row : row + 1], ("timestamp",))
        return Listed(self._item[lists.values], lists.columns["timestamp"])

    @cached_property
    def _lists(self) -> EventLists:
        return EventLists.build(self.dataset.interactions, self.dataset.n_users)

    @cached_property
    def _item(self) -> IntArray:
        """The pipeline's code of each item of the log."""
        ids = self.dataset.item_ids
        codes = self.schema.item_ids.encode(ids.decode(np.arange(1, len(ids) + 1)))
        return np.concatenate([np.zeros(1, np.int64), codes])
