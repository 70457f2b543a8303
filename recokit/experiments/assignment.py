"""Experiment: arms that are pipelines, and which unit is in which of them."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Collection, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np

from recokit._utils.options import between, shown
from recokit.data.times import timestamp
from recokit.errors import ConfigurationError, DataError, did_you_mean
from recokit.experiments.hashing import Hashing, KeyedHash, unit_names
from recokit.protocols import Recommender
from recokit.typing import AnyArray, BoolArray, FloatArray, IntArray

#: Values that a context column may have, or a function of the context columns that returns (B,) bool.
Where: TypeAlias = Mapping[str, Any] | Callable[[Mapping[str, AnyArray]], BoolArray]

#: The name of the global holdout in logs, in place of an arm's.
HOLDOUT = "(holdout)"
_SHARE = between(0, 1)
#: What weights may miss 1 by, after rounding.
_ROUNDING = 1e-9


class Place(IntEnum):
    """Where an experiment puts a request."""

    IN = 0  #: in an arm, by its hash
    FORCED = 1  #: in an arm, by name: shown, and left out of the analysis
    HOLDOUT = 2  #: in the global holdout: the control is shown
    OUTSIDE = 3  #: not in the target, not in the ramp yet, or in another experiment of the layer
    NOBODY = 4  #: without a unit: an anonymous request


@dataclass(frozen=True, eq=False)
class Assignment:
    """Who is in which arm.

    Parameters
    ----------
    unit : ndarray of object, shape (B,)
        The text that was hashed; None for nobody.
    arm : ndarray of int64, shape (B,)
        Index of the arm that serves: the control's, 0, for all who are not in the experiment.
    place : ndarray of int64, shape (B,)
        :class:`Place` of each row.
    arms : tuple of str
        Names of the arms.
    """

    unit: AnyArray
    arm: IntArray
    place: IntArray
    arms: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.arm)

    def names(self) -> list[str | None]:
        """Return the arm of each row as the log has it; None for those who are not in the experiment."""
        labels: list[str | None] = [*self.arms, HOLDOUT, None]
        n = len(self.arms)
        code = np.where(self.place <= Place.FORCED, self.arm, np.where(self.place == Place.HOLDOUT, n, n + 1))
        return [labels[i] for i in code.tolist()]


class Experiment:
    """An experiment on whole pipelines: its arms and who is in them.

    A unit's place is a hash of its external id and the experiment's name, so it is the same in every process and at
    every time, and independent of other experiments. The first arm is the control.

    Parameters
    ----------
    name : str
        Salt of the hash: another name, other arms.
    arms : mapping of str to Recommender
        Two or more pipelines, the control first.
    layer : str, optional
        Experiments of one layer that have no traffic in common exclude each other; those of different layers are
        independent.
    traffic : (float, float), default (0.0, 1.0)
        Part of the layer that belongs to this experiment.
    unit : str, default "user_id"
        What is randomised: the user, or a context column such as ``"visitor_id"`` or ``"household"``.
    weights : mapping of str to float, optional
        Share of each arm, adding up to 1; equal by default.
    holdout : float, default 0.0
        Share of units that no experiment reaches: the same units for every experiment with the same holdout, and those
        of a smaller one are in every larger one.
    ramp : mapping of date to float, optional
        Share of units that are in, from each date on; it never falls, so nobody who is in leaves. All by default.
    where : mapping or callable, optional
        Target: a value, or several, by context column; or a function of the context columns, (B,) bool.
    forced : mapping of unit to str, optional
        Arms of units by name, such as testers; they are not analysed.
    sticky : mutable mapping of str to str, optional
        Remembers the arm of each unit that was in, so that it stays although the weights change. Any mapping will do;
        without one the hash decides, which remembers by itself as long as the weights stay.
    hashing : Hashing, optional
        :class:`KeyedHash` by default; :class:`GrowthBook` for experiments that run there too.

    Raises
    ------
    ConfigurationError
        For fewer than two arms, weights that do not add up to 1, a ramp that falls, and the like.

    Examples
    --------
    >>> import recokit as rk
    >>> from recokit import candidates
    >>> data = rk.testing.toy_dataset()
    >>> old = rk.Pipeline([candidates.Popular()]).fit(data)
    >>> test = Experiment("half-life", {"control": old, "new": old}, ramp={"2026-12-01": 0.1, "2026-12-04": 1.0})
    >>> test.arm_of("user-1", now="2026-12-05")
    'new'
    >>> print(test.arm_of("user-1", now="2026-11-30"))
    None
    """

    def __init__(
        self,
        name: str,
        arms: Mapping[str, Recommender],
        *,
        layer: str | None = None,
        traffic: tuple[float, float] = (0.0, 1.0),
        unit: str = "user_id",
        weights: Mapping[str, float] | None = None,
        holdout: float = 0.0,
        ramp: Mapping[Any, float] | None = None,
        where: Where | None = None,
        forced: Mapping[Any, str] | None = None,
        sticky: MutableMapping[str, str] | None = None,
        hashing: Hashing | None = None,
    ) -> None:
        if not isinstance(name, str) or not name:
            raise ConfigurationError(f"found name={shown(name)}; expected a text, such as 'ranker-7'")
        _SHARE.check("holdout", holdout)
        self.name, self.arms, self.layer, self.unit = name, dict(arms), layer, unit
        self.traffic, self.holdout, self.where, self.sticky = _traffic(traffic), holdout, where, sticky
        self.names = _arm_names(self.arms)
        self.weights = checked_weights(weights, self.names)
        self.ramp = ramp
        self.hashing: Hashing = KeyedHash() if hashing is None else hashing
        self.forced = {unit_names([one])[0]: self._index(arm) for one, arm in (forced or {}).items()}
        self._ramp = _ramp(ramp)
        self._cut: dict[float, _Segments] = {}

    def __repr__(self) -> str:
        arms = ", ".join(f"{name} {share:.0%}" for name, share in zip(self.names, self.weights, strict=True))
        return f"Experiment({self.name!r}: {arms})"

    @property
    def control(self) -> str:
        """Name of the first arm."""
        return self.names[0]

    def _index(self, arm: str) -> int:
        if arm not in self.names:
            raise ConfigurationError(f"found forced arm {shown(arm)}; {did_you_mean(str(arm), self.names)}")
        return self.names.index(arm)

    # -- who is in -----------------------------------------------------------------------------------

    def assign(
        self,
        users: Sequence[Any] | AnyArray,
        *,
        context: Mapping[str, AnyArray] | None = None,
        now: Any,
        units: Sequence[Any] | None = None,
    ) -> Assignment:
        """Return the arm of each request. Nothing is logged: an exposure is what :class:`Served` shows.

        Parameters
        ----------
        users : sequence of ids, length B
            External ids; None for anonymous ones.
        context : mapping of str to array (B,), optional
            Context columns, for ``unit`` and ``where``.
        now : float, str or sequence
            Time of all requests, or of each, for the ramp.
        units : sequence, optional
            Units in place of what ``unit`` names, such as those of :class:`Stitching`.

        Raises
        ------
        DataError
            If the context lacks a column that the experiment needs, or an id is neither an integer nor text.
        """
        context = context or {}
        chosen = self._units(users, context) if units is None else units
        if None in chosen:
            rows = [row for row, unit in enumerate(chosen) if unit is not None]
            names = unit_names([chosen[row] for row in rows])
            arm, place = np.zeros(len(chosen), np.int64), np.full(len(chosen), int(Place.NOBODY))
            arm[rows], place[rows] = self._hashed(names, self._share(now, rows))
            unit = np.full(len(chosen), None, object)
            unit[rows] = names
        else:
            names = unit_names(chosen)
            arm, place = self._hashed(names, self._share(now))
            unit = np.array(names, object)
        if self.where is not None:
            out = (place == Place.IN) & ~targeted(self.where, context, len(chosen))
            arm, place = np.where(out, 0, arm), np.where(out, Place.OUTSIDE, place)
        if self.sticky is not None:
            self._stick(unit, arm, place)
        for row in [i for i, one in enumerate(unit.tolist()) if one in self.forced] if self.forced else ():
            arm[row], place[row] = self.forced[unit[row]], Place.FORCED
        return Assignment(unit, arm, place, self.names)

    def arm_of(self, unit: Any, *, now: Any, **context: Any) -> str | None:
        """Return the arm of one unit, ``"(holdout)"``, or None for one that is not in; nobody is enrolled by asking."""
        columns = {name: np.array([value], object) for name, value in context.items()}
        return self.assign([unit], context=columns, now=now, units=[unit]).names()[0]

    def _hashed(self, names: Sequence[str], share: FloatArray | float) -> tuple[IntArray, IntArray]:
        """Return arm and place of units by their hashes alone, (N,) each."""
        at = self.hashing.shares(names, self.name)
        if isinstance(share, float):
            arm, place = self._segments(share).at(at)
        else:
            arm, place = np.zeros(len(at), np.int64), np.zeros(len(at), np.int64)
            for step in np.unique(share).tolist():
                rows = np.flatnonzero(share == step)
                arm[rows], place[rows] = self._segments(step).at(at[rows])
        if self.traffic != (0.0, 1.0):
            slot = self.hashing.in_layer(names, self.layer or self.name)
            out = (slot < self.traffic[0]) | (slot >= self.traffic[1])
            arm[out], place[out] = 0, Place.OUTSIDE
        if self.holdout:
            held = KeyedHash().shares(names, "holdout") < self.holdout
            arm[held], place[held] = 0, Place.HOLDOUT
        return arm, place

    def place_one(self, unit: Any, now: Any) -> tuple[str | None, int, int] | None:
        """Return name, arm and place of one unit, as :meth:`assign` does; None where that takes more than its hash."""
        if self._needs_more or unit is None:
            return None
        name = unit if type(unit) is str else unit_names([unit])[0]
        share = 1.0
        if self._ramp is not None:
            starts, shares = self._ramp
            when = now[0] if isinstance(now, np.ndarray | list | tuple) else now
            share = shares[bisect_right(starts, timestamp(when))]
        arm, place = self._segments(share).of_one(self.hashing.share(name, self.name))
        return name, arm, place

    @property
    def _needs_more(self) -> bool:
        """Whether a unit's hash on the experiment's own line does not decide alone."""
        return bool(
            self.holdout or self.forced or self.where is not None or self.sticky is not None
        ) or self.traffic != (0.0, 1.0)

    def _segments(self, share: float) -> _Segments:
        """Return how the line is cut while the ramp is at this share."""
        if share not in self._cut:
            self._cut[share] = _Segments.of(self.weights, share)
        return self._cut[share]

    def _units(self, users: Sequence[Any] | AnyArray, context: Mapping[str, AnyArray]) -> Sequence[Any]:
        if self.unit == "user_id":
            return users.tolist() if isinstance(users, np.ndarray) else users
        if self.unit not in context:
            raise DataError(
                f"found no context column {self.unit!r}, the unit of {self.name!r}; {did_you_mean(self.unit, context)}"
            )
        units: list[Any] = np.asarray(context[self.unit]).tolist()
        return units

    def _share(self, now: Any, rows: Sequence[int] | None = None) -> FloatArray | float:
        """Return the ramp's share at the time of all requests, or of each of these rows."""
        if self._ramp is None:
            return 1.0
        starts, shares = self._ramp
        if not isinstance(now, np.ndarray | list | tuple):
            return float(shares[bisect_right(starts, timestamp(now))])
        times = np.array([timestamp(when) for when in now])
        at = np.searchsorted(starts, times if rows is None else times[list(rows)], side="right")
        return np.asarray(shares)[at]

    def _stick(self, unit: AnyArray, arm: IntArray, place: IntArray) -> None:
        """Put units where they were, and remember those that are new."""
        assert self.sticky is not None
        for row in np.flatnonzero((place == Place.IN) | (place == Place.OUTSIDE)).tolist():
            before = self.sticky.get(unit[row])
            if before in self.names:
                arm[row], place[row] = self.names.index(before), Place.IN
            elif place[row] == Place.IN:
                self.sticky[unit[row]] = self.names[int(arm[row])]


