"""What lies on a disk, and what its bytes are."""

import hashlib
import os
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from blocks.contents import read_content, read_contents
from blocks.disk import hash_files, read_files, scan
from blocks.errors import PermanentError
from blocks.paths import escape_path

NOW = datetime(2021, 1, 31, 12, tzinfo=UTC)
OLD = NOW - timedelta(days=1)
NAMES = [
    b"plain.wav", "重庆.wav".encode(), "重庆.wav".encode("gbk"), b"line\nbreak.wav", b"-rf.wav", b"%2e%2e", b"A.wav",
    b"a.wav", "caf\u00e9.wav".encode(), "cafe\u0301.wav".encode(), b"n" * 251 + b".wav", b" .wav",
]  # fmt: skip


def write(root: Path, name: bytes, content: bytes = b"sound", when: datetime = OLD) -> bytes:
    file = bytes(root) + b"/" + name
    Path(os.fsdecode(file)).parent.mkdir(parents=True, exist_ok=True)
    Path(os.fsdecode(file)).write_bytes(content)
    os.utime(file, (when.timestamp(), when.timestamp()))
    return file


def read(root: Path, cache: Path | None = None, *, now: datetime = NOW, only: str = "") -> pl.DataFrame:
    files = scan(root).files.filter(pl.col("path").str.contains(only, literal=True))
    return read_files(root, files, cache=cache, now=now, quiet_period_seconds=60)


def test_every_plain_file_is_found_under_its_own_path(tmp_path: Path) -> None:
    for name in NAMES:
        write(tmp_path, b"01/31/" + name)
    assert scan(tmp_path).files["path"].to_list() == sorted(escape_path(b"01/31/" + name) for name in NAMES)


def test_what_is_no_plain_file_is_told_and_not_followed(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    write(root, b"a.wav")
    write(outside, b"secret.wav")
    (root / "file").symlink_to(outside / "secret.wav")
    (root / "folder").symlink_to(outside)
    (root / "loop").symlink_to(root)
    (root / "nowhere").symlink_to(root / "gone")
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "socket"))
        found = scan(root)
    assert found.files["path"].to_list() == ["a.wav"]
    assert dict(found.refused.select("path", "kind").iter_rows()) == {
        "file": "symlink", "folder": "symlink", "loop": "symlink", "nowhere": "symlink", "pipe": "fifo",
        "socket": "socket",
    }  # fmt: skip


def test_a_root_that_is_not_there_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="mount the disk"):
        scan(tmp_path / "gone")


def test_a_file_is_hashed_and_its_state_told(tmp_path: Path) -> None:
    write(tmp_path, b"a.wav", b"no sound")
    write(tmp_path, b"b.wav", b"")
    found = read(tmp_path).select("path", "size", "mtime", "sha256", "md5", "state")
    assert found.rows() == [
        (
            f"{name}.wav",
            len(content),
            OLD,
            hashlib.sha256(content).hexdigest(),
            hashlib.md5(content, usedforsecurity=False).hexdigest(),
            state,
        )
        for name, content, state in (("a", b"no sound", "undecodable"), ("b", b"", "empty"))
    ]


def test_many_files_are_read_as_few_are(tmp_path: Path) -> None:
    files = [write(tmp_path, b"%d.wav" % n, os.urandom(n * 50)) for n in range(150)]
    gone = bytes(tmp_path) + b"/gone.wav"
    assert read_contents([*files, gone], recordings=True) == [
        *(read_content(file, bytearray(1 << 20), recordings=True) for file in files), None,
    ]  # fmt: skip


def test_a_file_larger_than_what_is_read_at_once_is_hashed_whole(tmp_path: Path) -> None:
    content = os.urandom((1 << 20) * 2 + 5)
    write(tmp_path, b"large.wav", content)
    assert read(tmp_path)["sha256"].item() == hashlib.sha256(content).hexdigest()


def test_a_file_that_still_grows_is_in_progress(tmp_path: Path) -> None:
    write(tmp_path, b"young.wav", when=NOW - timedelta(seconds=59))
    write(tmp_path, b"old.wav", when=NOW - timedelta(seconds=60))
    assert dict(read(tmp_path).select("path", "state").iter_rows()) == {
        "young.wav": "in_progress", "old.wav": "undecodable",
    }  # fmt: skip


