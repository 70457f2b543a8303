"""NotOwned and NotSeen: what the user has already."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np

from recokit._kernels.membership import pairs_in_sets
from recokit._kernels.segments import rows_to_offsets
from recokit.compose.alone.lists import AloneRule
from recokit.data import DAY, Candidates, Dataset, Ragged, Requests, Schema, seconds
from recokit.data.event_types import codes_of, shown_names
from recokit.data.events.user_history import OWNING, EventLists, check_events
from recokit.errors import ConfigurationError
from recokit.rules._groups import item_name, numeric_column
from recokit.typing import BoolArray, FloatArray, IntArray


class NotOwned(AloneRule):
    """Filter of items that the user has bought, but for consumables.

    Parameters
    ----------
    events : sequence of str, optional
        Event types that make an item owned, such as ``("rental", "gift")``; by default those that mean a purchase.
    except_for : str, optional
        Item column that flags consumables: those may be bought again. An item whose flag is missing is none.
    window : str or float, optional
        Only purchases of the last so long count, such as ``"365D"``; all by default.
    again_after : str or float, optional
        Consumables come back only so long after the last purchase, such as ``"14D"``; or after so many days as an item
        column says, such as ``"item.lasts_days"``. Where that, or the time of the purchase, is not known, the item is
        out. At once by default.

    Raises
    ------
    ConfigurationError
        If ``again_after`` stands without ``except_for``, there is no such column, or the data of ``fit`` has no event
        of these types.

    Examples
    --------
    >>> import numpy as np
    >>> from recokit.data import Ragged, Requests
    >>> requests = Requests.build(np.array([7]), ragged={"owned": Ragged.from_lists([[2]])})
    >>> NotOwned().keep(Candidates.from_lists([[1, 2]], requests=requests)).tolist()
    [True, False]
    """

    exempt_: BoolArray
    lasts_: FloatArray

    as_of = True

    def __init__(
        self,
        *,
        events: Sequence[str] | None = None,
        except_for: str | None = None,
        window: str | float | None = None,
        again_after: str | float | None = None,
    ) -> None:
        if except_for is not None:
            item_name(except_for)
        if window is not None:
            seconds(window)
        if again_after is not None and except_for is None:
            raise ConfigurationError(
                f"found again_after={again_after!r} without except_for; expected the column of what may be bought again"
            )
        if again_after is not None and not _is_column(again_after):
            seconds(again_after)
        check_events(events)
        self.events, self.except_for, self.window, self.again_after = events, except_for, window, again_after

    @property
    def requires(self) -> tuple[str, ...]:
        """Owned items, the history that has the latest of them, and the column of consumables."""
        columns = [item_name(self.except_for)] if self.except_for is not None else []
        columns += [str(self.again_after)] if _is_column(self.again_after) else []
        return ("owned", *(() if self.events is None else ("history",)), *columns)

    def fit(self, dataset: Dataset) -> NotOwned:
        """Find the events that make an item owned.

        Raises
        ------
        ConfigurationError
            If the log has events, and none that can be of these types.
        """
        log = dataset.interactions
        events = (OWNING,) if self.events is None else self.events
        if len(log) and not len(codes_of(log.event_names, events)):
            raise ConfigurationError(
                f"found no event type {shown_names(events)} in the log, so that nothing would ever be owned; expected "
                f"some of {shown_names(log.event_names)}; hint: NotOwned(events=[...]) names what makes an item owned"
            )
        if self.events is not None:
            self.event_codes_ = codes_of(log.event_names, events)
            self.owned_ = EventLists.build(log.of(*events), dataset.n_users)
        self.fitted_until_ = dataset.until
        return self

    def bind(self, schema: Schema) -> Any:
        """Return a copy that knows the consumables."""
        bound: Any = copy.copy(self)
        if self.except_for is not None:
            bound.exempt_ = numeric_column(schema, self.except_for) > 0
        if _is_column(self.again_after):
            bound.lasts_ = DAY * numeric_column(schema, str(self.again_after)).astype(np.float64)
        return bound

    def keep(self, candidates: Candidates) -> BoolArray:
        """Tell which items the user may be shown, (N,) bool."""
        owned = self._owned(candidates.requests)
        counted = None if self.window is None else ~(_age(candidates, owned) > seconds(self.window))
        kept = ~_among(candidates, owned, counted)
        if self.except_for is not None:
            exempt = self.exempt_[candidates.item]
            if self.again_after is not None:
                back = _age(candidates, owned) >= self._lasts(owned.values)
                exempt = exempt & ~_among(candidates, owned, ~back)
            kept |= exempt
        return kept

    def _owned(self, requests: Requests) -> Ragged:
        """Return the items that each row owns: by the data of ``fit``, and by the history that goes on from there."""
        if self.events is None or "owned" in requests.from_caller:
            return requests.lists("owned")
        bought: EventLists = self.owned_
        owned = bought.before(requests.user, requests.now, ("timestamp",))
        history = requests.lists("history")
        if "event" not in history.columns or "timestamp" not in history.columns:
            return owned
        kept = np.isin(history.columns["event"], self.event_codes_)
        offsets = rows_to_offsets(history.rows[kept], len(history))
        times = {"timestamp": history.columns["timestamp"][kept]}
        return owned.then(Ragged(offsets, history.values[kept], times), "timestamp")

    def _lasts(self, item: IntArray) -> FloatArray:
        """Return for how many seconds each purchase lasts, NaN where nobody knows."""
        if _is_column(self.again_after):
            return np.asarray(self.lasts_[item])
        assert self.again_after is not None
        return np.full(len(item), seconds(self.again_after))


def _is_column(value: str | float | None) -> bool:
    return isinstance(value, str) and value.startswith("item.")


def _age(candidates: Candidates, owned: Ragged) -> FloatArray:
    """Return how many seconds ago each purchase was; one whose time is not known counts as made now."""
    if "timestamp" not in owned.columns:
        return np.zeros(len(owned.values))
    return np.asarray(candidates.requests.now[owned.rows] - owned.columns["timestamp"])


def _among(candidates: Candidates, owned: Ragged, counted: BoolArray | None) -> BoolArray:
    """Tell which candidates are among the counted values of their row's list, (N,) bool."""
    offsets, values = owned.offsets, owned.values
    if counted is not None:
        offsets, values = rows_to_offsets(owned.rows[counted], len(owned)), values[counted]
    return pairs_in_sets(candidates.row, candidates.item, offsets, values)


class NotSeen(AloneRule):
    """Filter of items in the user's history, whatever the event and however long ago.

    Examples
    --------
    >>> import numpy as np
    >>> from recokit.data import Ragged, Requests
    >>> requests = Requests.build(np.array([7]), ragged={"history": Ragged.from_lists([[2]])})
    >>> NotSeen().keep(Candidates.from_lists([[1, 2]], requests=requests)).tolist()
    [True, False]
    """

    requires = ("history", "earlier")

    def keep(self, candidates: Candidates) -> BoolArray:
        """Tell which items are neither in the history nor in what it leaves out, (N,) bool."""
        kept = np.ones(len(candidates), np.bool_)
        for name in self.requires:
            seen = candidates.requests.lists(name)
            if len(seen.values):
                kept &= ~pairs_in_sets(candidates.row, candidates.item, seen.offsets, seen.values)
        return kept
