"""Sample: the events of an experiment's units, before and after their first exposure."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from recokit._stats.moments import Estimate, Moments, Part, adjusted, by_group
from recokit.data.frames import Frame
from recokit.data.times import DAY, seconds
from recokit.errors import DataError, did_you_mean
from recokit.experiments.exposures import read_log
from recokit.experiments.units import Units
from recokit.typing import AnyArray, BoolArray, FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Sample:
    """Units with their events.

    Parameters
    ----------
    units : Units
    events : Frame
        A row for each event: ``unit`` (or ``user_id``), ``timestamp``, and columns of numbers; a name that is none of
        the columns, and a label in the column ``event``, counts these events. Without times every row counts as after
        the exposure, such as in a table of one row for each unit.
    users : Frame, optional
        A row for each unit, with covariates known before.
    before : float
        Seconds before the first exposure that covariates look back.
    until : float
        Later exposures and events do not count.
    cluster : str, optional
        Column of the users, or of the log, with what belongs together, such as households.
    """

    units: Units
    events: Frame
    users: Frame | None = None
    before: float = 28 * DAY
    until: float = math.inf
    cluster: str | None = None

    @classmethod
    def of(
        cls,
        units: Units,
        events: Any,
        *,
        users: Any = None,
        before: str | float = "28D",
        cluster: str | None = None,
    ) -> Sample:
        """Return a sample of events in any form: dataframe, mapping, path or rows."""
        table = None if users is None else read_log(users)
        return cls(units, read_log(events), table, seconds(before), cluster=cluster)

    def at(self, time: float) -> Sample:
        """Return the sample as it was at a time."""
        early = self.units.only(self.units.since <= time)
        found = replace(self, units=early, until=time)
        # What does not depend on the time is not read again.
        return found._sharing(self)

    @cached_property
    def end(self) -> float:
        """Time of the last event or exposure."""
        times = self._times
        last = float(self.units.since.max(initial=-math.inf))
        return last if times is None or not len(times) else max(last, float(np.nanmax(times)))

    def only(self, kept: BoolArray) -> Sample:
        """Return the sample of some units (U,) bool."""
        return replace(self, units=self.units.only(kept))._sharing(self)

    def on_day(self, day: int, end: float) -> Sample:
        """Return what units did on one day after their first exposure, of those followed for so long until the end."""
        followed = self.units.since + (day + 1) * DAY <= end
        found = replace(self, units=self.units.only(followed))._sharing(self)
        ages, rows = found.ages()
        events = found._after[0]
        there = (ages >= day * DAY) & (ages < (day + 1) * DAY)
        found.__dict__["_after"] = (events[there], rows[there])
        return found

    def _sharing(self, other: Sample) -> Sample:
        """Take over what was read of the same events."""
        self.__dict__["_columns"] = other._columns
        self.__dict__.update({name: getattr(other, name) for name in ("_rows", "_times", "_clusters", "end")})
        return self

    # -- events --------------------------------------------------------------------------------------

    @cached_property
    def _rows(self) -> IntArray:
        """Unit of each event, -1 for strangers."""
        name = next((one for one in ("unit", "user_id") if one in self.events), "unit")
        return self.units.rows_of(self.events.ids(name))

    @cached_property
    def _times(self) -> FloatArray | None:
        return self.events.times("timestamp") if "timestamp" in self.events else None

    @cached_property
    def _columns(self) -> dict[str, FloatArray]:
        return {}

    def column(self, name: str) -> FloatArray:
        """Return a column of the events (N,), missing values as 0, or where events are of this type.

        Raises
        ------
        DataError
            For a name that is neither.
        """
        if name not in self._columns:
            if name in self.events:
                self._columns[name] = np.nan_to_num(self.events.number(name))
            else:
                self._columns[name] = self._of_type(name)
        return self._columns[name]

    def _of_type(self, name: str) -> FloatArray:
        known = list(self.events.names)
        if "event" in self.events:
            codes, labels = self.events.labels("event")
            if name in labels.tolist():
                return np.asarray(codes == 1 + labels.tolist().index(name), np.float64)
            known += [str(label) for label in labels]
        raise DataError(f"found no column or type of event {name!r}; {did_you_mean(name, known)}")

    def after(self) -> BoolArray:
        """Return which events count: of a unit in an arm, from its first exposure on, until the sample ends."""
        rows = self._rows
        counted = (rows >= 0) & (self.units.arm[rows] >= 0)
        if self._times is not None:
            counted &= (self._times >= self.units.since[rows]) & (self._times <= self.until)
        return counted

    @cached_property
    def _after(self) -> tuple[IntArray, IntArray]:
        """Return the events that count, and their units."""
        events = np.flatnonzero(self.after())
        return events, self._rows[events]

    def total(self, name: str) -> FloatArray:
        """Return a column's sum over the events of each unit that count, (U,)."""
        events, rows = self._after
        return np.bincount(rows, self.column(name)[events], minlength=len(self.units)).astype(np.float64)

    def values(self, name: str) -> tuple[FloatArray, IntArray]:
        """Return a column's values in the events that count, and the unit of each; missing ones left out."""
        events, rows = self._after
        found = self.events.number(name)[events] if name in self.events else self.column(name)[events]
        known = ~np.isnan(found)
        return found[known], rows[known]

    def ages(self) -> tuple[FloatArray, IntArray]:
        """Return the seconds since the first exposure of each event that counts, and its unit.

        Raises
        ------
        DataError
            If events have no times.
        """
        if self._times is None:
            raise DataError("found events without timestamp; expected the time of each")
        events, rows = self._after
        return self._times[events] - self.units.since[rows], rows

    def earlier(self, name: str) -> FloatArray:
        """Return a column's sum over the events of each unit before its first exposure, (U,)."""
        if self._times is None:
            raise DataError(
                "found events without timestamp for a covariate from before; expected the time of each, or its column"
            )
        rows, since = self._rows, self.units.since
        counted = (rows >= 0) & (self._times < since[rows]) & (self._times >= since[rows] - self.before)
        return np.bincount(rows[counted], self.column(name)[counted], minlength=len(self.units)).astype(float)

    def covariate(self, name: str, own: str) -> FloatArray:
        """Return a covariate of each unit, (U,): a column of users or events, or ``own`` before the exposure."""
        if self.users is not None and name in self.users:
            return self._of_users(name)
        if name in self.events:
            rows, values = self._rows, self.column(name)
            known = rows >= 0
            return np.bincount(rows[known], values[known], minlength=len(self.units)).astype(float)
        if name == "before":
            return self.earlier(own)
        kind, _, column = name.partition(":")
        if kind == "before" and column:
            return self.earlier(column)
        known_names = [*(self.users.names if self.users is not None else ()), *self.events.names, "before"]
        raise DataError(f"found no covariate {name!r}; {did_you_mean(name, known_names)}")

    def _of_users(self, name: str) -> FloatArray:
        """Return a column of the users' table; the mean for units that it lacks."""
        assert self.users is not None
        key = next((one for one in ("unit", "user_id") if one in self.users), "unit")
        rows, values = self.units.rows_of(self.users.ids(key)), self.users.number(name)
        known = (rows >= 0) & ~np.isnan(values)
        column = np.full(len(self.units), float(values[known].mean()) if known.any() else 0.0)
        column[rows[known]] = values[known]
        return column

    # -- clusters ------------------------------------------------------------------------------------

    @cached_property
    def _clusters(self) -> IntArray | None:
        """Number of the cluster of each unit, None where each is its own."""
        if self.cluster is None:
            return None
        if self.cluster in self.units.segments:
            labels = self.units.segments[self.cluster]
            return np.unique(labels.astype(str), return_inverse=True)[1].astype(np.int64)
        if self.users is None or self.cluster not in self.users:
            raise DataError(
                f"found no column {self.cluster!r} for clusters; expected it among segments or in users="
            )
        key = next((one for one in ("unit", "user_id") if one in self.users), "unit")
        rows, (codes, _) = self.units.rows_of(self.users.ids(key)), self.users.labels(self.cluster)
        # A unit without one is a cluster of its own.
        clusters = int(codes.max(initial=0)) + 1 + np.arange(len(self.units))
        known = (rows >= 0) & (codes > 0)
        clusters[rows[known]] = codes[known]
        return np.unique(clusters, return_inverse=True)[1].astype(np.int64)

    def groups(self) -> tuple[IntArray, IntArray]:
        """Return the independent group of each unit (U,), and the arm of each group (G,), -1 for none.

        Raises
        ------
        DataError
            If units of one cluster are in different arms: then the clusters are not what was randomised.
        """
        arm, clusters = self.units.arm, self._clusters
        if clusters is None:
            return np.arange(len(arm)), arm
        kept = arm >= 0
        of_group = np.full(int(clusters.max(initial=-1)) + 1, -1)
        of_group[clusters[kept]] = arm[kept]
        mixed = np.flatnonzero(kept & (of_group[clusters] != arm))
        if len(mixed):
            raise DataError(
                f"found {len(mixed):,} units whose cluster is in another arm; expected clusters that were randomised "
                "as a whole; hint: Experiment(unit=...) names what is randomised"
            )
        return clusters, of_group

    def draws(self, columns: FloatArray) -> tuple[FloatArray, IntArray]:
        """Return columns (U, k) summed over each independent draw, (G, k), and the arm of each (G,), -1 for none."""
        known = ~np.isnan(columns).any(axis=1)
        group, arm = self.groups()
        if self._clusters is None:
            return columns, np.where(known, arm, -1)
        kept = known & (self.units.arm >= 0)
        sums = [np.bincount(group[kept], column[kept], minlength=len(arm)) for column in columns.T]
        there = np.bincount(group[kept], minlength=len(arm)) > 0
        return np.stack(sums, axis=1).astype(np.float64), np.where(there, arm, -1)

    def moments(self, columns: FloatArray) -> list[Moments]:
        """Return the moments of columns (U, k) in each arm, over units, or over the sums of clusters."""
        return by_group(*self.draws(columns), len(self.units.arms))

    def estimates(
        self, columns: FloatArray, part: Part, covariates: list[Part] | None = None
    ) -> list[Estimate]:
        """Return the estimate of each arm, see :func:`recokit._stats.moments.adjusted`."""
        return adjusted(self.moments(columns), part, covariates or ())

    @property
    def is_clustered(self) -> bool:
        """Whether units come in clusters."""
        return self.cluster is not None

    def segment(self, name: str) -> AnyArray:
        """Return a segment of each unit, (U,)."""
        if name not in self.units.segments:
            raise DataError(f"found no segment {name!r}; {did_you_mean(name, self.units.segments)}")
        return self.units.segments[name]
