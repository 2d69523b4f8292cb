"""The catalog: the only memory. One Parquet object per frame, business, day and site, replaced whole."""

import fcntl
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from io import BytesIO
from pathlib import Path, PurePosixPath
from struct import Struct
from typing import Any

import fsspec
import polars as pl
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem
from prefect.types import SecretDict
from pydantic import Field

from blocks.errors import PermanentError, SettingsError, TransientError, VoxkeepError
from blocks.saved_block import SavedBlock

_SUFFIX = ".parquet"
# Frames that hold no data, only what is to be done.
MARKS = ("untraced",)
# How every Parquet file ends: the length of its footer, and its mark.
_FOOTER = Struct("<I4s")
# What folders held that have not changed for a while, by when they had changed.
_KNOWN: dict[str, tuple[int, list[tuple[str, str, str]]]] = {}
_MOST_KNOWN, _SETTLED_NS = 20_000, 2_000_000_000


@dataclass(frozen=True)
class Partition:
    """A partition that is there: its keys, where its object lies, and what changes whenever the object is replaced."""

    business: str
    site: str
    day: date
    path: str
    version: str


@dataclass(frozen=True)
class Layout:
    """How a partition lies in its file.

    Attributes:
        group: So many rows are read at a time, where few of them will be looked for.
        beside: Bytes between the rows and the footer, where readers of Parquet do not look.
    """

    group: int | None = None
    beside: bytes = b""


