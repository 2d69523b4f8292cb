"""The three flows on a real restic, a real database and a real disk."""

import hashlib
import json
import os
import shutil
import socket
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from prefect import flow
from shop import DAY, Shop, sound

from blocks.business import Business
from blocks.errors import PermanentError, SettingsError
from blocks.paths import escape_path
from blocks.saved import load
from flows import ingest as steps_of_ingest
from flows.backup import backup, load_place
from flows.ingest import ingest
from flows.reconciliation import reconcile
from reconcile.frames import CALLS, FINDINGS, GONE, INVENTORY, QUARANTINE, SNAPSHOTS, SUMMARY, TRACE, UNTRACED
from voxkeep.lookup import status_of


def small_day(shop: Shop) -> None:
    """Three calls with recordings by key, one unanswered call, one recording that the row names."""
    for place, clock in enumerate(("09:00:00", "10:00:00", "11:00:00")):
        shop.call(f"c{place}", clock)
        shop.recording(clock)
    shop.call("silent", "12:00:00", talk=0)


def test_a_complete_day_has_no_findings_and_full_coverage(new_shop: Shop) -> None:
    small_day(new_shop)
    result = new_shop.run()
    assert new_shop.open_findings() == {}
    assert (result["open_critical"], result["open_major"]) == (0, 0)
    today = new_shop.frame(SUMMARY).filter(pl.col("day") == DAY).row(0, named=True)
    stations = {name: today[name] for name in ("recordings", "in_snapshot", "restored", "published", "indexed")}
    assert stations == dict.fromkeys(stations, 3)
    assert (today["complete"], today["excluded"], today["coverage"]) == (3, 1, 1.0)


def test_every_recording_is_byte_identical_restored_and_published(shop: Shop) -> None:
    small_day(shop)
    shop.run()
    at_source = {f: hashlib.sha256(f.read_bytes()).hexdigest() for f in shop.root.rglob("*.wav3")}
    trace = shop.frame(TRACE).filter(pl.col("recording_id").is_not_null())
    restored = shop.storage / "restored" / "shop" / "one"
    for file, sha256 in at_source.items():
        name = str(file.relative_to(shop.root))
        assert hashlib.sha256((restored / name).read_bytes()).hexdigest() == sha256
        key = trace.filter(pl.col("path") == name)["key"].item()
        assert hashlib.sha256(b"".join(shop.store.get(key))).hexdigest() == sha256
    assert len(at_source) == trace.height == 3


def test_the_second_run_of_everything_changes_nothing(shop: Shop) -> None:
    small_day(shop)
    shop.recording("15:00:00", number="13900000000")
    shop.run()
    before = shop.files()
    first = shop.frame(SNAPSHOTS)
    shop.run()
    assert shop.files() == before
    assert shop.frame(SNAPSHOTS).equals(first)
    assert shop.open_findings() == {"recording_orphan": 1}


def test_a_backup_that_is_not_reconciled_yet_is_one_to_status(shop: Shop) -> None:
    small_day(shop)
    home = shop.folder / "home"
    assert status_of(home)["shop"]["sites"]["one"]["last_backup_day"] is None
    backup("shop", "one", DAY)
    ingest("shop")
    assert status_of(home)["shop"]["sites"]["one"]["last_backup_day"] == str(DAY)


def test_a_late_arrival_resolves_the_finding_of_the_day_before(shop: Shop) -> None:
    small_day(shop)
    shop.call("late", "16:00:00")
    shop.run()
    assert shop.open_findings() == {"recording_missing": 1}
    shop.recording("16:00:00")
    shop.run(DAY + timedelta(days=1))
    assert shop.open_findings() == {}
    resolved = shop.frame(FINDINGS).filter(pl.col("status") == "resolved").row(0, named=True)
    assert (resolved["kind"], resolved["call_id"], resolved["first_seen"]) == (
        "recording_missing",
        "late",
        DAY,
    )
    assert (resolved["resolution"], resolved["status_since"]) == ("recording_arrived", DAY + timedelta(days=1))


def test_a_row_that_arrives_while_backups_are_missed_is_taken_and_its_old_day_traced_again(shop: Shop) -> None:
    shop.apply(lookback_days=2)
    small_day(shop)
    shop.run()
    shop.run(DAY + timedelta(days=1))
    assert shop.open_findings() == {}
    shop.call("late", "15:00:00")  # on the third day, whose backup would have found it
    shop.run(DAY + timedelta(days=3))
    assert shop.open_findings() == {"recording_missing": 1}
    assert shop.frame(FINDINGS)["day"].to_list() == [DAY]
    before = shop.files()
    shop.run(DAY + timedelta(days=3))
    assert shop.files() == before
    assert shop.frame(UNTRACED).is_empty()


