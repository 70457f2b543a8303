"""Who asks, and how much he may: signed user tokens, the admin key, a rate limit, limits of size."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fastapi import Request

from .problems import Problem, answer

COOKIE = "visitor"
#: What a user id may be made of: it goes into logs and keys.
USER = re.compile(r"[A-Za-z0-9_.:@-]{1,64}")
#: Users whose rate is remembered; beyond it the one that asked least recently is forgotten.
_REMEMBERED = 100_000
_MAX_HEADERS, _MAX_HEADER_BYTES, _MAX_URL = 64, 8_192, 2_048
_DAY = 86_400.0

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


def signed(user: str, secret: str, *, now: float | None = None, lifetime: float = 30 * _DAY) -> str:
    """Return a token that says who somebody is until it expires."""
    if not USER.fullmatch(user):
        raise Problem(
            422, "found a user id with other characters; expected letters, digits and _.:@-, at most 64"
        )
    until = int((time.time() if now is None else now) + lifetime)
    body = f"{user}~{until}"
    return f"{body}~{_signature(body, secret)}"


def user_of(token: str, secret: str, *, now: float | None = None) -> str | None:
    """Return the user of a token; None for one that is forged, expired or none."""
    body, _, signature = token.rpartition("~")
    user, _, until = body.rpartition("~")
    if not hmac.compare_digest(signature.encode(), _signature(body, secret).encode()):
        return None
    if (
        not until.isdecimal()
        or int(until) <= (time.time() if now is None else now)
        or not USER.fullmatch(user)
    ):
        return None
    return user


def _signature(body: str, secret: str) -> str:
    digest = hmac.new(secret.encode(), body.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


class RateLimit:
    """Token buckets by user.

    Parameters
    ----------
    rate : float
        Requests a second in the long run.
    burst : int
        Requests at once.
    """

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, user: str) -> float:
        """Take one request; return 0, or the seconds after which there is one."""
        now = self._clock()
        left, at = self._left.pop(user, (float(self._burst), now))
        left = min(float(self._burst), left + (now - at) * self._rate)
        allowed = left >= 1.0
        self._left[user] = (left - 1.0 if allowed else left, now)
        if len(self._left) > _REMEMBERED:
            self._left.popitem(last=False)
        return 0.0 if allowed else (1.0 - left) / self._rate


class Limits:
    """ASGI middleware that refuses what is too large before anything reads it.

    Parameters
    ----------
    app : ASGI application
    max_body : int
        Bytes of a body, whatever its header says.
    """

    def __init__(self, app: Any, max_body: int) -> None:
        self._app, self._max_body = app, max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is None:
            body = await self._body(receive)
            if body is not None:
                await self._app(scope, _once(body, receive), _with_headers(send))
                return
            refusal = answer(413, f"found a body of more than {self._max_body} bytes; expected a smaller one")
        await refusal(scope, receive, _with_headers(send))

    def _refusal(self, scope: Scope) -> Any:
        headers = scope["headers"]
        if len(scope["raw_path"]) + len(scope["query_string"]) > _MAX_URL:
            return answer(414, f"found a URL of more than {_MAX_URL} bytes; expected a shorter one")
        if (
            len(headers) > _MAX_HEADERS
            or sum(len(name) + len(value) for name, value in headers) > _MAX_HEADER_BYTES
        ):
            return answer(431, f"found more than {_MAX_HEADERS} headers or {_MAX_HEADER_BYTES} bytes of them")
        told = dict(headers).get(b"content-length", b"0")
        if not told.isdigit() or int(told[:20]) > self._max_body:
            return answer(413, f"found a body of more than {self._max_body} bytes; expected a smaller one")
        kind = dict(headers).get(b"content-type", b"").partition(b";")[0].strip().lower()
        if scope["method"] in ("POST", "PUT") and kind != b"application/json":
            return answer(415, "found a body of another type; expected application/json")
        return None

    async def _body(self, receive: Receive) -> bytes | None:
        parts: list[bytes] = []
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return None
            parts.append(message.get("body", b""))
            if sum(map(len, parts)) > self._max_body:
                return None
            if not message.get("more_body"):
                return b"".join(parts)


def _once(body: bytes, receive: Receive) -> Receive:
    """Return what gives a body that was read, and then whatever comes."""
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> MutableMapping[str, Any]:
        return waiting.pop() if waiting else await receive()

    return again


_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
]  # fmt: skip


def _with_headers(send: Send) -> Send:
    async def out(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), *_HEADERS]
        await send(message)

    return out


def bearer(request: Request) -> str:
    """Return the token that a request brings, in its header or its cookie; empty without one."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    return token if kind.lower() == "bearer" else request.cookies.get(COOKIE, "")
