"""SearchQuery: a query in words as the stages of a pipeline read it, and conditions that requests bring."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from recokit._utils.options import shown
from recokit.data.context import QUERY, VECTOR, WHERE, WORDS
from recokit.data.expression import Columns, Condition
from recokit.data.requests import Requests
from recokit.data.schema import Schema
from recokit.errors import ConfigurationError, DataError
from recokit.typing import AnyArray, BoolArray, Float32Array

#: Bytes of the masks that are kept of one catalogue.
_KEPT = 1 << 26


@dataclass(frozen=True, eq=False)
class SearchQuery:
    """A query in words, read: conditions on items, words to search by, and what was not understood.

    Parameters
    ----------
    text : str
        As it was typed.
    words : str
        What is left to search by.
    where : str
        Condition on item columns, as ``rules.Where`` takes it; empty for none.
    vector : ndarray of float32, shape (D,), optional
        The encoder's vector of the words.
    dropped : tuple of str
        Words that mean nothing in this catalogue.
    by : {"rules", "model"}
        Whether a language model found a part of the condition.
    evidence : mapping of str to str
        For each part of the condition the words that it was read from.
    """

    text: str
    words: str = ""
    where: str = ""
    vector: Float32Array | None = None
    dropped: tuple[str, ...] = ()
    by: str = "rules"
    evidence: Mapping[str, str] = field(default_factory=dict)


#: A query for all users, or one for each; None for users who search for nothing.
Queries = str | SearchQuery | Sequence[str | SearchQuery | None]


def queries_of(queries: Queries, n: int | None) -> list[str | SearchQuery | None]:
    """Return one query for each of n users; as many as are given where n is None.

    Raises
    ------
    DataError
        For another number of queries, or something else than text.
    """
    if isinstance(queries, str | SearchQuery):
        return [queries] * (1 if n is None else n)
    if not isinstance(queries, Sequence):
        raise DataError(f"found query={shown(queries)}; expected text, or one text for each user")
    given = list(queries)
    if n is not None and len(given) != n:
        raise DataError(f"found {len(given)} queries; expected {n}, one for each user")
    for query in given:
        if query is not None and not isinstance(query, str | SearchQuery):
            raise DataError(f"found query {shown(query)}; expected text, a SearchQuery or None")
    return given


def query_columns(queries: Sequence[str | SearchQuery | None]) -> tuple[dict[str, Any], dict[str, BoolArray]]:
    """Return the context columns of queries, and for which rows those that only read queries have were given."""
    read = np.array([isinstance(query, SearchQuery) for query in queries], np.bool_)
    texts = [query.text if isinstance(query, SearchQuery) else query for query in queries]
    columns = {QUERY: objects(texts)}
    if not read.any():
        return columns, {}
    for name, attribute in ((WORDS, "words"), (WHERE, "where"), (VECTOR, "vector")):
        columns[name] = objects([getattr(query, attribute, None) for query in queries])
    return columns, {} if read.all() else dict.fromkeys((WORDS, WHERE, VECTOR), read)


def objects(values: Sequence[Any]) -> AnyArray:
    """Return values as a column of objects, vectors too."""
    column = np.empty(len(values), object)
    for row, value in enumerate(values):  # a slice would take vectors of one length apart
        column[row] = value
    return column


def texts_of(requests: Requests, name: str) -> list[str]:
    """Return a context column of text, (B,); empty where it is lacking or holds no text."""
    if name not in requests.columns:
        return [""] * len(requests)
    return [value if isinstance(value, str) else "" for value in requests.columns[name].tolist()]


class ItemConditions:
    """Conditions on items that requests bring: each is decided once for the whole catalogue, the latest are kept.

    Parameters
    ----------
    schema : Schema
        Whose item columns they name.
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self._columns = Columns(schema)
        kept = int(np.clip(_KEPT // (schema.items.n + 1), 8, 256))
        #: Tells for a condition, by item code, where it holds for sure, (n_items + 1,) bool; code 0 never.
        self.mask = functools.lru_cache(kept)(self._mask)

    def __reduce__(self) -> tuple[type[ItemConditions], tuple[Schema]]:
        return ItemConditions, (self.schema,)

    def _mask(self, text: str) -> BoolArray:
        """Return where a condition holds.

        Raises
        ------
        DataError
            If it cannot be read, reads anything but items, or names no column: it is a request's, not a pipeline's.
        """
        try:
            condition = Condition(text)
            if not condition.of_items_only or not condition.names:
                raise ConfigurationError("expected one on item columns")
            mask = np.array(condition.of_items(condition.known_columns(self._columns)).certain)
        except ConfigurationError as error:
            raise DataError(f"found condition {shown(text)} of a request: {error}") from error
        mask[0] = False
        mask.flags.writeable = False
        return mask
