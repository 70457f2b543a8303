"""Context: columns of requests that a call does not give, from what was declared once; unknown where nothing is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from recokit._utils.options import shown
from recokit.data.frames import missing_in
from recokit.data.requests import Requests
from recokit.errors import ConfigurationError
from recokit.typing import AnyArray

#: Context columns of a query: what was typed, its words to search by, its condition on items, its vector.
QUERY, WORDS, WHERE, VECTOR = "query", "query_words", "query_where", "query_vector"
#: Columns that a request which searches for nothing lacks, and misses nothing by it.
SEARCH = frozenset((QUERY, WORDS, WHERE, VECTOR))

#: A value for all requests, or one for each user by external id.
Declared: TypeAlias = Mapping[str, Any]


def checked_context(context: Declared | None) -> dict[str, Any]:
    """Return declared context columns.

    Raises
    ------
    ConfigurationError
        If it is no mapping of names to a value for all requests or to values by user id.
    """
    if context is None:
        return {}
    if not isinstance(context, Mapping) or not all(isinstance(name, str) for name in context):
        raise ConfigurationError(
            f"found context={shown(context)}; expected a mapping, such as {{'country': 'DE'}}"
        )
    for name, value in context.items():
        if not isinstance(value, Mapping) and np.ndim(value):
            raise ConfigurationError(
                f"found context {name}={shown(value)}; expected one value for all requests, or a mapping of user id "
                "to value"
            )
    return dict(context)


def context_column(values: Any) -> AnyArray:
    """Return the values of a context column as an array in which nothing that is unknown became text or a number.

    Beside text and flags a missing value, however its library writes it, is None.
    """
    column = np.asarray(values)
    if column.ndim != 1:
        return column
    if column.dtype.kind in "USf" and not isinstance(values, np.ndarray):
        each = np.fromiter(values, object, len(column))
        kinds = {type(value) for value in each.tolist()}
        # numpy writes what is not text as text beside text, and flags as numbers beside numbers.
        if len(kinds) > 1 and any(issubclass(kind, str | bytes | bool | np.bool_) for kind in kinds):
            column = each
    if column.dtype.kind == "O" and (unknown := missing_in(column)).any():
        column = column.copy()
        column[unknown] = None
    return column


class NotGiven:
    """In a context column with a value for each user: this one gave none, and what is declared or hydrated holds."""

    def __repr__(self) -> str:
        return "NOT_GIVEN"


NOT_GIVEN = NotGiven()


def given_column(values: Any) -> tuple[AnyArray, AnyArray | None]:
    """Return the column of values given, None where a user gave none, and which did where not all did."""
    if isinstance(values, np.ndarray):
        return context_column(values), None
    given = np.array([value is not NOT_GIVEN for value in values], np.bool_)
    if given.all():
        return context_column(values), None
    known = [value if there else None for value, there in zip(values, given.tolist(), strict=True)]
    column = np.empty(len(known), object)
    column[:] = known
    return column, given


def context_columns(context: Declared, user_ids: Collection[Any]) -> dict[str, AnyArray]:
    """Return declared columns for some users, (B,) each; None where a mapping has no value for a user."""
    columns: dict[str, AnyArray] = {}
    for name, value in context.items():
        if isinstance(value, Mapping):
            each = np.fromiter((value.get(user) for user in user_ids), object, len(user_ids))
            columns[name] = context_column(each)
        else:
            columns[name] = np.full(len(user_ids), value)
    return columns


def with_context(requests: Requests, context: Declared) -> Requests:
    """Return requests with declared columns where the call gives none."""
    partly = requests.columns_from_caller
    lacking = {
        name: value for name, value in context.items() if name not in requests.columns or name in partly
    }
    if not lacking:
        return requests
    users = requests.user.tolist() if requests.user_ids is None else requests.user_ids.tolist()
    return requests.with_columns(context_columns(lacking, users))


def of_users(values: AnyArray, name: str, requests: Requests) -> AnyArray:
    """Return a column of the user table for each request, (B,).

    Of users whom the table does not know, what the request says in a context column of that name. Beside numbers, text
    of a number is that number, as a URL has it, and what is none is unknown.

    Parameters
    ----------
    values : ndarray, shape (n_users + 1,)
        The column by user code: floats, or text (object).
    name : str
        Its name, without the table's.
    requests : Requests
    """
    known: AnyArray = values[requests.user]
    newcomers = np.flatnonzero(requests.user == 0)
    if name not in requests.columns or not len(newcomers):
        return known
    given = requests.columns[name][newcomers]
    numbers = known.dtype.kind == "f"
    known[newcomers] = [_number(value) for value in given.tolist()] if numbers else given
    return known


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return np.nan


def with_unknown(requests: Requests, names: Collection[str]) -> Requests:
    """Return requests in which each of these context columns is there; nobody knows the values of a lacking one."""
    lacking = [name for name in names if name not in requests.columns]
    if not lacking:
        return requests
    unknown = np.full(len(requests), None, object)
    return replace(requests, columns={**requests.columns, **dict.fromkeys(lacking, unknown)})
