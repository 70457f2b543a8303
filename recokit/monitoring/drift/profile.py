"""ReferenceProfile: the distributions of features in training, in little space."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from recokit._kernels.segments import offsets_to_rows
from recokit._stats.stability import quantile_edges
from recokit.data import Candidates, Dataset, RankingData, Table
from recokit.data.times import DAY
from recokit.errors import DataError, did_you_mean
from recokit.monitoring.drift._clusters import Clusters
from recokit.typing import AnyArray, FloatArray, IntArray

#: Quantile bins of a number; with fewer rows there are fewer, so that each holds ten rows of the reference.
BINS = 10
_ROWS_PER_BIN = 10
#: Labels with a bin of their own; rarer ones share one.
MAX_LABELS = 50
#: Share of the variance that two modes must explain: a uniform distribution has 0.75, a normal one 0.64.
_TWO_MODES = 0.85
#: Each mode holds at least this share.
_MIN_MODE = 0.1


@dataclass(frozen=True, eq=False)
class Batch:
    """Columns of n rows, and which rows belong together (a request, a session, a user)."""

    numbers: Mapping[str, FloatArray]
    labels: Mapping[str, AnyArray]
    group: IntArray
    weight: FloatArray

    def __len__(self) -> int:
        return len(self.group)


def read_batch(
    data: Any,
    *,
    groups: AnyArray | None = None,
    weight: AnyArray | None = None,
    categorical: Collection[str] = (),
) -> Batch:
    """Return data as columns; DataError for what is none, and for columns of different lengths.

    Parameters
    ----------
    data : RankingData, Candidates, Dataset, or mapping of str to array
        Features with their requests as groups; the event log with columns of users and items joined, and users as
        groups; or columns: numbers, or labels as text. NaN and None are missing.
    groups : array_like, shape (n,), optional
        Rows with the same value belong together. Each row stands alone by default.
    weight : array_like, shape (n,), optional
        Weight of each row; RankingData has its own.
    categorical : collection of str
        Columns of numbers that are labels.
    """
    if isinstance(data, RankingData | Candidates):
        columns: dict[str, Any] = dict(zip(data.feature_names, np.asarray(data.features).T, strict=True))
        groups = offsets_to_rows(data.offsets) if groups is None else groups
        if isinstance(data, RankingData) and weight is None:
            weight = data.weight
    elif isinstance(data, Dataset):
        columns = _log_columns(data)
        groups = data.interactions.user if groups is None else groups
    elif isinstance(data, Mapping):
        columns = dict(data)
    else:
        raise DataError(
            f"found {type(data).__name__}; expected RankingData, Candidates, a Dataset or a mapping of columns"
        )
    for name in categorical:
        if name not in columns:
            raise DataError(f"found no column {name!r}; {did_you_mean(name, columns)}")
    arrays = {name: np.asarray(column) for name, column in columns.items()}
    n = len(next(iter(arrays.values()), ()))
    group = np.arange(n) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1].ravel()
    weights = np.ones(n) if weight is None else np.asarray(weight, np.float64)
    for name, array in {**arrays, "groups": group, "weight": weights}.items():
        if array.shape != (n,):
            raise DataError(f"found {name!r} of shape {array.shape}; expected {(n,)}, one for each row")
    numbers: dict[str, FloatArray] = {}
    labels: dict[str, AnyArray] = {}
    for name, array in arrays.items():
        if name in categorical or array.dtype.kind not in "biuf":
            labels[name] = _text(array)
        else:
            numbers[name] = array.astype(np.float64)
    return Batch(numbers, labels, group, weights)


def _text(values: AnyArray) -> AnyArray:
    """Return labels as text, missing ones as empty."""
    if values.dtype.kind == "f":
        return np.where(np.isnan(values), "", values.astype(str))
    if values.dtype.kind == "O":
        return np.array(
            ["" if value is None or value != value else str(value) for value in values.tolist()], str
        )
    return values.astype(str)


def _log_columns(data: Dataset) -> dict[str, AnyArray]:
    log = data.interactions
    columns: dict[str, AnyArray] = {"event": np.array(log.event_names, str)[log.event]}
    columns |= {"weight": log.weight, "hour": log.timestamp % DAY / 3600}
    if np.isfinite(log.value).any():
        columns["value"] = log.value
    for entity, table, code in (("user", data.users, log.user), ("item", data.items, log.item)):
        for name in (*table.numeric_names, *table.categorical):
            columns[f"{entity}.{name}"] = _table_column(table, name)[code]
    return columns


def _table_column(table: Table, name: str) -> AnyArray:
    if name not in table.categorical:
        return table.column(name)
    decoded = [str(label) for label in table.labels(name).ids.tolist()]
    return np.array(["", *decoded], str)[table.column(name)]


@dataclass(frozen=True, eq=False)
class NumberProfile:
    """A column of numbers, as it was in training.

    Parameters
    ----------
    edges : ndarray of float64, shape (B - 1,)
        Bins: bin ``b`` holds values above ``edges[b - 1]`` and up to ``edges[b]``.
    shares : ndarray of float64, shape (B,)
        Share of each bin among the known values.
    n : float
        Independent rows: fewer than rows where rows of one group are alike, or weights differ.
    mean, std : float
        Of the known values; NaN where none is known.
    missing : float
        Share of missing values.
    top : float
        Share of the most frequent value.
    split : float
        Between the two modes of a bimodal column; NaN where it has one.
    low : float
        Share of the lower mode.
    alike : float
        How alike the rows of one group are, 0 to 1.
    """

    edges: FloatArray
    shares: FloatArray
    n: float
    mean: float
    std: float
    missing: float
    top: float
    split: float
    low: float
    alike: float = 0.0

    @property
    def constant(self) -> bool:
        """Whether all known values were the same, which is the mean then."""
        return self.std == 0.0 and self.top >= 1.0 - 1e-9


@dataclass(frozen=True, eq=False)
class CategoryProfile:
    """A column of labels, as it was in training.

    Parameters
    ----------
    labels : tuple of str
        All labels, the most frequent first; the first 50 have a bin of their own.
    shares : ndarray of float64, shape (B,)
        Share of each bin among the known values; the last is of all rarer labels.
    n : float
        Independent rows.
    missing : float
        Share of missing values.
    once : float
        Labels of one group only: by Good and Turing, as many are to be expected new in as many rows again.
    alike : float
        How alike the rows of one group are, 0 to 1.
    """

    labels: tuple[str, ...]
    shares: FloatArray
    n: float
    missing: float
    once: float
    alike: float = 0.0


@dataclass(frozen=True, eq=False)
class ReferenceProfile:
    """Distributions of features in training; saved with the model by :func:`~recokit.data.save_state`.

    Parameters
    ----------
    numbers : mapping of str to NumberProfile
    labels : mapping of str to CategoryProfile
    rows : int
        Rows it was made from.

    Examples
    --------
    >>> profile = ReferenceProfile.of({"price": np.arange(1000.0), "category": ["a", "b"] * 500})
    >>> profile
    ReferenceProfile(1000 rows, 2 columns)
    >>> round(profile.numbers["price"].std), profile.labels["category"].labels
    (289, ('a', 'b'))
    """

    numbers: Mapping[str, NumberProfile]
    labels: Mapping[str, CategoryProfile]
    rows: int = field(default=0)

    @classmethod
    def of(
        cls,
        data: Any,
        *,
        groups: AnyArray | None = None,
        weight: AnyArray | None = None,
        categorical: Collection[str] = (),
    ) -> ReferenceProfile:
        """Make the profile of training data; parameters as for :func:`read_batch`.

        Raises
        ------
        DataError
            If there is no row or no column, or lengths differ.
        """
        batch = read_batch(data, groups=groups, weight=weight, categorical=categorical)
        if not len(batch):
            raise DataError("found no rows or no columns; expected what the model was trained on")
        return cls(
            {name: _number(values, batch) for name, values in batch.numbers.items()},
            {name: _category(values, batch) for name, values in batch.labels.items()},
            len(batch),
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return (*self.numbers, *self.labels)

    def __repr__(self) -> str:
        return f"ReferenceProfile({self.rows} rows, {len(self.names)} columns)"


def _number(values: FloatArray, batch: Batch) -> NumberProfile:
    known = np.isfinite(values) & (batch.weight > 0)
    value, weight = values[known], batch.weight[known]
    total = weight.sum()
    missing = 1.0 - total / max(batch.weight.sum(), 1e-300)
    if not len(value):
        clusters = Clusters.of(np.zeros(len(values), np.int64), batch.group)
        return NumberProfile(
            edges=np.zeros(0),
            shares=np.ones(1),
            n=clusters.independent(batch.weight),
            mean=np.nan,
            std=np.nan,
            missing=float(missing),
            top=0.0,
            split=np.nan,
            low=np.nan,
        )
    order = np.argsort(value, kind="stable")
    ordered, cumulative = value[order], np.cumsum(weight[order])
    edges = quantile_edges(value, weight, int(np.clip(len(value) // _ROWS_PER_BIN, 2, BINS)))
    edges = edges[edges < ordered[-1]]  # above the largest value lies no bin
    bins = np.searchsorted(edges, value, side="left")
    shares = np.bincount(bins, weights=weight, minlength=len(edges) + 1) / total
    mean = float((weight * value).sum() / total)
    std = float(np.sqrt((weight * (value - mean) ** 2).sum() / total))
    starts = np.flatnonzero(np.concatenate([[True], np.diff(ordered) > 0]))
    by_value = np.add.reduceat(weight[order], starts)
    if len(starts) == 1:
        std = 0.0  # rounding must not make a constant vary
    split, low = _modes(ordered, cumulative)
    code = np.full(len(values), len(shares))
    code[known] = bins
    clusters = Clusters.of(code, batch.group)
    return NumberProfile(
        edges=edges,
        shares=shares,
        n=clusters.independent(batch.weight),
        mean=mean,
        std=std,
        missing=float(missing),
        top=float(by_value.max() / total),
        split=split,
        low=low,
        alike=clusters.alike,
    )


def _modes(ordered: FloatArray, cumulative: FloatArray) -> tuple[float, float]:
    """Return where two modes part and the lower one's share; NaN unless they explain most of the variance."""
    weight, total = np.diff(cumulative, prepend=0.0), cumulative[-1]
    sums = np.cumsum(weight * ordered)
    mean = sums[-1] / total
    variance = (weight * (ordered - mean) ** 2).sum() / total
    cuts = np.flatnonzero(np.diff(ordered) > 0)
    share = cumulative[cuts] / total
    large = (share >= _MIN_MODE) & (share <= 1 - _MIN_MODE)
    cuts, share = cuts[large], share[large]
    if not len(cuts) or variance <= 0:
        return float("nan"), float("nan")
    lower = sums[cuts] / cumulative[cuts]
    upper = (sums[-1] - sums[cuts]) / (total - cumulative[cuts])
    between = share * (1 - share) * (upper - lower) ** 2
    best = int(np.argmax(between))
    if between[best] < _TWO_MODES * variance:
        return float("nan"), float("nan")
    at = cuts[best]
    return float((ordered[at] + ordered[at + 1]) / 2), float(share[best])


