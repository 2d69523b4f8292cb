"""Deleting recordings at the source, as a signed list allows: the only thing of voxkeep that changes a source disk.

A file goes only if its path, size, time of change and SHA-256 are those of the list, all at the moment of deletion.
No symbolic link is followed, at whatever place of a path, so nothing outside the root can be reached.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from blocks.contents import mtime_ns
from blocks.errors import PermanentError
from blocks.paths import join_below

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
DELETED, WOULD_GO, NOT_THERE = "deleted", "may be deleted", "it is not there"


class Named(NamedTuple):
    """A file as the list names it."""

    path: str
    size: int
    mtime_us: int
    sha256: str


def purge(root: Path, files: Iterable[Named], before: Callable[[Named], None] | None) -> Iterator[tuple[Named, str]]:
    """Delete each of these files below the root that is still as it is named; each with what became of it.

    `DELETED`; anything else says why the file stays. `before` is told of each just before it goes; None: nothing goes,
    and what may is `WOULD_GO`.

    Raises:
        PermanentError: the root is not there.
    """
    try:
        handle = os.open(root, _FOLDER)
    except OSError as error:
        raise PermanentError(
            operation="purge a source disk", subject=str(root), cause=error.strerror or str(error),
            remedy="mount the disk, or see whether this is the machine that the list is for",
        ) from None  # fmt: skip
    try:
        for file in files:
            yield file, _purge(handle, root, file, before)
    finally:
        os.close(handle)


def _purge(root: int, base: Path, file: Named, before: Callable[[Named], None] | None) -> str:
    try:
        *folders, name = join_below(base, file.path)[len(bytes(base)) + 1 :].split(b"/")
        with _below(root, folders) as folder, _opened(folder, name) as handle:
            status = os.fstat(handle)
            refused = _refusal(status, handle, file)
            now = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if refused or not _is_same(status, now) or not _is_same(status, os.fstat(handle)):
                return refused or "it changed while it was looked at"
            if before is None:
                return WOULD_GO
            before(file)
            os.unlink(name, dir_fd=folder)
            return DELETED
    except FileNotFoundError:
        return NOT_THERE
    except PermanentError:
        return "its path leaves the root"
    except OSError as error:
        return f"it is not reached without following links: {error.strerror}"


def _refusal(status: os.stat_result, handle: int, file: Named) -> str:
    """Why the open file is not the one that the list names; empty where it is."""
    if status.st_size != file.size:
        return "its size is another"
    if mtime_ns(status) // 1000 != file.mtime_us:
        return "it was changed since"
    with os.fdopen(os.dup(handle), "rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    return "" if found == file.sha256 else "its bytes are others"


def _is_same(one: os.stat_result, other: os.stat_result) -> bool:
    """Whether it is the same file, untouched: whatever changes one moves its ctime."""
    return os.path.samestat(one, other) and one.st_ctime_ns == other.st_ctime_ns


@contextmanager
def _below(root: int, folders: list[bytes]) -> Iterator[int]:
    """The folder below the root, reached without following a link."""
    handle = os.dup(root)
    try:
        for part in folders:
            above = handle
            handle = os.open(part, _FOLDER, dir_fd=above)
            os.close(above)
        yield handle
    finally:
        os.close(handle)


@contextmanager
def _opened(folder: int, name: bytes) -> Iterator[int]:
    """The plain file in the folder; what is none is not even opened."""
    if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
        raise OSError(errno.EINVAL, "it is no plain file")
    handle = os.open(name, _FILE, dir_fd=folder)
    try:
        yield handle
    finally:
        os.close(handle)
