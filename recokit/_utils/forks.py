"""Forks: OpenMP's worker threads are let go before a process forks, for a child that waited for them would hang.

GNU's OpenMP keeps a pool of threads for each thread that computed in parallel. A forked child has the pool's books and
none of its threads: its first search of an index, or step of a network, waits for ever. Web servers fork workers after
the model is loaded, so this is theirs to meet. The pool is made again when it is next used, in parent and child.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import suppress

_HARD = 2  # omp_pause_hard
#: Libraries of processes before the fork whose pools could not be let go.
_HELD: list[str] = []


def prepare_forks() -> None:
    """Let every fork of this process, from now on, leave pools behind; once is enough."""
    global _prepared
    if not _prepared and hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_let_go, after_in_child=_alone)
        _prepared = True


_prepared = False


def _let_go() -> None:
    """Let go of the pools of the thread that forks."""
    _HELD[:] = [path for path in _openmp_libraries() if not _paused(path)]


def _alone() -> None:
    """Compute on one thread where a pool could not be let go, and have torch make its own while nobody else asks."""
    import ctypes

    for path in _HELD:
        ctypes.CDLL(path).omp_set_num_threads(1)
    torch = sys.modules.get("torch")
    if torch is not None:
        # Threads that meet torch's inherited pool at once find none: "Invalid thread pool!".
        with suppress(AttributeError):  # it is being imported
            torch.set_num_threads(1 if _HELD else torch.get_num_threads())


def _paused(path: str) -> bool:
    import ctypes

    try:
        library = ctypes.CDLL(path)
        return int(library.omp_pause_resource_all(_HARD)) == 0
    except (OSError, AttributeError):  # gone since, or older than OpenMP 5.0
        return False


def _openmp_libraries() -> Iterator[str]:
    """Return the files of GNU's OpenMP that this process has loaded: wheels bring copies of their own."""
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="replace") as lines:
            paths = {line.split(maxsplit=5)[-1].rstrip("\n") for line in lines if "gomp" in line}
    except OSError:  # another system, whose OpenMP knows forks
        return
    yield from sorted(path for path in paths if re.search(r"/libgomp[^/]*\.so[^/]*$", path))
