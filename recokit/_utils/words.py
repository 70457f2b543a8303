"""Words of texts and queries: cut, lower case, plurals as singulars."""

from __future__ import annotations

import re
import unicodedata

_WORD = re.compile(r"[^\W_]+")
#: Endings after which a plural has "es".
_SIBILANTS = ("xes", "ches", "shes", "sses", "zes")


def folded(text: str) -> str:
    """Return a text in the form that is compared: compatible characters, lower case, no accents."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return unicodedata.normalize("NFKC", "".join(sign for sign in plain if not unicodedata.combining(sign)))


def stem(word: str) -> str:
    """Return a lower-case word without the ending of an English plural.

    Examples
    --------
    >>> [stem(word) for word in ("shoes", "dresses", "berries", "glass", "bus", "42")]
    ['shoe', 'dress', 'berry', 'glass', 'bus', '42']
    """
    if len(word) < 4 or word.endswith(("ss", "us", "is")) or not word.endswith("s"):
        return word
    if word.endswith("ies") and len(word) > 4:
        return f"{word[:-3]}y"
    return word[:-2] if word.endswith(_SIBILANTS) else word[:-1]


def words(text: str) -> list[str]:
    """Return the stems of a text's words and numbers, in order.

    Examples
    --------
    >>> words("Men's Running-Shoes, 42!")
    ['men', 'running', 'shoe', '42']
    """
    return [stem(word) for word in _WORD.findall(folded(text).replace("'s", " ").replace("\u2019s", " "))]
