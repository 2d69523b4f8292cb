"""One request of one person: who it is, what they may do, and the row in the audit trail before they do it."""

import hmac
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from hashlib import sha256
from secrets import token_urlsafe
from typing import Any
from urllib.parse import parse_qs
from zoneinfo import ZoneInfo

from fastapi import Request, Response
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException

from blocks.trail import Entry, Row
from listen.house import House, Office
from listen.masking import masked_text
from listen.messages import LANGUAGES, Language
from listen.pages import render
from listen.roles import ACTIONS, Person
from listen.security import UPLOADS

# A session ends after so long without a request, and after so long in any case.
IDLE_SECONDS, LONGEST_SECONDS = 3600, 12 * 3600
COOKIE, LANGUAGE_COOKIE = "voxkeep", "voxkeep-language"
_LONGEST_FIELD = 4000
_OF_BUSINESS = {action.name: action.of_business for action in ACTIONS}


class RefusedError(Exception):
    """This person may not do this: it is written down, and nothing is done."""


class AbsentError(Exception):
    """There is no such thing, or not for this person: both look the same."""


class LoginError(Exception):
    """Nobody is logged in, or the password must be changed first."""

    def __init__(self, target: str) -> None:
        self.target = target
        super().__init__(target)


class ForgedError(Exception):
    """The request was not sent from a page of ours."""


@dataclass
class Session:
    """A browser's session; `person` None: nobody has logged in."""

    sid: str = field(default_factory=lambda: token_urlsafe(18))
    person: Person | None = None
    epoch: int = 0
    began: float = 0
    seen: float = 0
    must_change: bool = False

    def plain(self) -> dict[str, Any]:
        """What its cookie holds."""
        person = self.person
        who = [person.name, person.title, person.roles, person.businesses, person.via] if person else None
        return {"sid": self.sid, "who": who, "epoch": self.epoch, "began": self.began, "seen": self.seen}


@dataclass(frozen=True)
class Upload:
    """A file that came with a form."""

    name: str
    content: bytes


class Visit:
    """One request, with everything that a page needs to answer it."""

    def __init__(self, request: Request, house: House, form: dict[str, str], file: Upload | None = None) -> None:
        self.request = request
        self.house = house
        self.form = form
        self.file = file
        self.session = _session(request, house)
        self.language = _language(request)

    @property
    def person(self) -> Person:
        """Who this is.

        Raises:
            LoginError: nobody is logged in.
        """
        if self.session.person is None:
            raise LoginError("/login")
        return self.session.person

    @property
    def address(self) -> str:
        """The network address that the request came from."""
        return self.request.client.host if self.request.client else ""

    def today(self, zone: ZoneInfo) -> date:
        """The day it is at a business."""
        return datetime.now(UTC).astimezone(zone).date()

    def offices(self, action: str) -> dict[str, Office]:
        """The businesses for which this person may do this."""
        return {name: office for name, office in self.house.offices.items() if self.person.may(action, name)}

    def require(self, action: str, business: str | None = None) -> None:
        """Go on only if this person may do this; a refusal is written down first.

        Raises:
            RefusedError: no role of theirs allows it.
            AbsentError: it does, but the business is none of theirs.
        """
        if self.session.must_change:
            raise LoginError("/password")
        if self.person.may(action, business if _OF_BUSINESS[action] else None):
            return
        self.record("refused", business=business or "", details={"action": action})
        raise AbsentError if self.person.may(action) else RefusedError(action)

    def record(
        self,
        action: str,
        *,
        business: str = "",
        subject: str = "",
        numbers: tuple[str, ...] = (),
        details: dict[str, Any] | None = None,
    ) -> Row:
        """Write what is about to be done into the audit trail.

        Raises:
            TransientError, PermanentError: it could not be written, so it must not be done.
        """
        actor = self.session.person.name if self.session.person else ""
        entry = Entry(
            actor, action, business, subject, self.address, tuple(self.house.hashes.of(one) for one in numbers),
            details or {},
        )  # fmt: skip
        return self.house.trail.append(entry)

    def page(self, template: str, status: int = 200, **content: object) -> Response:
        """A page of ours."""
        person = self.session.person
        html = render(
            template,
            self.language,
            person=person,
            csrf=csrf_of(self.house, self.session.sid),
            here=self.request.url.path + (f"?{self.request.url.query}" if self.request.url.query else ""),
            titles={name: office.title for name, office in self.house.offices.items()},
            **content,
        )
        response = HTMLResponse(html, status)
        self.keep(response)
        return response

    def keep(self, response: Response) -> None:
        """Give the browser the session's cookie."""
        self.session.seen = datetime.now(UTC).timestamp()
        token = self.house.tokens.make("session", self.session.plain())
        response.set_cookie(
            COOKIE, token, httponly=True, samesite="lax", secure=self.request.url.scheme == "https", path="/"
        )

    def start(self, person: Person, epoch: int) -> None:
        """Begin a new session for this person: another id than anybody could have planted before."""
        now = datetime.now(UTC).timestamp()
        self.session = Session(person=person, epoch=epoch, began=now, seen=now)


