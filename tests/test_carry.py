"""Disks that are carried to the centre: on a real restic, with folders as disks."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect import flow
from prefect.settings import get_current_settings
from pydantic import SecretStr
from repositories import make_repository
from shop import DAY, PASSWORD, Shop, at

from blocks import restic
from blocks.business import Business
from blocks.disk_label import LABEL, label_of
from blocks.errors import AbsentDiskError, PermanentError, TransientError
from blocks.repository import Repository
from blocks.restic import find_restic
from blocks.saved import load
from flows.absence import look_for_disk
from flows.backup import backup
from flows.carry import carry
from flows.centre import load_centre
from flows.disks import announce, depart, prepare, tell_missing
from flows.ingest import ingest
from flows.reconciliation import _due
from reconcile.frames import CALLS, CARRIED, DISKS, GONE, SNAPSHOTS
from voxkeep.carrying import ledger
from voxkeep.lookup import show_status, status_of
from voxkeep.main import app

YEAR = str(DAY.year)


class Island:
    """The shop's site without network, and a folder that is its disk."""

    def __init__(self, shop: Shop, **settings: Any) -> None:
        self.shop = shop
        self.disk = shop.folder / "disk" / "restic"
        sites = shop.content()["sites"]
        sites["one"]["repository"] = str(self.disk)
        shop.apply(sites=sites, **settings)

    def prepare(self) -> None:
        """Prepare the disk, with a repository whose password is quick to try."""
        self.disk.parent.mkdir()
        prepare(self.disk, "shop", "one", "A1")
        make_repository(self.disk / YEAR, PASSWORD)

    @property
    def centre(self) -> Repository:
        """The central repository."""
        return Repository(location=str(self.shop.repositories), password=SecretStr(PASSWORD))

    def network(self) -> None:
        """The site has a network from now on."""
        self.shop.apply()

    def end_state(self) -> dict[str, Any]:
        """As of the shop, but for what says how snapshots came."""
        return {name: rows for name, rows in self.shop.end_state().items() if name not in ("disks", "carried")}

    def stored(self) -> int:
        """Bytes of the central packs; what a killed restic had not finished does not count."""
        packs = (self.shop.repositories / YEAR / "data").glob("*/*")
        return sum(file.stat().st_size for file in packs if "-tmp-" not in file.name)


@pytest.fixture
def island(shop: Shop) -> Island:
    return Island(shop)


def a_day(shop: Shop) -> None:
    for place, clock in enumerate(("09:00:00", "10:00:00")):
        shop.call(f"c{place}", clock)
        shop.recording(clock)
    shop.call("missing", "12:00:00")


