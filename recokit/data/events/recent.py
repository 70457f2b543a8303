"""RecentEvents: events that came after a model was fitted, one version of them; never changed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import numpy as np

from recokit._kernels.membership import locate_sorted
from recokit._utils.options import require_rows
from recokit.data.events.index import EventIndex, Known
from recokit.data.events.keys import identities
from recokit.data.events.layered import LayeredIndex
from recokit.data.frames import ALIASES, Frame
from recokit.data.interactions import Interactions
from recokit.data.reading import weights_of
from recokit.data.requests import Requests
from recokit.data.vocabulary import Vocabulary, as_ids, factorize
from recokit.errors import DataError
from recokit.typing import AnyArray, BoolArray, Float32Array, FloatArray, IntArray

T = TypeVar("T")
Owner = TypeVar("Owner")


@dataclass(frozen=True, eq=False)
class RawEvents:
    """Events as they came in, with external ids.

    Parameters
    ----------
    user, item : ndarray of int64 or object (M,)
        External ids.
    timestamp : ndarray of float64 (M,)
    event, session : ndarray of object (M,)
        Event type, and external id of the session or None.
    weight, value : ndarray of float32 (M,)
    key : ndarray of object (M,)
        What tells events apart: the event id, or where there is none user, item, event type and time.
    """

    user: AnyArray
    item: AnyArray
    timestamp: FloatArray
    event: AnyArray
    session: AnyArray
    weight: Float32Array
    value: Float32Array
    key: AnyArray

    def __len__(self) -> int:
        return len(self.timestamp)

    @classmethod
    def from_frame(
        cls, events: Any, columns: Mapping[str, str] | None, given: Mapping[str, float] | None, latest: float
    ) -> RawEvents:
        """Read and check a frame.

        Raises
        ------
        DataError
            For missing columns, ids of mixed types, times that are not finite or later than ``latest``, and weights
            that are negative or not finite.
        """
        frame = Frame(events, columns, ALIASES)
        user, item = frame.ids("user_id").copy(), frame.ids("item_id").copy()  # kept: the frame may change
        time = frame.times("timestamp")
        expected = f"finite seconds since 1970, at most {latest:.0f}; hint: are these milliseconds?"
        require_rows(np.isfinite(time) & (time <= latest), time, "timestamp", expected)
        n = len(time)
        event = _labelled(frame, "event", n)
        event[~_present(event)] = "purchase"
        names, code = np.unique(event.astype(str), return_inverse=True)
        weight = weights_of(frame, names.tolist(), code, given)
        value = frame.number("value") if "value" in frame else np.full(n, np.nan)
        own = _labelled(frame, "event_id", n).tolist()
        content = zip(user.tolist(), item.tolist(), event.tolist(), time.tolist(), strict=True)
        key = np.empty(n, object)
        key[:] = [same if id_ is None else id_ for id_, same in zip(own, content, strict=True)]
        return cls(
            user=user,
            item=item,
            timestamp=time,
            event=event,
            session=_labelled(frame, "session_id", n),
            weight=weight,
            value=value.astype(np.float32),
            key=key,
        )

    def take(self, index: IntArray | BoolArray) -> RawEvents:
        """Return some of the events."""
        return RawEvents(*(getattr(self, part.name)[index] for part in fields(self)))

    def joined(self, other: RawEvents) -> RawEvents:
        """Return these events, then the others.

        Raises
        ------
        DataError
            If ids are integers here and text there.
        """
        if not len(self) or not len(other):
            return other if not len(self) else self
        for name in ("user", "item"):
            kinds = [getattr(part, name).dtype.kind for part in (self, other)]
            if kinds[0] != kinds[1]:
                wanted, found = ("integers" if kind == "i" else "text" for kind in kinds)
                raise DataError(f"found {name} ids that are {found}; expected {wanted}, as in earlier events")
        return RawEvents(
            *(np.concatenate([getattr(self, part.name), getattr(other, part.name)]) for part in fields(self))
        )


@dataclass(frozen=True, eq=False)
class Encoded:
    """Recent events in a model's codes.

    Parameters
    ----------
    log : Interactions
        The events that the model's data lacks, sorted by time; users and items it does not know have code 0.
    event_names : tuple of str
        Event types by code, the model's first.
    repeated, late : int
        Events left out: because the model's data has them, or because they are too old to tell.
    newcomers : Vocabulary
        Users that the model does not know; the first has the code after its last user.
    by_anyone : Interactions
        The same events, with the codes of newcomers.
    """

    log: Interactions
    event_names: tuple[str, ...]
    repeated: int
    late: int
    newcomers: Vocabulary
    by_anyone: Interactions

    def users_of(self, requests: Requests, n_users: int) -> IntArray:
        """Return user codes of requests, those of newcomers too, (B,) int64."""
        if requests.user_ids is None or not len(self.newcomers):
            return requests.user
        unknown = np.flatnonzero(requests.user == 0)
        ids = requests.user_ids[unknown]
        there = np.array([user is not None for user in ids.tolist()], np.bool_)
        if not there.any():
            return requests.user
        code = self.newcomers.encode(as_ids(ids[there]))
        user = requests.user.copy()
        user[unknown[there]] = np.where(code > 0, n_users + code, 0)
        return user


@dataclass(frozen=True, eq=False)
class RecentEvents:
    """One version of the events that came after models were fitted.

    Parameters
    ----------
    events : RawEvents
        In the order in which they came.
    """

    events: RawEvents
    _made: WeakKeyDictionary[Any, tuple[Callable[[RecentEvents, Any], Any], Any]] = field(
        default_factory=WeakKeyDictionary, repr=False
    )
    _lock: Any = field(default_factory=threading.RLock, repr=False)

    def __len__(self) -> int:
        return len(self.events)

    def made(self, owner: Owner, make: Callable[[RecentEvents, Owner], T]) -> T:
        """Return ``make(recent, owner)``, made once; for owners that are still there, the next version makes it ahead.

        What is made must not refer to its owner, or neither would ever be freed.
        """
        with self._lock:
            if owner not in self._made:
                self._made[owner] = (make, make(self, owner))
            value: T = self._made[owner][1]
            return value

    def followed_by(self, events: RawEvents) -> RecentEvents:
        """Return the version with these events in place of its own, made ahead for whoever uses this one."""
        following = RecentEvents(events)
        with self._lock:
            users = [(owner, make) for owner, (make, _) in self._made.items()]
        for owner, make in users:
            following.made(owner, make)
        return following

    def encoded(self, known: Known) -> Encoded:
        """Return the events that a model's data lacks, in its codes."""
        return self.made(known, _encoded)


