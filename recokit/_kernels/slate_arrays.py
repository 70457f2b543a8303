"""What lists are chosen by, as arrays on padded windows: caps, and what a candidate adds to a list."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from recokit._utils.copies import frozen
from recokit.errors import ContractError
from recokit.typing import BoolArray, Float32Array, FloatArray, IntArray

Kind = Literal[
    "in_order", "relevance", "mmr", "msd", "dpp", "facility", "calibration", "proportional", "xquad"
]


@frozen
class CapArrays:
    """One cap on windows of W candidates.

    Parameters
    ----------
    groups : tuple of ndarray of int64, each (B, W)
        Group codes; a candidate in several groups has one in each array. Negative is no group.
    maximum : ndarray of int64, shape (B,), optional
        Most items of a group.
    minimum : int, default 0
        Fewest items of every group that the row has a candidate of.
    within : int, optional
        The cap holds in the first ``within`` places, or with ``sliding`` in every run of so many places.
    sliding : bool
    """

    groups: tuple[IntArray, ...]
    maximum: IntArray | None = None
    minimum: int = 0
    within: int | None = None
    sliding: bool = False

    def __post_init__(self) -> None:
        if self.minimum < 0 or (self.within is not None and self.within < 1):
            raise ContractError(
                f"found a minimum of {self.minimum} within {self.within} places; expected 0 or more within 1 or more"
            )

    def rows(self, rows: IntArray | slice) -> CapArrays:
        """Return the cap for some rows."""
        maximum = None if self.maximum is None else self.maximum[rows]
        return replace(self, groups=tuple(group[rows] for group in self.groups), maximum=maximum)


@frozen
class Gains:
    """Gains of B windows of W candidates: relevance, and what is new beside the items chosen.

    Parameters
    ----------
    kind : str
        What is new; ``recokit/_native/c/slate_gains.c`` has the definitions.
    trade_off : float
    relevance : ndarray of float32, shape (B, W), optional
        What the trade-off weighs; without it the order of the window counts.
    finite : ndarray of bool, shape (B, W), optional
        Candidates without a finite score come last.
    item : ndarray of int64, shape (B, W), optional
        Rows of the vectors, or else of the labels.
    vectors : ndarray of float32, shape (n_items + 1, D), optional
        Of length one.
    has_vector : ndarray of bool, shape (n_items + 1,), optional
        An item without a vector, label or aspect has the mean of what the row's others add.
    labels : ndarray of int64, shape (n_items + 1, C), optional
        0 agrees with nothing.
    aspect, aspect_weight, covers : ndarray, shape (B, W, m), optional
        Aspects from 1 on, 0 for none, int64; their parts of an item; how well it covers them, float32.
    target : ndarray of float64, shape (B, L + 1), optional
        Share of each aspect that a list should have.
    smoothing : float, default 0
    """

    kind: Kind
    trade_off: float = 1.0
    relevance: Float32Array | None = None
    finite: BoolArray | None = None
    item: IntArray | None = None
    vectors: Float32Array | None = None
    has_vector: BoolArray | None = None
    labels: IntArray | None = None
    aspect: IntArray | None = None
    aspect_weight: Float32Array | None = None
    covers: Float32Array | None = None
    target: FloatArray | None = None
    smoothing: float = 0.0
