"""A source deletes only what the centre has signed to be kept, and only if it is still just so."""

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import copytree, rmtree
from typing import Any

import polars as pl
import pytest
from shop import DAY, Shop
from tables import at, finding, findings, in_snapshot, inventory, published, recording, restored
from test_certificate import make_key

from blocks.errors import SettingsError
from blocks.purge import DELETED, NOT_THERE, WOULD_GO, Named, purge
from blocks.signing import Signer
from flows.backup import backup
from flows.ingest import ingest
from flows.purge import purge_list
from flows.reconciliation import reconcile
from reconcile import purge as lists
from reconcile.errors import UnreadableError
from reconcile.frames import GONE, PURGED, QUARANTINE, SUMMARY
from voxkeep.main import run
from voxkeep.purge import carry_out, read_order

FILE = recording("01/31/a.wav", "09:00:00")


# what may go


def kept(**changes: Any) -> lists.Kept:
    files = inventory(FILE)
    everything = {
        "inventory": files, "held": in_snapshot(files), "restored": restored(files),
        "listing": published(files), "findings": findings(), "purged": PURGED.empty(),
    }  # fmt: skip
    ids = everything["held"]["snapshot_id"].to_list()
    return lists.Kept(**everything | {"snapshots": ids} | changes)  # type: ignore[arg-type]


def test_what_is_stored_proved_published_and_old_may_go() -> None:
    assert lists.may_go(kept(), DAY)["path"].to_list() == ["01/31/a.wav"]


@pytest.mark.parametrize(
    ("why", "changes"),
    [
        ("no snapshot", {"held": in_snapshot(inventory()).clear()}),
        ("its snapshot is gone", {"snapshots": ["other"]}),
        ("another version is in the snapshot", {"held": in_snapshot(inventory(FILE | {"size": 1}))}),
        ("not restored", {"restored": restored(inventory(FILE)).clear()}),
        ("restored with other bytes", {"restored": restored(inventory(FILE | {"sha256": "0" * 64}))}),
        ("not taken by the store", {"restored": restored(inventory(FILE)).with_columns(published=pl.lit(value=False))}),
        ("nobody knows", {"restored": restored(inventory(FILE)).with_columns(published=pl.lit(None, pl.Boolean))}),
        ("no object", {"listing": published(inventory(FILE)).clear()}),
        ("a cut object", {"listing": published(inventory(FILE)).with_columns(size=pl.lit(1, pl.Int64))}),
        ("an object with other bytes", {"listing": published(inventory(FILE)).with_columns(etag=pl.lit("0" * 32))}),
        ("still growing", {"inventory": inventory(FILE | {"state": "in_progress"})}),
        ("never read", {"inventory": inventory(FILE | {"sha256": None})}),
        ("something serious is open", {"findings": findings(finding("f", recording_id=FILE["recording_id"]))}),
        ("waived is not healed",
         {"findings": findings(finding("f", recording_id=FILE["recording_id"], status="waived"))}),
        ("it went before", {"purged": pl.DataFrame([{
            "business": "b", "site": "s", "day": DAY, "recording_id": FILE["recording_id"], "list_id": "l",
            "purged_at": at("09:00:00")}], schema=PURGED.schema)}),
    ],
)  # fmt: skip
def test_it_stays_where_anything_is_not_so(why: str, changes: dict[str, Any]) -> None:
    assert lists.may_go(kept(**changes), DAY).is_empty(), why


def test_it_stays_while_it_is_young() -> None:
    assert lists.may_go(kept(), DAY - timedelta(days=1)).is_empty()


def test_a_list_that_is_none_is_refused() -> None:
    for content in (b"", b"[]", b'{"format": "other"}'):
        with pytest.raises(UnreadableError, match="it is no voxkeep purge list"):
            lists.read_list(content)
    with pytest.raises(UnreadableError, match="no voxkeep purge report"):
        lists.read_report(lists.purge_report({"list_id": "l", "business": "b", "site": "s"}, PURGED.empty()), "b", "t")


