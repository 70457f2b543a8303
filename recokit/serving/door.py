"""Door: an ASGI application's requests turned away before anything reads them."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from recokit.errors import ConfigurationError
from recokit.serving.service import Service

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_HEADERS = [(b"content-type", b"application/problem+json"), (b"cache-control", b"no-store")]
_BODY = b'{"type": "about:blank", "title": "Service Unavailable", "status": 503, "retry_after": %.3f}'


class Door:
    """ASGI middleware that answers 503 at once where a service would turn the request away.

    It stands before all else, so that a request that is refused costs no routing, no body and no session: at twice a
    service's load, every second one is. ``Retry-After`` is computed from what waits; lists made earlier are not looked
    for. What the service lets in, or what is for other paths, goes on to the application.

    Parameters
    ----------
    app : ASGI application
    service : Service
    paths : sequence of str
        Paths whose requests the service answers, such as ``"/recommendations"``.

    Raises
    ------
    ConfigurationError
        If there is no path.

    Examples
    --------
    >>> import recokit as rk
    >>> from recokit.serving import Precomputed, Service
    >>> pipeline = rk.Pipeline([rk.candidates.Popular()]).fit(rk.testing.toy_dataset())
    >>> service = Service(pipeline, fallback=Precomputed.of(pipeline))
    >>> async def app(scope, receive, send): ...
    >>> app = Door(app, service, paths=["/recommendations"])
    """

    def __init__(self, app: Any, service: Service, *, paths: Sequence[str]) -> None:
        if isinstance(paths, str) or not paths:
            raise ConfigurationError(f"found paths={paths!r}; expected a list of at least one path")
        self.app, self.service, self.paths = app, service, frozenset(paths)

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "http" and scope["path"] in self.paths:
            retry = self.service.refusal()
            if retry is not None:
                body = _BODY % retry
                told = [(b"retry-after", b"%d" % math.ceil(retry)), (b"content-length", b"%d" % len(body))]
                await send({"type": "http.response.start", "status": 503, "headers": [*_HEADERS, *told]})
                await send({"type": "http.response.body", "body": body})
                return
        await self.app(scope, receive, send)
