"""QuantileSketch: quantiles of a stream in fixed memory, within a stated relative error, that add up."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from recokit._utils.options import require, share
from recokit._utils.params import Configured
from recokit.errors import ConfigurationError
from recokit.typing import AnyArray

_LOWEST, _HIGHEST = 1e-6, 1e3
#: Values that wait to be counted together.
_PENDING = 256


class QuantileSketch(Configured):
    """Counts of values in bins whose widths grow with the value.

    A quantile is off by at most ``relative_error`` of the true one, for values between ``lowest`` and ``highest``;
    values beyond share the outermost bins. Sketches of the same options add up exactly, in any order. The idea is
    that of DDSketch (Masson, Rim and Lee, VLDB 2019), with bins that also end at given edges, so that the same counts
    are an exact histogram.

    Parameters
    ----------
    relative_error : float, default 0.005
        Largest relative error of a quantile.
    lowest, highest : float, default 1e-6 and 1e3
        Range of the promise; for seconds, a microsecond to a quarter of an hour.
    edges : sequence of float, optional
        Values at which a bin ends, for :meth:`cumulative`.

    Raises
    ------
    ConfigurationError
        Unless ``0 < relative_error < 1`` and ``0 < lowest < highest``.

    Examples
    --------
    >>> sketch = QuantileSketch(edges=(0.005, 0.01))
    >>> sketch.add_many(np.linspace(0.001, 0.02, 1000))
    >>> abs(sketch.quantile(0.5) / 0.0105 - 1) < 0.005
    True
    >>> sketch.cumulative((0.005, 0.01))
    [211, 474]
    """

    def __init__(
        self,
        *,
        relative_error: float = 0.005,
        lowest: float = _LOWEST,
        highest: float = _HIGHEST,
        edges: Sequence[float] = (),
    ) -> None:
        require(share, relative_error=relative_error)
        if not 0 < lowest < highest < math.inf:
            raise ConfigurationError(
                f"found lowest={lowest}, highest={highest}; expected 0 < lowest < highest"
            )
        self.relative_error, self.lowest, self.highest, self.edges = relative_error, lowest, highest, edges
        self._limits = _limits(relative_error, lowest, highest, tuple(edges))
        self._bins: dict[int, int] = {}
        self._pending: list[float] = []
        self._sum, self._smallest, self._largest = 0.0, math.inf, -math.inf

    @property
    def count(self) -> int:
        """How many values were added."""
        return sum(self._counted().values())

    @property
    def sum(self) -> float:
        """Sum of the values."""
        self._counted()
        return self._sum

    def add(self, value: float) -> None:
        """Add one value.

        Raises
        ------
        ValueError
            For NaN, which has no place among the others.
        """
        if value != value:
            raise ValueError("found NaN; expected a number")
        pending = self._pending
        pending.append(value)
        if len(pending) == _PENDING:
            self._counted()

    def add_many(self, values: Iterable[float] | AnyArray) -> None:
        """Add values, as :meth:`add` does one by one."""
        array = np.asarray(values, np.float64).ravel()
        if np.isnan(array).any():
            raise ValueError("found NaN; expected numbers")
        self._pending += array.tolist()
        self._counted()

    def _counted(self) -> dict[int, int]:
        """Return the counts by bin, with what was added since. Values wait until there are some: that is faster."""
        bins, pending = self._bins, self._pending
        if pending:
            self._pending = []
            limits = self._limits
            for value in pending:
                at = bisect_left(limits, value)
                bins[at] = bins.get(at, 0) + 1
            self._sum += sum(pending)
            self._smallest = min(self._smallest, min(pending))
            self._largest = max(self._largest, max(pending))
        return bins

    def merge(self, other: QuantileSketch) -> None:
        """Add the counts of another sketch.

        Raises
        ------
        ConfigurationError
            If its options differ.
        """
        if other._limits is not self._limits:
            raise ConfigurationError(f"found {other!r} to merge into {self!r}; expected the same options")
        theirs, bins = other._counted(), self._counted()
        for at, n in theirs.items():
            bins[at] = bins.get(at, 0) + n
        self._sum += other._sum
        self._smallest, self._largest = (
            min(self._smallest, other._smallest),
            max(self._largest, other._largest),
        )

    def empty(self) -> QuantileSketch:
        """Return an empty sketch of the same options."""
        twin = QuantileSketch.__new__(QuantileSketch)  # options were checked once; this is done while serving
        twin.__dict__.update(self.__dict__)
        twin._bins, twin._pending = {}, []
        twin._sum, twin._smallest, twin._largest = 0.0, math.inf, -math.inf
        return twin

    def quantile(self, share: float) -> float:
        """Return the value below which this share of the values lies (that of rank ``share * (n - 1)``, rounded down).

        NaN without any value.
        """
        return self.quantiles((share,))[0]

    def quantiles(self, shares: Sequence[float]) -> list[float]:
        """Return several quantiles, in the order asked."""
        bins = self._counted()
        places = sorted(bins)
        if not places:
            return [math.nan] * len(shares)
        ends = np.cumsum([bins[at] for at in places])
        ranks = np.floor(np.asarray(shares) * (ends[-1] - 1))
        return [self._value(places[i]) for i in np.searchsorted(ends, ranks, side="right").tolist()]

    def _value(self, at: int) -> float:
        """Return the value of a bin from which both of its ends are equally far, in relation to themselves."""
        limits = self._limits
        if at == 0:
            return self._smallest
        if at == len(limits):
            return self._largest
        low, high = limits[at - 1], limits[at]
        return min(max(2 * low * high / (low + high), self._smallest), self._largest)

    def cumulative(self, edges: Sequence[float]) -> list[int]:
        """Return how many values are at most each edge: exact for those of the option ``edges``."""
        bins = self._counted()
        places = np.array(sorted(bins), np.int64)
        ends = np.concatenate([[0], np.cumsum([bins[at] for at in places.tolist()])])
        last = np.searchsorted(self._limits, np.asarray(edges, np.float64))
        return [int(n) for n in ends[np.searchsorted(places, last, side="right")]]

    def state(self) -> dict[str, Any]:
        """Return the counts, for saving."""
        bins = self._counted()
        places = sorted(bins)
        return {
            "at": places,
            "n": [bins[at] for at in places],
            "sum": self._sum,
            "range": [self._smallest, self._largest],
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up counts that :meth:`state` gave."""
        self._bins = dict(zip(state["at"], state["n"], strict=True))
        self._pending, self._sum = [], state["sum"]
        self._smallest, self._largest = state["range"]

    def __reduce__(self) -> tuple[Any, ...]:
        # Limits are shared between the sketches of a process, not carried along.
        return _rebuilt, (self.relative_error, self.lowest, self.highest, self.edges, self.state())


def _rebuilt(
    error: float, lowest: float, highest: float, edges: Sequence[float], state: Mapping[str, Any]
) -> QuantileSketch:
    sketch = QuantileSketch(relative_error=error, lowest=lowest, highest=highest, edges=edges)
    sketch.load_state(state)
    return sketch


@lru_cache(maxsize=32)
def _limits(error: float, lowest: float, highest: float, edges: tuple[float, ...]) -> list[float]:
    """Return the upper ends of the bins, ascending; between them and below, each is ``(1 + e) / (1 - e)`` wide."""
    growth = math.log1p(error) - math.log1p(-error)
    n = math.ceil(math.log(highest / lowest) / growth)
    grid = lowest * np.exp(growth * np.arange(n + 1))
    inside = [edge for edge in edges if lowest < edge < grid[-1]]
    limits: list[float] = np.union1d(grid, inside).tolist()
    return limits
