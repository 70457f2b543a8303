"""Asking: external ids, lists and options of a call become Requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from recokit.data import Ragged, Requests, Vocabulary, timestamp
from recokit.errors import DataError
from recokit.typing import AnyArray, BoolArray, FloatArray

__all__ = ["Lists", "build_requests", "user_array"]

Lists = Sequence[Sequence[Any] | None]


def user_array(users: Any, fields: Mapping[str, Lists | None]) -> AnyArray:
    """Return the users asked for as an object array, None for anonymous ones.

    Raises
    ------
    DataError
        If users is a bare id, or neither users nor a list for each row is given.
    """
    if users is None:
        lengths = [len(lists) for lists in fields.values() if lists is not None]
        if not lengths:
            raise DataError(
                "found neither users nor a history or session; expected one of them; hint: users=['ann']"
            )
        users = [None] * lengths[0]
    if isinstance(users, str | bytes) or not hasattr(users, "__len__"):
        raise DataError(f"found users={users!r}; expected a list of ids; hint: [{users!r}]")
    asked = np.empty(len(users), object)
    asked[:] = users.tolist() if isinstance(users, np.ndarray) else list(users)
    return asked


def build_requests(
    asked: AnyArray,
    user_ids: Vocabulary,
    item_ids: Vocabulary,
    clock: Callable[[], float],
    *,
    k: int | Sequence[int],
    history: Lists | None = None,
    session: Lists | None = None,
    context: Mapping[str, Any] | None = None,
    items: Lists | None = None,
    exclude: Lists | None = None,
    now: Any = None,
    seed: int = 0,
) -> Requests:
    """Build the requests of one call; see ``Pipeline.recommend`` for the options."""
    n = len(asked)
    known = np.array([user is not None for user in asked.tolist()], np.bool_)
    user = np.zeros(n, np.int64)
    user[known] = user_ids.encode(asked[known])
    times = _times(now, clock, n)
    ragged: dict[str, Ragged] = {}
    given: dict[str, BoolArray] = {}
    fields = {"history": history, "session": session, "items": items, "exclude": exclude}
    for name, lists in fields.items():
        if lists is not None:
            ragged[name], given[name] = _encode_lists(name, lists, item_ids, times)
    requests = Requests.build(
        user, k=np.asarray(k), now=times, seed=seed, columns=_context(context or {}, n), ragged=ragged
    )
    return replace(requests, from_caller=given)


def _times(now: Any, clock: Callable[[], float], n: int) -> FloatArray:
    if now is None:
        return np.full(n, clock())
    if isinstance(now, np.ndarray | list | tuple):
        return np.array([timestamp(when) for when in now], np.float64)
    return np.full(n, timestamp(now))


def _context(context: Mapping[str, Any], n: int) -> dict[str, AnyArray]:
    columns = {}
    for name, value in context.items():
        scalar = isinstance(value, str) or not hasattr(value, "__len__")
        columns[name] = np.full(n, value) if scalar else np.asarray(value)
    return columns


def _encode_lists(
    name: str, lists: Lists, item_ids: Vocabulary, times: FloatArray
) -> tuple[Ragged, BoolArray]:
    """Encode one list of item ids for each row. Rank only known items; an unknown one in a history stays, as code 0."""
    if isinstance(lists, str) or not hasattr(lists, "__len__"):
        raise DataError(f"found {name}={lists!r}; expected one list of item ids (or None) for each user")
    if len(lists) != len(times):
        raise DataError(f"found {len(lists)} lists in {name}; expected {len(times)}, one for each user")
    given = np.array([row is not None for row in lists], np.bool_)
    rows = []
    for row in lists:
        if isinstance(row, str) or (row is not None and not hasattr(row, "__len__")):
            raise DataError(
                f"found {row!r} in {name}; expected a list of item ids for each user; hint: [{row!r}]"
            )
        rows.append(item_ids.encode(row) if row is not None and len(row) else np.zeros(0, np.int64))
    if name == "items":
        rows = [_distinct(codes[codes > 0]) for codes in rows]
    ragged = Ragged.from_lists(rows)
    columns: dict[str, AnyArray] = {
        "timestamp": times[ragged.rows],
        "weight": np.ones(len(ragged.values), np.float32),
        "event": np.zeros(len(ragged.values), np.int64),
    }
    return Ragged(ragged.offsets, ragged.values, columns), given


def _distinct(codes: AnyArray) -> AnyArray:
    return codes[np.sort(np.unique(codes, return_index=True)[1])]