def test_a_catalog_whose_findings_have_no_evidence_yet_is_read_and_carried_on(shop: Shop) -> None:
    small_day(shop)
    shop.call("late", "16:00:00")
    shop.run()
    new = ["held_at", "held_time", "size", "sha256", "cause", "resolution", "published", "inventory_whole"]
    for file in (shop.storage / "catalog").rglob("*.parquet"):
        pl.read_parquet(file, hive_partitioning=False).drop(new, strict=False).write_parquet(file)
    assert shop.frame(FINDINGS)["cause"].to_list() == [None]
    shop.recording("16:00:00")
    shop.run(DAY + timedelta(days=1))
    assert shop.open_findings() == {}
    assert shop.frame(FINDINGS)["resolution"].to_list() == ["recording_arrived"]


def test_only_what_is_new_is_restored(shop: Shop) -> None:
    small_day(shop)
    shop.run()
    shop.call("new", "17:00:00")
    shop.recording("17:00:00")
    backup("shop", "one", DAY)
    assert ingest("shop")["restored"] == 1
    assert shop.frame(INVENTORY).height == 4


def test_a_changed_recording_becomes_a_new_object_and_the_old_one_stays(shop: Shop) -> None:
    shop.call("c", "09:00:00")
    file = shop.recording("09:00:00", seed=1)
    shop.run()
    keys = shop.store.listing("")["key"].to_list()
    shop.recording("09:00:00", seed=2)
    shop.settle(file, file_time(file) + timedelta(seconds=60))
    shop.run()
    now = shop.store.listing("")["key"].to_list()
    assert set(keys) < set(now)
    assert len(now) == 2
    assert shop.frame(TRACE)["key"].to_list() == [key for key in now if key not in keys]
    assert shop.open_findings() == {}


def file_time(file: Path):  # noqa: ANN201
    from datetime import UTC, datetime  # noqa: PLC0415

    return datetime.fromtimestamp(file.stat().st_mtime, UTC)


HOSTILE = {
    "not utf-8": b"caf\xe9.wav",
    "newline": b"two\nlines.wav",
    "leading dash": b"-rf.wav",
    "escaped dots": b"%2e%2e.wav",
    "longest": b"x" * 251 + b".wav",
    "lower": b"case.wav",
    "upper": b"CASE.wav",
    "composed": "é.wav".encode(),
    "decomposed": "e\u0301.wav".encode(),
    "quote": b'say "hi" \\ there.wav',
    "glob": b"[a-z]*?.wav",
    "replacement character": "\ufffd.wav".encode(),
}


def test_hostile_file_names_pass_every_station_under_their_own_path(shop: Shop) -> None:
    contents = {}
    folder = bytes(shop.root) + b"/folder \xff"
    os.mkdir(folder)
    for place, name in enumerate(HOSTILE.values()):
        path = folder + b"/" + name
        with open(path, "wb") as handle:
            handle.write(wav(sound(1, place)))
        shop.settle(path, at_noon())
        contents[escape_path(b"folder \xff/" + name)] = hashlib.sha256(wav(sound(1, place))).hexdigest()
    shop.run()
    trace = shop.frame(TRACE)
    assert dict(trace.select("path", "sha256").iter_rows()) == contents
    stations = trace.select(pl.col("on_site", "in_snapshot", "restored", "published").all()).row(0)
    assert stations == (True, True, True, True)
    for row in trace.iter_rows(named=True):
        assert hashlib.sha256(b"".join(shop.store.get(row["key"]))).hexdigest() == contents[row["path"]]


def at_noon():  # noqa: ANN201
    from shop import at  # noqa: PLC0415

    return at("12:00:00")


def wav(samples: bytes) -> bytes:
    head = b"WAVEfmt " + (16).to_bytes(4, "little") + b"\1\0\1\0" + (8000).to_bytes(4, "little")
    head += (16000).to_bytes(4, "little") + b"\2\0\x10\0data" + len(samples).to_bytes(4, "little")
    return b"RIFF" + (len(head) + len(samples)).to_bytes(4, "little") + head + samples


def test_links_sockets_and_pipes_are_reported_and_never_opened(shop: Shop) -> None:
    outside = shop.folder / "secret.wav"
    outside.write_bytes(wav(sound(1)))
    (shop.root / "link.wav").symlink_to(outside)
    (shop.root / "out").symlink_to("/")
    os.mkfifo(shop.root / "pipe.wav")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(shop.root / "socket.wav"))
    shop.recording("09:00:00")
    result = backup("shop", "one", DAY)
    listener.close()
    assert sorted(result["refused"]) == ["link.wav", "out", "pipe.wav", "socket.wav"]
    assert result["recordings"] == 1


