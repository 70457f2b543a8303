"""Impressions: the items that were shown, their places, and what came of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from recokit._kernels.membership import locate_sorted
from recokit._utils.options import one_of, require, require_rows
from recokit.data.event_types import names_of
from recokit.data.interactions import Interactions
from recokit.errors import DataError
from recokit.typing import BoolArray, Float32Array, FloatArray, IntArray


@dataclass(frozen=True, eq=False, repr=False)
class ImpressionLog:
    """M impressions: items shown in a place of a list, and what came of it.

    Parameters
    ----------
    user, item : ndarray of int64, shape (M,)
        Codes.
    timestamp : ndarray of float64, shape (M,)
        When it was shown, seconds since 1970.
    position : ndarray of int64, shape (M,)
        1-based place; 0 was not shown.
    label : ndarray of float32, shape (M,)
        0 for what was not clicked; else the gain, such as the weight of the strongest event that followed.
    group : ndarray of int64, shape (M,)
        Number of the list; all impressions of a list have the same user.
    propensity : ndarray of float64, shape (M,), optional
        Probability with which the item was shown there; NaN where unknown.

    Raises
    ------
    DataError
        If lengths differ, a place or label is negative, or a list has two users.
    """

    user: IntArray
    item: IntArray
    timestamp: FloatArray
    position: IntArray
    label: Float32Array
    group: IntArray
    propensity: FloatArray | None = None

    def __post_init__(self) -> None:
        n = len(self.item)
        for part in fields(self):
            column = getattr(self, part.name)
            if column is not None and column.shape != (n,):
                raise DataError(
                    f"found {part.name} of shape {column.shape}; expected ({n},), one for each item"
                )
        for name, column in (("position", self.position), ("label", self.label)):
            require_rows(column >= 0, column, name, "at least 0")
        order = np.argsort(self.group, kind="stable")
        group, user = self.group[order], self.user[order]
        bad = order[1:][(group[1:] == group[:-1]) & (user[1:] != user[:-1])]
        if len(bad):
            raise DataError(
                f"found list {self.group[bad[0]]} with two users; expected one number for each list", rows=bad
            )

    def __len__(self) -> int:
        return len(self.item)

    def __repr__(self) -> str:
        clicks = int(np.count_nonzero(self.label))
        return f"ImpressionLog({len(self)} impressions, {len(np.unique(self.group))} lists, {clicks} clicks)"

    @property
    def clicked(self) -> BoolArray:
        """Whether anything came of it, (M,) bool."""
        return self.label > 0

    def take(self, index: IntArray | BoolArray) -> ImpressionLog:
        """Return some impressions, by position or mask."""
        columns = {part.name: getattr(self, part.name) for part in fields(self)}
        taken: dict[str, Any] = {
            name: None if column is None else column[index] for name, column in columns.items()
        }
        return replace(self, **taken)

    @classmethod
    def of(cls, shown: Any) -> ImpressionLog:
        """Build from an object with the columns of :class:`recokit.datasets.Impressions`; a session is a list."""
        return cls(
            user=np.asarray(shown.user, np.int64),
            item=np.asarray(shown.item, np.int64),
            timestamp=np.asarray(shown.timestamp, np.float64),
            position=np.asarray(shown.position, np.int64),
            label=np.asarray(shown.clicked, np.float32),
            group=np.asarray(shown.session, np.int64),
            propensity=np.asarray(shown.propensity, np.float64),
        )

    @classmethod
    def from_events(
        cls,
        log: Interactions,
        *,
        shown: str = "impression",
        group: str = "impression",
        labels: Iterable[str] | None = None,
    ) -> ImpressionLog:
        """Build from an event log that holds what was shown as events of their own.

        Parameters
        ----------
        log : Interactions
            With impression ids and positions. An impression may be a list or a place of one: items tell its places
            apart.
        shown : str, default "impression"
            Name of the events that tell that something was shown.
        group : {"impression", "session"}, default "impression"
            What makes a list: the impression id, where all its places share one, else the session.
        labels : iterable of str, optional
            Names of the events that count as clicks; by default all but ``shown``. The label is the largest weight of
            those with the same impression and item.

        Raises
        ------
        DataError
            If the log lacks impressions, positions or sessions, or has no event named ``shown``.
        """
        require(one_of("impression", "session"), group=group)
        required = {"impression": log.impression, "position": log.position}
        if group == "session":
            required["session"] = log.session
        for name, column in required.items():
            if column is None:
                raise DataError(f"found no {name} in the interactions; expected a column {name}")
        seen = log.of(shown)
        wanted = [name for name in log.event_names if name not in names_of(log.event_names, shown)]
        if not len(seen):
            raise DataError(f"found no event {shown!r}; expected one of {', '.join(log.event_names)}")
        signal = log.replace(weight=np.where(log.counted, log.weight, np.float32(0)))
        followed = signal.of(*(wanted if labels is None else labels))
        width = int(log.item.max(initial=0)) + 1
        key, later = (np.asarray(part.impression) * width + part.item for part in (seen, followed))
        # Stable: of what was recorded twice, the first record is kept.
        key, first = np.unique(key, return_index=True)
        place, found = locate_sorted(key, later)
        label = np.zeros(len(key), np.float32)
        np.maximum.at(label, place[found], followed.weight[found])
        order = np.argsort(first)
        kept = seen.take(first[order])
        return cls(
            user=kept.user,
            item=kept.item,
            timestamp=kept.timestamp,
            position=np.asarray(kept.position),
            label=label[order],
            group=np.asarray(kept.impression if group == "impression" else kept.session),
            propensity=kept.propensity,
        )
