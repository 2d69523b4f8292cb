"""Alerts to people, by Apprise, to whatever it reaches; what did not arrive is kept and tried again."""

import fcntl
import hashlib
import json
import logging
import os
import re
import threading
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from hmac import new as signed
from pathlib import Path
from secrets import token_hex
from time import time
from typing import Any, Literal, cast
from urllib.parse import unquote

import requests
from apprise import Apprise, AppriseAsset, NotifyBase, NotifyFormat, NotifyType, OverflowMode
from apprise.plugins.dingtalk import NotifyDingTalk
from apprise.plugins.email import NotifyEmail
from prefect.types import SecretDict
from pydantic import Field

from blocks.errors import NotificationError
from blocks.saved_block import SavedBlock

Severity = Literal["critical", "major", "minor", "info"]
_TYPES = {
    "critical": NotifyType.FAILURE,
    "major": NotifyType.WARNING,
    "minor": NotifyType.WARNING,
    "info": NotifyType.INFO,
}
# Shorter pieces of a URL are no secrets, and hiding them would garble every message.
_SHORTEST_SECRET = 4
_SEPARATORS = re.compile(r"[/@:?&=]")


class _Ear(threading.local):
    """Hears what Apprise says in a thread that listens; nobody else shall, for tokens stand in it."""

    words: list[str] | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        if self.words is not None and record.levelno >= logging.WARNING:
            self.words.append(" ".join(record.getMessage().split()))
        return False


_EAR = _Ear()
logging.getLogger("apprise").addFilter(_EAR.filter)
# What Apprise stands on logs the addresses it posts to, which hold tokens.
logging.getLogger("urllib3.connectionpool").addFilter(lambda record: record.levelno > logging.DEBUG)


@dataclass(frozen=True)
class Delivery:
    """One alert on one route: whether it arrived, and if not (or not whole) why. Holds no secret."""

    route: str
    delivered: bool
    cause: str = ""


@dataclass(frozen=True)
class _Alert:
    """An alert on its way to one route, as it is kept."""

    route: str
    title: str
    markdown: str
    severity: Severity
    attachments: list[str]
    html: str = ""

    @property
    def file_name(self) -> str:
        """The same for the same alert, so that one that fails twice is kept once."""
        return hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()[:32] + ".json"


class DingTalk(NotifyDingTalk):  # type: ignore[no-untyped-call]  # Apprise's base is untyped
    """Apprise's DingTalk, corrected in four things.

    DingTalk answers 200 to what it refuses, with the reason in `errcode`: that counts as failure here. The
    message's type is named as what it is, the signature is encoded once, and no character takes six bytes.
    """

    # DingTalk refuses a request of more than 20,000 bytes (errcode 460101); a character has up to four in UTF-8, and
    # the rest of the message takes some. What is longer goes in several messages.
    body_maxlen = 4_500
    overflow_mode = OverflowMode.SPLIT

    def send(self, body: str, title: str = "", notify_type: NotifyType = NotifyType.INFO, **_others: object) -> bool:
        """Whether DingTalk has taken the message; it makes no difference between types."""
        del notify_type
        message: dict[str, Any]
        if self.notify_format == NotifyFormat.MARKDOWN:
            message = {"msgtype": "markdown", "markdown": {"title": title or self.app_id, "text": body}}
        else:
            message = {"msgtype": "text", "text": {"content": body}}
        message["at"] = {"atMobiles": list(self.targets), "isAtAll": False}
        try:
            answer = requests.post(
                self.notify_url.format(token=self.token),
                data=json.dumps(message, ensure_ascii=False).encode(),
                headers={"Content-Type": "application/json; charset=utf-8"},
                params=self._signature(),
                verify=self.verify_certificate,
                timeout=self.request_timeout,
                allow_redirects=False,
            )
            verdict = dict(answer.json() if answer.ok else _refusal(answer.status_code, answer.reason))
        except (requests.RequestException, ValueError, TypeError) as error:
            verdict = _refusal(type(error).__name__, "no answer that can be understood")
        if verdict.get("errcode") == 0:
            return True
        self.logger.warning("DingTalk: %s (errcode %s)", verdict.get("errmsg"), verdict.get("errcode"))
        return False

    def _signature(self) -> dict[str, str]:
        """https://open.dingtalk.com/document/robots/customize-robot-security-settings."""
        if not self.secret:
            return {}
        timestamp = str(round(time() * 1000))
        digest = signed(self.secret.encode(), f"{timestamp}\n{self.secret}".encode(), hashlib.sha256).digest()
        return {"timestamp": timestamp, "sign": b64encode(digest).decode()}