# what goes


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A recordings root with a file in a folder, and one outside."""
    root = tmp_path / "root"
    (root / "01").mkdir(parents=True)
    for file in (root / "01" / "a.wav", root / "01" / "b.wav", tmp_path / "outside.wav"):
        file.write_bytes(b"sound")
    return root


def as_named(file: Path, path: str | None = None) -> Named:
    import hashlib  # noqa: PLC0415

    found = file.stat()
    return Named(
        path or f"01/{file.name}", found.st_size, found.st_mtime_ns // 1000, hashlib.sha256(b"sound").hexdigest()
    )


def tried(root: Path, *named: Named) -> list[str]:
    return [what for _, what in purge(root, named, lambda _named: None)]


def test_only_what_is_named_goes_and_nothing_in_a_dry_run(disk: Path) -> None:
    file = as_named(disk / "01" / "a.wav")
    assert [what for _, what in purge(disk, [file], None)] == [WOULD_GO]
    assert tried(disk, file, file) == [DELETED, NOT_THERE]
    assert [path.name for path in (disk / "01").iterdir()] == ["b.wav"]


@pytest.mark.parametrize("change", ["bytes", "size", "time"])
def test_a_file_that_changed_since_stays(disk: Path, change: str) -> None:
    file = disk / "01" / "a.wav"
    named, stood = as_named(file), file.stat()
    if change == "time":
        os.utime(file, ns=(0, stood.st_mtime_ns + 1_000_000))
    else:
        file.write_bytes(b"other" if change == "bytes" else b"longer than before")
        os.utime(file, ns=(0, stood.st_mtime_ns))
    (why,) = tried(disk, named)
    assert why in ("its bytes are others", "its size is another", "it was changed since")
    assert file.is_file()


@pytest.mark.parametrize("place", ["file", "folder", "above"])
def test_no_link_is_followed_and_nothing_outside_is_reached(disk: Path, place: str) -> None:
    outside = disk.parent / "outside.wav"
    named = as_named(outside, "01/a.wav")
    if place == "file":
        (disk / "01" / "a.wav").unlink()
        (disk / "01" / "a.wav").symlink_to(outside)
    elif place == "folder":
        (disk.parent / "elsewhere").mkdir()
        outside.rename(disk.parent / "elsewhere" / "a.wav")
        outside = disk.parent / "elsewhere" / "a.wav"
        rmtree(disk / "01")
        (disk / "01").symlink_to(disk.parent / "elsewhere")
    else:
        named = as_named(outside, "../outside.wav")
    assert tried(disk, named)[0] != DELETED
    assert outside.read_bytes() == b"sound"


def test_what_is_no_plain_file_is_not_opened(disk: Path) -> None:
    named = as_named(disk / "01" / "a.wav")
    (disk / "01" / "a.wav").unlink()
    os.mkfifo(disk / "01" / "a.wav")
    assert tried(disk, named) == ["it is not reached without following links: it is no plain file"]


# the whole way


@pytest.fixture(scope="module")
def reconciled(prefect: None, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A whole day of two calls, backed up, ingested and reconciled, and its copy; its lists are signed."""
    folder = tmp_path_factory.mktemp("purge") / "shop"
    folder.mkdir()
    make_key(folder / "key.pem")
    shop = Shop(folder, business="purging")
    shop.apply(certificate_key={"file": "key.pem"}, purge_after_days=0)
    for clock, number in (("09:00:00", "15372388463"), ("10:00:00", "18600000000")):
        shop.call(f"c{clock[:2]}", clock, number=number)
        shop.recording(clock, number=number)
    shop.run()
    assert shop.open_findings() == {}
    copytree(shop.folder, shop.folder.with_name("copy"))
    return shop


@pytest.fixture
def shop(reconciled: Shop) -> Iterator[Shop]:
    """That day as it was before any test."""
    yield reconciled
    rmtree(reconciled.folder)
    copytree(reconciled.folder.with_name("copy"), reconciled.folder)


@pytest.fixture
def order(shop: Shop) -> tuple[Path, Path]:
    """The list of all its recordings, and the key of the centre."""
    done = purge_list(shop.business, "one")
    assert done["recordings"] == 2
    file = Path(done["list"])
    return file, file.with_name("public-key.pem")


def left(shop: Shop) -> int:
    return sum(1 for file in shop.root.rglob("*.wav3"))


def test_what_was_purged_is_explained_and_no_finding(shop: Shop, order: tuple[Path, Path]) -> None:
    assert carry_out(*order, None, really=False)["would be deleted"] == 2
    assert left(shop) == 2
    (shop.root / "01" / "31" / "not-in-the-list.wav3").write_bytes(b"sound")
    done = carry_out(*order, None, really=True)
    assert (done["deleted"], done["stays"], left(shop)) == (2, 0, 1)
    (shop.root / "01" / "31" / "not-in-the-list.wav3").unlink()
    backup(shop.business, "one", DAY)
    ingest(shop.business)
    assert reconcile(shop.business, day=DAY)["open_critical"] == 0
    assert shop.open_findings() == {}
    summary = shop.frame(SUMMARY).row(0, named=True)
    assert (summary["coverage"], summary["published"]) == (1, 2)
    assert shop.frame(PURGED)["list_id"].unique().to_list() == [done["list_id"]]
    assert shop.frame(GONE)["list_id"].to_list() == [done["list_id"]] * 2
    again = backup(shop.business, "one", DAY)["snapshot_id"]
    assert backup(shop.business, "one", DAY)["snapshot_id"] == again
    assert purge_list(shop.business, "one")["list"] is None
    with pytest.raises(SettingsError, match="carried out before"):
        carry_out(*order, None, really=True)


