"""The checks of what is kept, on real repositories that are really damaged."""

import hashlib
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from online import wait_for
from shop import DAY, PASSWORD, Shop
from test_certificate import make_key

from blocks.repository import Repository
from blocks.restic import find_restic
from flows import maintain as maintain_flow
from flows.backup import backup
from flows.ingest import ingest
from flows.maintain import maintain
from flows.reconciliation import reconcile
from flows.retention import retain
from reconcile.frames import CHECKS, DAMAGED, FINDINGS, INVENTORY, SNAPSHOTS, TRACE

NEXT = DAY + timedelta(days=1)
# The days of one rotation in these tests.
ROTATION = 2
SETTINGS = {"check_days": ROTATION, "lookback_days": 1, "language": "en"}


class Kept:
    """A shop with two days, of whose three snapshots one alone has a recording that the source has purged."""

    def __init__(self, folder: Path) -> None:
        self.shop = Shop(folder, **SETTINGS)
        for minute in range(3):
            self.shop.call(f"a{minute}", f"10:0{minute}:00")
            self.shop.recording(f"10:0{minute}:00")
        self.shop.recording("10:05:00", seconds=60)
        self.shop.call("a5", "10:05:00", talk=60)
        backup("shop", "one", DAY)
        purged = self.shop.recording("10:05:00", seconds=60)
        purged.unlink()
        for minute in range(3):
            self.shop.call(f"b{minute}", f"11:0{minute}:00", day=NEXT)
            self.shop.recording(f"11:0{minute}:00", day=NEXT)
        self.shop.run(NEXT)
        self.repository = self.shop.repositories / str(DAY.year)
        self.saved = folder / "saved"
        shutil.copytree(self.shop.storage, self.saved / "storage")
        shutil.copytree(self.shop.root, self.saved / "recordings")

    def anew(self) -> None:
        """Storage and source as they were before any damage."""
        for folder in (self.shop.storage, self.shop.root):
            shutil.rmtree(folder)
            shutil.copytree(self.saved / folder.name, folder)
        for file in self.repository.rglob("*"):
            file.chmod(0o755 if file.is_dir() else 0o644)

    def restic(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        """What restic itself says, without anything of ours."""
        environment = {"RESTIC_REPOSITORY": str(self.repository), "RESTIC_PASSWORD": PASSWORD}
        return subprocess.run([find_restic(), "--no-cache", *words], env=environment, capture_output=True, check=False)

    def given_back(self, folder: Path) -> set[str]:
        """The recordings of which restic gives the right bytes back, from whatever snapshot is left."""
        hashes = set()
        for snapshot in sorted(file.name for file in (self.repository / "snapshots").iterdir()):
            self.restic("restore", "--no-lock", snapshot, "--target", str(folder / snapshot))
            for file in (folder / snapshot).rglob("*.wav3"):
                hashes.add(hashlib.sha256(file.read_bytes()).hexdigest())
        inventory = self.shop.frame(INVENTORY)
        return set(inventory.filter(pl.col("sha256").is_in(list(hashes)))["recording_id"])

    def all(self) -> set[str]:
        """Every recording there ever was."""
        return set(self.shop.frame(INVENTORY)["recording_id"])

    def damaged(self) -> set[str]:
        """The recordings that voxkeep says the repository does not give back."""
        return set(self.shop.frame(DAMAGED).filter(pl.col("station") == "in_snapshot")["recording_id"])

    def lost(self) -> set[str]:
        """The recordings with an open finding that they are lost in the snapshot."""
        found = self.shop.frame(FINDINGS).filter((pl.col("status") == "open") & (pl.col("lost_at") == "in_snapshot"))
        assert set(found["kind"]) <= {"recording_lost"}
        assert set(found["cause"]) <= {"repository_damaged"}
        return set(found["recording_id"])

    def packs(self, kind: str) -> list[Path]:
        """The packs with pieces of this kind (data, tree), the largest first."""
        ids = {pack["id"] for pack in self.indexed() if pack["blobs"][0]["type"] == kind}
        files = [file for file in (self.repository / "data").rglob("*") if file.name in ids]
        return sorted(files, key=lambda file: (-file.stat().st_size, file.name))

    def inside_a_recording(self) -> tuple[Path, int]:
        """The pack with the largest piece, and a place in that: of the longest recording, and of nothing else."""
        pieces = [(blob["length"], blob["offset"], pack["id"]) for pack in self.indexed() for blob in pack["blobs"]]
        length, offset, pack_id = max(pieces)
        (file,) = (self.repository / "data").rglob(pack_id)
        return file, offset + length // 2

    def indexed(self) -> list[dict[str, Any]]:
        """The packs and their pieces, as the indexes have them."""
        names = self.restic("list", "--no-lock", "index").stdout.decode().split()
        indexes = [json.loads(self.restic("cat", "--no-lock", "index", name).stdout) for name in names]
        return [pack for index in indexes for pack in index["packs"]]

    def snapshot(self, number: int) -> Path:
        """The file of a snapshot, the oldest first."""
        ids = self.shop.frame(SNAPSHOTS).sort("taken_at")["snapshot_id"]
        return self.repository / "snapshots" / ids[number]


@pytest.fixture(scope="module")
def made(prefect: None, tmp_path_factory: pytest.TempPathFactory) -> Kept:
    return Kept(tmp_path_factory.mktemp("kept"))


@pytest.fixture
def kept(made: Kept) -> Kept:
    """The shop as it was before any damage."""
    made.anew()
    return made


def flip(file: Path, place: int) -> None:
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)


