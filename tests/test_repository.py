"""The repositories of a site, on a real restic."""

import os
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from repositories import make_repository

from blocks.errors import OutOfTimeError, PermanentError, SettingsError, TransientError
from blocks.paths import escape_path
from blocks.repository import Pace, Repository, Restoring
from blocks.restic import Call, find_restic, run_restic

YEAR = 2021


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(location=str(tmp_path / "restic"), password="secret of the tests", deadline_seconds=60)
    made.make_folder()
    return made


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "source"
    (root / "01").mkdir(parents=True)
    (root / "01" / "a.wav").write_bytes(b"a" * 1000)
    return root


def take(repository: Repository, source: Path, **more: str) -> str:
    return repository.backup(YEAR, [source], host="one", tags=["latest", "day=2021-01-31"], **more).snapshot_id


def test_creating_a_repository_twice_is_harmless(repository: Repository) -> None:
    assert repository.years() == []
    assert repository.create(YEAR) is True
    assert repository.create(YEAR) is False
    assert repository.years() == [YEAR]


def test_a_year_without_repository_has_no_snapshots(repository: Repository) -> None:
    assert repository.snapshots(YEAR).height == 0


def test_a_disk_that_is_not_mounted_gets_no_repository_and_is_told(repository: Repository, source: Path) -> None:
    Path(repository.location).rmdir()
    for use in (lambda: take(repository, source), repository.years):
        with pytest.raises(PermanentError, match="mount the disk"):
            use()
    assert not Path(repository.location).exists()


def test_the_first_backup_makes_the_repository(repository: Repository, source: Path) -> None:
    taken = repository.backup(YEAR, [source], host="one", tags=["latest"])
    assert repository.snapshots(YEAR)["snapshot_id"].to_list() == [taken.snapshot_id]


def test_a_snapshot_carries_its_tags_and_paths(repository: Repository, source: Path) -> None:
    repository.create(YEAR)
    taken = take(repository, source)
    row = repository.snapshots(YEAR).row(0, named=True)
    assert (row["snapshot_id"], row["tags"], row["paths"]) == (
        taken,
        ["latest", "day=2021-01-31"],
        [str(source)],
    )


