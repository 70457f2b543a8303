"""Feature blocks: columns by name, computed at the coarsest grain that they vary at."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar, cast

import numpy as np

from recokit.compose.alone.features import AloneFeatures
from recokit.data import Candidates, Dataset, Ragged, seconds
from recokit.data.events.index import EventIndex
from recokit.data.events.keyed import AsOf, Keyspace, QueryTimes
from recokit.data.events.layered import LayeredAsOf, LayeredIndex, LayeredQueryTimes
from recokit.data.times import Duration
from recokit.errors import ConfigurationError, DataError, NotFittedError
from recokit.features.table import Feature, FeatureTable
from recokit.typing import AnyArray, Float32Array, FloatArray, IntArray

#: Defaults of the blocks; Standard takes windows from the span of the data.
WINDOWS = ("1D", "7D", "30D")
HALF_LIFE = "14D"

T = TypeVar("T")
Index = EventIndex | LayeredIndex
View = AsOf | LayeredAsOf


def bound_copy(stage: T, **attributes: Any) -> T:
    """Return a shallow copy with some attributes set."""
    bound = copy.copy(stage)
    vars(bound).update(attributes)
    return bound


def window_label(window: Duration) -> str:
    """Return how feature names call a duration: in the largest unit that divides it.

    Examples
    --------
    >>> window_label("1W"), window_label(5400)
    ('7d', '90min')
    """
    value = seconds(window)
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if value % size == 0:
            return f"{value / size:.0f}{unit}"
    return f"{value:g}s"


def durations(*windows: Duration) -> tuple[float, ...]:
    """Return durations in seconds, checked at construction.

    Raises
    ------
    ConfigurationError
        If one is no duration, or two are the same.
    """
    try:
        values = tuple(seconds(window) for window in windows)
    except DataError as error:
        raise ConfigurationError(str(error)) from error
    if len(set(values)) != len(values):
        raise ConfigurationError(f"found the windows {windows!r}; expected distinct durations")
    return values


def counted(windows: Sequence[Duration]) -> dict[str, str]:
    """Return the name and the meaning of a count in each window."""
    labels = [window_label(window) for window in windows]
    return {f"count_{label}": f"events in the last {label}" for label in labels}


def prefixed(entity: str, event: str | None, meanings: Mapping[str, str]) -> dict[str, str]:
    """Return features named by the entity, and the event type if there is one, with their meanings."""
    words = entity.replace("_", " and ")
    only = "" if event is None else f" (events of type {event} only)"
    texts = (f"{words}: {meaning}{only}" for meaning in meanings.values())
    return dict(zip(prefixed_names(entity, event, *meanings), texts, strict=True))


def prefixed_names(entity: str, event: str | None, *names: str) -> tuple[str, ...]:
    """Return names of features that begin with the entity, and the event type if there is one."""
    prefix = entity if event is None else f"{entity}_{event}"
    return tuple(f"{prefix}_{name}" for name in names)


def ratio(part: AnyArray, whole: AnyArray) -> FloatArray:
    """Return part / whole, NaN where the whole is not above 0."""
    ok = np.asarray(whole) > 0
    return np.where(ok, part / np.where(ok, whole, 1.0), np.nan)


class Items:
    """The distinct (item, request time) pairs of a batch.

    Parameters
    ----------
    candidates : Candidates

    Attributes
    ----------
    code : ndarray of int64, shape (U,)
        Item codes.
    moment : ndarray of int64, shape (U,)
        A request row with that time.
    inverse : ndarray of int64, shape (N,)
        Which pair each candidate is.
    """

    def __init__(self, candidates: Candidates) -> None:
        item, requests = candidates.item, candidates.requests
        if candidates.n_rows == 1:
            # Distinct already; in order, the searches that follow share cache lines.
            order = np.argsort(item)
            self.code, self.moment = item[order], candidates.row
            self.inverse = np.empty(len(item), np.int64)
            self.inverse[order] = np.arange(len(item))
            return
        _, first, moment = np.unique(requests.now, return_index=True, return_inverse=True)
        width = int(item.max(initial=0)) + 1
        key = item if len(first) == 1 else moment[candidates.row] * width + item
        distinct, self.inverse = _distinct(key, len(first) * width)
        self.code, self.moment = distinct % width, first[distinct // width]


def _distinct(key: IntArray, size: int) -> tuple[IntArray, IntArray]:
    """Return distinct keys of 0..size-1, ascending, and which of them each key is."""
    if size > 8 * len(key):
        distinct, inverse = np.unique(key, return_inverse=True)
        return distinct, inverse
    seen = np.zeros(size, np.bool_)
    seen[key] = True
    place = np.cumsum(seen) - 1
    return np.flatnonzero(seen), place[key]


class Context:
    """One batch, and the answers of the event index about it: each is looked up once.

    Parameters
    ----------
    candidates : Candidates
    index : EventIndex, LayeredIndex or None
        None for blocks that need none.
    """

    def __init__(self, candidates: Candidates, index: Index | None) -> None:
        self.candidates = candidates
        self._index = index
        self._views: dict[tuple[str, ...], View] = {}
        self._rates: dict[tuple[str, str, float | None], FloatArray] = {}
        self._cells: dict[str, tuple[IntArray, IntArray, IntArray]] = {}

    @cached_property
    def index(self) -> Index:
        """The event index."""
        if self._index is None:
            raise NotFittedError("found a block of event features before fit; hint: call fit(dataset) first")
        return self._index

    @cached_property
    def items(self) -> Items:
        """Distinct (item, request time) pairs."""
        return Items(self.candidates)

    @cached_property
    def when(self) -> QueryTimes | LayeredQueryTimes:
        """Request times, (B,)."""
        return self.index.query_times(self.candidates.requests.now)

    @cached_property
    def when_of_candidates(self) -> QueryTimes | LayeredQueryTimes:
        """Request time of each candidate, (N,)."""
        return self.when.of(self.candidates.row)

    @cached_property
    def when_of_items(self) -> QueryTimes | LayeredQueryTimes:
        """Request time of each distinct item, (U,)."""
        return self.when.of(self.items.moment)

    def users(self, name: str) -> View:
        """Return the events of each request's user, (B,)."""
        return self._view(("user", name), self.when, self.candidates.requests.user)

    def of_items(self, name: str, column: str = "") -> View:
        """Return the events of each distinct item, or of its label in a column, (U,)."""
        if column in self.index.sets:
            labels, of = _labels_of(self.index.sets[column], self.items.code)
            view = self._view(("item", name), self.when.of(self.items.moment[of]), labels)
            return cast("View", Averaged(view, of, len(self.items.code)))
        code = self.index.codes[column][self.items.code] if column else self.items.code
        return self._view(("item", name), self.when_of_items, code)

    def all_events(self, name: str) -> View:
        """Return all events before each request, (B,)."""
        return self._view(("all", name), self.when, np.ones_like(self.candidates.requests.user))

    def rate(self, part: str, whole: str, window: float | None) -> FloatArray:
        """Return how many events of one keyspace there were for each of another before each request, (B,)."""
        key = part, whole, window
        if key not in self._rates:
            counts = (self.all_events(name).count(window) for name in (part, whole))
            self._rates[key] = ratio(*counts)
        return self._rates[key]

    def pairs(self, name: str) -> View:
        """Return the events of each candidate's user with its item, (N,)."""
        candidates = self.candidates
        return self._view(("pair", name), self.when_of_candidates, candidates.user, candidates.item)

    def cells(self, name: str, column: str) -> tuple[View, IntArray]:
        """Return the events of users with the labels of their candidates, and the request row of each.

        There is one for each of the C distinct (row, label) pairs.
        """
        row, label, _ = self._cell(column)
        user = self.candidates.requests.user[row]
        return self._view(("cell", name), self.when.of(row), user, label), row

    def with_users(self, name: str, code: IntArray) -> View:
        """Return the events of each candidate's user with a code for each candidate, (N,)."""
        return self._view(("own", name), self.when_of_candidates, self.candidates.user, code)

    def by_row(self, *values: AnyArray) -> Float32Array:
        """Spread columns of requests (B,) over candidates (N,)."""
        return _spread(values, self.candidates.row)

    def by_item(self, *values: AnyArray) -> Float32Array:
        """Spread columns of distinct items (U,) over candidates (N,)."""
        return _spread(values, self.items.inverse)

    def by_cell(self, column: str, *values: AnyArray) -> Float32Array:
        """Spread columns of distinct (row, label) pairs (C,) over candidates (N,); the mean of several labels."""
        spread = _spread(values, self._cell(column)[2])
        if column not in self.index.sets:
            return spread
        _, of = _labels_of(self.index.sets[column], self.candidates.item)
        return np.array([_mean(one, of, len(self.candidates)) for one in spread], np.float32)

    def _view(self, key: tuple[str, ...], when: Any, first: IntArray, second: IntArray | None = None) -> View:
        if key not in self._views:
            self._views[key] = self.index[key[1]].as_of(when, first, second)
        return self._views[key]

    def _cell(self, column: str) -> tuple[IntArray, IntArray, IntArray]:
        if column not in self._cells:
            codes, row = self.index.codes[column][self.candidates.item], self.candidates.row
            if column in self.index.sets:
                codes, of = _labels_of(self.index.sets[column], self.candidates.item)
                row = row[of]
            width = int(codes.max(initial=0)) + 1
            key = row * width + codes
            distinct, inverse = _distinct(key, self.candidates.n_rows * width)
            self._cells[column] = distinct // width, distinct % width, inverse
        return self._cells[column]


