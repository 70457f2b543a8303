"""RedisStream: an event log on a Redis or Valkey server."""

from __future__ import annotations

import math
import os
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any

from recokit._utils.options import above, finite, optional, require, whole
from recokit.errors import ConfigurationError, StageError
from recokit.serving.events import Message, encoded
from recokit.stores._link import Link
from recokit.stores.redis_rows import masked

#: Seconds that a command may take beyond the time that it waits for entries.
_PATIENCE = 2.0
_FIELD = b"event"


class RedisStream:
    """Event log in a stream of a Redis or Valkey server.

    Needs the extra ``recokit[redis]``.

    Parameters
    ----------
    url : str
        As for :class:`recokit.stores.Redis`.
    stream : str, default "events"
        Key of the stream.
    group : str, optional
        Readers of one group share the work, and the server keeps what they committed. Without a group this reader gets
        every entry, and begins at ``start`` each time: for live events, which each process has its own of.
    consumer : str, optional
        Name of this reader in its group; by default host and process. What a reader of that name polled before and did
        not commit comes first.
    start : float, default 0.0
        Seconds since 1970, by the server's clock: where to begin without a group, or when the group is made.
    claim_after : float, default 30.0
        Seconds after which what another reader of the group polled and did not commit is taken over.
    max_length : int, optional
        Entries that :meth:`append` leaves in the stream, about; None for all.

    Raises
    ------
    ConfigurationError
        If an option is out of range.

    Examples
    --------
    >>> RedisStream("redis://:secret@localhost:6379/0", group="recommender")
    RedisStream('redis://:***@localhost:6379/0', stream='events', group='recommender')
    """

    def __init__(
        self,
        url: str,
        *,
        stream: str = "events",
        group: str | None = None,
        consumer: str | None = None,
        start: float = 0.0,
        claim_after: float = 30.0,
        max_length: int | None = None,
    ) -> None:
        require(above(0), claim_after=claim_after)
        require(finite(0), start=start)
        require(optional(whole(1)), max_length=max_length)
        for name, value in {"stream": stream, "group": group, "consumer": consumer}.items():
            if value == "":
                raise ConfigurationError(f"found {name}=''; expected a name")
        self.url, self.stream, self.group, self.start = url, stream, group, start
        self.consumer = consumer or f"{socket.gethostname()}-{os.getpid()}"
        self.claim_after, self.max_length = claim_after, max_length
        self._link = Link(url, _PATIENCE)
        self._reset()

    def _reset(self) -> None:
        self._made = False
        self._last = f"{math.floor(1e3 * self.start)}-0"
        #: The last of this reader's own entries that were read again; None when all were.
        self._own: str | None = "0"
        self._claim_at, self._claim_from = 0.0, "0-0"

    def __repr__(self) -> str:
        group = "" if self.group is None else f", group={self.group!r}"
        return masked(f"RedisStream({self.url!r}, stream={self.stream!r}{group})", self.url)

    def poll(self, limit: int, timeout: float) -> Sequence[Message]:
        """Return the next entries.

        Raises
        ------
        StageError
            If the server does not answer.
        """
        wait = () if timeout <= 0 else ("BLOCK", math.ceil(1e3 * timeout))
        if self.group is None:
            found = self._streamed(
                ("XREAD", "COUNT", limit, *wait, "STREAMS", self.stream, self._last), timeout
            )
            self._last = found[-1].position if found else self._last
            return found
        self._make_group()
        read = ("XREADGROUP", "GROUP", self.group, self.consumer, "COUNT", limit)
        if self._own is not None:
            found = self._streamed((*read, "STREAMS", self.stream, self._own), 0.0)
            self._own = found[-1].position if found else None
            if found:
                return found
        return self._claimed(limit) or self._streamed((*read, *wait, "STREAMS", self.stream, ">"), timeout)

    def commit(self, messages: Sequence[Message]) -> None:
        """Acknowledge entries; without a group there is nothing to say.

        Raises
        ------
        StageError
            If the server does not answer.
        """
        if self.group is not None and messages:
            self._ask("XACK", self.stream, self.group, *(message.position for message in messages))

    def append(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Write events at the end, in one round trip.

        Raises
        ------
        DataError
            If one is no event; then none is written.
        StageError
            If the server does not answer: some may be written. Events with an ``event_id`` may be written again.
        """
        trim = () if self.max_length is None else ("MAXLEN", "~", self.max_length)
        commands = [("XADD", self.stream, *trim, "*", _FIELD, encoded(event)) for event in events]
        if commands:
            self._ask_all(commands)

    def close(self) -> None:
        """Close the connections; the next poll begins as a new reader of this name does."""
        self._link.close()
        self._reset()

    def _make_group(self) -> None:
        if self._made:
            return
        reply = self._replies([("XGROUP", "CREATE", self.stream, self.group, self._last, "MKSTREAM")])[0]
        if isinstance(reply, Exception) and "BUSYGROUP" not in str(reply):
            raise self._failed(reply)
        self._made = True

    def _claimed(self, limit: int) -> list[Message]:
        """Return entries that another reader polled long ago; asked for a few times in that time."""
        if time.monotonic() < self._claim_at:
            return []
        idle = math.ceil(1e3 * self.claim_after)
        command = (
            "XAUTOCLAIM",
            self.stream,
            self.group,
            self.consumer,
            idle,
            self._claim_from,
            "COUNT",
            limit,
        )
        following, entries, *_ = self._ask(*command)
        self._claim_from = following.decode()
        if self._claim_from == "0-0":
            self._claim_at = time.monotonic() + self.claim_after / 4
        return _messages(entries)

    def _streamed(self, command: tuple[Any, ...], timeout: float) -> list[Message]:
        reply = self._ask(*command, timeout=timeout)
        return _messages(reply[0][1]) if reply else []

    def _ask(self, *command: Any, timeout: float = 0.0) -> Any:
        return self._ask_all([command], timeout)[0]

    def _ask_all(self, commands: Sequence[tuple[Any, ...]], timeout: float = 0.0) -> list[Any]:
        replies = self._replies(commands, timeout)
        for reply in replies:
            if isinstance(reply, Exception):
                self._made = False  # the stream may have been removed, and its groups with it
                raise self._failed(reply)
        return replies

    def _replies(self, commands: Sequence[tuple[Any, ...]], timeout: float = 0.0) -> list[Any]:
        try:
            return self._link.ask(commands, _PATIENCE + max(timeout, 0.0))
        except Exception as error:
            # What the reply had is with this reader, and unknown to it: read its own entries again.
            self._own = "0"
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> StageError:
        return StageError(
            f"found no answer from stream {self.stream!r}: {masked(str(error), self.url)}",
            name="redis_stream",
            role="event log",
            cause=error,
        )


def _messages(entries: Sequence[Any]) -> list[Message]:
    """Return entries as messages; what was trimmed from the stream before it was committed has no content."""
    found = []
    for position, pairs in filter(None, entries):
        fields = dict(zip(pairs[::2], pairs[1::2], strict=True)) if pairs else {}
        found.append(Message(position.decode(), fields.get(_FIELD, b"")))
    return found
