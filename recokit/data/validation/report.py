"""Check and CheckReport: what a test of data found, as pass, warn or fail, with its evidence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from recokit._utils.report import Content, Report, Table
from recokit.errors import ConfigurationError, DataError, did_you_mean
from recokit.typing import IntArray

#: Worst last. "not checked" is no pass: what a check needs was not there.
Status = Literal["pass", "not checked", "warn", "fail"]

_ORDER: tuple[Status, ...] = ("pass", "not checked", "warn", "fail")
_MARKS = {"pass": "ok", "not checked": "--", "warn": "WARN", "fail": "FAIL"}
#: Row numbers that ``to_dict`` gives; ``rows`` has them all.
_SHOWN_ROWS = 20


def _no_rows() -> IntArray:
    return np.zeros(0, np.int64)


@dataclass(frozen=True, eq=False)
class Check:
    """What one check found.

    Parameters
    ----------
    name : str
        Of the check, such as ``"freshness"``.
    status : {"pass", "not checked", "warn", "fail"}
        The verdict.
    message : str
        What was found, in a sentence with its numbers.
    expected : str
        What a pass needs.
    hint : str
        What to do about it; empty for a pass.
    subject : str
        The column, feature or event type concerned; empty if none in particular.
    rows : ndarray of int64
        Positions of the offending rows, ascending (of a table: codes); empty where rows are not to blame.
    evidence : mapping of str to JSON value
        The numbers behind the verdict.
    """

    name: str
    status: Status
    message: str
    expected: str = ""
    hint: str = ""
    subject: str = ""
    rows: IntArray = field(default_factory=_no_rows)
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON, with the first 20 row numbers and how many there are."""
        return {
            "name": self.name,
            "status": self.status,
            "subject": self.subject,
            "message": self.message,
            "expected": self.expected,
            "hint": self.hint,
            "n_rows": len(self.rows),
            "rows": self.rows[:_SHOWN_ROWS].tolist(),
            "evidence": dict(self.evidence),
        }

    def __str__(self) -> str:
        about = f" [{self.subject}]" if self.subject else ""
        text = f"{_MARKS[self.status]:<5}{self.name}{about}: {self.message}"
        if self.status in ("pass", "not checked"):
            return text
        text += f"; expected {self.expected}" if self.expected else ""
        text += f"; hint: {self.hint}" if self.hint else ""
        if len(self.rows):
            text += f" (rows {', '.join(map(str, self.rows[:5].tolist()))}{', ...' if len(self.rows) > 5 else ''})"
        return text


@dataclass(frozen=True, eq=False, repr=False)
class CheckReport(Report):
    """What several checks found.

    ``report["freshness"]`` is the worst check of that name; iterating gives all.

    Parameters
    ----------
    title : str
        What was checked.
    checks : tuple of Check
        In the order they ran.
    """

    title: str
    checks: tuple[Check, ...]

    @property
    def status(self) -> Status:
        """The worst verdict."""
        return max((check.status for check in self.checks), key=_ORDER.index, default="not checked")

    @property
    def ok(self) -> bool:
        """Whether no check failed. Warnings, and what was not checked, are in ``findings`` and ``unchecked``."""
        return self.status != "fail"

    @property
    def findings(self) -> tuple[Check, ...]:
        """The checks that failed, then those that warn."""
        return tuple(c for status in ("fail", "warn") for c in self.checks if c.status == status)

    @property
    def unchecked(self) -> tuple[Check, ...]:
        """The checks that lacked what they need."""
        return tuple(check for check in self.checks if check.status == "not checked")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the checks, each once."""
        return tuple(dict.fromkeys(check.name for check in self.checks))

    def of(self, name: str) -> tuple[Check, ...]:
        """Return the checks of a name, one for each subject."""
        found = tuple(check for check in self.checks if check.name == name)
        if not found:
            raise ConfigurationError(f"found no check {name!r}; {did_you_mean(name, self.names)}")
        return found

    def __getitem__(self, name: str) -> Check:
        return max(self.of(name), key=lambda check: _ORDER.index(check.status))

    def __iter__(self) -> Iterator[Check]:
        return iter(self.checks)

    def __len__(self) -> int:
        return len(self.checks)

    def assert_ok(self, *, strict: bool = False) -> None:
        """Raise if a check failed, for CI.

        Parameters
        ----------
        strict : bool, default False
            Whether a warning, or a check that could not be made, is an error too.

        Raises
        ------
        DataError
            With every finding, and the row numbers of the first that has any.
        """
        bad = [c for c in self.findings if strict or c.status == "fail"]
        bad += self.unchecked if strict else ()
        if not bad:
            return
        rows = next((check.rows for check in bad if len(check.rows)), _no_rows())
        raise DataError("\n".join([f"{self.title}: {self.status}", *map(str, bad)]), rows=rows)

    def plot(self, ax: Any = None) -> Any:
        """Draw a mark for each check with what it found, the worst first; a name once, with its worst.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        matplotlib Axes

        Raises
        ------
        ConfigurationError
            Without matplotlib (extra ``plots``).
        """
        from recokit._utils.plots.checks import draw_checks
        from recokit._utils.plots.style import title

        worst = [self[name] for name in self.names]
        ax = draw_checks([(check.name, check.status, check.message) for check in worst], ax)
        title(ax, f"{self.title}: {self.status}")
        return ax

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {"title": self.title, "status": self.status, "checks": [c.to_dict() for c in self.checks]}

    def __repr__(self) -> str:
        counts = {status: sum(c.status == status for c in self.checks) for status in _ORDER}
        shown = ", ".join(f"{n} {status}" for status, n in counts.items() if n)
        return f"{type(self).__name__}({shown or 'no checks'})"

    def __str__(self) -> str:
        return "\n".join([f"{self.title}: {self.status}", *(f"  {check}" for check in self.checks)])

    def _content(self) -> Content:
        checks = sorted(self.checks, key=lambda check: -_ORDER.index(check.status))
        columns: dict[str, Sequence[str]] = {
            "status": [check.status for check in checks],
            "check": [check.name for check in checks],
            "of": [check.subject for check in checks],
            "found": [check.message for check in checks],
            "expected": [check.expected for check in checks],
            "hint": [check.hint for check in checks],
            "rows": [f"{len(check.rows):,}" if len(check.rows) else "" for check in checks],
        }
        filled = {name: column for name, column in columns.items() if any(column)}
        rows = list(zip(*filled.values(), strict=True))
        return Content(f"{self.title}: {self.status}", [Table(list(filled), rows)])
