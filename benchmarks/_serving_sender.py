"""Senders of the serving benchmark: closed loops, each on a connection, and an open loop from intended times."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np

__all__ = ["Sent", "ask", "closed_loop", "open_loop"]


@dataclass
class Sent:
    """What was answered: seconds of each request by the code of its answer, and when it was to be sent."""

    seconds: dict[int, list[float]] = field(default_factory=dict)
    intended: dict[int, list[float]] = field(default_factory=dict)
    #: Seconds after its time at which each request of an open loop was sent.
    late: list[float] = field(default_factory=list)
    took: float = 0.0
    broken: int = 0
    from_model: int = 0

    def add(self, code: int, seconds: float, *, intended: float = 0.0, source: str = "model") -> None:
        """Count an answer."""
        self.seconds.setdefault(code, []).append(seconds)
        self.intended.setdefault(code, []).append(intended)
        self.from_model += code == 200 and source == "model"

    @property
    def rate(self) -> float:
        """Accepted answers a second."""
        return len(self.seconds.get(200, ())) / self.took if self.took else 0.0

    def percentile(self, point: float, code: int = 200, *, since: float = 0.0) -> float:
        """Return a percentile of the seconds of requests from a time on; NaN without any."""
        found = zip(self.seconds.get(code, ()), self.intended.get(code, ()), strict=True)
        seconds = [took for took, intended in found if intended >= since]
        return float(np.percentile(seconds, point)) if seconds else float("nan")


class _Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def get(self, target: str) -> tuple[int, dict[str, Any]]:
        self.writer.write(f"GET {target} HTTP/1.1\r\nHost: here\r\n\r\n".encode())
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.lower().partition("content-length:")[2].split("\r\n", 1)[0])
        return int(head.split(" ", 2)[1]), json.loads(await self.reader.readexactly(length))


async def _connect(port: int) -> _Client:
    return _Client(*await asyncio.open_connection("127.0.0.1", port))


@contextmanager
def _closing(clients: list[_Client]) -> Iterator[None]:
    try:
        yield
    finally:
        for client in clients:
            client.writer.close()


def _users(n_users: int, start: int) -> Iterator[str]:
    """Return users in an order that repeats none before all had their turn."""
    return (f"user-{1 + (start + 7_919 * n) % n_users}" for n in count())


def closed_loop(port: int, *, connections: int, seconds: float, n_users: int, start: int = 0) -> Sent:
    """Ask on so many connections, each again once it is answered."""
    sent, users = Sent(), _users(n_users, start)

    async def one(client: _Client, until: float) -> None:
        while (began := time.perf_counter()) < until:
            code, _ = await client.get(f"/?u={next(users)}")
            sent.add(code, time.perf_counter() - began)

    async def everyone() -> None:
        clients = [await _connect(port) for _ in range(connections)]
        began = time.perf_counter()
        with _closing(clients):
            await asyncio.gather(*(one(client, began + seconds) for client in clients))
        sent.took = time.perf_counter() - began

    asyncio.run(everyone())
    return sent


class _Line(asyncio.Protocol):
    """A connection of the open loop, as light as can be: on a core of its own the sender must not be what waits."""

    def __init__(self, ended: Callable[[_Line, int, str], None]) -> None:
        self._ended, self._received, self.intended, self.busy = ended, b"", 0.0, False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def ask(self, user: str, intended: float) -> None:
        """Send a request."""
        self.intended, self.busy = intended, True
        self.transport.write(f"GET /?u={user} HTTP/1.1\r\nHost: here\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if found and len(body) >= int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0]):
            self._received, self.busy = b"", False
            self._ended(self, int(head[9:12]), json.loads(body).get("source", ""))

    def connection_lost(self, error: Exception | None) -> None:
        if self.busy:
            self._ended(self, 0, "")


def open_loop(
    port: int, *, rate: float, seconds: float, n_users: int, connections: int = 512, start: int = 0
) -> Sent:
    """Ask at a rate, whatever comes back; the time of a request counts from when it was to be sent."""
    sent, users, free = Sent(), _users(n_users, start), deque[_Line]()
    waiting: deque[float] = deque()
    n, answered = int(rate * seconds), 0

    def send() -> None:
        while waiting and free:
            intended = waiting.popleft()
            sent.late.append(time.perf_counter() - intended)
            free.popleft().ask(next(users), intended)

    def ended(line: _Line, code: int, source: str) -> None:
        nonlocal answered
        answered += 1
        if code:
            now = time.perf_counter()
            sent.add(code, now - line.intended, intended=line.intended - began, source=source)
            free.append(line)
            send()
        else:
            sent.broken += 1

    async def everyone() -> None:
        nonlocal began
        loop = asyncio.get_running_loop()
        for _ in range(connections):
            free.append((await loop.create_connection(lambda: _Line(ended), "127.0.0.1", port))[1])
        lines, began = list(free), time.perf_counter()
        for number in range(n):
            intended = began + number / rate
            if (pause := intended - time.perf_counter()) > 0:
                await asyncio.sleep(pause)
            elif not number % 16:  # a sender that is late must still read
                await asyncio.sleep(0)
            waiting.append(intended)
            send()
        until = time.perf_counter() + 60.0
        while answered < n and time.perf_counter() < until:
            await asyncio.sleep(1e-3)
        sent.took = time.perf_counter() - began
        for line in lines:
            line.transport.close()

    began = 0.0
    asyncio.run(everyone())
    return sent


def ask(port: int, targets: list[str]) -> list[dict[str, Any]]:
    """Return the bodies of some answers, asked one after the other."""

    async def everyone() -> list[dict[str, Any]]:
        client = await _connect(port)
        with _closing([client]):
            return [(await client.get(target))[1] for target in targets]

    return asyncio.run(everyone())
