"""NotOwned and NotSeen: what the user has already."""

from __future__ import annotations

import copy
from typing import Any

from recokit._configured import Configured
from recokit._ops.membership import pairs_in_sets
from recokit._ops.segments import rows_to_offsets
from recokit.data import Candidates, Schema, seconds
from recokit.rules._columns import item_name, numeric_column, require_bound
from recokit.typing import BoolArray

__all__ = ["NotOwned", "NotSeen"]


class NotOwned(Configured):
    """Filter of items that the user has bought, but for consumables (R12).

    Parameters
    ----------
    except_for : str, optional
        Item column that flags consumables: those may be bought again. An item whose flag is missing is none.
    window : str or float, optional
        Only purchases of the last so long count, such as ``"365D"``; all by default.

    Examples
    --------
    >>> import numpy as np
    >>> from recokit.data import Ragged, Requests
    >>> requests = Requests.build(np.array([7]), ragged={"owned": Ragged.from_lists([[2]])})
    >>> NotOwned().keep(Candidates.from_lists([[1, 2]], requests=requests)).tolist()
    [True, False]
    """

    def __init__(self, *, except_for: str | None = None, window: str | float | None = None) -> None:
        if except_for is not None:
            item_name(except_for)
        if window is not None:
            seconds(window)
        self.except_for, self.window = except_for, window

    @property
    def requires(self) -> tuple[str, ...]:
        """Owned items, and the column of consumables."""
        return ("owned",) if self.except_for is None else ("owned", item_name(self.except_for))

    def bind(self, schema: Schema) -> Any:
        """Return a copy that knows the consumables."""
        bound: Any = copy.copy(self)
        if self.except_for is not None:
            bound.exempt_ = numeric_column(schema, self.except_for) > 0
        return bound

    def keep(self, candidates: Candidates) -> BoolArray:
        """Tell which items the user may be shown, (N,) bool."""
        owned = candidates.requests.lists("owned")
        offsets, values = owned.offsets, owned.values
        if self.window is not None and "timestamp" in owned.columns:
            rows = owned.rows
            recent = owned.columns["timestamp"] >= candidates.requests.now[rows] - seconds(self.window)
            offsets, values = rows_to_offsets(rows[recent], len(owned)), values[recent]
        kept = ~pairs_in_sets(candidates.row, candidates.item, offsets, values)
        if self.except_for is not None:
            kept |= require_bound(self, "exempt_")[candidates.item]
        return kept


class NotSeen(Configured):
    """Filter of items in the user's history, whatever the event.

    Examples
    --------
    >>> import numpy as np
    >>> from recokit.data import Ragged, Requests
    >>> requests = Requests.build(np.array([7]), ragged={"history": Ragged.from_lists([[2]])})
    >>> NotSeen().keep(Candidates.from_lists([[1, 2]], requests=requests)).tolist()
    [True, False]
    """

    requires = ("history",)

    def keep(self, candidates: Candidates) -> BoolArray:
        """Tell which items are not in the history, (N,) bool."""
        history = candidates.requests.lists("history")
        return ~pairs_in_sets(candidates.row, candidates.item, history.offsets, history.values)
