"""Preferences: who does not want to be profiled, in memory or on the server that all processes share."""

from __future__ import annotations

from typing import Any

_KEY = "shop:opted-out"


class Preferences:
    """Users who opted out of profiling.

    Parameters
    ----------
    redis : str
        URL of a server; empty for this process's memory.
    """

    def __init__(self, redis: str) -> None:
        self._users: set[str] = set()
        self._server: Any = None
        if redis:
            from redis import Redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry

            # The defaults of redis-py, seconds and retries, break any budget.
            self._server = Redis.from_url(
                redis, socket_timeout=0.1, socket_connect_timeout=1.0, retry=Retry(NoBackoff(), 0)
            )

    def opted_out(self, user: str) -> bool:
        """Tell whether a user opted out; who cannot be looked up is not profiled."""
        if self._server is None:
            return user in self._users
        try:
            return bool(self._server.sismember(_KEY, user))
        except Exception:
            return True

    def set(self, user: str, *, profiling: bool) -> None:
        """Keep what a user wants."""
        if self._server is not None:
            (self._server.srem if profiling else self._server.sadd)(_KEY, user)
        elif profiling:
            self._users.discard(user)
        else:
            self._users.add(user)

    def erase_user(self, user: Any) -> int:
        """Forget a user."""
        known = self.opted_out(str(user))
        self.set(str(user), profiling=True)
        return int(known)
