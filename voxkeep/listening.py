"""The page 调听 over the businesses that were applied; accounts and audit trail from the command line."""

import json
import os
import secrets
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any
from zoneinfo import ZoneInfo

import uvicorn
from rich.table import Table

from blocks.delivery import Delivery
from blocks.errors import PermanentError, SettingsError
from blocks.lock import exclusive, is_held
from blocks.trail import AuditTrail, Entry
from listen.accounts import Account, Accounts, hashed, new_account
from listen.app import make_app
from listen.house import Desk, House, Office
from voxkeep.audit_trail import SETTINGS_FILE, known_businesses, me, page_key, page_settings, trail_of, vault_of
from voxkeep.console import beside, out, table
from voxkeep.listen_settings import provider_of
from voxkeep.pack_settings import PackSettings, load_pack
from voxkeep.services import places
from voxkeep.settings import Settings
from voxkeep.workers import Workers

_SOUNDS, _IN_USE, _JUST_MADE_SECONDS = "voxkeep-listen-", "in-use", 60
# What the demo's accounts may do.
DEMO_ACCOUNTS = {
    "tingting": ("小听", ("listener",)),
    "zhuguan": ("王主管", ("supervisor",)),
    "duijie": ("赵对接", ("liaison",)),
    "shenji": ("李审计", ("auditor",)),
    "admin": ("管理员", ("administrator",)),
}


def house_of(home: Path, sounds: Path, settings_file: Path | None = None) -> House:
    """Everything that the page needs, as it was applied with this home.

    Raises:
        SettingsError: no business was applied, or a setting of the page cannot be.
    """
    settings = page_settings(home, settings_file)
    known = known_businesses(home)
    house = House(
        {name: _office(business) for name, business in known.items()},
        Accounts(vault_of(settings, known)),
        trail_of(home, settings),
        page_key(home, settings),
        sounds,
        provider_of(settings.oidc) if settings.oidc else None,
    )
    house.work = Workers(home, settings)
    return house


def accounts_of(home: Path, settings_file: Path | None = None) -> tuple[Accounts, AuditTrail]:
    """The accounts, and the trail into which a change of them is written first."""
    settings = page_settings(home, settings_file)
    return Accounts(vault_of(settings, known_businesses(home))), trail_of(home, settings)


@dataclass(frozen=True)
class NewAccount:
    """An account that is to be made."""

    name: str
    title: str
    roles: Sequence[str]
    businesses: Sequence[str]


def add_account(home: Path, asked: NewAccount, password: str, settings_file: Path | None = None) -> None:
    """Make an account whose password must be changed at the first login.

    Raises:
        SettingsError: there is one of this name, or a field cannot be.
    """
    accounts, trail = accounts_of(home, settings_file)
    name = asked.name
    if accounts.get(name):
        raise _cannot("add an account", name, "there is one of this name", "choose another, or `voxkeep account reset`")
    account = new_account(name, asked.title, tuple(asked.roles), tuple(asked.businesses), password)
    trail.append(Entry(me(), "account_added", subject=name, details=_details(account)))
    accounts.change(name, lambda known: known or account)


def disable_account(home: Path, name: str, settings_file: Path | None = None) -> None:
    """End the account's sessions, and let nobody in by it.

    Raises:
        SettingsError: there is none of this name.
    """
    accounts, trail = accounts_of(home, settings_file)
    account = _existing(accounts, name)
    trail.append(Entry(me(), "account_changed", subject=name, details=_details(account) | {"disabled": True}))
    accounts.change(name, lambda known: _changed(known or account, disabled=True))


def reset_account(home: Path, name: str, password: str, settings_file: Path | None = None) -> None:
    """Give the account another first password, and unlock it.

    Raises:
        SettingsError: there is none of this name, or the password is too weak.
    """
    accounts, trail = accounts_of(home, settings_file)
    account = _existing(accounts, name)
    digest = hashed(password, name)
    trail.append(Entry(me(), "account_reset", subject=name, details=_details(account)))
    accounts.change(name, lambda known: _changed(known or account, password=digest, must_change=True, disabled=False))


def list_accounts(home: Path, settings_file: Path | None = None) -> list[dict[str, Any]]:
    """Every account, without its password."""
    accounts, _ = accounts_of(home, settings_file)
    return [
        account.model_dump(mode="json", exclude={"password", "epoch"})
        for account in sorted(accounts.all().values(), key=lambda account: account.name)
    ]


