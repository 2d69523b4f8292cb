"""`voxkeep retrieve`: a list becomes a request on record, and what the flow made of it a file."""

import shutil
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

from blocks.errors import PermanentError, SettingsError
from blocks.retrievals import Request, Retrieval, Retrievals, entries_of
from reconcile.asked_list import read_list
from reconcile.numbers import searched
from reconcile.retrieval import DEFAULT_NAME, pack_of
from voxkeep.audit_trail import audit_log, known_businesses, me, page_settings, trail_of
from voxkeep.remembered import remembered_business


@dataclass(frozen=True)
class Asked:
    """What the command was given."""

    file: Path
    field: str
    since: date | None
    until: date | None
    name: str | None
    index: Literal["xlsx", "csv"]


def ask(home: Path, business: str, asked: Asked) -> Retrieval:
    """The request, put on record; the one that was interrupted, where the same was asked before.

    Raises:
        SettingsError: there is no such business, or the list cannot be read.
        ListError, RuleError: the list or the name cannot be.
    """
    settings = remembered_business(home, business)
    name = asked.name or DEFAULT_NAME
    language: Literal["zh", "en"] = "en" if settings.language == "en" else "zh"
    pack_of(name, asked.index, asked.field, language)
    request = Request(
        business=business, by=me(), entries=tuple(read_list(_content(asked.file), asked.file.name, asked.field)),
        field=asked.field, since=asked.since, until=asked.until, name=name, index=asked.index, language=language,
    )  # fmt: skip
    page = page_settings(home)
    numbers = [searched(entry, [settings.numbers]) for entry in request.entries] if request.field == "number" else []
    trail = trail_of(home, page)
    for entry in entries_of(request, audit_log(home, page, known_businesses(home)).hashes(numbers)):
        trail.append(entry)
    return Retrievals(Path(settings.storage), business).ask(request)


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise SettingsError(
            operation="read the list", subject=str(file), cause=error.strerror or type(error).__name__,
            remedy="name a file that is there",
        ) from None  # fmt: skip


def deliver(retrieval: Retrieval, target: Path) -> None:
    """Make `target` the ZIP file; it is there whole or not at all.

    Raises:
        PermanentError: it cannot be written there.
    """
    part = target.with_name(f".{target.name}.part")
    try:
        shutil.copyfile(retrieval.result, part)
        part.replace(target)
    except OSError as error:
        raise PermanentError(
            operation="write the ZIP file", subject=str(target), cause=error.strerror or type(error).__name__,
            remedy=f"it lies whole in {retrieval.result}: run the command again with another --out, or copy it",
        ) from None  # fmt: skip
