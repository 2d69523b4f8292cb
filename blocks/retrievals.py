"""What somebody has asked for by a list: each request a folder that says what is wanted, how far it is, and holds it.

The folder's name follows from the request, so that the same request again goes on with what was begun, and one that
is complete begins anew. A flow is given the name and nothing else: no number stands in Prefect's database.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from secrets import token_hex
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from blocks.errors import PermanentError
from blocks.progress import Progress
from blocks.trail import Entry

# What was found is kept so long, for it holds recordings outside the object store.
KEPT_DAYS = 14
_NAME = re.compile(r"[0-9a-f]{12}-[0-9]{3}")
_PLAN = "request.json"
_MOST_ALIKE = 1000
_HASHES_A_ROW = 500


class Request(BaseModel):
    """What is wanted, by whom, and in which form."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    business: str = Field(description="The business whose calls are looked through.")
    by: str = Field(description="Who asks, as the audit trail names them.")
    entries: tuple[str, ...] = Field(min_length=1, description="What is looked for, in the list's order.")
    field: str = Field(description="`number`, `call`, or the name of an attribute such as 案件编号.")
    since: date | None = Field(None, description="First business day; None: from the first on.")
    until: date | None = Field(None, description="Last business day; None: to the last.")
    name: str = Field(description="How recordings are named, with fields (reconcile.retrieval).")
    index: Literal["xlsx", "csv"] = Field("xlsx", description="What the list of them is.")
    language: Literal["zh", "en"] = Field("zh", description="Language of that list.")

    def digest(self) -> str:
        """12 hex digits that are the same for the same request."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]


def entries_of(request: Request, hashes: tuple[str, ...], address: str = "") -> Iterator[Entry]:
    """What the audit trail says of the request, before anything is done: its numbers as hashes, so many a row."""
    details = {
        "do": "ask", "entries": len(request.entries), "field": request.field, "since": str(request.since or ""),
        "until": str(request.until or ""),
    }  # fmt: skip
    for begins in range(0, max(len(hashes), 1), _HASHES_A_ROW):
        some = hashes[begins : begins + _HASHES_A_ROW]
        yield Entry(request.by, "retrieve", request.business, request.digest(), address, some, details)


class Retrieval:
    """One request in its folder; `asked_at` is when it was made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = folder.name

    @property
    def request(self) -> Request:
        """What is wanted."""
        return Request.model_validate(self._plan()["request"])

    @property
    def asked_at(self) -> datetime:
        """When it was asked for."""
        return datetime.fromisoformat(self._plan()["asked_at"])

    @property
    def lock(self) -> Path:
        """The lock of whoever is at it."""
        return self.folder / "lock"

    @property
    def progress(self) -> Progress:
        """How far it is."""
        return Progress(self.folder / "progress.json", self.lock)

    @property
    def result(self) -> Path:
        """The ZIP file; it is there whole or not at all."""
        return self.folder / "result.zip"

    @property
    def rows(self) -> Path:
        """Which recordings it holds, as Parquet; fixed before the first is fetched."""
        return self.folder / "rows.parquet"

    @property
    def unfound(self) -> Path:
        """What was not found before anything was fetched, and why, as Parquet."""
        return self.folder / "unfound.parquet"

    @property
    def absent(self) -> Path:
        """The same with what could not be fetched: what the ZIP file's list tells."""
        return self.folder / "absent.parquet"

    @property
    def figures(self) -> Path:
        """What came of it in figures, as JSON; there before the ZIP file."""
        return self.folder / "figures.json"

    @property
    def files(self) -> Path:
        """The folder of what goes into the ZIP file."""
        return self.folder / "files"

    @property
    def work(self) -> Path:
        """The folder of what is being fetched right now."""
        return self.folder / "work"

    @property
    def saved_as(self) -> str:
        """What the ZIP file is called when it leaves; no number stands in it."""
        return f"recordings-{self.asked_at.astimezone():%Y%m%d-%H%M}-{self.name[:6]}.zip"

    def is_over(self) -> bool:
        """Whether its result is there, or was and is kept no more."""
        return self.result.is_file() or self._gone.exists()

    def let_go(self) -> None:
        """Remove the result: what was asked, and what was not found, stays."""
        self._gone.touch()
        self.result.unlink(missing_ok=True)

    @property
    def _gone(self) -> Path:
        return self.folder / "kept-no-more"

    def _plan(self) -> dict[str, str]:
        content: dict[str, str] = json.loads((self.folder / _PLAN).read_text())
        return content


class Retrievals:
    """All of one business."""

    def __init__(self, storage: Path, business: str) -> None:
        self.root = storage / "retrievals" / business

    def ask(self, request: Request) -> Retrieval:
        """The same request where it is not complete yet; a new one else. Twice at the same time makes one."""
        for number in range(_MOST_ALIKE):
            retrieval = Retrieval(self.root / f"{request.digest()}-{number:03}")
            if self._make(retrieval, request) or not retrieval.is_over():
                return retrieval
        raise PermanentError(
            operation="ask for recordings", subject=request.digest(), cause=f"it was asked {_MOST_ALIKE} times",
            remedy="take the recordings of an earlier time",
        )  # fmt: skip

    def _make(self, retrieval: Retrieval, request: Request) -> bool:
        if retrieval.folder.exists():
            return False
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        aside = self.root / f".{retrieval.name}.{token_hex(4)}"
        aside.mkdir(mode=0o700)
        plan = {"request": request.model_dump(mode="json"), "asked_at": datetime.now(UTC).isoformat()}
        (aside / _PLAN).write_text(json.dumps(plan, ensure_ascii=False))
        try:
            aside.rename(retrieval.folder)
        except OSError:  # another has made it
            shutil.rmtree(aside)
            return False
        return True

    def get(self, name: str) -> Retrieval | None:
        """The retrieval of this name."""
        retrieval = Retrieval(self.root / name) if _NAME.fullmatch(name) else None
        return retrieval if retrieval and retrieval.folder.is_dir() else None

    def newest(self) -> Iterator[Retrieval]:
        """All of them, the newest first."""
        found = [Retrieval(folder) for folder in self.root.glob("*-*") if _NAME.fullmatch(folder.name)]
        yield from sorted(found, key=lambda one: one.asked_at, reverse=True)

    def let_go(self, now: datetime) -> None:
        """Remove the results of requests older than `KEPT_DAYS`."""
        for retrieval in self.newest():
            if retrieval.result.is_file() and retrieval.asked_at < now - timedelta(days=KEPT_DAYS):
                retrieval.let_go()
