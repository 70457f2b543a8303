"""Exclusive: items that do not go together in one list."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np

from recokit._kernels.segments import rows_to_offsets
from recokit.compose.alone.lists import AloneRule
from recokit.data import Candidates, Cap, Schema
from recokit.errors import ConfigurationError


class Exclusive(AloneRule):
    """Limit of one item of each set: its items exclude each other. An item may be in several sets.

    Parameters
    ----------
    sets : sequence of sequences of item ids
        Each of at least two items. Ids that are not in the catalogue exclude nothing.
    hard : bool, default False
        A hard limit is never broken: the list ends early. A soft one is relaxed, and recorded, to fill the list.
    relax_order : int, default 0
        Soft limits with a lower number are relaxed first.

    Raises
    ------
    ConfigurationError
        If there is no set, or one has fewer than two distinct items.

    Examples
    --------
    >>> from recokit.testing import toy_dataset
    >>> data = toy_dataset()
    >>> first, second = data.item_ids.ids[:2]
    >>> rule = Exclusive([[first, second]]).bind(data.schema)
    >>> limit = rule.limit(Candidates.from_lists([[1, 2, 3]]))[0]
    >>> limit.take(np.arange(3)).offsets.tolist()
    [0, 1, 2, 2]
    """

    cap_: Cap

    def __init__(self, sets: Sequence[Sequence[Any]], *, hard: bool = False, relax_order: int = 0) -> None:
        if not len(sets):
            raise ConfigurationError("found no sets; expected at least one, such as [['item-1', 'item-2']]")
        for each in sets:
            if isinstance(each, str) or len(set(each)) < 2:
                raise ConfigurationError(f"found the set {each!r}; expected at least two distinct item ids")
        self.sets, self.hard, self.relax_order = sets, hard, relax_order

    def bind(self, schema: Schema) -> Any:
        """Return a copy that has the cap on all items by code: each set is a group of its items."""
        bound: Any = copy.copy(self)
        pairs = [
            (code, number)
            for number, each in enumerate(self.sets)
            for code in np.unique(schema.item_ids.encode(list(each))).tolist()
            if code
        ]
        item, number = np.array(sorted(pairs), np.int64).reshape(-1, 2).T
        bound.cap_ = Cap(
            "exclusive",
            number.copy(),
            rows_to_offsets(item, len(schema.item_ids) + 1),
            maximum=1,
            hard=self.hard,
            relax_order=self.relax_order,
        )
        return bound

    def limit(self, candidates: Candidates) -> tuple[Cap, ...]:
        """Return the cap on these candidates."""
        return (self.cap_.of_items(candidates.item),)
