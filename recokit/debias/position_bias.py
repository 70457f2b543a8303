"""PositionBias: the probability that each place of a list is examined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from recokit._utils.report import Content, Report, Table
from recokit.errors import DataError
from recokit.typing import AnyArray, BoolArray, FloatArray, IntArray


class Clicks(Protocol):
    """Impressions with their places and clicks: equally long columns, such as those of an impression log."""

    @property
    def user(self) -> IntArray:
        """User codes."""
        ...

    @property
    def item(self) -> IntArray:
        """Item codes."""
        ...

    @property
    def position(self) -> IntArray:
        """1-based places; 0 was not shown."""
        ...

    @property
    def clicked(self) -> BoolArray:
        """Whether it was clicked."""
        ...


@dataclass(frozen=True, eq=False, repr=False)
class PositionBias(Report):
    """Probability that each place is examined, as a share of the first place's.

    Parameters
    ----------
    examination : ndarray of float64, shape (K,)
        First place first, which is 1; above 0.
    shown, clicks : ndarray of float64, shape (K,)
        Impressions and clicks that the estimate used; 0 where it is known otherwise.
    n_unused : int
        Impressions left out: of groups with too few impressions, or outside the experiment.

    Raises
    ------
    DataError
        If a share is not above 0, or there is none.

    Examples
    --------
    >>> bias = PositionBias.known([1.0, 0.5, 0.25])
    >>> bias.at(np.array([1, 3])).tolist()
    [1.0, 0.25]
    """

    examination: FloatArray
    shown: FloatArray
    clicks: FloatArray
    n_unused: int = 0

    def __post_init__(self) -> None:
        bad = np.flatnonzero(~(np.isfinite(self.examination) & (self.examination > 0)))
        if not len(self.examination) or len(bad):
            problem = f"{self.examination[bad[0]]} at place {bad[0] + 1}" if len(bad) else "no places"
            raise DataError(f"found {problem}; expected examination above 0 for at least one place")

    @classmethod
    def known(cls, examination: Sequence[float] | AnyArray) -> PositionBias:
        """Return what is known or assumed, first place first, on any scale."""
        values = np.asarray(examination, np.float64)
        nothing = np.zeros(len(values))
        return cls(values / values[0] if len(values) else values, nothing, nothing)

    def __len__(self) -> int:
        return len(self.examination)

    def at(self, position: IntArray) -> FloatArray:
        """Return the examination of 1-based places, (N,) float64; NaN for place 0, which nobody saw.

        Raises
        ------
        DataError
            For a place below 0 or beyond the last one.
        """
        position = np.asarray(position, np.int64)
        bad = np.flatnonzero((position < 0) | (position > len(self)))
        if len(bad):
            raise DataError(
                f"found place {position[bad[0]]}; expected 0 to {len(self)}, the places whose examination is known; "
                "hint: leave out what stood further down",
                rows=bad,
            )
        examination: FloatArray = np.concatenate([[np.nan], self.examination])[position]
        return examination

    @property
    def error(self) -> FloatArray:
        """Relative standard error of each place, (K,), at least: that of a ratio of two counts; 0 for the first."""
        with np.errstate(divide="ignore"):
            error: FloatArray = np.sqrt(1.0 / self.clicks + 1.0 / self.clicks[0])
        error[0] = 0.0
        return error

    def table(self) -> list[dict[str, float]]:
        """Return a row for each place."""
        return [
            {
                "position": place + 1,
                "examination": float(self.examination[place]),
                "error": float(self.error[place] * self.examination[place]),
                "shown": float(self.shown[place]),
                "clicks": float(self.clicks[place]),
            }
            for place in range(len(self))
        ]

    def __repr__(self) -> str:
        values = ", ".join(f"{value:.3f}" for value in self.examination[:10])
        return f"PositionBias([{values}{', ...' if len(self) > 10 else ''}])"

    def _content(self) -> Content:
        rows = [
            (
                row["position"],
                f"{row['examination']:.3f}",
                f"{row['error']:.3f}" if np.isfinite(row["error"]) else "",
                f"{row['shown']:,.0f}",
                f"{row['clicks']:,.0f}",
            )
            for row in self.table()
        ]
        header = ("place", "examination", "standard error, at least", "shown", "clicks")
        note = f"{self.n_unused:,} impressions were of no use"
        return Content("Position bias", [Table(header, rows)], notes=[note])
