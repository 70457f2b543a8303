"""Differences of two independent estimates, absolute and relative, with intervals of a given reach."""

from __future__ import annotations

import math
from dataclasses import dataclass

from recokit._stats.intervals import student_quantile
from recokit._stats.moments import Estimate

#: Standard errors above 0 from which a value's logarithm is nearly normal.
_CLEAR = 4.0


@dataclass(frozen=True)
class Difference:
    """A treatment's estimate less the control's.

    Parameters
    ----------
    control, treatment : Estimate
    """

    control: Estimate
    treatment: Estimate

    @property
    def value(self) -> float:
        """The difference."""
        return self.treatment.value - self.control.value

    @property
    def error(self) -> float:
        """Its standard error."""
        return math.hypot(self.control.error, self.treatment.error)

    @property
    def relative(self) -> float:
        """The difference as a share of the control; NaN for a control of 0."""
        return self.value / abs(self.control.value) if self.control.value else math.nan

    @property
    def z(self) -> float:
        """The difference in standard errors."""
        if not self.error > 0:
            return (
                math.nan
                if math.isnan(self.error)
                else math.copysign(math.inf, self.value)
                if self.value
                else 0.0
            )
        return self.value / self.error

    @property
    def freedom(self) -> float:
        """Degrees of freedom (Welch, *The generalization of Student's problem*, 1947)."""
        a, b = self.control.error**2, self.treatment.error**2
        below = a**2 / max(self.control.n - 1, 1) + b**2 / max(self.treatment.n - 1, 1)
        return (a + b) ** 2 / below if below > 0 else math.nan

    def p_value(self) -> float:
        """Return Welch's two-sided p-value.

        Examples
        --------
        >>> round(Difference(Estimate(1.0, 0.1, 100), Estimate(1.3, 0.1, 100)).p_value(), 4)
        0.0351
        """
        from scipy.special import stdtr

        if not self.error > 0:
            return math.nan if math.isnan(self.error) else float(self.value == 0)
        return float(2 * stdtr(self.freedom, -abs(self.z)))

    def reach(self, confidence: float) -> float:
        """Return how many standard errors Student's interval reaches to each side."""
        return student_quantile(0.5 + confidence / 2, self.freedom)

    def interval(self, reach: float) -> tuple[float, float]:
        """Return the ends of an interval of so many standard errors to each side."""
        return self.value - reach * self.error, self.value + reach * self.error

    def relative_interval(self, reach: float) -> tuple[float, float]:
        """Return the ends of the relative difference's interval, on the logarithm where both values are well above 0.

        Else by the delta method, for a control that is not 0: the logarithm of nearly nothing may be anything.
        """
        base, now = self.control.value, self.treatment.value
        if base > _CLEAR * self.control.error and now > _CLEAR * self.treatment.error and base > 0 < now:
            error = math.hypot(self.control.error / base, self.treatment.error / now)
            step = reach * error
            # Beyond any number: an interval that is open above.
            high = now / base * math.exp(step) - 1 if step < 700 else math.inf
            return now / base * math.exp(-step) - 1, high
        if not base:
            return math.nan, math.nan
        ratio = now / base
        error = math.hypot(self.treatment.error, ratio * self.control.error) / abs(base)
        return self.relative - reach * error, self.relative + reach * error
