"""Checks of options: what a value must be, declared once, with one wording for all errors."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from recokit.errors import ConfigurationError, DataError, RecokitError, did_you_mean
from recokit.typing import AnyArray, BoolArray


@dataclass(frozen=True)
class Rule:
    """A rule that the value of an option keeps.

    Parameters
    ----------
    expected : str
        How an error says it, after ``"expected "``.
    holds : callable
        Tells whether a value keeps the rule.
    hint : callable, optional
        Gives what else to say of a value that does not.
    """

    expected: str
    holds: Callable[[Any], bool]
    hint: Callable[[Any], str] | None = None

    def check(self, name: str, value: Any, error: type[RecokitError] = ConfigurationError) -> None:
        """Raise the error if the value breaks the rule.

        Raises
        ------
        ConfigurationError
            Or the error asked for.
        """
        if not self.holds(value):
            more = "" if self.hint is None else self.hint(value)
            raise error(
                f"found {name}={shown(value)}; expected {self.expected}" + (f"; {more}" if more else "")
            )


def shown(value: Any) -> str:
    """Return a value as messages have it: short, and numpy's scalars like Python's.

    Examples
    --------
    >>> shown(np.int64(1)), shown("a")
    ('1', "'a'")
    """
    plain = value.item() if isinstance(value, np.generic) else value
    text = repr(plain)
    return text if len(text) <= 80 else f"{text[:77]}..."


def shortened(value: object, length: int = 200) -> str:
    r"""Return what a value says in one line of at most so many characters, as messages and reasons quote it.

    Examples
    --------
    >>> shortened(ValueError("no\nwhere")), shortened("x" * 9, 5)
    ('no where', 'xx...')
    """
    text = str(value)
    # Nobody writes a line of his own into a log, or moves a terminal's cursor.
    text = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * length]).split())
    return text if len(text) <= length else f"{text[: length - 3]}..."


def error_text(error: BaseException) -> str:
    r"""Return the kind of an error and what it says, in one line, for reasons, events and logs.

    Examples
    --------
    >>> error_text(ValueError("no stock\nWARNING root: all is well"))
    'ValueError: no stock WARNING root: all is well'
    """
    return f"{type(error).__name__}: {shortened(error, 300)}"


def traced(error: BaseException) -> str:
    """Return the text of an error and the place that raised it, in one line: for logs.

    Examples
    --------
    >>> try:
    ...     {}["a"]
    ... except KeyError as error:
    ...     print(traced(error).partition(" (")[0])
    KeyError: 'a'
    """
    where = error.__traceback__
    while where is not None and where.tb_next is not None:
        where = where.tb_next
    if where is None:
        return error_text(error)
    return f"{error_text(error)} ({where.tb_frame.f_code.co_filename}:{where.tb_lineno})"


def _number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and not math.isnan(value)


def at_least(low: float, hint: str = "") -> Rule:
    """Return the rule for numbers from ``low`` on, infinity among them.

    Examples
    --------
    >>> at_least(0).holds(0.0), at_least(0).holds(float("nan"))
    (True, False)
    """
    return Rule(f"at least {low:g}", lambda value: _number(value) and value >= low, _always(hint))


def whole(low: int, high: int | None = None, hint: str = "") -> Rule:
    """Return the rule for whole numbers from ``low`` to ``high``.

    Examples
    --------
    >>> whole(1).holds(1), whole(1).holds(0), whole(1).holds(1.5)
    (True, False, False)
    """
    expected = f"a whole number of at least {low}" if high is None else f"a whole number from {low} to {high}"

    def holds(value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            return False
        return bool(value >= low and (high is None or value <= high))

    return Rule(expected, holds, _always(hint))


def above(low: float, hint: str = "") -> Rule:
    """Return the rule for finite numbers above ``low``.

    Examples
    --------
    >>> above(0).holds(0.1), above(0).holds(0), above(0).holds(float("inf"))
    (True, False, False)
    """
    expected = f"a finite number above {low:g}"
    return Rule(expected, lambda value: _number(value) and low < value < math.inf, _always(hint))


def between(
    low: float, high: float, *, open_low: bool = False, open_high: bool = False, hint: str = ""
) -> Rule:
    """Return the rule for numbers from ``low`` to ``high``, with or without the ends.

    Examples
    --------
    >>> between(0, 1, open_high=True).expected
    'a number of at least 0 and below 1'
    """
    start, end = "above" if open_low else "of at least", "below" if open_high else "at most"
    expected = f"a number {start} {low:g} and {end} {high:g}"

    def holds(value: Any) -> bool:
        if not _number(value):
            return False
        return bool(
            (low < value if open_low else low <= value) and (value < high if open_high else value <= high)
        )

    return Rule(expected, holds, _always(hint))


def finite(low: float = -math.inf, hint: str = "") -> Rule:
    """Return the rule for finite numbers from ``low`` on.

    Examples
    --------
    >>> finite(0).expected, finite(0).holds(float("inf"))
    ('a finite number of at least 0', False)
    """
    expected = "a finite number" if low == -math.inf else f"a finite number of at least {low:g}"
    return Rule(
        expected,
        lambda value: _number(value) and low <= value < math.inf and value > -math.inf,
        _always(hint),
    )


def identifier(example: str) -> Rule:
    """Return the rule for names of stages.

    Examples
    --------
    >>> identifier("christmas").holds("new year")
    False
    """
    return Rule(
        f"an identifier such as {example!r}", lambda value: isinstance(value, str) and value.isidentifier()
    )


def one_of(*names: str) -> Rule:
    """Return the rule for one of a few names.

    Examples
    --------
    >>> one_of("last", "time").expected
    "'last' or 'time'"
    """
    quoted = [repr(name) for name in names]
    expected = quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"

    def suggest(value: Any) -> str:
        near = did_you_mean(value, names) if isinstance(value, str) else ""
        return near if near.startswith("did you mean") else ""

    return Rule(expected, lambda value: isinstance(value, str) and value in names, suggest)


def optional(rule: Rule) -> Rule:
    """Return the rule that holds for None too."""
    return Rule(f"{rule.expected}, or None", lambda value: value is None or rule.holds(value), rule.hint)


def rules(**options: Rule) -> Mapping[str, Rule]:
    """Return the rules of options by their names, for ``_OPTIONS`` of a class."""
    return options


def check_options(stage: Any, options: Mapping[str, Rule]) -> None:
    """Check the options of an object, which it holds as attributes of the same names.

    Raises
    ------
    ConfigurationError
        For the first that breaks its rule.
    """
    for name, rule in options.items():
        rule.check(name, getattr(stage, name))


def require(rule: Rule, **values: Any) -> None:
    """Check arguments of a function against one rule.

    Raises
    ------
    ConfigurationError
        For the first that breaks it.

    Examples
    --------
    >>> require(whole(1), k=10, max_events=5)
    """
    for name, value in values.items():
        rule.check(name, value)


def require_rows(ok: BoolArray, values: AnyArray, name: str, expected: str) -> None:
    """Check a column row by row.

    Raises
    ------
    DataError
        With the first value, and the rows, where ``ok`` is not set.

    Examples
    --------
    >>> weight = np.array([1.0, 2.0])
    >>> require_rows(weight >= 0, weight, "weight", "at least 0")
    """
    bad = np.flatnonzero(~ok)
    if len(bad):
        raise DataError(f"found {name}={values[bad[0]]}; expected {expected}", rows=bad)


def _always(hint: str) -> Callable[[Any], str] | None:
    return (lambda _: f"hint: {hint}") if hint else None


#: A share of a whole that is neither nothing nor all of it.
share = between(0, 1, open_low=True, open_high=True)
#: Several names; one text alone is a sequence of letters.
names = Rule("several names", lambda value: not isinstance(value, str), lambda value: f"hint: ({value!r},)")
