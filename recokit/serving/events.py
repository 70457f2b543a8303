"""Events from a log: read at least once, applied once, to live events, sessions and whoever asks."""

from __future__ import annotations

import json
import logging
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any, Protocol

from recokit._utils.options import require, shown, traced, whole
from recokit.data.events.live_events import LiveEvents
from recokit.errors import ConfigurationError, DataError
from recokit.stores import SessionStore

_LOGGER = logging.getLogger("recokit")
#: Seconds after which a log that failed is asked again: the first time, and at most.
_PAUSE, _LONGEST = 0.1, 5.0
_REQUIRED = ("user_id", "item_id", "timestamp", "event")


@dataclass(frozen=True, slots=True)
class Message:
    """One entry of an event log.

    Parameters
    ----------
    position : str
        Where it stands; the log's own name of the place, by which it knows what was committed.
    content : bytes
        The event as JSON.
    """

    position: str
    content: bytes


class EventLog(Protocol):
    """A log that is read in order, each entry at least once.

    What was polled and not committed is polled again by whoever reads on: after a crash, entries come twice and none is
    missing.
    """

    def poll(self, limit: int, timeout: float) -> Sequence[Message]:
        """Return at most so many next entries, waiting so many seconds for the first."""
        ...

    def commit(self, messages: Sequence[Message]) -> None:
        """Say that entries were applied and need not come again."""
        ...

    def append(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Write events at the end."""
        ...

    def close(self) -> None:
        """Give back what the log holds open."""
        ...


class ResidentLog:
    """Event log in memory, for one process: for tests, and where no server is.

    Parameters
    ----------
    capacity : int, default 100_000
        Entries that may wait; a log that is full refuses more.

    Raises
    ------
    ConfigurationError
        If ``capacity`` is below 1.

    Examples
    --------
    >>> log = ResidentLog()
    >>> log.append([{"user_id": "ann", "item_id": 7, "timestamp": 10.0, "event": "click"}])
    >>> [message.position for message in log.poll(10, timeout=0.0)]
    ['1']
    """

    def __init__(self, *, capacity: int = 100_000) -> None:
        require(whole(1), capacity=capacity)
        self.capacity = capacity
        self._waiting: OrderedDict[str, Message] = OrderedDict()
        self._polled: dict[str, Message] = {}
        self._last = 0
        self._changed = threading.Condition()

    def poll(self, limit: int, timeout: float) -> Sequence[Message]:
        """Return the next entries."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting, timeout)
            taken = [self._waiting.popitem(last=False)[1] for _ in range(min(limit, len(self._waiting)))]
            self._polled |= {message.position: message for message in taken}
            return taken

    def commit(self, messages: Sequence[Message]) -> None:
        """Forget entries."""
        with self._changed:
            for message in messages:
                self._polled.pop(message.position, None)

    def append(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Write events at the end.

        Raises
        ------
        DataError
            If the log is full; then none is written.
        """
        contents = [encoded(event) for event in events]
        with self._changed:
            if len(self._waiting) + len(self._polled) + len(contents) > self.capacity:
                raise DataError(
                    f"found {len(self._waiting) + len(self._polled)} events waiting and {len(contents)} more; expected "
                    f"at most {self.capacity}; hint: does a Feed read this log?"
                )
            for content in contents:
                self._last += 1
                self._waiting[str(self._last)] = Message(str(self._last), content)
            self._changed.notify_all()

    def close(self) -> None:
        """Put what was polled and not committed back, first things first."""
        with self._changed:
            both = {**self._polled, **self._waiting}
            self._waiting, self._polled = OrderedDict(sorted(both.items(), key=lambda one: int(one[0]))), {}


@dataclass(frozen=True)
class Fed:
    """What became of the entries of one step, or of all.

    Parameters
    ----------
    applied : int
        Events that were applied.
    repeated : int
        Events that had come before, by their id.
    rejected : int
        Entries that are no events, or that live events or sessions refused.
    late : int
        Of those applied, too old for live events: nobody can tell whether they came before.
    """

    applied: int = 0
    repeated: int = 0
    rejected: int = 0
    late: int = 0

    def __add__(self, other: Fed) -> Fed:
        pairs = zip(astuple(self), astuple(other), strict=True)
        return Fed(*(one + more for one, more in pairs))


class Feed:
    """Read an event log and apply what comes: to live events, to sessions, to a function.

    An entry is committed after it was applied, so that a process that dies loses none. Entries that come again are
    known by ``event_id``, or without one by their place in the log: this feed remembers the last ones, and live
    events and sessions know each of theirs for good. An entry that is no event is counted, handed to ``on_rejected``
    and logged once; it does not hold up the others.

    An event is a JSON object with ``user_id`` and ``item_id`` (integers or text), ``timestamp`` (seconds since 1970)
    and ``event`` (its type), and may have ``event_id``, ``session_id`` and ``value``.

    Parameters
    ----------
    log : EventLog
        Such as :class:`RedisStream` or :class:`KafkaTopic`. Live events belong to one process: each process reads the
        whole log for them (a log without a group). Sessions on a server are shared: the processes of one group share
        the work.
    live_events : LiveEvents, optional
        What stages see at the next request.
    sessions : SessionStore, optional
        Appended to, by user id.
    on_events : callable, optional
        Gets a list of the events of each step that are new, as mappings.
    on_rejected : callable, optional
        Gets the :class:`Message` and the reason.
    batch : int, default 500
        Entries of one step, at most.
    remember : int, default 100_000
        Event ids that are remembered.

    Raises
    ------
    ConfigurationError
        If an option is out of range, or nothing is to be fed.

    Examples
    --------
    >>> log, live = ResidentLog(), LiveEvents()
    >>> feed = Feed(log, live_events=live)
    >>> event = {"user_id": "ann", "item_id": 7, "timestamp": 10.0, "event": "click", "event_id": "a"}
    >>> log.append([event, event])
    >>> feed.step(), len(live)
    (Fed(applied=1, repeated=1, rejected=0, late=0), 1)
    """

    def __init__(
        self,
        log: EventLog,
        *,
        live_events: LiveEvents | None = None,
        sessions: SessionStore | None = None,
        on_events: Callable[[Sequence[Mapping[str, Any]]], Any] | None = None,
        on_rejected: Callable[[Message, str], Any] | None = None,
        batch: int = 500,
        remember: int = 100_000,
    ) -> None:
        require(whole(1), batch=batch, remember=remember)
        if live_events is None and sessions is None and on_events is None:
            raise ConfigurationError(
                "found nothing to feed; expected live_events, sessions or on_events, at least one of them"
            )
        self.log, self.live_events, self.sessions = log, live_events, sessions
        self.on_events, self.on_rejected = on_events, on_rejected
        self.batch, self.remember = batch, remember
        #: What became of all entries so far.
        self.total = Fed()
        #: Times that the log, a store or ``on_events`` failed; what was polled is applied again.
        self.errors = 0
        #: Time of the newest event that was applied; -inf before the first.
        self.until = -math.inf
        self._held: Sequence[Message] = ()
        self._warned = False
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def step(self, timeout: float = 0.0) -> Fed:
        """Apply the next entries and commit them.

        Parameters
        ----------
        timeout : float, default 0.0
            Seconds to wait for an entry.

        Raises
        ------
        Exception
            Whatever the log, a store or ``on_events`` raise. The next step applies the same entries, unless it was the
            commit that failed.
        """
        held = self._held = self._held or self.log.poll(self.batch, timeout)
        events, others = self._new_events(held)
        fed = others + self._applied(events)
        self._remember(event for _, event in events)
        self.total += fed
        self._held = ()
        if held:
            self.log.commit(held)  # where this fails they come again, and are known
        return fed

    def start(self) -> Feed:
        """Go on in a thread, until :meth:`stop`; after a failure wait longer and longer, at most 5 seconds.

        Raises
        ------
        ConfigurationError
            If it runs already.
        """
        if self._thread is not None:
            raise ConfigurationError("found a feed that runs; expected stop() before start()")
        self._stop.clear()
        # A daemon: a log that hangs must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="recokit-feed", daemon=True)
        self._thread.start()
        return self

    def stop(self, timeout: float = 5.0) -> None:
        """End the thread after the step under way, waiting at most so many seconds, and close the log."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout)
            self._thread = None
        self.log.close()

    def __enter__(self) -> Feed:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self) -> None:
        pause = _PAUSE
        while not self._stop.is_set():
            try:
                self.step(timeout=0.2)
                pause = _PAUSE
            except Exception as error:  # a log that is down must not end the feed
                self.errors += 1
                if pause == _PAUSE:
                    _LOGGER.warning("feed from %s failed: %s", type(self.log).__name__, traced(error))
                self._stop.wait(pause)
                pause = min(2 * pause, _LONGEST)

    def _new_events(self, messages: Sequence[Message]) -> tuple[list[tuple[Message, dict[str, Any]]], Fed]:
        """Return the events that did not come before, with their entries, and the count of the others."""
        new: dict[str, tuple[Message, dict[str, Any]]] = {}
        repeated = rejected = 0
        for message in messages:
            try:
                event = decoded(message)
            except DataError as error:
                rejected += 1
                self._reject(message, str(error))
                continue
            key = event["event_id"]
            if key in self._seen or key in new:
                repeated += 1
            else:
                new[key] = message, event
        return list(new.values()), Fed(repeated=repeated, rejected=rejected)

    def _applied(self, events: list[tuple[Message, dict[str, Any]]]) -> Fed:
        try:
            return Fed(applied=len(events), late=self._put([event for _, event in events]))
        except DataError as error:
            if len(events) == 1:
                self._reject(events[0][0], str(error))
                return Fed(rejected=1)
        # One event that is refused must not keep the others out: each on its own.
        return sum((self._applied([pair]) for pair in events), Fed())

    def _put(self, events: list[dict[str, Any]]) -> int:
        """Apply some events; return how many were too late for live events."""
        if not events:
            return 0
        late = 0
        if self.live_events is not None:
            late = self.live_events.append(_columns(events)).late
        if self.sessions is not None:
            self.sessions.extend(
                [event["user_id"] for event in events],
                [event["item_id"] for event in events],
                events=[event["event"] for event in events],
                at=[event["timestamp"] for event in events],
                event_ids=[event["event_id"] for event in events],
            )
        if self.on_events is not None:
            self.on_events(events)
        self.until = max(self.until, *(event["timestamp"] for event in events))
        return late

    def _reject(self, message: Message, reason: str) -> None:
        if not self._warned:
            self._warned = True
            _LOGGER.warning("entry %s is no event: %s; further ones are counted", message.position, reason)
        if self.on_rejected is not None:
            self.on_rejected(message, reason)

    def _remember(self, events: Iterable[Mapping[str, Any]]) -> None:
        for event in events:
            self._seen[event["event_id"]] = None
        while len(self._seen) > self.remember:
            self._seen.popitem(last=False)


def encoded(event: Mapping[str, Any]) -> bytes:
    """Return an event as logs hold it.

    Raises
    ------
    DataError
        If it is no event.
    """
    try:
        content = json.dumps(dict(event), allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(
            f"found an event that is not JSON ({error}); expected numbers that are finite, and text"
        ) from error
    decoded(Message("", content))
    return content


def decoded(message: Message) -> dict[str, Any]:
    """Return the event of an entry: the fields that feeds read, checked; its place is its id where it has none.

    Raises
    ------
    DataError
        If it is no event.
    """
    try:
        told = json.loads(message.content)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"found an entry that is not JSON ({type(error).__name__}); expected an event"
        ) from error
    if not isinstance(told, dict):
        raise DataError(f"found {shown(told)}; expected an event, a JSON object")
    for name in _REQUIRED:
        if name not in told:
            raise DataError(f"found an event without {name}; expected {', '.join(_REQUIRED)}")
    for name in ("user_id", "item_id"):
        _check(name, told[name], _is_id(told[name]), "an integer or text")
    when, kind = told["timestamp"], told["event"]
    _check("timestamp", when, _is_number(when), "finite seconds since 1970")
    _check("event", kind, isinstance(kind, str) and kind != "", "a type such as 'click'")
    event = {name: told[name] for name in _REQUIRED} | {"timestamp": float(when)}
    key = told.get("event_id")
    _check("event_id", key, key is None or _is_id(key), "an integer or text")
    event["event_id"] = f"@{message.position}" if key is None else str(key)
    session, value = told.get("session_id"), told.get("value")
    _check("session_id", session, session is None or _is_id(session), "an integer or text")
    _check("value", value, value is None or _is_number(value), "a finite number")
    return event | {"session_id": session, "value": math.nan if value is None else float(value)}


def _check(name: str, value: Any, ok: bool, expected: str) -> None:
    if not ok:
        raise DataError(f"found {name}={shown(value)} in an event; expected {expected}")


def _is_id(value: Any) -> bool:
    whole_number = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
    return whole_number or (isinstance(value, str) and value != "")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _columns(events: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    names = (*_REQUIRED, "event_id", "value")
    columns = {name: [event[name] for event in events] for name in names}
    sessions = [event["session_id"] for event in events]
    return columns | ({"session_id": sessions} if any(one is not None for one in sessions) else {})