class Averaged:
    """Answers about the labels of items that have several, as the mean over each item's labels.

    Parameters
    ----------
    view : View
        Of the labels of all items, one after the other, (M,).
    of : ndarray of int64, shape (M,)
        Whose label each is.
    n : int
        Items.
    """

    def __init__(self, view: View, of: IntArray, n: int) -> None:
        self._view, self._of, self._n = view, of, n

    def __getattr__(self, name: str) -> Callable[..., Any]:
        answer = getattr(self._view, name)

        def averaged(*args: Any) -> Any:
            found = answer(*args)
            if isinstance(found, np.ndarray):
                return _mean(found, self._of, self._n)
            return [_mean(one, self._of, self._n) for one in found]

        return averaged


def _labels_of(sets: Ragged, item: IntArray) -> tuple[IntArray, IntArray]:
    """Return the labels of items one after the other, and whose each is; 0 for an item without any."""
    labels = sets.take(item)
    counts = np.maximum(labels.counts, 1)
    of = np.repeat(np.arange(len(item)), counts)
    values = np.zeros(len(of), np.int64)
    values[(labels.counts > 0)[of]] = labels.values
    return values, of


def _mean(values: AnyArray, of: IntArray, n: int) -> FloatArray:
    """Return the mean of the known values of each item, NaN where none is known, (n,)."""
    known = ~np.isnan(values)
    total = np.bincount(of[known], values[known], minlength=n)
    return ratio(total, np.bincount(of[known], minlength=n))


