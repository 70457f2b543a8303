"""Watch: an observer that samples live requests for the debugger."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np

from recokit._kernels.hashing import row_seeds
from recokit.data import Requests
from recokit.debugger.replay import asked_again
from recokit.errors import ConfigurationError
from recokit.trace import Trace

__all__ = ["Sampled", "Watch"]


@dataclass(frozen=True, eq=False)
class Sampled:
    """One live request as it was asked, with the live values that its run read.

    Parameters
    ----------
    user : object
        External id, None for an anonymous one.
    requests : Requests
        One row.
    """

    user: Any
    requests: Requests


class Watch:
    """Keeps the latest of a sample of the live requests; memory is bounded and nothing is computed while serving.

    Which requests are taken follows from user and time alone, so all processes that serve take the same ones.

    Parameters
    ----------
    share : float, default 0.01
        Of the requests.
    most : int, default 1000
        Requests kept, the latest.

    Raises
    ------
    ConfigurationError
        If an option is out of range.
    """

    def __init__(self, *, share: float = 0.01, most: int = 1_000) -> None:
        if not 0 < share <= 1 or most < 1:
            raise ConfigurationError(
                f"found share={share} and most={most}; expected above 0 to 1, and at least 1"
            )
        self.share, self.most = share, most
        self._kept: deque[Sampled] = deque(maxlen=most)
        self._lock = threading.Lock()

    def observe(self, trace: Trace) -> None:
        """Take a sample of a run's requests."""
        keys = row_seeds(0, np.round(1e3 * trace.requests.now).astype(np.int64) ^ trace.requests.user)
        for row in np.flatnonzero(keys < self.share * 2.0**64).tolist():
            one = asked_again(trace.requests, row)
            user = None if trace.users is None else trace.users[row]
            with self._lock:
                self._kept.append(Sampled(user, one))

    def take(self) -> tuple[Sampled, ...]:
        """Return the requests kept, the oldest first."""
        with self._lock:
            return tuple(self._kept)

    def __len__(self) -> int:
        return len(self._kept)

    def __repr__(self) -> str:
        return f"Watch(share={self.share}, most={self.most}, kept={len(self)})"
