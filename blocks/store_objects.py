"""What the object store publishes: keys, sources whose bytes are proved on the way in, and what came of it."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from io import FileIO
from pathlib import Path

from blocks.errors import SettingsError

CHUNK = 1 << 20
# An object in a listing: key, size, etag, last_modified.
LISTED = tuple[str, int, str | None, datetime]


@dataclass(frozen=True)
class Proof:
    """How a file stood when its SHA-256 was taken: while inode and ctime are the same, so are its bytes."""

    inode: int
    ctime_ns: int


@dataclass(frozen=True)
class Publication:
    """One object to publish: its key, the file with its bytes, their size and hash, and what to remember.

    Without a `proof` that the file has this hash, it is hashed once more.
    """

    key: str
    source: Path | bytes
    size: int
    sha256: str
    metadata: dict[str, str] = field(default_factory=dict)
    proof: Proof | None = None


@dataclass(frozen=True)
class Refused:
    """One object that was not published, and why; no file name, which may hold a number."""

    key: str
    cause: str


@dataclass(frozen=True)
class Published:
    """What a publication did: objects made, those that were there before, bytes, and what was refused."""

    published: int
    already: int
    bytes: int
    refused: tuple[Refused, ...]


class RefusedError(Exception):
    """This object cannot be published; the others can."""


@contextmanager
def opened(item: Publication) -> Iterator[FileIO]:
    """The item's source; a link is not followed.

    Raises:
        RefusedError: it cannot be read.
    """
    try:
        file = FileIO(item.source, opener=lambda path, flags: os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK))
    except OSError as error:
        raise RefusedError(f"the source cannot be read: {error.strerror}") from None
    with file:
        yield file


def check_source(item: Publication, file: FileIO) -> os.stat_result:
    """Prove that the source has the bytes that were told; returns how it stands.

    Raises:
        RefusedError: it has others.
    """
    status = os.fstat(file.fileno())
    is_proved = status.st_size == item.size and item.proof == Proof(status.st_ino, status.st_ctime_ns)
    if not is_proved and hashlib.file_digest(file, "sha256").hexdigest() != item.sha256:
        raise other_bytes()
    return status


def other_bytes() -> RefusedError:
    """What is said of a source that is not what was told."""
    return RefusedError("the source has other bytes than when it was hashed")


def checked(key: str) -> str:
    """`key`, which stays below the store.

    Raises:
        SettingsError: it would lead elsewhere, or to a hidden file.
    """
    if any(not part or part.startswith(".") for part in key.split("/")) or "\0" in key:
        raise SettingsError(
            operation="find an object",
            subject=repr(key),
            cause="this cannot be a key",
            remedy="make keys of folders and names that do not begin with a dot, with a slash between",
        )
    return key
