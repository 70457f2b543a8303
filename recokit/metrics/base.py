"""What a metric is: one number for each user, or one for the catalogue."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from typing import Any, ClassVar

import numpy as np

from recokit._configured import Configured
from recokit.errors import ConfigurationError
from recokit.metrics.judged import Judged
from recokit.typing import AnyArray, FloatArray, IntArray

__all__ = ["CatalogueMetric", "Metric", "RelevanceMetric", "UserMetric", "mean_of"]


class Metric(Configured, ABC):
    """A metric of the first k places of each list.

    Parameters
    ----------
    k : int
        How many places count, at least 1.
    """

    #: One line for reports: what exactly is computed.
    definition: ClassVar[str] = ""

    def __init__(self, k: int) -> None:
        if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
            raise ConfigurationError(
                f"found k={k!r} for {type(self).__name__}; expected a whole number of at least 1"
            )
        self.k = int(k)

    @property
    def name(self) -> str:
        """How reports name the metric, such as ``"NDCG@10"``."""
        return f"{type(self).__name__}@{self.k}"

    @abstractmethod
    def value(self, judged: Judged) -> float:
        """Return the metric of all lists together."""


class UserMetric(Metric):
    """A metric with one value for each user; the whole is the mean over the users where it is defined."""

    #: Smallest and largest possible value, for intervals.
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    @abstractmethod
    def per_user(self, judged: Judged) -> FloatArray:
        """Return the metric of each list, (U,) float64, NaN where it is undefined."""

    def value(self, judged: Judged) -> float:
        """Return the mean over users where the metric is defined; NaN if there is none."""
        return mean_of(self.per_user(judged))


class RelevanceMetric(UserMetric):
    """A metric of relevant items; undefined for users without any."""

    def per_user(self, judged: Judged) -> FloatArray:
        """Return the metric of each list, (U,) float64, NaN for users without a relevant item."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(judged.n_relevant > 0, self._per_user(judged), np.nan)

    @abstractmethod
    def _per_user(self, judged: Judged) -> FloatArray: ...

    def __call__(
        self,
        lists: Sequence[Sequence[Any] | AnyArray] | AnyArray,
        truths: Sequence[Collection[Any]] | AnyArray,
    ) -> float:
        """Return the mean for lists of ids, see :meth:`Judged.from_lists`."""
        return self.value(Judged.from_lists(lists, truths))


class CatalogueMetric(Metric):
    """A metric of how often each item was shown: counts add up over chunks of users, then make one number."""

    def exposure(self, judged: Judged) -> IntArray:
        """Count how often each item code stands in the first k places, (largest code + 1,) int64."""
        return np.bincount(judged.top(self.k)[1], minlength=1)

    @abstractmethod
    def from_exposure(self, exposure: IntArray, n_items: int | None) -> float:
        """Return the metric of exposure counts by item code, in a catalogue of ``n_items``."""

    def value(self, judged: Judged) -> float:
        """Return the metric of all lists together."""
        return self.from_exposure(self.exposure(judged), judged.n_items)


def mean_of(values: FloatArray) -> float:
    """Return the mean of the values that are not NaN; NaN without any."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")
