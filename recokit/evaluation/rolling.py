"""Rolling quality: whether a model ages so fast that it should be trained more often (R23)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from recokit._stats.intervals import check_confidence, student_quantile
from recokit._utils.report import json_ready
from recokit.errors import ConfigurationError, DataError
from recokit.evaluation.comparison import POWER
from recokit.evaluation.report import Evaluation

__all__ = ["Advice", "RollingQuality", "TrainingAdvice"]

#: Drop between retrains that asks for more frequent training; R23.
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
        told = f"{self.advice}: {self.metric} {self.change:+.1%} [{self.low:+.1%}, {self.high:+.1%}] since training"
        users = f"{self.n:,} users now, {self.n_before:,} then"
        if self.advice is not Advice.CANNOT_TELL:
            return f"{told}, {users}"
        return f"{told}, {users}; to find a drop of {self.drop:.0%} takes some {self.needed:,.0f} in each"


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
        Relative drop that asks for more frequent training; R23.
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
        check_confidence(confidence)
        if not 0 < drop < 1:
            raise ConfigurationError(f"found drop={drop}; expected a share between 0 and 1, such as 0.02")
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
        found = self._compare(first, window)
        self.history += (found,)
        return found

    def _compare(self, first: Evaluation, window: Evaluation) -> TrainingAdvice:
        before, after = (part.values(self.metric).astype(np.float64) for part in (first, window))
        codes = first.users.encode(window.users.ids)
        other = np.where(codes > 0, np.append(before, np.nan)[codes - 1], np.nan)
        both = ~np.isnan(other) & ~np.isnan(after)
        old, new = before[~np.isnan(before)], after[~np.isnan(after)]
        n_old, n_new = len(old), len(new)
        change = low = high = needed = np.nan
        advice = Advice.CANNOT_TELL
        if min(n_old, n_new) > 1 and old.mean() > 0 and new.mean() > 0:
            shared = np.dot(other[both] - old.mean(), after[both] - new.mean()) / (n_old * n_new)
            variance = (
                old.var() / n_old / old.mean() ** 2
                + new.var() / n_new / new.mean() ** 2
                - 2 * shared / (old.mean() * new.mean())
            )
            error, ratio = np.sqrt(max(variance, 0.0)), new.mean() / old.mean()
            freedom = min(n_old, n_new) - 1
            reach = student_quantile(0.5 + self.confidence / 2, freedom)
            change = float(ratio - 1)
            low, high = (float(ratio * np.exp(sign * reach * error) - 1) for sign in (-1, 1))
            # As many users in both windows as there are in the smaller one have about this error.
            share = error * (reach + student_quantile(POWER, freedom)) / -np.log1p(-self.drop)
            needed = float(np.ceil(min(n_old, n_new) * share**2))
            if high < -self.drop:
                advice = Advice.TRAIN_MORE_OFTEN
            elif low > -self.drop:
                advice = Advice.OFTEN_ENOUGH
        return TrainingAdvice(
            advice=advice,
            metric=self.metric,
            change=change,
            low=low,
            high=high,
            drop=self.drop,
            n=n_new,
            n_before=n_old,
            needed=needed,
            since=first.now,
            now=window.now,
            confidence=self.confidence,
        )
