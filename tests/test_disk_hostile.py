"""A recordings disk at its worst: any name, files that change or vanish under the hand, and a cache that lies."""

import hashlib
import io
import os
import stat
import wave
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from blocks.disk import FILE_SCHEMA, REFUSED_SCHEMA, SCAN_SCHEMA, hash_files, read_files, scan
from blocks.errors import PermanentError

MADE = datetime(2021, 1, 31, 4, tzinfo=UTC)
NOW = MADE + timedelta(hours=8)
SECOND = 10**9


def sound(seconds: float = 1, fill: int = 0) -> bytes:
    """A recording of 8 kHz, 16 bit; another `fill` has other bytes and the same length."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as audio:
        audio.setnchannels(1)
        audio.setsampwidth(2)
        audio.setframerate(8000)
        audio.writeframes(bytes([fill]) * int(seconds * 16_000))
    return buffer.getvalue()


def put(root: Path, name: str | bytes, content: bytes | None = None, later: int = 0) -> bytes:
    """Write a file that was last changed at MADE, or so many nanoseconds later; returns what it is called."""
    file = os.path.join(bytes(root), os.fsencode(name))
    os.makedirs(os.path.dirname(file), exist_ok=True)
    with open(file, "wb") as opened:
        opened.write(sound() if content is None else content)
    mtime = int(MADE.timestamp()) * SECOND + later
    os.utime(file, ns=(mtime, mtime))
    return file


def read(
    root: Path, files: pl.DataFrame | None = None, *, cache: Path | None = None, now: datetime = NOW
) -> pl.DataFrame:
    found = scan(root).files if files is None else files
    return read_files(root, found, cache=cache, now=now, quiet_period_seconds=60)


def states(frame: pl.DataFrame) -> dict[str, str]:
    return dict(frame.select("path", "state").iter_rows())


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "disk"
    folder.mkdir()
    return folder


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "home" / "cache.parquet"


def test_a_scan_tells_each_plain_file_with_its_size_and_times_in_order(root: Path) -> None:
    put(root, "b.wav", b"12345")
    put(root, "01/31/a.wav", b"123", later=125_000_001)
    put(root, "01/.hidden", b"")
    found = scan(root)
    assert (found.files.schema, found.refused.schema) == (SCAN_SCHEMA, REFUSED_SCHEMA)
    assert found.files.select("path", "size", "mtime").rows() == [
        ("01/.hidden", 0, MADE),
        ("01/31/a.wav", 3, MADE + timedelta(milliseconds=125)),
        ("b.wav", 5, MADE),
    ]
    assert found.files["mtime_ns"].to_list() == [(root / path).stat().st_mtime_ns for path in found.files["path"]]
    assert found.files["arrived_at"].min() > MADE
    assert found.refused.is_empty()


def test_links_out_and_to_themselves_are_told_with_the_reason(root: Path, tmp_path: Path) -> None:
    put(tmp_path / "outside", "secret.wav")
    put(root, "01/a.wav")
    (root / "out").symlink_to(tmp_path / "outside")
    (root / "01" / "loop").symlink_to(root)
    (root / "itself").symlink_to(root / "itself")
    found = scan(root)
    assert found.files["path"].to_list() == ["01/a.wav"]
    assert found.refused.rows() == [
        (path, "symlink", "it is a symlink, not a file") for path in ("01/loop", "itself", "out")
    ]


def test_the_root_itself_may_be_a_link(root: Path, tmp_path: Path) -> None:
    put(root, "01/a.wav")
    (tmp_path / "mounted").symlink_to(root)
    assert read(tmp_path / "mounted").equals(read(root))


@pytest.mark.parametrize("name", ["gone", "file", "file/below", "录音"])
def test_a_root_that_is_no_folder_is_one_clear_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(PermanentError, match="mount the disk, or correct `recordings`") as error:
        scan(tmp_path / name)
    assert error.value.subject == str(tmp_path / name)


NAMES = {
    b"tet\xe9.wav": "tet%E9.wav",
    b"\xff\xfe/\xe9": "%FF%FE/%E9",
    "t\u00e9.wav".encode(): "t\u00e9.wav",
    "te\u0301.wav".encode(): "te\u0301.wav",
    b"a\nb\r.wav": "a%0Ab%0D.wav",
    b"--help/-": "--help/-",
    b"%2e%2e": "%252e%252e",
    b"%2E%2E/a.wav": "%252E%252E/a.wav",
    b"tet%E9.wav": "tet%25E9.wav",
    b"a.wav": "a.wav",
    b"a.WAV": "a.WAV",
    b" ": " ",
    b"...": "...",
    b"..a/..b": "..a/..b",
    b"'\"\\$(x)`;*?": "'\"\\$(x)`;*?",
    "录音/2049.wav3".encode(): "录音/2049.wav3",
    b"x" * 255: "x" * 255,
    b"\xe9" * 255: "%E9" * 255,
}


@pytest.mark.parametrize("others", [0, 80], ids=["few", "many"])
def test_a_file_of_any_name_is_found_and_read(root: Path, others: int) -> None:
    names = NAMES | {b"others/%02d.wav" % place: f"others/{place:02}.wav" for place in range(others)}
    contents = {text: sound(fill=place) for place, text in enumerate(names.values())}
    for name, text in names.items():
        put(root, name, contents[text])
    files = read(root)
    assert files["path"].to_list() == sorted(contents)
    assert dict(files.select("path", "sha256").iter_rows()) == {path: sha256(text) for path, text in contents.items()}
    assert set(files["state"]) == {"ok"}


def test_a_header_is_told_by_content_and_else_by_extension_in_any_case(root: Path) -> None:
    put(root, "a.ULAW", b"\x7f" * 4000)
    put(root, "b.wav3", sound(200))
    put(root, "c.wav", sound()[:8044])
    files = read(root)
    assert files.schema == FILE_SCHEMA
    assert files.select("container", "codec", "sample_rate", "channels", "duration_ms", "state").rows() == [
        ("raw", "pcm_mulaw", 8000, 1, 500, "ok"),
        ("wav", "pcm_s16le", 8000, 1, 200_000, "ok"),
        ("wav", "pcm_s16le", 8000, 1, 500, "truncated"),
    ]


def become_a_pipe(file: bytes) -> None:
    os.unlink(file)
    os.mkfifo(file)


def become_a_socket(file: bytes) -> None:
    os.unlink(file)
    os.mknod(file, stat.S_IFSOCK | 0o600)


def become_a_link(file: bytes) -> None:
    os.rename(file, file + b".moved")
    os.symlink(file + b".moved", file)


def lose_its_folder(file: bytes) -> None:
    os.unlink(file)
    os.rmdir(os.path.dirname(file))
    with open(os.path.dirname(file), "wb"):
        pass


@pytest.mark.parametrize("happens", [os.unlink, become_a_pipe, become_a_socket, become_a_link, lose_its_folder])
@pytest.mark.parametrize("others", [0, 70], ids=["few", "many"])
def test_a_file_that_cannot_be_read_is_told_and_the_others_are_read(
    root: Path, happens: Callable[[bytes], None], others: int
) -> None:
    file = put(root, "01/a.wav")
    put(root, "b.wav")
    for place in range(others):
        put(root, f"others/{place}.wav")
    found = scan(root).files
    happens(file)
    files = read(root, found, now=MADE)
    lost, rest = files.filter(pl.col("path") == "01/a.wav"), files.filter(pl.col("path") != "01/a.wav")
    assert lost.rows() == [("01/a.wav", 16_044, MADE, *[None] * 7, "unreadable")]
    assert (rest.height, set(rest["state"])) == (1 + others, {"in_progress"})


def test_a_file_that_could_not_be_read_is_read_the_next_time(root: Path, cache: Path) -> None:
    file = put(root, "a.wav")
    found = scan(root).files
    os.rename(file, file + b".away")
    assert states(read(root, found, cache=cache)) == {"a.wav": "unreadable"}
    os.rename(file + b".away", file)
    assert states(read(root, found, cache=cache)) == {"a.wav": "ok"}


@pytest.mark.parametrize(
    ("content", "later"),
    [(sound(2), 0), (sound(0.5), 0), (sound(fill=1), SECOND), (b"", 0)],
    ids=["grown", "cut", "rewritten", "emptied"],
)
def test_a_file_that_changed_after_the_scan_is_still_moving_until_the_next_one(
    root: Path, cache: Path, content: bytes, later: int
) -> None:
    put(root, "a.wav")
    found = scan(root).files
    put(root, "a.wav", content, later)
    moving = read(root, found, cache=cache)
    assert moving.select("size", "sha256", "state").rows() == [(len(content), sha256(content), "in_progress")]
    assert states(read(root, cache=cache)) == {"a.wav": "ok" if content else "empty"}


@pytest.mark.parametrize(
    ("age", "state"), [(-3600, "in_progress"), (0, "in_progress"), (59.9, "in_progress"), (60, "truncated")]
)
def test_a_young_file_may_still_grow_and_is_not_yet_blamed(root: Path, age: float, state: str) -> None:
    put(root, "a.wav", sound()[:8044])
    files = read(root, now=MADE + timedelta(seconds=age))
    assert files.select("state", "sha256", "duration_ms").rows() == [(state, sha256(sound()[:8044]), 500)]


def test_a_file_that_was_young_is_at_rest_later_though_it_is_not_read_again(root: Path, cache: Path) -> None:
    put(root, "a.wav")
    assert states(read(root, cache=cache, now=MADE)) == {"a.wav": "in_progress"}
    put(root, "a.wav", sound(fill=9))
    assert read(root, cache=cache).select("state", "sha256").rows() == [("ok", sha256(sound()))]


@pytest.mark.parametrize(
    ("content", "later"),
    [(sound(fill=9), 1), (sound(fill=9), -1), (sound(fill=9) + b"\0", 0), (b"", 0)],
    ids=["a nanosecond later", "earlier", "other size", "emptied"],
)
def test_a_changed_file_is_read_again(root: Path, cache: Path, content: bytes, later: int) -> None:
    put(root, "a.wav")
    read(root, cache=cache)
    put(root, "a.wav", content, later)
    assert read(root, cache=cache)["sha256"].to_list() == [sha256(content)]
    assert pl.read_parquet(cache).height == 1
    assert [file.name for file in cache.parent.iterdir()] == ["cache.parquet"]


def test_another_file_of_the_same_size_and_time_is_read(root: Path, cache: Path) -> None:
    put(root, "a.wav")
    read(root, cache=cache)
    put(root, "b.wav", sound(fill=9))
    assert read(root, cache=cache)["sha256"].to_list() == [sha256(sound()), sha256(sound(fill=9))]


def test_what_the_cache_gives_is_what_the_disk_would_give(root: Path, cache: Path) -> None:
    for name, text in NAMES.items():
        put(root, name, text.encode() if len(text) % 2 else sound(fill=len(text) % 251))
    plain = read(root)
    assert read(root, cache=cache).equals(plain)
    assert read(root, cache=cache).equals(plain)


@pytest.mark.parametrize("broken", ["cut", "other columns", "other types"])
def test_a_broken_cache_is_passed_over_and_made_anew(root: Path, cache: Path, broken: str) -> None:
    put(root, "a.wav")
    read(root, cache=cache)
    good, whole = cache.read_bytes(), pl.read_parquet(cache)
    if broken == "cut":
        cache.write_bytes(good[: len(good) // 2])
    elif broken == "other columns":
        whole.drop("md5").write_parquet(cache)
    else:
        whole.cast({"size": pl.Int32}).write_parquet(cache)
    put(root, "a.wav", sound(fill=9))
    assert read(root, cache=cache)["sha256"].to_list() == [sha256(sound(fill=9))]
    put(root, "a.wav", sound(fill=10))
    assert read(root, cache=cache)["sha256"].to_list() == [sha256(sound(fill=9))]


def test_a_cache_cut_anywhere_is_only_slower(root: Path, cache: Path) -> None:
    put(root, "a.wav")
    first = read(root, cache=cache)
    good = cache.read_bytes()
    for left in (*range(0, len(good), len(good) // 20), len(good) - 1):
        cache.write_bytes(good[:left])
        assert read(root, cache=cache).equals(first)


def test_the_cache_keeps_old_files_that_are_asked_for(root: Path, cache: Path) -> None:
    put(root, "a.wav")
    late = MADE + timedelta(days=600)
    read(root, cache=cache, now=late)
    put(root, "a.wav", sound(fill=9))
    read(root, cache=cache, now=late)
    assert read(root, cache=cache, now=late)["sha256"].to_list() == [sha256(sound())]


def test_hashes_are_told_of_plain_files_below_the_root_only(root: Path) -> None:
    put(root, b"\xe9", b"other")
    become_a_pipe(put(root, "pipe"))
    become_a_link(put(root, "link"))
    found = hash_files(root, ["pipe", "link", "%E9"]).drop("inode", "ctime_ns")
    nothing = [None] * 3
    assert found.rows() == [
        ("%E9", 5, MADE, sha256(b"other")),
        ("link", *nothing),
        ("pipe", *nothing),
    ]
    put(root.parent / "outside", "secret")
    for path in ("../outside/secret", "%2E%2E/outside/secret", f"{root.parent}/outside/secret"):
        with pytest.raises(PermanentError, match="leaves"):
            hash_files(root, [path])
