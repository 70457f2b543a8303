"""OutcomeMonitor: clicks, conversions and revenue of what was shown, by experiment group (R19, R22)."""

from __future__ import annotations

import math
import zlib
from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np

from recokit.data.times import seconds
from recokit.errors import ConfigurationError, DataError
from recokit.monitoring.counters import Key, Metric, Tally
from recokit.monitoring.lists import Catalog
from recokit.monitoring.monitor import Monitor, when
from recokit.monitoring.rates import BUCKETS, Rates
from recokit.trace import Trace
from recokit.typing import FloatArray

__all__ = ["OutcomeMonitor"]

_By: TypeAlias = Literal["group", "users", "items"]
_BY: tuple[_By, ...] = ("group", "users", "items")
#: Of the NDCG of a list, which is no sum over kinds of items.
_ALL = "all"
_IMPRESSIONS = Metric(
    "recokit_impressions", "counter", "Items shown to users whom outcomes can be joined to.", _BY
)
_CLICKS = Metric("recokit_clicks", "counter", "Impressions that were clicked.", _BY)
_PURCHASES = Metric("recokit_purchases", "counter", "Impressions whose item was bought.", _BY)
_REVENUE = Metric(
    "recokit_revenue", "counter", "Value of these purchases, in the currency of the events.", _BY
)
_NDCG = Metric(
    "recokit_list_ndcg",
    "summary",
    "NDCG of lists with a click, by clicks on all items, or on new or established ones alone.",
    _BY,
)
_SESSIONS = Metric("recokit_sessions", "counter", "Sessions.", ("group", "users"))
_CONVERTED = Metric("recokit_converted_sessions", "counter", "Sessions with a purchase.", ("group", "users"))
_UNJOINED = Metric(
    "recokit_outcomes_unjoined",
    "counter",
    "Events on an item that was not shown to the user in time.",
    ("event",),
)
_ANONYMOUS = Metric("recokit_lists_unjoinable", "counter", "Lists of nobody in particular, left out.")
_EVICTED = Metric("recokit_lists_evicted", "counter", "Lists forgotten before their time, for want of room.")


@dataclass(eq=False)
class _Shown:
    """A list that waits for its outcomes."""

    time: float
    group: str
    users: str
    items: tuple[Any, ...]
    new: tuple[bool, ...]
    clicked: set[int] = field(default_factory=set)
    bought: set[int] = field(default_factory=set)


@dataclass(eq=False)
class _Visitor:
    """A user's session and lists."""

    bucket: int
    group: str
    users: str
    started: float
    last: float
    converted: bool = False
    lists: list[_Shown] = field(default_factory=list)


