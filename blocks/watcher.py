"""A recordings disk as it changes: which files are still written, and whether there is anything new.

Where the kernel tells (inotify), a file is whole when it was closed after writing. A network share tells nothing of
what others do there: it is looked through, and a file is whole when it has been quiet for a while.
"""

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Protocol

import psutil
from watchdog.events import (
    EVENT_TYPE_CLOSED,
    EVENT_TYPE_CREATED,
    EVENT_TYPE_DELETED,
    EVENT_TYPE_MODIFIED,
    EVENT_TYPE_MOVED,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

from blocks.disk import scan
from blocks.paths import escape_path

# File systems on which others write unseen: https://man7.org/linux/man-pages/man7/inotify.7.html, "Limitations".
_SHARED = ("nfs", "cifs", "smb", "9p", "fuse", "ceph", "afs", "gluster", "lustre", "gpfs", "vboxsf")
_WRITING = (EVENT_TYPE_CREATED, EVENT_TYPE_MODIFIED)
_DONE = (EVENT_TYPE_CLOSED, EVENT_TYPE_MOVED, EVENT_TYPE_DELETED)


class Watcher(Protocol):
    """What tells of a disk while it is watched.

    Attributes:
        since: From when on every write was seen; None where none is.
    """

    since: datetime | None

    def changed(self) -> bool:
        """Whether a file was finished, moved or removed since this was asked last."""

    def growing(self) -> list[str]:
        """The paths (escaped, below the root) of files that are being written, as far as that is seen."""


@contextmanager
def watching(root: Path, forget_seconds: float) -> Iterator[Watcher]:
    """Watch the root while the body runs.

    `forget_seconds`: a file that was neither closed nor written for so long is taken for finished.
    """
    told = Told(root, forget_seconds)
    observer = Observer()
    try:
        if is_shared(root) or not _started(observer, told, root):
            yield Looked(root)
        else:
            yield told
    finally:
        if observer.is_alive():
            observer.stop()
            observer.join()


def is_shared(folder: Path) -> bool:
    """Whether the folder lies on a file system on which other machines may write."""
    mounts = [part for part in psutil.disk_partitions(all=True) if folder.is_relative_to(part.mountpoint)]
    nearest = max(mounts, key=lambda part: len(part.mountpoint), default=None)
    return nearest is not None and nearest.fstype.startswith(_SHARED)


def _started(observer: BaseObserver, told: "Told", root: Path) -> bool:
    """Whether the kernel tells of every folder; it watches only so many (fs.inotify.max_user_watches)."""
    observer.start()
    try:
        observer.schedule(told, str(root), recursive=True)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EMFILE):
            return False
        raise
    return True


class Told(FileSystemEventHandler):
    """What the kernel tells."""

    def __init__(self, root: Path, forget_seconds: float) -> None:
        self.since: datetime | None = datetime.now(UTC)
        self._root = bytes(root) + b"/"
        self._forget_seconds = forget_seconds
        self._lock = Lock()
        self._written: dict[bytes, float] = {}
        self._changed = False

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Take in one thing that the kernel tells."""
        if event.is_directory:
            return
        with self._lock:
            if event.event_type in _WRITING:
                self._written[os.fsencode(event.src_path)] = time.monotonic()
            elif event.event_type in _DONE:
                self._written.pop(os.fsencode(event.src_path), None)
                self._changed = True

    def changed(self) -> bool:
        """Whether a file was finished, moved or removed since this was asked last."""
        with self._lock:
            forgotten = [path for path, at in self._written.items() if time.monotonic() - at > self._forget_seconds]
            for path in forgotten:
                del self._written[path]
            changed, self._changed = self._changed or bool(forgotten), False
        return changed

    def growing(self) -> list[str]:
        """The paths of files that were written and not closed."""
        with self._lock:
            return sorted(escape_path(path.removeprefix(self._root)) for path in self._written)


class Looked:
    """What one sees who looks through the disk."""

    def __init__(self, root: Path) -> None:
        self.since: datetime | None = None
        self._root = root
        self._seen: int | None = None

    def changed(self) -> bool:
        """Whether anything is other than it was when this was asked last."""
        files = scan(self._root).files.select("path", "size", "mtime_ns")
        seen, self._seen = self._seen, hash(files.hash_rows(seed=1).to_numpy().tobytes())
        return seen != self._seen

    def growing(self) -> list[str]:
        """Nothing: it is not seen."""
        return []
