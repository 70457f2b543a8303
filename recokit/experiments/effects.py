"""Effects: the difference of an arm from the control in one metric, with its interval and what it means."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from recokit._stats.differences import Difference

Finding = Literal["better", "worse", "no difference seen"]
Held = Literal["holds", "broken", "cannot tell"]


@dataclass(frozen=True)
class Effect:
    """A treatment against the control in one metric.

    Parameters
    ----------
    metric, arm : str
    difference : Difference
    reach : float
        Standard errors that the interval reaches to each side, as the reading has it.
    p_value : float
        Of no difference, valid for the reading; adjusted for several arms or metrics.
    alpha : float
        Below which the p-value counts.
    lower_is_better : bool
    part : str
        Segment and value, empty for all units.
    """

    metric: str
    arm: str
    difference: Difference
    reach: float
    p_value: float
    alpha: float = 0.05
    lower_is_better: bool = False
    part: str = ""

    @property
    def value(self) -> float:
        """The absolute difference."""
        return self.difference.value

    @property
    def interval(self) -> tuple[float, float]:
        """Ends of the absolute difference's interval."""
        return self.difference.interval(self.reach)

    @property
    def relative(self) -> float:
        """The difference as a share of the control."""
        return self.difference.relative

    @property
    def relative_interval(self) -> tuple[float, float]:
        """Ends of the relative difference's interval."""
        return self.difference.relative_interval(self.reach)

    @property
    def finding(self) -> Finding:
        """Whether the arm is better, worse, or no difference is seen."""
        if not self.p_value < self.alpha:
            return "no difference seen"
        return "better" if (self.value > 0) != self.lower_is_better else "worse"

    def with_p_value(self, p_value: float) -> Effect:
        """Return the effect with another p-value, such as an adjusted one."""
        return replace(self, p_value=p_value)


@dataclass(frozen=True)
class Guarded:
    """A guardrail as it was found.

    Parameters
    ----------
    name : str
    effect : Effect
    margin : float
    relative : bool
        Whether the margin is a share of the control.
    """

    name: str
    effect: Effect
    margin: float
    relative: bool

    @property
    def loss(self) -> tuple[float, float, float]:
        """How much worse the arm is, with the ends of its interval; negative where it is better."""
        effect = self.effect
        value = effect.relative if self.relative else effect.value
        low, high = effect.relative_interval if self.relative else effect.interval
        return (value, low, high) if effect.lower_is_better else (-value, -high, -low)

    @property
    def held(self) -> Held:
        """Whether a loss beyond the margin is excluded, a loss is certain and one beyond it possible, or neither."""
        _, low, high = self.loss
        if high < self.margin:
            return "holds"
        return "broken" if low > 0 and not math.isnan(high) else "cannot tell"


@dataclass(frozen=True)
class Curve:
    """A treatment's effect on the primary metric at each look.

    Parameters
    ----------
    arm : str
    times : tuple of float
        Seconds since 1970.
    differences : tuple of Difference
        Of all that was known at that time.
    reaches : tuple of float
        Standard errors that the reading's interval reaches there; infinite where it may not be read.
    """

    arm: str
    times: tuple[float, ...]
    differences: tuple[Difference, ...]
    reaches: tuple[float, ...]

    @property
    def crossed(self) -> float | None:
        """Time of the first look whose interval leaves 0 out, None without any."""
        for time, difference, reach in zip(self.times, self.differences, self.reaches, strict=True):
            if abs(difference.z) > reach:
                return time
        return None