def demo_accounts(home: Path) -> dict[str, str]:
    """Accounts for the demo's page, with passwords made up now; empty where it has accounts already.

    They lie beside the home where the demo's businesses have several storages.
    """
    settings = home / SETTINGS_FILE
    if not settings.exists() and len({business.storage for business in known_businesses(home).values()}) > 1:
        settings.write_text(f"storage: {json.dumps(str(home.resolve() / 'listen'))}\n")
    accounts, _ = accounts_of(home)
    if accounts.all():
        return {}
    made = {}
    for name, (title, roles) in DEMO_ACCOUNTS.items():
        made[name] = secrets.token_urlsafe(12)
        add_account(home, NewAccount(name, title, roles, ("*",)), made[name])
        # Who reads the terminal has made them up on this very machine: there is nobody to hide them from.
        accounts.change(name, _demo)
    return made


def show_demo_accounts(made: dict[str, str], home: Path) -> None:
    """How the demo's page is opened, and who may log in to it; the passwords are shown this once."""
    here = os.path.relpath(home)
    voxkeep = beside("voxkeep")
    shown = f"{'listen:':18}{voxkeep} listen --home {here}    then http://127.0.0.1:8400"
    out.print(shown, markup=False, soft_wrap=True)
    if not made:
        told = f"{'':18}its accounts were made before; a forgotten password:"
        out.print(told, markup=False, soft_wrap=True)
        told = f"{'':18}{voxkeep} account reset NAME --home {here}"
        out.print(told, markup=False, soft_wrap=True)
        return
    rows = [[name, DEMO_ACCOUNTS[name][1][0], password] for name, password in made.items()]
    out.print(table("accounts of the page; their passwords are shown only now", ["account", "role", "password"], rows))


def show_accounts(found: list[dict[str, Any]]) -> Table:
    """The accounts as a table."""
    rows = [
        [
            account["name"],
            account["title"],
            ", ".join(account["roles"]),
            ", ".join(account["businesses"]),
            "disabled" if account["disabled"] else "waits for first login" if account["must_change"] else "active",
        ]
        for account in found
    ]
    return table(f"accounts: {len(found)}", ["account", "name", "roles", "businesses", "state"], rows, numbers_from=9)


def serve(home: Path, host: str, port: int, settings_file: Path | None) -> None:
    """Serve the page until it is stopped; what was made ready to be heard goes with it."""
    # uvicorn stops in order and then gives itself the signal again, which would end us before anything is cleared away.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with sounds_folder() as sounds:
        app = make_app(house_of(home, sounds, settings_file))
        shown = f"[{host}]" if ":" in host else host
        out.print(f"the page: http://{shown}:{port}    end it with Ctrl-C", markup=False, soft_wrap=True)
        uvicorn.run(app, host=host, port=port, log_level="warning", access_log=False, server_header=False)


@contextmanager
def sounds_folder() -> Iterator[Path]:
    """A private folder for what is made ready; the folders of pages that were killed are cleared away."""
    for left in Path(gettempdir()).glob(f"{_SOUNDS}*"):
        with suppress(OSError):  # another user's, or gone by now
            if time.time() - left.stat().st_mtime > _JUST_MADE_SECONDS and not is_held(left / _IN_USE):
                shutil.rmtree(left)
    with TemporaryDirectory(prefix=_SOUNDS) as name, exclusive(Path(name) / _IN_USE, "serve the page"):
        yield Path(name) / "sounds"


def _demo(account: Account | None) -> Account:
    if account is None:
        raise PermanentError(operation="make the demo's accounts", subject="one", cause="gone", remedy="run it again")
    return account.model_copy(update={"must_change": False})


def _changed(account: Account, **changes: object) -> Account:
    return account.model_copy(update={**changes, "epoch": account.epoch + 1})


def _existing(accounts: Accounts, name: str) -> Account:
    account = accounts.get(name)
    if account is None:
        raise _cannot("change an account", name, "there is none of this name", "look with `voxkeep account list`")
    return account


def _details(account: Account) -> dict[str, Any]:
    return {"roles": list(account.roles), "businesses": list(account.businesses), "disabled": account.disabled}


def _office(settings: Settings) -> Office:
    found = places(settings)
    return Office(
        business=settings.business,
        title=settings.title,
        zone=ZoneInfo(settings.time_zone),
        sites={name: site.title for name, site in settings.sites.items()},
        numbers=settings.numbers,
        catalog=found.catalog,
        index=found.index,
        store=found.store,
        storage=Path(settings.storage),
        packs={pack.pack: Desk(pack.plain(), _place(pack)) for pack in map(load_pack, map(Path, settings.packs))},
    )


def _place(pack: PackSettings) -> str:
    """Where it goes, in words."""
    return Delivery(url=pack.deliver.url).shown() if pack.deliver else ""


def _cannot(operation: str, subject: str, cause: str, remedy: str) -> SettingsError:
    return SettingsError(operation=operation, subject=subject, cause=cause, remedy=remedy)
