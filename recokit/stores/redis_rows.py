"""Redis: features on a server that all machines share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from recokit._utils.options import above, require
from recokit.data.state.outside import Connection
from recokit.errors import ConfigurationError, FeatureUnavailable
from recokit.stores._base import BytesStore
from recokit.stores._link import Link, failure_text
from recokit.stores._rows import UNREAD
from recokit.typing import Float32Array, FloatArray

#: Commands sent at once by a write.
_CHUNK = 1000


class Redis(Connection, BytesStore):
    """Feature store on a Redis or Valkey server.

    One packed row for each id, all ids of a read in one ``MGET``, which is one round trip. Needs the extra
    ``recokit[redis]``.

    Parameters
    ----------
    url : str
        ``redis://host:port/db``, ``rediss://`` for TLS, or ``unix://path``. ``$NAME`` is taken from the environment, so
        that a saved pipeline holds no password: ``"redis://:$REDIS_PASSWORD@cache:6379/0"``.
    names : sequence of str
        Features.
    prefix : str
        Keys are ``{prefix}:{id}``: one prefix for items, another for users. A colon in the prefix is written ``%3A``.
    ttl : duration, optional
        How long a row counts; for ever by default. The server drops rows after the same time, on its own clock.
    defaults : float or mapping of str to float, default NaN
        Values of a row that is missing or expired, for all features or by name.
    timeout : float, default 0.02
        Seconds that a read may take as a whole: a server that trickles bytes does not get more.
    connect_timeout : float, default 1.0
        Seconds that a new connection may take. A read does not wait for it beyond its own time; a connection that comes
        later serves the next read.
    write_timeout : float, default 1.0
        Seconds that a write may take for each thousand rows.

    Raises
    ------
    ConfigurationError
        If an option is not what it should be.

    Notes
    -----
    A read does not retry. After three failures in a row no read asks for a second, on the clock of the requests; all
    rows are then counted as failed at once. A key that holds no string is missing: ``MGET`` does not tell.
    A write is not one transaction: readers may see some of its rows before others, each row whole.
    Give the server as an address where name lookup is slow.

    Examples
    --------
    >>> Redis("redis://localhost:6379/0", ["clicks"], prefix="item", ttl="1D")
    Redis(url='redis://localhost:6379/0', names=('clicks',), prefix='item', ttl='1D', ...)
    """

    places = ("url",)

    def __init__(
        self,
        url: str,
        names: Sequence[str],
        *,
        prefix: str,
        ttl: Any = None,
        defaults: float | Mapping[str, float] = np.nan,
        timeout: float = 0.02,
        connect_timeout: float = 1.0,
        write_timeout: float = 1.0,
    ) -> None:
        super().__init__(names, ttl, defaults)
        check_prefix(prefix)
        require(above(0), timeout=timeout, connect_timeout=connect_timeout, write_timeout=write_timeout)
        self.url, self.prefix = url, prefix
        self.timeout, self.connect_timeout, self.write_timeout = timeout, connect_timeout, write_timeout
        self._link = Link(url, connect_timeout)
        self._start = key_start(prefix)

    def __repr__(self) -> str:
        return masked(super().__repr__(), self.url)

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        self._link.close()

    def _keys(self, ids: list[str]) -> list[bytes]:
        start = self._start
        # Any text has a key, also one that came out of broken bytes.
        return [start + id_.encode("utf-8", "surrogatepass") for id_ in ids]

    def _blobs(self, ids: list[str], now: float, timeout: float) -> tuple[list[bytes | None], str]:
        replies, error = self._link.try_ask(
            [("MGET", *self._keys(ids))], now, min(timeout, self.timeout)
        )  # fmt: skip
        blobs = replies[0] if replies else None
        if isinstance(blobs, list) and len(blobs) == len(ids):
            return blobs, ""
        return [UNREAD] * len(ids), error or f"found {str(blobs)[:100]!r} in reply to MGET"

    def _erase(self, ids: list[str]) -> int:
        return delete_all(self._link, self._keys(ids), self.write_timeout, "Redis")

    def _put(self, ids: list[str], values: Float32Array, at: FloatArray) -> None:
        expiry = () if math.isinf(self._ttl) else ("PX", math.ceil(1e3 * self._ttl))
        rows = zip(self._keys(ids), self._packing.pack(values, at), strict=True)
        commands: list[tuple[Any, ...]] = [("SET", key, row, *expiry) for key, row in rows]
        write_all(self._link, commands, self.write_timeout, "Redis")


def delete_all(link: Link, keys: Sequence[bytes], timeout: float, name: str) -> int:
    """Delete keys, and return how many there were; FeatureUnavailable where the server did not."""
    try:
        (reply,) = link.ask([("DEL", *keys)], timeout)
        return int(reply)
    except Exception as error:
        text = f"found that the server did not delete ({failure_text(error)})"
        raise FeatureUnavailable(text, name=name, role="store", cause=error) from error


def write_all(link: Link, commands: Sequence[tuple[Any, ...]], timeout: float, name: str) -> None:
    """Send commands, a thousand at once; FeatureUnavailable at the first that the server did not carry out."""
    for start in range(0, len(commands), _CHUNK):
        cause: BaseException | None = None
        try:
            replies = link.ask(commands[start : start + _CHUNK], timeout)
            cause = next((reply for reply in replies if isinstance(reply, Exception)), None)
        except Exception as error:  # of any kind: one type tells the caller that the write is not done
            cause = error
        if cause is not None:
            raise FeatureUnavailable(
                f"found that the server did not take the write ({failure_text(cause)}); {start} of {len(commands)} "
                "commands were done before; hint: a write may be repeated as a whole",
                name=name, role="store", cause=cause,
            ) from cause  # fmt: skip


def check_prefix(prefix: str) -> None:
    """Check that keys have a beginning of their own."""
    if not (isinstance(prefix, str) and prefix):
        raise ConfigurationError(
            f"found prefix={prefix!r}; expected text that no other store uses, such as 'item'"
        )


def key_start(prefix: str) -> bytes:
    """Return how keys of a prefix begin: up to the first colon, so that no two prefixes have a key in common.

    Examples
    --------
    >>> key_start("item"), key_start("shop:item")
    (b'item:', b'shop%3Aitem:')
    """
    escaped = prefix.replace("%", "%25").replace(":", "%3A")
    return f"{escaped}:".encode("utf-8", "surrogatepass")


def masked(text: str, url: str) -> str:
    """Return a text without the password of a URL that stands in it."""
    before, at, _host = url.rpartition("@")
    _, colon, password = before.rpartition("//")[2].partition(":")
    return text.replace(f":{password}@", ":***@") if at and colon and not password.startswith("$") else text
