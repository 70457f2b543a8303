"""Tokens of a query: words, numbers and signs, each with its place in the text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from recokit._utils.words import folded, stem
from recokit.text._tables import NUMBER_WORDS

_TOKEN = re.compile(
    r"(?P<number>\d+(?:[.,]\d+)*)(?P<kilo>k\b)?|(?P<word>[^\W\d_]+)(?:['\u2019]s\b)?"
    r"|(?P<sign><=|>=|[<>=~$\u20ac\u00a3\u00a5,;:.!?&+/()\u2013-])"
)


@dataclass(frozen=True, slots=True)
class Token:
    """A word, number or sign of a query.

    Parameters
    ----------
    text : str
        In lower case, without accents; a sign as it is.
    stem : str
        What is compared with labels.
    start, end : int
        Place in the query as it was typed.
    number : float, optional
        Its value.
    """

    text: str
    stem: str
    start: int
    end: int
    number: float | None = None

    @property
    def is_word(self) -> bool:
        """Whether it is a word, not a number or sign."""
        return self.text[:1].isalpha()


def tokens_of(text: str) -> list[Token]:
    """Return the tokens of a query.

    Examples
    --------
    >>> [token.text for token in tokens_of("Men's shoes, under 1,500.50 EUR")]
    ['men', 'shoes', ',', 'under', '1,500.50', 'eur']
    >>> [token.number for token in tokens_of("2k fifty 19,99 1.500,00")]
    [2000.0, 50.0, 19.99, 1500.0]
    """
    found = []
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup
        if match["number"]:
            value = number_of(match["number"]) * (1000 if match["kilo"] else 1)
            found.append(Token(match[0].lower(), match[0].lower(), match.start(), match.end(), value))
        elif kind == "sign":
            if match[0] in "-\u2013" and _joins_letters(text, match.start()):
                continue  # "sci-fi" is two words
            if match[0] == "&":
                found.append(Token("and", "and", match.start(), match.end()))
                continue
            found.append(Token(match[0], match[0], match.start(), match.end()))
        else:
            word = folded(match["word"])
            value_of_word = NUMBER_WORDS.get(word)
            found.append(Token(word, stem(word), match.start(), match.end(), value_of_word))
    return found


def _joins_letters(text: str, at: int) -> bool:
    return text[max(at - 1, 0) : at].isalpha() and text[at + 1 : at + 2].isalpha()


def number_of(text: str) -> float:
    """Return the value of a number with either kind of decimal sign and thousands.

    Examples
    --------
    >>> [number_of(text) for text in ("1,500", "19,99", "1.500,00", "0.5", "1,234,567.8")]
    [1500.0, 19.99, 1500.0, 0.5, 1234567.8]
    """
    last = max(text.rfind(","), text.rfind("."))
    if last < 0:
        return float(text)
    head, tail = text[:last], text[last + 1 :]
    mixed = "," in head + text[last] and "." in head + text[last]
    thousands = not mixed and len(tail) == 3 and (text[last] == "," or text.count(".") > 1)
    digits = re.sub(r"[.,]", "", head)
    return float(digits + tail) if thousands else float(f"{digits}.{tail}")


def span_of(text: str, tokens: Sequence[Token]) -> str:
    """Return the part of a query that tokens cover, as it was typed."""
    return text[tokens[0].start : tokens[-1].end] if tokens else ""
