"""Link: one round trip to a Redis server within a time limit, whatever the server does."""

from __future__ import annotations

import os
import queue
import select
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from recokit._utils.options import error_text
from recokit._utils.resilience.breaker import Breaker
from recokit.errors import ConfigurationError
from recokit.stores._pool import Pool

#: Connections that may be under way at the same time.
_CONNECTING = 8
#: Failures in a row after which requests stop asking, and for how many seconds of their clock.
_AFTER, _PAUSE = 3, 1.0


class _TimedSocket:
    """A socket whose waits all end at one deadline, however few bytes each of them brings."""

    def __init__(self, sock: Any, deadline: float) -> None:
        self.sock, self.deadline = sock, deadline

    def _arm(self) -> None:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("no time left")
        self.sock.settimeout(left)

    def recv(self, *args: Any) -> Any:
        self._arm()
        return self.sock.recv(*args)

    def recv_into(self, *args: Any) -> Any:
        self._arm()
        return self.sock.recv_into(*args)

    def sendall(self, data: Any) -> None:
        self._arm()
        self.sock.sendall(data)

    def settimeout(self, timeout: float | None) -> None:
        """Do nothing: the deadline decides."""

    def idle(self) -> bool:
        """Tell whether the server is there and silent, as before a question; one that hung up has something to say."""
        if hasattr(select, "poll"):
            poll = select.poll()
            poll.register(self.sock, select.POLLIN)
            return not poll.poll(0)
        return not select.select([self.sock], [], [], 0)[0]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sock, name)


class Link:
    """A server, by URL, and the idle connections to it.

    Parameters
    ----------
    url : str
        ``redis://``, ``rediss://`` or ``unix://``; names such as ``$REDIS_PASSWORD`` are taken from the environment.
    connect_timeout : float
        Seconds that a new connection may take. It is made aside: a call waits for it no longer than for anything else,
        and one that comes too late for its call serves the next.

    Raises
    ------
    ConfigurationError
        If the URL is none, or names a variable that is not set.
    """

    def __init__(self, url: str, connect_timeout: float) -> None:
        self.connect_timeout = connect_timeout
        self._url = _expanded(url)
        self._pool: Pool[Any] = Pool(_disconnect)
        self._places = threading.Semaphore(_CONNECTING)
        self._breaker = Breaker(window=_AFTER, least=_AFTER, failures=1.0, slow=1.0, pause=_PAUSE)
        weakref.finalize(self, self._pool.clear)

    def close(self) -> None:
        """Close the idle connections."""
        self._pool.clear()

    def ask(self, commands: Sequence[tuple[Any, ...]], timeout: float) -> list[Any]:
        """Send some commands at once and return their replies; a command's own error stands in place of its reply.

        Raises
        ------
        Exception
            Whatever went wrong. The connection is then closed.
        """
        from redis.exceptions import ResponseError

        deadline = time.monotonic() + timeout
        connection = self._connection(deadline)
        try:
            connection.timed.deadline = deadline
            connection.send_packed_command(connection.pack_commands(commands), check_health=False)
            replies: list[Any] = []
            for _ in commands:
                try:
                    replies.append(connection.read_response())
                except ResponseError as error:
                    replies.append(error)
        except BaseException:
            # Half a reply may still come: nobody else may read it.
            _disconnect(connection)
            raise
        self._pool.give(connection)
        return replies

    def try_ask(
        self, commands: Sequence[tuple[Any, ...]], now: float, timeout: float
    ) -> tuple[list[Any] | None, str]:
        """Return the replies, or None and why there are none. Never raises; does not ask a server that is down."""
        permit = self._breaker.enter(now)
        if permit is None:
            return None, f"not asked: no answer {_AFTER} times in a row, less than {_PAUSE:g} s ago"
        try:
            replies = self.ask(commands, timeout)
        except Exception as error:  # a store that fails gives defaults; it never fails a request
            permit.failed(now)
            return None, failure_text(error)
        permit.worked(now)
        return replies, ""

    def _connection(self, deadline: float) -> Any:
        while True:
            connection = self._pool.take()
            if connection is None:
                self._connect(deadline)
            elif connection.timed.idle():
                return connection
            else:
                _disconnect(connection)

    def _connect(self, deadline: float) -> None:
        """Add a connection to the pool, made in a thread: neither name lookup nor a handshake knows a deadline."""
        from redis.exceptions import ConnectionError as NoConnection, TimeoutError as TooLate

        if not self._places.acquire(timeout=max(deadline - time.monotonic(), 0.0)):
            raise TooLate(f"{_CONNECTING} connections under way, none of them answered")
        answer: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()

        def work() -> None:
            try:
                connection = self._new()
                connection.connect()
                self._pool.give(connection)
                answer.put(None)
            except Exception as error:  # handed to the waiting call, which raises it
                answer.put(error)
            finally:
                self._places.release()

        try:
            threading.Thread(target=work, name="recokit-connect", daemon=True).start()
        except BaseException:
            self._places.release()
            raise
        try:
            error = answer.get(timeout=max(deadline - time.monotonic(), 0.0))
        except queue.Empty:
            raise TooLate("no connection in time") from None
        if error is not None:
            raise error if isinstance(error, NoConnection) else NoConnection(failure_text(error))

    @cached_property
    def _new(self) -> Callable[[], Any]:
        """A maker of connections, each with a socket that keeps one deadline over all its waits."""
        from redis.backoff import NoBackoff
        from redis.connection import Connection, parse_url
        from redis.retry import Retry

        options = dict(parse_url(self._url))  # type: ignore[no-untyped-call]  # redis has no types for it
        base = options.pop("connection_class", Connection)
        patience = self.connect_timeout

        def connect(connection: Any) -> _TimedSocket:
            deadline = time.monotonic() + patience
            timed = _TimedSocket(base._connect(connection), deadline)
            connection.timed = timed
            return timed

        kind = type("TimedConnection", (base,), {"_connect": connect})
        options |= {
            "protocol": 2,
            "retry": Retry(NoBackoff(), 0),
            "health_check_interval": 0,
            "socket_timeout": patience,
            "socket_connect_timeout": patience,
        }
        return lambda: kind(**options)


def failure_text(error: BaseException) -> str:
    """Return the kind of an error and what it says."""
    return error_text(error)


def _expanded(url: str) -> str:
    expanded = os.path.expandvars(url)
    scheme = expanded.partition("://")[0]
    if "$" in expanded:
        raise ConfigurationError(f"found url={url!r}; expected the variable that it names in the environment")
    if scheme not in ("redis", "rediss", "unix"):
        raise ConfigurationError(
            f"found a url that starts with {scheme[:20]!r}; expected redis://, rediss:// or unix://, "
            "such as 'redis://localhost:6379/0'"
        )
    return expanded


def _disconnect(connection: Any) -> None:
    connection.disconnect()