@dataclass(frozen=True, eq=False)
class _Segments:
    """The line from 0 to 1, cut: each arm's part, and in it what the ramp has reached."""

    edges: FloatArray
    arm: IntArray
    place: IntArray

    @classmethod
    def of(cls, weights: FloatArray, share: float) -> _Segments:
        n = len(weights)
        # As in bucket_ranges: an arm begins at the same place whatever the ramp, so that nobody ever moves.
        ranges = bucket_ranges(weights, share)
        edges = np.ravel(ranges)[1:]
        arm = np.ravel(np.stack([np.arange(n), np.zeros(n, np.int64)], axis=1))
        place = np.tile([int(Place.IN), int(Place.OUTSIDE)], n)
        if share == 1.0:
            # A floating sum of weights may end just below 1.
            arm[-1], place[-1] = n - 1, Place.IN
        return cls(edges, arm, place)

    @cached_property
    def _lists(self) -> tuple[list[float], list[int], list[int]]:
        return self.edges.tolist(), self.arm.tolist(), self.place.tolist()

    def of_one(self, where: float) -> tuple[int, int]:
        """Return arm and place of one point of the line."""
        edges, arm, place = self._lists
        segment = bisect_right(edges, where)
        return arm[segment], place[segment]

    def at(self, where: FloatArray) -> tuple[IntArray, IntArray]:
        """Return arm and place of points of the line, (N,) each."""
        segment = np.searchsorted(self.edges, where, side="right")
        return self.arm[segment], self.place[segment]


