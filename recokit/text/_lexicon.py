"""Lexicon: the columns and labels of a catalogue, found in words of a query."""

from __future__ import annotations

import keyword
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from recokit._utils.words import folded, words
from recokit.data.table import Table
from recokit.text._tables import FOR_ALL, NAME_AFFIXES, RECIPIENTS, STOP_WORDS, UNITS

#: Labels of a column that are read from queries, at most: beyond it they are ids rather than words.
_MOST_LABELS = 100_000
#: Shortest words that are taken for misspelt, and from which on for two mistakes.
_ONE_MISTAKE, _TWO_MISTAKES = 5, 9


@dataclass(frozen=True, slots=True, order=True)
class Label:
    """A value of a column of labels."""

    column: str
    value: str


class Lexicon:
    """What can be asked for in words: labels, numeric columns, flags, and the words that items are described by.

    Parameters
    ----------
    table : Table
        The catalogue.
    columns : sequence of str, optional
        Columns that may be asked for; all that expressions can name by default.
    synonyms : mapping of str to str
        Words that stand for a label.
    units : mapping of str to str
        Unit of a numeric column, a currency for the price; where none is given the end of its name, as ``weight_kg``.
    """

    def __init__(
        self,
        table: Table,
        columns: Collection[str] | None = None,
        synonyms: Mapping[str, str] | None = None,
        units: Mapping[str, str] | None = None,
    ) -> None:
        named = [name for name in table.names if columns is None or name in columns]
        named = [name for name in named if name not in table.inferred]  # conditions are hard rules
        named = [name for name in named if name.isidentifier() and not keyword.iskeyword(name)]
        self.table = table
        self.flags = {name: _name_words(name) for name in named if name in table.flags}
        self.numbers = {
            name: _name_words(name)
            for name in named
            if name in table.numeric_names and name not in table.flags
        }
        price = table.named("price")
        self.price = price if price in self.numbers else None
        self.units = {**{name: unit for name in self.numbers if (unit := _unit_in(name))}, **(units or {})}
        self.labels: dict[str, list[str]] = {}
        for name in named:
            if name in table.categorical and (labels := _labels_of(table, name)):
                self.labels[name] = labels
        self.label_names = {name: _name_words(name) for name in self.labels}
        self.several = {name for name in self.labels if table.categorical[name].separator is not None}
        self._index(synonyms or {})
        self.known = self._known_words()

    def _index(self, synonyms: Mapping[str, str]) -> None:
        phrases: dict[tuple[str, ...], set[Label]] = defaultdict(set)
        cued: dict[tuple[str, ...], set[Label]] = defaultdict(set)
        for column, labels in self.labels.items():
            for value in labels:
                for phrase in _phrases(value):
                    alone = len(phrase) > 1 or (len(phrase[0]) > 2 and not phrase[0].isdigit())
                    usual = alone and not all(word in STOP_WORDS for word in phrase)
                    (phrases if usual else cued)[phrase].add(Label(column, value))
        for said, meant in synonyms.items():
            labels_meant = {label for phrase in _phrases(meant) for label in phrases.get(phrase, ())}
            for phrase in _phrases(said):
                phrases[phrase] |= labels_meant
        self.phrases = {phrase: tuple(sorted(found)) for phrase, found in phrases.items()}
        self.cued = {phrase: tuple(sorted(found)) for phrase, found in cued.items()}
        self.longest = max(map(len, self.phrases), default=1)
        self.label_words = {word for phrase in self.phrases for word in phrase} - STOP_WORDS
        self._by_length: dict[int, list[str]] = defaultdict(list)
        for word in sorted(self.label_words):
            self._by_length[len(word)].append(word)
        self.audience = self._audience()

    def _known_words(self) -> frozenset[str]:
        """Return the stems of all words that items are described by."""
        texts: set[str] = set()
        for values in self.table.other.values():
            if values.dtype == object:
                texts |= {value for value in values.tolist() if isinstance(value, str)}
        known = {word for text in texts for word in words(text)} | self.label_words
        for name in self.table.categorical:
            known |= {word for label in _labels_of(self.table, name) for word in words(label)}
        return frozenset(known)

    def _audience(self) -> str | None:
        """Return the column that says whom items are for: the one with most labels of that kind, two at least."""
        kinds = {word for labels in RECIPIENTS.values() for word in labels} | set(FOR_ALL)
        count = {
            name: sum(bool(set(words(label)) & kinds) for label in labels) / len(labels)
            for name, labels in self.labels.items()
            if sum(bool(set(words(label)) & kinds) for label in labels) >= 2
        }
        return max(sorted(count), key=count.__getitem__, default=None)

    def suiting(self, recipient: str, *, alone: bool = False) -> list[Label]:
        """Return the labels of whom items are for that suit a recipient, such as "dad"; none where nobody says.

        Those that suit everyone are among them, but for ``alone``.
        """
        if self.audience is None:
            return []
        wanted = RECIPIENTS[recipient]
        sets = [(label, set(words(label))) for label in self.labels[self.audience]]
        for word in wanted:
            suiting = [label for label, parts in sets if word in parts]
            if suiting:
                for_all = [label for label, parts in sets if parts & set(FOR_ALL) and not alone]
                return [Label(self.audience, value) for value in sorted({*suiting, *for_all})]
        return []

    def match(self, stems: Sequence[str], start: int) -> tuple[int, tuple[Label, ...]]:
        """Return how many stems from a place on are the longest phrase of labels, and these labels."""
        for length in range(min(self.longest, len(stems) - start), 0, -1):
            found = self.phrases.get(tuple(stems[start : start + length]))
            if found:
                return length, found
        return 0, ()

    def corrected(self, word: str) -> str | None:
        """Return the one label word that a misspelt word is nearest to; None where there is none, or several."""
        if word in self.known or len(word) < _ONE_MISTAKE or not word.isalpha():
            return None
        most = 2 if len(word) >= _TWO_MISTAKES else 1
        best: list[str] = []
        least = most + 1
        for length in range(len(word) - most, len(word) + most + 1):
            for other in self._by_length.get(length, ()):
                if other[0] != word[0] or len(other) < _ONE_MISTAKE - 1:
                    continue
                distance = mistakes(word, other, least + 1)
                if distance < least:
                    best, least = [other], distance
                elif distance == least <= most:
                    best.append(other)
        return best[0] if len(best) == 1 else None

    def number_columns(self, wanted: Iterable[str]) -> list[str]:
        """Return the numeric columns all of whose name words are among some words, the longest names first."""
        among = set(wanted)
        found = [name for name, parts in self.numbers.items() if parts and set(parts) <= among]
        return sorted(found, key=lambda name: (-len(self.numbers[name]), name))


