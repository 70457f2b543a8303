"""Errors as ``application/problem+json`` (RFC 9457): every answer that is no success has one form."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from recokit.errors import DataError, Unavailable

_LOGGER = logging.getLogger("service")


class Problem(Exception):
    """A request that is refused.

    Parameters
    ----------
    status : int
    detail : str
        What was found and what was expected.
    headers : mapping of str to str, optional
    """

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, dict(headers or {})


def answer(status: int, detail: str, headers: Mapping[str, str] | None = None, **more: Any) -> Response:
    """Return a problem as a response."""
    content = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        **more,
    }
    return Response(
        json.dumps(content), status, headers=dict(headers or {}), media_type="application/problem+json"
    )


def install(app: FastAPI) -> None:
    """Answer every error of an application as a problem; what nobody foresaw says nothing of the inside."""

    @app.exception_handler(Problem)
    async def _(request: Request, error: Problem) -> Response:
        return answer(error.status, error.detail, error.headers)

    @app.exception_handler(HTTPException)
    async def _(request: Request, error: HTTPException) -> Response:
        return answer(error.status_code, str(error.detail), error.headers)

    @app.exception_handler(RequestValidationError)
    async def _(request: Request, error: RequestValidationError) -> Response:
        wrong = [
            {"where": ".".join(map(str, one["loc"]))[:100], "what": str(one["msg"])[:200]}
            for one in error.errors()
        ]
        return answer(
            422, "found a request of another form; expected what /openapi.json says", errors=wrong[:10]
        )

    @app.exception_handler(DataError)
    async def _(request: Request, error: DataError) -> Response:
        return answer(422, str(error))

    @app.exception_handler(Unavailable)
    async def _(request: Request, error: Unavailable) -> Response:
        return answer(503, str(error), {"Retry-After": str(math.ceil(error.retry_after))})

    @app.exception_handler(Exception)
    async def _(request: Request, error: Exception) -> Response:
        _LOGGER.exception("request failed")
        return answer(500, "found an error of the service; it was logged")
