"""RankingData: what a ranker learns from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from recokit._kernels.segments import counts_to_offsets, gather_segments
from recokit._utils.options import require_rows
from recokit._utils.report import Content, Report, Table
from recokit.data.schema import Schema
from recokit.errors import DataError
from recokit.typing import AnyArray, Float32Array, FloatArray, IntArray

_BY_ROW = ("features", "label", "weight", "user", "item", "now")


@dataclass(frozen=True, eq=False, repr=False)
class RankingData(Report):
    """Labelled candidates, grouped by request.

    Parameters
    ----------
    features : ndarray of float32, shape (N, F)
        NaN means missing.
    feature_names : tuple of str
        Names of the F features.
    label : ndarray of float32, shape (N,)
        0 for negatives; positives carry their gain, such as the strongest event's weight.
    weight : ndarray of float32, shape (N,)
        Training weight; a sampled negative carries its inverse sampling probability.
    offsets : ndarray of int64, shape (G + 1,)
        Groups, one for each (user, window): rows of a group lie together.
    user, item : ndarray of int64, shape (N,)
        Codes of each row.
    now : ndarray of float64, shape (N,)
        Request time of each row; validation rows are newer than training rows.
    validation : RankingData, optional
        The newest window, for early stopping and choice of parameters.
    columns : mapping of str to ndarray (N,)
        What else is known of the rows and is no feature, such as the ``position`` and ``propensity`` of logged
        impressions.
    schema : Schema, optional
        What the codes mean, for rankers that look up ids or columns of users and items.

    Raises
    ------
    DataError
        If lengths disagree, a label is not finite, or a weight is negative or not finite.
    """

    features: Float32Array
    feature_names: tuple[str, ...]
    label: Float32Array
    weight: Float32Array
    offsets: IntArray
    user: IntArray
    item: IntArray
    now: FloatArray
    validation: RankingData | None = None
    columns: Mapping[str, AnyArray] = field(default_factory=dict)
    schema: Schema | None = None

    def __post_init__(self) -> None:
        n = len(self.label)
        lengths = {"features": len(self.features), "weight": len(self.weight), "item": len(self.item)}
        lengths |= {"user": len(self.user), "now": len(self.now), "offsets": int(self.offsets[-1])}
        lengths |= {name: len(column) for name, column in self.columns.items()}
        for name, length in lengths.items():
            if length != n:
                raise DataError(f"found {name} for {length} rows; expected {n}, one for each label")
        if self.features.shape != (n, len(self.feature_names)):
            raise DataError(
                f"found features of shape {self.features.shape}; expected {(n, len(self.feature_names))}"
            )
        require_rows(np.isfinite(self.label), self.label, "label", "finite labels")
        ok = np.isfinite(self.weight) & (self.weight >= 0)
        require_rows(ok, self.weight, "weight", "finite weights of at least 0")

    def _content(self) -> Content:
        known = np.isfinite(self.features).mean(axis=0) if len(self) else np.zeros(len(self.feature_names))
        rows = [
            (name, f"{share:.0%}") for name, share in zip(self.feature_names, known.tolist(), strict=True)
        ]
        counts = (
            f"{len(self):,} rows of {len(self.offsets) - 1:,} requests, {len(self.feature_names)} features"
        )
        positive = f"{int((self.label > 0).sum()):,} positives"
        held = "" if self.validation is None else f"; {len(self.validation):,} rows for validation"
        tables = [Table(("feature", "known"), rows)] if rows else []
        return Content("Training data", tables, f"{counts}, {positive}{held}")

    def __len__(self) -> int:
        return len(self.label)

    @classmethod
    def joined(cls, parts: Sequence[RankingData]) -> RankingData:
        """Return the rows of all parts, without validation rows; columns that all have are kept.

        Raises
        ------
        DataError
            If there is no part, or the parts' features differ.
        """
        if not parts:
            raise DataError("found no rows to train on; expected at least one part")
        first = parts[0]
        for part in parts:
            if part.feature_names != first.feature_names:
                raise DataError(
                    f"found parts with features {first.feature_names} and {part.feature_names}; "
                    "expected the same in all"
                )
        arrays: dict[str, Any] = {
            name: np.concatenate([getattr(part, name) for part in parts]) for name in _BY_ROW
        }
        names = [name for name in first.columns if all(name in part.columns for part in parts)]
        columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in names}
        offsets = counts_to_offsets(np.concatenate([np.diff(part.offsets) for part in parts]))
        return replace(first, **arrays, offsets=offsets, columns=columns, validation=None)

    def take(self, groups: IntArray) -> RankingData:
        """Return the rows of some groups, in the given order; the validation part stays as it is."""
        offsets, index = gather_segments(self.offsets, groups)
        picked: dict[str, Any] = {name: getattr(self, name)[index] for name in _BY_ROW}
        columns = {name: column[index] for name, column in self.columns.items()}
        return replace(self, **picked, offsets=offsets, columns=columns)
