"""Rolling quality: whether a model ages so fast that it should be trained more often."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from recokit._stats.intervals import student_quantile
from recokit._utils.options import require, share
from recokit._utils.report import json_ready
from recokit.errors import DataError
from recokit.evaluation.comparison import POWER
from recokit.evaluation.report import Evaluation
from recokit.typing import FloatArray

#: Drop between retrains that asks for more frequent training.
DROP = 0.02


class Advice(StrEnum):
    """What the quality since training says about how often to train."""

    TRAIN_MORE_OFTEN = "train more often"
    OFTEN_ENOUGH = "often enough"
    CANNOT_TELL = "cannot tell"


@dataclass(frozen=True)
class TrainingAdvice:
    """Quality of the newest test window beside that of the first one after training.

    Parameters
    ----------
    advice : Advice
        ``TRAIN_MORE_OFTEN`` if the whole interval lies below the drop, ``OFTEN_ENOUGH`` if it lies above.
    metric : str
        What was measured.
    change, low, high : float
        Relative change and the ends of its interval; -0.02 is a drop of 2%.
    drop : float
        The drop that matters.
    n, n_before : int
        Users with a value in the newest and in the first window.
    needed : float
        Users in each window at which such a drop would be found with 80% chance; NaN where nothing varies.
    since, now : float or None
        Times of the two windows.
    confidence : float
        Of the interval.
    """

    advice: Advice
    metric: str
    change: float
    low: float
    high: float
    drop: float
    n: int
    n_before: int
    needed: float
    since: float | None
    now: float | None
    confidence: float

    @property
    def naive(self) -> bool:
        """Whether the change alone, without its interval, is a drop of more than ``drop``: mostly noise."""
        return self.change < -self.drop

    def to_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        plain: dict[str, Any] = json_ready({**asdict(self), "naive": self.naive})
        return plain

    def __str__(self) -> str:
        verdict = f"{self.advice}: {self.metric} {self.change:+.1%} [{self.low:+.1%}, {self.high:+.1%}] since training"
        users = f"{self.n:,} users now, {self.n_before:,} then"
        if self.advice is not Advice.CANNOT_TELL:
            return f"{verdict}, {users}"
        return f"{verdict}, {users}; to find a drop of {self.drop:.0%} takes some {self.needed:,.0f} in each"


class RollingQuality:
    """Monitor of whether a model's quality on a rolling test set has dropped since training.

    The first evaluation after training is the reference, each later one is held against it. The windows have different
    users, so nothing is paired: the interval is that of the logarithm of the ratio of two means, by the delta method,
    with the covariance of the users that are in both windows. At 10,000 users it is some 4% wide, where the drop that
    matters is 2%: a bare 2% rule (``naive``) mostly reports noise.

    The windows may differ by weekday and season, too, which no interval of users tells. Compare windows of whole weeks.

    Parameters
    ----------
    metric : str, default "NDCG@10"
        A metric of the evaluations, with values of single users.
    drop : float, default 0.02
        Relative drop that asks for more frequent training.
    confidence : float, default 0.95
        Of the interval.

    Raises
    ------
    ConfigurationError
        For impossible options.

    Examples
    --------
    >>> from recokit.data import Vocabulary
    >>> from recokit.evaluation import evaluate
    >>> from recokit.result import Recommendations
    >>> def week(hits, now):
    ...     n = len(hits)
    ...     made = Recommendations(
    ...         users=np.arange(n), offsets=np.arange(n + 1), item=np.array(hits), score=np.ones(n, np.float32),
    ...         columns={}, sources=((),) * n, status=np.zeros(n, np.int64), reasons=((),) * n,
    ...         item_ids=Vocabulary(["pear", "fig"]))
    ...     return evaluate(made, {user: ["pear"] for user in range(n)}, ["NDCG@1"], now=now)
    >>> monitor = RollingQuality("NDCG@1")
    >>> monitor.add(week([1, 2] * 500, now=1.0))  # the first one after training: nothing to compare yet
    >>> print(monitor.add(week([2, 1, 1, 1, 1, 2, 2, 2, 2, 2] * 100, now=2.0)).advice)
    train more often
    """

    def __init__(self, metric: str = "NDCG@10", *, drop: float = DROP, confidence: float = 0.95) -> None:
        require(share, confidence=confidence, drop=drop)
        self.metric, self.drop, self.confidence = metric, drop, confidence
        #: Advice of every window that was added, oldest first; the first window of each training has none.
        self.history: tuple[TrainingAdvice, ...] = ()
        self._first: Evaluation | None = None

    @property
    def advice(self) -> TrainingAdvice | None:
        """The newest advice; None before there is one."""
        return self.history[-1] if self.history else None

    def retrained(self) -> None:
        """Say that the model was trained anew: the next window is the reference."""
        self._first = None

    def add(self, window: Evaluation) -> TrainingAdvice | None:
        """Add the evaluation of the next test window.

        Returns
        -------
        TrainingAdvice or None
            None for the first window after training.

        Raises
        ------
        DataError
            If the window comes before the reference, or has another definition of the metric.
        """
        window.values(self.metric)
        first = self._first
        if first is None:
            self._first = window
            return None
        if first.definitions[self.metric] != window.definitions[self.metric] or first.k != window.k:
            raise DataError(
                f"found {self.metric} of lists of {window.k} after lists of {first.k}, or defined in another way; "
                "expected the same in every window"
            )
        if first.now is not None and window.now is not None and window.now < first.now:
            raise DataError(
                f"found a window of {window.now} after that of {first.now}; expected time to go on"
            )
        advice = self._compare(first, window)
        self.history += (advice,)
        return advice

    def _compare(self, first: Evaluation, window: Evaluation) -> TrainingAdvice:
        before, after = (part.values(self.metric).astype(np.float64) for part in (first, window))
        ratio = _Ratio.of(before, after, first.values_for(self.metric, window.users))
        low, high = ratio.interval(self.confidence)
        advice = Advice.CANNOT_TELL
        if high < 1 - self.drop:
            advice = Advice.TRAIN_MORE_OFTEN
        elif low > 1 - self.drop:
            advice = Advice.OFTEN_ENOUGH
        return TrainingAdvice(
            advice=advice,
            metric=self.metric,
            change=ratio.value - 1,
            low=low - 1,
            high=high - 1,
            drop=self.drop,
            n=int(np.count_nonzero(~np.isnan(after))),
            n_before=int(np.count_nonzero(~np.isnan(before))),
            needed=ratio.needed(self.drop, self.confidence),
            since=first.now,
            now=window.now,
            confidence=self.confidence,
        )


@dataclass(frozen=True)
class _Ratio:
    """Ratio of the means of two windows, the newer above, and the error of its logarithm by the delta method."""

    value: float
    error: float
    n: int  # users of the smaller window

    @classmethod
    def of(cls, before: FloatArray, after: FloatArray, same_users_before: FloatArray) -> _Ratio:
        """Return the ratio of each window's values; users of the second that are in both have a value in the third."""
        old, new = before[~np.isnan(before)], after[~np.isnan(after)]
        n = min(len(old), len(new))
        if n < 2 or not (old.mean() > 0 and new.mean() > 0):
            return cls(np.nan, np.nan, n)
        both = ~np.isnan(same_users_before) & ~np.isnan(after)
        together = np.dot(same_users_before[both] - old.mean(), after[both] - new.mean())
        variance = (
            old.var() / len(old) / old.mean() ** 2
            + new.var() / len(new) / new.mean() ** 2
            - 2 * together / (len(old) * len(new)) / (old.mean() * new.mean())
        )
        return cls(float(new.mean() / old.mean()), float(np.sqrt(max(variance, 0.0))), n)

    def interval(self, confidence: float) -> tuple[float, float]:
        reach = student_quantile(0.5 + confidence / 2, self.n - 1) * self.error
        return self.value * float(np.exp(-reach)), self.value * float(np.exp(reach))

    def needed(self, drop: float, confidence: float) -> float:
        """Return at how many users in each window, as many of them in both, such a drop is mostly found."""
        reach = student_quantile(0.5 + confidence / 2, self.n - 1) + student_quantile(POWER, self.n - 1)
        return float(np.ceil(self.n * (self.error * reach / np.log1p(-drop)) ** 2))
