"""Turns: how long one thread of the interpreter lets another wait."""

from __future__ import annotations

import sys
import threading

#: Seconds after which a thread that computes hands over to one that asks.
_SHORT = 2e-4
_lock = threading.Lock()
_users: set[int] = set()
_before = 0.0


def shorten(user: object) -> None:
    """Let threads take turns often, until :func:`restore`.

    An event loop gives its turn away at every read and write. With the interpreter's own five milliseconds it then
    waits that long beside a batch, three times for each request, and can neither answer nor refuse many.
    """
    global _before
    with _lock:
        if not _users:
            _before = sys.getswitchinterval()
            sys.setswitchinterval(min(_before, _SHORT))
        _users.add(id(user))


def restore(user: object) -> None:
    """Leave turns as they were before, once no user of short ones is left."""
    with _lock:
        if id(user) in _users:
            _users.discard(id(user))
            if not _users:
                sys.setswitchinterval(_before)
