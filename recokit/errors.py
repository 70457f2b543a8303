"""Typed errors of recokit.

The tree::

    RecokitError
    ├── ConfigurationError (ValueError)    a pipeline, stage or option that cannot work
    ├── ContractError (TypeError)          a stage broke its protocol, such as a wrong shape; always raised
    ├── DataError (ValueError)             bad input data, with row numbers where they are known
    │   ├── VocabularyMismatch             codes of one model used with the vocabulary of another
    │   └── SupportError                   a log that cannot tell what another policy would be worth
    ├── GateRejected (RuntimeError)        a candidate that an acceptance gate keeps out
    ├── NotFittedError (RuntimeError, AttributeError)  used before ``fit``
    ├── Unavailable (RuntimeError)         a service that cannot answer now; says when to ask again
    │   ├── NotReady                       before ``start``, or while it drains
    │   └── Overloaded                     more requests than it can answer in time
    └── StageError (RuntimeError)          a stage failed while serving; ``raise_for_status`` raises it
        ├── SourceTimeout                  a source did not answer within the request's budget
        └── FeatureUnavailable             a feature block could not be computed

    DataWarning (UserWarning)              something guessed of data, settled by declaring it; not an error
    FitWarning (UserWarning)               a fit that collapsed: it learned nothing, or did not converge; not an error
    LeakageWarning (UserWarning)           an evaluation that uses what was not known yet; a warning, not an error

Every message says what was found, what was expected and, where there is one, a hint.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

__all__ = [
    "ConfigurationError",
    "ContractError",
    "DataError",
    "DataWarning",
    "FeatureUnavailable",
    "FitWarning",
    "GateRejected",
    "LeakageWarning",
    "NotFittedError",
    "NotReady",
    "Overloaded",
    "RecokitError",
    "SourceTimeout",
    "StageError",
    "SupportError",
    "Unavailable",
    "VocabularyMismatch",
    "did_you_mean",
]

_SHOWN = 20


class RecokitError(Exception):
    """Base class of every error that recokit raises on purpose.

    Its message has at most 500 characters, whatever the ids and names that it shows: long ones are cut first.
    """

    #: The most characters of a message.
    longest = 500

    def __init__(self, *args: object) -> None:
        super().__init__(*(_readable(one, self.longest) if isinstance(one, str) else one for one in args))


#: Text without a blank, longer than this, is no word: it is cut in the middle of a message.
_LONG_WORD = re.compile(r"\S{81,}")
#: A number as numpy's ``repr`` has it.
_NUMPY = re.compile(r"\bnp\.(?:u?int\d+|float\d+|bool_?|str_|bytes_|datetime64|timedelta64)\(([^()]*)\)")


def _readable(message: str, longest: int) -> str:
    """Return a message with plain numbers, without words that are too long, and not too long itself."""
    plain = _NUMPY.sub(r"\1", message)
    if len(plain) > longest:
        plain = _LONG_WORD.sub(lambda word: f"{word[0][:57]}...{word[0][-20:]}", plain)
    return plain if len(plain) <= longest else f"{plain[: longest - 3]}..."


class ConfigurationError(RecokitError, ValueError):
    """A pipeline, stage or option that cannot work as configured."""


class ContractError(RecokitError, TypeError):
    """A stage returned something its protocol does not allow. Never degraded, always raised."""


class DataError(RecokitError, ValueError):
    """Input data that cannot be used as given.

    Parameters
    ----------
    message : str
        What was found, what was expected, and a hint.
    rows : iterable of int, optional
        Positions (0-based) of the offending rows; the message shows the first five.
    problems : iterable of str, optional
        Where there are several problems: the message of each, in full.
    """

    def __init__(self, message: str, *, rows: Iterable[int] = (), problems: Iterable[str] = ()) -> None:
        self.rows, self.problems = tuple(int(row) for row in rows), tuple(problems)
        shown = f" (rows {', '.join(map(str, self.rows[:5]))}{', ...' if len(self.rows) > 5 else ''})"
        shown = shown if self.rows else ""
        super().__init__(_readable(message, self.longest - len(shown)) + shown)

    def __reduce__(self) -> tuple[Callable[..., DataError], tuple[Any, ...], dict[str, Any]]:
        return type(self), self.args, {"rows": self.rows, "problems": self.problems}


class VocabularyMismatch(DataError):
    """Codes or state that belong to another model's vocabulary."""


class SupportError(DataError):
    """A log that cannot tell what another policy would be worth: it hardly ever shows what that policy would."""


class GateRejected(RecokitError, RuntimeError):
    """A candidate did not pass its acceptance gate; the message has every reason, however many."""

    longest = 100_000


class NotFittedError(RecokitError, RuntimeError, AttributeError):
    """A stage or pipeline was used before ``fit``.

    An AttributeError too, so that ``hasattr`` tells whether a stage has learned something yet.
    """


class Unavailable(RecokitError, RuntimeError):
    """A service cannot answer now: HTTP's 503.

    Parameters
    ----------
    message : str
        What happened.
    retry_after : float
        Seconds after which it is worth asking again.
    """

    def __init__(self, message: str, *, retry_after: float) -> None:
        self.retry_after = retry_after
        super().__init__(message)

    def __reduce__(self) -> tuple[Callable[..., Unavailable], tuple[Any, ...]]:
        return partial(type(self), retry_after=self.retry_after), self.args


class NotReady(Unavailable):
    """A service was asked before it is ready, or while it drains."""


class Overloaded(Unavailable):
    """A service has more requests than it can answer in time."""


class StageError(RecokitError, RuntimeError):
    """A stage failed while it served a request.

    Parameters
    ----------
    message : str
        What happened.
    name : str
        Path of the stage in its pipeline.
    role : str
        The stage's role, such as ``"source"`` or ``"filter"``.
    cause : BaseException, optional
        The error that the stage raised.
    """

    def __init__(self, message: str, *, name: str, role: str, cause: BaseException | None = None) -> None:
        self.name, self.role, self.cause = name, role, cause
        super().__init__(message)

    def __reduce__(self) -> tuple[Callable[..., StageError], tuple[Any, ...]]:
        # Another process rebuilds an exception from its positional arguments alone, unless told otherwise.
        return partial(type(self), name=self.name, role=self.role, cause=self.cause), self.args


class SourceTimeout(StageError):
    """A source did not answer within what the request's budget left it."""


class FeatureUnavailable(StageError):
    """A feature block could not be computed for a request."""


class DataWarning(UserWarning):
    """Something that was guessed of data, and is settled by declaring it."""


class FitWarning(UserWarning):
    """A fit that collapsed: it recommends what is popular to everybody, learned nothing, or did not converge."""


class LeakageWarning(UserWarning):
    """A split or evaluation that uses what was not known at the time."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint that names the closest known name, or the known names.

    Parameters
    ----------
    name : str
        The name that was not found.
    known : iterable of str
        The names that exist.

    Returns
    -------
    str
        A sentence to append to an error message.

    Examples
    --------
    >>> did_you_mean("categry", ["category", "seller"])
    "did you mean 'category'?"
    """
    names = sorted({str(known_name) for known_name in known})
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    if not names:
        return "none is known here"
    return f"known names: {', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''}"