def test_a_list_is_not_carried_out_twice(shop: Shop, order: tuple[Path, Path]) -> None:
    contents = {file: (file.read_bytes(), file.stat().st_mtime) for file in shop.root.rglob("*.wav3")}
    carry_out(*order, None, really=True)
    for file, (content, stood) in contents.items():
        file.write_bytes(content)
        os.utime(file, (stood, stood))
    with pytest.raises(SettingsError, match="carried out before"):
        carry_out(*order, None, really=True)
    assert left(shop) == 2


def test_a_list_that_was_altered_or_is_another_keys_or_another_sites_or_too_old_is_refused(
    shop: Shop, order: tuple[Path, Path], tmp_path: Path
) -> None:
    file, key = order
    content, sig = file.read_bytes(), file.with_name("list.json.sig")
    make_key(tmp_path / "other.pem")
    other = Signer(private_key=(tmp_path / "other.pem").read_text())  # type: ignore[arg-type]
    (tmp_path / "other-public.pem").write_bytes(other.public_key())
    with pytest.raises(SettingsError, match="not signed by the owner"):
        carry_out(file, tmp_path / "other-public.pem", None, really=True)
    elsewhere = tmp_path / "elsewhere"
    copytree(shop.storage / "staging" / shop.business / "one", elsewhere)
    run_file = elsewhere / "voxkeep-staging" / "run.json"
    run_file.write_text(json.dumps(json.loads(run_file.read_text()) | {"site": "two"}))
    for staging in (elsewhere, tmp_path / "none"):
        with pytest.raises(SettingsError, match="not that site's staging folder"):
            carry_out(file, key, staging, really=True)
    with pytest.raises(SettingsError, match="it was valid until"):
        read_order(file, key, None, datetime.now(UTC) + timedelta(days=8))
    file.write_bytes(content.replace(b'"size"', b'"Size"'))
    with pytest.raises(SettingsError, match="not signed by the owner"):
        carry_out(file, key, None, really=True)
    sig.unlink()
    with pytest.raises(SettingsError, match=r"list\.json\.sig, both"):
        carry_out(file, key, None, really=True)
    assert left(shop) == 2


def test_a_run_that_was_killed_is_completed_and_reports_all_that_went(shop: Shop, order: tuple[Path, Path]) -> None:
    read = read_order(*order, None, datetime.now(UTC))
    first = next(iter(read.entries["path"]))
    read.reports.mkdir(parents=True)
    began = datetime.now(UTC).isoformat(timespec="microseconds")
    read.journal.write_text(json.dumps([first, began]) + '\n["half')
    (shop.root / first).unlink()
    done = carry_out(*order, None, really=True)
    assert (done["deleted"], done["stays"]) == (2, 0)
    told = json.loads(read.report.read_bytes())["deleted"]
    assert len(told) == 2
    assert began in {at for _, _, at in told}
    assert not read.journal.exists()


def test_a_report_that_cannot_be_read_is_set_aside(shop: Shop) -> None:
    reports = shop.storage / "staging" / shop.business / "one" / "purged"
    reports.mkdir(parents=True)
    (reports / "bad.json").write_text("{}")
    shop.run()
    assert shop.frame(QUARANTINE)["source_file"].to_list() == ["purged/bad.json"]
    assert shop.open_findings() == {"row_quarantined": 1}


def test_on_the_command_line(
    shop: Shop, order: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["voxkeep", "purge", str(order[0]), "--public-key", str(order[1]), "--json"])
    (shop.root / "01" / "31").joinpath(next(file.name for file in shop.root.rglob("*.wav3"))).unlink()
    with pytest.raises(SystemExit) as ended:
        run()
    assert ended.value.code == 1
    said = json.loads(capsys.readouterr().out)
    assert (said["would be deleted"], said["stays"]) == (1, 1)
    assert said["why"][0].endswith(": it is not there")