def cut(file: Path, size: int) -> None:
    file.write_bytes(file.read_bytes()[:size])


def only(kept: Kept, directory: str) -> Path:
    """The oldest file in a folder of the repository; of indexes the one with the most packs."""
    return max((kept.repository / directory).iterdir(), key=lambda file: file.stat().st_size)


# Each damage, and how many of the seven recordings it concerns; None: restic alone can tell, not the one who damages.
DAMAGES: dict[str, tuple[Callable[[Kept], None], int | None]] = {
    "a bit of a pack is flipped": (lambda kept: flip(*kept.inside_a_recording()), 1),
    "a pack is cut": (lambda kept: cut(kept.packs("data")[0], 200_000), None),
    "a pack is empty": (lambda kept: cut(kept.packs("data")[0], 0), 4),
    "a pack is missing": (lambda kept: kept.packs("data")[0].unlink(), 4),
    "a bit of a tree is flipped": (lambda kept: flip(kept.packs("tree")[0], 40), None),
    "an index is damaged": (lambda kept: flip(only(kept, "index"), 40), 7),
    "an index is missing": (lambda kept: only(kept, "index").unlink(), None),
    "a snapshot is damaged": (lambda kept: flip(kept.snapshot(0), 40), 1),
    "a snapshot is missing": (lambda kept: kept.snapshot(0).unlink(), 1),
    "the key is damaged": (lambda kept: flip(only(kept, "keys"), 60), 7),
    "the key is missing": (lambda kept: only(kept, "keys").unlink(), 7),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damage_is_found_within_one_rotation_and_concerns_exactly_what_is_not_given_back(
    kept: Kept, tmp_path: Path, damage: str
) -> None:
    do, count = DAMAGES[damage]
    do(kept)
    for number in range(ROTATION):
        done = maintain("shop", day=NEXT + timedelta(days=number))
        if done["damaged"]:
            break
    assert done["damaged"], "a whole rotation found nothing"
    gone = kept.all() - kept.given_back(tmp_path)
    assert kept.damaged() == gone
    assert kept.lost() == gone
    assert count is None or len(gone) == count
    trace = kept.shop.frame(TRACE).drop_nulls("recording_id")
    assert set(trace.filter(~pl.col("in_snapshot"))["recording_id"]) == gone
    assert done["recordings_damaged"] == len(gone)
    report = Path(reconcile("shop", day=NEXT + timedelta(days=number))["report"])
    listed = pl.read_csv(report.with_name("findings.csv"), infer_schema=False)
    paths = kept.shop.frame(INVENTORY).filter(pl.col("recording_id").is_in(list(gone)))["path"]
    of_repository = listed.filter(pl.col("cause").str.contains("repository"))
    ends = [sorted(name.rpartition("_")[2] for name in names) for names in (of_repository["subject"], paths)]
    assert ends[0] == ends[1]  # numbers are masked in the report


def test_what_is_sound_is_told_so_and_changes_nothing(kept: Kept) -> None:
    before = [kept.shop.frame(frame).rows() for frame in (FINDINGS, TRACE)]
    done = [maintain("shop", day=NEXT + timedelta(days=number)) for number in range(ROTATION)]
    assert [one["damaged"] for one in done] == [0, 0]
    assert [kept.shop.frame(frame).rows() for frame in (FINDINGS, TRACE)] == before
    checks = kept.shop.frame(CHECKS)
    assert set(checks["verdict"]) == {"sound"}
    assert set(checks.filter(pl.col("kind") == "packs")["share"]) == {1, 2}
    assert checks.filter(pl.col("kind") == "objects")["looked_at"].sum() == len(kept.all())


def test_damage_of_any_age_is_in_the_report_and_in_an_alert_until_it_is_mended(kept: Kept) -> None:
    (kept.shop.folder / "route").write_text("json://127.0.0.1:1/")
    kept.shop.apply(**SETTINGS, alerts={"ops": {"file": "route"}})
    pack = kept.packs("data")[0]
    whole = pack.read_bytes()
    cut(pack, 0)
    later = NEXT + timedelta(days=60)
    maintain("shop", day=later)
    (kept_alert,) = (kept.shop.storage / "outbox" / "shop").glob("*.json")
    assert "4 recordings concerned" in json.loads(kept_alert.read_text())["markdown"]
    report = Path(reconcile("shop", day=later)["report"])
    listed = pl.read_csv(report.with_name("findings.csv"), infer_schema=False)
    paths = kept.shop.frame(INVENTORY).filter(pl.col("recording_id").is_in(list(kept.damaged())))["path"]
    assert kept.damaged() == kept.lost()
    assert listed.filter(pl.col("cause").str.contains("repository")).height == len(paths) == 4
    assert 'data-check="packs damaged"' in report.read_text()
    pack.write_bytes(whole)
    assert maintain("shop", day=later + timedelta(days=1))["recordings_damaged"] == 0
    assert kept.lost() == set()
    healed = kept.shop.frame(FINDINGS).filter(pl.col("cause") == "repository_damaged")
    assert set(healed["resolution"]) == {"healed"}


@pytest.mark.parametrize(("do", "kind", "cause"), [
    (lambda file: flip(file, 1000), "content_mismatch", "object_damaged"),
    (lambda file: file.unlink(), "recording_lost", "object_removed"),
], ids=["other bytes of the same size", "gone"])  # fmt: skip
def test_a_published_recording_that_rots_is_found_and_heals(
    kept: Kept, do: Callable[[Path], None], kind: str, cause: str
) -> None:
    key = kept.shop.store.listing()["key"][0]
    file = kept.shop.storage / "bucket" / "shop-audio" / key
    file.chmod(0o644)
    whole = file.read_bytes()
    do(file)
    found = [maintain("shop", day=NEXT + timedelta(days=number))["damaged"] for number in range(ROTATION)]
    assert sorted(found) == [0, 1] or found == [1, 1]
    opened = kept.shop.frame(FINDINGS).filter((pl.col("status") == "open") & (pl.col("kind") == kind))
    assert opened.select("recording_id", "cause").rows() == [(key[14:46], cause)]
    file.write_bytes(whole)
    maintain("shop", day=NEXT + timedelta(days=ROTATION))
    assert kept.shop.frame(FINDINGS).filter(pl.col("kind") == kind)["status"].to_list() == ["resolved"]


def test_a_file_on_the_source_disk_that_rots_is_found_and_one_that_was_changed_is_a_new_version(kept: Kept) -> None:
    rotten = next(kept.shop.root.rglob("*100000.wav3"))
    changed = next(kept.shop.root.rglob("*100100.wav3"))
    status = rotten.stat()
    flip(rotten, 1000)
    os.utime(rotten, ns=(status.st_atime_ns, status.st_mtime_ns))
    flip(changed, 1000)
    later = NEXT + timedelta(days=1)
    backup("shop", "one", later)
    ingest("shop")
    assert maintain("shop", day=later)["recordings_damaged"] == 1
    opened = kept.shop.frame(FINDINGS).filter((pl.col("status") == "open") & (pl.col("kind") == "content_mismatch"))
    assert opened.select("subject", "cause").rows() == [(str(rotten.relative_to(kept.shop.root)), "source_altered")]
    (check,) = kept.shop.frame(CHECKS).filter((pl.col("kind") == "source") & (pl.col("day") == later)).to_dicts()
    assert (check["verdict"], check["concerned"]) == ("damaged", 1)


def test_a_lock_that_nobody_holds_is_removed_with_a_record_and_a_held_one_is_not(kept: Kept) -> None:
    held, dead = (locked(kept) for _ in range(2))
    dead.kill()
    dead.wait()
    try:
        assert maintain("shop", day=NEXT)["locks_removed"] == 1
        assert len(list((kept.repository / "locks").iterdir())) == 1
    finally:
        held.kill()
        held.wait()
    (check,) = kept.shop.frame(CHECKS).filter(pl.col("kind") == "locks").to_dicts()
    assert f"process {dead.pid} on {socket.gethostname()}" in check["said"]


def locked(kept: Kept) -> subprocess.Popen[bytes]:
    """A backup that holds a lock and waits for its input."""
    before = len(list((kept.repository / "locks").iterdir()))
    environment = {"RESTIC_REPOSITORY": str(kept.repository), "RESTIC_PASSWORD": PASSWORD}
    words = [find_restic(), "--no-cache", "backup", "--stdin", "--stdin-filename", "x"]
    process = subprocess.Popen(words, env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    wait_for(lambda: len(list((kept.repository / "locks").iterdir())) > before, "restic's lock")
    return process


def test_what_retention_removes_meanwhile_is_not_told_as_damaged(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    make_key(kept.shop.folder / "key.pem")
    read = maintain_flow.snapshots_left

    def remove_first(repository: Repository, year: int) -> pl.DataFrame:
        monkeypatch.undo()
        retain("shop")
        return read(repository, year)

    monkeypatch.setattr(maintain_flow, "snapshots_left", remove_first)
    kept.shop.apply(**SETTINGS, retention={"floor": "3y", "ceiling": "4y"}, certificate_key={"file": "key.pem"})
    try:
        done = maintain("shop")
    finally:
        kept.shop.apply(**SETTINGS)
    assert (done["damaged"], done["recordings_damaged"]) == (0, 0)
    assert not kept.repository.exists()
    assert kept.shop.open_findings() == {}
