"""Rates: click rate, conversion and revenue per session, with standard errors for users who come back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from recokit._utils.report import json_ready
from recokit.typing import FloatArray

#: Random groups of users that a standard error is estimated from.
BUCKETS = 32


@dataclass(frozen=True)
class Rates:
    """Outcomes of a number of impressions and sessions; NaN where there is nothing to divide by.

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
    def of(cls, counts: Mapping[str, FloatArray], *, with_sessions: bool = True) -> Rates:
        """Build from counts by random group, (32,) each.

        Parameters
        ----------
        counts : mapping of str to ndarray
            ``impressions``, ``clicks``, ``purchases``, ``revenue``, ``sessions``, ``converted``, and of the lists with
            a click ``judged``, their number, and ``gained``, their summed NDCG.
        with_sessions : bool, default True
            Without, there is no rate of sessions: items have none.
        """
        sessions = counts["sessions"] if with_sessions else np.zeros(BUCKETS)
        ctr, ctr_error = _ratio(counts["clicks"], counts["impressions"])
        conversion, conversion_error = _ratio(counts["converted"], sessions)
        revenue_per_session, revenue_error = _ratio(counts["revenue"], sessions)
        ndcg, ndcg_error = _ratio(counts["gained"], counts["judged"])
        return cls(
            impressions=int(counts["impressions"].sum()),
            clicks=int(counts["clicks"].sum()),
            purchases=int(counts["purchases"].sum()),
            ctr=ctr,
            ctr_error=ctr_error,
            sessions=int(counts["sessions"].sum()),
            conversion=conversion,
            conversion_error=conversion_error,
            revenue=float(counts["revenue"].sum()),
            revenue_per_session=revenue_per_session,
            revenue_per_session_error=revenue_error,
            judged=int(counts["judged"].sum()),
            ndcg=ndcg,
            ndcg_error=ndcg_error,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON; unknown ones are None."""
        values: dict[str, Any] = json_ready(asdict(self))
        return values


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
