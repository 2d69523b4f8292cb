"""A recordings disk: what lies on it, and what the bytes of each file are. Nothing on it is ever changed."""

import os
import stat
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from blocks.contents import Contents, mtime_ns, read_contents
from blocks.errors import PermanentError
from blocks.paths import escape_path, join_below

_INSTANT = pl.Datetime("us", "UTC")
_EPOCH = datetime.fromtimestamp(0, UTC)
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
HASHED_SCHEMA = pl.Schema(
    {
        **{name: FILE_SCHEMA[name] for name in ("path", "size", "mtime", "sha256")},
        "inode": pl.UInt64(), "ctime_ns": _NUMBER,
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
        files.append((escape_path(name), status.st_size, mtime_ns(status), status.st_ctime_ns))
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
    contents = read_contents([join_below(root, path) for path in rest["path"]], recordings=True)
    rows = [
        _row(path, size, mtime_ns, content)
        for (path, size, mtime_ns), content in zip(rest.select(version).rows(), contents, strict=True)
    ]
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
    """The files below the root (`HASHED_SCHEMA`), in order of path; all but path are null where one cannot be read.

    inode and ctime_ns are those of a file that stood still while it was hashed.
    """
    contents = read_contents([join_below(root, path) for path in paths], recordings=False)
    rows: list[_Row] = [
        (path, found.size, _micro(found.mtime_ns), found.sha256, *_stood(found)) if found else (path, *[None] * 5)
        for path, found in zip(paths, contents, strict=True)
    ]
    return pl.DataFrame(rows, schema=HASHED_SCHEMA, orient="row").sort("path")


def _stood(found: Contents) -> tuple[int | None, int | None]:
    return (found.inode, found.ctime_ns) if found.still else (None, None)


def _row(path: str, size: int, mtime_ns: int, content: Contents | None) -> _Row:
    """One row of `_CACHE_SCHEMA`: a file that was of this size and mtime when it was scanned."""
    if content is None or content.header is None:
        return path, size, _micro(mtime_ns), *[None] * 7, "unreadable", mtime_ns
    moved = not content.still or (content.size, content.mtime_ns) != (size, mtime_ns)
    *known, state = content.header
    return (
        path, content.size, _micro(content.mtime_ns), content.sha256, content.md5, *known,
        "in_progress" if moved else state, content.mtime_ns,
    )  # fmt: skip


def _micro(nanoseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=nanoseconds // 1000)


def _read_cache(cache: Path | None) -> pl.DataFrame:
    """The remembered rows; none where there is no cache, or what is there is no such file."""
    if cache is None or not cache.is_file():
        return _CACHE_SCHEMA.to_frame()
    try:
        known = pl.read_parquet(cache)
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return _CACHE_SCHEMA.to_frame()
    return known if known.schema == _CACHE_SCHEMA else _CACHE_SCHEMA.to_frame()


def _write_cache(cache: Path, rows: pl.DataFrame) -> None:
    cache.parent.mkdir(parents=True, exist_ok=True)
    part = cache.with_suffix(f".{os.getpid()}.part")
    rows.write_parquet(part)
    part.replace(cache)
