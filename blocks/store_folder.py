"""The object store in a folder: an object is a second name of the restored file, where the disk allows that.

docs/decisions/objects-are-links.md
"""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from secrets import token_hex

from blocks.restored import flush
from blocks.store_objects import CHUNK, LISTED, Publication, RefusedError, check_source, checked, opened, other_bytes

# Bytes: below, a file takes less time than handing over the interpreter's lock.
_SMALL = 256 * 1024
# Why a file cannot have a second name there: other disk, too many names, a disk without links, a file of somebody
# else, no /proc.
_NO_LINK = (
    errno.EXDEV, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EPERM, errno.EACCES, errno.ENOENT
)  # fmt: skip
_READ_ONLY = 0o444


class FolderShelf:
    """Objects as files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        # Each folder that was made, and the device that it lies on.
        self._folders: dict[str, int] = {}

    def workers(self, items: list[Publication]) -> int:
        """The kernel does the work of large files; of small ones, threads spend more time waiting for each other."""
        mean = sum(item.size for item in items) / max(len(items), 1)
        return 1 if mean < _SMALL else os.cpu_count() or 1

    def expect(self, _items: list[Publication], _workers: int) -> None:
        """Nothing to do: a disk answers or fails."""

    def create(self) -> None:
        """Make the folder."""
        self.root.mkdir(parents=True, exist_ok=True)

    def put(self, item: Publication) -> bool:
        """Make the object; False where it is there already."""
        target = f"{self.root}/{checked(item.key)}"
        folder = target.rpartition("/")[0]
        if folder not in self._folders:
            self.root.stat()  # a disk that is not mounted must not be replaced by a folder of its name
            Path(folder).mkdir(parents=True, exist_ok=True)
            self._folders[folder] = os.stat(folder).st_dev  # noqa: PTH116  # beside its like
        if os.path.exists(target):  # noqa: PTH110  # twice as fast, for every object
            return _same(target, item)
        try:
            with opened(item) as file:
                if os.fstat(file.fileno()).st_dev != self._folders[folder] or not _link(item, file, target):
                    _copy(item, file, target)
        except FileExistsError:
            return _same(target, item)
        return True

    def settle(self) -> None:
        """Have the disk hold what was written: after a power cut, an empty file could never be replaced.

        All of the disk, as restic leaves the bytes of a linked file to the kernel.
        """
        flush(self.root)

    def listing(self, prefix: str) -> Iterator[LISTED]:
        """The objects below this folder of the keys; what is still being written is none."""
        self.root.stat()
        folders = [f"{self.root}/{prefix}".rstrip("/")]
        while folders:
            with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folders.pop()) as found:
                for entry in found:
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                        continue
                    status = entry.stat(follow_symlinks=False)
                    key = os.fsencode(entry.path).decode(errors="replace")[len(str(self.root)) + 1 :]
                    yield key, status.st_size, None, datetime.fromtimestamp(status.st_mtime, UTC)

    def get(self, key: str) -> Iterator[bytes]:
        """The object's bytes."""
        with (self.root / key).open("rb", buffering=0) as file:
            while piece := file.read(CHUNK):
                yield piece


def _link(item: Publication, file: FileIO, target: str) -> bool:
    """Give the source a second name, made or refused in one step; False where that cannot be.

    What is linked is the open file that was proved, whatever has its name by now. Nobody can write to it any more,
    root excepted, by either name.
    """
    handle = file.fileno()
    mode = check_source(item, file).st_mode
    try:
        if not mode & stat.S_IWUSR:
            os.fchmod(handle, _READ_ONLY | stat.S_IWUSR)
        _remember(handle, item.metadata)
        os.fchmod(handle, _READ_ONLY)
        os.link(f"/proc/self/fd/{handle}", target, src_dir_fd=handle, follow_symlinks=True)
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        return False
    return True


def _copy(item: Publication, file: FileIO, target: str) -> None:
    """Copy the source; the copy gets its name when it is whole and proved."""
    file.seek(0)
    with _nameless(target.rpartition("/")[0]) as (handle, name):
        digest = hashlib.sha256()
        while piece := file.read(CHUNK):
            digest.update(piece)
            while piece:
                piece = piece[os.write(handle, piece) :]
        if digest.hexdigest() != item.sha256:
            raise other_bytes()
        _remember(handle, item.metadata)
        os.fchmod(handle, _READ_ONLY)
        os.link(name, target, src_dir_fd=handle, follow_symlinks=True)


@contextmanager
def _nameless(folder: str) -> Iterator[tuple[int, str]]:
    """A file in `folder` that vanishes with its writer, and the name by which it can be linked."""
    part = None
    try:
        handle = os.open(folder, os.O_TMPFILE | os.O_WRONLY, 0o644)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOTSUP):
            raise
        # NFS and some others have no nameless files; a hidden one is in no listing.
        part = f"{folder}/.{token_hex(8)}.part"
        handle = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    try:
        yield handle, str(part or f"/proc/self/fd/{handle}")
    finally:
        os.close(handle)
        if part:
            Path(part).unlink()


def _same(target: str, item: Publication) -> bool:
    """False: it was there already. One of another size is damaged, which a person must see."""
    size = Path(target).stat().st_size
    if size != item.size:
        raise RefusedError(f"the object is there, but has {size} bytes instead of {item.size}")
    return False


def _remember(handle: int, metadata: dict[str, str]) -> None:
    for name, value in metadata.items():
        try:
            os.setxattr(handle, f"user.voxkeep.{name}", value.encode())
        except OSError as error:
            # A filesystem without attributes is good enough: the catalog has the names too.
            if error.errno != errno.ENOTSUP:
                raise
            return