def _category(values: AnyArray, batch: Batch) -> CategoryProfile:
    known = (values != "") & (batch.weight > 0)
    total = batch.weight[known].sum()
    missing = float(1.0 - total / max(batch.weight.sum(), 1e-300))
    distinct, code = np.unique(values[known], return_inverse=True)
    counts = np.bincount(code, weights=batch.weight[known], minlength=len(distinct))
    order = np.argsort(-counts, kind="stable")
    shares = np.zeros(min(len(distinct), MAX_LABELS) + 1)
    shares[:-1] = counts[order[:MAX_LABELS]]
    shares[-1] = counts[order[MAX_LABELS:]].sum()
    rank = np.empty(len(distinct), np.int64)
    rank[order] = np.arange(len(distinct))
    bins = np.full(len(values), -1)
    bins[known] = np.minimum(rank[code], MAX_LABELS)
    seen = np.unique(np.stack([code, batch.group[known]]), axis=1)[0]
    once = float((np.bincount(seen, minlength=len(distinct)) == 1).sum())
    clusters = Clusters.of(bins, batch.group)
    return CategoryProfile(
        labels=tuple(str(label) for label in distinct[order].tolist()),
        shares=shares / max(total, 1e-300),
        n=clusters.independent(batch.weight),
        missing=missing,
        once=once,
        alike=clusters.alike,
    )
