"""TrafficSample: an observer that samples live requests for the debugger."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np

from recokit._kernels.hashing import row_seeds
from recokit._utils.moved import renamed
from recokit._utils.options import between, check_options, whole
from recokit.data import Requests
from recokit.debugger.recorded import Recorded
from recokit.debugger.replay import single_request
from recokit.trace import Trace


@dataclass(frozen=True, eq=False)
class Sampled:
    """One live request, with the live values that its run read.

    Parameters
    ----------
    user : object
        External id, None for an anonymous one.
    requests : Requests
        One row.
    recorded : Recorded
        What its trace says happened.
    """

    user: Any
    requests: Requests
    recorded: Recorded


class TrafficSample:
    """Keeps the latest of a sample of the live requests; memory is bounded and nothing is computed while serving.

    Which requests are taken follows from user and time alone, so all processes that serve take the same ones.

    Parameters
    ----------
    share : float, default 0.01
        Of the requests.
    max_requests : int, default 1000
        Requests kept, the latest.

    Raises
    ------
    ConfigurationError
        If an option is out of range.
    """

    @renamed(most="max_requests")
    def __init__(self, *, share: float = 0.01, max_requests: int = 1_000) -> None:
        self.share, self.max_requests = share, max_requests
        check_options(self, {"share": between(0, 1, open_low=True), "max_requests": whole(1)})
        self._kept: deque[Sampled] = deque(maxlen=max_requests)
        self._lock = threading.Lock()

    def observe(self, trace: Trace) -> None:
        """Take a sample of a run's requests."""
        keys = row_seeds(0, np.round(1e3 * trace.requests.now).astype(np.int64) ^ trace.requests.user)
        for row in np.flatnonzero(keys < self.share * 2.0**64).tolist():
            one = single_request(trace.requests, row)
            user = None if trace.users is None else trace.users[row]
            sampled = Sampled(user, one, Recorded.of(trace, row))
            with self._lock:
                self._kept.append(sampled)

    def take(self) -> tuple[Sampled, ...]:
        """Return the requests kept, the oldest first."""
        with self._lock:
            return tuple(self._kept)

    def erase_user(self, user: Any) -> int:
        """Drop the requests of a user, and return how many there were."""
        with self._lock:
            kept = [one for one in self._kept if str(one.user) != str(user)]
            n = len(self._kept) - len(kept)
            self._kept = deque(kept, maxlen=self.max_requests)
        return n

    def __len__(self) -> int:
        return len(self._kept)

    def __repr__(self) -> str:
        return f"TrafficSample(share={self.share}, max_requests={self.max_requests}, kept={len(self)})"
