"""Ragged: one list of codes for each row, with columns beside the codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field

import numpy as np

from recokit._kernels.segments import counts_to_offsets, gather_segments, multi_arange, offsets_to_rows
from recokit._utils.copies import frozen
from recokit._utils.moved import renamed
from recokit.errors import DataError
from recokit.typing import AnyArray, BoolArray, IntArray


@frozen
class Ragged:
    """One list of codes for each row, as CSR.

    Parameters
    ----------
    offsets : ndarray of int64, shape (B + 1,)
        Row ``b`` holds ``values[offsets[b]:offsets[b + 1]]``.
    values : ndarray of int64, shape (M,)
        Codes, 0 for unknown ones.
    columns : mapping of str to ndarray (M,), optional
        Columns beside the values, such as ``timestamp``, ``weight`` or ``event``.

    Examples
    --------
    >>> Ragged.from_lists([[1, 2], [], [3]]).row(0).tolist()
    [1, 2]
    """

    offsets: IntArray
    values: IntArray
    columns: Mapping[str, AnyArray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.offsets) == 0 or self.offsets[0] != 0 or self.offsets[-1] != len(self.values):
            raise DataError(
                f"found ragged offsets that end at {self.offsets[-1] if len(self.offsets) else None} for "
                f"{len(self.values)} values; expected offsets from 0 to the number of values"
            )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @classmethod
    def empty(cls, n_rows: int) -> Ragged:
        """Return ``n_rows`` empty lists."""
        return cls(np.zeros(n_rows + 1, np.int64), np.zeros(0, np.int64))

    @classmethod
    def from_lists(cls, lists: Sequence[Sequence[int] | IntArray]) -> Ragged:
        """Build from one sequence of codes for each row."""
        values = [np.asarray(codes, np.int64) for codes in lists]
        flat = np.concatenate(values) if values else np.zeros(0, np.int64)
        return cls(counts_to_offsets(np.array([len(codes) for codes in values], np.int64)), flat)

    @property
    def counts(self) -> IntArray:
        """Length of each row, (B,) int64."""
        return np.asarray(self.offsets[1:] - self.offsets[:-1])

    @property
    def rows(self) -> IntArray:
        """Row index of each value, (M,) int64."""
        return offsets_to_rows(self.offsets)

    def row(self, b: int) -> IntArray:
        """Return the codes of one row."""
        return self.values[self.offsets[b] : self.offsets[b + 1]]

    def take(self, rows: IntArray) -> Ragged:
        """Return the given rows, in the given order."""
        offsets, index = gather_segments(self.offsets, rows)
        return Ragged(
            offsets, self.values[index], {name: column[index] for name, column in self.columns.items()}
        )

    def last(self, n: int) -> Ragged:
        """Return the last n of each row."""
        counts = np.minimum(self.counts, n)
        index = multi_arange(self.offsets[1:] - counts, counts)
        columns = {name: column[index] for name, column in self.columns.items()}
        return Ragged(counts_to_offsets(counts), self.values[index], columns)

    def merge(self, other: Ragged, use_other: BoolArray) -> Ragged:
        """Return rows of ``other`` where the mask (B,) is set, own rows elsewhere.

        Columns that one side lacks are filled with NaN (or 0 for integer columns).
        """
        n = len(self)
        both = Ragged(
            np.concatenate([self.offsets, self.offsets[-1] + other.offsets[1:]]),
            np.concatenate([self.values, other.values]),
            {
                name: np.concatenate([_column(self, name, other), _column(other, name, self)])
                for name in sorted({*self.columns, *other.columns})
            },
        )
        return both.take(np.arange(n) + np.where(use_other, n, 0))

    @renamed(most="max_values")
    def then(self, other: Ragged, by: str, max_values: int | None = None) -> Ragged:
        """Return the rows of both together, each in the order of a column, own values first among equal ones.

        Parameters
        ----------
        other : Ragged
            As many rows, with the same columns.
        by : str
            The column.
        max_values : int, optional
            Keep this many of the last values of each row.
        """
        if not len(other.values):
            return self
        row = np.concatenate([self.rows, other.rows])
        columns = {name: np.concatenate([self.columns[name], other.columns[name]]) for name in self.columns}
        order = np.lexsort((columns[by], row))
        offsets = self.offsets + other.offsets
        if max_values is not None:
            left = offsets[row[order] + 1] - np.arange(len(order))
            order = order[left <= max_values]
            offsets = counts_to_offsets(np.minimum(np.diff(offsets), max_values))
        values = np.concatenate([self.values, other.values])[order]
        return Ragged(offsets, values, {name: column[order] for name, column in columns.items()})


def _column(ragged: Ragged, name: str, like: Ragged) -> AnyArray:
    if name in ragged.columns:
        return ragged.columns[name]
    dtype = like.columns[name].dtype
    return np.full(len(ragged.values), np.nan if dtype.kind == "f" else 0, dtype)
