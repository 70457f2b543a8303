"""Running a stage under watch: inputs that cannot be written to, Python line events, threads that take turns."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from types import FrameType, MappingProxyType
from typing import Any

import numpy as np

#: Turns of each thread before the two run freely.
_TURNS = 400
#: Seconds to wait for a turn before the other thread counts as blocked.
_PATIENCE = 0.02


def frozen(value: Any) -> Any:
    """Return a deep copy whose arrays and mappings cannot be written to."""
    if isinstance(value, np.ndarray):
        twin = value.copy()
        twin.flags.writeable = False
        return twin
    if isinstance(value, Mapping):
        return MappingProxyType({name: frozen(part) for name, part in value.items()})
    if is_dataclass(value) and not isinstance(value, type):
        return replace(
            value, **{part.name: frozen(getattr(value, part.name)) for part in fields(value) if part.init}
        )
    return value


def count_line_events(function: Callable[..., Any], *args: Any) -> int:
    """Return how many Python line events a call makes, in every frame."""
    count = 0

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function(*args)
    finally:
        sys.settrace(before)
    return count


class _Turns:
    """Two threads that hand the turn to each other; neither waits for one that is done, or blocked for long."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.turn = 0
        self.left = [_TURNS, _TURNS]

    def wait(self, me: int) -> None:
        """Wait for the own turn; take it where the other thread is blocked, as by a lock that this one holds."""
        with self.changed:
            if not self.changed.wait_for(lambda: self.turn == me or not self.left[1 - me], _PATIENCE):
                self.left[me] = max(self.left[me] - _TURNS // 10, 0)
            self.turn = me

    def swap(self, me: int) -> None:
        """Hand over the turn and wait for the next."""
        with self.changed:
            self.left[me] = max(self.left[me] - 1, 0)
            self.turn = 1 - me
            self.changed.notify_all()
        if self.left[me]:
            self.wait(me)

    def leave(self, me: int) -> None:
        """Let the other finish on its own."""
        self.left[me] = 1
        self.swap(me)


def run_interleaved(functions: Sequence[Callable[[], Any]], lines: int = 1) -> list[Any]:
    """Run two functions in two threads that take turns after every so many lines of Python.

    Returns
    -------
    list
        What each function returned, or the exception it raised.
    """
    results: list[Any] = [None, None]
    turns = _Turns()

    def work(me: int) -> None:
        seen = 0

        def trace(frame: FrameType, event: str, arg: Any) -> Any:
            nonlocal seen
            seen += event == "line"
            if event == "line" and seen % lines == 0 and turns.left[me]:
                turns.swap(me)
            return trace

        turns.wait(me)
        before = sys.gettrace()
        sys.settrace(trace)
        try:
            results[me] = functions[me]()
        except Exception as error:
            results[me] = error
        finally:
            sys.settrace(before)
            turns.leave(me)

    threads = [threading.Thread(target=work, args=(me,), daemon=True) for me in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
