"""A recordings disk: what lies on it, and what the bytes of each file are. Nothing on it is ever changed."""

import hashlib
import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import polars as pl

from blocks.audio import AudioHeader, read_header
from blocks.errors import PermanentError
from blocks.paths import escape_path, join_below

_INSTANT = pl.Datetime("us", "UTC")
_CHUNK = 1 << 20
_NAME, _NUMBER = pl.String(), pl.Int64()
SCAN_SCHEMA = pl.Schema(
    {"path": _NAME, "size": _NUMBER, "mtime": _INSTANT, "arrived_at": _INSTANT, "mtime_ns": _NUMBER}
)
REFUSED_SCHEMA = pl.Schema({"path": _NAME, "kind": _NAME, "reason": _NAME})
FILE_SCHEMA = pl.Schema(
    {
        "path": _NAME, "size": _NUMBER, "mtime": _INSTANT, "sha256": _NAME, "md5": _NAME, "container": _NAME,
        "codec": _NAME, "sample_rate": pl.Int32(), "channels": pl.Int32(), "duration_ms": _NUMBER, "state": _NAME,
    }
)  # fmt: skip
_CACHE_SCHEMA = pl.Schema({**FILE_SCHEMA, "mtime_ns": _NUMBER})
_REMEMBERED = timedelta(days=60)
_Row = tuple[str | int | datetime | None, ...]
_KINDS = ((stat.S_ISLNK, "symlink"), (stat.S_ISSOCK, "socket"), (stat.S_ISFIFO, "fifo"))


@dataclass(frozen=True)
class Scan:
    """The plain files below a root (`SCAN_SCHEMA`), and what is none and was not opened (`REFUSED_SCHEMA`)."""

    files: pl.DataFrame
    refused: pl.DataFrame


def scan(root: Path) -> Scan:
    """What lies below the root, in order of path; links are not followed, and only plain files are files.

    Raises:
        PermanentError: the root is not there, is no folder, or cannot be read.
    """
    try:
        os.listdir(root)  # noqa: PTH208  # only to learn whether it can be read
    except OSError as error:
        raise PermanentError(
            operation="read the recordings", subject=str(root), cause=error.strerror or str(error),
            remedy="mount the disk, or correct `recordings` in the site's settings",
        ) from None  # fmt: skip
    files: list[_Row] = []
    refused: list[_Row] = []
    _walk(bytes(root), files, refused)
    found = pl.DataFrame(
        files, schema={"path": _NAME, "size": _NUMBER, "mtime_ns": _NUMBER, "ctime_ns": _NUMBER}, orient="row"
    )
    named = found.with_columns(mtime=_instant("mtime_ns"), arrived_at=_instant("ctime_ns"))
    return Scan(
        named.select(SCAN_SCHEMA.names()).sort("path"),
        pl.DataFrame(refused, schema=REFUSED_SCHEMA, orient="row").sort("path"),
    )