def _spread(columns: Sequence[AnyArray], place: IntArray) -> Float32Array:
    """Return the columns (F, M) at places (N,) of them, (F, N)."""
    # Rows of a transposed copy: each candidate's values lie together, as in the matrix that they go into.
    spread: Float32Array = np.array(columns, np.float32).T[place].T
    return spread


class Block(AloneFeatures, ABC):
    """A featurizer whose columns go into a matrix that it may share with others.

    A subclass has ``names`` and returns that many columns (N,) in that order from ``_columns``.
    """

    as_of = True

    #: Names of the features; empty until they are known.
    names: tuple[str, ...] = ()

    #: Kind of the features.
    family = ""

    #: Meaning of each feature, by name.
    meanings: Mapping[str, str] = {}

    #: Names of those that grow with the length of the log, so that a ranker meets larger values than it learned from.
    cumulative: tuple[str, ...] = ()

    #: Until when the data of the features is known, seconds since 1970.
    updated_at_: float = np.inf

    @abstractmethod
    def _columns(self, context: Context) -> Sequence[AnyArray] | AnyArray:
        """Return the columns, in the order of the names."""

    def _context(self, candidates: Candidates) -> Context:
        return Context(candidates, None)

    def table(self) -> FeatureTable:
        """Return the meaning of each feature."""
        return FeatureTable([Feature(name, self.family, self.meanings[name]) for name in self.names])

    def freshness(self) -> dict[str, float]:
        """Return until when the data of each feature is known, in seconds since 1970; ``inf`` if always current."""
        return dict.fromkeys(self.names, self.updated_at_)

    def featurize(self, candidates: Candidates) -> Float32Array:
        """Return the features as of each request's own time.

        Parameters
        ----------
        candidates : Candidates

        Returns
        -------
        ndarray of float32, shape (N, F)
            NaN where a feature has no value, such as the recency of what never happened.

        Raises
        ------
        NotFittedError
            If the block learns from data and ``fit`` was not called.
        """
        columns = np.asarray(self._columns(self._context(candidates)), np.float32)
        return np.ascontiguousarray(columns.reshape(len(self.names), len(candidates)).T)


class Filling(Block):
    """A block that writes its columns straight into a wider matrix. A subclass has ``featurize_into``."""

    @abstractmethod
    def featurize_into(self, candidates: Candidates, out: Float32Array, start: int) -> None:
        """Write the features of N candidates into a C-contiguous matrix (N, W), from column ``start`` on."""

    def featurize(self, candidates: Candidates) -> Float32Array:
        """Return the features, (N, F) float32."""
        out = np.empty((len(candidates.item), len(self.names)), np.float32)
        self.featurize_into(candidates, out, 0)
        return out

    def _columns(self, context: Context) -> Sequence[AnyArray] | AnyArray:
        return self.featurize(context.candidates).T


class IndexBlock(Block):
    """A block that reads an event index."""

    #: Only events of this type; None for all.
    event: str | None = None

    #: Keyspaces of the event index that the block reads.
    keyspaces: tuple[Keyspace, ...] = ()

    def fit(self, dataset: Dataset) -> IndexBlock:
        """Index the dataset's events. Later events do not leak: each request sees those before its own time only.

        Raises
        ------
        ConfigurationError
            For an event type or column that the dataset lacks.
        """
        return self._adopt(EventIndex.build(dataset, self.keyspaces))

    def _adopt(self, index: EventIndex) -> IndexBlock:
        self.index_ = index
        self.updated_at_ = index.until
        return self

    def _context(self, candidates: Candidates) -> Context:
        return Context(candidates, self._fitted_index())

    def _fitted_index(self) -> EventIndex:
        index: EventIndex = self.index_
        return index

    def _name(self, entity: str, meanings: Mapping[str, str], *, growing: Sequence[str]) -> None:
        """Name the features by the entity and the event type, some of which grow with the length of the log."""
        self.meanings = prefixed(entity, self.event, meanings)
        self.names = tuple(self.meanings)
        self.cumulative = prefixed_names(entity, self.event, *growing)


@dataclass(eq=False, repr=False, kw_only=True)
class WindowedBlock(IndexBlock):
    """A block that counts events in windows."""

    windows: Sequence[Duration] = WINDOWS
    event: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._widths = durations(*self.windows)
