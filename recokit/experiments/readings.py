"""Readings: when an experiment may be looked at, and how wide its intervals are then."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from recokit._stats.confidence_sequences import anytime_p_value, anytime_reach, best_rho
from recokit._stats.differences import Difference
from recokit._stats.group_sequential import Spending, boundaries, sequential_p_value
from recokit._utils.options import above, check_options, one_of, optional, share, whole
from recokit.data.times import DAY, seconds

#: Days before the planned end that count as it: the last event comes a little before midnight.
_NEAR = 0.1
#: Least step of information between two looks.
_STEP = 1e-6


class Look(NamedTuple):
    """An experiment at one time: seconds since it began, units in it, and the difference found."""

    age: float
    n: float
    difference: Difference


class Read(NamedTuple):
    """What a reading makes of the looks so far.

    Parameters
    ----------
    reaches : tuple of float
        Standard errors that the interval reaches to each side, at each look; infinite where it may not be read.
    p_value : float
        Valid whenever one stops, as far as the reading allows stopping.
    done : bool
        Whether the planned end is reached.
    days_left : float
        Days to the planned end; NaN without one.
    """

    reaches: tuple[float, ...]
    p_value: float
    done: bool
    days_left: float


class Reading(ABC):
    """How often an experiment is looked at, and what that costs."""

    confidence: float

    @abstractmethod
    def read(self, looks: Sequence[Look], confidence: float | None = None) -> Read:
        """Return the reaches at the looks so far, the last one now; at another confidence than its own if given."""

    @property
    def every(self) -> float:
        """Seconds between looks; 0 where there is one only."""
        return 0.0


@dataclass(frozen=True)
class Fixed(Reading):
    """One look, at the planned end: Welch's test.

    Looking earlier and stopping where the test is significant errs in a third of all experiments.

    Parameters
    ----------
    days : float, optional
        Days that the experiment is to run, from its first exposure; before that the decision is to wait.
    confidence : float, default 0.95

    Examples
    --------
    >>> from recokit._stats.moments import Estimate
    >>> look = Look(7 * 86_400, 400, Difference(Estimate(1.0, 0.1, 200), Estimate(1.3, 0.1, 200)))
    >>> Fixed(days=14).read([look]).days_left, round(Fixed(days=7).read([look]).reaches[0], 2)
    (7.0, 1.97)
    """

    days: float | None = None
    confidence: float = 0.95

    def __post_init__(self) -> None:
        check_options(self, {"days": optional(above(0)), "confidence": share})

    def read(self, looks: Sequence[Look], confidence: float | None = None) -> Read:
        """Return Student's reach at the last look; before the planned end there is nothing to read."""
        last = looks[-1]
        left = math.nan if self.days is None else max(0.0, self.days - last.age / DAY)
        if left > _NEAR:
            return Read((math.inf,) * len(looks), math.nan, False, left)
        reach = last.difference.reach(self.confidence if confidence is None else confidence)
        early = (math.inf,) * (len(looks) - 1)
        planned = self.days is not None
        return Read((*early, reach), last.difference.p_value(), planned, 0.0 if planned else math.nan)

    def __str__(self) -> str:
        return f"one look{'' if self.days is None else f' after {self.days:g} days'}, {self.confidence:.0%}"


