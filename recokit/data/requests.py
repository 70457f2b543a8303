"""Requests: what is asked. One online request is a batch of one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, overload

import numpy as np

from recokit._kernels.hashing import row_seeds
from recokit._kernels.segments import any_true, rows_to_offsets
from recokit._utils.copies import frozen, with_fields
from recokit._utils.moved import moved_attribute
from recokit._utils.options import require_rows, shown
from recokit.data.live import Live
from recokit.data.ragged import Ragged
from recokit.errors import ConfigurationError, DataError, did_you_mean
from recokit.typing import AnyArray, BoolArray, FloatArray, IntArray, UInt64Array

T = TypeVar("T")


def _forever() -> float:
    return math.inf


def _unreported(rows: IntArray, reason: str) -> None:
    pass


def _report_taken(
    report: Callable[[IntArray, str], None], taken: IntArray, rows: IntArray, reason: str
) -> None:
    report(taken[rows], reason)


@frozen
class Requests:
    """A batch of B requests.

    Parameters
    ----------
    user : ndarray of int64, shape (B,)
        User codes, 0 for unknown or anonymous users.
    k : ndarray of int64, shape (B,)
        List length wanted, at least 1.
    now : ndarray of float64, shape (B,)
        Request time, seconds since 1970. An offline batch may mix times.
    seed : ndarray of uint64, shape (B,)
        One derived seed for each row.
    columns : mapping of str to ndarray (B,)
        Context, such as ``country`` or ``device``.
    ragged : mapping of str to Ragged
        Lists of item codes: ``history``, ``owned``, ``session``, ``items`` (rank only these), ``exclude``.
    from_caller : mapping of str to ndarray of bool (B,)
        For each ragged field that the caller gave, the rows it was given for; a hydrator leaves those rows
        alone.
    columns_from_caller : mapping of str to ndarray of bool (B,)
        For each context column that the caller gave for some rows only, these; what is declared or hydrated fills the
        others.
    effort : float, default 1.0
        Share of the usual work, from above 0: under load a service asks for less, and limits shrink with it.
    remaining : callable
        Seconds left for what runs, ``inf`` without a budget. The only clock that a stage may read.
    report_degraded : callable
        ``report_degraded(rows, reason)``: for a stage that answered some rows with less than it should have, and yet
        did not fail. The runner marks these rows ``DEGRADED``.
    pinned : mapping of int to (int, object)
        Versions and values of the :class:`Live` objects pinned for this run, by ``id``; read with :meth:`read`.
    user_ids : ndarray of object, shape (B,), optional
        External ids as the caller gave them, None for anonymous users: those of newcomers too, whose code is 0.
    """

    user: IntArray
    k: IntArray
    now: FloatArray
    seed: UInt64Array
    columns: Mapping[str, AnyArray] = field(default_factory=dict)
    ragged: Mapping[str, Ragged] = field(default_factory=dict)
    from_caller: Mapping[str, BoolArray] = field(default_factory=dict)
    columns_from_caller: Mapping[str, BoolArray] = field(default_factory=dict)
    effort: float = 1.0
    remaining: Callable[[], float] = _forever
    report_degraded: Callable[[IntArray, str], None] = _unreported
    pinned: Mapping[int, tuple[int, Any]] = field(default_factory=dict)
    user_ids: AnyArray | None = None

    if not TYPE_CHECKING:
        given, degraded = moved_attribute("from_caller"), moved_attribute("report_degraded")

    @classmethod
    def build(
        cls,
        user: IntArray,
        *,
        k: int | IntArray = 10,
        now: float | FloatArray = 0.0,
        seed: int | IntArray = 0,
        columns: Mapping[str, AnyArray] | None = None,
        ragged: Mapping[str, Ragged] | None = None,
    ) -> Requests:
        """Build a batch from user codes; scalars are repeated for every row.

        A seed for each row, as for the request alone, is an array (B,).

        Raises
        ------
        DataError
            If k is below 1, a time is not finite, or a column's length is not B.

        Examples
        --------
        >>> Requests.build(np.array([3, 0]), k=5, now=1.5e9).k.tolist()
        [5, 5]
        """
        user = np.asarray(user, np.int64)
        if user.ndim != 1 or any_true(user < 0):
            raise DataError(
                f"found user codes of shape {user.shape} from {user.min(initial=0)}; expected (B,) from 0"
            )
        ragged = dict(ragged or {})
        requests = cls(
            user=user,
            k=_whole(_per_row(k, len(user), "k"), "k"),
            now=_per_row(now, len(user), "now").astype(np.float64),
            seed=row_seeds(seed, user),
            columns={name: np.asarray(column) for name, column in (columns or {}).items()},
            ragged=ragged,
            from_caller={name: np.ones(len(user), np.bool_) for name in ragged},
        )
        requests.validate()
        return requests

    def validate(self) -> None:
        """Check every invariant; raise DataError with the value found."""
        if any_true(self.k < 1):
            raise DataError(f"found k={int(self.k.min())}; expected at least 1")
        finite = np.isfinite(self.now)
        if any_true(~finite):
            require_rows(finite, self.now, "now", "finite seconds since 1970")
        parts: dict[str, AnyArray | Ragged] = {**self.columns, **self.ragged}
        for name, part in parts.items():
            if len(part) != len(self):
                raise DataError(
                    f"found {len(part)} rows in {name!r}; expected {len(self)}, one for each user"
                )

    def __len__(self) -> int:
        return len(self.user)

    def __repr__(self) -> str:
        known = ", ".join((*self.columns, *self.ragged))
        return f"Requests({len(self)}{f', with {known}' if known else ''})"

    def take(self, rows: IntArray) -> Requests:
        """Return the given rows, in the given order."""
        return with_fields(
            self,
            user=self.user[rows],
            k=self.k[rows],
            now=self.now[rows],
            seed=self.seed[rows],
            columns={name: column[rows] for name, column in self.columns.items()},
            ragged={name: ragged.take(rows) for name, ragged in self.ragged.items()},
            from_caller={name: mask[rows] for name, mask in self.from_caller.items()},
            columns_from_caller={name: mask[rows] for name, mask in self.columns_from_caller.items()},
            report_degraded=partial(_report_taken, self.report_degraded, rows),
            user_ids=None if self.user_ids is None else self.user_ids[rows],
        )

    def column(self, name: str) -> AnyArray:
        """Return a context column (B,); ConfigurationError with a hint if nothing provides it."""
        try:
            return self.columns[name]
        except KeyError:
            hint = did_you_mean(name, self.columns)
            raise ConfigurationError(f"found no context column {name!r} in the requests; {hint}") from None

    def signals(self, name: str = "history") -> Ragged:
        """Return a list of events without those that are no signal: weight 0 says that an item was seen, not taken.

        A missing weight counts as 1, as :attr:`Interactions.signals` has it for the log.
        """
        events = self.lists(name)
        weight = events.columns.get("weight")
        if weight is None or not (weight <= 0).any():
            return events
        kept = ~(weight <= 0)
        columns = {column: values[kept] for column, values in events.columns.items()}
        return Ragged(rows_to_offsets(events.rows[kept], len(events)), events.values[kept], columns)

    def lists(self, name: str) -> Ragged:
        """Return a ragged field, empty lists where nothing provides it."""
        return self.ragged[name] if name in self.ragged else Ragged.empty(len(self))

    def hydrated(self, columns: Mapping[str, AnyArray], ragged: Mapping[str, Ragged]) -> Requests:
        """Return requests with a hydrator's columns and lists; rows that the caller gave are kept."""
        merged = dict(self.ragged)
        for name, lists in ragged.items():
            if name in self.from_caller:
                lists = lists.merge(self.ragged[name], self.from_caller[name])
            merged[name] = lists
        return with_fields(self.with_columns(columns), ragged=merged)

    def with_columns(self, columns: Mapping[str, AnyArray]) -> Requests:
        """Return requests with context columns where the caller gave none, row by row."""
        joined = {**columns, **self.columns}
        for name in columns.keys() & self.columns_from_caller.keys():
            given = self.columns_from_caller[name]
            joined[name] = known_column(np.where(given, self.columns[name].astype(object), columns[name]))
        return with_fields(self, columns=joined)

    def shrunk(self, limit: int) -> int:
        """Return a limit as this effort has it, at least 1."""
        return limit if self.effort >= 1.0 else max(math.ceil(self.effort * limit), 1)

    @overload
    def read(self, value: Live[T]) -> T: ...
    @overload
    def read(self, value: T) -> T: ...
    def read(self, value: Any) -> Any:
        """Return a Live value as pinned for this run; anything else as it is."""
        if not isinstance(value, Live):
            return value
        return self.pinned.get(id(value), value.pin())[1]