class Catalog(SavedBlock):
    """The frames that voxkeep keeps, one Parquet object per partition (business, site, day).

    Every verb may be called twice, at the same time and after kill -9: an object is replaced whole or not at
    all, so a reader sees the old partition or the new one. Of two writers of one partition the last one wins.
    What a killed writer leaves behind no reader looks at, and the next write of the partition removes it.

    Attributes:
        url: Folder or fsspec URL of the catalog; below it lie `<frame>/business=<b>/day=<d>/<site>.parquet`, and
            `summaries/`, which is derived from them (`gather`).
        storage_options: What fsspec needs to reach it: keys, endpoint.

    Example:
        >>> catalog = Catalog(url="/srv/voxkeep/catalog")
        >>> catalog.write("calls", "meituan", "cq", date(2021, 1, 31), calls)
        True
    """

    _block_type_name = "Voxkeep catalog"
    _block_type_slug = "voxkeep-catalog"

    url: str = Field(description="Folder or fsspec URL of the catalog, e.g. file:///srv/voxkeep/catalog.")
    storage_options: SecretDict | None = Field(
        default=None, description="Options of fsspec for this URL: keys, endpoint. A folder needs none."
    )

    def write(
        self,
        frame: str,
        business: str,
        site: str,
        day: date,
        rows: pl.DataFrame,
        *,
        layout: Layout | None = None,
    ) -> bool:
        """Replace the partition by `rows`, sorted by the caller; False when it held just these bytes already.

        A partition without rows is a partition too: it says that somebody looked.

        Raises:
            PermanentError: the rows cannot be written there.
            TransientError: the store does not answer.
        """
        return self._put(self._partition(frame, business, day, site), _parquet(rows, layout or Layout()))

    def gather(self, frame: str, business: str, site: str, month: date, schema: pl.Schema) -> bool:
        """Make `summaries/<frame>/business=<b>/month=<yyyy-mm>/<site>.parquet` the month's partitions in one object.

        It is derived from them, for readers of long periods, and replaced whole as they are; False when it held just
        these bytes already. `month`: any day of it. A month without rows has an empty object only if it had one.
        """
        first = month.replace(day=1)
        days = [first + timedelta(days=place) for place in range(31)]
        rows = self.read(frame, business, site, [day for day in days if day.month == first.month], schema)
        name = self._month(frame, business, first, site)
        system, root = self._reach()
        if rows.is_empty() and not system.exists(f"{root}/{name}"):
            return False
        return self._put(name, _parquet(rows, Layout()))

    def unmark(self, frame: str, mark: Partition) -> None:
        """Take a mark away; one that was replaced since `partitions` has found it stays.

        A mark holds no data: it only says that something is to be done. Of other frames nothing is ever removed.

        Raises:
            PermanentError: the frame holds more than marks, or the object cannot be removed.
        """
        if frame not in MARKS:
            raise PermanentError(
                operation="take a mark away",
                subject=mark.path,
                cause=f"{frame} holds more than marks",
                remedy="let retention decide what may go",
            )
        if mark in self.partitions(frame, mark.business, mark.day, mark.day):
            system, _ = self._reach()
            with told("take a mark away", mark.path):
                system.rm_file(mark.path)

    def gathered(self, frame: str, business: str, site: str, month: date, schema: pl.Schema) -> pl.DataFrame:
        """The rows of the month that `gather` has put together; none where it has not."""
        system, root = self._reach()
        path = f"{root}/{self._month(frame, business, month, site)}"
        with told("read the catalog", f"{frame} of {business}"):
            there = [Partition(business, site, month, path, "")] if system.exists(path) else []
            return self.open(there, schema).collect()

    def _put(self, name: str, content: bytes) -> bool:
        system, root = self._reach()
        target = f"{root}/{name}"
        with told("write to the catalog", name):
            if isinstance(system, LocalFileSystem):
                return _replace(Path(target), content)
            if system.exists(target) and system.cat_file(target) == content:
                return False
            system.pipe_file(target, content)  # one PUT: S3 shows an object whole or not at all
        return True

    def read(
        self, frame: str, business: str, site: str | None, days: Iterable[date] | None, schema: pl.Schema
    ) -> pl.DataFrame:
        """The rows of these partitions, in order of day and site, with exactly the columns of `schema`.

        `site` None: all sites; `days` None: all days. A partition that is not there has no rows.
        A column that an older partition does not have yet is null in its rows.

        Raises:
            PermanentError: an object is damaged, or a column in it has another dtype.
        """
        with told("read the catalog", f"{frame} of {business}"):
            return self.scan(frame, business, site, days, schema).collect()

    def scan(
        self, frame: str, business: str, site: str | None, days: Iterable[date] | None, schema: pl.Schema
    ) -> pl.LazyFrame:
        """What `read` reads, lazily: of a folder, only the columns and row groups that are asked for."""
        _, root = self._reach()
        found = self._objects(frame, business, site, days)
        partitions = [Partition(business, name, day, f"{root}/{path}", "") for day, name, path in found]
        with told("read the catalog", f"{frame} of {business}"):
            return self.open(partitions, schema)

    def partitions(self, frame: str, business: str, first: date = date.min, last: date = date.max) -> list[Partition]:
        """Every partition of these days that is there, in order of day and site."""
        base = f"{_part(frame)}/business={_part(business)}"
        system, root = self._reach()
        with told("read the catalog", base):
            days = sorted(map(date.fromisoformat, _days(system, f"{root}/{base}")))
            return [
                Partition(business, name.removesuffix(_SUFFIX), day, path, version)
                for day in days
                if first <= day <= last
                for name, path, version in _versions(system, f"{root}/{base}/day={day}")
            ]

    def days_of(self, frame: str, business: str) -> list[date]:
        """The days of which the frame may have a partition of this business, in order."""
        base = f"{_part(frame)}/business={_part(business)}"
        system, root = self._reach()
        with told("read the catalog", base):
            return sorted(map(date.fromisoformat, _days(system, f"{root}/{base}")))

    def partitions_of(self, frame: str, of: Iterable[tuple[str, date]]) -> list[Partition]:
        """Every partition of these businesses and days that is there, each with its sites in order."""
        system, root = self._reach()
        folder = f"{root}/{_part(frame)}/business="
        with told("read the catalog", frame):
            return [
                Partition(business, name.removesuffix(_SUFFIX), day, path, version)
                for business, day in of
                for name, path, version in _versions(system, f"{folder}{_part(business)}/day={day}")
            ]

    def open(self, partitions: Iterable[Partition], schema: pl.Schema) -> pl.LazyFrame:
        """The rows of these partitions, lazily, as `scan` gives them; they must still be there."""
        system, _ = self._reach()
        paths = [partition.path for partition in partitions]
        if not paths:
            return schema.to_frame().lazy()
        return _scan(
            paths if isinstance(system, LocalFileSystem) else [system.cat_file(path) for path in paths], schema
        )

    def sizes(self, frame: str, business: str, site: str, days: Iterable[date]) -> dict[date, int]:
        """Bytes of each partition that is there."""
        system, root = self._reach()
        found = self._objects(frame, business, site, days)
        with told("read the catalog", f"{frame} of {business}"):
            return {day: int(system.size(f"{root}/{name}")) for day, _, name in found}

    def days(self, frame: str, business: str, site: str | None) -> list[date]:
        """The days of which the frame has a partition of this site (None: of any), in order."""
        return sorted({day for day, _, _ in self._objects(frame, business, site, None)})

    def sites(self, frame: str, business: str) -> list[str]:
        """The sites of which the frame has a partition, in order."""
        return sorted({site for _, site, _ in self._objects(frame, business, None, None)})

    def businesses(self) -> list[str]:
        """The businesses that have anything in the catalog, in order."""
        system, root = self._reach()
        with told("read the catalog", self.url):
            folders = [name for frame in _names(system, root) for name in _names(system, f"{root}/{frame}")]
        return sorted({name.removeprefix("business=") for name in folders if name.startswith("business=")})

    def _objects(
        self, frame: str, business: str, site: str | None, days: Iterable[date] | None
    ) -> list[tuple[date, str, str]]:
        """day, site and name of each partition that is there, in order of day and site."""
        base = f"{_part(frame)}/business={_part(business)}"
        system, root = self._reach()
        with told("read the catalog", base):
            if days is None:
                days = [date.fromisoformat(day) for day in _days(system, f"{root}/{base}")]
            return [
                (day, name.removesuffix(_SUFFIX), f"{base}/day={day}/{name}")
                for day in sorted(set(days))
                for name in sorted(_names(system, f"{root}/{base}/day={day}"))
                if name.endswith(_SUFFIX) and (site is None or name == site + _SUFFIX)
            ]

    @staticmethod
    def _partition(frame: str, business: str, day: date, site: str) -> str:
        return f"{_part(frame)}/business={_part(business)}/day={day}/{_part(site)}{_SUFFIX}"

    @staticmethod
    def _month(frame: str, business: str, month: date, site: str) -> str:
        return f"summaries/{_part(frame)}/business={_part(business)}/month={month:%Y-%m}/{_part(site)}{_SUFFIX}"

    def _reach(self) -> tuple[AbstractFileSystem, str]:
        """The file system behind the URL, and the catalog's path in it."""
        options: dict[str, Any] = self.storage_options.get_secret_value() if self.storage_options else {}
        try:
            # A listing that was remembered would hide what another process has written since.
            system, root = fsspec.url_to_fs(self.url, use_listings_cache=False, **options)
        except (ValueError, ImportError) as error:
            raise SettingsError(
                operation="reach the catalog",
                subject=self.url,
                cause=str(error),
                remedy="give a folder or a URL such as s3://bucket/catalog; fsspec needs s3fs for it",
            ) from None
        return system, str(root).rstrip("/")


