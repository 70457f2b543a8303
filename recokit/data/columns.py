"""Columns of several labels: found in text, split, and what columns of a shop's table mean."""

from __future__ import annotations

import ast
import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recokit._kernels.segments import counts_to_offsets, gather_segments
from recokit.data.vocabulary import Vocabulary
from recokit.typing import BoolArray, IntArray

#: What stands between labels, the surest first. Text has commas of its own: there labels have to come again more often.
SEPARATORS: Mapping[str, float] = {"|": 1.2, ";": 1.5, ",": 3.0}
#: What may stand between labels, and as well inside of one or between the steps of a path: said, never taken.
UNSURE_SEPARATORS: Mapping[str, float] = {"/": 2.0, ">": 2.0, "\\": 2.0, "~": 2.0}
#: Rows that need to have one.
_LEAST_SHARE = 0.1
_LONGEST_LABEL = 40

#: What a column may mean, and the names that are taken for it.
ROLES: Mapping[str, tuple[str, ...]] = {
    "category": ("genres", "genre", "categories", "department", "product_type", "section", "topic"),
    "seller": (
        "shop",
        "merchant",
        "vendor",
        "store",
        "seller_id",
        "shop_id",
        "merchant_id",
        "vendor_id",
        "store_id",
    ),
    "brand": ("manufacturer", "make", "brand_id", "manufacturer_id", "label"),
    "price": ("unit_price", "list_price", "sale_price", "cost"),
}


@dataclass(frozen=True, eq=False)
class Several:
    """The single labels of each of some texts.

    Parameters
    ----------
    offsets : ndarray of int64, shape (n + 1,)
        Text ``i`` has the labels ``code[offsets[i]:offsets[i + 1]]``.
    code : ndarray of int64
        Label codes from 1 on, ascending and once for each text.
    labels : Vocabulary
        The labels, sorted.
    """

    offsets: IntArray
    code: IntArray
    labels: Vocabulary

    @classmethod
    def of(cls, texts: Sequence[str], separator: str | None) -> Several:
        """Split texts; without a separator each is one label, and an empty text is none."""
        parts = [sorted({*split(text, separator)}) for text in texts]
        labels = Vocabulary(sorted({label for several in parts for label in several}))
        code = labels.encode(np.array([label for several in parts for label in several], object))
        return cls(counts_to_offsets(np.array([len(several) for several in parts], np.int64)), code, labels)

    def take(self, rows: IntArray) -> Several:
        """Return the labels of some of the texts, in the given order."""
        offsets, index = gather_segments(self.offsets, rows)
        return Several(offsets, self.code[index], self.labels)

    def having(self, label: str) -> BoolArray:
        """Tell which texts have a label, (n,)."""
        hit = np.concatenate(
            [[0], np.cumsum((self.code == self.labels.encode([label])[0]) & (self.code > 0))]
        )
        return np.asarray(hit[self.offsets[1:]] > hit[self.offsets[:-1]])


def split(text: str, separator: str | None) -> list[str]:
    """Return the labels of a text, without blanks around them.

    Examples
    --------
    >>> split("Action|Comedy", "|"), split("Rock, Pop", ","), split("", None)
    (['Action', 'Comedy'], ['Rock', 'Pop'], [])
    """
    parts = [text] if separator is None else text.split(separator)
    return [label for label in map(str.strip, parts) if label]


def written_lists(texts: Sequence[Any]) -> list[list[str]] | None:
    """Return the lists of labels that texts write, as CSV files have them; None where one does not.

    Python's and JSON's lists, objects with a ``name`` in them, and PostgreSQL's arrays.

    Examples
    --------
    >>> written_lists(["['Action', 'Comedy']", "[]"]), written_lists(['{Action,"Sci-Fi, Horror"}'])
    ([['Action', 'Comedy'], []], [['Action', 'Sci-Fi, Horror']])
    >>> written_lists(['[{"id": 28, "name": "Action"}]']), written_lists(["[REC]"]), written_lists(["[0.5, 0.1]"])
    ([['Action']], None, None)
    """
    lists = []
    for text in texts:
        labels = _written_list(text.strip()) if isinstance(text, str) else None
        if labels is None:
            return None
        lists.append(labels)
    return lists or None


def _written_list(text: str) -> list[str] | None:
    if (text[:1], text[-1:]) not in {("[", "]"), ("{", "}"), ("(", ")")}:
        return None
    try:
        values = ast.literal_eval(text) if text != "{}" else []
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return [label.strip() for label in next(csv.reader([text[1:-1]]))] if _is_array(text) else None
    if not isinstance(values, list | tuple | set):
        return None
    named = [value.get("name") if isinstance(value, dict) else value for value in values]
    plain = all(isinstance(value, str | int) for value in named)
    return [str(value) for value in named] if plain else None


def _is_array(text: str) -> bool:
    """Tell whether a text is an array as PostgreSQL writes it: braces, and neither these nor pairs inside."""
    return text[0] == "{" and not any(sign in text[1:-1] for sign in "{}:")


def found_separator(
    texts: Sequence[str], separators: Mapping[str, float] = SEPARATORS
) -> tuple[str, float] | None:
    """Return what stands between the labels of texts, and in which share of them; None where nothing is sure.

    Labels come again: texts of several labels have fewer labels than there are texts, titles with commas have more.

    Examples
    --------
    >>> found_separator(["Action|Comedy", "Comedy", "Action|Drama", "Drama|Comedy"])
    ('|', 0.75)
    >>> found_separator(["Matrix, The", "Crow, The", "Heat"]) is None
    True
    """
    distinct = set(texts)
    for separator, again in separators.items():
        having = sum(separator in text for text in texts) / max(len(texts), 1)
        if having < _LEAST_SHARE:
            continue
        parts = [label for text in distinct for label in split(text, separator)]
        labels = set(parts)
        several = any(len(split(text, separator)) > 1 for text in distinct)
        short = max(map(len, labels), default=0) <= _LONGEST_LABEL
        if several and short and len(labels) <= len(distinct) and len(parts) >= again * len(labels):
            return separator, having
    return None


def guessed_roles(names: Sequence[str], declared: Mapping[str, str | None]) -> dict[str, str]:
    """Return the column that is taken for each role which is neither declared nor a column's own name."""
    known = {name.lower(): name for name in names}
    guessed = {}
    for role, others in ROLES.items():
        if role in declared or role in names:
            continue
        column = next((known[other] for other in others if other in known), None)
        if column is not None and column not in declared.values():
            guessed[role] = column
    return guessed
