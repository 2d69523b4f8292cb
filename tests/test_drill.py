"""A drill proves a restore, tells what did not come back, and can be made again with its seed."""

import json
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from shutil import copytree, rmtree

import polars as pl
import pytest
from shop import DAY, Shop
from tables import BUSINESS, SITE, at, recording, rows_of

from blocks.errors import SettingsError
from flows.backup import backup
from flows.drill import drill
from flows.ingest import ingest
from flows.recovery import MARK, Progress, restore
from reconcile import recovery
from reconcile.frames import DRILLS, INVENTORY, SNAPSHOT_FILES, SNAPSHOTS
from voxkeep.main import run

BEFORE = DAY - timedelta(days=1)
SEED = 4


@pytest.fixture(scope="module")
def kept(prefect: None, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Two days with three recordings, backed up and ingested, and beside the folder a copy of it."""
    shop = Shop(tmp_path_factory.mktemp("kept") / "shop")
    sites = shop.content()["sites"]
    sites["one"]["since"] = BEFORE
    (shop.folder / "outbox.txt").write_text("json://127.0.0.1:9/")
    shop.apply(sites=sites, alerts={"nowhere": {"file": "outbox.txt"}})
    shop.recording("09:00:00")
    shop.recording("10:00:00", number="18600000000")
    shop.recording("23:00:00", day=BEFORE)
    shop.settle(shop.recording("11:00:00", seed=7), at("11:00:00"))
    odd = shop.root / "01/31" / "2049_15372388463_20210131110000.wav3"
    odd.rename(odd.with_name("2049_[x]*$HOME?_20210131110000.wav3 "))
    backup(shop.business, "one", DAY)
    ingest(shop.business)
    copytree(shop.folder, shop.folder.with_name("copy"))
    return shop


@pytest.fixture
def shop(kept: Shop) -> Iterator[Shop]:
    """Those days as they were before any test."""
    yield kept
    rmtree(kept.folder)
    copytree(kept.folder.with_name("copy"), kept.folder)


def damage(shop: Shop) -> None:
    """Turn a bit here and there in every pack that holds recordings."""
    for pack in (shop.repositories / "2021" / "data").rglob("*"):
        if pack.is_file() and pack.stat().st_size > 50_000:
            content = bytearray(pack.read_bytes())
            for place in range(1000, len(content), 10_000):  # whichever file lies first in the pack
                content[place] ^= 1
            pack.chmod(0o600)
            pack.write_bytes(content)


def test_what_is_restored_is_compared_and_played_and_timed(shop: Shop) -> None:
    done = drill(shop.business, "one", SEED)
    (row,) = shop.frame(DRILLS).to_dicts()
    assert row["good"]
    assert (row["recordings"], row["same"], row["played"], row["absent"]) == (4, 4, 4, 0)
    assert 0 < row["sampled"] < 4
    assert 0 < row["restore_seconds"] <= row["recovery_seconds"]
    assert row["recovery_point_seconds"] > 0
    assert row["bytes"] == sum(file.stat().st_size for file in shop.root.rglob("*") if file.is_file())
    page = Path(done["report"]).read_text()
    assert f"seed {SEED}" in page
    assert "演练通过" in page
    assert "Passed" in page
    assert not (shop.storage / "work" / shop.business / "one" / "drill").exists()


def test_the_same_seed_makes_the_same_choice_and_is_kept_once(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = drill(shop.business, "one", SEED)
    home = ["--home", str(shop.folder / "home"), "--json"]
    monkeypatch.setattr("sys.argv", ["voxkeep", "drill", "shop", "--seed", str(SEED), *home])
    with pytest.raises(SystemExit) as ended:
        run()
    assert ended.value.code == 0
    (again,) = json.loads(capsys.readouterr().out)["drills"]
    assert again["restored_day"] == str(first["restored_day"])
    assert (again["seed"], again["good"], again["sampled"]) == (SEED, True, first["sampled"])
    assert shop.frame(DRILLS).height == 1
    assert {recovery.random_day([DAY, BEFORE], seed) for seed in range(20)} == {DAY, BEFORE}


def test_a_damaged_backup_fails_the_drill_and_alarms(shop: Shop) -> None:
    damage(shop)
    done = drill(shop.business, "one", SEED)
    assert not done["good"]
    (row,) = shop.frame(DRILLS).to_dicts()
    assert row["trouble"] or row["absent"] or row["differing"]
    (kept,) = (shop.storage / "outbox" / shop.business).glob("*.json")
    alert = json.loads(kept.read_text())
    assert alert["severity"] == "critical"
    assert "恢复演练" in alert["markdown"]
    assert alert["attachments"] == [done["report"]]


def test_an_empty_catalog_is_no_good_drill(prefect: None, tmp_path: Path) -> None:
    Shop(tmp_path, business="empty")
    done = drill("empty", "one")
    assert not done["good"]
    assert "knows no recording" in done["trouble"]


def test_a_site_is_restored_and_what_is_right_already_is_not_fetched_again(shop: Shop, tmp_path: Path) -> None:
    target = tmp_path / "new"
    done = restore(shop.business, "one", str(target))
    assert (done["recordings"], done["same"], done["not_restored"]) == (4, 4, [])
    files = {file.relative_to(shop.root): file.read_bytes() for file in shop.root.rglob("*") if file.is_file()}
    assert {name: (target / name).read_bytes() for name in files} == files
    there = {file: file.stat().st_ino for file in target.rglob("*") if file.is_file()}
    missing, altered, *_ = sorted(file for file in there if file.name != MARK)
    missing.unlink()
    stood = altered.stat().st_mtime_ns
    altered.write_bytes(bytes(altered.stat().st_size))
    shop.settle(altered, datetime.fromtimestamp(stood / 1e9, tz=at("00:00:00").tzinfo))
    assert restore(shop.business, "one", str(target))["same"] == 4
    assert {name: (target / name).read_bytes() for name in files} == files
    assert sum(there[file] == file.stat().st_ino for file in there) >= 2


def test_one_day_is_restored_alone(shop: Shop, tmp_path: Path) -> None:
    assert restore(shop.business, "one", str(tmp_path / "day"), day=BEFORE)["recordings"] == 1
    assert restore(shop.business, "one", str(tmp_path / "since"), since=DAY)["recordings"] == 3


def test_a_folder_with_something_else_in_it_is_refused_and_left_alone(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(SettingsError, match="something else is in it"):
        restore(shop.business, "one", str(tmp_path))
    (tmp_path / MARK).write_text('{"business": "shop", "site": "two"}')
    with pytest.raises(SettingsError, match="something else is in it"):
        restore(shop.business, "one", str(tmp_path))
    assert sorted(file.name for file in tmp_path.iterdir()) == [MARK, "mine.txt"]


def test_what_the_backup_lost_is_named(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for snapshot in (shop.repositories / "2021" / "snapshots").iterdir():
        snapshot.unlink()
    home = ["--home", str(shop.folder / "home"), "--json"]
    monkeypatch.setattr("sys.argv", ["voxkeep", "restore", "shop", "--site", "one", "--into", str(tmp_path), *home])
    with pytest.raises(SystemExit) as ended:
        run()
    assert ended.value.code == 1
    assert restore(shop.business, "one", str(tmp_path))["absent"] == 4


def test_a_snapshot_that_is_gone_is_replaced_by_the_next_one() -> None:
    inventory = rows_of(INVENTORY, recording("a.wav"))
    version = inventory.select("business", "site", "day", "recording_id", "path", "size", "mtime")
    held = version.with_columns(snapshot_id=pl.lit("first")).select(list(SNAPSHOT_FILES.columns))
    common = {"business": BUSINESS, "site": SITE, "day": DAY, "first_day": DAY, "repository_year": 2021}
    rest = {"files": 1, "bytes": 1, "inventory_whole": True}
    snapshots = pl.DataFrame(
        [common | rest | {"snapshot_id": "first", "taken_at": at("01:00:00")}], schema=SNAPSHOTS.schema
    )

    def chosen(*ids_and_clocks: tuple[str, str]) -> list[str | None]:
        rows = [
            {"snapshot_id": name, "taken_at": at(clock), "year": 2021, "root": "/r"} for name, clock in ids_and_clocks
        ]
        kept = pl.DataFrame(rows, schema=recovery.KEPT)
        return recovery.restorable(inventory, held, snapshots, kept)["snapshot_id"].to_list()

    assert chosen(("before", "00:30:00"), ("first", "01:00:00"), ("next", "02:00:00")) == ["first"]
    assert chosen(("before", "00:30:00"), ("next", "02:00:00")) == ["next"]
    assert chosen(("before", "00:30:00")) == [None]


def test_progress_tells_how_much_is_left() -> None:
    told: list[str] = []
    progress = Progress(4_000_000_000, told.append, every=0)
    progress.move(1_000_000_000)
    progress.move(4_000_000_000)
    assert progress.words(60) == "4.0 of 4.0 GB (100%)"
    progress.done = 1_000_000_000
    assert progress.words(60) == "1.0 of 4.0 GB (25%), about 3 min left"
    assert len(told) == 2


def test_days_are_sampled_and_never_more_than_there_are() -> None:
    days = [date(2021, 1, day) for day in range(1, 11)]
    assert sum(recovery.sample_days(days, 1, 20).values()) == 20
    assert recovery.sample_days([], 1, 20) == {}
    two = rows_of(INVENTORY, recording("a.wav"), recording("b.wav"))
    assert recovery.sample(two, 9, 1)["path"].to_list() == ["a.wav", "b.wav"]