@dataclass(frozen=True)
class GroupSequential(Reading):
    """A planned number of looks, at each of which one may stop; together they err as often as one.

    The default where an end is planned: nearly the power of a single look at the end.

    Parameters
    ----------
    looks : int, default 14
    interval : duration, default "1D"
        Between looks.
    spending : {"obrien_fleming", "pocock"}, default "obrien_fleming"
        How the error is spent by the information seen: late, or evenly.
    units : float, optional
        Units planned in all: then the information is the share of them seen; by default that of the looks.
    information : float, optional
        Information planned, one over the squared standard error: then that share counts, whatever the units.
    confidence : float, default 0.95

    Examples
    --------
    >>> from recokit._stats.moments import Estimate
    >>> difference = Difference(Estimate(1.0, 0.1, 200), Estimate(1.3, 0.1, 200))
    >>> looks = [Look(day * 86_400, 400, difference) for day in (1, 2)]
    >>> [round(reach, 2) for reach in GroupSequential(looks=4).read(looks).reaches]
    [4.33, 2.96]
    """

    looks: int = 14
    interval: str | float = "1D"
    spending: Spending = "obrien_fleming"
    units: float | None = None
    information: float | None = None
    confidence: float = 0.95

    def __post_init__(self) -> None:
        check_options(
            self,
            {
                "looks": whole(1),
                "spending": one_of("obrien_fleming", "pocock"),
                "units": optional(above(0)),
                "information": optional(above(0)),
                "confidence": share,
            },
        )
        seconds(self.interval)

    @property
    def every(self) -> float:
        """Seconds between looks."""
        return seconds(self.interval)

    def read(self, looks: Sequence[Look], confidence: float | None = None) -> Read:
        """Return the boundaries at the looks so far."""
        seen = self._seen(looks)
        # Looks after the end of the information change nothing.
        kept = [i for i, t in enumerate(seen) if i == 0 or seen[i - 1] < 1.0]
        alpha = 1.0 - (self.confidence if confidence is None else confidence)
        bounds = boundaries([seen[i] for i in kept], alpha, self.spending).tolist()
        bounds += [bounds[-1]] * (len(looks) - len(kept))
        p = sequential_p_value([seen[i] for i in kept], [looks[i].difference.z for i in kept], self.spending)
        left = max(0.0, self.looks * self.every - looks[-1].age) / DAY
        left = left if left > _NEAR else 0.0
        return Read(tuple(bounds), p, seen[-1] >= 1.0 or left <= 0, left)

    def __str__(self) -> str:
        kind = "O'Brien-Fleming" if self.spending == "obrien_fleming" else "Pocock"
        return f"{self.looks} looks, {self.interval} apart, {kind} type spending, {self.confidence:.0%}"

    def _seen(self, looks: Sequence[Look]) -> list[float]:
        """Return the share of the planned information at each look, ascending to 1."""
        shares, before = [], 0.0
        for look in looks:
            if self.information is not None:
                error = look.difference.error
                share = 1.0 / error**2 / self.information if error > 0 else before
            elif self.units is not None:
                share = look.n / self.units
            else:
                share = look.age / (self.looks * self.every)
            last = look.age >= self.looks * self.every - _NEAR * DAY
            before = 1.0 if last else min(1.0, max(share, before + _STEP))
            shares.append(before)
        return shares


@dataclass(frozen=True)
class Anytime(Reading):
    """Looks whenever one likes, for as long as one likes: a confidence sequence.

    For experiments without a planned end. Its intervals are wider: about half as many effects are found in time.

    Parameters
    ----------
    units : float, default 10,000
        Units at which the sequence is narrowest; chosen before the first look.
    interval : duration, default "1D"
        Between the points of its curve.
    confidence : float, default 0.95

    Examples
    --------
    >>> from recokit._stats.moments import Estimate
    >>> look = Look(86_400, 10_000, Difference(Estimate(1.0, 0.1, 5_000), Estimate(1.3, 0.1, 5_000)))
    >>> round(Anytime().read([look]).reaches[0], 2)
    3.04
    """

    units: float = 10_000
    interval: str | float = "1D"
    confidence: float = 0.95

    def __post_init__(self) -> None:
        check_options(self, {"units": above(0), "confidence": share})
        seconds(self.interval)

    @property
    def every(self) -> float:
        """Seconds between the points of the curve."""
        return seconds(self.interval)

    def read(self, looks: Sequence[Look], confidence: float | None = None) -> Read:
        """Return the reach of the sequence at each look."""
        alpha = 1.0 - (self.confidence if confidence is None else confidence)
        # Tuned by its own alpha: the p-value is that of one sequence.
        rho = best_rho(self.units, 1.0 - self.confidence)
        reaches = tuple(anytime_reach(look.n, rho, alpha) for look in looks)
        p = min(anytime_p_value(look.difference.z, look.n, rho) for look in looks)
        return Read(reaches, p, False, math.nan)

    def __str__(self) -> str:
        return f"any time, narrowest at {self.units:,.0f} units, {self.confidence:.0%}"
