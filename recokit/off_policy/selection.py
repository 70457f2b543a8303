"""Choice of an estimator, or of its option: SLOPE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recokit.errors import DataError
from recokit.off_policy.estimate import as_estimators, estimate
from recokit.off_policy.estimators import Estimator
from recokit.off_policy.report import Estimate, OffPolicyReport
from recokit.off_policy.rounds import LoggedRounds
from recokit.off_policy.support import Support

#: How far the interval of a wider estimator counts: section 4 of the paper.
_WIDER = np.sqrt(6.0) - 1.0


@dataclass(frozen=True, eq=False)
class Choice:
    """What :func:`slope` chose.

    Parameters
    ----------
    estimator : Estimator
        The choice.
    estimate : Estimate
        Its estimate.
    report : OffPolicyReport
        Those of all candidates.
    """

    estimator: Estimator
    estimate: Estimate
    report: OffPolicyReport

    def __str__(self) -> str:
        return f"{self.estimate}, chosen among {len(self.report)}"


def slope(
    rounds: LoggedRounds,
    estimators: Sequence[str | Estimator],
    *,
    confidence: float = 0.95,
    support: Support | None = Support(),  # noqa: B008  (frozen)
) -> Choice:
    """Choose among estimators that trade bias for variance, such as one with several limits of weights.

    From the widest interval to the narrowest, the last estimator whose value agrees with all wider ones before it:
    ``|v[i] - v[j]| <= c[i] + (sqrt(6) - 1) * c[j]`` with the half widths c. Su, Srinath and Krishnamurthy, *Adaptive
    estimator selection for off-policy evaluation*, 2020. No worse than a constant times the best of them, where bias
    grows as variance falls.

    Parameters
    ----------
    rounds : LoggedRounds
    estimators : sequence of str or Estimator
        Candidates, one of which should be close to unbiased.
    confidence : float, default 0.95
        Of the intervals, which are those of :func:`estimate`.
    support : Support, optional
        As for :func:`estimate`: refused candidates are left out.

    Returns
    -------
    Choice

    Raises
    ------
    SupportError
        If all are refused.
    DataError
        If there are fewer than two rounds, or clusters of them.
    ConfigurationError
        As for :func:`estimate`.

    Examples
    --------
    >>> from recokit.off_policy import ClippedIPS
    >>> rng = np.random.default_rng(0)
    >>> chance = rng.uniform(0.02, 0.5, 40_000)
    >>> rounds = LoggedRounds(rng.random(40_000) < 0.2, propensity=chance, target=np.full(40_000, 0.1))
    >>> slope(rounds, [ClippedIPS(max_weight=limit) for limit in (0.2, 1.0, 5.0)], support=None).estimator
    ClippedIPS(max_weight=5.0)
    """
    candidates = {one.name: one for one in as_estimators(estimators)}
    report = estimate(rounds, list(candidates.values()), confidence=confidence, support=support)
    reach = {name: 0.5 * (one.high - one.low) for name, one in report.items()}
    if np.isnan(list(reach.values())).any():
        raise DataError(
            f"found {len(rounds)} rounds, without intervals; expected at least two that are independent"
        )
    by_reach = sorted(report, key=lambda name: -reach[name])
    best = by_reach[0]
    for place, name in enumerate(by_reach[1:], 1):
        agrees = all(
            abs(report[name].value - report[wider].value) <= reach[name] + _WIDER * reach[wider]
            for wider in by_reach[:place]
        )
        if not agrees:
            break
        best = name
    return Choice(candidates[best], report[best], report)