def known_column(column: AnyArray) -> AnyArray:
    """Return a column of objects as one of flags, numbers or text, where it holds nothing else and no None."""
    values = column.tolist()
    kinds = {type(value) for value in values}
    return np.array(values) if len(kinds) == 1 and kinds <= {bool, int, float, str} else column


def _per_row(value: Any, n_rows: int, name: str) -> AnyArray:
    array = np.asarray(value)
    if array.dtype.kind not in "iuf" or array.shape not in ((), (n_rows,)):
        raise DataError(
            f"found {name}={shown(array.tolist())}; expected a number, or one for each of {n_rows} users"
        )
    return array if array.ndim else array.repeat(n_rows)


def _whole(values: AnyArray, name: str) -> IntArray:
    if values.dtype == np.int64:
        return values.copy()
    require_rows(np.isfinite(values) & (values == np.floor(values)), values, name, "a whole number")
    return values.astype(np.int64)


@frozen
class Hydrated:
    """What a hydrator adds to the requests.

    Parameters
    ----------
    columns : mapping of str to ndarray (B,)
        Context columns; a column that the caller gave wins.
    ragged : mapping of str to Ragged
        Lists for each row; rows that the caller gave win.
    """

    columns: Mapping[str, AnyArray] = field(default_factory=dict)
    ragged: Mapping[str, Ragged] = field(default_factory=dict)