class OutcomeMonitor(Monitor):
    """Join events to what was shown, and count by group, by cold and warm users, by new and established items.

    An event counts for the latest list that showed its item to the user, on the day of that list, and once.

    Parameters
    ----------
    catalog : Catalog
        What is known of items and users.
    group : str, default "group"
        Context column of requests with the experiment group; requests without it are of the group ``"all"``.
    visitor : str, default "visitor_id"
        Context column that tells anonymous users apart. Lists without a user and without it cannot be joined; they are
        counted apart.
    click, purchase : str
        Event types.
    horizon : duration, default "1D"
        How long after a list an event still counts for it.
    session_gap : duration, default "30min"
        A longer pause ends a session; the customary limit of web analytics.
    capacity : int, default 50,000
        Lists to remember at most, some 1 kB each; the users who were away longest are forgotten first.

    Raises
    ------
    ConfigurationError
        If ``capacity`` is below 1.

    Notes
    -----
    Users are also counted in 32 groups by a hash of their id, so that standard errors hold although the impressions of
    a user are alike (random groups; Wolter, *Introduction to Variance Estimation*, 2007).

    Examples
    --------
    >>> import recokit as rk
    >>> from recokit import candidates
    >>> data = rk.testing.toy_dataset()
    >>> outcomes = OutcomeMonitor(Catalog.of(data))
    >>> pipeline = rk.Pipeline([candidates.Popular()], observers=[outcomes]).fit(data)
    >>> answer = pipeline.recommend(["user-1"], k=4, now=data.until, context={"group": ["B"]})
    >>> outcomes.record("user-1", answer.ids(0)[0], event="click", timestamp=data.until + 60)
    True
    >>> rates = outcomes.rates(outcomes.total())["B"]
    >>> rates.impressions, rates.ctr
    (4, 0.25)
    """

    metrics = (
        _IMPRESSIONS, _CLICKS, _PURCHASES, _REVENUE, _NDCG, _SESSIONS, _CONVERTED, _UNJOINED, _ANONYMOUS, _EVICTED,
    )  # fmt: skip

    def __init__(
        self,
        catalog: Catalog,
        *,
        group: str = "group",
        visitor: str = "visitor_id",
        click: str = "click",
        purchase: str = "purchase",
        horizon: str | float = "1D",
        session_gap: str | float = "30min",
        capacity: int = 50_000,
    ) -> None:
        super().__init__(slot=3600.0, n_slots=24)
        if capacity < 1:
            raise ConfigurationError(f"found capacity={capacity}; expected at least 1")
        self.catalog, self.group, self.visitor = catalog, group, visitor
        self.click, self.purchase, self.horizon, self.session_gap = click, purchase, horizon, session_gap
        self.capacity = capacity
        self._horizon, self._gap = seconds(horizon), seconds(session_gap)
        self._visitors: OrderedDict[Hashable, _Visitor] = OrderedDict()
        self._n_lists = 0

    # -- what was shown ----------------------------------------------------------------------------

    def _count(self, tally: Tally, trace: Trace) -> None:
        requests, selected = trace.requests, trace.selected
        if trace.users is None or trace.item_ids is None or not len(selected):
            return
        names, offsets = self._who(trace), selected.offsets.tolist()
        groups = requests.columns.get(self.group)
        cold = self.catalog.cold_of(trace).tolist()
        new = self.catalog.new_item[self.catalog.items_of(trace)].tolist()
        items = trace.item_ids.ids[selected.item - 1].tolist()
        for row, name in enumerate(names):
            start, end = offsets[row], offsets[row + 1]
            if start == end:
                continue
            if name is None:
                tally.add((_ANONYMOUS.name,))
                continue
            group = "all" if groups is None else self._bounded("group", str(groups[row]))
            users, place = "cold" if cold[row] else "warm", slice(start, end)
            now = float(requests.now[row])
            self._show(tally, name, _Shown(now, group, users, tuple(items[place]), tuple(new[place])))
        self._forget(tally, when(trace))

    def _who(self, trace: Trace) -> list[Hashable]:
        assert trace.users is not None
        names: list[Hashable] = trace.users.tolist()
        visitors = trace.requests.columns.get(self.visitor)
        if visitors is None:
            return names
        return [names[i] if names[i] is not None else visitor for i, visitor in enumerate(visitors.tolist())]

    def _show(self, tally: Tally, name: Hashable, shown: _Shown) -> None:
        visitor = self._visitors.get(name)
        if visitor is None:
            bucket = zlib.crc32(repr(name).encode()) % BUCKETS
            visitor = self._visitors[name] = _Visitor(bucket, shown.group, shown.users, shown.time, -math.inf)
        else:
            self._visitors.move_to_end(name)
        if shown.time - visitor.last > self._gap:
            visitor.started, visitor.group, visitor.users = shown.time, shown.group, shown.users
            visitor.converted = False
            _add(tally, (_SESSIONS.name, shown.group, shown.users), visitor.bucket)
        visitor.last = max(visitor.last, shown.time)
        lists = visitor.lists
        while lists and lists[0].time < shown.time - self._horizon:
            lists.pop(0)
            self._n_lists -= 1
        lists.append(shown)
        self._n_lists += 1
        n_new = sum(shown.new)
        for kind, n in (("new", n_new), ("established", len(shown.new) - n_new)):
            if n:
                _add(tally, (_IMPRESSIONS.name, shown.group, shown.users, kind), visitor.bucket, n)

    def _forget(self, tally: Tally, now: float) -> None:
        """Drop the users who were away longest: those whose lists nothing can be joined to, and more if it is full."""
        visitors = self._visitors
        while visitors:
            visitor = visitors[next(iter(visitors))]
            expired = visitor.last < now - self._horizon
            if not expired and self._n_lists <= self.capacity:
                return
            dropped = visitor.lists if expired else visitor.lists[:1]
            lost = sum(shown.time > now - self._horizon for shown in dropped)
            if lost:
                tally.add((_EVICTED.name,), lost)
            self._n_lists -= len(dropped)
            del visitor.lists[: len(dropped)]
            if not visitor.lists:
                visitors.popitem(last=False)

    # -- what happened -----------------------------------------------------------------------------

    def record(
        self, user: Hashable, item: Any, *, event: str = "click", timestamp: float, value: float = 0.0
    ) -> bool:
        """Count an event, and tell whether it was joined to a list that showed the item.

        Parameters
        ----------
        user : hashable
            External id, or the visitor id of an anonymous user.
        item : int or str
            External id.
        event : str, default "click"
            Its type; other types than clicks and purchases are not counted.
        timestamp : float
            Seconds since 1970.
        value : float, default 0
            What a purchase brought.
        """
        if event not in (self.click, self.purchase):
            return False
        with self._lock:
            visitor = self._visitors.get(user)
            shown = None if visitor is None else self._find(visitor, item, timestamp)
            if visitor is None or shown is None:
                self._timeline.past(timestamp).add((_UNJOINED.name, event))
                return False
            self._join(visitor, shown, shown.items.index(item), event, value)
            visitor.last = max(visitor.last, timestamp)
            return True

    def record_many(self, events: Mapping[str, Sequence[Any]]) -> int:
        """Count events given as columns, and return how many were joined.

        Parameters
        ----------
        events : mapping of str to sequence
            ``user_id``, ``item_id``, ``event``, ``timestamp`` in seconds and, if there is any, ``value``.

        Raises
        ------
        DataError
            If a column is missing, or lengths differ.
        """
        missing = {"user_id", "item_id", "event", "timestamp"} - set(events)
        if missing:
            raise DataError(f"found events without {', '.join(sorted(missing))}; expected these columns")
        value = events.get("value", [0.0] * len(events["user_id"]))
        columns = [events[name] for name in ("user_id", "item_id", "event", "timestamp")]
        if len({len(column) for column in (*columns, value)}) > 1:
            raise DataError("found columns of different lengths; expected one value for each event")
        joined = 0
        for user, item, event, timestamp, worth in zip(*columns, value, strict=True):
            joined += self.record(user, item, event=event, timestamp=float(timestamp), value=float(worth))
        return joined

    def _find(self, visitor: _Visitor, item: Any, timestamp: float) -> _Shown | None:
        for shown in reversed(visitor.lists):
            if timestamp - self._horizon <= shown.time <= timestamp and item in shown.items:
                return shown
        return None

    def _join(self, visitor: _Visitor, shown: _Shown, place: int, event: str, value: float) -> None:
        tally = self._timeline.past(shown.time)
        labels = shown.group, shown.users, "new" if shown.new[place] else "established"
        if event == self.click:
            if place not in shown.clicked:
                shown.clicked.add(place)
                _add(tally, (_CLICKS.name, *labels), visitor.bucket)
                self._judge(tally, visitor.bucket, shown, place)
        elif place not in shown.bought:
            shown.bought.add(place)
            _add(tally, (_PURCHASES.name, *labels), visitor.bucket)
            if math.isfinite(value):
                _add(tally, (_REVENUE.name, *labels), visitor.bucket, value)
            if not visitor.converted and shown.time >= visitor.started:
                visitor.converted = True
                session = self._timeline.past(visitor.started)
                _add(session, (_CONVERTED.name, visitor.group, visitor.users), visitor.bucket)

    def _judge(self, tally: Tally, bucket: int, shown: _Shown, place: int) -> None:
        """Count a click for the NDCG of its list: among all clicks, and among those on its kind of items."""
        alike = {other for other in shown.clicked if shown.new[other] == shown.new[place]}
        for kind, clicked in ((_ALL, shown.clicked), ("new" if shown.new[place] else "established", alike)):
            labels = shown.group, shown.users, kind
            more = _ndcg(clicked) - _ndcg(clicked - {place})
            _add(tally, (f"{_NDCG.name}_sum", *labels), bucket, more)
            if len(clicked) == 1:
                _add(tally, (f"{_NDCG.name}_count", *labels), bucket)

    # -- reading -----------------------------------------------------------------------------------

    def counters(self, tally: Tally) -> Mapping[Key, float]:
        """Return the counts, over all random groups."""
        return {**tally.counts, **{key: float(values.sum()) for key, values in tally.arrays.items()}}

    def rates(
        self,
        tally: Tally,
        by: _By = "group",
        *,
        within: Mapping[str, str] | None = None,
    ) -> dict[str, Rates]:
        """Return click and conversion rates, NDCG by clicks, and revenue per session, with standard errors.

        Parameters
        ----------
        tally : Tally
            Of a period, such as ``days()[day]``.
        by : {"group", "users", "items"}
            What to tell apart. Sessions have no items: by items there is no rate of sessions.
        within : mapping of str to str, optional
            Keep these only, such as ``{"group": "B"}``.
        """
        kept = dict(within or {})
        labels = sorted({key[1 + _BY.index(by)] for key in tally.arrays if key[0] == _IMPRESSIONS.name})
        found = {}
        for label in labels:
            of = {**kept, by: label}
            counted = (_select(tally, metric.name, of) for metric in _RATED)
            judged = (
                _select(tally, f"{_NDCG.name}_{part}", {"items": _ALL, **of}) for part in ("sum", "count")
            )
            found[label] = Rates.of(*counted, *judged, with_sessions=by != "items")
        return found

    def figures(self, tally: Tally) -> dict[str, Any]:
        """Return the rates by group, and those of cold and warm users, new and established items."""
        parts = {by: self.rates(tally, by) for by in _BY}
        rates: dict[str, Any] = {
            by: {label: one.to_dict() for label, one in of.items()} for by, of in parts.items()
        }
        return {
            **rates,
            "unjoined": {key[1]: int(n) for key, n in tally.counts.items() if key[0] == _UNJOINED.name},
        }

    # -- processes ---------------------------------------------------------------------------------

    def _merge_more(self, other: OutcomeMonitor) -> None:
        for name, theirs in other._visitors.items():
            mine = self._visitors.setdefault(name, theirs)
            if mine is not theirs:
                mine.lists = sorted([*mine.lists, *theirs.lists], key=lambda shown: shown.time)
                if theirs.last > mine.last:
                    theirs.lists = mine.lists
                    self._visitors[name] = theirs
            self._n_lists += len(theirs.lists) if mine is theirs else 0
        self._n_lists = sum(len(visitor.lists) for visitor in self._visitors.values())
        self._forget(Tally(), -math.inf)

    def state(self) -> dict[str, Any]:
        """Return what was counted and what waits for outcomes, for saving."""
        with self._lock:
            return {**super().state(), "visitors": list(self._visitors.items())}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up what :meth:`state` gave."""
        super().load_state(state)
        self._visitors = OrderedDict((name, visitor) for name, visitor in state["visitors"])
        self._n_lists = sum(len(visitor.lists) for visitor in self._visitors.values())


_RATED = (_IMPRESSIONS, _CLICKS, _PURCHASES, _REVENUE, _SESSIONS, _CONVERTED)


def _ndcg(clicked: set[int]) -> float:
    """Return the NDCG of a list by the places clicked in it, from 0; gains of 1 (Järvelin and Kekäläinen, 2002)."""
    best = sum(1.0 / math.log2(place + 2) for place in range(len(clicked)))
    return sum(1.0 / math.log2(place + 2) for place in clicked) / best if clicked else 0.0


def _add(tally: Tally, key: Key, bucket: int, n: float = 1.0) -> None:
    counts = tally.arrays.get(key)
    if counts is None:
        counts = tally.arrays[key] = np.zeros(BUCKETS)
    counts[bucket] += n


def _select(tally: Tally, metric: str, labels: Mapping[str, str]) -> FloatArray:
    """Sum the arrays of a metric over all labels but the given ones."""
    places = [(1 + _BY.index(name), value) for name, value in labels.items()]
    total = np.zeros(BUCKETS)
    for key, counts in tally.arrays.items():
        if key[0] == metric and all(len(key) > at and key[at] == value for at, value in places):
            total += counts
    return total
