"""Accounts of people at sites without a login service: kept in the vault, each version of all of them one object."""

import re
import secrets
import time
from collections.abc import Callable
from threading import Lock, Semaphore

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

from blocks.errors import PermanentError, SettingsError
from blocks.vault import Vault
from listen.roles import ROLES, Person

_FOLDER = "accounts"
_FRESH_SECONDS = 1.0
_MOST_RACES = 50
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
SHORTEST_PASSWORD, LONGEST_PASSWORD = 12, 256
# Argon2id with the second parameters that RFC 9106 recommends: 64 MiB, three passes, four lanes.
_HASHER = PasswordHasher()
# At most so many at a time: each takes 64 MiB.
_AT_ONCE = Semaphore(4)
# So that a name that nobody has takes as long as one that somebody has.
_NOBODY = _HASHER.hash(secrets.token_urlsafe())


class Account(BaseModel):
    """One person's account."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str = ""
    roles: tuple[str, ...]
    businesses: tuple[str, ...]
    password: str = Field(repr=False)
    must_change: bool = True
    disabled: bool = False
    # Counts up when the account changes; sessions of an older epoch are over.
    epoch: int = 1

    @field_validator("name")
    @classmethod
    def _is_name(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError("a name has 1 to 40 small letters, digits, dots, hyphens and underscores")
        return name

    @field_validator("roles")
    @classmethod
    def _are_roles(cls, roles: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [role for role in roles if role not in ROLES]
        if unknown or not roles:
            raise ValueError(f"roles are some of {', '.join(ROLES)}")
        return roles

    def person(self) -> Person:
        """Who this is, for the table of roles."""
        return Person(self.name, self.title or self.name, self.roles, self.businesses)


_ALL = TypeAdapter(dict[str, Account])


class Accounts:
    """All accounts; a change is whole or not at all, and two at the same time both count."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._lock = Lock()
        self._known: dict[str, Account] = {}
        self._read_at = float("-inf")

    def all(self) -> dict[str, Account]:
        """The accounts by name, at most a second old."""
        with self._lock:
            if time.monotonic() - self._read_at > _FRESH_SECONDS:
                _, self._known = self._newest()
                self._read_at = time.monotonic()
            return dict(self._known)

    def get(self, name: str) -> Account | None:
        """The account of this name."""
        return self.all().get(name)

    def change(self, name: str, make: Callable[[Account | None], Account]) -> Account:
        """Replace this account by what `make` makes of it; None where there is none. Returns the new one.

        Raises:
            SettingsError: what it makes is no account.
        """
        for _ in range(_MOST_RACES):
            version, accounts = self._newest()
            try:
                account = make(accounts.get(name))
            except ValidationError as error:
                raise _refused(name, error.errors()[0]["msg"].removeprefix("Value error, ")) from None
            content = _ALL.dump_json({**accounts, name: account})
            if self._vault.create(_key(version + 1), content):
                with self._lock:
                    self._read_at = float("-inf")
                return account
        raise PermanentError(
            operation="change an account", subject=name, cause="others change accounts all the time", remedy="try again"
        )

    def _newest(self) -> tuple[int, dict[str, Account]]:
        versions = [int(name.removesuffix(".json")) for name in self._vault.names(_FOLDER) if name[:1].isdecimal()]
        if not versions:
            return 0, {}
        version = max(versions)
        return version, _ALL.validate_json(self._vault.get(_key(version)) or b"{}")


def _key(version: int) -> str:
    return f"{_FOLDER}/{version:08}.json"


def new_account(name: str, title: str, roles: tuple[str, ...], businesses: tuple[str, ...], password: str) -> Account:
    """An account whose password must be changed at the first login.

    Raises:
        SettingsError: the password is too weak, or a field cannot be.
    """
    try:
        return Account(name=name, title=title, roles=roles, businesses=businesses, password=hashed(password, name))
    except ValidationError as error:
        raise _refused(name, error.errors()[0]["msg"].removeprefix("Value error, ")) from None


def hashed(password: str, name: str) -> str:
    """The password's argon2id hash.

    Raises:
        SettingsError: it is too short, too long, or the name.
    """
    weak = weakness(password, name)
    if weak:
        raise _refused(name, weak)
    with _AT_ONCE:
        return _HASHER.hash(password)


def weakness(password: str, name: str) -> str | None:
    """What is wrong with a password; None: nothing."""
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        return f"a password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters"
    if name.lower() in password.lower() or len(set(password)) < SHORTEST_PASSWORD // 2:
        return "the password is the account's name, or the same few characters again and again"
    return None


def is_password(account: Account | None, password: str) -> bool:
    """Whether this is the account's password; takes as long for no account and for a disabled one."""
    known = account.password if account and not account.disabled else _NOBODY
    with _AT_ONCE:
        try:
            fits = _HASHER.verify(known, password[:LONGEST_PASSWORD])
        except (VerificationError, InvalidHashError):
            return False
    return fits and account is not None and not account.disabled


def random_password() -> str:
    """A password that nobody can guess, to be shown once."""
    return secrets.token_urlsafe(15)


def _refused(name: str, cause: str) -> SettingsError:
    return SettingsError(operation="change an account", subject=name, cause=cause, remedy="give another value")
