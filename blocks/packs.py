"""The packs of a restic repository by their own bytes: the name of each is the SHA-256 of its content.

https://restic.readthedocs.io/en/stable/design.html#repository-layout
"""

import hashlib
import re
from pathlib import Path

from blocks.errors import TransientError

_PACK = re.compile("[0-9a-f]{64}")


def damaged_packs(repository: Path, verified: Path) -> list[str]:
    """The packs of the repository in this folder whose bytes are not those that were written.

    Each is read once: the names of those that are good are added to the file `verified`, which is only speed.

    Raises:
        TransientError: a pack cannot be read; what was read before need not be read again.
    """
    verified.parent.mkdir(parents=True, exist_ok=True)
    known = set(verified.read_text(encoding="ascii").split()) if verified.exists() else set()
    damaged = []
    with verified.open("a", encoding="ascii") as good:
        for pack in sorted(repository.glob("data/*/*")):
            if not _PACK.fullmatch(pack.name) or pack.name in known:
                continue
            if _sha256(pack) == pack.name:
                good.write(f"{pack.name}\n")
            else:
                damaged.append(pack.name)
    return damaged


def _sha256(pack: Path) -> str:
    try:
        with pack.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise TransientError(
            operation="read a disk",
            subject=str(pack),
            cause=error.strerror or str(error),
            remedy="mount the disk again and run this again: it goes on where it was",
        ) from None
