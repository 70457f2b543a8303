"""Rankers alone: fitted on a matrix with labels and groups, scores for the rows of another."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from recokit._kernels.segments import counts_to_offsets, offsets_to_rows
from recokit._utils.options import shown
from recokit._utils.params import Configured
from recokit.data.candidates import Candidates
from recokit.data.frames import Frame
from recokit.data.ranking_data import RankingData
from recokit.data.requests import Requests
from recokit.data.schema import Schema
from recokit.data.table import Table
from recokit.data.vocabulary import Vocabulary
from recokit.errors import ConfigurationError, DataError
from recokit.protocols import bound, traits_of
from recokit.typing import AnyArray, Float32Array, IntArray


class AloneRanker(Configured):
    """A ranker that also fits on a matrix, and scores the rows of one. Abstract.

    ``fit(X, y, groups)`` learns from features (N, F), an array or a frame, labels (N,), and the request of each row:
    ids (N,), or the sizes of requests that stand one after the other; ``weight=`` is each row's, ``validation=`` the
    same three of rows held out, such as ``(X, y, groups)``. ``score(X, groups)`` returns a score for each row.
    """

    #: Names of the features of a matrix without names.
    _names_alone: tuple[str, ...] | None = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name, reading in (("fit", _fitting), ("score", _scoring)):
            if name in vars(cls):
                setattr(cls, name, reading(vars(cls)[name]))


def _fitting(fit: Callable[..., Any]) -> Callable[..., Any]:
    """Return a ranker's ``fit`` for labelled candidates, or for a matrix, labels and groups."""

    @functools.wraps(fit)
    def read(
        self: AloneRanker,
        data: Any,
        y: Any = None,
        groups: Any = None,
        *,
        weight: Any = None,
        columns: Mapping[str, Any] | None = None,
        validation: tuple[Any, ...] | None = None,
    ) -> Any:
        if isinstance(data, RankingData):
            return fit(self, data)
        rows = as_ranking_data(data, y, groups, weight=weight, columns=columns)
        held_out = None if validation is None else as_ranking_data(*validation)
        fitted = fit(self, replace(rows, validation=held_out))
        if isinstance(fitted, AloneRanker):
            fitted._names_alone = _named(data, None)[1]
        return fitted

    return read


def _scoring(score: Callable[..., Any]) -> Callable[..., Any]:
    """Return a ranker's ``score`` for candidates, or for a matrix and groups."""

    @functools.wraps(score)
    def read(self: AloneRanker, candidates: Any, groups: Any = None) -> Any:
        if isinstance(candidates, Candidates):
            return score(self, candidates)
        _require_features_alone(self)
        features, names = _named(candidates, self._names_alone or getattr(self, "features", None))
        order, offsets = _together(groups, len(features))
        schema = _schema(names)
        scores = np.empty(len(features), np.float32)
        scores[order] = score(bound(self, schema), _batch(features[order], names, offsets))
        return scores

    return read


def as_ranking_data(
    features: Any,
    labels: Any,
    groups: Any = None,
    *,
    weight: Any = None,
    columns: Mapping[str, Any] | None = None,
) -> RankingData:
    """Return a matrix, labels and groups as training rows, the rows of each group together.

    Raises
    ------
    DataError
        If they are not numbers, or not one label for each row.
    """
    matrix, names = _named(features, None)
    n = len(matrix)
    if labels is None:
        raise DataError("found no labels; expected one for each row; hint: fit(X, y, groups), or RankingData")
    order, offsets = _together(groups, n)
    nobody = np.zeros(n, np.int64)
    return RankingData(
        features=matrix[order],
        feature_names=names,
        label=_vector(labels, n, "y").astype(np.float32)[order],
        weight=(np.ones(n) if weight is None else _vector(weight, n, "weight")).astype(np.float32)[order],
        offsets=offsets,
        user=nobody,
        item=nobody,
        now=np.zeros(n),
        columns={name: np.asarray(column)[order] for name, column in (columns or {}).items()},
    )


def _named(features: Any, known: Sequence[str] | None) -> tuple[Float32Array, tuple[str, ...]]:
    """Return features (N, F) and their names: those of a frame, else the known ones, else x0, x1, ..."""
    own = getattr(features, "names", None)
    if hasattr(features, "toarray"):
        features = features.toarray()
    if not isinstance(features, np.ndarray | list | tuple):
        frame = Frame(features, aliases={})
        columns = [frame.number(name) for name in frame.names]
        matrix = np.stack(columns, axis=1) if columns else np.zeros((len(frame), 0))
        return matrix.astype(np.float32), frame.names
    matrix = np.asarray(features)
    if matrix.ndim != 2 or matrix.dtype.kind not in "biuf":
        raise DataError(
            f"found features of shape {matrix.shape} and type {matrix.dtype}; expected numbers, (rows, features); "
            "hint: a frame with a column for each feature"
        )
    if isinstance(features, np.ndarray) and own is not None and len(own) == matrix.shape[1]:
        names = tuple(own)
    else:
        names = tuple(f"x{place}" for place in range(matrix.shape[1])) if known is None else tuple(known)
    if len(names) != matrix.shape[1]:
        raise DataError(
            f"found {matrix.shape[1]} features without names; expected {len(names)}, {shown(list(names))}; "
            "hint: a frame with a column for each"
        )
    return np.asarray(matrix, np.float32), names


def _vector(values: Any, n: int, name: str) -> AnyArray:
    vector = np.asarray(values)
    if vector.shape != (n,) or vector.dtype.kind not in "biuf":
        raise DataError(
            f"found {name} of shape {vector.shape} and type {vector.dtype}; expected {n} numbers, one for each row"
        )
    return vector


def _together(groups: Any, n: int) -> tuple[IntArray, IntArray]:
    """Return an order in which each group's rows lie together, and the offsets of the groups in it."""
    if groups is None:
        return np.arange(n), np.array([0, n], np.int64)
    given = np.asarray(groups)
    if given.ndim == 1 and len(given) == n:
        _, code = np.unique(given, return_inverse=True)
        return np.argsort(code, kind="stable"), counts_to_offsets(np.bincount(code))
    if given.ndim == 1 and given.dtype.kind in "iu" and given.min(initial=0) >= 0 and given.sum() == n:
        return np.arange(n), counts_to_offsets(given.astype(np.int64))
    raise DataError(
        f"found groups of shape {given.shape}; expected the request of each of {n} rows, or sizes that add up to {n}"
    )


def _schema(names: tuple[str, ...]) -> Schema:
    nobody = Vocabulary(np.zeros(0, np.int64))
    return Schema(nobody, nobody, Table.empty(0), Table.empty(0), feature_names=names)


def _batch(features: Float32Array, names: tuple[str, ...], offsets: IntArray) -> Candidates:
    n = len(features)
    return Candidates(
        requests=Requests.build(np.zeros(len(offsets) - 1, np.int64)),
        offsets=offsets,
        row=offsets_to_rows(offsets),
        item=np.zeros(n, np.int64),
        score=np.full(n, np.nan, np.float32),
        sources=np.zeros(n, np.uint64),
        features=features,
        feature_names=names,
    )


def _require_features_alone(ranker: Any) -> None:
    wanted = [name for name in traits_of(ranker).requires if name.startswith(("item.", "user.", "context."))]
    if wanted:
        raise ConfigurationError(
            f"found {type(ranker).__name__}, which reads {wanted[0]}; expected one that reads features alone; "
            "hint: score(candidates), or a pipeline around it"
        )
