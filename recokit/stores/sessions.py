"""SessionStore: what users do right now, read by the very next request."""

from __future__ import annotations

import json
import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Protocol, runtime_checkable

import numpy as np

from recokit._kernels.segments import counts_to_offsets, offsets_to_rows, spans
from recokit._utils.options import require, whole
from recokit.errors import ConfigurationError, DataError
from recokit.stores._base import Counts, Reopened, finite, lifetime
from recokit.stores._rows import as_texts
from recokit.typing import AnyArray, BoolArray, FloatArray, IntArray

#: Events of one session as they are kept: the text of each and its time.
Kept = list[tuple[str | bytes, float]]


@dataclass(frozen=True, eq=False)
class SessionRows:
    """The recent events of n sessions, oldest first.

    Parameters
    ----------
    offsets : ndarray of int64, shape (n + 1,)
        Session ``i`` has the events ``offsets[i]:offsets[i + 1]``.
    items, events : ndarray of str objects, shape (M,)
        Item ids as text, and event types.
    timestamps : ndarray of float64, shape (M,)
        Seconds since 1970.
    unread : ndarray of bool, shape (n,)
        Sessions that could not be read; they have no events here.
    error : str
        Why some are unread, empty if none is.
    """

    offsets: IntArray
    items: AnyArray
    events: AnyArray
    timestamps: FloatArray
    unread: BoolArray
    error: str = ""

    def __len__(self) -> int:
        return len(self.unread)


