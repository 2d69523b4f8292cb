"""The recordings on the central disk as restic has restored them.

The object store may hold the same bytes under a second name, so no file here is ever written to: one that is not as
it should be is removed, and then restored anew.
"""

import os
import stat
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from ctypes import CDLL
from pathlib import Path

import polars as pl

from blocks.contents import mtime_ns
from blocks.errors import PermanentError
from blocks.paths import join_below

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


def remove_other_versions(root: Path, wanted: pl.DataFrame) -> int:
    """Remove the files below `root` that are there, but not of the wanted size and mtime; returns how many.

    `wanted` has path, size and mtime. Symbolic links on the way are removed, too, and never followed.

    Raises:
        PermanentError: one cannot be removed.
    """
    rows = wanted.select("path", "size", pl.col("mtime").to_physical()).rows()
    versions = {path: (size, mtime) for path, size, mtime in rows}
    return _remove(root, versions, lambda path, found: (found.st_size, mtime_ns(found) // 1000) != versions[path])


def remove_files(root: Path, paths: Iterable[str]) -> int:
    """Remove these files below `root`, as `remove_other_versions` does; returns how many were there."""
    return _remove(root, paths, lambda _path, _found: True)


@contextmanager
def flushing(root: Path) -> Iterator[None]:
    """Have the disk hold what was restored when this ends, while other work goes on: restic leaves that to the kernel.

    After a power cut, files would be empty that the catalog calls restored.
    """
    with ThreadPoolExecutor(1) as threads:
        flushed = threads.submit(flush, root)
        yield
        flushed.result()


def flush(folder: Path) -> None:
    """Have the disk on which `folder` lies hold all that was written to it."""
    with suppress(FileNotFoundError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            CDLL(None).syncfs(handle)
        finally:
            os.close(handle)


def _remove(root: Path, paths: Iterable[str], is_wrong: Callable[[str, os.stat_result], bool]) -> int:
    folders: dict[bytes, list[tuple[bytes, str]]] = defaultdict(list)
    for path in paths:
        folder, _, name = join_below(root, path).rpartition(b"/")
        folders[folder].append((name, path))
    removed = 0
    for folder, files in folders.items():
        with _told(folder), suppress(FileNotFoundError, NotADirectoryError), _opened(root, folder) as handle:
            for name, path in files:
                with suppress(FileNotFoundError):
                    found = os.stat(name, dir_fd=handle, follow_symlinks=False)
                    if not stat.S_ISREG(found.st_mode) or is_wrong(path, found):
                        (os.rmdir if stat.S_ISDIR(found.st_mode) else os.unlink)(name, dir_fd=handle)
                        removed += 1
    return removed


@contextmanager
def _opened(root: Path, folder: bytes) -> Iterator[int]:
    """The folder below `root`, reached without following a link: what is no folder on the way is removed."""
    handle = os.open(root, _FOLDER)
    try:
        for part in filter(None, folder[len(bytes(root)) :].split(b"/")):
            above = handle
            try:
                handle = os.open(part, _FOLDER, dir_fd=above)
            except NotADirectoryError:
                os.unlink(part, dir_fd=above)
                raise
            os.close(above)
        yield handle
    finally:
        os.close(handle)


@contextmanager
def _told(folder: bytes) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PermanentError(
            operation="make room for recordings that are to be restored",
            subject=os.fsdecode(folder),
            cause=error.strerror or str(error),
            remedy="look what is there on the central disk: remove it, or give it to the user who runs voxkeep",
        ) from None
