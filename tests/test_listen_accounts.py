"""Accounts from the command line, and the page over the businesses that were applied."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import get_args

import pytest
from program import voxkeep_here

from blocks.errors import SettingsError
from blocks.vault import Vault
from listen.accounts import Account, Accounts, hashed, is_password, new_account
from listen.roles import ROLES
from voxkeep import listen_settings, listening, main
from voxkeep.remembered import remember
from voxkeep.settings import load_settings

FIRST = "first of all passwords"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with one business that was applied."""
    (tmp_path / "shop.yaml").write_text(
        "business: shop\ntitle: Shop\nstorage: storage\n"
        "sites: {one: {recordings: r, password: {file: p}, dropped: {calls: d}}}\n"
        "datasets: {calls: {columns: {call_id: id, started_at: start}}}\n"
    )
    remember(load_settings(tmp_path / "shop.yaml"), tmp_path / "home")
    return tmp_path / "home"


def test_accounts_are_added_listed_reset_and_disabled_and_all_of_it_is_on_record(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = home.parent / "first"
    file.write_text(f"{FIRST}\n")
    added = voxkeep_here(capsys, "account", "add", "li.na", "--role", "listener", "--business", "shop", "--home", home,
                    VOXKEEP_ACCOUNT_PASSWORD=FIRST)  # fmt: skip
    assert added.code == 0, added.err
    assert voxkeep_here(capsys, "account", "reset", "li.na", "--password-file", file, "--home", home).code == 0
    assert voxkeep_here(capsys, "account", "disable", "li.na", "--home", home).code == 0
    (shown,) = json.loads(voxkeep_here(capsys, "account", "list", "--json", "--home", home).out)["accounts"]
    assert (shown["name"], shown["roles"], shown["disabled"], shown["must_change"]) == (
        "li.na",
        ["listener"],
        True,
        True,
    )
    assert "argon2" not in json.dumps(shown)
    verified = voxkeep_here(capsys, "audit", "verify", "--json", "--home", home)
    assert verified.code == 0
    said = json.loads(verified.out)
    assert (said["rows"], said["problems"]) == (3, [])
    row = next((home.parent / "storage" / "listen" / "audit").rglob("*2.json"))
    row.unlink()
    cut = voxkeep_here(capsys, "audit", "verify", "--json", "--head", said["head"], "--home", home)
    assert cut.code == 1
    assert json.loads(cut.out)["problems"] == [{"sequence": 2, "kind": "removed"}]


def test_a_mistake_is_one_paragraph_and_exit_code_two(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no head" in voxkeep_here(capsys, "audit", "verify", "--head", "nonsense", "--home", home).err
    ended = voxkeep_here(
        capsys, "account", "add", "x", "--role", "listener", "--home", home, VOXKEEP_ACCOUNT_PASSWORD="short"
    )
    assert ended.code == 2
    assert "12 to 256" in ended.err
    assert "short" not in ended.err
    (home / "listen.yaml").write_text("storag3: /x\n")
    ended = voxkeep_here(capsys, "account", "list", "--home", home)
    assert ended.code == 2
    assert "storage" in ended.err


@pytest.mark.parametrize("storages", [("storage",), ("storage", "other")])
def test_the_demo_has_its_accounts_once_wherever_its_businesses_lie(home: Path, storages: tuple[str, ...]) -> None:
    shop = (home.parent / "shop.yaml").read_text()
    for place, storage in enumerate(storages):
        text = shop.replace("business: shop", f"business: shop-{place}").replace(
            "storage: storage", f"storage: {storage}"
        )
        (home.parent / "next.yaml").write_text(text)
        remember(load_settings(home.parent / "next.yaml"), home)
    assert set(listening.demo_accounts(home)) == set(listening.DEMO_ACCOUNTS)
    assert listening.demo_accounts(home) == {}
    assert (home / "listen.yaml").exists() == (len(storages) > 1)


def test_two_changes_at_the_same_time_both_count(tmp_path: Path) -> None:
    accounts = [Accounts(Vault(url=str(tmp_path))) for _ in range(4)]
    digest = hashed(FIRST, "x")

    def add(number: int) -> None:
        account = Account(name=f"p{number}", roles=("listener",), businesses=(), password=digest)
        accounts[number % 4].change(account.name, lambda _: account)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(20)))
    assert len(Accounts(Vault(url=str(tmp_path))).all()) == 20


def test_a_password_is_kept_as_argon2id_and_only_the_right_one_fits() -> None:
    account = new_account("li.na", "李娜", ("listener",), ("shop",), FIRST)
    assert account.password.startswith("$argon2id$")
    assert account.must_change
    assert is_password(account, FIRST)
    assert not is_password(account, f"{FIRST}x")
    assert not is_password(account.model_copy(update={"disabled": True}), FIRST)
    assert not is_password(None, FIRST)
    assert FIRST not in repr(account)


@pytest.mark.parametrize("password", ["short", "x" * 257, "li.na li.na li.na", "aaaaaaaaaaaaaaaa", "ababababababab"])
def test_a_weak_password_is_refused(password: str) -> None:
    with pytest.raises(SettingsError):
        hashed(password, "li.na")


@pytest.mark.parametrize(
    ("name", "roles"), [("Li Na", ("listener",)), ("../x", ("listener",)), ("x", ()), ("x", ("god",))]
)
def test_an_account_that_cannot_be_is_refused(name: str, roles: tuple[str, ...]) -> None:
    with pytest.raises(SettingsError):
        new_account(name, "", roles, (), FIRST)


def test_every_place_that_names_the_roles_names_the_same() -> None:
    assert set(get_args(listen_settings.RoleName)) == {role.value for role in main.RoleName} == set(ROLES)


def test_the_key_is_made_once_and_for_its_owner_alone(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    voxkeep_here(capsys, "audit", "verify", "--home", home)
    key = (home / "listen.key").read_text()
    voxkeep_here(capsys, "audit", "verify", "--home", home)
    assert (home / "listen.key").read_text() == key
    assert (home / "listen.key").stat().st_mode & 0o077 == 0
