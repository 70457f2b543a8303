"""The door of a web application: who is refused, and how."""

import asyncio
import json
from typing import Any

import pytest

from recokit.errors import ConfigurationError
from recokit.serving import Door


class Busy:
    """A service that turns away, or not."""

    def __init__(self, retry: float | None) -> None:
        self.retry = retry

    def refusal(self) -> float | None:
        return self.retry


def answered(retry: float | None, scope: dict[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return what a client got, and what reached the application."""
    sent: list[dict[str, Any]] = []
    reached: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope["type"])

    async def receive() -> Any:
        raise AssertionError("a refusal reads nothing")

    async def send(message: Any) -> None:
        sent.append(message)

    door = Door(app, Busy(retry), paths=["/lists"])  # type: ignore[arg-type]
    asyncio.run(door(scope, receive, send))
    return sent, reached


@pytest.mark.parametrize(("retry", "header"), [(0.012, b"1"), (1.0, b"1"), (1.2, b"2")])
def test_a_request_that_may_not_wait_is_refused_unread(retry: float, header: bytes) -> None:
    (start, body), reached = answered(retry, {"type": "http", "path": "/lists"})
    headers = dict(start["headers"])
    assert not reached and start["status"] == 503 and headers[b"retry-after"] == header
    assert headers[b"content-type"] == b"application/problem+json"
    assert int(headers[b"content-length"]) == len(body["body"])
    told = json.loads(body["body"])
    assert (told["status"], told["retry_after"]) == (503, retry)


@pytest.mark.parametrize(
    ("retry", "scope"),
    [
        (None, {"type": "http", "path": "/lists"}),
        (1.0, {"type": "http", "path": "/healthz"}),
        (1.0, {"type": "http", "path": "/lists/more"}),
        (1.0, {"type": "lifespan"}),
    ],
    ids=["there is room", "another path", "a longer path", "no request"],
)
def test_everything_else_goes_on(retry: float | None, scope: dict[str, Any]) -> None:
    assert answered(retry, scope) == ([], [scope["type"]])


@pytest.mark.parametrize("paths", [[], "/lists"], ids=["none", "text"])
def test_a_door_needs_paths(paths: Any) -> None:
    with pytest.raises(ConfigurationError, match="paths"):
        Door(None, Busy(None), paths=paths)  # type: ignore[arg-type]
