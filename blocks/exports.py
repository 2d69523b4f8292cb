"""Where exports of packs lie, how far one is, and what was sent: read from their folders."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from blocks.progress import Progress

_NAME = re.compile(r"(\d{4}-\d\d-\d\d)--(\d{4}-\d\d-\d\d)\.\d{3}")
Period = tuple[date, date]


def exports_folder(storage: Path, business: str, pack: str) -> Path:
    """The folder of all exports of one pack."""
    return storage / "exports" / business / pack


def lock_file(storage: Path, business: str, what: str) -> Path:
    """The lock file of one kind of work."""
    return storage / "locks" / f"{business}-{what}.lock"


def export_progress(storage: Path, business: str, pack: str, period: Period) -> Progress:
    """How far the check or export of this period is, or how the last one ended."""
    file = storage / "progress" / business / f"{pack}--{period[0]}--{period[1]}.json"
    return Progress(file, lock_file(storage, business, f"export-{pack}"))


def last_period(storage: Path, business: str, pack: str) -> Period | None:
    """The period of which something was told last."""
    files = (storage / "progress" / business).glob(f"{pack}--????-??-??--????-??-??.json")
    newest = max(files, key=lambda file: file.stat().st_mtime, default=None)
    if newest is None:
        return None
    since, until = newest.stem.removeprefix(f"{pack}--").split("--")
    return date.fromisoformat(since), date.fromisoformat(until)


@dataclass(frozen=True)
class Exported:
    """One export: its folder's name, its period, and its receipt; None: not everything has arrived yet."""

    name: str
    period: Period
    receipt: dict[str, Any] | None

    @property
    def sent_at(self) -> str:
        """When its last part had arrived."""
        return max((part["sent_at"] for part in (self.receipt or {}).get("parts", ())), default="")

    @property
    def sent_again(self) -> list[str]:
        """When it was sent again."""
        return sorted({when for part in (self.receipt or {}).get("parts", ()) for when in part.get("sent_again", ())})


def exported(storage: Path, business: str, pack: str) -> Iterator[Exported]:
    """The exports of one pack, the newest period first."""
    folders = exports_folder(storage, business, pack)
    for folder in sorted(folders.glob("*--*.???"), reverse=True):
        if found := _NAME.fullmatch(folder.name):
            receipt = folder / "receipt.json"
            yield Exported(
                folder.name,
                (date.fromisoformat(found[1]), date.fromisoformat(found[2])),
                json.loads(receipt.read_text()) if receipt.is_file() else None,
            )