def _part(name: str) -> str:
    """`name`, which may stand in a path.

    Raises:
        SettingsError: it would lead elsewhere, or nowhere.
    """
    if not name or name.startswith(".") or "/" in name or "\0" in name:
        raise SettingsError(
            operation="find a partition of the catalog",
            subject=repr(name),
            cause="this cannot be part of a path",
            remedy="name frames, businesses and sites with letters, digits and hyphens",
        )
    return name


def _names(system: AbstractFileSystem, folder: str) -> list[str]:
    try:
        return [PurePosixPath(path).name for path in system.ls(folder, detail=False)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _days(system: AbstractFileSystem, folder: str) -> list[str]:
    return [name.removeprefix("day=") for name in _names(system, folder) if name.startswith("day=")]


def _versions(system: AbstractFileSystem, folder: str) -> list[tuple[str, str, str]]:
    """Name, path and version of each object in a folder, in order; none where there is no folder."""
    if isinstance(system, LocalFileSystem):
        return _files(folder)
    if not system.exists(folder):
        return []
    objects = [(PurePosixPath(found["name"]).name, found) for found in system.ls(folder, detail=True)]
    marks = ("ETag", "mtime", "LastModified", "created", "size")
    return sorted(
        (name, found["name"], " ".join(str(found.get(mark)) for mark in marks))
        for name, found in objects
        if name.endswith(_SUFFIX)
    )


def _files(folder: str) -> list[tuple[str, str, str]]:
    """`_versions` of a folder of this machine: looked at again only when it has changed, as replacing a file does."""
    try:
        changed = os.stat(folder).st_mtime_ns  # noqa: PTH116  # of a thousand days for every search
    except FileNotFoundError:
        return []
    then, found = _KNOWN.get(folder, (0, []))
    if then == changed:
        return found
    # A replaced file is another one, even where its time and size are the same.
    with os.scandir(folder) as entries:
        stats = [(entry.name, entry.path, entry.stat()) for entry in entries if entry.name.endswith(_SUFFIX)]
    found = sorted((name, path, version_of(status)) for name, path, status in stats)
    # Of two changes at once, only the first shows in a folder's time.
    if time.time_ns() - changed > _SETTLED_NS:
        if len(_KNOWN) >= _MOST_KNOWN:
            _KNOWN.clear()
        _KNOWN[folder] = (changed, found)
    return found


@contextmanager
def opened(partition: Partition) -> Iterator[int | None]:
    """The partition's file, open to be read; None where it was replaced since, is gone, or is no file."""
    try:
        handle = os.open(partition.path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield None
        return
    try:
        yield handle if version_of(os.fstat(handle)) == partition.version else None
    finally:
        os.close(handle)


def version_of(status: os.stat_result) -> str:
    """What changes whenever a file is replaced."""
    return f"{status.st_mtime_ns} {status.st_size} {status.st_ino}"


def _parquet(rows: pl.DataFrame, layout: Layout) -> bytes:
    """The rows as Parquet; the same rows give the same bytes."""
    buffer = BytesIO()
    # Of these columns the lowest level makes files as small as the usual one, in half the time.
    rows.write_parquet(buffer, compression="zstd", compression_level=1, row_group_size=layout.group)
    content = buffer.getvalue()
    if not layout.beside:
        return content
    footer = len(content) - _FOOTER.size - _FOOTER.unpack_from(content, len(content) - _FOOTER.size)[0]
    return b"".join((content[:footer], layout.beside, content[footer:]))


def _scan(sources: list[str] | list[bytes], schema: pl.Schema) -> pl.LazyFrame:
    return pl.scan_parquet(
        sources,
        schema=schema,
        # The keys are columns of the files themselves: the folders' names would only repeat them, as text.
        hive_partitioning=False,
        glob=False,
        missing_columns="insert",
        extra_columns="ignore",
        cast_options=pl.ScanCastOptions(missing_struct_fields="insert", extra_struct_fields="ignore"),
    )


def _replace(target: Path, content: bytes) -> bool:
    """Make `content` the file's content, at once and whole; False when it was so already."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with _aside(target) as (part, handle):
        if target.is_file() and target.stat().st_size == len(content) and target.read_bytes() == content:
            part.unlink()
            return False
        os.truncate(handle, 0)
        with os.fdopen(os.dup(handle), "wb") as file:
            file.write(content)
        os.fsync(handle)
        part.replace(target)
    return True


@contextmanager
def _aside(target: Path) -> Iterator[tuple[Path, int]]:
    """The file beside `target` in which its next content is written, locked: one writer at a time.

    Its name is always the same, so a write takes over what a killed writer left. The lock is the file's own:
    when the writer before has renamed or removed it, what was waited for is no longer the file of that name.
    """
    part = target.with_name(f".{target.name}.part")
    while True:
        handle = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if _is_still(part, handle):
                yield part, handle
                return
        finally:
            os.close(handle)


def _is_still(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


@contextmanager
def told(operation: str, subject: str) -> Iterator[None]:
    """Errors of files, stores and Polars, told as errors of voxkeep."""
    try:
        yield
    except VoxkeepError:
        raise
    except (TimeoutError, ConnectionError) as error:
        raise TransientError(
            operation=operation,
            subject=subject,
            cause=str(error),
            remedy="check that the store answers, then run it again",
        ) from None
    except (OSError, pl.exceptions.PolarsError) as error:
        raise PermanentError(
            operation=operation,
            subject=subject,
            cause=" ".join(str(error).split()),
            remedy="check space, permissions and the object; repositories can rebuild the catalog",
        ) from None