def test_a_recording_that_vanishes_before_the_backup_is_a_finding(shop: Shop) -> None:
    small_day(shop)
    victim = shop.root / "01/31/2049_15372388463_20210131100000.wav3"
    vanish_before_snapshot(shop, victim)
    ingest("shop")
    reconcile("shop", day=DAY)
    lost = shop.frame(FINDINGS).row(0, named=True)
    assert (lost["kind"], lost["lost_at"], lost["subject"]) == (
        "recording_lost",
        "in_snapshot",
        str(victim.relative_to(shop.root)),
    )
    assert shop.open_findings() == {"recording_lost": 1}


def vanish_before_snapshot(shop: Shop, victim: Path) -> None:
    """Back up step by step, and remove a recording between inventory and snapshot."""
    from datetime import UTC, datetime  # noqa: PLC0415

    from prefect import flow  # noqa: PLC0415

    from flows import backup as steps  # noqa: PLC0415

    @flow
    def disturbed() -> list[str]:
        place = load_place("shop", "one")
        disk = steps.scan_recordings(place)
        steps.extract(place, [DAY])
        inventory = steps.take_inventory(place, disk, [DAY], datetime.now(UTC), complete=True)
        content = steps.stage(place, [DAY], disk, inventory)
        victim.unlink()
        snapshot_id = steps.take_snapshot(place, [DAY], content, None)
        return list(steps.confirm(place, DAY.year, snapshot_id, inventory)["path"])

    assert disturbed() == [str(victim.relative_to(shop.root))]


def test_an_object_that_is_gone_or_altered_is_a_finding(shop: Shop) -> None:
    small_day(shop)
    backup("shop", "one", DAY)
    ingest("shop")
    first, second, _ = sorted((shop.storage / "bucket" / "shop-audio").rglob("*.wav3"))
    first.unlink()
    second.write_bytes(second.read_bytes() + b"altered")
    reconcile("shop", day=DAY)
    assert shop.open_findings() == {"content_mismatch": 1, "recording_lost": 1}
    found = shop.frame(FINDINGS).sort("kind")
    assert found["cause"].to_list() == ["object_damaged", "object_removed"]
    taken_at = shop.frame(SNAPSHOTS)["taken_at"].item()
    assert found.select("held_at", "held_time").rows() == [("restored", taken_at)] * 2


def test_a_recording_that_the_store_did_not_take_says_so_and_is_offered_again(shop: Shop) -> None:
    small_day(shop)

    @flow
    def disturbed() -> None:
        """An ingest whose restored files are gone before they are published."""
        centre = steps_of_ingest.load_centre(load(Business, "shop"), "one")
        snapshot = steps_of_ingest.unpack(centre, steps_of_ingest.discover(centre).row(0, named=True))
        inventory = pl.read_parquet(snapshot.folder / "inventory.parquet")
        held = steps_of_ingest.list_held(centre, snapshot, inventory)
        steps_of_ingest.restore(centre, snapshot, inventory)
        restored = steps_of_ingest.verify(centre, snapshot, inventory)
        shutil.rmtree(centre.business.restored("one"))
        _, restored = steps_of_ingest.publish(centre, inventory, restored)
        steps_of_ingest.catalogue(centre, snapshot, inventory, held, restored)
        steps_of_ingest.index(centre, [DAY])
        steps_of_ingest.finish(centre, snapshot, inventory)

    backup("shop", "one", DAY)
    disturbed()
    reconcile("shop", day=DAY)
    assert shop.open_findings() == {"recording_lost": 3}
    assert set(shop.frame(FINDINGS)["cause"]) == {"publish_rejected"}
    shop.call("new", "18:00:00", talk=0)
    shop.run()
    assert shop.open_findings() == {}
    assert set(shop.frame(FINDINGS)["resolution"]) == {"healed"}
    assert shop.store.listing("").height == 3


def test_what_vanished_from_the_source_is_gone_since_the_next_inventory(shop: Shop) -> None:
    small_day(shop)
    victim = shop.root / "01/31/2049_15372388463_20210131100000.wav3"
    shop.run()
    first = shop.frame(SNAPSHOTS)["taken_at"].item()
    kept = victim.read_bytes()
    victim.unlink()
    shop.run()
    gone = shop.frame(GONE).row(0, named=True)
    assert gone["last_on_site"] == first
    assert gone["gone_since"] == shop.frame(SNAPSHOTS)["taken_at"].max()
    assert shop.open_findings() == {}  # it is safe: every station behind has it
    victim.write_bytes(kept)
    shop.settle(victim, at_noon())
    shop.run()
    assert shop.frame(GONE).is_empty()


