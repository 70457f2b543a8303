"""RedisSessions: sessions on a server that all machines share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from recokit._utils.options import above, require
from recokit.data.state.outside import Connection
from recokit.stores._link import Link
from recokit.stores.redis_rows import check_prefix, delete_all, key_start, masked, write_all
from recokit.stores.sessions import Kept, Sessions
from recokit.typing import FloatArray


class RedisSessions(Connection, Sessions):
    """Session store on a Redis or Valkey server.

    One sorted set for each session, by time; all sessions of a read in one round trip. Every key expires. Needs the
    extra ``recokit[redis]``.

    Parameters
    ----------
    url : str
        As for :class:`Redis`.
    prefix : str, default "session"
        Keys are ``{prefix}:{id}``.
    max_events : int, default 50
        Events kept of each session, the most recent.
    ttl : duration, default "1D"
        A session is over this long after its last event; the server drops it after the same time, on its own clock.
    timeout, connect_timeout, write_timeout : float
        Seconds, as for :class:`Redis`.

    Raises
    ------
    ConfigurationError
        If an option is out of range.

    Examples
    --------
    >>> RedisSessions("redis://localhost:6379/0", ttl="30min")
    RedisSessions(url='redis://localhost:6379/0', prefix='session', max_events=50, ttl='30min', ...)
    """

    places = ("url",)

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "session",
        max_events: int = 50,
        ttl: Any = "1D",
        timeout: float = 0.02,
        connect_timeout: float = 1.0,
        write_timeout: float = 1.0,
    ) -> None:
        super().__init__(max_events, ttl)
        check_prefix(prefix)
        require(above(0), timeout=timeout, connect_timeout=connect_timeout, write_timeout=write_timeout)
        self.url, self.prefix = url, prefix
        self.timeout, self.connect_timeout, self.write_timeout = timeout, connect_timeout, write_timeout
        self._link = Link(url, connect_timeout)
        self._start = key_start(prefix)

    @classmethod
    def connection_name(cls, options: Mapping[str, Any]) -> str:
        """Return the prefix."""
        return str(options.get("prefix", "session"))

    def __repr__(self) -> str:
        return masked(super().__repr__(), self.url)

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        self._link.close()

    def _key(self, key: str) -> bytes:
        return self._start + key.encode("utf-8", "surrogatepass")

    def _kept(self, keys: list[str], now: float, timeout: float) -> tuple[list[Kept | None], str]:
        commands = [("ZRANGE", self._key(key), -self.max_events, -1, "WITHSCORES") for key in keys]
        replies, error = self._link.try_ask(commands, now, min(timeout, self.timeout))
        if replies is None:
            return [None] * len(keys), error
        wrong = next((str(reply) for reply in replies if isinstance(reply, Exception)), "")
        return [_events(reply) for reply in replies], wrong

    def _erase(self, keys: list[str]) -> int:
        names = [self._key(key) for key in keys]
        return delete_all(self._link, names, self.write_timeout, "RedisSessions")

    def _add(self, keys: list[str], members: list[str], at: FloatArray) -> None:
        commands: list[tuple[Any, ...]] = []
        for name, member, when in zip(keys, members, at.tolist(), strict=True):
            key = self._key(name)
            commands += [
                ("ZADD", key, "NX", repr(when), member),
                ("ZREMRANGEBYRANK", key, 0, -self.max_events - 1),
                ("PEXPIRE", key, math.ceil(1e3 * self._ttl)),
            ]
        write_all(self._link, commands, self.write_timeout, "RedisSessions")


def _events(reply: Any) -> Kept | None:
    """Return a session from its reply, members and times in turn; None where it is none."""
    if not isinstance(reply, list):
        return None
    try:
        return list(zip(reply[::2], map(float, reply[1::2]), strict=True))
    except (ValueError, TypeError):
        return None