def csrf_of(house: House, sid: str) -> str:
    """What a form of this session must send along."""
    return hmac.new(house.csrf_key, sid.encode(), sha256).hexdigest()


async def visit_of(request: Request) -> Visit:
    """The visit that this request is; anything but GET must come from a page of ours.

    Raises:
        ForgedError: it does not.
    """
    house: House = request.app.state.house
    form, file = await _form(request) if request.method == "POST" else ({}, None)
    visit = Visit(request, house, form, file)
    request.state.visit = visit
    if request.method == "POST":
        given = form.get("csrf") or request.headers.get("x-csrf-token", "")
        if not hmac.compare_digest(given.encode(), csrf_of(house, visit.session.sid).encode()):
            raise ForgedError
    return visit


async def _form(request: Request) -> tuple[dict[str, str], Upload | None]:
    """The fields of a form, and its file; of a field that comes several times, its values with commas between."""
    kind = request.headers.get("content-type", "")
    if kind.startswith("multipart/form-data") and request.url.path in UPLOADS:
        return await _form_with_file(request)
    if not kind.startswith("application/x-www-form-urlencoded"):
        return {}, None
    fields = parse_qs((await request.body()).decode("utf-8", "replace"), max_num_fields=200)
    return {name: ",".join(values)[:_LONGEST_FIELD].strip() for name, values in fields.items()}, None


async def _form_with_file(request: Request) -> tuple[dict[str, str], Upload | None]:
    """The same of a form that may hold a file; what cannot be read is an empty form, which no page of ours sends."""
    try:
        async with request.form(max_files=1, max_fields=20, max_part_size=UPLOADS[request.url.path]) as fields:
            texts = {name: value for name, value in fields.items() if isinstance(value, str)}
            files = [value for value in fields.values() if not isinstance(value, str)]
            file = Upload(files[0].filename or "", await files[0].read()) if files else None
    except HTTPException:
        return {}, None
    return texts, file if file and file.content else None


def _session(request: Request, house: House) -> Session:
    """The session of the request's cookie, if it is still good; a new one else."""
    content = house.tokens.read("session", request.cookies.get(COOKIE, ""), IDLE_SECONDS)
    now = datetime.now(UTC).timestamp()
    if content is None or house.lockout.has_ended(content["sid"]):
        return Session()
    if content["who"] is None:
        return Session(sid=content["sid"])
    name, title, roles, businesses, via = content["who"]
    if now - content["began"] > LONGEST_SECONDS:
        return Session()
    session = Session(
        content["sid"], Person(name, title, tuple(roles), tuple(businesses), via), content["epoch"], content["began"]
    )
    return session if via != "local" else _still(session, house)


def _still(session: Session, house: House) -> Session:
    """The session with what its account may do now; a new one where the account has changed."""
    account = house.accounts.get(session.person.name) if session.person else None
    if account is None or account.disabled or account.epoch != session.epoch:
        return Session()
    session.person, session.must_change = account.person(), account.must_change
    return session


def _language(request: Request) -> Language:
    wanted = request.cookies.get(LANGUAGE_COOKIE)
    return next((language for language in LANGUAGES if language == wanted), "zh")


def told(fields: dict[str, Any]) -> dict[str, Any]:
    """Details for the audit trail: what is empty left out, every telephone number masked."""
    return {
        name: masked_text(value) if isinstance(value, str) else value
        for name, value in fields.items()
        if value not in (None, "", (), [])
    }
