"""Ids and labels as rows of an embedding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from recokit._utils.options import Rule, optional, whole
from recokit.data import Schema, Vocabulary
from recokit.typing import AnyArray, IntArray


def _are_embeddings(embeddings: Mapping[str, int]) -> bool:
    return isinstance(embeddings, Mapping) and all(
        name.partition(".")[0] in ("user", "item") and whole(1).holds(width)
        for name, width in embeddings.items()
    )


#: Rule of the option ``embeddings``.
EMBEDDINGS = optional(
    Rule(
        "'user', 'item' or categorical columns such as 'item.category', each with a width of at least 1",
        _are_embeddings,
    )
)


@dataclass(frozen=True, eq=False)
class EmbeddingIndex:
    """Embedding rows of one column of ids or labels, by entity code.

    Parameters
    ----------
    name : str
        ``"user"`` or ``"item"`` for ids, or a categorical column such as ``"item.category"``.
    values : ndarray
        Ids or labels of the embedding rows from 1 on; row 0 is for all others.
    rows : ndarray of int64
        Embedding row by user or item code.
    """

    name: str
    values: AnyArray
    rows: IntArray

    @classmethod
    def learn(
        cls, name: str, schema: Schema, user: IntArray, item: IntArray, *, min_rows: int
    ) -> EmbeddingIndex:
        """Learn the values that at least ``min_rows`` training rows have."""
        codes, vocabulary = _column(schema, name)
        seen = np.bincount(codes[user if _of_user(name) else item], minlength=len(vocabulary) + 1)
        seen[0] = 0
        common = np.flatnonzero(seen >= min_rows)
        return cls(name, vocabulary.decode(common), np.zeros(0, np.int64)).bind(schema)

    def bind(self, schema: Schema) -> EmbeddingIndex:
        """Return the same values with the rows of another model's codes."""
        codes, vocabulary = _column(schema, self.name)
        row = np.zeros(len(vocabulary) + 1, np.int64)
        row[vocabulary.encode(self.values)] = np.arange(1, len(self.values) + 1)
        row[0] = 0
        return replace(self, rows=row[codes])

    def of(self, user: IntArray, item: IntArray) -> IntArray:
        """Return the embedding row of each candidate, (N,) int64."""
        return self.rows[user if _of_user(self.name) else item]

    def __len__(self) -> int:
        return len(self.values) + 1


def _of_user(name: str) -> bool:
    return name.partition(".")[0] == "user"


def _column(schema: Schema, name: str) -> tuple[IntArray, Vocabulary]:
    """Return the label code by entity code, and the labels."""
    entity, _, column = name.partition(".")
    table, ids = (schema.users, schema.user_ids) if entity == "user" else (schema.items, schema.item_ids)
    if not column:
        return np.arange(len(ids) + 1), ids
    labels = table.labels(column)
    return np.asarray(table.column(column), np.int64), labels
