"""Switchback: a region as a whole changes between the arms, period by period."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from recokit.data.times import seconds, timestamp
from recokit.errors import ConfigurationError, DataError, did_you_mean
from recokit.experiments.assignment import Assignment, Place
from recokit.experiments.exposures import read_log
from recokit.experiments.hashing import KeyedHash, unit_names
from recokit.protocols import Recommender
from recokit.typing import AnyArray, FloatArray, IntArray


class Switchback:
    """An experiment whose units are periods of regions, for effects that reach from user to user.

    Where stock, couriers or prices are shared, what one arm takes the other lacks, and users cannot be compared. Each
    region is in one arm at a time; as many periods as there are arms make a block, in which each arm comes once, in an
    order drawn by hash. :class:`Served` takes it as any experiment.

    Parameters
    ----------
    name : str
    arms : mapping of str to Recommender
        The control first.
    period : duration, default "1h"
    region : str, optional
        Context column; without one everything changes at once.
    gap : duration, optional
        What happens so soon after a change is left out of the analysis: it still comes from the arm before.

    Raises
    ------
    ConfigurationError
        For fewer than two arms, or a gap that leaves nothing of a period.

    Examples
    --------
    >>> test = Switchback("prices", {"control": None, "new": None}, period="1h", region="city")
    >>> cells = test.assign([None] * 2, context={"city": np.array(["Bonn", "Bonn"])}, now=[0.0, 3_600.0])
    >>> sorted(cells.names()), cells.unit.tolist()
    (['control', 'new'], ['Bonn|0', 'Bonn|1'])
    """

    def __init__(
        self,
        name: str,
        arms: Mapping[str, Recommender],
        *,
        period: str | float = "1h",
        region: str | None = None,
        gap: str | float | None = None,
    ) -> None:
        if len(arms) < 2:
            raise ConfigurationError(
                f"found the arms {', '.join(arms)}; expected two or more, the control first"
            )
        self.name, self.arms, self.period, self.region, self.gap = name, dict(arms), period, region, gap
        self._period, self._gap = seconds(period), 0.0 if gap is None else seconds(gap)
        if self._gap >= self._period:
            raise ConfigurationError(f"found gap={gap!r} of period={period!r}; expected a part of it")
        # What Served asks of an experiment.
        self.layer, self.traffic, self.where, self.unit = None, (0.0, 1.0), None, region or "user_id"
        self.names = tuple(self.arms)
        self.weights = np.full(len(self.names), 1.0 / len(self.names))

    @property
    def control(self) -> str:
        """Name of the first arm."""
        return self.names[0]

    def assign(
        self,
        users: Sequence[Any] | AnyArray,
        *,
        context: Mapping[str, AnyArray] | None = None,
        now: Any,
        units: Sequence[Any] | None = None,
    ) -> Assignment:
        """Return the arm of each request, by its time and region; users do not matter."""
        n = len(users)
        regions = ["all"] * n
        if self.region is not None:
            if self.region not in (context or {}):
                raise DataError(
                    f"found no context column {self.region!r}; {did_you_mean(self.region, context or {})}"
                )
            regions = unit_names(np.asarray((context or {})[self.region], object).tolist())
        many = isinstance(now, np.ndarray | list | tuple)
        times = np.array([timestamp(when) for when in now]) if many else np.full(n, timestamp(now))
        cell, arm, _ = self._cells(regions, times)
        return Assignment(cell, arm, np.full(n, int(Place.IN)), self.names)

    def _cells(self, regions: Sequence[str], times: FloatArray) -> tuple[AnyArray, IntArray, FloatArray]:
        """Return the cell of each moment, its arm, and the seconds since it began."""
        bucket = np.floor(times / self._period).astype(np.int64)
        names = [f"{region}|{at}" for region, at in zip(regions, bucket.tolist(), strict=True)]
        n = len(self.names)
        block = [f"{region}|{at // n}" for region, at in zip(regions, bucket.tolist(), strict=True)]
        distinct = {one: i for i, one in enumerate(dict.fromkeys(block))}
        # The order of the arms in a block: by a hash of each.
        drawn = np.stack(
            [KeyedHash().shares([f"{one}|{arm}" for one in distinct], self.name) for arm in range(n)], axis=1
        )
        order = np.argsort(drawn, axis=1)
        rows = np.array([distinct[one] for one in block], np.int64)
        cell = np.empty(len(names), object)
        cell[:] = names
        return cell, order[rows, bucket % n], times - bucket * self._period

    def cells(self, events: Any, *, region: str | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return a log and events for :func:`analyze`, whose units are cells; what falls into the gap is left out.

        Parameters
        ----------
        events : path, dataframe or mapping
            ``timestamp``, the region's column, and columns of numbers.
        region : str, optional
            Its column there; that of the context by default.

        Raises
        ------
        DataError
            If columns are missing.

        Examples
        --------
        >>> test = Switchback("p", {"control": None, "new": None}, period="1h", gap="10min")
        >>> log, cells = test.cells({"timestamp": [0.0, 700.0, 4_300.0], "sold": [5.0, 1.0, 2.0]})
        >>> cells["unit"].tolist(), cells["sold"].tolist()
        (['all|0', 'all|1'], [1.0, 2.0])
        """
        frame = read_log(events)
        column = region or self.region
        times = frame.times("timestamp")
        regions = ["all"] * len(times)
        if column is not None:
            codes, labels = frame.labels(column)
            regions = [str(labels[code - 1]) for code in codes.tolist()]
        cell, arm, age = self._cells(regions, times)
        kept = age >= self._gap
        names = [
            one
            for one in frame.names
            if one not in ("timestamp", column) and frame.column(one)[0] == "number"
        ]
        log = {
            "unit": cell[kept],
            "arm": np.array(self.names, object)[arm[kept]],
            "timestamp": times[kept] - age[kept],
        }
        return log, {
            "unit": cell[kept],
            "timestamp": times[kept],
            **{one: frame.number(one)[kept] for one in names},
        }
