"""The server of the serving benchmark, in a process of its own: HTTP with nothing in it but the service.

    python -m benchmarks._serving_server {one-by-one,service} [--users N] [--core N]

It prints its port. The same loop and parser serve both ways, so that what differs is the service alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from threadpoolctl import threadpool_limits

try:  # as uvicorn does
    import uvloop as runner
except ImportError:
    runner = asyncio

from benchmarks._serving_world import build_pipeline
from recokit.errors import Unavailable
from recokit.serving import ListCache, Precomputed, Service, Shed

__all__ = ["main"]

Answer = Callable[[dict[str, str]], Awaitable[dict[str, Any]]]
Refusal = Callable[[], float | None]


class _Connection(asyncio.Protocol):
    """One keep-alive connection; requests on it are answered one after the other."""

    def __init__(self, answer: Answer, refusal: Refusal) -> None:
        self._answer, self._refusal, self._received = answer, refusal, b""
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while b"\r\n\r\n" in self._received:
            head, _, self._received = self._received.partition(b"\r\n\r\n")
            retry = self._refusal()
            if retry is not None:
                self._write("503 Service Unavailable", {"retry_after": retry})
                continue
            target = head.split(b" ", 2)[1].decode()
            task = asyncio.ensure_future(self._respond(dict(parse_qsl(urlsplit(target).query))))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _respond(self, query: dict[str, str]) -> None:
        try:
            status, body = "200 OK", await self._answer(query)
        except Unavailable as error:
            status, body = "503 Service Unavailable", {"retry_after": error.retry_after}
        self._write(status, body)

    def _write(self, status: str, body: dict[str, Any]) -> None:
        text = json.dumps(body).encode()
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
        self._transport.write(head.encode() + text)


def _answers(options: argparse.Namespace, pipeline: Any) -> tuple[Answer, Refusal]:
    budget_ms = options.budget_ms
    if options.way == "one-by-one":

        async def alone(query: dict[str, str]) -> dict[str, Any]:
            answer = pipeline.recommend([query["u"]], k=int(query.get("k", 10)), budget_ms=budget_ms)
            return {"ids": answer.ids(0), "source": "model", "status": int(answer.status[0])}

        return alone, lambda: None
    fallback = Precomputed.of(pipeline, k=100)
    lists, shed = ListCache() if options.lists else None, Shed(queue_ms=options.queue_ms)
    service = Service(pipeline, fallback=fallback, budget_ms=budget_ms, lists=lists, shed=shed).start()

    async def together(query: dict[str, str]) -> dict[str, Any]:
        answer = await service.recommend(query["u"], k=int(query.get("k", 10)))
        return {"ids": answer.ids(), "source": answer.source, "status": int(answer.status)}

    return together, service.refusal


async def _serve(answer: Answer, refusal: Refusal) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(answer, refusal), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("way", choices=["one-by-one", "service"])
    parser.add_argument("--users", type=int, default=1_000)
    parser.add_argument("--items", type=int, default=500)
    parser.add_argument("--core", type=int, default=-1)
    parser.add_argument("--budget-ms", type=float, default=100.0)
    parser.add_argument("--queue-ms", type=float, default=40.0)
    parser.add_argument("--lists", action="store_true")
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[options.core % len(cores)]})
    pipeline = build_pipeline(options.users, options.items)
    with threadpool_limits(1):
        runner.run(_serve(*_answers(options, pipeline)))


if __name__ == "__main__":
    main()
