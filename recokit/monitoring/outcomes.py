"""OutcomeMonitor: clicks, conversions and revenue of the lists, by experiment group."""

from __future__ import annotations

import math
import zlib
from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np

from recokit._utils.options import check_options, whole
from recokit.data.times import seconds
from recokit.errors import DataError
from recokit.monitoring.counters import Counters, Key, MetricSpec
from recokit.monitoring.lists import Catalog
from recokit.monitoring.monitor import Monitor, when
from recokit.monitoring.rates import BUCKETS, Rates
from recokit.trace import Trace
from recokit.typing import FloatArray

_By: TypeAlias = Literal["group", "users", "items"]
_BY: tuple[_By, ...] = ("group", "users", "items")
#: Of the NDCG of a list, which is no sum over kinds of items.
_ALL = "all"
_IMPRESSIONS = MetricSpec(
    "recokit_impressions", "counter", "Items shown to users whom outcomes can be joined to.", _BY
)
_CLICKS = MetricSpec("recokit_clicks", "counter", "Impressions that were clicked.", _BY)
_PURCHASES = MetricSpec("recokit_purchases", "counter", "Impressions whose item was bought.", _BY)
_REVENUE = MetricSpec(
    "recokit_revenue", "counter", "Value of these purchases, in the currency of the events.", _BY
)
_NDCG = MetricSpec(
    "recokit_list_ndcg",
    "summary",
    "NDCG of lists with a click, by clicks on all items, or on new or established ones alone.",
    _BY,
)
_SESSIONS = MetricSpec("recokit_sessions", "counter", "Sessions.", ("group", "users"))
_CONVERTED = MetricSpec(
    "recokit_converted_sessions", "counter", "Sessions with a purchase.", ("group", "users")
)
_UNJOINED = MetricSpec(
    "recokit_outcomes_unjoined",
    "counter",
    "Events on an item that was not shown to the user in time.",
    ("event",),
)
_ANONYMOUS = MetricSpec("recokit_lists_unjoinable", "counter", "Lists of nobody in particular, left out.")
_EVICTED = MetricSpec(
    "recokit_lists_evicted", "counter", "Lists forgotten before their time, for want of room."
)


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
        Segments of items and users.
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
        self.catalog, self.group, self.visitor = catalog, group, visitor
        self.click, self.purchase, self.horizon, self.session_gap = click, purchase, horizon, session_gap
        self.capacity = capacity
        check_options(self, {"capacity": whole(1)})
        self._horizon, self._gap = seconds(horizon), seconds(session_gap)
        self._visitors: OrderedDict[Hashable, _Visitor] = OrderedDict()
        self._n_lists = 0

    # -- lists ----------------------------------------------------------------------------

    def _count(self, counters: Counters, trace: Trace) -> None:
        requests, selected = trace.requests, trace.selected
        if trace.users is None or trace.item_ids is None or not len(selected):
            return
        names, offsets = self._names(trace), selected.offsets.tolist()
        groups = requests.columns.get(self.group)
        cold = self.catalog.cold_of(trace).tolist()
        new = self.catalog.new_item[self.catalog.items_of(trace)].tolist()
        items = trace.item_ids.ids[selected.item - 1].tolist()
        for row, name in enumerate(names):
            start, end = offsets[row], offsets[row + 1]
            if start == end:
                continue
            if name is None:
                counters.add((_ANONYMOUS.name,))
                continue
            group = "all" if groups is None else self._bounded("group", str(groups[row]))
            users, place = "cold" if cold[row] else "warm", slice(start, end)
            now = float(requests.now[row])
            self._show(counters, name, _Shown(now, group, users, tuple(items[place]), tuple(new[place])))
        self._forget(counters, when(trace))

    def _names(self, trace: Trace) -> list[Hashable]:
        """Return the name of each request's user: an external id, or that of an anonymous visitor."""
        assert trace.users is not None
        names: list[Hashable] = trace.users.tolist()
        visitors = trace.requests.columns.get(self.visitor)
        if visitors is None:
            return names
        return [names[i] if names[i] is not None else visitor for i, visitor in enumerate(visitors.tolist())]

    def _show(self, counters: Counters, name: Hashable, shown: _Shown) -> None:
        visitor = self._visitors.get(name)
        if visitor is None:
            bucket = zlib.crc32(repr(name).encode()) % BUCKETS
            visitor = self._visitors[name] = _Visitor(bucket, shown.group, shown.users, shown.time, -math.inf)
        else:
            self._visitors.move_to_end(name)
        if shown.time - visitor.last > self._gap:
            visitor.started, visitor.group, visitor.users = shown.time, shown.group, shown.users
            visitor.converted = False
            _add(counters, (_SESSIONS.name, shown.group, shown.users), visitor.bucket)
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
                _add(counters, (_IMPRESSIONS.name, shown.group, shown.users, kind), visitor.bucket, n)

    def _forget(self, counters: Counters, now: float) -> None:
        """Drop the users who were away longest: those whose lists nothing can be joined to, and more if it is full."""
        visitors = self._visitors
        while visitors:
            visitor = visitors[next(iter(visitors))]
            expired = visitor.last < now - self._horizon
            if not expired and self._n_lists <= self.capacity:
                return
            dropped = visitor.lists if expired else visitor.lists[:1]
            n_evicted = sum(shown.time > now - self._horizon for shown in dropped)
            if n_evicted:
                counters.add((_EVICTED.name,), n_evicted)
            self._n_lists -= len(dropped)
            del visitor.lists[: len(dropped)]
            if not visitor.lists:
                visitors.popitem(last=False)

    def erase_user(self, user: Any) -> int:
        """Forget the lists that a user, or an anonymous visitor, was shown, and return how many; counts stay."""
        with self._lock:
            names = [name for name in self._visitors if str(name) == str(user)]
            n = sum(len(self._visitors.pop(name).lists) for name in names)
            self._n_lists -= n
        return n

    # -- events -----------------------------------------------------------------------------

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
            Value of a purchase.
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
        return sum(
            self.record(user, item, event=event, timestamp=float(timestamp), value=float(amount))
            for user, item, event, timestamp, amount in zip(*columns, value, strict=True)
        )

    def _find(self, visitor: _Visitor, item: Any, timestamp: float) -> _Shown | None:
        for shown in reversed(visitor.lists):
            if timestamp - self._horizon <= shown.time <= timestamp and item in shown.items:
                return shown
        return None

    def _join(self, visitor: _Visitor, shown: _Shown, place: int, event: str, value: float) -> None:
        counters = self._timeline.past(shown.time)
        labels = shown.group, shown.users, "new" if shown.new[place] else "established"
        if event == self.click:
            if place not in shown.clicked:
                shown.clicked.add(place)
                _add(counters, (_CLICKS.name, *labels), visitor.bucket)
                self._count_ndcg(counters, visitor.bucket, shown, place)
        elif place not in shown.bought:
            shown.bought.add(place)
            _add(counters, (_PURCHASES.name, *labels), visitor.bucket)
            if math.isfinite(value):
                _add(counters, (_REVENUE.name, *labels), visitor.bucket, value)
            if not visitor.converted and shown.time >= visitor.started:
                visitor.converted = True
                session = self._timeline.past(visitor.started)
                _add(session, (_CONVERTED.name, visitor.group, visitor.users), visitor.bucket)

    def _count_ndcg(self, counters: Counters, bucket: int, shown: _Shown, place: int) -> None:
        """Count a click for the NDCG of its list: among all clicks, and among those on its kind of items."""
        alike = {other for other in shown.clicked if shown.new[other] == shown.new[place]}
        for kind, clicked in ((_ALL, shown.clicked), ("new" if shown.new[place] else "established", alike)):
            labels = shown.group, shown.users, kind
            more = _ndcg(clicked) - _ndcg(clicked - {place})
            _add(counters, (f"{_NDCG.name}_sum", *labels), bucket, more)
            if len(clicked) == 1:
                _add(counters, (f"{_NDCG.name}_count", *labels), bucket)

    # -- reading -----------------------------------------------------------------------------------

    def counters(self, counters: Counters) -> Mapping[Key, float]:
        """Return the counts, over all random groups."""
        return {**counters.counts, **{key: float(values.sum()) for key, values in counters.arrays.items()}}

    def rates(
        self,
        counters: Counters,
        by: _By = "group",
        *,
        within: Mapping[str, str] | None = None,
    ) -> dict[str, Rates]:
        """Return click and conversion rates, NDCG by clicks, and revenue per session, with standard errors.

        Parameters
        ----------
        counters : Counters
            Of a period, such as ``days()[day]``.
        by : {"group", "users", "items"}
            The label to split by. Sessions have no items: by items there is no rate of sessions.
        within : mapping of str to str, optional
            Keep these only, such as ``{"group": "B"}``.
        """
        labels = sorted({key[1 + _BY.index(by)] for key in counters.arrays if key[0] == _IMPRESSIONS.name})
        rates = {}
        for label in labels:
            of = {**(within or {}), by: label}
            counts = {name: _select(counters, metric, of) for name, metric in _RATED.items()}
            # The NDCG of a list is no sum over kinds of items: it has a label for all of them.
            counts |= {
                name: _select(counters, metric, {"items": _ALL, **of}) for name, metric in _GAINS.items()
            }
            rates[label] = Rates.of(counts, with_sessions=by != "items")
        return rates

    def figures(self, counters: Counters) -> dict[str, Any]:
        """Return the rates by group, and those of cold and warm users, new and established items."""
        return {
            **{
                by: {label: rates.to_dict() for label, rates in self.rates(counters, by).items()}
                for by in _BY
            },
            "unjoined": {key[1]: int(n) for key, n in counters.counts.items() if key[0] == _UNJOINED.name},
        }

    # -- processes ---------------------------------------------------------------------------------

    def _merge_more(self, other: OutcomeMonitor) -> None:
        for name, theirs in other._visitors.items():
            mine = self._visitors.setdefault(name, theirs)
            if mine is not theirs:
                lists = sorted([*mine.lists, *theirs.lists], key=lambda shown: shown.time)
                newest = theirs if theirs.last > mine.last else mine
                newest.lists = lists
                self._visitors[name] = newest
        self._n_lists = sum(len(visitor.lists) for visitor in self._visitors.values())
        self._forget(Counters(), -math.inf)

    def state(self) -> dict[str, Any]:
        """Return the counts and the lists that wait for outcomes, for saving."""
        with self._lock:
            return {**super().state(), "visitors": list(self._visitors.items())}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up what :meth:`state` gave."""
        super().load_state(state)
        self._visitors = OrderedDict((name, visitor) for name, visitor in state["visitors"])
        self._n_lists = sum(len(visitor.lists) for visitor in self._visitors.values())


#: The metrics of :meth:`Rates.of`, by its names.
_RATED = {
    "impressions": _IMPRESSIONS.name,
    "clicks": _CLICKS.name,
    "purchases": _PURCHASES.name,
    "revenue": _REVENUE.name,
    "sessions": _SESSIONS.name,
    "converted": _CONVERTED.name,
}
_GAINS = {"gained": f"{_NDCG.name}_sum", "judged": f"{_NDCG.name}_count"}


def _ndcg(clicked: set[int]) -> float:
    """Return the NDCG of a list by the places clicked in it, from 0; gains of 1 (Järvelin and Kekäläinen, 2002)."""
    ideal = sum(1.0 / math.log2(place + 2) for place in range(len(clicked)))
    return sum(1.0 / math.log2(place + 2) for place in clicked) / ideal if clicked else 0.0


def _add(counters: Counters, key: Key, bucket: int, n: float = 1.0) -> None:
    counts = counters.arrays.get(key)
    if counts is None:
        counts = counters.arrays[key] = np.zeros(BUCKETS)
    counts[bucket] += n


def _select(counters: Counters, metric: str, labels: Mapping[str, str]) -> FloatArray:
    """Sum the arrays of a metric over all labels but the given ones."""
    places = [(1 + _BY.index(name), value) for name, value in labels.items()]
    total = np.zeros(BUCKETS)
    for key, counts in counters.arrays.items():
        if key[0] == metric and all(len(key) > at and key[at] == value for at, value in places):
            total += counts
    return total
