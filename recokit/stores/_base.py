"""What all feature stores share: options, checks of what is written, and the books."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Self

import numpy as np

from recokit._utils.options import require_rows, shown
from recokit._utils.params import get_params
from recokit.data.times import seconds
from recokit.errors import ConfigurationError, DataError, did_you_mean
from recokit.stores._rows import FeatureRows, Packing, as_texts
from recokit.typing import AnyArray, BoolArray, Float32Array, FloatArray

Fetched = tuple[Float32Array, FloatArray, BoolArray, str]


class Counts:
    """Running totals that threads add to."""

    def __init__(self, *names: str) -> None:
        self._totals = dict.fromkeys(names, 0)
        self._lock = threading.Lock()

    def add(self, **numbers: int) -> None:
        """Add to the totals."""
        with self._lock:
            for name, number in numbers.items():
                self._totals[name] += number

    def __call__(self) -> dict[str, int]:
        with self._lock:
            return dict(self._totals)


class Reopened:
    """Mixin: the repr shows the options, and a copy in another process is opened anew from them.

    Not ``Configured``: a pipeline clones what is configured before it fits, and a store must stay the one it was given.
    """

    def __repr__(self) -> str:
        options = [f"{name}={value!r}" for name, value in get_params(self).items()]
        return f"{type(self).__name__}({', '.join(options)})"

    def __reduce__(self) -> tuple[Callable[[], Any], tuple[()]]:
        return partial(type(self), **get_params(self)), ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of connections; the next call opens new ones."""


class Store(Reopened, ABC):
    """A feature store: a subclass fetches rows and puts rows, by the ids as text."""

    def __init__(self, names: Sequence[str], ttl: Any, defaults: float | Mapping[str, float]) -> None:
        self.names = _checked_names(names)
        self.ttl, self.defaults = ttl, defaults
        self._ttl = lifetime(ttl)
        self._defaults = _default_row(self.names, defaults)
        self._counts = Counts("reads", "rows", "missing", "expired", "failed")
        self._last: FeatureRows | None = None

    @abstractmethod
    def _fetch(self, ids: list[str], now: float, timeout: float) -> Fetched:
        """Return the rows as :class:`FeatureRows` has them, and why some are unread."""

    @abstractmethod
    def _put(self, ids: list[str], values: Float32Array, at: FloatArray) -> None:
        """Replace rows, all of them or none."""

    @property
    def counts(self) -> dict[str, int]:
        """Totals since the store was opened: ``reads``, ``rows``, and of these ``missing``, ``expired``, ``failed``."""
        return self._counts()

    @property
    def last(self) -> FeatureRows | None:
        """What the last read gave, by whichever thread; None before the first."""
        return self._last

    def read(
        self, ids: Sequence[Any] | AnyArray, *, now: float | FloatArray, timeout: float = np.inf
    ) -> FeatureRows:
        """Return the rows of some ids as of a time.

        Parameters
        ----------
        ids : sequence of int or str, (n,)
            External ids.
        now : float or ndarray of float64, shape (n,)
            Time of the request, or of each id; it decides what is expired.
        timeout : float, default inf
            Seconds that the call may take, besides the store's own limit.

        Returns
        -------
        FeatureRows
            Defaults where a row is missing, expired or could not be read. What the store does never raises.

        Raises
        ------
        DataError
            If ids are neither integers nor text.
        """
        texts, when = as_texts(ids), np.asarray(now, np.float64)
        if len(texts):
            stored, written_at, unread, error = self._fetch(texts, float(when.max()), timeout)
        else:
            stored, written_at = np.zeros((0, len(self.names)), np.float32), np.zeros(0)
            unread, error = np.zeros(0, np.bool_), ""
        rows = FeatureRows(
            names=self.names,
            stored=stored,
            written_at=written_at,
            unread=unread,
            now=when,
            ttl=self._ttl,
            defaults=self._defaults,
            error=error,
        )
        self._counts.add(
            reads=1, rows=len(rows), missing=rows.missing, expired=rows.expired, failed=rows.failed
        )
        self._last = rows
        return rows

    def write(
        self,
        ids: Sequence[Any] | AnyArray,
        values: AnyArray | Sequence[Sequence[float]] | Mapping[str, Any],
        *,
        at: float | FloatArray | Sequence[float],
    ) -> None:
        """Replace the rows of some ids.

        Parameters
        ----------
        ids : sequence of int or str, (n,)
            Distinct external ids.
        values : array (n, F), or mapping of str to array (n,)
            Rows in the order of the names, or a column for each name. NaN is a value that is not known.
        at : float or array of float64, shape (n,)
            When the values were true, seconds since 1970; their age counts from there.

        Raises
        ------
        DataError
            If ids repeat, a value is infinite, or shapes do not fit.
        FeatureUnavailable
            If the store did not take them.
        """
        texts = as_texts(ids)
        if len(set(texts)) != len(texts):
            last = {text: row for row, text in enumerate(texts)}
            rows = [row for row, text in enumerate(texts) if last[text] != row]
            raise DataError(f"found id {texts[rows[0]]!r} more than once; expected distinct ids", rows=rows)
        matrix = self._matrix(values, len(texts))
        if len(texts):
            self._put(texts, matrix, finite(at, len(texts), "at"))

    def erase(self, ids: Sequence[Any] | AnyArray) -> int:
        """Remove the rows of some ids, and return how many there were.

        Raises
        ------
        DataError
            If ids are neither integers nor text.
        FeatureUnavailable
            If the store did not remove them.
        """
        texts = list(dict.fromkeys(as_texts(ids)))
        self._last = None
        return self._erase(texts) if texts else 0

    @abstractmethod
    def _erase(self, ids: list[str]) -> int:
        """Remove rows, and return how many there were."""

    def _matrix(self, values: Any, n: int) -> Float32Array:
        if isinstance(values, Mapping):
            if set(values) != set(self.names):
                odd = sorted({*values} ^ {*self.names})[0]
                raise DataError(
                    f"found columns that differ in {odd!r}; expected one for each of {', '.join(self.names)}"
                )
            values = np.stack([np.asarray(values[name], np.float64) for name in self.names], axis=1)
        wide = np.asarray(values, np.float64)
        if wide.shape != (n, len(self.names)):
            raise DataError(f"found values of shape {wide.shape}; expected ({n}, {len(self.names)})")
        with np.errstate(over="ignore"):
            matrix = wide.astype(np.float32)
        rows = np.flatnonzero(np.isinf(matrix).any(axis=1))
        if len(rows):
            raise DataError("found a value that float32 cannot hold; expected finite ones or NaN", rows=rows)
        return matrix


