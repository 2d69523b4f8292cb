"""The page 调听 over the businesses that were applied; accounts and audit trail from the command line."""

import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from getpass import getuser
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zoneinfo import ZoneInfo

import uvicorn
from pydantic import SecretStr
from rich.table import Table

from blocks.errors import PermanentError, SettingsError
from blocks.trail import AuditTrail, Entry, Head, Verified
from blocks.vault import Vault
from listen.accounts import Account, Accounts, hashed, new_account
from listen.app import make_app
from listen.house import House, Office
from listen.keys import derived
from voxkeep.console import out, table
from voxkeep.listen_settings import ListenSettings, load_listen_settings, provider_of
from voxkeep.remembered import remembered, remembered_business
from voxkeep.services import places
from voxkeep.settings import Settings

SETTINGS_FILE = "listen.yaml"
_SHORTEST_KEY = 32
# What the demo's accounts may do.
DEMO_ACCOUNTS = {
    "tingting": ("小听", ("listener",)),
    "zhuguan": ("王主管", ("supervisor",)),
    "shenji": ("李审计", ("auditor",)),
    "admin": ("管理员", ("administrator",)),
}


def house_of(home: Path, sounds: Path, settings_file: Path | None = None) -> House:
    """Everything that the page needs, as it was applied with this home.

    Raises:
        SettingsError: no business was applied, or a setting of the page cannot be.
    """
    settings = _settings(home, settings_file)
    known = _businesses(home)
    key = _key(home, settings)
    return House(
        {name: _office(business) for name, business in known.items()},
        Accounts(_vault(settings, known)),
        _trail(home, settings, known, key),
        key,
        sounds,
        provider_of(settings.oidc) if settings.oidc else None,
    )


def accounts_of(home: Path, settings_file: Path | None = None) -> tuple[Accounts, AuditTrail]:
    """The accounts, and the trail into which a change of them is written first."""
    settings = _settings(home, settings_file)
    known = _businesses(home)
    return Accounts(_vault(settings, known)), _trail(home, settings, known, _key(home, settings))


def verify_trail(home: Path, head: str | None, settings_file: Path | None = None) -> Verified:
    """Walk the audit trail; hold it against the head that somebody has written down, where one is given.

    Raises:
        SettingsError: this is no head.
    """
    settings = _settings(home, settings_file)
    trail = _trail(home, settings, _businesses(home), _key(home, settings))
    try:
        remembered_head = Head.parse(head) if head else None
    except ValueError as error:
        raise SettingsError(
            operation="verify the audit trail", subject="--head", cause=str(error), remedy="copy it from the page"
        ) from None
    return trail.verify(remembered_head)


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
    trail.append(Entry(_me(), "account_added", subject=name, details=_details(account)))
    accounts.change(name, lambda known: known or account)


def disable_account(home: Path, name: str, settings_file: Path | None = None) -> None:
    """End the account's sessions, and let nobody in by it.

    Raises:
        SettingsError: there is none of this name.
    """
    accounts, trail = accounts_of(home, settings_file)
    account = _existing(accounts, name)
    trail.append(Entry(_me(), "account_changed", subject=name, details=_details(account) | {"disabled": True}))
    accounts.change(name, lambda known: _changed(known or account, disabled=True))


def reset_account(home: Path, name: str, password: str, settings_file: Path | None = None) -> None:
    """Give the account another first password, and unlock it.

    Raises:
        SettingsError: there is none of this name, or the password is too weak.
    """
    accounts, trail = accounts_of(home, settings_file)
    account = _existing(accounts, name)
    digest = hashed(password, name)
    trail.append(Entry(_me(), "account_reset", subject=name, details=_details(account)))
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
    if not settings.exists() and len({business.storage for business in _businesses(home).values()}) > 1:
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
    out.print(f"{'listen:':18}voxkeep listen --home {here}    then http://127.0.0.1:8400", markup=False, soft_wrap=True)
    if not made:
        out.print(f"{'':18}its accounts were made before; a forgotten password: voxkeep account reset", markup=False)
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


