"""What every answer carries and every request must keep to, whatever page it is for."""

import time
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reconcile.asked_list import MOST_BYTES as LIST_BYTES

MOST_BYTES = 64 * 1024
# Where a list may be uploaded; with what the form around it takes.
UPLOADS = {"/retrievals": LIST_BYTES + MOST_BYTES}
_MOST_REMEMBERED = 10_000


def headers(sources: set[str]) -> dict[str, str]:
    """The headers of every answer; a form may also lead to `sources`, from which downloads come."""
    targets = " ".join(["'self'", *sorted(sources)])
    policy = {
        "default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "img-src": "'self'",
        "media-src": "'self'", "connect-src": "'self'", "form-action": targets, "frame-ancestors": "'none'",
        "base-uri": "'none'",
    }  # fmt: skip
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    }


def origin(address: str | None) -> str | None:
    """Scheme, host and port of an address."""
    parts = urlsplit(address or "")
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme in ("http", "https") and parts.netloc else None


class Guard:
    """Around the whole application: no body too large, headers on every answer, an answer to what nobody foresaw."""

    def __init__(self, app: ASGIApp, extra: dict[str, str], wrong: Callable[[Request, Exception], Response]) -> None:
        self._app = app
        self._extra = extra
        self._wrong = wrong

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = self._with_headers(scope, send)
        most = UPLOADS.get(scope["path"], MOST_BYTES)
        try:
            told = int(Headers(scope=scope).get("content-length") or 0)
        except ValueError:
            told = most + 1
        if told > most:
            await PlainTextResponse("too large", 413)(scope, receive, answer)
            return
        try:
            await self._app(scope, _bounded(receive, most), answer)
        except ClientDisconnect:
            await PlainTextResponse("too large", 413)(scope, receive, answer)
        except Exception as error:  # noqa: BLE001  # the last place where an answer without a trace can be given
            await self._wrong(Request(scope), error)(scope, receive, answer)

    def _with_headers(self, scope: Scope, send: Send) -> Send:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                found = MutableHeaders(scope=message)
                for name, value in self._extra.items():
                    found[name] = value
                if not scope["path"].startswith("/static/"):
                    found["Cache-Control"] = "no-store"
                if scope.get("scheme") == "https":
                    found["Strict-Transport-Security"] = "max-age=31536000"
            await send(message)

        return sent


def _bounded(receive: Receive, most: int) -> Receive:
    """The request's messages; a body that goes on beyond the bound ends as if the browser had gone."""
    got = 0

    async def received() -> Message:
        nonlocal got
        message = await receive()
        got += len(message.get("body", b""))
        return {"type": "http.disconnect"} if got > most else message

    return received


class Rate:
    """So many in so many seconds for each key, with as many at once."""

    def __init__(self, most: int, seconds: float) -> None:
        self._most = most
        self._per_second = most / seconds
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = Lock()

    def allows(self, key: str) -> bool:
        """Whether one more is allowed now; if so, it is counted."""
        now = time.monotonic()
        with self._lock:
            left, then = self._left.pop(key, (float(self._most), now))
            left = min(self._most, left + (now - then) * self._per_second)
            allowed = left >= 1
            self._left[key] = (left - 1 if allowed else left, now)
            while len(self._left) > _MOST_REMEMBERED:
                self._left.popitem(last=False)
        return allowed
