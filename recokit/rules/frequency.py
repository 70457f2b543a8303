"""FrequencyCap: what was shown often enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from recokit._utils.moved import moved_attribute, renamed
from recokit._utils.options import check_options, whole
from recokit.compose.alone.lists import AloneRule
from recokit.data import Candidates, Dataset, LiveEvents, Ragged, seconds
from recokit.data.event_types import names_of
from recokit.data.events.index import EventIndex
from recokit.data.events.keyed import Keyspace
from recokit.data.events.recent import RecentEvents, layered
from recokit.data.events.user_history import EventLists
from recokit.errors import ConfigurationError
from recokit.typing import BoolArray, IntArray


class FrequencyCap(AloneRule):
    """Filter of items that the user was shown so often already, within a time before the request.

    Parameters
    ----------
    maximum : int, default 3
        Events of a user and an item within the window from which on the item is out; at least 1.
    window : duration, default "7D"
        Only events of so long before the request count.
    events : sequence of str, default ("impression",)
        Event types that count.
    live_events : LiveEvents, optional
        Events that come in while the model serves.
    shown : str, optional
        Name of a list of the requests, by a hydrator of yours, whose items count as well, once for each time they stand
        in it; with a column ``timestamp`` those within the window.

    Raises
    ------
    ConfigurationError
        If an option is out of range, or the data has none of the event types.

    Notes
    -----
    Anonymous users have no events, and no cap but that of ``shown``.

    Examples
    --------
    >>> from recokit.data import Requests
    >>> log = {"user_id": [1, 1, 1], "item_id": [7, 7, 8], "timestamp": [10.0, 20.0, 30.0], "event": ["impression"] * 3}
    >>> rule = FrequencyCap(2, "1h").fit(Dataset.from_frame(log))
    >>> requests = Requests.build(np.array([1]), now=40.0)
    >>> rule.keep(Candidates.from_lists([[1, 2]], requests=requests)).tolist()
    [False, True]
    """

    as_of = True

    tail = moved_attribute("live_events")

    @renamed(tail="live_events")
    def __init__(
        self,
        maximum: int = 3,
        window: str | float = "7D",
        *,
        events: Sequence[str] = ("impression",),
        live_events: LiveEvents | None = None,
        shown: str | None = None,
    ) -> None:
        seconds(window)
        if isinstance(events, str) or not len(events):
            raise ConfigurationError(f"found events={events!r}; expected a list of event types")
        self.maximum, self.window, self.events, self.shown = maximum, window, events, shown
        self.live_events = live_events
        check_options(self, {"maximum": whole(1)})

    @property
    def requires(self) -> tuple[str, ...]:
        """The list of what was shown."""
        return () if self.shown is None else (self.shown,)

    def fit(self, dataset: Dataset) -> FrequencyCap:
        """Index the events.

        Raises
        ------
        ConfigurationError
            If the data has no event of these types, and there are no live events that may bring some.
        """
        log = dataset.interactions
        missing = [event for event in self.events if not names_of(log.event_names, event)]
        if len(missing) == len(self.events) and self.live_events is None:
            raise ConfigurationError(
                f"found no event type {', '.join(missing)}; expected one of {', '.join(log.event_names)}, "
                "or live_events="
            )
        # Types of which none has come yet may come with the live events.
        known = replace(dataset, interactions=replace(log, event_names=(*log.event_names, *missing)))
        spaces = [Keyspace(("user", "item"), event) for event in self.events]
        horizon = None if self.live_events is None else seconds(self.live_events.horizon)
        self.index_ = EventIndex.build(known, spaces, horizon=horizon)
        self.counted_ = tuple(space.name for space in spaces)
        self.fitted_until_ = dataset.until
        return self

    def keep(self, candidates: Candidates) -> BoolArray:
        """Tell which items the user was not shown too often, (N,) bool.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        index: Any = self.index_
        if self.live_events is not None:
            index = layered(index, candidates.requests.read(self.live_events))
        when, window = index.query_times(candidates.now), seconds(self.window)
        count = np.zeros(len(candidates), np.int64)
        for name in self.counted_:
            count += index[name].as_of(when, candidates.user, candidates.item).count(window)
        count[candidates.user == 0] = 0
        if self.live_events is not None:
            count += self._of_newcomers(candidates, candidates.requests.read(self.live_events))
        if self.shown is not None:
            count += self._in_list(candidates, candidates.requests.lists(self.shown))
        return np.asarray(count < self.maximum)

    def _of_newcomers(self, candidates: Candidates, recent: RecentEvents) -> IntArray | int:
        """Count the events of users that the model does not know yet."""
        requests, known = candidates.requests, self.index_.known
        if known is None or not len(recent) or requests.user.all():
            return 0
        n_users = len(known.user_ids)
        user = recent.encoded(known).users_of(requests, n_users)
        if not (user > n_users).any():
            return 0
        lists = recent.made(self, _newcomers_lists)
        shown = lists.before(np.where(user > n_users, user, 0), requests.now, ("timestamp",))
        return self._in_list(candidates, shown)

    def _in_list(self, candidates: Candidates, shown: Ragged) -> IntArray:
        """Count how often each candidate stands in its row's list, within the window where it has times."""
        row = shown.rows
        recent = np.ones(len(row), np.bool_)
        if "timestamp" in shown.columns:
            recent = shown.columns["timestamp"] >= candidates.requests.now[row] - seconds(self.window)
        width = max(int(shown.values.max(initial=0)), int(candidates.item.max(initial=0))) + 1
        keys = np.sort(row[recent] * width + shown.values[recent])
        wanted = candidates.row * width + candidates.item
        return np.searchsorted(keys, wanted, "right") - np.searchsorted(keys, wanted, "left")


def _newcomers_lists(recent: RecentEvents, rule: FrequencyCap) -> EventLists:
    known: Any = rule.index_.known
    encoded = recent.encoded(known)
    n_users = len(known.user_ids) + len(encoded.newcomers)
    return EventLists.build(encoded.by_anyone.of(*rule.events), n_users)