@runtime_checkable
class SessionStore(Protocol):
    """The last events of each session, by user or session id.

    An event is known by its id, item and type: what is appended twice stands there once. Each session holds the last
    ``max_events`` and is forgotten ``ttl`` after its last one. Reads never raise for what the store does; appends do.
    """

    max_events: int
    ttl: Any

    def append(self, key: Any, item: Any, *, event: str = "view", at: float, event_id: Any = None) -> None:
        """Add one event; without an id, its time is its id."""
        ...

    def extend(
        self,
        keys: Sequence[Any] | AnyArray,
        items: Sequence[Any] | AnyArray,
        *,
        events: Sequence[str],
        at: Sequence[float] | FloatArray,
        event_ids: Sequence[Any] | None = None,
    ) -> None:
        """Add n events at once."""
        ...

    def recent(
        self, keys: Sequence[Any] | AnyArray, *, now: float | FloatArray, timeout: float = np.inf
    ) -> SessionRows:
        """Return what each session did strictly before a time (or a time for each)."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class Sessions(Reopened, ABC):
    """A session store: a subclass gets what is kept of some sessions, and adds to them."""

    def __init__(self, max_events: int, ttl: Any) -> None:
        require(whole(1), max_events=max_events)
        if ttl is None:
            raise ConfigurationError("found ttl=None; expected a duration such as '1D': sessions end")
        self.max_events, self.ttl = max_events, ttl
        self._ttl = lifetime(ttl)
        self._counts = Counts("reads", "sessions", "empty", "failed")

    @abstractmethod
    def _kept(self, keys: list[str], now: float, timeout: float) -> tuple[list[Kept | None], str]:
        """Return the events kept of each session, oldest first, None where unread, and why."""

    @abstractmethod
    def _add(self, keys: list[str], members: list[str], at: FloatArray) -> None:
        """Add events."""

    @abstractmethod
    def _erase(self, keys: list[str]) -> int:
        """Remove sessions, and return how many there were."""

    def erase_user(self, user: Any) -> int:
        """Remove the session of a user, or of a session id, and return how many there were.

        Raises
        ------
        FeatureUnavailable
            If the store did not remove it.
        """
        return self._erase(as_texts([user]))

    @property
    def counts(self) -> dict[str, int]:
        """Totals since the store was opened: ``reads``, ``sessions``, and of these ``empty`` and ``failed``."""
        return self._counts()

    def append(self, key: Any, item: Any, *, event: str = "view", at: float, event_id: Any = None) -> None:
        """Add one event.

        Parameters
        ----------
        key : int or str
            User or session id.
        item : int or str
            Item id.
        event : str, default "view"
            Event type.
        at : float
            When it happened, seconds since 1970.
        event_id : int or str, optional
            Tells one event from another, so that one that is sent twice counts once; by default the time.

        Raises
        ------
        DataError
            If an id is neither an integer nor text, or the time is not finite.
        FeatureUnavailable
            If the store did not take it.
        """
        self.extend(
            [key], [item], events=[event], at=[at], event_ids=None if event_id is None else [event_id]
        )

    def extend(
        self,
        keys: Sequence[Any] | AnyArray,
        items: Sequence[Any] | AnyArray,
        *,
        events: Sequence[str],
        at: Sequence[float] | FloatArray,
        event_ids: Sequence[Any] | None = None,
    ) -> None:
        """Add n events at once; see :meth:`append`.

        Raises
        ------
        DataError
            If the columns differ in length, an id is neither an integer nor text, or a time is not finite.
        FeatureUnavailable
            If the store did not take them.
        """
        owners, what, kinds = as_texts(keys), as_texts(items), as_texts(events)
        when = finite(at, len(owners), "at")
        ids = list(map(repr, when.tolist())) if event_ids is None else as_texts(event_ids)
        if not len(owners) == len(what) == len(kinds) == len(ids):
            raise DataError(
                f"found {len(owners)} keys, {len(what)} items, {len(kinds)} events and {len(ids)} event ids; "
                "expected as many of each"
            )
        if owners:
            members = [
                json.dumps(parts, separators=(",", ":")) for parts in zip(ids, what, kinds, strict=True)
            ]
            self._add(owners, members, when)

    def recent(
        self, keys: Sequence[Any] | AnyArray, *, now: float | FloatArray, timeout: float = np.inf
    ) -> SessionRows:
        """Return what each session did strictly before a time.

        Parameters
        ----------
        keys : sequence of int or str, (n,)
            User or session ids; the store is asked for each distinct one once.
        now : float or ndarray of float64, shape (n,)
            Time of the request, or of each key.
        timeout : float, default inf
            Seconds that the call may take, besides the store's own limit.

        Returns
        -------
        SessionRows
            A session that is not there, over, or could not be read has no events.

        Raises
        ------
        DataError
            If keys are neither integers nor text.
        """
        texts = as_texts(keys)
        when = np.broadcast_to(np.asarray(now, np.float64), (len(texts),))
        distinct = list(dict.fromkeys(texts))
        kept: list[Kept | None] = []
        error = ""
        if distinct:
            kept, error = self._kept(distinct, float(when.max()), timeout)
        decoded = [_decoded(events) for events in kept]
        place = dict(zip(distinct, range(len(distinct)), strict=True))
        index = np.fromiter(map(place.__getitem__, texts), np.int64, len(texts))
        rows = self._rows(decoded, index, when, error)
        empty = int(np.count_nonzero(np.diff(rows.offsets) == 0) - rows.unread.sum())
        self._counts.add(reads=1, sessions=len(rows), empty=empty, failed=int(rows.unread.sum()))
        return rows

    def _rows(
        self, decoded: list[_Events | None], index: IntArray, now: FloatArray, error: str
    ) -> SessionRows:
        """Spread the distinct sessions over the rows that ask for them, each as of its own time."""
        parts = [([], [], []) if session is None else session for session in decoded]
        starts = counts_to_offsets(np.array([len(part[0]) for part in parts], np.int64))
        items, events, times = ([value for part in parts for value in part[column]] for column in range(3))
        offsets, position = spans(starts[index], np.diff(starts)[index])
        row = offsets_to_rows(offsets)
        timestamps = np.array(times, np.float64)[position]
        before = timestamps < now[row]
        last = np.full(len(now), -np.inf)
        np.maximum.at(last, row[before], timestamps[before])
        before &= (now - last <= self._ttl)[row]
        unread = np.array([session is None for session in decoded], np.bool_)[index]
        if unread.any() and not error:
            error = f"{int(unread.sum())} values that are no sessions"
        return SessionRows(
            offsets=counts_to_offsets(np.bincount(row[before], minlength=len(now))),
            items=np.array(items, object)[position[before]],
            events=np.array(events, object)[position[before]],
            timestamps=timestamps[before],
            unread=unread,
            error=error,
        )


_Events = tuple[list[str], list[str], list[float]]


def _decoded(kept: Kept | None) -> _Events | None:
    """Return items, event types and times of one session; None where it is none."""
    if kept is None:
        return None
    try:
        texts = [text.decode() if isinstance(text, bytes) else text for text, _ in kept]
        parts = json.loads(f"[{','.join(texts)}]")
        items, events = [item for _, item, _ in parts], [event for _, _, event in parts]
    except (ValueError, TypeError, RecursionError):  # other programs may write to the same keys
        return None
    if not all(isfinite(time) for _, time in kept):
        return None
    if set(map(type, [*items, *events])) - {str} or len(parts) != len(kept):
        return None
    return items, events, [time for _, time in kept]


class ResidentSessions(Sessions):
    """Session store in memory, for one process and all its threads.

    Parameters
    ----------
    max_events : int, default 50
        Events kept of each session, the most recent.
    ttl : duration, default "1D"
        A session is over this long after its last event.

    Raises
    ------
    ConfigurationError
        If an option is out of range.

    Notes
    -----
    Sessions that are over are dropped as others are appended to, on the clock of the events.

    Examples
    --------
    >>> store = ResidentSessions(ttl="30min")
    >>> store.append("ann", 7, event="click", at=1_000.0)
    >>> store.append("ann", 9, at=1_060.0)
    >>> store.recent(["ann", "bob"], now=1_100.0).items.tolist()
    ['7', '9']
    """

    def __init__(self, *, max_events: int = 50, ttl: Any = "1D") -> None:
        super().__init__(max_events, ttl)
        self._lock = threading.Lock()
        self._sessions: OrderedDict[str, dict[str, float]] = OrderedDict()

    def __len__(self) -> int:
        """Return the number of sessions held."""
        return len(self._sessions)

    def _kept(self, keys: list[str], now: float, timeout: float) -> tuple[list[Kept | None], str]:
        with self._lock:
            return [list(self._sessions.get(key, {}).items()) for key in keys], ""

    def _add(self, keys: list[str], members: list[str], at: FloatArray) -> None:
        with self._lock:
            for key, member, when in zip(keys, members, at.tolist(), strict=True):
                session = self._sessions.setdefault(key, {})
                session.setdefault(member, when)
                kept = sorted(session.items(), key=lambda event: (event[1], event[0]))[-self.max_events :]
                self._sessions[key] = dict(kept)
                self._sessions.move_to_end(key)
            self._forget(float(at.max()))

    def _erase(self, keys: list[str]) -> int:
        with self._lock:
            return sum(self._sessions.pop(key, None) is not None for key in keys)

    def _forget(self, now: float) -> None:
        while self._sessions and now - max(next(iter(self._sessions.values())).values()) > self._ttl:
            self._sessions.popitem(last=False)

    def state(self) -> dict[str, Any]:
        """Return the sessions held, for saving with a pipeline."""
        with self._lock:
            return {"sessions": {key: dict(events) for key, events in self._sessions.items()}}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take over the sessions of :meth:`state`."""
        with self._lock:
            self._sessions = OrderedDict((key, dict(events)) for key, events in state["sessions"].items())

    def __reduce__(self) -> Any:
        return (*super().__reduce__(), self.state())

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.load_state(state)