def bucket_ranges(weights: Sequence[float] | FloatArray, coverage: float = 1.0) -> FloatArray:
    """Return the start and end of each arm's part of the line from 0 to 1, (A, 2).

    Parts begin one after the other; a ramp fills each from its start.

    Parameters
    ----------
    weights : sequence of float, shape (A,)
        Shares that add up to 1.
    coverage : float, default 1.0
        Share of units that are in.

    Examples
    --------
    >>> bucket_ranges([0.4, 0.6], 0.5).tolist()
    [[0.0, 0.2], [0.4, 0.7]]
    """
    shares = np.asarray(weights, np.float64)
    starts = np.concatenate([[0.0], np.cumsum(shares)[:-1]])
    return np.stack([starts, starts + coverage * shares], axis=1)


def targeted(where: Where, context: Mapping[str, AnyArray], n: int) -> BoolArray:
    """Return which requests a target names, (B,) bool.

    Raises
    ------
    DataError
        If the context lacks a column of the target.
    """
    if callable(where):
        return np.asarray(where(context), np.bool_)
    kept = np.ones(n, np.bool_)
    for name, wanted in where.items():
        if name not in context:
            raise DataError(f"found no context column {name!r} of where=; {did_you_mean(name, context)}")
        several = isinstance(wanted, Collection) and not isinstance(wanted, str)
        values = set(wanted) if several else {wanted}
        kept &= np.array([value in values for value in np.asarray(context[name]).tolist()], np.bool_)
    return kept