@pytest.fixture(scope="module")
def undisturbed(prefect: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The end state of the same day over the network."""
    shop = Shop(tmp_path_factory.mktemp("undisturbed"))
    a_day(shop)
    backup("shop", "one", DAY)
    ingest("shop")
    return Island.end_state(type("Networked", (), {"shop": shop})())  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def departed(prefect: None, tmp_path_factory: pytest.TempPathFactory) -> Island:
    """A day that was backed up on a disk, which has departed; beside its folder a copy of it."""
    shop = Shop(tmp_path_factory.mktemp("departed") / "shop")
    island = Island(shop)
    island.prepare()
    a_day(shop)
    backup("shop", "one", DAY)
    depart(island.disk)
    shutil.copytree(shop.folder, shop.folder.with_name("copy"))
    return island


@pytest.fixture
def on_its_way(departed: Island) -> Island:
    """That day as it was before any test."""
    folder = departed.shop.folder
    shutil.rmtree(folder)
    shutil.copytree(folder.with_name("copy"), folder)
    return Island(departed.shop)


def test_a_disk_carried_in_is_as_good_as_a_network_and_twice_is_harmless(
    on_its_way: Island, undisturbed: dict[str, Any]
) -> None:
    island, shop = on_its_way, on_its_way.shop
    assert ingest("shop")["snapshots"] == []
    done = carry(str(island.disk.parent))
    assert (done["copied"], done["restored"], done["same_chunks"]) == (1, 2, True)
    assert island.end_state() == undisturbed
    assert [disk["state"] for disk in ledger(shop.folder / "home", "shop")] == ["arrived"]
    known = shop.frame(CARRIED).row(0, named=True)
    assert shop.frame(SNAPSHOTS)["snapshot_id"].to_list() == [known["snapshot_id"]] != [known["original"]]
    before = shop.files()
    assert (done["copied"], carry(str(island.disk))["copied"]) == (1, 0)
    assert shop.files() == before
    shutil.rmtree(shop.repositories / YEAR / "snapshots")  # retention has let go of it
    (shop.repositories / YEAR / "snapshots").mkdir()
    assert carry(str(island.disk))["copied"] == 0


def another_label(name: str, value: str) -> Callable[[Island], None]:
    def change(island: Island) -> None:
        label = label_of(island.disk)
        assert label
        (island.disk / LABEL).write_text(label.model_copy(update={name: value}).model_dump_json())

    return change


def a_pack(island: Island) -> Path:
    return max((island.disk / YEAR / "data").rglob("*"), key=lambda file: file.stat().st_size if file.is_file() else 0)


def flip(island: Island) -> None:
    content = bytearray(a_pack(island).read_bytes())
    content[1000] ^= 1
    a_pack(island).chmod(0o600)
    a_pack(island).write_bytes(content)


def empty(folder: str) -> Callable[[Island], None]:
    def change(island: Island) -> None:
        for file in (island.disk / YEAR / folder).iterdir():
            file.unlink()

    return change


def another_password(island: Island) -> None:
    shutil.rmtree(island.disk / YEAR)
    make_repository(island.disk / YEAR, "another")


def of_another_site(island: Island) -> None:
    repository = Repository(location=str(island.disk), password=SecretStr(PASSWORD))
    tags = ["business=shop", "site=two", f"day={DAY}"]
    repository.backup(DAY.year, [island.shop.root], host="two", tags=tags)


def forget_ledger(island: Island) -> None:
    shutil.rmtree(island.shop.storage / "catalog" / "disks")


REFUSED = {
    "another business's": (another_label("business", "other"), "this business and site are not known here"),
    "another site's": (another_label("site", "two"), "this business and site are not known here"),
    "another disk under the label's name": (another_label("disk_id", "0" * 32), "the ledger has no disk 0000"),
    "nobody has told of it": (forget_ledger, "enter the slip"),
    "a snapshot of another site": (of_another_site, "was taken by another business or site"),
    "a bit of a pack": (flip, "1 packs of 2021 are not as they were written"),
    "a pack is gone": (lambda island: a_pack(island).unlink(), "cannot be read as it was written"),
    "the index is gone": (empty("index"), "cannot be read as it was written"),
    "a snapshot is gone": (empty("snapshots"), "1 snapshots that were on it when it departed are gone"),
    "another password": (another_password, "wrong password"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_disk_that_is_foreign_or_was_altered_is_refused_before_anything_is_copied(
    name: str, on_its_way: Island
) -> None:
    change, words = REFUSED[name]
    change(on_its_way)
    with pytest.raises(PermanentError, match=words) as refused:
        carry(str(on_its_way.disk))
    assert "Cannot take in a disk" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert on_its_way.stored() == 0
    assert on_its_way.shop.frame(CARRIED).is_empty()


def test_a_disk_of_which_only_the_slip_is_known_is_taken_in(on_its_way: Island) -> None:
    told = depart(on_its_way.disk)
    assert told["slip"] == depart(on_its_way.disk)["slip"]
    forget_ledger(on_its_way)
    assert announce(told["slip"]) == announce(told["slip"])
    assert carry(str(on_its_way.disk))["copied"] == 1
    announce(told["slip"])  # once more, behind time
    assert on_its_way.shop.frame(DISKS)["arrived_at"].null_count() == 0


def interrupted(tmp_path: Path, copying: str) -> Path:
    """A restic that copies in another way than usual."""
    program = tmp_path / "interrupted-restic"
    program.write_text(
        f"""#!/bin/sh
case " $* " in
*" copy "*)
    {copying} ;;
