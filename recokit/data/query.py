"""Requests of a call: external ids, lists and options become codes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set, Sized
from typing import TYPE_CHECKING, Any

import numpy as np

from recokit._utils.copies import with_fields
from recokit._utils.options import Rule, shown
from recokit.data.context import given_column
from recokit.data.ragged import Ragged
from recokit.data.requests import Requests
from recokit.data.schema import Schema
from recokit.data.times import timestamp
from recokit.data.vocabulary import Vocabulary
from recokit.errors import DataError
from recokit.typing import AnyArray, BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    from recokit.data.search import Queries

#: One list of item ids for each user, None for users whose own holds.
ItemLists = Sequence[Sequence[Any] | None]


class Query:
    """One call of ``Pipeline.recommend``, whose options it has.

    Raises
    ------
    DataError
        If users is a bare id, or neither users nor a list for each row is given.
    """

    def __init__(
        self,
        users: Any = None,
        k: int | Sequence[int] = 10,
        *,
        history: ItemLists | None = None,
        session: ItemLists | None = None,
        context: Mapping[str, Any] | None = None,
        items: ItemLists | None = None,
        exclude: ItemLists | None = None,
        now: Any = None,
        seed: int | Sequence[int] = 0,
        query: Queries | None = None,
    ) -> None:
        #: What each user searches for, None for none at all.
        self.queries = None if query is None else _read(query, None if users is None else len(users))
        #: External ids as an object array, None for anonymous users.
        self.users = _user_array(users, (history, session, items, self.queries))
        for one in [seed] if isinstance(seed, int) or np.ndim(seed) == 0 else seed:
            _SEED.check("seed", one, DataError)
        _MAPPING.check("context", context, DataError)
        self.k, self.context, self.now, self.seed = k, context or {}, now, seed
        lists = {"history": history, "session": session, "items": items, "exclude": exclude}
        self.lists = {name: value for name, value in lists.items() if value is not None}

    def encode(self, schema: Schema, clock: Callable[[], float]) -> Requests:
        """Return the requests in a model's codes; the clock gives the time where the call gives none."""
        user = _user_codes(self.users, schema.user_ids)
        times = _times(self.now, clock, len(user))
        encoded = {
            name: _encode_lists(name, lists, schema.item_ids, times) for name, lists in self.lists.items()
        }
        columns, partly = _context(self.context, len(user))
        if self.queries is not None:
            searched, read = _columns_of(self.queries, len(user))
            if twice := sorted(searched.keys() & columns.keys()):
                raise DataError(f"found {twice[0]!r} in context beside query=; expected one of the two")
            columns, partly = {**columns, **searched}, {**partly, **read}
        requests = Requests.build(
            user,
            k=np.asarray(self.k),
            now=times,
            seed=_seeds(self.seed, len(user)),
            columns=columns,
            ragged={name: lists for name, (lists, _) in encoded.items()},
        )
        given = {name: mask for name, (_, mask) in encoded.items()}
        return with_fields(requests, from_caller=given, columns_from_caller=partly, user_ids=self.users)


#: What a request has of its own: a context column of that name would be read by nobody.
_OWN = ("now", "k")
#: Lists whose order says what came first.
_ORDERED = ("history", "session")
_SEED = Rule("a whole number", lambda seed: isinstance(seed, int | np.integer))
_MAPPING = Rule(
    "values by column, such as {'market': 'de'}",
    lambda context: context is None or isinstance(context, Mapping),
)


def check_items(items: Any) -> None:
    """Raise DataError for item ids that are no sequence, such as a bare id."""
    if isinstance(items, str | bytes) or not isinstance(items, Sized):
        raise DataError(f"found items={shown(items)}; expected a list of ids; hint: [{shown(items)}]")


def _user_codes(users: AnyArray, user_ids: Vocabulary) -> IntArray:
    """Return the code of each user, 0 for None."""
    given = users.tolist()
    if None not in given:
        return user_ids.encode(users)
    known = np.array([user is not None for user in given], np.bool_)
    user = np.zeros(len(known), np.int64)
    user[known] = user_ids.encode(users[known])
    return user


def _read(query: Queries, n_users: int | None) -> Any:
    from recokit.data.search import queries_of  # here: most requests search for nothing

    return queries_of(query, n_users)


def _columns_of(queries: Any, n_rows: int) -> tuple[dict[str, Any], dict[str, Any]]:
    from recokit.data.search import queries_of, query_columns

    return query_columns(queries_of(queries, n_rows))


def _user_array(users: Any, lists: Sequence[Sequence[Any] | None]) -> AnyArray:
    if users is None:
        lengths = [len(part) for part in lists if part is not None]
        if not lengths:
            raise DataError(
                "found neither users nor a history, session or query; expected one of them; hint: users=['ann']"
            )
        users = [None] * lengths[0]
    if isinstance(users, str | bytes) or not hasattr(users, "__len__"):
        raise DataError(f"found users={shown(users)}; expected a list of ids; hint: [{shown(users)}]")
    if isinstance(users, Mapping | Set) or hasattr(users, "columns"):
        raise DataError(
            f"found users as {type(users).__name__}; expected a list of ids, whose order the answer has; "
            "hint: list(...) of a set, the column of a frame"
        )
    array = np.empty(len(users), object)
    array[:] = users.tolist() if isinstance(users, np.ndarray) else list(users)
    return array


def _times(now: Any, clock: Callable[[], float], n: int) -> FloatArray:
    if isinstance(now, np.ndarray | list | tuple):
        return np.array([timestamp(when) for when in now], np.float64)
    return np.array([clock() if now is None else timestamp(now)], np.float64).repeat(n)


def _context(context: Mapping[str, Any], n: int) -> tuple[dict[str, AnyArray], dict[str, BoolArray]]:
    """Return the context columns, and who gave those that not everyone gave."""
    columns, partly = {}, {}
    for name, value in context.items():
        if name in _OWN:
            raise DataError(
                f"found {name!r} in context; expected other names; hint: recommend(..., {name}=...)"
            )
        if isinstance(value, str) or not isinstance(value, Sized):
            columns[name] = np.full(n, value)
            continue
        columns[name], given = given_column(value)
        if given is not None:
            partly[name] = given
    return columns, partly


def _seeds(seed: int | Sequence[int], n: int) -> int | IntArray:
    """Return one seed for all rows, or one for each."""
    if isinstance(seed, int | np.integer):
        return int(seed)
    if len(seed) != n:
        raise DataError(f"found {len(seed)} seeds; expected one, or one for each of {n} users")
    return np.array([one & 0xFFFF_FFFF_FFFF_FFFF for one in seed], np.uint64).view(np.int64)


def _encode_lists(
    name: str, lists: ItemLists, item_ids: Vocabulary, times: FloatArray
) -> tuple[Ragged, BoolArray]:
    """Encode one list of item ids for each row. Only known items can be ranked; a history keeps others as code 0."""
    if isinstance(lists, str) or not isinstance(lists, Sized):
        raise DataError(f"found {name}={lists!r}; expected one list of item ids (or None) for each user")
    if len(lists) != len(times):
        raise DataError(f"found {len(lists)} lists in {name}; expected {len(times)}, one for each user")
    given = np.array([row is not None for row in lists], np.bool_)
    rows = []
    for row in lists:
        if isinstance(row, Set | Mapping) and name in _ORDERED:
            raise DataError(
                f"found a {type(row).__name__} in {name}; expected a list, oldest first: a set has no order"
            )
        if isinstance(row, str) or (row is not None and not isinstance(row, Sized)):
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
