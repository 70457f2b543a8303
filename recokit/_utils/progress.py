"""Progress of long work: bars that are asked for, and one line where somebody looks."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TextIO, TypeVar

T = TypeVar("T")

#: Characters of the line: less than a terminal has.
_WIDTH = 78
#: Seconds between two writings, and before the first: short work says nothing.
_EVERY, _FIRST = 0.1, 1.0


def progress_bar(steps: Iterable[T], *, show: bool, label: str, total: int | None = None) -> Iterable[T]:
    """Return the steps, with a tqdm bar around them if ``show`` is set."""
    if not show:
        return steps
    from tqdm.auto import tqdm

    bar: Iterable[T] = tqdm(steps, desc=label, total=total)
    return bar


def somebody_looks(stream: TextIO) -> bool:
    """Tell whether a stream is a terminal or a notebook, and no log."""
    if stream.isatty():
        return True
    shell = sys.modules.get("ipykernel.zmqshell")
    return shell is not None and type(stream).__module__.startswith("ipykernel")


class _Line:
    """A line that is written over and over, and at last says how long all took."""

    def __init__(self, label: str, stream: TextIO, *, at_once: bool) -> None:
        self._label, self._stream = label, stream
        self._started = time.monotonic()
        self._due = self._started + (0.0 if at_once else _FIRST)
        self._written = False

    def say(self, what: str) -> None:
        now = time.monotonic()
        if now < self._due:
            return
        self._due, self._written = now + _EVERY, True
        self._write(f"{self._label}: {what}, {now - self._started:.0f} s")

    def close(self, how: str) -> None:
        if self._written:
            self._write(f"{self._label}: {how} after {time.monotonic() - self._started:.1f} s")
            self._stream.write("\n")
            self._stream.flush()

    def _write(self, text: str) -> None:
        self._stream.write(f"\r{text[:_WIDTH]:<{_WIDTH}}")
        self._stream.flush()


_LINE: ContextVar[_Line | None] = ContextVar("line", default=None)


@contextmanager
def progress_line(label: str, *, show: bool | None = None) -> Iterator[None]:
    """Show what is done meanwhile, by :func:`say`, in one line on the error stream.

    Parameters
    ----------
    label : str
    show : bool, optional
        By default where somebody looks: in terminals and notebooks, from the first second on, and not in logs.
    """
    wanted = somebody_looks(sys.stderr) if show is None else show
    line = _Line(label, sys.stderr, at_once=show is True) if wanted and _LINE.get() is None else None
    if line is None:
        yield
        return
    token = _LINE.set(line)
    how = "failed"
    try:
        yield
        how = "done"
    finally:
        _LINE.reset(token)
        line.close(how)


def say(what: str) -> None:
    """Say what is done now, in the line that is shown; nothing without one."""
    line = _LINE.get()
    if line is not None:
        line.say(what)