def test_restic_is_asked_only_for_snapshots_of_which_it_has_not_told_and_none_outlives_its_file(
    repository: Repository, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = take(repository, source)
    told = repository.snapshots(YEAR)
    calls: list[object] = []

    def counted(arguments: list[str | bytes], **how: Any) -> Call:
        calls.append(arguments)
        return run_restic(arguments, **how)

    monkeypatch.setattr("blocks.repository.run_restic", counted)
    assert repository.snapshots(YEAR).equals(told)
    assert calls == []
    second = take(repository, source)
    assert repository.snapshots(YEAR)["snapshot_id"].to_list() == [first, second]
    assert len(calls) == 2
    Path(repository.location, str(YEAR), "snapshots", first).unlink()
    assert repository.snapshots(YEAR)["snapshot_id"].to_list() == [second]
    assert len(calls) == 2
    with pytest.raises(PermanentError, match="wrong password"):
        repository.model_copy(update={"password": SecretStr("another")}).snapshots(YEAR)


def test_single_files_are_restored_whatever_their_names_and_nothing_else(
    repository: Repository, source: Path, tmp_path: Path
) -> None:
    odd = [b"*", b"[a]", b"\xff\n", b" white space ", "全角　".encode(), b"\xe8\x81\xbd\xc2\xa0", b"$HOME"]
    for name in [*odd, b"other"]:
        (source / "01" / os.fsdecode(name)).write_bytes(name)
    taken = take(repository, source)
    only = Restoring(only=tuple(b"01/" + name for name in odd))
    repository.restore(YEAR, taken, source, tmp_path / "again", only)
    assert {os.fsencode(file.name) for file in (tmp_path / "again" / "01").iterdir()} == {*odd}


def test_nothing_is_compressed(repository: Repository, source: Path) -> None:
    (source / "zeros.wav").write_bytes(os.urandom(100) * 20_000)
    repository.create(YEAR)
    done = repository.backup(YEAR, [source], host="one", tags=["t"])
    stored = sum(file.stat().st_size for file in Path(repository.location).rglob("*") if file.is_file())
    assert stored > done.bytes_added > 2_000_000


def test_restoring_is_byte_identical_and_leaves_what_is_there(
    repository: Repository, source: Path, tmp_path: Path
) -> None:
    repository.create(YEAR)
    taken = take(repository, source)
    target = tmp_path / "target"
    repository.restore(YEAR, taken, source, target)
    file = target / "01" / "a.wav"
    assert file.read_bytes() == b"a" * 1000
    inode = file.stat().st_ino
    repository.restore(YEAR, taken, source, target)
    assert file.stat().st_ino == inode


def test_files_are_listed_without_losing_a_byte_of_their_names(repository: Repository, source: Path) -> None:
    names = [
        b"\xff.wav",
        b"\xfe.wav",
        b"new\nline.wav",
        b'quo"te\\.wav',
        "\ufffd.wav".encode(),
        b"100%.wav",
        "中文.wav".encode(),
    ]
    folder = bytes(source) + b"/f\xe9"
    os.mkdir(folder)
    for name in names:
        with open(folder + b"/" + name, "wb") as handle:
            handle.write(name)
        with open(bytes(source) + b"/01/" + name, "wb") as handle:
            handle.write(name)
    repository.create(YEAR)
    taken = take(repository, source)
    held = repository.files(YEAR, taken, source, [bytes(source) + b"/01", folder])
    expected = {escape_path(b"f\xe9/" + name): len(name) for name in names}
    expected |= {escape_path(b"01/" + name): len(name) for name in names} | {"01/a.wav": 1000}
    assert dict(held.select("path", "size").iter_rows()) == expected


def test_times_in_a_snapshot_are_those_of_the_files(repository: Repository, source: Path) -> None:
    file = source / "01" / "a.wav"
    os.utime(file, ns=(0, 1_612_064_489_123_456_789))
    repository.create(YEAR)
    held = repository.files(YEAR, take(repository, source), source, [bytes(source / "01")])
    assert held["mtime"].dt.epoch("us").item() == 1_612_064_489_123_456


def test_a_folder_that_the_snapshot_lacks_holds_nothing(repository: Repository, source: Path) -> None:
    repository.create(YEAR)
    taken = take(repository, source)
    assert repository.files(YEAR, taken, source, [bytes(source) + b"/nowhere", bytes(source) + b"/\xff"]).height == 0


def test_a_wrong_password_is_told_without_the_password(repository: Repository, source: Path) -> None:
    repository.create(YEAR)
    wrong = Repository(location=repository.location, password="not the right one")
    with pytest.raises(PermanentError, match="wrong password") as caught:
        wrong.snapshots(YEAR)
    assert "not the right one" not in str(caught.value)
    assert "exit code 12" in str(caught.value)


def test_a_source_that_is_missing_makes_the_backup_incomplete(repository: Repository, source: Path) -> None:
    repository.create(YEAR)
    done = repository.backup(YEAR, [source, source / "nowhere"], host="one", tags=["t"])
    assert not done.complete
    assert "nowhere" in done.complaint or "could not be read" in done.complaint


def test_a_call_that_takes_too_long_is_stopped_and_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = f"rest:http://127.0.0.1:{silent.getsockname()[1]}/"
        environment = {"RESTIC_REPOSITORY": store, "RESTIC_PASSWORD": "secret of the tests"}
        with pytest.raises(TransientError, match=r"did not end within 1 s"):
            run_restic(["snapshots"], environment=environment, deadline_seconds=1)


def test_an_old_restic_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "restic"
    old.write_text("#!/bin/sh\necho restic 0.18.1 compiled\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("VOXKEEP_RESTIC", str(old))
    monkeypatch.setattr("blocks.restic.__file__", str(tmp_path / "blocks" / "restic.py"))
    find_restic.cache_clear()
    with pytest.raises(SettingsError, match=r"0\.18\.1"):
        find_restic()
    find_restic.cache_clear()


def test_the_repository_of_the_other_tests_is_one_to_restic(source: Path, tmp_path: Path) -> None:
    make_repository(tmp_path / "restic" / str(YEAR), "a password")
    quick = Repository(location=str(tmp_path / "restic"), password="a password")
    assert quick.create(YEAR) is False
    taken = take(quick, source)
    quick.restore(YEAR, taken, source, tmp_path / "again")
    assert (tmp_path / "again" / "01" / "a.wav").read_bytes() == b"a" * 1000
    environment = {"RESTIC_REPOSITORY": str(tmp_path / "restic" / str(YEAR)), "RESTIC_PASSWORD": "a password"}
    run_restic(["check", "--read-data"], environment=environment, deadline_seconds=60)
    with pytest.raises(PermanentError, match="password"):
        quick.model_copy(update={"password": SecretStr("another")}).snapshots(YEAR)


def test_a_backup_that_is_stopped_in_time_leaves_no_lock_and_the_next_one_does_not_send_again_what_was_sent(
    repository: Repository, source: Path
) -> None:
    repository.create(YEAR)
    for number in range(16):
        (source / f"{number}.wav").write_bytes(os.urandom(4_000_000))
    with pytest.raises(OutOfTimeError, match="its time of 3 s is over"):
        repository.backup(YEAR, [source], host="one", tags=["t"], pace=Pace(12_000, 3))
    year = Path(repository.location) / str(YEAR)
    sent = sum(file.stat().st_size for file in (year / "data").rglob("*") if file.is_file())
    assert sent > 15_000_000
    assert list((year / "locks").iterdir()) == list((year / "snapshots").iterdir()) == []
    done = repository.backup(YEAR, [source], host="one", tags=["t"])
    assert done.complete
    assert done.bytes_added < 64_000_000 + 100_000 - sent


def test_a_backup_sends_no_faster_than_it_may(repository: Repository, source: Path) -> None:
    repository.create(YEAR)
    (source / "big.wav").write_bytes(os.urandom(3_000_000))
    began = time.monotonic()
    repository.backup(YEAR, [source], host="one", tags=["t"], pace=Pace(kib_per_second=1000))
    assert time.monotonic() - began > 2