def test_a_restored_file_with_wrong_bytes_is_fetched_again(shop: Shop) -> None:
    small_day(shop)
    name = "01/31/2049_15372388463_20210131090000.wav3"
    backup("shop", "one", DAY)
    wrong = shop.storage / "restored/shop/one" / name
    wrong.parent.mkdir(parents=True)
    right = (shop.root / name).read_bytes()
    wrong.write_bytes(bytes(len(right)))
    source = (shop.root / name).stat()
    os.utime(wrong, ns=(source.st_mtime_ns, source.st_mtime_ns))
    ingest("shop")
    assert wrong.read_bytes() == right
    reconcile("shop", day=DAY)
    assert shop.open_findings() == {}


def test_a_growing_file_is_taken_by_the_next_run(shop: Shop) -> None:
    small_day(shop)
    growing = shop.root / "01/31/2049_15372388463_20210131110000.wav3"
    os.utime(growing)
    backup("shop", "one", DAY)
    ingest("shop")
    reconcile("shop", day=DAY)
    assert shop.open_findings() == {}
    assert shop.store.listing("").height == 2
    shop.settle(growing, at_noon())
    shop.run()
    assert shop.open_findings() == {}
    assert shop.store.listing("").height == 3


def test_ready_made_files_are_taken_and_their_bad_rows_set_aside(shop: Shop) -> None:
    dropped = shop.folder / "dropped"
    dropped.mkdir()
    rows = [
        "任务,开始,号码",
        "r1,2021-01-31 09:00:00,13800000001",
        "r2,not a time,13800000002",
        "r3,2021-01-31 10:00:00",
    ]
    (dropped / "robot.csv").write_text("\n".join([*rows, ""]), encoding="gb18030")
    (dropped / "robot.datapackage.json").write_text(json.dumps({"resources": [{"path": "robot.csv", "rows": 9}]}))
    columns = {"call_id": "任务", "started_at": "开始", "callee": "号码"}
    content = json.loads(shop.settings.model_dump_json())
    site = content["sites"]["one"] | {"dropped": {"robot": str(dropped)}}
    site["password"], site["database"] = {"file": "password"}, {"file": "url"}
    datasets = content["datasets"] | {"robot": {"columns": columns, "expects_recording": {"min_talk_seconds": 1}}}
    shop.apply(sites={"one": site}, datasets=datasets)
    shop.run()
    assert shop.open_findings() == {"extract_mismatch": 1, "row_quarantined": 2}
    assert shop.frame(QUARANTINE)["source_row"].to_list() == [3, 4]
    assert shop.frame(CALLS)["call_id"].to_list() == ["r1"]


def test_a_site_that_never_reported_is_overdue(new_shop: Shop) -> None:
    reconcile("shop", day=DAY)
    assert new_shop.open_findings() == {"backup_overdue": 1}


def test_recordings_are_safe_although_the_database_is_gone(shop: Shop) -> None:
    small_day(shop)
    shop.database.unlink()
    with pytest.raises(Exception, match=r"calls\.db"):
        backup("shop", "one", DAY)
    assert ingest("shop")["published"] == 3


def test_a_missing_recordings_folder_is_one_clear_error_and_leaves_nothing(new_shop: Shop) -> None:
    new_shop.root.rename(new_shop.folder / "elsewhere")
    with pytest.raises(PermanentError, match=r"shop/one.*recordings.*mount the disk"):
        backup("shop", "one", DAY)
    assert [file for file in (new_shop.storage / "bucket").rglob("*") if file.is_file()] == []


def test_a_wrong_password_is_one_clear_error_in_seconds(shop: Shop) -> None:
    small_day(shop)
    shop.run()
    before = shop.files()
    (shop.folder / "password").write_text("another")
    shop.apply()
    shop.call("c9", "18:00:00")
    with pytest.raises(PermanentError, match=r"(?s)shop/one.*password"):
        backup("shop", "one", DAY)
    assert shop.files() == before


def test_an_unknown_site_is_told_with_the_known_ones(shop: Shop) -> None:
    with pytest.raises(SettingsError, match="one"):
        backup("shop", "elsewhere", DAY)


def test_no_secret_is_in_any_file_but_its_own(shop: Shop) -> None:
    small_day(shop)
    shop.run()
    secret = b"a-password-of-the-tests"
    holders = [f for f in shop.folder.rglob("*") if f.is_file() and secret in f.read_bytes()]
    assert holders == [shop.folder / "password"]
