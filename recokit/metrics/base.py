"""What a metric is: one number for each user, or one for the catalogue."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from recokit._kernels.segments import segment_sum
from recokit._utils.moved import renamed
from recokit._utils.options import optional, require, whole
from recokit._utils.params import Configured
from recokit.errors import ConfigurationError
from recokit.metrics.matched_lists import MatchedLists
from recokit.typing import AnyArray, FloatArray, IntArray


class Metric(Configured, ABC):
    """A metric of the first k places of each list.

    Parameters
    ----------
    k : int
        How many places count, at least 1.
    """

    #: The option that a name gives without its own name: "gains" in "NDCG@10:linear".
    bare: ClassVar[str] = ""

    #: Whether it reads past events: ``MatchedLists.history`` or ``MatchedLists.popularity``.
    needs_history: ClassVar[bool] = False

    def __init__(self, k: int) -> None:
        require(whole(1), k=k)
        self.k = int(k)

    @property
    def column(self) -> str | None:
        """Name of the item column that it reads, None where it reads none; ``bind`` then gets the columns."""
        return None

    @property
    def name(self) -> str:
        """How reports name the metric: ``"NDCG@10"``, and options that are not the default, ``"NDCG@10:linear"``."""
        options = []
        for name, parameter in inspect.signature(type(self)).parameters.items():
            value = getattr(self, name)
            if name != "k" and isinstance(value, str | int | float) and value != parameter.default:
                options.append(str(value) if name == self.bare else f"{name}={value}")
        return f"{type(self).__name__}@{self.k}{':' if options else ''}{','.join(options)}"

    @property
    def definition(self) -> str:
        """One line for reports: what exactly is computed."""
        return ""

    @abstractmethod
    def value(self, matched: MatchedLists) -> float:
        """Return the metric of all lists together."""

    def __call__(
        self,
        lists: Sequence[Sequence[Any] | AnyArray] | AnyArray,
        truths: Sequence[Collection[Any]] | AnyArray | None = None,
        **context: Any,
    ) -> float:
        """Return the metric of lists of ids; ``context`` as in :meth:`MatchedLists.from_lists`."""
        return self.value(MatchedLists.from_lists(lists, truths, **context))


class UserMetric(Metric):
    """A metric with one value for each user; the whole is the mean over the users where it is defined."""

    #: Smallest and largest possible value, for intervals.
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    @abstractmethod
    def per_user(self, matched: MatchedLists) -> FloatArray:
        """Return the metric of each list, (U,) float64, NaN where it is undefined."""

    @renamed(judged="matched")
    def value(self, matched: MatchedLists) -> float:
        """Return the mean over users where the metric is defined; NaN if there is none."""
        return mean_of(self.per_user(matched))


class RelevanceMetric(UserMetric):
    """A metric of relevant items; undefined for users without any."""

    def per_user(self, matched: MatchedLists) -> FloatArray:
        """Return the metric of each list, (U,) float64, NaN for users without a relevant item."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(matched.n_relevant > 0, self._per_user(matched), np.nan)

    @abstractmethod
    def _per_user(self, matched: MatchedLists) -> FloatArray: ...


@dataclass(frozen=True, eq=False)
class Exposure:
    """How much each item was shown in some lists; exposures of chunks of users add up.

    Parameters
    ----------
    counts : ndarray of float64, shape (largest code + 1,)
        By item code: in how many lists it stands, or the weight of its places. Code 0 is the unknown item.
    n_lists : int
        Lists with at least one item.
    merit : ndarray of float64, shape (largest code + 1,)
        By item code: what it is due, on any scale, for metrics that compare the two.
    """

    counts: FloatArray
    n_lists: int = 0
    merit: FloatArray = field(default_factory=lambda: np.zeros(1))

    def __add__(self, other: Exposure) -> Exposure:
        return Exposure(
            _added(self.counts, other.counts),
            self.n_lists + other.n_lists,
            _added(self.merit, other.merit),
        )

    def of(self, items: IntArray) -> Exposure:
        """Return the exposure of these item codes alone: the others have none, and merit none."""
        inside = np.zeros(max(len(self.counts), len(self.merit)), np.bool_)
        inside[items[items < len(inside)]] = True
        counts, merit = (np.where(inside[: len(part)], part, 0.0) for part in (self.counts, self.merit))
        return Exposure(counts, self.n_lists, merit)

    @classmethod
    def none(cls) -> Exposure:
        """Return the exposure of no lists."""
        return cls(np.zeros(1))


class SizedMetric(Metric):
    """A metric that needs the size of the catalogue; the second base says of what it is a metric.

    Parameters
    ----------
    k : int
        How many places count.
    n_items : int, optional
        Size of the catalogue; by default what the matched lists say, which is the model's item vocabulary.
    """

    def __init__(self, k: int, *, n_items: int | None = None) -> None:
        super().__init__(k)
        require(optional(whole(1)), n_items=n_items)
        self.n_items = n_items

    def size(self, n_items: int | None) -> int:
        """Return its own size of the catalogue, else the one given; ConfigurationError without either."""
        size = n_items if self.n_items is None else self.n_items
        if not size:
            raise ConfigurationError(
                f"found no size of the catalogue for {self.name}; expected n_items, such as "
                f"{type(self).__name__}({self.k}, n_items=1000)"
            )
        return size


class CatalogueMetric(Metric):
    """A metric of how often each item was shown: exposures add up over chunks of users, then make one number."""

    def exposure(self, matched: MatchedLists) -> Exposure:
        """Count how often each item code stands in the first k places."""
        item = matched.top(self.k)[1]
        return Exposure(segment_sum(np.ones(len(item)), item, 1), int(np.count_nonzero(matched.lists.counts)))

    @abstractmethod
    def from_exposure(self, exposure: Exposure, n_items: int | None) -> float:
        """Return the metric of the exposure, in a catalogue of ``n_items``."""

    @renamed(judged="matched")
    def value(self, matched: MatchedLists) -> float:
        """Return the metric of all lists together."""
        return self.from_exposure(self.exposure(matched), matched.n_items)


def _added(first: FloatArray, second: FloatArray) -> FloatArray:
    longer, shorter = sorted((first, second), key=len, reverse=True)
    total = longer.copy()
    total[: len(shorter)] += shorter
    return total


def mean_of(values: FloatArray) -> float:
    """Return the mean of the values that are not NaN; NaN without any."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")