def test_a_file_that_changed_since_the_scan_is_in_progress_and_one_that_is_gone_unreadable(tmp_path: Path) -> None:
    for name in (b"grown.wav", b"gone.wav", b"now-a-pipe.wav", b"now-a-link.wav", b"now-a-folder.wav", b"still.wav"):
        write(tmp_path, name)
    files = scan(tmp_path).files
    write(tmp_path, b"grown.wav", b"more sound")
    for name in ("gone", "now-a-pipe", "now-a-link", "now-a-folder"):
        (tmp_path / f"{name}.wav").unlink()
    (tmp_path / "now-a-folder.wav").mkdir()
    os.mkfifo(tmp_path / "now-a-pipe.wav")
    (tmp_path / "now-a-link.wav").symlink_to(tmp_path / "still.wav")
    found = read_files(tmp_path, files, cache=None, now=NOW, quiet_period_seconds=60)
    assert dict(found.select("path", "state").iter_rows()) == {
        "grown.wav": "in_progress", "gone.wav": "unreadable", "now-a-pipe.wav": "unreadable",
        "now-a-link.wav": "unreadable", "now-a-folder.wav": "unreadable", "still.wav": "undecodable",
    }  # fmt: skip


def test_an_unchanged_file_is_not_read_again_and_a_changed_one_is(tmp_path: Path) -> None:
    root, cache = tmp_path / "root", tmp_path / "cache" / "hashes.parquet"
    write(root, b"a.wav", b"first")
    write(root, b"b.wav", b"first")
    before = read(root, cache)
    write(root, b"a.wav", b"other")  # of the same size and mtime: only reading would tell
    write(root, b"b.wav", b"other", when=OLD + timedelta(seconds=1))
    after = read(root, cache)
    assert after["sha256"][0] == before["sha256"][0]
    assert after["sha256"][1] == hashlib.sha256(b"other").hexdigest()


def test_the_cache_remembers_what_was_not_asked_for_but_not_for_ever(tmp_path: Path) -> None:
    root, cache = tmp_path / "root", tmp_path / "hashes.parquet"
    write(root, b"today.wav")
    write(root, b"old.wav", when=NOW - timedelta(days=59))
    write(root, b"ancient.wav", when=NOW - timedelta(days=61))
    read(root, cache)
    read(root, cache, only="today")
    assert sorted(pl.read_parquet(cache)["path"]) == ["old.wav", "today.wav"]


def test_a_file_from_beyond_the_reach_of_a_clock_is_taken(tmp_path: Path) -> None:
    file = write(tmp_path, b"a.wav")
    os.utime(file, (253402300800, 253402300800))
    assert read(tmp_path, now=datetime(2300, 1, 1, tzinfo=UTC))["state"].to_list() == ["undecodable"]


@pytest.mark.parametrize("place", range(0, 700, 23))
def test_a_cache_with_a_flipped_byte_never_stops_a_backup(tmp_path: Path, place: int) -> None:
    write(tmp_path / "root", b"a.wav")
    cache = tmp_path / "hashes.parquet"
    read(tmp_path / "root", cache)
    content = bytearray(cache.read_bytes())
    content[place % len(content)] ^= 0xFF
    cache.write_bytes(content)
    assert read(tmp_path / "root", cache).height == 1


@pytest.mark.parametrize("content", [b"", b"no parquet"])
def test_a_broken_cache_is_as_good_as_none(tmp_path: Path, content: bytes) -> None:
    write(tmp_path / "root", b"a.wav")
    cache = tmp_path / "hashes.parquet"
    cache.write_bytes(content)
    assert read(tmp_path / "root", cache).equals(read(tmp_path / "root"))


def test_files_are_hashed_by_path_and_what_cannot_be_read_has_none(tmp_path: Path) -> None:
    write(tmp_path, b"a.wav", b"sound")
    found = hash_files(tmp_path, ["gone.wav", "a.wav"])
    status = (tmp_path / "a.wav").stat()
    assert found.rows() == [
        ("a.wav", 5, OLD, hashlib.sha256(b"sound").hexdigest(), status.st_ino, status.st_ctime_ns),
        ("gone.wav", None, None, None, None, None),
    ]


def test_no_files_give_the_right_columns(tmp_path: Path) -> None:
    assert read(tmp_path).schema == read_files(
        tmp_path, scan(tmp_path).files, cache=None, now=NOW, quiet_period_seconds=0
    ).schema  # fmt: skip
    assert hash_files(tmp_path, []).is_empty()