class BytesStore(Store):
    """A store that keeps each row as bytes: a subclass gets blobs by key, b"" where it could not."""

    def __init__(self, names: Sequence[str], ttl: Any, defaults: float | Mapping[str, float]) -> None:
        super().__init__(names, ttl, defaults)
        self._packing = Packing(self.names)

    @abstractmethod
    def _blobs(self, ids: list[str], now: float, timeout: float) -> tuple[list[bytes | None], str]:
        """Return what stands at each id, and why some could not be read."""

    def _fetch(self, ids: list[str], now: float, timeout: float) -> Fetched:
        blobs, error = self._blobs(ids, now, timeout)
        values, written_at, unread = self._packing.unpack(blobs)
        if not error and unread.any():
            error = f"{int(unread.sum())} values that are no rows of these features"
        return values, written_at, unread, error


def lifetime(ttl: Any) -> float:
    """Return a time to live in seconds, ``inf`` for None; ConfigurationError unless it is a duration."""
    if ttl is None:
        return np.inf
    try:
        return seconds(ttl)
    except DataError as error:
        raise ConfigurationError(
            f"found ttl={shown(ttl)}; expected a duration such as '1D', or None"
        ) from error


def finite(values: Any, n: int, name: str) -> FloatArray:
    """Return one finite number for each of n, (n,) float64; DataError otherwise."""
    array = np.asarray(values, np.float64)
    if array.shape not in ((), (n,)):
        raise DataError(f"found {name} of shape {array.shape}; expected a number, or one for each of {n}")
    array = np.broadcast_to(array, (n,))
    require_rows(np.isfinite(array), array, name, "finite seconds since 1970")
    return array


def _checked_names(names: Sequence[str]) -> tuple[str, ...]:
    found = () if isinstance(names, str) else tuple(names)
    if not found or len(set(found)) != len(found) or not all(isinstance(n, str) and n for n in found):
        raise ConfigurationError(
            f"found names={names!r}; expected distinct names, such as ['clicks', 'price']"
        )
    return found


def _default_row(names: tuple[str, ...], defaults: float | Mapping[str, float]) -> Float32Array:
    given = defaults if isinstance(defaults, Mapping) else dict.fromkeys(names, defaults)
    for name, value in given.items():
        if name not in names:
            raise ConfigurationError(
                f"found a default for {name!r}, which is no feature; {did_you_mean(name, names)}"
            )
        if not isinstance(value, int | float | np.number):
            raise ConfigurationError(f"found the default {value!r} of {name!r}; expected a number, or NaN")
    return np.array([given.get(name, np.nan) for name in names], np.float32)
