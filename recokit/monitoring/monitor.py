"""Monitor: the base of observers that count."""

from __future__ import annotations

import copy
import datetime as dt
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from recokit._utils.params import Configured, get_params
from recokit.data.times import DAY
from recokit.errors import ConfigurationError
from recokit.monitoring.counters import Counters, Key, MetricSpec, Timeline
from recokit.trace import Trace

#: Distinct values of one label; further ones share ``"other"``.
MAX_VALUES = 100
#: Seconds of a slot, and how many are kept: five minutes to judge by.
SLOT, N_SLOTS = 10.0, 30
#: Five weeks.
N_DAYS = 35


def when(trace: Trace) -> float:
    """Return the time of a run: that of its latest request."""
    now = trace.requests.now
    return float(now[0]) if len(now) == 1 else float(now.max(initial=0.0))


class Monitor(Configured, ABC):
    """An observer that counts what runs did, by slots of some seconds and by days (UTC).

    It keeps sums, never requests, so its memory does not grow with traffic; sums of several processes add up
    (:meth:`merge`). Its clock is the requests' own time. Safe to use from several threads. It is saved and loaded with
    :func:`recokit.data.save_state` and ``load_state``, and pickled.
    """

    #: Its metrics.
    metrics: ClassVar[tuple[MetricSpec, ...]]

    def __init__(self, slot: float = SLOT, n_slots: int = N_SLOTS) -> None:
        self._timeline = Timeline(slot, n_slots, N_DAYS)
        self._values: dict[str, set[str]] = {}
        self._lock = threading.RLock()

    @abstractmethod
    def _count(self, counters: Counters, trace: Trace) -> None:
        """Add a run to the counters of its time."""

    def observe(self, trace: Trace) -> None:
        """Count a run."""
        with self._lock:
            self._count(self._timeline.at(when(trace)), trace)

    # -- reading -----------------------------------------------------------------------------------

    def total(self) -> Counters:
        """Return the sums of all time."""
        with self._lock:
            return self._timeline.total()

    def recent(self, now: float, seconds: float) -> Counters:
        """Return the sums of the last so many seconds, to a slot."""
        with self._lock:
            return self._timeline.recent(now, seconds)

    def days(self) -> dict[int, Counters]:
        """Return the sums of each of the last 35 days, by the number of the day since 1970."""
        with self._lock:
            return self._timeline.days()

    def weeks(self) -> dict[int, Counters]:
        """Return the sums of each week of these days, by the number of its Monday."""
        with self._lock:
            return self._timeline.weeks()

    def counters(self, counters: Counters) -> Mapping[Key, float]:
        """Return every count of a counters by metric and labels; those of summaries by suffix."""
        return counters.counts

    def gauges(self, now: float) -> dict[Key, float]:
        """Return the values of gauges as of a time, by metric and labels."""
        return {}

    def figures(self, counters: Counters) -> dict[str, Any]:
        """Return the numbers of a period, for people."""
        return {" ".join(key): value for key, value in sorted(self.counters(counters).items())}

    def daily(self) -> dict[str, dict[str, Any]]:
        """Return the :meth:`figures` of each kept day, by its date."""
        return {_date(day): self.figures(counters) for day, counters in self.days().items()}

    def weekly(self) -> dict[str, dict[str, Any]]:
        """Return the :meth:`figures` of each week, by the date of its Monday."""
        return {_date(day): self.figures(counters) for day, counters in self.weeks().items()}

    # -- processes ---------------------------------------------------------------------------------

    def merge(self, other: Self) -> None:
        """Add what another monitor of the same class and options counted, such as that of another process.

        Raises
        ------
        ConfigurationError
            If it is of another class, or its slots differ.
        """
        if type(other) is not type(self) or other._timeline.slot != self._timeline.slot:
            raise ConfigurationError(
                f"found {type(other).__name__} to merge into {type(self).__name__}; expected one of the same options"
            )
        theirs = copy.deepcopy(other)
        with self._lock:
            self._timeline.merge(theirs._timeline)
            for label, values in theirs._values.items():
                self._values.setdefault(label, set()).update(values)
            self._merge_more(theirs)

    def _merge_more(self, other: Self) -> None:
        """Add what another monitor keeps beside its periods."""

    def state(self) -> dict[str, Any]:
        """Return what was counted, for saving."""
        with self._lock:
            values = {label: sorted(values) for label, values in self._values.items()}
            return {"timeline": copy.deepcopy(self._timeline.state()), "values": values}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up what :meth:`state` gave."""
        self._timeline.load_state(state["timeline"])
        self._values = {label: set(values) for label, values in state["values"].items()}

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (type(self), get_params(self), self.state())

    def __deepcopy__(self, memo: Any) -> Self:
        # Options such as tables are shared; what was counted is not.
        twin = type(self)(**get_params(self))
        twin.load_state(self.state())
        return twin

    def _bounded(self, label: str, value: str) -> str:
        """Return a label's value, or "other" once there are too many."""
        values = self._values.setdefault(label, set())
        if value not in values:
            if len(values) >= MAX_VALUES:
                return "other"
            values.add(value)
        return value


def _rebuilt(cls: type[Monitor], options: dict[str, Any], state: Mapping[str, Any]) -> Monitor:
    monitor = cls(**options)
    monitor.load_state(state)
    return monitor


def _date(day: int) -> str:
    return dt.datetime.fromtimestamp(day * DAY, dt.UTC).date().isoformat()
