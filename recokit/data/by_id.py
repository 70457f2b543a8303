"""By id: batches and values as a user's own code reads them, in external ids."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from recokit.data.candidates import Candidates
from recokit.data.ragged import Ragged
from recokit.data.requests import Requests
from recokit.data.schema import Schema
from recokit.data.vocabulary import Vocabulary
from recokit.errors import DataError, DataWarning
from recokit.typing import AnyArray, Float32Array, FloatArray, IntArray, UInt64Array


@dataclass(frozen=True, eq=False)
class RequestsById:
    """A batch of B requests in external ids, as functions of a user's own get it.

    Parameters
    ----------
    codes : Requests
        The batch in codes.
    schema : Schema
        The model's vocabularies.
    """

    codes: Requests
    schema: Schema

    def __len__(self) -> int:
        return len(self.codes)

    def __repr__(self) -> str:
        return f"RequestsById({len(self)})"

    @cached_property
    def user_ids(self) -> AnyArray:
        """External user ids, (B,) object, as the caller gave them: also those of users unknown to the model."""
        return user_ids_of(self.codes, self.schema.user_ids)

    @property
    def user(self) -> AnyArray:
        """The same as ``user_ids``."""
        return self.user_ids

    @property
    def k(self) -> IntArray:
        """List length wanted, (B,) int64."""
        return self.codes.k

    @property
    def now(self) -> FloatArray:
        """Request time, (B,) float64 seconds since 1970."""
        return self.codes.now

    @property
    def seed(self) -> UInt64Array:
        """One seed for each row, (B,) uint64."""
        return self.codes.seed

    @property
    def columns(self) -> Mapping[str, AnyArray]:
        """Context columns (B,)."""
        return self.codes.columns

    def column(self, name: str) -> AnyArray:
        """Return a context column (B,)."""
        return self.codes.column(name)

    def lists(self, name: str) -> list[list[Any]]:
        """Return the item ids of a list, such as ``"history"``, of each row; None for an unknown item."""
        lists = self.codes.lists(name)
        return [self.schema.item_ids.decode(lists.row(row)).tolist() for row in range(len(lists))]

    def remaining(self) -> float:
        """Return the seconds left of the budget."""
        return self.codes.remaining()


@dataclass(frozen=True, eq=False)
class CandidatesById:
    """N candidates of B requests in external ids, as functions of a user's own get it.

    Parameters
    ----------
    codes : Candidates
        The batch in codes.
    schema : Schema
        The model's vocabularies.
    """

    codes: Candidates
    schema: Schema

    def __len__(self) -> int:
        return len(self.codes)

    def __repr__(self) -> str:
        return f"CandidatesById({len(self)} in {self.n_rows} rows)"

    @cached_property
    def item_ids(self) -> AnyArray:
        """External item id of each candidate, (N,)."""
        return self.schema.item_ids.decode(self.codes.item)

    @property
    def item(self) -> AnyArray:
        """The same as ``item_ids``."""
        return self.item_ids

    @cached_property
    def user_ids(self) -> AnyArray:
        """External user id of each candidate's request, (N,) object."""
        return np.asarray(self.requests.user_ids[self.codes.row])

    @property
    def user(self) -> AnyArray:
        """The same as ``user_ids``."""
        return self.user_ids

    @cached_property
    def requests(self) -> RequestsById:
        """The B requests."""
        return RequestsById(self.codes.requests, self.schema)

    @property
    def n_rows(self) -> int:
        """Number of requests, B."""
        return self.codes.n_rows

    @property
    def row(self) -> IntArray:
        """Request row of each candidate, (N,) int64."""
        return self.codes.row

    @property
    def offsets(self) -> IntArray:
        """Row ``b`` holds candidates ``offsets[b]:offsets[b + 1]``."""
        return self.codes.offsets

    @property
    def now(self) -> FloatArray:
        """Request time of each candidate, (N,) float64 seconds."""
        return self.codes.now

    @property
    def score(self) -> Float32Array:
        """Scores, (N,) float32."""
        return self.codes.score

    @property
    def columns(self) -> Mapping[str, AnyArray]:
        """Columns (N,), such as those of sources."""
        return self.codes.columns

    def column(self, name: str) -> AnyArray:
        """Return a column (N,)."""
        return self.codes.column(name)

    @property
    def features(self) -> Float32Array:
        """Features, (N, F) float32."""
        return self.codes.features

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the F features."""
        return self.codes.feature_names

    def feature(self, name: str) -> Float32Array:
        """Return a feature (N,)."""
        return self.codes.feature(name)

    def item_column(self, name: str) -> AnyArray:
        """Return a column of the item table for each candidate, (N,): numbers, or labels as they are."""
        values, short = self.schema.item_column(name), name.removeprefix("item.")
        if short in self.schema.items.categorical:
            values = np.array([None, *self.schema.items.labels(short).ids.tolist()], object)[values]
        return np.asarray(values[self.codes.item])


def in_codes(requests: Requests | RequestsById) -> Requests:
    """Return requests in codes, whichever way a stage of recokit gets them that a user calls as a function."""
    return requests.codes if isinstance(requests, RequestsById) else requests


def user_ids_of(requests: Requests, known: Vocabulary) -> AnyArray:
    """Return external user ids, (B,) object; those of requests made of codes are decoded."""
    if requests.user_ids is not None:
        return requests.user_ids
    return known.decode(requests.user).astype(object)


def known_lists(lists: Iterable[Iterable[Any]], ids: Vocabulary) -> Ragged:
    """Return lists of external ids as codes, without ids that the vocabulary lacks."""
    codes = [ids.encode(given) if given else np.zeros(0, np.int64) for given in map(list, lists)]
    return Ragged.from_lists([each[each > 0] for each in codes])


def is_by_id(values: Any) -> bool:
    """Tell whether it holds values by external id: a mapping, or a pandas Series, whose index has the ids."""
    pandas: Any = sys.modules.get("pandas")  # whoever has a series has loaded it
    return isinstance(values, Mapping) or (pandas is not None and isinstance(values, pandas.Series))


def by_code(values: Any, ids: Vocabulary, name: str) -> FloatArray:
    """Return values by external id as values by code, (n + 1,) float64; NaN where there is none.

    Raises
    ------
    DataError
        For ids of the wrong kind or more than once, and values that are no numbers.
    """
    keys = list(values) if isinstance(values, Mapping) else values.index.tolist()
    given = list(values.values()) if isinstance(values, Mapping) else values.tolist()
    if len(set(keys)) < len(keys):
        raise DataError(f"found ids more than once in {name}; expected one value for each")
    try:
        numbers = np.array([np.nan if value is None else float(value) for value in given], np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"found {name} that are no numbers: {error}; expected one for each id") from error
    column = np.full(len(ids) + 1, np.nan)
    if keys:
        column[ids.encode(keys)] = numbers
    column[0] = np.nan
    return column


def codes_of_known(ids: Vocabulary, wanted: Iterable[Any], who: str, *, max_unknown: float = 0.5) -> IntArray:
    """Return the codes of some ids, 0 for those that the catalogue lacks, of which it warns.

    Raises
    ------
    DataError
        If more than that share of them is unknown, or ids are of the wrong kind.
    """
    given = list(wanted)
    codes = ids.encode(given) if given else np.zeros(0, np.int64)
    unknown = np.flatnonzero(codes == 0)
    if len(unknown):
        some = ", ".join(f"{given[place]!r:.40}" for place in unknown[:3].tolist())
        found = f"{who}: found {len(unknown)} of {len(given)} ids that the catalogue lacks, such as {some}"
        if len(unknown) > max_unknown * len(given):
            raise DataError(
                f"{found}; expected at most a share of {max_unknown:g}; hint: are these the catalogue's ids? "
                "max_unknown=1 lets any pass"
            )
        warnings.warn(found, DataWarning, stacklevel=3)
    return codes