def _labels_of(table: Table, name: str) -> list[str]:
    column = table.categorical[name]
    ids = column.several.labels.ids if column.separator is not None else column.labels.ids
    if len(ids) > _MOST_LABELS:
        return []
    return [value for value in ids.tolist() if isinstance(value, str) and words(value)]


def _phrases(label: str) -> set[tuple[str, ...]]:
    """Return the ways in which a label is said: its words, with and without "and", and as one word."""
    plain = tuple(words(label.replace("&", " ")))
    spoken = tuple(words(label.replace("&", " and ")))
    found = {plain, spoken, tuple(word for word in spoken if word != "and")} - {()}
    parts = re.split(r"[\s_]+", folded(label))
    if len(parts) == 1 and len(plain) > 1:
        found.add(("".join(plain),))  # "sci-fi" is said "scifi"
    return found


def _name_words(name: str) -> tuple[str, ...]:
    """Return the words of a column's name, without its unit and what counts."""
    parts = words(re.sub(r"([a-z])([A-Z])", r"\1 \2", name).replace("_", " "))
    if len(parts) > 1 and parts[-1] in UNITS:
        parts = parts[:-1]
    return tuple(part for part in parts if part not in NAME_AFFIXES) or tuple(parts)


def _unit_in(name: str) -> str | None:
    last = folded(name).rsplit("_", 1)[-1]
    return last if "_" in name and last in UNITS else None


def mistakes(a: str, b: str, limit: int) -> int:
    """Return how many letters are wrong, missing, too many or swapped between two words, ``limit`` at most.

    Examples
    --------
    >>> mistakes("snekaers", "sneakers", 3), mistakes("shoos", "shoes", 3), mistakes("red", "blue", 2)
    (1, 1, 2)
    """
    if abs(len(a) - len(b)) >= limit:
        return limit
    before: list[int] = []
    last = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        row = [i] + [0] * len(b)
        for j, y in enumerate(b, 1):
            row[j] = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                row[j] = min(row[j], before[j - 2] + 1)
        if min(row) >= limit:
            return limit
        before, last = last, row
    return min(last[-1], limit)