class Notifier(SavedBlock):
    """Where alerts and reports go.

    An alert is kept in the outbox before it is sent, and removed when it was delivered: a crash between the
    two sends it twice rather than never. What comes out of here (errors, log, outbox) holds no secret.

    Attributes:
        routes: Name of the route to its Apprise URL.
        outbox: Folder for what could not be delivered yet.

    Example:
        >>> routes = {"ops": "dingtalk://SECRET@TOKEN/?format=markdown"}
        >>> notifier = Notifier(routes=routes, outbox="/srv/voxkeep/outbox")
        >>> notifier.send("Backup overdue", "cq: 1 day", "critical")
        [Delivery(route='ops', delivered=True, cause='')]
    """

    _block_type_name = "Voxkeep notifier"
    _block_type_slug = "voxkeep-notifier"

    routes: SecretDict = Field(description="Route: Apprise URL, e.g. dingtalk://…, mailto://…, json://….")
    outbox: Path = Field(description="Folder for alerts that could not be delivered yet.")

    def send(
        self, title: str, markdown: str, severity: Severity, attachments: Iterable[Path] = (), *, html: str = ""
    ) -> list[Delivery]:
        """Send an alert on every route; one that fails is kept for `resend`, and hinders no other.

        It goes without attachments that are not there, or that the route takes none of; `cause` says so. `html`: what
        mail shows instead of the Markdown.
        """
        files = [str(file) for file in attachments]
        alerts = [_Alert(route, title, markdown, severity, files, html) for route in sorted(self._urls())]
        return [self._keep_and_deliver(alert) for alert in alerts]

    def waiting(self) -> int:
        """How many alerts are kept because they could not be delivered."""
        return sum(1 for _ in self.outbox.glob("*.json"))

    def resend(self) -> list[Delivery]:
        """Try again what was kept; one that another process is just sending is left to it."""
        deliveries = []
        for file in sorted(self.outbox.glob("*.json")):
            with _locked(file) as is_ours:
                if is_ours:
                    deliveries.append(self._deliver_kept(file))
        return deliveries

    def _deliver_kept(self, file: Path) -> Delivery:
        try:
            alert = _Alert(**json.loads(file.read_bytes()))
        except (OSError, ValueError, TypeError):
            return Delivery("", delivered=False, cause=f"the kept alert {file.name} cannot be read")
        return self._deliver(alert, file)

    def _keep_and_deliver(self, alert: _Alert) -> Delivery:
        file = self.outbox / alert.file_name
        try:
            _keep(alert, file)
        except OSError as error:
            # A full disk is what alerts are for: it must not keep them from leaving.
            delivery = self._deliver(alert, None)
            lost = f"{delivery.cause}; nor could it be kept: {error.strerror}"
            return delivery if delivery.delivered else Delivery(alert.route, delivered=False, cause=lost)
        with _locked(file) as is_ours:
            if is_ours:
                return self._deliver(alert, file)
        return Delivery(alert.route, delivered=False, cause="another process is just sending it")

    def _deliver(self, alert: _Alert, file: Path | None) -> Delivery:
        try:
            cause = _send(self._urls().get(alert.route), alert)
        except NotificationError as error:
            return Delivery(alert.route, delivered=False, cause=error.cause)
        if file:
            file.unlink()
        return Delivery(alert.route, delivered=True, cause=cause)

    def _urls(self) -> dict[str, str]:
        return {name: str(url) for name, url in self.routes.get_secret_value().items()}


def _refusal(code: object, words: str) -> dict[str, object]:
    return {"errcode": code, "errmsg": words}


def _keep(alert: _Alert, file: Path) -> None:
    """Write the alert to the outbox, aside and then renamed."""
    if file.exists():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.{token_hex(4)}.part")
    try:
        part.write_text(json.dumps(asdict(alert), ensure_ascii=False, indent=1), encoding="utf-8")
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _locked(file: Path) -> Iterator[bool]:
    """Whether this kept alert is ours to send: it is still there, and nobody else is sending it."""
    with suppress(FileNotFoundError), file.open("rb") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield os.fstat(handle.fileno()).st_nlink > 0
        return
    yield False


def _send(url: str | None, alert: _Alert) -> str:
    """Send it; what it went without, if anything.

    Raises:
        NotificationError: it was not taken.
    """
    if url is None:
        raise _undelivered(alert, "there is no such route any more", "add the route again, or delete the kept alert")
    service = _service(url)
    if service is None:
        raise _undelivered(alert, "Apprise cannot make sense of its URL", "correct the URL of the route")
    files = [file for file in alert.attachments if Path(file).is_file() and service.attachment_support]
    takes_html = isinstance(service, NotifyEmail) and service.notify_format == NotifyFormat.HTML and alert.html
    with _overheard() as words:
        taken = Apprise([service]).notify(
            title=alert.title,
            body=alert.html if takes_html else alert.markdown,
            body_format=NotifyFormat.HTML if takes_html else NotifyFormat.MARKDOWN,
            notify_type=_TYPES[alert.severity],
            attach=files or None,
        )
    if not taken:
        cause = _without_secrets("; ".join(words) or "the service did not take it", url)
        raise _undelivered(alert, cause, "check the route; the alert is kept and tried again")
    left_out = [Path(file).name for file in alert.attachments if file not in files]
    return f"delivered without {', '.join(left_out)}" if left_out else ""


def _undelivered(alert: _Alert, cause: str, remedy: str) -> NotificationError:
    return NotificationError(operation="deliver an alert", subject=alert.route, cause=cause, remedy=remedy)


def _service(url: str) -> NotifyBase | None:
    """What Apprise makes of the URL; None where it is no URL for it."""
    asset = AppriseAsset(async_mode=False, secure_logging=True)
    if not url.lower().startswith("dingtalk://"):
        return Apprise.instantiate(url, asset=asset)
    parse = cast("Callable[[str], dict[str, Any] | None]", DingTalk.parse_url)
    build = cast("Callable[..., NotifyBase]", DingTalk)
    try:
        parts = parse(url)
        return build(**{"format": NotifyFormat.MARKDOWN, **parts, "asset": asset}) if parts else None
    except TypeError:
        return None


@contextmanager
def _overheard() -> Iterator[list[str]]:
    """What Apprise has to say in this thread meanwhile."""
    words: list[str] = []
    _EAR.words = words
    try:
        yield words
    finally:
        _EAR.words = None


def _without_secrets(words: str, url: str) -> str:
    """The words without any piece of the URL: every piece may be a token."""
    pieces = {piece for piece in _SEPARATORS.split(url.partition("://")[2]) if len(piece) >= _SHORTEST_SECRET}
    for piece in sorted(pieces | {unquote(piece) for piece in pieces}, key=len, reverse=True):
        words = words.replace(piece, "…")
    return words
