"""UserHistory: what each user did strictly before a request, from the event log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recokit._kernels.segments import any_true, counts_to_offsets, spans
from recokit._utils.moved import moved_attribute, renamed
from recokit._utils.options import require, whole
from recokit._utils.params import Configured
from recokit.data.dataset import Dataset
from recokit.data.event_types import codes_of, negative_names, require_types, taken_back
from recokit.data.events.index import Known
from recokit.data.events.live_events import LiveEvents
from recokit.data.events.recent import Encoded, RecentEvents
from recokit.data.interactions import Interactions
from recokit.data.ragged import Ragged
from recokit.data.requests import Hydrated, Requests
from recokit.data.times import seconds
from recokit.errors import ConfigurationError
from recokit.typing import AnyArray, FloatArray, IntArray

#: The kind of event that makes an item owned.
OWNING = "purchase"


@dataclass(frozen=True, eq=False)
class EventLists:
    """Each user's events in time order, cut at any time by one binary search.

    Parameters
    ----------
    times : ndarray of float64, shape (T,)
        Distinct times of all events, ascending.
    offsets : ndarray of int64, shape (n_users + 2,)
        User ``u`` has the events ``offsets[u]:offsets[u + 1]``.
    key : ndarray of int64, shape (M,)
        ``user * (T + 1) + rank of its time`` of each event, ascending.
    item : ndarray of int64, shape (M,)
    columns : mapping of str to ndarray (M,)
        Columns beside the items.
    """

    times: FloatArray
    offsets: IntArray
    key: IntArray
    item: IntArray
    columns: Mapping[str, AnyArray]

    @classmethod
    def build(cls, log: Interactions, n_users: int) -> EventLists:
        """Build from a log sorted by time. User 0 is nobody in particular, and has no events."""
        log = log.take(np.flatnonzero(log.user > 0))
        times, rank = np.unique(log.timestamp, return_inverse=True)
        order = np.argsort(log.user, kind="stable")
        columns: dict[str, AnyArray] = {"timestamp": log.timestamp, "weight": log.weight, "event": log.event}
        return cls(
            times,
            counts_to_offsets(np.bincount(log.user, minlength=n_users + 1)),
            (log.user * (len(times) + 1) + rank)[order],
            log.item[order],
            {name: column[order] for name, column in columns.items()},
        )

    @renamed(most="max_events")
    def before(
        self, user: IntArray, now: FloatArray, names: Sequence[str], max_events: int | None = None
    ) -> Ragged:
        """Return each user's items strictly before a time, oldest first, with the named columns.

        Parameters
        ----------
        user, now : ndarray, shape (B,)
            User codes and times.
        names : sequence of str
            Columns wanted.
        max_events : int, optional
            Keep this many of the most recent events of each row.
        """
        return self.within(*self.span(user, now), names, max_events)

    def within(
        self, start: IntArray, end: IntArray, names: Sequence[str], max_events: int | None = None
    ) -> Ragged:
        """Return the events of each row from a start to an end, (B,) each, as :meth:`span` has them."""
        if max_events is not None:
            start = np.maximum(start, end - max_events)
        if len(start) == 1:
            own = slice(int(start[0]), int(end[0]))
            offsets = np.array([0, own.stop - own.start], np.int64)
            return Ragged(
                offsets, self.item[own].copy(), {name: self.columns[name][own].copy() for name in names}
            )
        offsets, index = spans(start, end - start)
        return Ragged(offsets, self.item[index], {name: self.columns[name][index] for name in names})

    def count(self, user: IntArray, now: FloatArray) -> IntArray:
        """Return how many events each user has strictly before a time, (B,) int64."""
        start, end = self.span(user, now)
        return np.asarray(end - start)

    def span(self, user: IntArray, now: FloatArray) -> tuple[IntArray, IntArray]:
        """Return where the events of each user strictly before a time start and end, (B,) each."""
        wanted = user * (len(self.times) + 1) + self.times.searchsorted(now)
        return self.offsets[user], self.key.searchsorted(wanted)


class UserHistory(Configured):
    """Hydrator of ``history``, ``owned`` and ``earlier`` as of each request's own time.

    A pipeline inserts it by itself where a stage requires either. An event at exactly the request's time is not
    part of the history.

    Parameters
    ----------
    max_events : int, default 1000
        The most recent events that ``history`` keeps of each row, for sources and features to read.
    events : sequence of str, optional
        Event types that ``history`` holds, beside those against an item; all of them by default.
    live_events : LiveEvents, optional
        Events that come in while the model serves; the lists have them too, also those of users that the model does not
        know yet, by their external ids.

    Raises
    ------
    ConfigurationError
        If an option is out of range, or the data has no such event type.

    Notes
    -----
    ``history`` holds items oldest first with the columns ``timestamp`` (float64 seconds), ``weight`` (float32) and
    ``event`` (int64, code in ``Interactions.event_names``). What the user took back until then, by a refund or a
    dislike, stays in it and weighs 0. ``owned`` holds the items of all events of the kind
    ``"purchase"``, whatever ``events`` and ``max_events`` say, with the column ``timestamp``: one entry for each
    purchase, so an item may stand there more than once. In data without purchases nobody owns anything. ``earlier``
    holds what ``history`` leaves out because of ``events`` or ``max_events``, for rules that must know all that a
    user has seen; it is empty in rows where nothing is left out, and where the caller gave the history.

    Attributes
    ----------
    history_, owned_, all_ : EventLists
        The events by user: those of ``events``, purchases, and all.
    fitted_until_ : float
        Time up to which events are known.

    Examples
    --------
    >>> from recokit.data import Dataset
    >>> data = Dataset.from_frame({"user": [1, 1, 1], "item": [7, 8, 9], "timestamp": [10, 20, 30]})
    >>> requests = Requests.build(np.array([1]), now=30.0)
    >>> hydrated = UserHistory().fit(data).hydrate(requests)
    >>> data.item_ids.decode(hydrated.ragged["history"].row(0)).tolist()
    [7, 8]
    """

    as_of = True
    provides = ("history", "owned", "earlier")

    #: None in a model that an older version saved.
    all_: EventLists | None = None
    event_names_: tuple[str, ...] = ()

    tail = moved_attribute("live_events")

    @renamed(tail="live_events")
    def __init__(
        self,
        *,
        max_events: int = 1000,
        events: Sequence[str] | None = None,
        live_events: LiveEvents | None = None,
    ) -> None:
        require(whole(1), max_events=max_events)
        check_events(events)
        self.max_events, self.events, self.live_events = max_events, events, live_events

    def fit(self, dataset: Dataset) -> UserHistory:
        """Index the events by user and time."""
        log = dataset.interactions
        self.history_ = EventLists.build(_held(log, self.events), dataset.n_users)
        self.event_names_ = log.event_names
        self.all_ = self.history_ if self.events is None else EventLists.build(log, dataset.n_users)
        same = self.events is None and len(codes_of(log.event_names, [OWNING])) == len(log.event_names)
        self.owned_ = self.history_ if same else EventLists.build(log.of(OWNING), dataset.n_users)
        self.fitted_until_ = dataset.until
        if self.live_events is not None:
            self.known_ = Known.of(dataset, seconds(self.live_events.horizon))
        return self

    def hydrate(self, requests: Requests) -> Hydrated:
        """Return the lists ``history`` and ``owned`` of each request.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        names = ("timestamp", "weight", "event")
        span = self.history_.span(requests.user, requests.now)
        history = self.history_.within(*span, names, self.max_events)
        if self.owned_ is not self.history_:
            span = self.owned_.span(requests.user, requests.now)
        owned = self.owned_.within(*span, ("timestamp",))
        new: tuple[EventLists, IntArray] | None = None
        encoded: Encoded | None = None
        recent = None if self.live_events is None else requests.read(self.live_events)
        if recent is not None and len(recent):
            new_history, new_owned, everything = recent.made(self, _recent_lists)
            encoded = recent.encoded(self.known_)
            user, now = encoded.users_of(requests, len(self.known_.user_ids)), requests.now
            history = history.then(new_history.before(user, now, names), "timestamp", self.max_events)
            owned = owned.then(new_owned.before(user, now, ("timestamp",)), "timestamp")
            new = everything, user
        earlier = self._earlier(requests, history, new)
        history = _without_taken_back(history, self.event_names_ if encoded is None else encoded.event_names)
        return Hydrated(ragged={"history": history, "owned": owned, "earlier": earlier})

    def _earlier(
        self, requests: Requests, history: Ragged, recent: tuple[EventLists, IntArray] | None
    ) -> Ragged:
        """Return everything that a user did, in rows where the history leaves some of it out.

        Recent events come with their own codes of the users.
        """
        user, now = requests.user, requests.now
        if self.events is None and not any_true(history.counts >= self.max_events):
            return Ragged.empty(len(user))  # all of it is in the history
        known = self.history_ if self.all_ is None else self.all_
        left_out = np.ones(len(user), np.bool_)
        if self.events is None:
            count = known.count(user, now)
            if recent is not None:
                count = count + recent[0].count(recent[1], now)
            left_out = count > self.max_events
        if "history" in requests.from_caller:
            left_out &= ~requests.from_caller["history"]
        if not left_out.any():
            return Ragged.empty(len(user))
        lists = known.before(np.where(left_out, user, 0), now, ("timestamp",))
        if recent is None:
            return lists
        new = recent[0].before(np.where(left_out, recent[1], 0), now, ("timestamp",))
        return lists.then(new, "timestamp")


