"""Reading: one query, token by token, into conditions, words to search by, and what was not understood."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from recokit.text._amounts import Amount, amount_at
from recokit.text._lexicon import Label, Lexicon
from recokit.text._tables import (
    FILLERS,
    LISTING,
    NEGATIONS,
    POSSESSIVES,
    RECIPIENTS,
    STOP_WORDS,
)
from recokit.text._tokens import Token, span_of, tokens_of

#: Words of a clause that is over: what was not wanted does not go on behind them.
_ENDS = frozenset(("but", "only", "just", "please", "for", "under", "below", "."))
_LONGEST_NEGATION = 3
#: Labels near a word by meaning.
Near = Callable[[str], Sequence[Label]]


@dataclass(frozen=True, slots=True)
class Asked:
    """Labels of a column that are wanted or not, and the words that say so.

    Parameters
    ----------
    labels : tuple of Label
        Several where the words are a label of several columns, or of whom an item suits: any of them will do.
    negated : bool
    either : bool
        Whether "or" joins it to the labels before.
    words : str
        As they were typed.
    """

    labels: tuple[Label, ...]
    negated: bool
    either: bool
    words: str


@dataclass(slots=True)
class Reading:
    """What a query asks for.

    Parameters
    ----------
    labels : list of Asked
    amounts : list of (Amount, words)
    flags : list of (column, negated, words)
    words : list of str
        Words to search by, in order.
    dropped : list of str
        What means nothing in the catalogue.
    """

    labels: list[Asked] = field(default_factory=list)
    amounts: list[tuple[Amount, str]] = field(default_factory=list)
    flags: list[tuple[str, bool, str]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    #: Words that no column answers, with their tokens' places: what a model may still be asked about.
    open: list[str] = field(default_factory=list)


class Reader:
    """Reads one query by a lexicon.

    Parameters
    ----------
    text : str
    lexicon : Lexicon
    near : callable, optional
        Labels near a word that is none, by meaning.
    """

    def __init__(self, text: str, lexicon: Lexicon, near: Near | None = None) -> None:
        self.text, self.lexicon, self.near = text, lexicon, near
        self.tokens = tokens_of(text)
        self.stems = [self._corrected(token) for token in self.tokens]
        self.reading = Reading()
        #: Whether what comes next is not wanted, and the columns of what was not wanted already.
        self.negated, self.scope = False, frozenset[str]()
        self.either = False

    def _corrected(self, token: Token) -> str:
        if not token.is_word or token.text in STOP_WORDS:
            return token.stem
        return self.lexicon.corrected(token.stem) or token.stem

    def read(self) -> Reading:
        """Return what the query asks for."""
        at = 0
        steps = (self._amount, self._recipient, self._negation, self._flag, self._label, self._cued)
        while at < len(self.tokens):
            for step in steps:
                after = step(at)
                if after > at:
                    at = after
                    break
            else:
                self._other(at)
                at += 1
        return self.reading

    def _typed(self, first: int, last: int) -> str:
        return span_of(self.text, self.tokens[first:last])

    def _amount(self, at: int) -> int:
        if self._phrase_is_label(at):
            return at
        first = at
        # The name of a column may stand before its comparison.
        for ahead in (1, 2, 3):
            inside = at + ahead < len(self.tokens) and self.tokens[at + ahead - 1].is_word
            later = amount_at(self.tokens, at + ahead, self.lexicon) if inside else None
            if later is not None and later.first == at and later.column is not None:
                return self._take(later)
        amount = amount_at(self.tokens, first, self.lexicon)
        return at if amount is None else self._take(amount)

    def _phrase_is_label(self, at: int) -> bool:
        """Tell whether a label starts here with a number or a comparison, such as "7 seconds" or "Under Armour"."""
        length, _ = self.lexicon.match(self.stems, at)
        return length > 1

    def _take(self, amount: Amount) -> int:
        typed = self._typed(amount.first, amount.last)
        if amount.column is None:
            self.reading.dropped.append(typed)
        else:
            self.reading.amounts.append((amount, typed))
        self.negated, self.scope = False, frozenset()
        return amount.last

    def _recipient(self, at: int) -> int:
        """Read "for my dad": the labels of whom items are for that suit."""
        if self.tokens[at].text != "for":
            return at
        last = at + 1
        while last < len(self.tokens) and self.tokens[last].text in POSSESSIVES - {"her", "him"}:
            last += 1
        if last < len(self.tokens) and self.tokens[last].text == "her" and last + 1 < len(self.tokens):
            last += self.tokens[last + 1].text in RECIPIENTS
        if last >= len(self.tokens):
            return at
        token = self.tokens[last]
        recipient = next((form for form in (token.text, token.stem) if form in RECIPIENTS), None)
        if recipient is None:
            return at
        labels = self.lexicon.suiting(recipient, alone=self.negated)
        typed = self._typed(at, last + 1)
        if labels:
            self.reading.labels.append(Asked(tuple(labels), self.negated, False, typed))
        else:
            self.reading.dropped.append(typed)
        self.negated, self.scope = False, frozenset()
        return last + 1

    def _negation(self, at: int) -> int:
        if self._phrase_is_label(at):
            return at
        for length in range(_LONGEST_NEGATION, 0, -1):
            phrase = tuple(token.text for token in self.tokens[at : at + length])
            if len(phrase) == length and phrase in NEGATIONS:
                self.negated, self.scope = True, frozenset()
                return at + length
        return at

    def _flag(self, at: int) -> int:
        for name, parts in self.lexicon.flags.items():
            if tuple(self.stems[at : at + len(parts)]) == parts:
                last = at + len(parts)
                self.reading.flags.append((name, self._not_wanted(at, last, name), self._typed(at, last)))
                return last
        return at

    def _label(self, at: int) -> int:
        length, labels = self.lexicon.match(self.stems, at)
        if not length:
            return at
        return self._ask(at, at + length, labels)

    def _cued(self, at: int) -> int:
        """Read labels that are too short to stand alone beside the name of their column: "size M"."""
        for column, name in self.lexicon.label_names.items():
            last = at + len(name)
            if tuple(self.stems[at:last]) != name or last >= len(self.tokens):
                continue
            for length in (2, 1):
                found = self.lexicon.cued.get(tuple(self.stems[last : last + length]), ())
                labels = tuple(label for label in found if label.column == column)
                if labels:
                    return self._ask(at, last + length, labels)
        return at

    def _ask(self, first: int, last: int, labels: tuple[Label, ...]) -> int:
        named = {
            column for column, name in self.lexicon.label_names.items() if self._beside(first, last, name)
        }
        labels = tuple(label for label in labels if label.column in named) or labels
        columns = {label.column for label in labels}
        negated = self._not_wanted(first, last, *columns)
        self.reading.labels.append(Asked(labels, negated, self.either, self._typed(first, last)))
        self.either = False
        if not negated:
            self.reading.words += self.stems[first:last]
        if last < len(self.tokens) and self.tokens[last].text == "free":
            return last + 1
        return last

    def _beside(self, first: int, last: int, name: tuple[str, ...]) -> bool:
        """Tell whether the name of a column stands right before or after a label."""
        before = self.stems[max(first - len(name), 0) : first]
        return bool(name) and (tuple(before) == name or tuple(self.stems[last : last + len(name)]) == name)

    def _not_wanted(self, first: int, last: int, *columns: str) -> bool:
        """Tell whether what is asked for here is negated, and go on with it for more of the same column."""
        if last < len(self.tokens) and self.tokens[last].text == "free":
            return True
        if self.negated and self.scope and not self.scope & set(columns):
            self.negated, self.scope = False, frozenset()
        elif self.negated:
            self.scope = frozenset(columns)
        return self.negated

    def _other(self, at: int) -> None:
        """Go past a token that is neither a label nor an amount."""
        token = self.tokens[at]
        if token.text in LISTING:
            self.either = token.text == "or" or (self.either and token.text == ",")
            return
        if self.scope or token.text in _ENDS:
            # What was not wanted has been said.
            self.negated, self.scope = False, frozenset()
        if not token.is_word or token.text in STOP_WORDS or token.text in FILLERS:
            return
        near = self.near(token.text) if self.near is not None and not self._described(token) else ()
        if near:
            self._ask(at, at + 1, tuple(near))
            return
        self.either = False
        if self.negated:
            self.reading.dropped.append(f"not {token.text}")
            self.negated, self.scope = False, frozenset()
            return
        if self.stems[at] in self.lexicon.known:
            self.reading.words.append(self.stems[at])
        else:
            self.reading.dropped.append(token.text)
        self.reading.open.append(token.text)

    def _described(self, token: Token) -> bool:
        return token.stem in self.lexicon.label_words
