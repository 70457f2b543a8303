"""Conditions: what a reading asks for, as an expression on item columns."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from recokit.text._lexicon import Label, Lexicon
from recokit.text._reading import Asked, Reading

#: Characters of an expression that can be evaluated.
_LONGEST = 1_000


def condition_of(reading: Reading, lexicon: Lexicon) -> tuple[str, Mapping[str, str], list[str]]:
    """Return the expression of all that is asked for, the words of each part, and the words that it has no room for.

    Labels of one column of single labels are alternatives; of a column of several each is wanted, unless "or" joins
    them, as it joins labels of two columns. What is not wanted is out, one by one.
    """
    parts: dict[str, str] = {}
    for asked in reading.labels:
        if asked.negated:
            parts[_none_of(asked.labels, lexicon)] = asked.words
    for group in _alternatives([asked for asked in reading.labels if not asked.negated], lexicon):
        labels = sorted({label for asked in group for label in asked.labels})
        parts[_any_of(labels, lexicon)] = ", ".join(asked.words for asked in group)
    for column, negated, words in reading.flags:
        parts[f"not item.{column}" if negated else f"item.{column}"] = words
    for amount, words in reading.amounts:
        for sign, value in amount.bounds:
            parts[f"item.{amount.column} {sign} {_number(value)}"] = words
    return _within(parts)


def _within(parts: dict[str, str]) -> tuple[str, Mapping[str, str], list[str]]:
    kept: dict[str, str] = {}
    left_out = []
    for part, words in parts.items():
        if len(" and ".join([*kept, part])) <= _LONGEST:
            kept[part] = words
        else:
            left_out.append(words)
    return " and ".join(kept), kept, left_out


def _alternatives(wanted: list[Asked], lexicon: Lexicon) -> list[list[Asked]]:
    """Return what is asked for in groups of which one will do: what "or" joins, and labels of which an item has one."""
    groups: list[list[Asked]] = []
    of_column: dict[frozenset[str], list[Asked]] = {}
    for asked in wanted:
        columns = frozenset(label.column for label in asked.labels)
        single = len(columns) == 1 and not columns & lexicon.several
        if asked.either and groups:
            groups[-1].append(asked)
        elif single and columns in of_column:
            of_column[columns].append(asked)
        else:
            groups.append([asked])
        if single:
            of_column.setdefault(columns, groups[-1])
    return groups


def _any_of(labels: list[Label], lexicon: Lexicon) -> str:
    by_column = _by_column(labels)
    parts = []
    for column, values in by_column.items():
        if column in lexicon.several:
            parts += [f"{value!r} in item.{column}" for value in values]
        else:
            parts.append(_among(column, values, ("==", "in")))
    return parts[0] if len(parts) == 1 else f"({' or '.join(parts)})"


def _none_of(labels: tuple[Label, ...], lexicon: Lexicon) -> str:
    parts = []
    for column, values in _by_column(sorted(labels)).items():
        if column in lexicon.several:
            parts += [f"{value!r} not in item.{column}" for value in values]
        else:
            parts.append(_among(column, values, ("!=", "not in")))
    return " and ".join(parts)


def _among(column: str, values: list[str], signs: tuple[str, str]) -> str:
    if len(values) == 1:
        return f"item.{column} {signs[0]} {values[0]!r}"
    return f"item.{column} {signs[1]} ({', '.join(map(repr, values))})"


def _by_column(labels: list[Label]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for label in labels:
        found[label.column].append(label.value)
    return found


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(value)
