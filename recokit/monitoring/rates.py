"""Rates: click rate, conversion and revenue per session, with errors that know that users come back."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from recokit.typing import FloatArray

__all__ = ["BUCKETS", "Rates", "difference"]

#: Random groups of users that a standard error is estimated from.
BUCKETS = 32


@dataclass(frozen=True)
class Rates:
    """What came of a number of impressions and sessions. NaN where nothing tells.

    Parameters
    ----------
    impressions, clicks, purchases : int
    ctr : float
        Clicks over impressions.
    ctr_error : float
        Its standard error, by random groups of users.
    sessions : int
    conversion, conversion_error : float
        Sessions with a purchase over sessions.
    revenue : float
    revenue_per_session, revenue_per_session_error : float
    judged : int
        Lists with a click.
    ndcg, ndcg_error : float
        Mean NDCG of these lists: whether what was clicked stood first.
    """

    impressions: int
    clicks: int
    purchases: int
    ctr: float
    ctr_error: float
    sessions: int
    conversion: float
    conversion_error: float
    revenue: float
    revenue_per_session: float
    revenue_per_session_error: float
    judged: int
    ndcg: float
    ndcg_error: float

    @classmethod
    def of(
        cls,
        impressions: FloatArray,
        clicks: FloatArray,
        purchases: FloatArray,
        revenue: FloatArray,
        sessions: FloatArray,
        converted: FloatArray,
        gained: FloatArray,
        judged: FloatArray,
        *,
        with_sessions: bool = True,
    ) -> Rates:
        """Build from counts by random group, (32,) each."""
        nothing = (math.nan, math.nan)
        ctr = _ratio(clicks, impressions)
        conversion = _ratio(converted, sessions) if with_sessions else nothing
        worth = _ratio(revenue, sessions) if with_sessions else nothing
        return cls(
            int(impressions.sum()), int(clicks.sum()), int(purchases.sum()), *ctr,
            int(sessions.sum()), *conversion, float(revenue.sum()), *worth,
            int(judged.sum()), *_ratio(gained, judged),
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON; unknown ones are None."""
        return {name: value if math.isfinite(value) else None for name, value in asdict(self).items()}


def _ratio(above: FloatArray, below: FloatArray) -> tuple[float, float]:
    """Return a ratio of sums and its standard error: the spread of the groups' residuals."""
    n = float(below.sum())
    if n == 0:
        return math.nan, math.nan
    ratio = float(above.sum()) / n
    residual = above - ratio * below
    return ratio, float(np.sqrt(BUCKETS / (BUCKETS - 1) * (residual**2).sum()) / n)


def difference(before: tuple[float, float], after: tuple[float, float]) -> tuple[float, float]:
    """Return the relative change from one (rate, standard error) to another, and its standard error."""
    (then, then_error), (now, now_error) = before, after
    if not then > 0:
        return math.nan, math.nan
    return now / then - 1.0, math.hypot(now_error / then, now * then_error / then**2)
