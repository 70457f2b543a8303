"""Candidates: what flows through the funnel. Immutable; every change is a new object that shares arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from functools import cached_property

import numpy as np

from recokit._kernels.segments import counts_to_offsets, gather_segments, offsets_to_rows
from recokit._utils.copies import frozen, with_fields
from recokit.data.requests import Requests
from recokit.errors import ConfigurationError, ContractError, did_you_mean
from recokit.typing import AnyArray, BoolArray, Float32Array, FloatArray, IntArray, UInt64Array


@frozen
class Retrieved:
    """What a source returns: for each request row, item codes best first.

    Parameters
    ----------
    offsets : ndarray of int64, shape (B + 1,)
        CSR offsets of the rows.
    item : ndarray of int64, shape (N,)
        Item codes, at least 1, distinct within a row, best first.
    score : ndarray of float32, shape (N,)
        The source's own score, any scale; NaN where it has none.
    errors : tuple of exceptions
        Failures of parts that the source could do without; the runner records them.
    """

    offsets: IntArray
    item: IntArray
    score: Float32Array
    errors: tuple[Exception, ...] = ()

    @classmethod
    def empty(cls, n_rows: int) -> Retrieved:
        """Return no items for each of ``n_rows`` rows."""
        return cls(np.zeros(n_rows + 1, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))

    @classmethod
    def from_padded(cls, item: IntArray, score: AnyArray) -> Retrieved:
        """Build from (B, W) arrays, best first, padded with item code 0.

        Examples
        --------
        >>> scores = np.array([[0.9, 0.1], [0.5, 0.0]])
        >>> Retrieved.from_padded(np.array([[4, 2], [7, 0]]), scores).item.tolist()
        [4, 2, 7]
        """
        real = item > 0
        offsets = counts_to_offsets(real.sum(axis=1))
        if offsets[-1] == item.size:
            return cls(offsets, item.astype(np.int64).ravel(), score.astype(np.float32).ravel())
        return cls(offsets, item[real].astype(np.int64), score[real].astype(np.float32))

    def take(self, rows: IntArray) -> Retrieved:
        """Return the given rows, in the given order."""
        offsets, index = gather_segments(self.offsets, rows)
        return replace(self, offsets=offsets, item=self.item[index], score=self.score[index])


@frozen
class Candidates:
    """N candidates of B requests, rows together.

    Parameters
    ----------
    requests : Requests
        The B requests.
    offsets : ndarray of int64, shape (B + 1,)
        Row ``b`` holds candidates ``offsets[b]:offsets[b + 1]``.
    row : ndarray of int64, shape (N,)
        Request row of each candidate.
    item : ndarray of int64, shape (N,)
        Item codes; distinct within a row.
    score : ndarray of float32, shape (N,)
        NaN means not scored.
    sources : ndarray of uint64, shape (N,)
        Bit ``s`` is set where source ``s`` of ``source_names`` found the item.
    source_names : tuple of str
        Names of the bits.
    columns : mapping of str to ndarray (N,)
        ``{source}_score`` and ``{source}_rank`` (float32, 1-based, NaN where the source did not find the
        item), labels.
    features : ndarray of float32, shape (N, F)
        NaN means missing.
    feature_names : tuple of str
        Names of the F features.
    """

    requests: Requests
    offsets: IntArray
    row: IntArray
    item: IntArray
    score: Float32Array
    sources: UInt64Array
    source_names: tuple[str, ...] = ()
    columns: Mapping[str, AnyArray] = field(default_factory=dict)
    features: Float32Array = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    feature_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.feature_names and len(self.features) != len(self.item):
            object.__setattr__(self, "features", np.zeros((len(self.item), 0), np.float32))

    @classmethod
    def from_lists(
        cls,
        items: Sequence[Sequence[int]],
        *,
        scores: Sequence[Sequence[float]] | None = None,
        features: AnyArray | None = None,
        feature_names: Sequence[str] = (),
        columns: Mapping[str, AnyArray] | None = None,
        requests: Requests | None = None,
    ) -> Candidates:
        """Build a batch from one list of item codes for each row: for tests, notebooks and stages used alone.

        Examples
        --------
        >>> candidates = Candidates.from_lists([[3, 5], [2]], scores=[[0.9, 0.4], [0.7]])
        >>> len(candidates), candidates.row.tolist()
        (3, [0, 0, 1])
        """
        offsets = counts_to_offsets(np.array([len(row) for row in items], np.int64))
        item = np.array([code for row in items for code in row], np.int64)
        score = np.full(len(item), np.nan, np.float32)
        if scores is not None:
            score = np.array([value for row in scores for value in row], np.float32)
        batch = cls(
            requests=requests if requests is not None else Requests.build(np.zeros(len(items), np.int64)),
            offsets=offsets,
            row=offsets_to_rows(offsets),
            item=item,
            score=score,
            sources=np.zeros(len(item), np.uint64),
            columns=dict(columns or {}),
            features=np.zeros((0, 0), np.float32) if features is None else np.asarray(features, np.float32),
            feature_names=tuple(feature_names),
        )
        batch.validate()
        return batch

    def __len__(self) -> int:
        return len(self.item)

    def __repr__(self) -> str:
        return f"Candidates({len(self)} in {self.n_rows} rows, {len(self.feature_names)} features)"

    @property
    def n_rows(self) -> int:
        """Number of requests, B."""
        return len(self.offsets) - 1

    @property
    def counts(self) -> IntArray:
        """Candidates of each row, (B,) int64."""
        return np.asarray(self.offsets[1:] - self.offsets[:-1])

    @cached_property
    def user(self) -> IntArray:
        """User code of each candidate's request, (N,) int64."""
        return self.requests.user.repeat(self.counts)

    @cached_property
    def now(self) -> FloatArray:
        """Request time of each candidate, (N,) float64 seconds."""
        return self.requests.now.repeat(self.counts)

    def column(self, name: str) -> AnyArray:
        """Return a column (N,); ConfigurationError with a hint if there is none of that name."""
        try:
            return self.columns[name]
        except KeyError:
            hint = did_you_mean(name, self.columns)
            raise ConfigurationError(f"found no candidate column {name!r}; {hint}") from None

    def feature(self, name: str) -> Float32Array:
        """Return a feature (N,); ConfigurationError with a hint if there is none of that name."""
        if name not in self.feature_names:
            hint = did_you_mean(name, self.feature_names)
            raise ConfigurationError(f"found no feature {name!r}; {hint}")
        return self.features[:, self.feature_names.index(name)]

    def compress(self, mask: BoolArray) -> Candidates:
        """Return the candidates where the mask (N,) is set."""
        index = mask.nonzero()[0]
        if len(index) == len(self.item):
            return self
        return self.take(index.searchsorted(self.offsets), index)

    def take(self, offsets: IntArray, index: IntArray) -> Candidates:
        """Return candidates by position, with the offsets (B + 1,) they get; rows must stay together."""
        return Candidates(
            requests=self.requests,
            offsets=offsets,
            row=offsets_to_rows(offsets),
            item=self.item.take(index),
            score=self.score.take(index),
            sources=self.sources.take(index),
            source_names=self.source_names,
            columns={name: column.take(index) for name, column in self.columns.items()},
            features=self.features.take(index, axis=0),
            feature_names=self.feature_names,
        )

    def take_rows(self, rows: IntArray) -> Candidates:
        """Return a batch of the given request rows only, in the given order."""
        offsets, index = gather_segments(self.offsets, rows)
        return with_fields(self.take(offsets, index), requests=self.requests.take(rows))

    def with_score(self, score: Float32Array) -> Candidates:
        """Return the same candidates with another score (N,)."""
        return with_fields(self, score=score)

    def with_columns(self, columns: Mapping[str, AnyArray]) -> Candidates:
        """Return the same candidates with columns added or replaced."""
        return with_fields(self, columns={**self.columns, **columns}) if columns else self

    def with_features(self, features: Float32Array, names: tuple[str, ...]) -> Candidates:
        """Return the same candidates with a feature block (N, F) appended."""
        if self.features.shape[1]:
            features = np.concatenate([self.features, features], axis=1)
        return with_fields(self, features=features, feature_names=self.feature_names + names)

    def append(self, other: Candidates) -> Candidates:
        """Return each row's own candidates followed by the other batch's candidates of that row.

        Columns that one side lacks are NaN there (0, False or None by dtype for columns that have no NaN).
        The features are this batch's own; those that the other lacks are NaN. Sources keep their names.
        """
        counts = self.counts + other.counts
        order = np.argsort(np.concatenate([self.row, other.row]), kind="stable")
        columns = {}
        for name in dict.fromkeys((*self.columns, *other.columns)):
            mine = self.columns[name] if name in self.columns else missing(len(self), other.columns[name])
            theirs = other.columns[name] if name in other.columns else missing(len(other), self.columns[name])
            columns[name] = np.concatenate([mine, theirs])[order]
        names, bits = _union_bits(self.source_names, other)
        features = other.features
        if other.feature_names != self.feature_names:
            features = np.full((len(other), len(self.feature_names)), np.nan, np.float32)
            for i, name in enumerate(self.feature_names):
                if name in other.feature_names:
                    features[:, i] = other.feature(name)
        offsets = counts_to_offsets(counts)
        return Candidates(
            requests=self.requests,
            offsets=offsets,
            row=offsets_to_rows(offsets),
            item=np.concatenate([self.item, other.item])[order],
            score=np.concatenate([self.score, other.score])[order],
            sources=np.concatenate([self.sources, bits])[order],
            source_names=names,
            columns=columns,
            features=np.concatenate([self.features, features])[order],
            feature_names=self.feature_names,
        )

    def validate(self) -> None:
        """Check every invariant; ContractError names the first that fails. Not called on the hot path."""
        n = len(self.item)
        if len(self.requests) != self.n_rows or self.offsets[0] != 0 or self.offsets[-1] != n:
            raise ContractError(
                f"found offsets for {self.n_rows} rows ending at {self.offsets[-1]}; "
                f"expected {len(self.requests)} rows ending at {n}"
            )
        if not np.array_equal(self.row, offsets_to_rows(self.offsets)):
            raise ContractError(
                "found row indices that disagree with the offsets; expected rows together, in order"
            )
        arrays: dict[str, AnyArray] = {
            "item": self.item,
            "score": self.score,
            "sources": self.sources,
            **self.columns,
        }
        for name, array in arrays.items():
            if array.shape != (n,):
                raise ContractError(
                    f"found shape {array.shape} in {name!r}; expected {(n,)}, one for each candidate"
                )
        if self.features.shape != (n, len(self.feature_names)):
            raise ContractError(
                f"found features of shape {self.features.shape}; expected {(n, len(self.feature_names))}"
            )
        if n and self.item.min() < 1:
            raise ContractError(f"found item code {self.item.min()}; expected codes of at least 1")
        pair = self.row * (self.item.max(initial=0) + 1) + self.item
        ordered = np.sort(pair)
        again = ordered[1:] == ordered[:-1]
        if again.any():
            first = np.flatnonzero(pair == ordered[1:][again][0])[0]
            raise ContractError(
                f"found item code {self.item[first]} twice in row {self.row[first]}; expected distinct items"
            )


def _union_bits(names: tuple[str, ...], other: Candidates) -> tuple[tuple[str, ...], UInt64Array]:
    """Return the source names of both batches, and the other's source bits in their order."""
    if other.source_names == names:
        return names, other.sources
    union = (*names, *(name for name in other.source_names if name not in names))
    bits = np.zeros(len(other), np.uint64)
    for bit, name in enumerate(other.source_names):
        bits |= ((other.sources >> np.uint64(bit)) & np.uint64(1)) << np.uint64(union.index(name))
    return union, bits


def missing(n: int, like: AnyArray) -> AnyArray:
    """Return n missing values of a column's dtype: NaN, None, or 0 where it has neither."""
    if like.dtype.kind == "f":
        return np.full(n, np.nan, like.dtype)
    return np.full(n, None, object) if like.dtype.kind == "O" else np.zeros(n, like.dtype)
