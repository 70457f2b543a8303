"""Alerts: rules over the monitors, with hysteresis, in code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

from recokit._utils.params import Configured
from recokit.errors import ConfigurationError

State = Literal["ok", "bad", "between", "cannot tell"]


@dataclass(frozen=True)
class Reading:
    """State of one subject by one rule at one time.

    Parameters
    ----------
    subject : str
        Stage, source, group or segment.
    state : {"ok", "bad", "between", "cannot tell"}
        ``between`` is no longer bad, and not good enough to take an alert back.
    message : str
        The value found and the one expected.
    value, limit : float
        The figure, and where it would be bad; NaN where there is none.
    """

    subject: str
    state: State
    message: str
    value: float = float("nan")
    limit: float = float("nan")


class AlertRule(Protocol):
    """A check of the counts of monitors.

    Attributes
    ----------
    name : str
        Name of the alert.
    every : float
        Seconds; it is read at the first check of each such span of time, at every check if 0. A rule that judges whole
        days need not be read each quarter of a minute.
    raise_after, clear_after : int
        Readings in a row that must be bad to raise it, and good to clear it.
    """

    name: str
    every: float
    raise_after: int
    clear_after: int

    def read(self, now: float) -> Iterable[Reading]:
        """Return a reading for each subject as of a time."""
        ...


@dataclass(frozen=True)
class Alert:
    """An alert that was raised.

    Parameters
    ----------
    name, subject : str
        Of the rule and of the reading.
    since : float
        When it was raised, seconds since 1970.
    reading : Reading
        The last reading.
    cleared : float, optional
        When it was cleared.
    """

    name: str
    subject: str
    since: float
    reading: Reading
    cleared: float | None = None

    def __str__(self) -> str:
        state = "raised" if self.cleared is None else "cleared"
        return f"{self.name} ({self.subject}) {state}: {self.reading.message}"


@dataclass
class _Streak:
    bad: int = 0
    good: int = 0
    alert: Alert | None = None


class Alerts(Configured):
    """Rules that are checked from time to time, and the alerts that are active.

    An alert is raised after some bad readings in a row and cleared after some good ones, so that it neither fires at
    one slow minute nor flutters. A reading that cannot tell changes nothing.

    Parameters
    ----------
    rules : sequence of AlertRule
        Such as :func:`standard_rules` gives.

    Raises
    ------
    ConfigurationError
        If two rules have the same name.

    Notes
    -----
    :meth:`check` is for a job beside the serving, every 15 seconds or so; it takes some milliseconds. It has no clock:
    the time is given, as in the requests.

    Examples
    --------
    >>> class Full:
    ...     name, every, raise_after, clear_after = "Full", 0.0, 2, 1
    ...     level = 0.0
    ...     def read(self, now):
    ...         state = "bad" if self.level > 0.9 else "ok"
    ...         return [Reading("disk", state, f"found {self.level:.0%} full; expected at most 90%")]
    >>> rule = Full()
    >>> alerts = Alerts([rule])
    >>> rule.level = 0.95
    >>> alerts.check(0.0), [str(alert) for alert in alerts.check(15.0)]
    ([], ['Full (disk) raised: found 95% full; expected at most 90%'])
    >>> rule.level = 0.5
    >>> [str(alert) for alert in alerts.check(30.0)], alerts.active
    (['Full (disk) cleared: found 50% full; expected at most 90%'], ())
    """

    def __init__(self, rules: Sequence[AlertRule]) -> None:
        names = [rule.name for rule in rules]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ConfigurationError(f"found two rules named {twice!r}; expected distinct names")
        self.rules = rules
        self._streaks: dict[tuple[str, str], _Streak] = {}
        self._readings: dict[tuple[str, str], Reading] = {}
        self._spans: dict[str, float] = {}

    @property
    def active(self) -> tuple[Alert, ...]:
        """Alerts that are raised and not cleared, oldest first."""
        raised = [streak.alert for streak in self._streaks.values() if streak.alert is not None]
        return tuple(sorted(raised, key=lambda alert: (alert.since, alert.name, alert.subject)))

    @property
    def readings(self) -> Mapping[tuple[str, str], Reading]:
        """The last reading of each rule and subject, those that cannot tell among them."""
        return self._readings

    def check(self, now: float) -> list[Alert]:
        """Judge every rule as of a time, and return the alerts that were raised or cleared by that."""
        changed = []
        for rule in self.rules:
            span = now // rule.every if rule.every else now
            if self._spans.get(rule.name) == span:
                continue
            self._spans[rule.name] = span
            for reading in rule.read(now):
                key = rule.name, reading.subject
                self._readings[key] = reading
                change = _advance(self._streaks.setdefault(key, _Streak()), rule, reading, now)
                if change is not None:
                    changed.append(change)
        return changed

    def state(self) -> dict[str, Any]:
        """Return the streaks and the alerts, for saving."""
        return {"streaks": dict(self._streaks)}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up what :meth:`state` gave."""
        self._streaks = dict(state["streaks"])


def _advance(streak: _Streak, rule: AlertRule, reading: Reading, now: float) -> Alert | None:
    """Take up a reading; return the alert that it raised or cleared."""
    if reading.state == "cannot tell":
        return None
    streak.bad = streak.bad + 1 if reading.state == "bad" else 0
    streak.good = streak.good + 1 if reading.state == "ok" else 0
    if streak.alert is None:
        if streak.bad < rule.raise_after:
            return None
        streak.alert = Alert(rule.name, reading.subject, now, reading)
        return streak.alert
    streak.alert = replace(streak.alert, reading=reading)
    if streak.good < rule.clear_after:
        return None
    cleared = replace(streak.alert, cleared=now)
    streak.alert = None
    return cleared
