"""Amounts: comparisons with numbers in a query, and the column that each is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from recokit._utils.words import stem
from recokit.text._lexicon import Lexicon
from recokit.text._tables import (
    ABOUT,
    AFTERWARDS,
    COMPARISONS,
    CURRENCIES,
    FILLERS,
    SAID_OF,
    UNITS,
)
from recokit.text._tokens import Token

#: "Around 50" is within a fifth of it.
_AROUND = 0.2
#: Numbers that are taken for years where a column holds years.
_YEARS = (1800, 2200)
_SIGNS = ("-", "\u2013")
#: Longest phrase of a comparison.
_LONGEST = 3


@dataclass(frozen=True, slots=True)
class Amount:
    """A comparison of a numeric column with numbers, and the tokens that it was read from.

    Parameters
    ----------
    first, last : int
        The tokens ``first:last``.
    column : str or None
        None where no column is meant, or its unit cannot be compared.
    bounds : tuple of (operator, number)
        In the column's own unit.
    """

    first: int
    last: int
    column: str | None
    bounds: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class _Number:
    """A number with its unit, and the token after both."""

    value: float
    unit: str | None
    last: int


def amount_at(tokens: Sequence[Token], start: int, lexicon: Lexicon) -> Amount | None:
    """Return the amount that begins with a token; None where none does."""
    for read in (_decade, _between, _compared, _bare):
        amount = read(tokens, start, lexicon)
        if amount is not None:
            return amount
    return None


def _decade(tokens: Sequence[Token], start: int, lexicon: Lexicon) -> Amount | None:
    """Read "from the 90s", "1990s"."""
    at = start
    while at < len(tokens) and tokens[at].text in ("from", "in", "of", "the"):
        at += 1
    year = _year_column(lexicon, None)
    if year is None or at + 1 >= len(tokens) or tokens[at + 1].text != "s":
        return None
    value = tokens[at].number
    if value is None or value % 10 or not (10 <= value < 100 or _YEARS[0] <= value <= _YEARS[1]):
        return None
    first = value + 1900 if value < 100 else value
    return Amount(start, at + 2, year, ((">=", first), ("<", first + 10)))


def _between(tokens: Sequence[Token], start: int, lexicon: Lexicon) -> Amount | None:
    """Read "between 20 and 50", "from 20 to 50", "20-50 eur"."""
    opened = tokens[start].text in ("between", "from")
    low = _number(tokens, start + opened)
    if low is None or low.last >= len(tokens):
        return None
    joint = tokens[low.last].text
    joined = joint in ("to", *_SIGNS) or (tokens[start].text == "between" and joint == "and")
    high = _number(tokens, low.last + 1) if joined else None
    if high is None or high.value < low.value:
        return None
    unit = high.unit or low.unit
    if unit is None and _year_column(lexicon, low) and (year := _year_column(lexicon, high)):
        return Amount(start, high.last, year, ((">=", low.value), ("<=", high.value)))
    return _about(tokens, (start, high.last), [(">=", low.value), ("<=", high.value)], unit, lexicon)


def _compared(tokens: Sequence[Token], start: int, lexicon: Lexicon) -> Amount | None:
    """Read "below 50 euros", "at least 16 gb"."""
    length, sign = _phrase(COMPARISONS, tokens, start)
    if not length and tokens[start].text == "from":
        length, sign = 1, ">="
    at = start + length
    if not length:
        return None
    while at < len(tokens) and tokens[at].text in FILLERS:
        at += 1
    number = _number(tokens, at)
    if number is None:
        return None
    year = _year_column(lexicon, number)
    if tokens[start].text == "from" and year:
        return Amount(start, number.last, year, (("==", number.value),))
    return _about(tokens, (start, number.last), [(sign, number.value)], number.unit, lexicon)


def _bare(tokens: Sequence[Token], start: int, lexicon: Lexicon) -> Amount | None:
    """Read "50 euros or less", "4+ stars", "1995", and "42" beside the name of a column."""
    number = _number(tokens, start)
    if number is None:
        return None
    length, sign = _phrase(AFTERWARDS, tokens, number.last)
    if length:
        unit, last = number.unit, number.last + length
        if unit is None and (follows := _unit(tokens, last)):
            unit, last = follows
        return _about(tokens, (start, last), [(sign, number.value)], unit, lexicon)
    year = _year_column(lexicon, number)
    if year:
        return Amount(start, number.last, year, (("==", number.value),))
    column = _named(tokens, start, number.last, lexicon)
    if column:
        first, last, name = column
        return _converted(Amount(first, last, name, (("==", number.value),)), number.unit, lexicon)
    # A number of nothing is not understood, whatever follows it.
    return Amount(start, number.last, None, (("==", number.value),))


def _about(
    tokens: Sequence[Token],
    span: tuple[int, int],
    bounds: list[tuple[str, float]],
    unit: str | None,
    lexicon: Lexicon,
) -> Amount:
    """Find the column that an amount is about: by its name beside it, its unit, its comparison, else the price."""
    first, last = span
    if bounds[0][0] == "~":
        value = bounds[0][1]
        bounds = [(">=", value * (1 - _AROUND)), ("<=", value * (1 + _AROUND))]
    named = _named(tokens, first, last, lexicon)
    if named:
        first, last, column = named
        return _converted(Amount(first, last, column, tuple(bounds)), unit, lexicon)
    found: str | None = None
    if unit in CURRENCIES:
        found = lexicon.price
    elif unit is not None:
        dimension = UNITS[unit][0]
        having = [name for name, its in lexicon.units.items() if UNITS.get(its, ("",))[0] == dimension]
        found = having[0] if len(having) == 1 else None
    else:
        about = ABOUT.get(tokens[first].text, ())
        found = next(
            (name for word in about for name, parts in lexicon.numbers.items() if word in parts), None
        )
        value = bounds[0][1]
        if found and set(lexicon.numbers[found]) & {"year"} and not _YEARS[0] <= value <= _YEARS[1]:
            found = None
        if bounds[0][0] != "==":  # "= 1" of nothing is no price
            found = found or lexicon.price
    return _converted(Amount(first, last, found, tuple(bounds)), unit, lexicon)


def _named(tokens: Sequence[Token], first: int, last: int, lexicon: Lexicon) -> tuple[int, int, str] | None:
    """Return the tokens with the name of a numeric column beside them, and the column; None without one."""
    for width in (3, 2, 1):
        before = tokens[max(first - width, 0) : first]
        content = [
            SAID_OF.get(token.stem, token.stem)
            for token in before
            if token.text not in FILLERS or token.stem in SAID_OF
        ]
        if len(before) == width and content and (before[0].text not in FILLERS or before[0].stem in SAID_OF):
            for name in lexicon.number_columns(content):
                if len(lexicon.numbers[name]) == len(content):
                    return first - width, last, name
        after = tokens[last : last + width]
        if len(after) == width:
            for name in lexicon.number_columns(SAID_OF.get(token.stem, token.stem) for token in after):
                if len(lexicon.numbers[name]) == width:
                    return first, last + width, name
    return None


def _converted(amount: Amount, unit: str | None, lexicon: Lexicon) -> Amount:
    """Return an amount in its column's unit; without a column where the two cannot be compared."""
    its = None if amount.column is None else lexicon.units.get(amount.column)
    if unit is None or amount.column is None:
        return amount
    if unit in CURRENCIES:
        wrong = amount.column != lexicon.price or (
            its is not None and CURRENCIES.get(its, its) != CURRENCIES[unit]
        )
        return Amount(amount.first, amount.last, None, amount.bounds) if wrong else amount
    if its is None:
        return amount  # the column is named, and nothing says what it counts in
    if UNITS.get(its, ("",))[0] != UNITS[unit][0]:
        return Amount(amount.first, amount.last, None, amount.bounds)
    factor = UNITS[unit][1] / UNITS[its][1]
    bounds = tuple((sign, float(f"{value * factor:.12g}")) for sign, value in amount.bounds)
    return Amount(amount.first, amount.last, amount.column, bounds)


