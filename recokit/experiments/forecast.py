"""Forecast: what an off-policy estimate had promised, beside what the experiment measured."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recokit.errors import ConfigurationError
from recokit.experiments.effects import Effect
from recokit.off_policy.report import OffPolicyReport

Span = tuple[float, float, float]


@dataclass(frozen=True)
class Forecast:
    """A forecast of the relative lift, and what was measured.

    Parameters
    ----------
    estimator, arm : str
    forecast, measured : (float, float, float)
        Value, low and high end, as shares of the control.
    """

    estimator: str
    arm: str
    forecast: Span
    measured: Span

    @property
    def agree(self) -> bool:
        """Whether 0 is within the interval of their difference, which are independent."""
        below = math.hypot(self.forecast[0] - self.forecast[1], self.measured[2] - self.measured[0])
        above = math.hypot(self.forecast[2] - self.forecast[0], self.measured[0] - self.measured[1])
        apart = self.forecast[0] - self.measured[0]
        return -above <= apart <= below


def forecasts(forecast: Any, effects: Sequence[Effect]) -> list[Forecast]:
    """Return each forecast beside the effect of each treatment on the primary metric.

    Raises
    ------
    ConfigurationError
        If it is neither a report of off-policy estimates nor lifts by name.
    """
    return [
        Forecast(name, effect.arm, span, (effect.relative, *effect.relative_interval))
        for name, span in _spans(forecast)
        for effect in effects
    ]


def _spans(forecast: Any) -> Iterator[tuple[str, Span]]:
    if isinstance(forecast, OffPolicyReport):
        base = forecast.logged.value
        for one in forecast.estimates:
            if base:
                yield one.estimator, (one.lift / base, one.lift_low / base, one.lift_high / base)
    elif isinstance(forecast, Mapping):
        for name, span in forecast.items():
            value, low, high = (float(end) for end in span)
            yield str(name), (value, low, high)
    else:
        raise ConfigurationError(
            f"found a forecast of type {type(forecast).__name__}; expected an OffPolicyReport, or lifts by "
            "name such as {'SNIPS': (0.03, 0.01, 0.05)}"
        )