def verified_plain(verified: Verified) -> dict[str, Any]:
    """The outcome as one plain object."""
    return {
        "rows": verified.rows,
        "head": str(verified.head),
        "problems": [{"sequence": problem.sequence, "kind": problem.kind} for problem in verified.problems],
    }


def show_verified(verified: Verified) -> Table:
    """The outcome as a table, with the head to write down."""
    rows = [[problem.sequence, problem.kind] for problem in verified.problems]
    state = f"NOT whole: {len(rows)} problems" if rows else "whole"
    return table(f"audit trail: {verified.rows} rows, {state}; head {verified.head}", ["row", "what was done"], rows)


def serve(home: Path, host: str, port: int, settings_file: Path | None) -> None:
    """Serve the page until it is stopped; what was made ready to be heard goes with it."""
    with TemporaryDirectory(prefix="voxkeep-listen-") as sounds:
        app = make_app(house_of(home, Path(sounds), settings_file))
        uvicorn.run(app, host=host, port=port, log_level="warning", access_log=False, server_header=False)


def record_export(home: Path, business: str, pack: str, period: tuple[date, date], *, again: bool) -> None:
    """Write into the audit trail, before it is done, that somebody sends a pack to a bank.

    Raises:
        SettingsError, TransientError, PermanentError: it could not be written: nothing must be sent.
    """
    _, trail = accounts_of(home)
    details = {"since": str(period[0]), "until": str(period[1]), "again": again}
    trail.append(Entry(_me(), "packs", business=business, subject=pack, details=details))


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


def _me() -> str:
    return f"cli:{getuser()}"


def _settings(home: Path, file: Path | None) -> ListenSettings:
    return load_listen_settings(file or home / SETTINGS_FILE)


def _businesses(home: Path) -> dict[str, Settings]:
    known = remembered(home)
    if not known:
        remembered_business(home, "any")
    return known


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
    )


def _vault(settings: ListenSettings, businesses: dict[str, Settings]) -> Vault:
    if settings.storage:
        return Vault(
            url=settings.storage,
            endpoint=settings.endpoint,
            region=settings.region,
            access_key=_secret(settings, "access_key"),
            secret_key=_secret(settings, "secret_key"),
        )
    storages = {business.storage for business in businesses.values()}
    if len(storages) > 1:
        raise _cannot(
            "find accounts and audit trail", SETTINGS_FILE, f"the businesses have {len(storages)} storages",
            f"name the folder or bucket for them: `storage` in {SETTINGS_FILE} of the home",
        )  # fmt: skip
    return Vault(url=str(Path(storages.pop()) / "listen"))


def _secret(settings: ListenSettings, name: str) -> SecretStr | None:
    source = getattr(settings, name)
    return SecretStr(source.fetch(f"{name} of the page's storage")) if source else None


def _trail(home: Path, settings: ListenSettings, businesses: dict[str, Settings], key: bytes) -> AuditTrail:
    return AuditTrail(_vault(settings, businesses), derived(key, "rows"), memory=home / "audit-head")


def _key(home: Path, settings: ListenSettings) -> bytes:
    """The installation's key; made up once, where the settings name none."""
    if settings.key:
        key = settings.key.fetch("key of the page").encode()
    else:
        file = home / "listen.key"
        if not file.exists():
            part = home / f".listen.key.{secrets.token_hex(4)}"
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
                handle.write(secrets.token_hex(32))
            try:
                os.link(part, file)
            except FileExistsError:
                pass
            finally:
                part.unlink()
        key = file.read_bytes().strip()
    if len(key) < _SHORTEST_KEY:
        raise _cannot("use the page's key", "key", "it has fewer than 32 characters", "make one: openssl rand -hex 32")
    return key


def _cannot(operation: str, subject: str, cause: str, remedy: str) -> SettingsError:
    return SettingsError(operation=operation, subject=subject, cause=cause, remedy=remedy)