def layered(index: EventIndex, recent: RecentEvents) -> EventIndex | LayeredIndex:
    """Return an index together with recent events.

    Raises
    ------
    DataError
        If their ids are of another kind than the model's.
    """
    added = recent.made(index, _added)
    return index if added is None else LayeredIndex(index, added)


def _added(recent: RecentEvents, index: EventIndex) -> EventIndex | None:
    if index.known is None:
        return None
    encoded = recent.encoded(index.known)
    return index.with_events(encoded.log, encoded.event_names) if len(encoded.log) else None


def _encoded(recent: RecentEvents, known: Known) -> Encoded:
    raw = recent.events
    names = tuple(dict.fromkeys((*known.event_names, *sorted(set(raw.event.tolist())))))
    code = {name: place for place, name in enumerate(names)}
    event = np.fromiter((code[name] for name in raw.event.tolist()), np.int64, len(raw))
    user, item = known.user_ids.encode(raw.user), known.item_ids.encode(raw.item)
    late = raw.timestamp < known.since
    identity = identities(user, item, event, raw.timestamp)
    repeated = (user > 0) & (item > 0) & ~late
    repeated &= locate_sorted(known.recent, identity)[1]
    kept = np.flatnonzero(~late & ~repeated)
    kept = kept[np.argsort(raw.timestamp[kept], kind="stable")]
    log = Interactions(
        user=user[kept],
        item=item[kept],
        timestamp=raw.timestamp[kept],
        event=event[kept],
        weight=raw.weight[kept],
        value=raw.value[kept],
        event_names=names,
        session=_sessions(raw.session[kept], known.session_ids),
    )
    unknown = np.flatnonzero(user == 0)
    newcomer, distinct = factorize(raw.user[unknown])
    anyone = user.copy()
    anyone[unknown] = len(known.user_ids) + newcomer
    return Encoded(
        log,
        names,
        int(repeated.sum()),
        int(late.sum()),
        newcomers=Vocabulary(distinct),
        by_anyone=log.replace(user=anyone[kept]),
    )


def _sessions(ids: AnyArray, known: AnyArray | None) -> IntArray:
    """Return session codes: those that the model knows, new ones after them, 0 for none."""
    codes = np.zeros(len(ids), np.int64)
    there = np.flatnonzero(_present(ids))
    if len(there):
        code, distinct = factorize(as_ids(ids[there], "session_id"))
        earlier = np.zeros(0, distinct.dtype) if known is None else known
        place = np.arange(len(earlier), len(earlier) + len(distinct))
        if earlier.dtype == distinct.dtype:
            position, found = locate_sorted(earlier, distinct)
            place[found] = position[found]
        codes[there] = place[code - 1] + 1
    return codes


def _labelled(frame: Frame, name: str, n: int) -> AnyArray:
    labelled = np.full(n, None, object)
    if name in frame:
        codes, labels = frame.labels(name)
        labelled[codes > 0] = labels.astype(object)[codes[codes > 0] - 1]
    return labelled


def _present(values: AnyArray) -> BoolArray:
    return np.array([value is not None for value in values.tolist()], np.bool_)
