"""The pages of calls: the search with its results, one call with all that is known of it, and a list to take along."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from typing import Annotated, Any

import polars as pl
from fastapi import APIRouter, Depends, Response
from fastapi.responses import RedirectResponse, StreamingResponse

from blocks.query import CallQuery, Found, Place, every_page
from listen.asked import PAGE, Asked, find, queries
from listen.house import Office
from listen.visit import AbsentError, Visit, told, visit_of
from reconcile.call_list import call_lists
from reconcile.frames import SNAPSHOT_FILES, STATIONS, TRACE
from reconcile.spreadsheets import csv_for_people

router = APIRouter()
Visiting = Annotated[Visit, Depends(visit_of)]
_TOKEN_SECONDS = 12 * 3600
# A call's legs are at most so far apart; its business day is at most so far from the day in UTC.
_AROUND = timedelta(days=1)
_MOST_LEGS = 100
MOST_EXPORTED = 20_000
_PAGE_EXPORTED = 1000


@router.get("/calls")
def calls(visit: Visiting, q: str = "") -> Response:
    """The search form; with the results, where `q` is the token of a search."""
    visit.require("search")
    offices = visit.offices("search")
    content = visit.house.tokens.read("query", q, _TOKEN_SECONDS) if q else None
    if content is None:
        return _page(visit, offices, Asked())
    asked = Asked.of(content["asked"])
    if not visit.house.searches.allows(visit.person.name):
        return _page(visit, offices, asked, problem="search_too_often", status=429)
    after, begins = _place(content.get("after")), int(content.get("begins", 1))
    _record_search(visit, "search", offices, asked, {"from": begins})
    try:
        found = find(offices, asked, after)
    except ValueError:
        return _page(visit, offices, asked, problem="bad_time", status=400)
    rows = found.calls.to_dicts()
    following = _token(visit, asked, found.after, begins + len(rows)) if found.after else None
    return _page(visit, offices, asked, rows=rows, found=found, begins=begins, following=following, token=q)


@router.post("/calls")
def search(visit: Visiting) -> Response:
    """Turn what was asked into a token, so that no number stands in an address."""
    visit.require("search")
    asked = Asked.of(visit.form)
    return RedirectResponse(f"/calls?q={_token(visit, asked)}" if asked.plain() else "/calls", 303)


def _page(
    visit: Visit, offices: dict[str, Office], asked: Asked, *, problem: str = "", status: int = 200, **content: object
) -> Response:
    empty: dict[str, Any] = {"rows": None, "found": None, "begins": 1, "following": None, "token": ""}
    sites = {name: title or name for office in offices.values() for name, title in office.sites.items()}
    return visit.page(
        "calls", status, offices=offices, sites=sites, asked=asked, problem=problem, size=PAGE,
        may_export=visit.person.may("export"), **{**empty, **content},
    )  # fmt: skip


def _token(visit: Visit, asked: Asked, after: Place | None = None, begins: int = 1) -> str:
    content: dict[str, Any] = {"asked": asked.plain()}
    if after is not None:
        content |= {"after": [after[0].isoformat() if after[0] else None, after[1]], "begins": begins}
    return visit.house.tokens.make("query", content)


def _place(after: list[str] | None) -> Place | None:
    return (datetime.fromisoformat(after[0]) if after[0] else None, after[1]) if after else None


def _record_search(visit: Visit, action: str, offices: dict[str, Office], asked: Asked, more: dict[str, Any]) -> None:
    """What was looked for, before it is looked for; numbers masked, and as hashes."""
    plain = asked.plain()
    typed = [plain[name] for name in ("number", "display_number") if name in plain]
    numbers = tuple(dict.fromkeys(office.plain(number) for number in typed for office in offices.values()))
    visit.record(action, business=asked.business, numbers=numbers, details=told({**plain, **more}))


@router.post("/calls/export")
def export(visit: Visiting) -> Response:
    """The list of results as CSV, with whole numbers; at most so many calls."""
    visit.require("export")
    offices = visit.offices("export")
    content = visit.house.tokens.read("query", visit.form.get("q", ""), _TOKEN_SECONDS)
    if content is None:
        raise AbsentError
    asked = Asked.of(content["asked"])
    _record_search(visit, "export", offices, asked, {"most": MOST_EXPORTED})
    pages = every_page(queries(offices, asked, None, _PAGE_EXPORTED))
    name = f"calls-{datetime.now(UTC):%Y%m%d-%H%M%S}.csv"
    return StreamingResponse(
        _csv(pages, offices), media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )  # fmt: skip


def _csv(pages: Iterator[Found], offices: dict[str, Office]) -> Iterator[bytes]:
    """The list as CSV that a spreadsheet opens rightly, some calls at a time."""
    zones = {name: str(office.zone) for name, office in offices.items()}
    for number, found in enumerate(islice(pages, MOST_EXPORTED // _PAGE_EXPORTED)):
        for place, calls in enumerate(call_lists(found.calls, zones)):
            yield csv_for_people(calls, is_first=number == place == 0)


@dataclass(frozen=True)
class Call:
    """One leg as it was asked for, with the other legs of its call and where all of it lies."""

    office: Office
    document: dict[str, Any]
    legs: list[dict[str, Any]]
    traces: dict[str, dict[str, Any]]

    def numbers(self) -> tuple[str, ...]:
        """The numbers of the whole call, as they are compared."""
        return tuple(dict.fromkeys(number for leg in self.legs for number in leg["numbers"] or ()))


@router.get("/call/{business}/{day}/{call_uid}")
def call(visit: Visiting, business: str, day: date, call_uid: str, q: str = "") -> Response:
    """One call, with masked numbers."""
    visit.require("open", business)
    document = document_of(visit, business, day, call_uid)
    visit.record(
        "open", business=business, subject=call_uid, numbers=tuple(document["numbers"] or ()),
        details={"call_id": document["call_id"][:64]},
    )  # fmt: skip
    return _call_page(visit, document, whole=False, q=q)


@router.post("/call/{business}/{day}/{call_uid}/unmask")
def unmask(visit: Visiting, business: str, day: date, call_uid: str) -> Response:
    """The same call with whole numbers."""
    visit.require("unmask", business)
    document = document_of(visit, business, day, call_uid)
    visit.record("unmask", business=business, subject=call_uid, numbers=tuple(document["numbers"] or ()))
    return _call_page(visit, document, whole=True, q=visit.form.get("q", ""))


def document_of(visit: Visit, business: str, day: date, call_uid: str) -> dict[str, Any]:
    """The search document of this leg, of a business that is this person's.

    Raises:
        AbsentError: there is none.
    """
    office = visit.house.offices.get(business)
    if office is None:
        raise AbsentError
    noon = datetime.combine(day, time(12), UTC)
    near = CallQuery(
        businesses=(business,), call_uids=(call_uid,), start=noon - 2 * _AROUND, end=noon + 2 * _AROUND, limit=1
    )
    for query in (near, CallQuery(businesses=(business,), call_uids=(call_uid,), limit=1)):
        rows = office.index.search(query).calls.to_dicts()
        if rows:
            return rows[0]
    raise AbsentError


def _call_page(visit: Visit, document: dict[str, Any], *, whole: bool, q: str) -> Response:
    office = visit.house.offices[document["business"]]
    found = Call(office, document, _legs(office, document), _traces(office, document))
    return visit.page(
        "call", call=found, office=office, whole=whole, q=q, stations=STATIONS,
        legs=[_shown(leg) for leg in found.legs],
        may={action: visit.person.may(action, office.business) for action in ("play", "unmask", "download")},
    )  # fmt: skip


def _legs(office: Office, document: dict[str, Any]) -> list[dict[str, Any]]:
    """Every leg of the call, in the order in which they began."""
    started = document["started_at"]
    query = CallQuery(
        businesses=(office.business,), sites=(document["site"],), call_id=document["call_id"],
        start=started - _AROUND if started else None, end=started + _AROUND if started else None, limit=_MOST_LEGS,
    )  # fmt: skip
    found = office.index.search(query).calls.sort("started_at", "leg", nulls_last=True).to_dicts()
    return found if any(leg["call_uid"] == document["call_uid"] for leg in found) else [document, *found]


def _shown(leg: dict[str, Any]) -> dict[str, Any]:
    """A leg with its attributes and notes unpacked."""
    return {**leg, "attributes": json.loads(leg["attributes"] or "{}"), "notes": json.loads(leg["notes"] or "[]")}


def _traces(office: Office, document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The row of the trace of each recording, with the snapshots that hold it; none before the day is reconciled."""
    business, site, day = document["business"], document["site"], document["day"]
    is_ours = pl.col("call_id") == document["call_id"]
    rows = office.catalog.scan(TRACE.name, business, site, [day], TRACE.schema).filter(is_ours).collect()
    traces = {row["recording_id"]: row for row in rows.drop_nulls("recording_id").iter_rows(named=True)}
    snapshots = (
        office.catalog.scan(SNAPSHOT_FILES.name, business, site, [day], SNAPSHOT_FILES.schema)
        .filter(pl.col("recording_id").is_in(list(traces)))
        .group_by("recording_id")
        .agg(pl.col("snapshot_id").unique().sort())
        .collect()
    )
    held = dict(snapshots.iter_rows())
    return {name: {**row, "snapshots": held.get(name, [])} for name, row in traces.items()}