def _phrase(table: Mapping[tuple[str, ...], str], tokens: Sequence[Token], start: int) -> tuple[int, str]:
    """Return the length of the longest phrase of a table from a token on, and what it stands for."""
    for length in range(min(_LONGEST, len(tokens) - start), 0, -1):
        sign = table.get(tuple(token.text for token in tokens[start : start + length]))
        if sign:
            return length, sign
    return 0, ""


def _number(tokens: Sequence[Token], at: int) -> _Number | None:
    """Return the number at a token with the currency before it or the unit after it."""
    unit = None
    if at < len(tokens) and tokens[at].text in CURRENCIES and tokens[at].number is None:
        unit, at = tokens[at].text, at + 1
    if at >= len(tokens) or tokens[at].number is None:
        return None
    value = tokens[at].number
    assert value is not None
    last = at + 1
    if last < len(tokens) and tokens[last].text in _SIGNS and _unit(tokens, last + 1):
        last += 1  # "6-inch"
    if unit is None and (follows := _unit(tokens, last)):
        unit, last = follows
    return _Number(value, unit, last)


def _unit(tokens: Sequence[Token], at: int) -> tuple[str, int] | None:
    if at >= len(tokens):
        return None
    word = tokens[at].text
    for form in (word, stem(word)):
        if form in CURRENCIES or form in UNITS:
            return form, at + 1
    return None


def _year_column(lexicon: Lexicon, number: _Number | None) -> str | None:
    """Return the column of years, where a number may be one."""
    if number is not None and (number.unit or not _YEARS[0] <= number.value <= _YEARS[1] or number.value % 1):
        return None
    return next((name for name, parts in lexicon.numbers.items() if "year" in parts), None)