def _without_taken_back(history: Ragged, names: tuple[str, ...]) -> Ragged:
    """Return the history in which what the user took back since weighs 0: seen, and no signal."""
    if not negative_names(names):
        return history
    item, columns = history.values, history.columns
    group = np.where(item > 0, history.rows * (int(item.max(initial=0)) + 1) + item, -1)
    weight = columns["weight"]
    taken = taken_back(names, group, columns["timestamp"], columns["event"], weight)
    if taken is None:
        return history
    return Ragged(history.offsets, item, {**columns, "weight": np.where(taken, np.float32(0), weight)})


def _held(log: Interactions, events: Sequence[str] | None) -> Interactions:
    """Return the events of the named types, and those against items: they tell which of the others still count."""
    known = events_of(log, events)
    if events is None or not negative_names(log.event_names):
        return known
    return log.of(*events, *negative_names(log.event_names))


def _recent_lists(recent: RecentEvents, stage: UserHistory) -> tuple[EventLists, EventLists, EventLists]:
    encoded = recent.encoded(stage.known_)
    n_users = len(stage.known_.user_ids) + len(encoded.newcomers)
    everything = encoded.by_anyone
    log = (
        everything
        if stage.events is None
        else everything.of(*stage.events, *negative_names(everything.event_names))
    )
    return (
        EventLists.build(log, n_users),
        EventLists.build(everything.of(OWNING), n_users),
        EventLists.build(everything, n_users),
    )


def check_events(events: Sequence[str] | None) -> None:
    """Check an option that names event types: None for all, or at least one name."""
    if events is not None and (isinstance(events, str) or not events):
        raise ConfigurationError(
            f"found events={events!r}; expected None for all, or names such as ('purchase', 'click')"
        )


def events_of(log: Interactions, events: Sequence[str] | None) -> Interactions:
    """Return the events of the named types, all of them for None.

    Raises
    ------
    ConfigurationError
        If the log has events, but none is ever of a named type.
    """
    if events is None:
        return log
    if len(log):
        require_types(log.event_names, events)
    return log.of(*events)
