"""Options that several commands have, and how their values are read."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Sequence
from typing import Any, NoReturn

DATA = "events as .csv, .jsonl or .parquet, or CODE[:FUNCTION] that returns a Dataset (load_data)"
MODEL = "folder of a saved model, or of a store of versions"


class UsageError(Exception):
    """The call is wrong: exit code 2."""


class Parser(argparse.ArgumentParser):
    """A parser whose help fits 80 columns, and that names the option that was likely meant."""

    def __init__(self, prog: str, summary: str, **options: Any) -> None:
        super().__init__(prog, description=_sentence(summary), allow_abbrev=False, **options)
        self.formatter_class = lambda prog: argparse.HelpFormatter(prog, max_help_position=22, width=79)

    def error(self, message: str) -> NoReturn:
        """Print one line, and exit with 2."""
        unknown = re.search(r"unrecognized arguments: (--[\w-]+)", message)
        if unknown:
            known = [text for action in self._actions for text in action.option_strings]
            close = difflib.get_close_matches(unknown[1], known, 1)
            message += f"; did you mean {close[0]}?" if close else ""
        self.exit(2, f"{self.prog}: {message}; hint: {self.prog} --help\n")


def _sentence(summary: str) -> str:
    return f"{summary[0].upper()}{summary[1:]}."


def add_common(parser: argparse.ArgumentParser) -> None:
    """Add what every command has."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.add_argument("--traceback", action="store_true", help="show where an error comes from")


def add_data(parser: argparse.ArgumentParser, *, optional: bool = False) -> None:
    """Add the data and how it is read."""
    parser.add_argument("data", metavar="DATA", nargs="?" if optional else None, help=DATA)
    parser.add_argument("--items", metavar="FILE", help="table of items")
    parser.add_argument("--users", metavar="FILE", help="table of users")
    parser.add_argument(
        "--column",
        metavar="OURS=YOURS",
        action="append",
        type=pair,
        default=[],
        help="such as user_id=customer; may be repeated",
    )
    parser.add_argument("--min-rating", type=float, metavar="R", help="ratings from R on are signals")
    parser.add_argument("--until", metavar="DATE", help="only events before")


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add the model, and whose classes it may hold."""
    parser.add_argument("model", metavar="MODEL", help=MODEL)
    add_trust(parser)


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Add whose classes a saved model may hold."""
    parser.add_argument(
        "--trust",
        metavar="CODE",
        action="append",
        default=[],
        help="a Python file or module whose stages the model holds",
    )


def add_now(parser: argparse.ArgumentParser) -> None:
    """Add the time of the requests."""
    parser.add_argument(
        "--now", metavar="DATE", help="time of the requests, or 'now'; the end of the model's data by default"
    )


def pair(text: str) -> tuple[str, str]:
    """Return the two parts of ``NAME=VALUE``."""
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise argparse.ArgumentTypeError(f"found {text!r}; expected NAME=VALUE")
    return name, value


def pair_of_number(text: str) -> tuple[str, float]:
    """Return the parts of ``NAME=NUMBER``."""
    name, value = pair(text)
    try:
        return name, float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"found {text!r}; expected NAME=NUMBER") from None


def positive(text: str) -> int:
    """Return a whole number from 1 on."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}; expected a whole number from 1 on")
    return value


def number_or_text(text: str) -> Any:
    """Return a number where the text is one."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def as_mapping(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return pairs as a mapping; UsageError where a name is given twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name, _ in pairs if [one for one, _ in pairs].count(name) > 1)
        raise UsageError(f"found {twice!r} twice; expected it once")
    return found
