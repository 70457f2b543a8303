"""Routing: the rows of a call, sorted by the pipeline that answers them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recokit._utils.options import shown
from recokit.errors import DataError, did_you_mean
from recokit.experiments.assignment import HOLDOUT, Assignment, Experiment, Place
from recokit.experiments.stitching import Stitching
from recokit.experiments.switchback import Switchback
from recokit.typing import AnyArray, IntArray

#: What the group column says of requests that are in no arm.
OUTSIDE = "(outside)"
#: As plain numbers: comparing members of an enum takes ten times as long.
_FORCED, _HOLDOUT = int(Place.FORCED), int(Place.HOLDOUT)
#: Options of a call that have one list for each row.
LISTS = ("history", "session", "items", "exclude")


@dataclass(frozen=True, eq=False)
class Route:
    """Rows that one pipeline answers.

    Parameters
    ----------
    test : Experiment
    arm : str
        Name of the pipeline among its arms.
    group : str
        What the log says: the arm, the holdout, or outside.
    rows : ndarray of int64 or None
        None for all rows of the call.
    units : sequence of str or None
        Unit of each of these rows.
    forced : bool
        Whether these rows are in the arm by name.
    """

    test: Experiment | Switchback
    arm: str
    group: str
    rows: IntArray | None
    units: Sequence[Any]
    forced: bool

    @property
    def is_logged(self) -> bool:
        """Whether what these rows are shown is an exposure."""
        return self.group != OUTSIDE


def routes(
    experiments: Sequence[Experiment | Switchback],
    stitching: Stitching | None,
    people: Sequence[Any] | AnyArray,
    context: Mapping[str, Any],
    now: Any,
) -> list[Route]:
    """Return the routes of a call, each row in one of them.

    Raises
    ------
    DataError
        If the context lacks a column that an experiment needs.
    """
    n = len(people)
    if n == 1 and len(experiments) == 1 and stitching is None:
        test = experiments[0]
        one = (
            test.place_one(people[0], now)
            if isinstance(test, Experiment) and test.unit == "user_id"
            else None
        )
        if one is not None:
            return [_route(test, one[1], one[2], None, [one[0]])]
    columns = {name: _column(name, context[name], n) for name in _needed(experiments, stitching, context)}
    units = None
    if stitching is not None:
        if stitching.visitor not in columns:
            raise DataError(
                f"found no context column {stitching.visitor!r}; {did_you_mean(stitching.visitor, context)}"
            )
        units = stitching.units(list(people), columns[stitching.visitor].tolist())
    return _several(
        experiments, [test.assign(people, context=columns, now=now, units=units) for test in experiments]
    )


def _several(experiments: Sequence[Experiment | Switchback], assigned: Sequence[Assignment]) -> list[Route]:
    n = len(assigned[0])
    places = np.stack([one.place for one in assigned])
    # The experiment that a row is in; nobody is in two of one layer.
    chosen = np.argmax(places <= Place.HOLDOUT, axis=0)
    each = np.arange(n)
    place, arm = places[chosen, each], np.stack([one.arm for one in assigned])[chosen, each]
    key = (chosen * (len(Place) + 1) + place) * (1 + int(arm.max(initial=0))) + arm
    found = []
    for value in np.unique(key).tolist():
        rows = np.flatnonzero(key == value)
        first = int(rows[0])
        at = int(chosen[first])
        whole = len(rows) == n
        found.append(
            _route(
                experiments[at],
                int(arm[first]),
                int(place[first]),
                None if whole else rows,
                (assigned[at].unit if whole else assigned[at].unit[rows]).tolist(),
            )
        )
    return found


def _route(
    test: Experiment | Switchback, arm: int, place: int, rows: IntArray | None, units: list[Any]
) -> Route:
    name = test.names[arm]
    group = name if place <= _FORCED else HOLDOUT if place == _HOLDOUT else OUTSIDE
    return Route(test=test, arm=name, group=group, rows=rows, units=units, forced=place == _FORCED)


def _needed(
    experiments: Sequence[Experiment | Switchback], stitching: Stitching | None, context: Mapping[str, Any]
) -> set[str]:
    """Return the context columns that experiments look at."""
    wanted = {test.unit for test in experiments}
    for test in experiments:
        if test.where is not None:
            wanted |= set(context) if callable(test.where) else set(test.where)
    if stitching is not None:
        wanted.add(stitching.visitor)
    return wanted & set(context)


def _column(name: str, value: Any, n: int) -> AnyArray:
    """Return a context value as a column: one for all rows, or one for each."""
    if isinstance(value, str) or not hasattr(value, "__len__"):
        return np.full(n, value, object)
    if len(value) != n:
        raise DataError(f"found {len(value)} values in {name!r}; expected {n}, one for each user")
    column = np.empty(n, object)
    column[:] = value.tolist() if isinstance(value, np.ndarray) else list(value)
    return column


def people_of(users: Any, options: Mapping[str, Any]) -> Sequence[Any] | AnyArray:
    """Return the users of a call, None for anonymous ones where only lists are given.

    Raises
    ------
    DataError
        For neither users nor lists, or a bare id.
    """
    if users is None:
        lengths = [len(options[name]) for name in LISTS[:3] if options.get(name) is not None]
        if not lengths:
            raise DataError("found neither users nor a history or session; expected one of them")
        return [None] * lengths[0]
    if isinstance(users, str | bytes) or not hasattr(users, "__len__"):
        raise DataError(f"found users={shown(users)}; expected a list of ids; hint: [{shown(users)}]")
    return users if isinstance(users, list | tuple | np.ndarray) else list(users)


def call_of(call: Mapping[str, Any], rows: IntArray) -> dict[str, Any]:
    """Return the arguments of a call for some of its rows: lists, and values given one for each row."""
    at = rows.tolist()

    def taken(value: Any) -> Any:
        if value is None or isinstance(value, str) or not hasattr(value, "__len__"):
            return value
        return [value[row] for row in at]

    parts = {
        name: taken(value) if name in (*LISTS, "users", "k", "now") else value for name, value in call.items()
    }
    parts["context"] = {name: taken(value) for name, value in call["context"].items()}
    return parts
