"""Senders of the serving benchmark: closed loops, each on a connection, and an open loop from intended times."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np

__all__ = ["Sent", "ask", "closed_loop", "open_loop"]


@dataclass
class Sent:
    """What was answered: seconds of each request by the code of its answer."""

    seconds: dict[int, list[float]] = field(default_factory=dict)
    took: float = 0.0
    broken: int = 0

    def add(self, code: int, seconds: float) -> None:
        """Count an answer."""
        self.seconds.setdefault(code, []).append(seconds)

    @property
    def rate(self) -> float:
        """Accepted answers a second."""
        return len(self.seconds.get(200, ())) / self.took if self.took else 0.0

    def percentile(self, point: float, code: int = 200) -> float:
        """Return a percentile of the seconds; NaN without any."""
        seconds = self.seconds.get(code)
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


def open_loop(
    port: int, *, rate: float, seconds: float, n_users: int, connections: int = 512, start: int = 0
) -> Sent:
    """Ask at a rate, whatever comes back; the time of a request counts from when it was to be sent."""
    sent, users = Sent(), _users(n_users, start)

    async def one(free: asyncio.Queue[_Client], target: str, intended: float) -> None:
        client = await free.get()
        try:
            code, _ = await client.get(target)
            sent.add(code, time.perf_counter() - intended)
        except (OSError, asyncio.IncompleteReadError):
            sent.broken += 1
        finally:
            free.put_nowait(client)

    async def everyone() -> None:
        free: asyncio.Queue[_Client] = asyncio.Queue()
        clients = [await _connect(port) for _ in range(connections)]
        for client in clients:
            free.put_nowait(client)
        tasks, began = [], time.perf_counter()
        with _closing(clients):
            for n in range(int(rate * seconds)):
                intended = began + n / rate
                if (pause := intended - time.perf_counter()) > 0:
                    await asyncio.sleep(pause)
                tasks.append(asyncio.ensure_future(one(free, f"/?u={next(users)}", intended)))
            await asyncio.gather(*tasks)
        sent.took = time.perf_counter() - began

    asyncio.run(everyone())
    return sent


def ask(port: int, targets: list[str]) -> list[dict[str, Any]]:
    """Return the bodies of some answers, asked one after the other."""

    async def everyone() -> list[dict[str, Any]]:
        client = await _connect(port)
        with _closing([client]):
            return [(await client.get(target))[1] for target in targets]

    return asyncio.run(everyone())
