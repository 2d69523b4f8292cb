"""The application: its pages, what goes around them, and what people see when something is not as it should be."""

import logging
import traceback
from pathlib import Path
from secrets import token_hex
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from blocks.errors import PermanentError, VoxkeepError
from listen import audit, calls, hear, login, packs, people, retrievals
from listen.house import House
from listen.security import Guard, headers, origin
from listen.sounds import DamagedError
from listen.visit import AbsentError, ForgedError, LoginError, RefusedError, Visit

log = logging.getLogger(__name__)
_STATIC = Path(__file__).with_name("static")
_NOT_FOUND, _NO_SUCH_METHOD = 404, 405


def make_app(house: House) -> FastAPI:
    """The page as an ASGI app."""
    app = FastAPI(title="voxkeep listen", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.house = house
    for module in (login, calls, hear, retrievals, packs, audit, people):
        app.include_router(module.router)
    app.mount("/static", StaticFiles(directory=_STATIC), "static")
    app.add_api_route("/health", lambda: {"status": "ok"})
    for kind, handler in _HANDLERS.items():
        app.add_exception_handler(kind, handler)
    stores = {origin(office.store.endpoint) for office in house.offices.values() if not office.store.is_folder()}
    app.add_middleware(Guard, extra=headers({address for address in stores if address}), wrong=_wrong)
    return app


async def _login(request: Request, error: Exception) -> Response:
    target = error.target if isinstance(error, LoginError) else "/login"
    if _wants_json(request):
        return JSONResponse({"problem": "login"}, 401)
    return RedirectResponse(target, 303)


async def _forged(request: Request, _: Exception) -> Response:
    visit: Visit | None = getattr(request.state, "visit", None)
    if visit and request.url.path == "/login":
        visit.form.pop("password", None)
        return login.login_page(visit, "login_expired", 403)
    return _sorry(request, 403, "forged")


async def _refused(request: Request, _: Exception) -> Response:
    return _sorry(request, 403, "refused")


async def _absent(request: Request, _: Exception) -> Response:
    return _sorry(request, _NOT_FOUND, "absent")


async def _http(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 400
    is_absent = status in (_NOT_FOUND, _NO_SUCH_METHOD)
    return _sorry(request, _NOT_FOUND, "absent") if is_absent else PlainTextResponse("", status)


async def _damaged(request: Request, error: Exception) -> Response:
    log.warning("%s", error)
    return _sorry(request, 409, "absent", told="damaged")


async def _unplayable(request: Request, error: Exception) -> Response:
    """What no answer of a store or an index can mend: of a recording that it cannot be heard, else that it fails."""
    log.warning("%s", error)
    if isinstance(error, PermanentError) and error.operation == "hear a recording":
        return _sorry(request, 422, "absent", told="unplayable")
    return _sorry(request, 503, "unwritten")


def _wrong(request: Request, error: Exception) -> Response:
    """What nobody foresaw: the trace goes to the log under an id, which is all that is shown."""
    number = token_hex(4)
    frames = "".join(traceback.format_tb(error.__traceback__))
    # Not the error's own text: a number could stand in it.
    log.error("%s: %s\n%s", number, type(error).__name__, frames)
    return _sorry(request, 500, "wrong", id=number)


_HANDLERS: dict[Any, Any] = {
    LoginError: _login,
    ForgedError: _forged,
    RefusedError: _refused,
    AbsentError: _absent,
    RequestValidationError: _absent,
    HTTPException: _http,
    DamagedError: _damaged,
    VoxkeepError: _unplayable,
}


def _wants_json(request: Request) -> bool:
    return request.headers.get("accept", "").startswith("application/json")


def _sorry(request: Request, status: int, key: str, told: str | None = None, **places: object) -> Response:
    """A page, or for the player a word, that says what is the matter."""
    if _wants_json(request):
        return JSONResponse({"problem": told or key}, status)
    visit: Visit | None = getattr(request.state, "visit", None)
    if visit is None:
        visit = Visit(request, request.app.state.house, {})
    return visit.page("sorry", status, key=key, text=told or f"{key}_text", places=places)
