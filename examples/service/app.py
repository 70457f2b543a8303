"""The application: routes around a shop."""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.responses import FileResponse, PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field

from recokit import serving

from . import problems, security
from .problems import Problem
from .settings import Settings
from .shop import Shop

_PAGES = Path(__file__).parent / "pages"
_FILES = {"shop.js": "text/javascript", "operations.js": "text/javascript", "style.css": "text/css"}
ItemId = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.:-]+$")]
Length = Annotated[int, Query(ge=1, le=50)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Event(_Body):
    """What a user did."""

    item_id: ItemId
    event: Literal["view", "click", "add_to_cart", "purchase"]
    event_id: Annotated[str, Field(min_length=1, max_length=64)] | None = None


class Events(_Body):
    """What a user did, at most 100 things."""

    events: Annotated[list[Event], Field(min_length=1, max_length=100)]


class Choices(_Body):
    """What a newcomer chose."""

    chosen: Annotated[list[ItemId], Field(max_length=50)]


class Profiling(_Body):
    """Whether a user may be profiled."""

    allowed: bool


class Rollback(_Body):
    """The version to go back to; by default the one before."""

    to: Annotated[str, Field(max_length=20)] | None = None


class Person(_Body):
    """A user."""

    user: Annotated[str, Field(min_length=1, max_length=64, pattern=security.USER.pattern)]


def create_app(settings: Settings, shop: Shop) -> FastAPI:
    """Return the application; the shop starts and stops with it."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(shop.start)
        try:
            yield
        finally:
            await asyncio.to_thread(shop.stop)

    app = FastAPI(title="Recommendations of a shop", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.shop, app.state.settings = shop, settings
    app.state.limit = security.RateLimit(settings.rate, settings.burst)
    problems.install(app)
    app.add_middleware(security.Limits, max_body=settings.max_body)
    # Added last, it stands first: a request that the service has no time for is not even read.
    app.add_middleware(serving.Door, service=shop.service, paths=["/recommendations"])
    for router in (_pages, _state, _users, _admin):
        app.include_router(router)
    return app


# -- who asks --------------------------------------------------------------------------------------


def _shop(request: Request) -> Shop:
    shop: Shop = request.app.state.shop
    if not shop.ready:
        raise Problem(503, "found no model yet; expected one soon", {"Retry-After": "1"})
    return shop


def _user(request: Request) -> str:
    """Return the user of the request's token, who has not asked too often."""
    user = security.user_of(security.bearer(request), request.app.state.settings.token_secret)
    if user is None:
        raise Problem(
            401, "found no valid token; expected Authorization: Bearer", {"WWW-Authenticate": "Bearer"}
        )
    wait = request.app.state.limit.take(user)
    if wait:
        raise Problem(429, "found more requests than the rate allows", {"Retry-After": str(int(wait) + 1)})
    return user


def _key(request: Request) -> None:
    given, expected = request.headers.get("x-api-key", ""), request.app.state.settings.admin_key
    if not hmac.compare_digest(given.encode(), expected.encode()):
        raise Problem(401, "found no valid key; expected X-API-Key")


TheShop, User = Annotated[Shop, Depends(_shop)], Annotated[str, Depends(_user)]

# -- pages -----------------------------------------------------------------------------------------

_pages = APIRouter(include_in_schema=False)


@_pages.get("/")
def shop_page(request: Request) -> Response:
    """Show the shop; in the demo each new visitor gets a token."""
    settings: Settings = request.app.state.settings
    page = FileResponse(_PAGES / "shop.html", media_type="text/html")
    known = security.user_of(security.bearer(request), settings.token_secret)
    if settings.demo and known is None:
        token = security.signed(f"visitor-{secrets.token_hex(8)}", settings.token_secret)
        page.set_cookie(security.COOKIE, token, httponly=True, samesite="strict", max_age=30 * 86_400)
    return page


@_pages.get("/operations")
def operations_page() -> Response:
    """Show the operations page, which asks for the key itself."""
    return FileResponse(_PAGES / "operations.html", media_type="text/html")


@_pages.get("/static/{name}")
def static(name: str) -> Response:
    """Return a file of the pages."""
    if name not in _FILES:
        raise Problem(404, "found no such file")
    return FileResponse(_PAGES / name, media_type=_FILES[name])


@_pages.get("/favicon.ico")
def favicon() -> Response:
    """Return no icon."""
    return Response(status_code=204)


# -- state of the process --------------------------------------------------------------------------

_state = APIRouter(tags=["state"])


@_state.get("/healthz")
def healthz() -> dict[str, str]:
    """Tell that the process lives."""
    return {"status": "alive"}


@_state.get("/readyz")
def readyz(shop: TheShop) -> dict[str, str]:
    """Tell that there is a model."""
    return {"status": "ready", "version": shop.version}


@_state.get("/metrics", dependencies=[Depends(_key)])
def metrics(shop: TheShop) -> PlainTextResponse:
    """Return the counts for Prometheus."""
    return PlainTextResponse(shop.metrics())


# -- users -----------------------------------------------------------------------------------------

_users = APIRouter(tags=["users"])


@_users.get("/recommendations")
async def recommendations(
    shop: TheShop, user: User, response: Response, k: Length = 10, why: bool = False
) -> dict[str, Any]:
    """Return the user's list, with reasons if asked; the header says which arm of the experiment made it."""
    told = await shop.lists(user, k)
    response.headers["X-Experiment"] = f"diversity={told['arm']}"
    if not why:
        told["items"] = [
            {name: value for name, value in one.items() if name != "explanation"} for one in told["items"]
        ]
    return told


@_users.get("/similar/{item}")
def similar(shop: TheShop, user: User, item: ItemId, k: Length = 10) -> dict[str, Any]:
    """Return items like one."""
    return shop.similar(_existing(shop, item), k)


@_users.get("/explain/{item}")
def explain(shop: TheShop, user: User, item: ItemId) -> dict[str, Any]:
    """Say why an item is in the user's list, or why it is not."""
    return shop.explain(user, _existing(shop, item))


@_users.post("/events", status_code=202)
def events(shop: TheShop, user: User, body: Events) -> dict[str, int]:
    """Take what the user did; what is sent again with the same event_id counts once."""
    for one in body.events:
        _existing(shop, one.item_id)
    # An id is the sender's own: two users may use the same.
    told = [one.model_dump(exclude_none=True) for one in body.events]
    for one in told:
        if "event_id" in one:
            one["event_id"] = f"{user}/{one['event_id']}"
    return {"taken": shop.record(user, told)}


@_users.get("/onboarding")
def questions(
    shop: TheShop,
    user: User,
    chosen: Annotated[list[ItemId], Query(max_length=50)] = [],  # noqa: B006
    shown: Annotated[list[ItemId], Query(max_length=100)] = [],  # noqa: B006
    n: Length = 6,
) -> dict[str, Any]:
    """Return what to ask a newcomer next, given what he chose of what he was shown."""
    return {"items": shop.questions(chosen, shown, n)}


@_users.post("/onboarding", status_code=202)
def choose(shop: TheShop, user: User, body: Choices) -> dict[str, int]:
    """Take a newcomer's choices as his history."""
    told = [{"item_id": _existing(shop, item), "event": "click"} for item in body.chosen]
    return {"taken": shop.record(user, told) if told else 0}


@_users.put("/profiling")
def profiling(shop: TheShop, user: User, body: Profiling) -> dict[str, bool]:
    """Opt out of profiling, or in again."""
    shop.preferences.set(user, profiling=body.allowed)
    return {"allowed": body.allowed}


@_users.delete("/me")
def erase_me(shop: TheShop, user: User) -> dict[str, Any]:
    """Forget the user."""
    return shop.erase(user)


# -- administration --------------------------------------------------------------------------------

_admin = APIRouter(prefix="/admin", tags=["administration"], dependencies=[Depends(_key)])


@_admin.get("/status")
def status(shop: TheShop) -> dict[str, Any]:
    """Return what the operations page shows."""
    return shop.status()


@_admin.post("/rollback")
def rollback(shop: TheShop, body: Rollback) -> dict[str, str]:
    """Go back to an earlier version, now."""
    version = shop.models.rollback(body.to)
    shop.service.refresh()
    return {"version": version.name}


@_admin.post("/tokens")
def token(request: Request, body: Person) -> dict[str, str]:
    """Return a token for a user, for the shop's own backend to hand out."""
    return {"token": security.signed(body.user, request.app.state.settings.token_secret)}


@_admin.post("/erase")
def erase(shop: TheShop, body: Person) -> dict[str, Any]:
    """Forget a user."""
    return shop.erase(body.user)


def _existing(shop: Shop, item: str) -> str:
    if not shop.known(item):
        raise Problem(404, "found no such item")
    return item
