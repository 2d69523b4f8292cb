"""Logging in and out, by an account of ours or by the provider's; changing one's password and language."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Response
from fastapi.responses import RedirectResponse

from blocks.errors import PermanentError, SettingsError, VoxkeepError
from listen.accounts import Account, hashed, is_password
from listen.messages import LANGUAGES
from listen.roles import Person
from listen.visit import LANGUAGE_COOKIE, ForgedError, Visit, visit_of

router = APIRouter()
Visiting = Annotated[Visit, Depends(visit_of)]
_BACK_SECONDS = 600
_YEAR = 365 * 86400


@router.get("/")
def home(visit: Visiting) -> Response:
    """The first page that this person may see."""
    return RedirectResponse(first_page(visit.person), 303)


def first_page(person: Person) -> str:
    """Where somebody begins."""
    pages = {"search": "/calls", "packs": "/packs", "audit": "/audit", "accounts": "/accounts"}
    return next((page for action, page in pages.items() if person.may(action)), "/nothing")


@router.get("/nothing")
def nothing(visit: Visiting) -> Response:
    """For who may do nothing on any page yet."""
    return visit.page("nothing", who=visit.person)


@router.get("/login")
def login_form(visit: Visiting) -> Response:
    """The form to log in."""
    return login_page(visit)


def login_page(visit: Visit, problem: str = "", status: int = 200, **places: object) -> Response:
    """The form to log in, with what went wrong."""
    return visit.page(
        "login", status, problem=problem, places=places, provider=visit.house.provider, name=visit.form.get("name", "")
    )


@router.post("/login")
def login(visit: Visiting) -> Response:
    """Log in with name and password. Whatever is wrong, the answer is the same, and as slow."""
    name = visit.form.get("name", "").lower()
    if not visit.house.logins.allows(visit.address):
        return login_page(visit, "login_too_often", 429)
    account = visit.house.accounts.get(name)
    visit.house.trail.catch_up()
    until = visit.house.lockout.locked_until(_subject(visit, account, name))
    if until and until > datetime.now(UTC):
        _record_failure(visit, account, name, "locked")
        return login_page(
            visit, "login_locked", 403, minutes=max(1, round((until - datetime.now(UTC)).total_seconds() / 60))
        )
    if not is_password(account, visit.form.get("password", "")) or account is None:
        _record_failure(visit, account, name, "password")
        return login_page(visit, "login_wrong", 403)
    return _entered(visit, account.person(), account.epoch)


def _subject(visit: Visit, account: Account | None, name: str) -> str:
    """The account; of a name that nobody has only a hash, for it may be a password in the wrong field."""
    return account.name if account else f"unknown:{visit.house.hashes.of(name)[:12]}"


def _record_failure(visit: Visit, account: Account | None, name: str, reason: str) -> None:
    visit.record(
        "login_failed",
        subject=_subject(visit, account, name),
        details={"reason": reason, **({"counts": True} if reason == "password" else {})},
    )


def _entered(visit: Visit, person: Person, epoch: int) -> Response:
    visit.start(person, epoch)
    visit.record("login", subject=person.name, details={"via": person.via, "roles": list(person.roles)})
    response = RedirectResponse(first_page(person), 303)
    visit.keep(response)
    return response


@router.post("/logout")
def logout(visit: Visiting) -> Response:
    """End the session, in every process and for good."""
    if visit.session.person is not None:
        visit.record("logout", subject=visit.session.sid)
    response = RedirectResponse("/login", 303)
    response.delete_cookie("voxkeep", path="/")
    return response


@router.get("/password")
def password_form(visit: Visiting) -> Response:
    """The form to change one's password."""
    return visit.page("password", problem="", who=visit.person, forced=visit.session.must_change)


@router.post("/password")
def change_password(visit: Visiting) -> Response:
    """Change one's own password; every other session of the account ends."""
    person = visit.person
    account = visit.house.accounts.get(person.name) if person.via == "local" else None
    if not visit.house.logins.allows(visit.address):
        return _again(visit, "login_too_often", 429)
    if account is None or not is_password(account, visit.form.get("old", "")):
        visit.record("login_failed", subject=person.name, details={"reason": "password", "counts": True})
        return _again(visit, "password_wrong", 403)
    new = visit.form.get("new", "")
    if new != visit.form.get("again", "") or new == visit.form.get("old", ""):
        return _again(visit, "password_differs", 400)
    try:
        digest = hashed(new, account.name)
    except SettingsError:
        return _again(visit, "password_weak", 400)
    visit.record("password", subject=account.name)
    changed = visit.house.accounts.change(account.name, lambda known: _with_password(known or account, digest))
    visit.start(changed.person(), changed.epoch)
    response = RedirectResponse(first_page(changed.person()), 303)
    visit.keep(response)
    return response


def _with_password(account: Account, digest: str) -> Account:
    return account.model_copy(update={"password": digest, "must_change": False, "epoch": account.epoch + 1})


def _again(visit: Visit, problem: str, status: int) -> Response:
    return visit.page("password", status, problem=problem, who=visit.person, forced=visit.session.must_change)


@router.post("/language")
def language(visit: Visiting) -> Response:
    """Show the pages in the other language from now on."""
    back = visit.form.get("back", "/")
    is_ours = back.startswith("/") and not back.startswith(("//", "/\\"))
    response = RedirectResponse(back if is_ours else "/", 303)
    wanted = visit.form.get("to", "")
    if wanted in LANGUAGES:
        response.set_cookie(LANGUAGE_COOKIE, wanted, max_age=_YEAR, samesite="lax", httponly=True, path="/")
    return response


@router.get("/oidc")
def oidc(visit: Visiting) -> Response:
    """Go to the provider's page."""
    provider = visit.house.provider
    if provider is None or not visit.house.logins.allows(visit.address):
        return RedirectResponse("/login", 303)
    began = provider.begin(str(visit.request.url_for("oidc_back")))
    response = RedirectResponse(began.address, 303)
    response.set_cookie(
        "voxkeep-oidc", visit.house.tokens.make("oidc", began.kept), max_age=_BACK_SECONDS, httponly=True,
        samesite="lax", secure=visit.request.url.scheme == "https", path="/oidc",
    )  # fmt: skip
    return response


@router.get("/oidc/back")
def oidc_back(visit: Visiting, state: str = "", code: str = "") -> Response:
    """Come back from the provider's page.

    Raises:
        ForgedError: this browser has begun no such login.
    """
    provider = visit.house.provider
    kept = visit.house.tokens.read("oidc", visit.request.cookies.get("voxkeep-oidc", ""), _BACK_SECONDS)
    if provider is None or kept is None or not state or state != kept["state"]:
        raise ForgedError
    try:
        if not code:
            raise PermanentError(operation="log in", subject="the provider", cause="it refused", remedy="ask there")
        person = provider.finish(kept, code)
    except VoxkeepError as error:
        visit.record("login_failed", subject="oidc", details={"reason": error.cause[:200]})
        return login_page(visit, "login_provider", 403)
    response = _entered(visit, person, 0)
    response.delete_cookie("voxkeep-oidc", path="/oidc")
    return response