*) exec {find_restic()} "$@" ;;
esac
"""
    )
    program.chmod(0o755)
    return program


@pytest.fixture
def large(on_its_way: Island) -> Island:
    """The disk has a day with a recording of several packs, too."""
    shop = on_its_way.shop
    file = shop.recording("11:00:00")
    file.write_bytes(file.read_bytes()[:44] + os.urandom(24_000_000))
    shop.settle(file, at("11:10:00"))
    backup("shop", "one", DAY)
    return on_its_way


def test_an_import_that_was_killed_is_continued(large: Island, tmp_path: Path) -> None:
    done = f"find {large.shop.repositories / YEAR / 'data'} -type f -size +1000k ! -name '*-tmp-*'"
    slowly = f'{find_restic()} --pack-size 4 --limit-upload 4000 --limit-download 4000 "$@" & restic=$!'
    dying = f'until [ "$({done})" ]; do sleep 0.1; done; kill -9 $restic $PPID; wait $restic'
    program = interrupted(tmp_path, f"{slowly}\n    {dying}")
    environment = {"PREFECT_API_URL": str(get_current_settings().api.url), "VOXKEEP_RESTIC": str(program)}
    killed = subprocess.run(
        [sys.executable, "-c", f"from flows.carry import carry; carry({str(large.disk)!r})"],
        env=os.environ | environment, capture_output=True, check=False, timeout=300,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
    assert large.shop.frame(CARRIED).is_empty()
    sent = large.stored()
    assert sent > 4_000_000
    assert carry(str(large.disk))["copied"] == 2
    assert large.stored() < 24_000_000 + 1_000_000
    assert ingest("shop")["snapshots"] == []
    assert large.shop.frame(SNAPSHOTS).height == 2


def test_a_disk_that_is_pulled_out_is_told_and_continued(
    large: Island, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = large.disk.with_name("away")
    program = interrupted(tmp_path, f'mv {large.disk} {away}; {find_restic()} "$@"')
    with monkeypatch.context() as patched:
        patched.setattr(restic, "find_restic", lambda: str(program))
        with pytest.raises(TransientError, match=r"it is not there any more.*goes on where it was"):
            carry(str(large.disk))
    away.rename(large.disk)
    assert carry(str(large.disk))["copied"] == 2
    assert large.stored() < 24_000_000 + 1_000_000


def test_a_disk_that_is_not_there_is_no_failure_until_it_lasts(island: Island, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = island.shop
    (shop.folder / "route").write_text("json://127.0.0.1:9/")
    Island(shop, alerts={"team": {"file": "route"}}, language="en")
    a_day(shop)
    island.disk.mkdir(parents=True)  # what is left of a mount point
    monkeypatch.setattr("sys.argv", ["voxkeep", "backup", "shop", "--home", str(shop.folder / "home")])
    with pytest.raises(SystemExit) as ended:
        app()
    assert ended.value.code == 75
    assert list(island.disk.iterdir()) == []
    business, now = load(Business, "shop"), datetime.now(UTC)
    with pytest.raises(AbsentDiskError, match="the disk is not mounted"):
        look_for_disk(business, "one", now + timedelta(days=2.9))
    assert list((shop.storage / "outbox" / "shop").glob("*.json")) == []
    assert "no disk since" in str(show_status(status_of(shop.folder / "home")).title)
    with pytest.raises(TransientError, match="so it has been for 3 days") as failed:
        flow(look_for_disk, validate_parameters=False)(business, "one", now + timedelta(days=3.1))
    assert not isinstance(failed.value, AbsentDiskError)
    (kept,) = (shop.storage / "outbox" / "shop").glob("*.json")
    assert "no disk at one" in kept.read_text()
    shutil.rmtree(island.disk.parent)
    island.prepare()
    look_for_disk(business, "one", now)
    assert status_of(shop.folder / "home")["shop"]["sites"]["one"]["disk_absent_since"] is None


def test_the_disk_of_another_site_is_not_written_to(island: Island) -> None:
    island.prepare()
    another_label("site", "two")(island)
    a_day(island.shop)
    with pytest.raises(AbsentDiskError, match="the disk A1 that is there is of shop/two"):
        backup("shop", "one", DAY)
    assert list((island.disk / YEAR / "snapshots").iterdir()) == []


def test_a_disk_that_departed_and_did_not_arrive_is_told_until_it_does(on_its_way: Island) -> None:
    shop = on_its_way.shop
    (shop.folder / "route").write_text("json://127.0.0.1:9/")
    Island(shop, alerts={"team": {"file": "route"}})
    home, business = shop.folder / "home", load(Business, "shop")
    later = datetime.now(UTC) + timedelta(days=8)
    assert tell_missing(business, datetime.now(UTC)) == []
    assert [told.route for told in tell_missing(business, later)] == ["team"]
    (kept,) = (shop.storage / "outbox" / "shop").glob("*.json")
    assert "硬盘 A1 未到" in kept.read_text()
    assert "the disk A1 is on its way" in str(show_status(status_of(home)).title)
    carry(str(on_its_way.disk))
    assert tell_missing(business, later) == []
    assert status_of(home)["shop"]["disks_away"] == []


def test_when_the_network_is_back_the_site_catches_up_and_a_late_disk_doubles_nothing(on_its_way: Island) -> None:
    island, shop = on_its_way, on_its_way.shop
    carry(str(island.disk))
    first = shop.frame(SNAPSHOTS)
    shop.call("late", "15:00:00", talk=7)
    gone = shop.recording("15:00:00")
    backup("shop", "one", DAY)  # once more on the disk, which waits to be carried
    gone.unlink()
    island.network()
    island.shop.call("next", "16:00:00")
    shop.recording("16:00:00")
    with_network = backup("shop", "one", DAY)
    assert ingest("shop")["restored"] == 1
    assert backup("shop", "one", DAY)["snapshot_id"] == with_network["snapshot_id"]
    calls = shop.frame(CALLS)
    done = carry(str(island.disk))
    assert (done["copied"], done["restored"]) == (1, 1)  # the one that only the disk has
    assert shop.frame(CALLS).equals(calls)
    assert shop.frame(GONE).is_empty()
    assert shop.frame(SNAPSHOTS).height == first.height + 2
    listing = shop.store.listing("")
    assert listing.height == listing["key"].n_unique() == 4
    before = shop.files()
    assert carry(str(island.disk))["copied"] == ingest("shop")["published"] == 0
    assert shop.files() == before


def test_a_day_is_due_at_the_centre_only_when_its_disk_may_have_come(island: Island) -> None:
    centre = load_centre(load(Business, "shop"), "one")
    end = at("00:00:00") + timedelta(days=1, hours=6)
    assert _due(centre, [DAY], end + timedelta(days=30)).is_empty()
    assert _due(centre, [DAY], end + timedelta(days=31))["day"].to_list() == [DAY]
    island.network()
    assert _due(load_centre(load(Business, "shop"), "one"), [DAY], end)["day"].to_list() == [DAY]


def test_nothing_is_kept_twice_where_disk_and_centre_cut_files_alike(island: Island, tmp_path: Path) -> None:
    disk = Repository(location=str(tmp_path / "one"), password="secret")
    centre = Repository(location=str(tmp_path / "two"), password="secret")
    for place in (disk, centre):
        place.make_folder()
    disk.create(DAY.year)
    assert centre.create(DAY.year, like=(disk, DAY.year))
    assert disk.cutting(DAY.year) == centre.cutting(DAY.year) is not None
