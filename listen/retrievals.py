"""The pages of retrieval 调取: a list goes in, one ZIP file with its recordings comes out."""

from datetime import date
from typing import Annotated, Any

import polars as pl
from fastapi import APIRouter, Depends, Response
from fastapi.responses import FileResponse, RedirectResponse

from blocks.retrievals import KEPT_DAYS, Request, Retrieval, Retrievals, entries_of
from listen.orders import order, percent, period_of, state_answer
from listen.visit import AbsentError, Visit, visit_of
from reconcile.asked_list import MOST_BYTES, MOST_ENTRIES, read_list
from reconcile.errors import ListError, RuleError
from reconcile.retrieval import DEFAULT_NAME, REASONS, pack_of

router = APIRouter()
Visiting = Annotated[Visit, Depends(visit_of)]
# So many are listed, and so many of what was not found are shown; the ZIP file has them all.
_LISTED, _SHOWN = 30, 200
_LONGEST_NAME = 300
_SETTLED = {"number": "number", "call": "call"}


@router.get("/retrievals")
def retrievals(visit: Visiting) -> Response:
    """The form, and what was asked for before."""
    visit.require("retrieve")
    visit.record("retrieve", details={"do": "look"})
    return _form_page(visit)


def _form_page(visit: Visit, status: int = 200, *, problem: str = "", places: dict[str, Any] | None = None) -> Response:
    offices = visit.offices("retrieve")
    found = [one for office in offices.values() for one in Retrievals(office.storage, office.business).newest()]
    newest = sorted(found, key=lambda one: one.asked_at, reverse=True)[:_LISTED]
    return visit.page(
        "retrievals", status, offices=offices, rows=[_summary(one) for one in newest], form=visit.form,
        problem=problem, places=places or {}, default_name=DEFAULT_NAME, most=MOST_ENTRIES,
        most_bytes=MOST_BYTES,
    )  # fmt: skip


def _summary(retrieval: Retrieval) -> dict[str, Any]:
    told = retrieval.progress.read()
    return {
        "name": retrieval.name, "request": retrieval.request, "asked_at": retrieval.asked_at, "told": told,
        "percent": percent(told) if told else 0, "is_there": retrieval.result.is_file(),
    }  # fmt: skip


@router.post("/retrievals")
def ask(visit: Visiting) -> Response:
    """Take the list, put it on record, and have its recordings fetched."""
    business = visit.form.get("business", "")
    visit.require("retrieve", business)
    office = visit.house.offices.get(business)
    if office is None:
        raise AbsentError
    if not visit.house.orders.allows(visit.person.name):
        return _form_page(visit, 429, problem="search_too_often")
    try:
        request = _request(visit, business)
    except ListError as error:
        return _form_page(visit, 400, problem=f"list_{error.why}", places={"most": f"{MOST_ENTRIES:,}"})
    except RuleError as error:
        return _form_page(visit, 400, problem="bad_name", places={"cause": error.cause})
    except ValueError:
        return _form_page(visit, 400, problem="bad_period")
    numbers = map(office.plain, request.entries) if request.field == "number" else ()
    for entry in entries_of(request, tuple(map(visit.house.hashes.of, numbers)), visit.address):
        visit.house.trail.append(entry)
    retrieval = Retrievals(office.storage, business).ask(request)
    _order(visit, retrieval)
    return RedirectResponse(f"/retrievals/{business}/{retrieval.name}", 303)


def _request(visit: Visit, business: str) -> Request:
    """What the form asks for.

    Raises:
        ListError, RuleError, ValueError: the list, the name or the period cannot be.
    """
    form = visit.form
    field = _SETTLED.get(form.get("field", ""), form.get("attribute", "").strip()[:60])
    name = form.get("name", "").strip()[:_LONGEST_NAME] or DEFAULT_NAME
    index = "csv" if form.get("index") == "csv" else "xlsx"
    if not field:
        raise ListError("no_field", "nobody has said what the entries are")
    pack_of(name, index, field, visit.language)
    content = visit.file.content if visit.file else form.get("entries", "").encode()
    entries = read_list(content, visit.file.name if visit.file else "pasted.txt", field)
    since, until = form.get("since", ""), form.get("until", "")
    if since and until:
        period_of(since, until)
    return Request(
        business=business, by=visit.person.name, entries=tuple(entries), field=field,
        since=date.fromisoformat(since) if since else None, until=date.fromisoformat(until) if until else None,
        name=name, index=index, language=visit.language,
    )  # fmt: skip


def _order(visit: Visit, retrieval: Retrieval) -> None:
    business = retrieval.request.business
    order(visit, "retrieve", {"business": business, "request": retrieval.name}, retrieval.progress, "retrieve")


def _retrieval(visit: Visit, business: str, name: str) -> Retrieval:
    """The request, of a business that is this person's.

    Raises:
        RefusedError, AbsentError: they may not, or there is none.
    """
    visit.require("retrieve", business)
    office = visit.house.offices.get(business)
    found = Retrievals(office.storage, business).get(name) if office else None
    if found is None:
        raise AbsentError
    return found


@router.get("/retrievals/{business}/{name}")
def retrieval(visit: Visiting, business: str, name: str) -> Response:
    """How far it is, what came of it, and what was not found."""
    found = _retrieval(visit, business, name)
    visit.record("retrieve", business=business, subject=name, details={"do": "look"})
    absent = pl.read_parquet(found.absent) if found.absent.is_file() else None
    side = 0 if visit.language == "zh" else 1
    return visit.page(
        "retrieval", row=_summary(found), office=visit.house.offices[business], most=_SHOWN, kept_days=KEPT_DAYS,
        reasons={code: words[side] for code, words in REASONS.items()},
        absent=absent.head(_SHOWN).to_dicts() if absent is not None else [],
    )  # fmt: skip


@router.get("/retrievals/{business}/{name}/state")
def state(visit: Visiting, business: str, name: str) -> Response:
    """How far it is; no content of any call stands in it."""
    return state_answer(visit, _retrieval(visit, business, name).progress.read())


@router.post("/retrievals/{business}/{name}/again")
def again(visit: Visiting, business: str, name: str) -> Response:
    """Go on with one that was interrupted or has failed."""
    found = _retrieval(visit, business, name)
    visit.record("retrieve", business=business, subject=name, details={"do": "again"})
    _order(visit, found)
    return RedirectResponse(f"/retrievals/{business}/{name}", 303)


@router.post("/retrievals/{business}/{name}/download")
def download(visit: Visiting, business: str, name: str) -> Response:
    """The ZIP file.

    Raises:
        AbsentError: it is not there yet, or is kept no more.
    """
    found = _retrieval(visit, business, name)
    if not found.result.is_file():
        raise AbsentError
    visit.record("retrieve", business=business, subject=name, details={"do": "download"})
    return FileResponse(
        found.result, media_type="application/zip",
        headers={"Content-Disposition": f'attachment; filename="{found.saved_as}"'},
    )  # fmt: skip