def _instant(nanoseconds: str) -> pl.Expr:
    return (pl.col(nanoseconds) // 1000).cast(_INSTANT)


def _walk(root: bytes, files: list[_Row], refused: list[_Row]) -> None:
    folders = [b""]
    while folders:
        folder = folders.pop()
        try:
            entries = os.scandir(root + b"/" + folder)
        except OSError as error:
            refused.append((escape_path(folder), "folder", error.strerror or str(error)))
            continue
        with entries:
            for entry in entries:
                name = folder + b"/" + entry.name if folder else entry.name
                if entry.is_dir(follow_symlinks=False):
                    folders.append(name)
                else:
                    _take(entry, name, files, refused)


def _take(entry: os.DirEntry[bytes], name: bytes, files: list[_Row], refused: list[_Row]) -> None:
    try:
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return
    if stat.S_ISREG(status.st_mode):
        files.append((escape_path(name), status.st_size, status.st_mtime_ns, status.st_ctime_ns))
        return
    kind = next((word for test, word in _KINDS if test(status.st_mode)), "device")
    refused.append((escape_path(name), kind, f"it is a {kind}, not a file"))


def read_files(
    root: Path, files: pl.DataFrame, *, cache: Path | None, now: datetime, quiet_period_seconds: float
) -> pl.DataFrame:
    """The files of a scan (path, size, mtime, mtime_ns) with hashes, header and state, in order of path.

    Columns path, size, mtime, sha256, md5 (String, null where not read), container, codec, sample_rate, channels,
    duration_ms, state. A file that was changed within the quiet period or while it was read is `in_progress`, one
    that cannot be read `unreadable`. `cache` remembers hashes by path, size and mtime; it is only speed, and forgets
    files that are older than 60 days and not among these.
    """
    known = _read_cache(cache)
    version = ["path", "size", "mtime_ns"]
    cached = files.select(version).join(known, on=version, how="inner")
    rest = files.join(cached, on=version, how="anti")
    rows = _in_threads(_read, root, rest)
    read = pl.DataFrame(rows, schema=_CACHE_SCHEMA, orient="row")
    everything = pl.concat([cached.select(_CACHE_SCHEMA.names()), read])
    if cache:
        sure = everything.filter(~pl.col("state").is_in(["in_progress", "unreadable"]))
        other = known.filter(pl.col("mtime") > now - _REMEMBERED).join(everything, on="path", how="anti")
        _write_cache(cache, pl.concat([sure, other]))
    young = pl.lit(now).cast(_INSTANT) - pl.col("mtime") < timedelta(seconds=quiet_period_seconds)
    moving = young & (pl.col("state") != "unreadable")
    state = pl.when(moving).then(pl.lit("in_progress")).otherwise("state").alias("state")
    return everything.with_columns(state).select(FILE_SCHEMA.names()).sort("path")


def hash_files(root: Path, paths: list[str]) -> pl.DataFrame:
    """path, size, mtime, sha256, md5 of these files below the root; the hashes are null where one cannot be read."""
    files = pl.DataFrame({"path": paths}, schema={"path": pl.String}).with_columns(size=0, mtime_ns=0)
    rows = _in_threads(_hash_only, root, files)
    schema = {name: FILE_SCHEMA[name] for name in ("path", "size", "mtime", "sha256", "md5")}
    return pl.DataFrame(rows, schema=schema, orient="row").sort("path")


def _in_threads(read: Callable[..., _Row], root: Path, files: pl.DataFrame) -> list[_Row]:
    tasks = files.select("path", "size", "mtime_ns").rows()
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 2) as threads:
        return list(threads.map(lambda task: read(root, *task), tasks))


@dataclass(frozen=True)
class _Content:
    status: os.stat_result
    sha256: str
    md5: str
    header: AudioHeader | None
    still: bool


def _content(file: bytes, header_of: Callable[[bytes, int, BinaryIO], AudioHeader] | None = None) -> _Content | None:
    """The hashes and header of a plain file; None where it cannot be read, or is no plain file any more."""
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with open(handle, "rb", buffering=0) as opened:  # noqa: PTH123
        before = os.fstat(handle)
        if not stat.S_ISREG(before.st_mode):
            return None
        sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
        try:
            head = piece = opened.read(_CHUNK)
            while piece:
                sha256.update(piece)
                md5.update(piece)
                piece = opened.read(_CHUNK)
            header = header_of(head, before.st_size, opened) if header_of else None
        except OSError:
            return None
        after = os.fstat(handle)
    still = (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
    return _Content(after, sha256.hexdigest(), md5.hexdigest(), header, still)


def _read(root: Path, path: str, size: int, mtime_ns: int) -> _Row:
    """One row of `_CACHE_SCHEMA`."""
    content = _content(join_below(root, path), read_header)
    if content is None or content.header is None:
        return path, size, _micro(mtime_ns), *[None] * 7, "unreadable", mtime_ns
    status = content.status
    moved = not content.still or (status.st_size, status.st_mtime_ns) != (size, mtime_ns)
    *known, state = content.header
    return (
        path, status.st_size, _micro(status.st_mtime_ns), content.sha256, content.md5, *known,
        "in_progress" if moved else state, status.st_mtime_ns,
    )  # fmt: skip


def _hash_only(root: Path, path: str, _size: int, _mtime_ns: int) -> _Row:
    content = _content(join_below(root, path))
    if content is None:
        return path, None, None, None, None
    return path, content.status.st_size, _micro(content.status.st_mtime_ns), content.sha256, content.md5


def _micro(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=nanoseconds // 1000)


def _read_cache(cache: Path | None) -> pl.DataFrame:
    """The remembered rows; none where there is no cache, or what is there is no such file."""
    if cache is None or not cache.is_file():
        return _CACHE_SCHEMA.to_frame()
    try:
        known = pl.read_parquet(cache)
    except (OSError, pl.exceptions.PolarsError):
        return _CACHE_SCHEMA.to_frame()
    return known if known.schema == _CACHE_SCHEMA else _CACHE_SCHEMA.to_frame()


def _write_cache(cache: Path, rows: pl.DataFrame) -> None:
    cache.parent.mkdir(parents=True, exist_ok=True)
    part = cache.with_suffix(f".{os.getpid()}.part")
    rows.write_parquet(part)
    part.replace(cache)
