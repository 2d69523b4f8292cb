"""The audit trail from the command line: where it lies, its key, and the block by which flows reach it."""

import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from getpass import getuser
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from rich.table import Table

from blocks.audit_log import AuditLog
from blocks.errors import SettingsError
from blocks.keys import derived
from blocks.saved import load
from blocks.step import Step
from blocks.trail import AuditTrail, Entry, Head, Verified
from blocks.vault import Vault
from voxkeep.console import table
from voxkeep.listen_settings import ListenSettings, load_listen_settings
from voxkeep.remembered import remembered, remembered_business
from voxkeep.settings import Settings

SETTINGS_FILE = "listen.yaml"
_KEY_FILE = "listen.key"
_SHORTEST_KEY = 32


def page_settings(home: Path, file: Path | None = None) -> ListenSettings:
    """The settings of the page in this file, or in the home."""
    return load_listen_settings(file or home / SETTINGS_FILE)


def known_businesses(home: Path) -> dict[str, Settings]:
    """The businesses that were applied with this home.

    Raises:
        SettingsError: none was.
    """
    known = remembered(home)
    if not known:
        remembered_business(home, "any")
    return known


def vault_of(settings: ListenSettings, businesses: dict[str, Settings]) -> Vault:
    """Where accounts and audit trail lie.

    Raises:
        SettingsError: nobody has said where, and the businesses have several storages.
    """
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
        raise SettingsError(
            operation="find accounts and audit trail", subject=SETTINGS_FILE,
            cause=f"the businesses have {len(storages)} storages",
            remedy=f"name the folder or bucket for them: `storage` in {SETTINGS_FILE} of the home",
        )  # fmt: skip
    return Vault(url=str(Path(storages.pop()) / "listen"))


def _secret(settings: ListenSettings, name: str) -> SecretStr | None:
    source = getattr(settings, name)
    return SecretStr(source.fetch(f"{name} of the page's storage")) if source else None


def page_key(home: Path, settings: ListenSettings) -> bytes:
    """The installation's key; made up once, where the settings name none."""
    if settings.key:
        key = settings.key.fetch("key of the page").encode()
    else:
        file = home / _KEY_FILE
        if not file.exists():
            _make_key(home, file)
        key = file.read_bytes().strip()
    if len(key) < _SHORTEST_KEY:
        raise SettingsError(
            operation="use the page's key", subject="key", cause="it has fewer than 32 characters",
            remedy="make one: openssl rand -hex 32",
        )  # fmt: skip
    return key


def _make_key(home: Path, file: Path) -> None:
    """Make the key's file; of two at the same time, one counts."""
    home.mkdir(parents=True, exist_ok=True)
    part = home / f".{_KEY_FILE}.{secrets.token_hex(4)}"
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
        handle.write(secrets.token_hex(32))
    with suppress(FileExistsError):
        os.link(part, file)
    part.unlink()


def trail_of(home: Path, settings: ListenSettings) -> AuditTrail:
    """The trail, with the head that this machine remembers."""
    key = page_key(home, settings)
    return AuditTrail(vault_of(settings, known_businesses(home)), derived(key, "rows"), memory=home / "audit-head")


def record(home: Path, action: str, business: str, subject: str, **details: Any) -> None:  # noqa: ANN401  # any plain
    """Write into the audit trail, before it is done, what somebody does at the command line.

    Raises:
        SettingsError, TransientError, PermanentError: it could not be written: it must not be done.
    """
    trail_of(home, page_settings(home)).append(Entry(me(), action, business, subject, details=details))


def me() -> str:
    """Who is at the command line, as the trail names them."""
    return f"cli:{getuser()}"


def audit_log(home: Path, settings: ListenSettings, businesses: dict[str, Settings]) -> AuditLog:
    """The block by which flows write into the trail."""
    vault, key = vault_of(settings, businesses), page_key(home, settings)
    return AuditLog(
        **{name: getattr(vault, name) for name in ("url", "endpoint", "region", "access_key", "secret_key")},
        rows_key=SecretStr(derived(key, "rows").hex()),
        numbers_key=SecretStr(derived(key, "numbers").hex()),
    )


def log_steps(settings: Settings, home: Path) -> Iterator[Step]:
    """What is to be done so that flows of this business reach the audit trail.

    Nothing where nobody has said yet where it lies: then they say so, and do nothing.
    """
    page = page_settings(home)
    businesses = remembered(home) | {settings.business: settings}
    if not page.storage and len({business.storage for business in businesses.values()}) > 1:
        return
    what = f"block {AuditLog.get_block_type_slug()}/{settings.business}"
    if page.key is None and not (home / _KEY_FILE).exists():
        yield Step(what, "create", lambda: save_log(home, page, businesses, settings.business))
        return
    wanted = audit_log(home, page, businesses)
    try:
        action = "unchanged" if _same(load(AuditLog, settings.business), wanted) else "change"
    except SettingsError:
        action = "create"
    yield Step(what, action, lambda: save_log(home, page, businesses, settings.business))  # type: ignore[arg-type]


def _same(one: AuditLog, other: AuditLog) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in AuditLog.model_fields)


def reach(home: Path, business: str) -> None:
    """Have a flow of this business that is about to run write into the trail of this home.

    Raises:
        SettingsError: there is no such business, or nobody has said where the trail lies.
    """
    remembered_business(home, business)
    save_log(home, page_settings(home), known_businesses(home), business)


def save_log(home: Path, settings: ListenSettings, businesses: dict[str, Settings], business: str) -> None:
    """Have the flows of this business write into the very trail that these settings name."""
    audit_log(home, settings, businesses).save(business, overwrite=True)


def verify_trail(home: Path, head: str | None, settings_file: Path | None = None) -> Verified:
    """Walk the audit trail; hold it against the head that somebody has written down, where one is given.

    Raises:
        SettingsError: this is no head.
    """
    trail = trail_of(home, page_settings(home, settings_file))
    try:
        remembered_head = Head.parse(head) if head else None
    except ValueError as error:
        raise SettingsError(
            operation="verify the audit trail", subject="--head", cause=str(error), remedy="copy it from the page"
        ) from None
    return trail.verify(remembered_head)


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