def check_exclusive(experiments: Sequence[Any]) -> None:
    """Raise ConfigurationError unless experiments share one layer, and no traffic of it."""
    layers = {test.layer for test in experiments}
    if len(experiments) > 1 and (len(layers) > 1 or None in layers):
        raise ConfigurationError(
            f"found experiments of the layers {', '.join(map(str, sorted(layers, key=str)))} in one place; "
            "expected one layer: a list comes from one pipeline; hint: layer='home' and parts of its traffic for each"
        )
    ordered = sorted(experiments, key=lambda test: test.traffic)
    for one, other in pairwise(ordered):
        if other.traffic[0] < one.traffic[1] - _ROUNDING:
            raise ConfigurationError(
                f"found traffic {one.traffic} of {one.name!r} and {other.traffic} of {other.name!r}; expected parts of "
                "the layer that do not overlap"
            )


def checked_weights(weights: Mapping[str, float] | None, names: Sequence[str]) -> FloatArray:
    """Return the share of each arm; equal ones where none are given.

    Raises
    ------
    ConfigurationError
        For weights that are not positive, do not add up to 1, or are of other arms.
    """
    if weights is None:
        return np.full(len(names), 1.0 / len(names))
    if set(weights) != set(names):
        raise ConfigurationError(
            f"found weights of {', '.join(map(str, weights))}; expected one for each arm: {', '.join(names)}"
        )
    shares = np.array([weights[name] for name in names], np.float64)
    if not (shares > 0).all() or abs(shares.sum() - 1) > _ROUNDING:
        raise ConfigurationError(f"found weights {shares.tolist()}; expected positive ones that add up to 1")
    return shares


def _arm_names(arms: Mapping[str, Any]) -> tuple[str, ...]:
    names = tuple(arms)
    if len(names) < 2 or not all(isinstance(name, str) and name for name in names):
        raise ConfigurationError(
            f"found arms {shown(list(names))}; expected two or more by name, the control first"
        )
    if HOLDOUT in names:
        raise ConfigurationError(f"found an arm {HOLDOUT!r}; expected another name: logs use this one")
    return names


def _traffic(traffic: tuple[float, float]) -> tuple[float, float]:
    low, high = (float(end) for end in traffic)
    if not 0 <= low < high <= 1:
        raise ConfigurationError(f"found traffic={shown(traffic)}; expected 0 <= start < end <= 1")
    return low, high


def _ramp(ramp: Mapping[Any, float] | None) -> tuple[list[float], list[float]] | None:
    """Return the dates of a ramp, and the share before the first and from each on."""
    if ramp is None:
        return None
    steps = sorted((timestamp(when), share) for when, share in ramp.items())
    shares = [0.0, *(share for _, share in steps)]
    for share in shares:
        _SHARE.check("ramp", share)
    if not steps or any(math.isnan(share) for share in shares) or np.any(np.diff(shares) < 0):
        raise ConfigurationError(
            f"found ramp={shown(dict(ramp))}; expected shares that never fall: units that leave spoil the comparison"
        )
    return [when for when, _ in steps], [float(share) for share in shares]
