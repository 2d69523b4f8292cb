"""What restic has restored is never written to in place: the object store may share its bytes."""

import hashlib
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from blocks.errors import PermanentError
from blocks.repository import Repository
from blocks.restored import remove_files, remove_other_versions
from blocks.store import ObjectStore, Publication

THEN = datetime(2021, 1, 31, 9, tzinfo=UTC)
YEAR = 2021


def put(file: Path, content: bytes = b"audio", when: datetime = THEN) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    os.utime(file, (when.timestamp(), when.timestamp()))
    return file


def wanted(*rows: tuple[str, int, datetime]) -> pl.DataFrame:
    schema = {"path": pl.String, "size": pl.Int64, "mtime": pl.Datetime("us", "UTC")}
    return pl.DataFrame(rows, schema=schema, orient="row")


def test_only_files_of_another_size_or_time_are_removed(tmp_path: Path) -> None:
    for name in ("same", "longer", "later", "not asked for"):
        put(tmp_path / "01" / name)
    rows = [("01/same", 5, THEN), ("01/longer", 6, THEN), ("01/later", 5, THEN + timedelta(microseconds=1))]
    assert remove_other_versions(tmp_path, wanted(*rows, ("01/gone", 5, THEN), ("02/gone", 5, THEN))) == 2
    assert sorted(file.name for file in (tmp_path / "01").iterdir()) == ["not asked for", "same"]


def test_links_on_the_way_are_removed_and_not_followed(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "root", put(tmp_path / "elsewhere" / "a.wav")
    root.mkdir()
    (root / "01").symlink_to(elsewhere.parent)
    (root / "02").mkdir()
    (root / "02" / "a.wav").symlink_to(elsewhere)
    assert remove_files(root, ["01/a.wav", "02/a.wav"]) == 1
    assert elsewhere.read_bytes() == b"audio"
    assert [path.name for path in root.rglob("*")] == ["02"]


def test_a_root_that_is_not_there_holds_nothing_to_remove(tmp_path: Path) -> None:
    assert remove_files(tmp_path / "root", ["01/a.wav"]) == 0


def test_what_cannot_be_removed_is_told_without_the_name_of_the_recording(tmp_path: Path) -> None:
    put(tmp_path / "01" / "15372388463.wav" / "inside")
    with pytest.raises(PermanentError, match="make room") as error:
        remove_files(tmp_path, ["01/15372388463.wav"])
    assert "15372388463" not in str(error.value)


@pytest.mark.parametrize("size", [50_000, 3_000_000])
def test_restoring_a_changed_recording_leaves_the_object_of_the_version_before_as_it_was(
    tmp_path: Path, size: int
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    before, after = os.urandom(size), os.urandom(size // 2)
    repository = Repository(location=str(tmp_path / "repository"), password="secret")
    repository.make_folder()
    store = ObjectStore(url=str(tmp_path / "store"))
    store.create()
    put(source / "a.wav", before)
    taken = repository.backup(YEAR, [source], host="one", tags=["t"]).snapshot_id
    repository.restore(YEAR, taken, source, target)
    store.publish([Publication("day/a", target / "a.wav", size, sha256(before))])
    changed = before[: size // 2] + after
    put(source / "a.wav", changed, THEN + timedelta(hours=1))
    taken = repository.backup(YEAR, [source], host="one", tags=["t"]).snapshot_id
    remove_other_versions(target, wanted(("a.wav", len(changed), THEN + timedelta(hours=1))))
    repository.restore(YEAR, taken, source, target)
    assert (target / "a.wav").read_bytes() == changed
    assert b"".join(store.get("day/a")) == before
    store.publish([Publication("day/b", target / "a.wav", len(changed), sha256(changed))])
    assert b"".join(store.get("day/b")) == changed


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
