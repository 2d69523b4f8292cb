"""The page of accounts, for administrators."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response

from blocks.errors import SettingsError
from listen.accounts import Account, hashed, new_account, random_password
from listen.roles import EVERY_BUSINESS, ROLES
from listen.visit import AbsentError, Visit, visit_of

router = APIRouter()
Visiting = Annotated[Visit, Depends(visit_of)]


@router.get("/accounts")
def accounts(visit: Visiting) -> Response:
    """Every account, and the form for a new one."""
    visit.require("accounts")
    visit.record("accounts")
    return _page(visit)


def _page(visit: Visit, status: int = 200, *, problem: str = "", shown: tuple[str, str] | None = None) -> Response:
    known = sorted(visit.house.accounts.all().values(), key=lambda account: account.name)
    return visit.page(
        "accounts", status, accounts=known, problem=problem, shown=shown, offices=visit.house.offices, me=visit.person,
        every=EVERY_BUSINESS, form=visit.form,
    )  # fmt: skip


@router.post("/accounts")
def add(visit: Visiting) -> Response:
    """Make an account with a password that is shown once and must be changed."""
    visit.require("accounts")
    name, password = visit.form.get("name", "").lower(), random_password()
    if visit.house.accounts.get(name):
        return _page(visit, 409, problem="account_taken")
    try:
        account = new_account(name, visit.form.get("title", "")[:60], _roles(visit), _businesses(visit), password)
    except SettingsError:
        return _page(visit, 400, problem="account_bad")
    visit.record("account_added", subject=name, details=_details(account))
    visit.house.accounts.change(name, lambda known: known or account)
    return _page(visit, shown=(name, password))


@router.post("/accounts/{name}")
def change(visit: Visiting, name: str) -> Response:
    """Change roles and businesses, disable, enable, or reset the password; never one's own.

    Raises:
        AbsentError: there is no such account.
    """
    visit.require("accounts")
    account = visit.house.accounts.get(name)
    if account is None:
        raise AbsentError
    if name == visit.person.name:
        return _page(visit, 403, problem="account_self")
    verb, password = visit.form.get("verb", ""), random_password()
    changes = _changes(visit, verb, password, name)
    if not changes.get("roles", True):
        return _page(visit, 400, problem="account_bad")
    changed = account.model_copy(update={**changes, "epoch": account.epoch + 1})
    action = "account_reset" if verb == "reset" else "account_changed"
    visit.record(action, subject=name, details={"verb": verb, **_details(changed)})
    visit.house.accounts.change(name, lambda known: (known or account).model_copy(update=_newer(known, changes)))
    return _page(visit, shown=(name, password) if verb == "reset" else None)


def _newer(known: Account | None, changes: dict[str, Any]) -> dict[str, Any]:
    return {**changes, "epoch": (known.epoch if known else 0) + 1}


def _changes(visit: Visit, verb: str, password: str, name: str) -> dict[str, Any]:
    """The fields that this verb changes."""
    if verb in ("disable", "enable"):
        return {"disabled": verb == "disable"}
    if verb == "reset":
        return {"password": hashed(password, name), "must_change": True}
    if verb == "edit":
        return {"roles": _roles(visit), "businesses": _businesses(visit)}
    raise AbsentError


def _roles(visit: Visit) -> tuple[str, ...]:
    wanted = visit.form.get("roles", "").split(",")
    return tuple(role for role in ROLES if role in wanted)


def _businesses(visit: Visit) -> tuple[str, ...]:
    wanted = visit.form.get("businesses", "").split(",")
    if EVERY_BUSINESS in wanted:
        return (EVERY_BUSINESS,)
    return tuple(name for name in visit.house.offices if name in wanted)


def _details(account: Account) -> dict[str, Any]:
    return {"roles": list(account.roles), "businesses": list(account.businesses), "disabled": account.disabled}
