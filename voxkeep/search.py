"""`voxkeep find`: calls by what is known of them, over every business that this machine knows."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from rich.table import Table

from blocks.errors import SettingsError
from blocks.query import CallIndex, CallQuery, Place, every_page, search_all
from listen.typed import comparable
from reconcile.call_list import call_lists
from reconcile.spreadsheets import csv_for_people
from voxkeep.console import table
from voxkeep.remembered import remembered, remembered_business
from voxkeep.services import places
from voxkeep.settings import Settings

_NO_START = "-"
_COLUMNS = (
    "business", "site", "day", "call_id", "leg", "call_uid", "talk_seconds", "extension", "caller", "callee",
    "display_number",
)  # fmt: skip


@dataclass(frozen=True)
class Wanted:
    """What `voxkeep find` was asked for: texts as they were typed; times without zone are the business's."""

    query: CallQuery
    business: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class Hits:
    """Calls as machines read them, how many fit in all, and where the next page begins."""

    calls: list[dict[str, Any]]
    total: int
    exact: bool
    after: str | None

    def plain(self) -> dict[str, Any]:
        """The same for JSON."""
        return {"calls": self.calls, "total": self.total, "exact": self.exact, "after": self.after}


def businesses(home: Path, business: str | None) -> list[Settings]:
    """The settings of this business, or of every one that was applied.

    Raises:
        SettingsError: there is none.
    """
    if business:
        return [remembered_business(home, business)]
    known = list(remembered(home).values())
    if not known:
        remembered_business(home, "any")
    return known


def find_calls(home: Path, wanted: Wanted, *, everything: bool = False) -> Hits:
    """The calls wanted, newest first: a page, or everything from there on.

    Raises:
        SettingsError: nothing narrows the search.
    """
    asked = _asked(home, wanted)
    founds = list(every_page(asked)) if everything else [search_all(asked)]
    zones = {settings.business: ZoneInfo(settings.time_zone) for settings in businesses(home, wanted.business)}
    calls = [
        _call(row, zones.get(row["business"], UTC)) for found in founds for row in found.calls.iter_rows(named=True)
    ]
    return Hits(calls, founds[0].total, founds[0].exact, written_place(founds[-1].after))


def export_calls(home: Path, wanted: Wanted, file: Path, *, everything: bool = False) -> int:
    """Write the calls wanted as CSV for a spreadsheet; how many. The file is there when it is complete.

    Raises:
        SettingsError: nothing narrows the search.
    """
    asked = _asked(home, wanted)
    zones = {settings.business: settings.time_zone for settings in businesses(home, wanted.business)}
    part = file.with_name(f".{file.name}.part")
    count = 0
    with part.open("wb") as handle:
        for found in every_page(asked) if everything else iter([search_all(asked)]):
            for calls in call_lists(found.calls, zones):
                handle.write(csv_for_people(calls, is_first=not handle.tell()))
                count += calls.height
    part.replace(file)
    return count


def _asked(home: Path, wanted: Wanted) -> list[tuple[CallIndex, CallQuery]]:
    """Each business's index, and what it is asked: by its own number rules and in its own time zone."""
    if wanted.since is None and wanted.until is None and not _narrows(wanted.query):
        raise SettingsError(
            operation="find calls",
            subject="no condition",
            cause="that would be every call",
            remedy="give a number, --call, --attribute, --words, --since or any other condition",
        )
    return [(places(settings).index, _of(settings, wanted)) for settings in businesses(home, wanted.business)]


def _narrows(query: CallQuery) -> bool:
    """Whether anything but the place in the list of all calls is asked for."""
    everything = CallQuery(sites=query.sites, after=query.after, limit=query.limit)
    return comparable(query, []) != everything


def _of(settings: Settings, wanted: Wanted) -> CallQuery:
    zone = ZoneInfo(settings.time_zone)
    query = comparable(wanted.query, [settings.numbers])
    bounds = {"start": wanted.since, "end": wanted.until}
    local = {name: bound.replace(tzinfo=bound.tzinfo or zone) for name, bound in bounds.items() if bound}
    return CallQuery(**(vars(query) | local | {"businesses": (settings.business,)}))


def _call(row: dict[str, Any], zone: tzinfo) -> dict[str, Any]:
    """One document as machines read it: local times, attributes and notes unpacked."""
    started = row["started_at"]
    return {
        **{name: row[name] for name in _COLUMNS},
        "started_at": started.astimezone(zone).isoformat() if started else None,
        "attributes": json.loads(row["attributes"]),
        "notes": json.loads(row["notes"]),
        "recordings": row["recordings"],
    }


def written_place(place: Place | None) -> str | None:
    """A place in the list of calls as text; `read_place` reads it again."""
    if place is None:
        return None
    started_at, call_uid = place
    return f"{started_at.isoformat() if started_at else _NO_START},{call_uid}"


def read_place(text: str) -> Place:
    """The place that `written_place` wrote.

    Raises:
        SettingsError: this is none.
    """
    started_at, _, call_uid = text.partition(",")
    try:
        return (None if started_at == _NO_START else datetime.fromisoformat(started_at).astimezone(UTC)), call_uid
    except ValueError:
        raise SettingsError(
            operation="continue a list of calls",
            subject="--after",
            cause="it is not what an earlier answer gave",
            remedy="copy the text behind `--after` from the end of the page before",
        ) from None


def how_many(hits: Hits) -> str:
    """`12 of 340`, or `50 of more than 10,000`."""
    return f"{len(hits.calls):,} of {'' if hits.exact else 'more than '}{hits.total:,}"


def show_calls(hits: Hits) -> Table:
    """The calls as a table."""
    rows = [
        [
            call["call_id"],
            (call["started_at"] or "")[:19].replace("T", " "),
            call["extension"] or "",
            call["callee"] or call["caller"] or "",
            f"{call['talk_seconds'] or 0:g} s",
            len(call["recordings"]),
        ]
        for call in hits.calls
    ]
    title = f"calls: {how_many(hits)}" if rows else "no call fits"
    return table(title, ["call", "started", "ext.", "number", "talked", "rec."], rows)
