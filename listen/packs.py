"""The pages of bank packs, for the liaison: what there is, what was sent when, checking and sending."""

from datetime import date, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from fastapi.responses import FileResponse, RedirectResponse

from blocks.exports import Period, export_progress, exported, exports_folder, last_period
from blocks.progress import Progress
from listen.house import Desk, Office
from listen.orders import order, percent, period_of, state_answer
from listen.visit import AbsentError, Visit, visit_of

router = APIRouter()
Visiting = Annotated[Visit, Depends(visit_of)]
_DOINGS = ("check", "send", "again")
_LISTED = 50


@router.get("/packs")
def packs(visit: Visiting) -> Response:
    """Every pack of one's businesses, and when each was sent last."""
    visit.require("packs")
    visit.record("packs", details={"do": "look"})
    rows = [
        {"office": office, "desk": desk, "last": next(iter(exported(office.storage, office.business, name)), None)}
        for office in visit.offices("packs").values()
        for name, desk in office.packs.items()
    ]
    return visit.page("packs", rows=rows)


def _desk(visit: Visit, business: str, pack: str) -> tuple[Office, Desk]:
    """The pack, of a business that is this person's.

    Raises:
        RefusedError, AbsentError: they may not, or there is none.
    """
    visit.require("packs", business)
    office = visit.house.offices.get(business)
    if office is None or pack not in office.packs:
        raise AbsentError
    return office, office.packs[pack]


@router.get("/packs/{business}/{pack}")
def pack_page(visit: Visiting, business: str, pack: str, since: str = "", until: str = "") -> Response:
    """One pack: checking and sending a period, and what was sent when."""
    office, desk = _desk(visit, business, pack)
    visit.record("packs", business=business, subject=pack, details={"do": "look"})
    return _page(visit, office, desk, _asked_period(since, until))


def _asked_period(since: str, until: str) -> Period | None:
    try:
        return period_of(since, until)
    except ValueError:
        return None


def _page(visit: Visit, office: Office, desk: Desk, period: Period | None, problem: str = "") -> Response:
    name = desk.pack.pack
    period = period or last_period(office.storage, office.business, name)
    told = _progress(office, name, period).read() if period else None
    found = list(exported(office.storage, office.business, name))
    return visit.page(
        "pack", 400 if problem else 200, office=office, desk=desk, told=told, percent=percent(told) if told else 0,
        exports=found[:_LISTED], problem=problem, period=period or _last_month(visit.today(office.zone)),
    )  # fmt: skip


def _last_month(today: date) -> Period:
    """The month that has ended last: what banks ask for."""
    last = today.replace(day=1) - timedelta(days=1)
    return last.replace(day=1), last


def _progress(office: Office, pack: str, period: Period) -> Progress:
    return export_progress(office.storage, office.business, pack, period)


@router.get("/packs/{business}/{pack}/state")
def state(visit: Visiting, business: str, pack: str, since: str, until: str) -> Response:
    """How far the check or export of this period is; no content of the pack stands in it."""
    office, _ = _desk(visit, business, pack)
    period = _asked_period(since, until)
    return state_answer(visit, _progress(office, pack, period).read() if period else None)


@router.post("/packs/{business}/{pack}")
def do(visit: Visiting, business: str, pack: str) -> Response:
    """Check, send, or send again a period, once that is on record.

    Raises:
        AbsentError: there is no such thing to be done.
    """
    office, desk = _desk(visit, business, pack)
    doing = visit.form.get("do", "")
    if doing not in _DOINGS:
        raise AbsentError
    period = _asked_period(visit.form.get("since", ""), visit.form.get("until", ""))
    if period is None:
        return _page(visit, office, desk, None, "bad_period")
    if not visit.house.orders.allows(visit.person.name):
        return _page(visit, office, desk, period, "search_too_often")
    days: dict[str, Any] = {"since": str(period[0]), "until": str(period[1])}
    visit.record("packs", business=business, subject=pack, details={"do": doing, **days})
    parameters = {"business": business, "pack": pack, "dry_run": doing == "check", "resend": doing == "again", **days}
    order(visit, "export", parameters, _progress(office, pack, period), doing)
    return RedirectResponse(f"/packs/{business}/{pack}?since={period[0]}&until={period[1]}", 303)


@router.post("/packs/{business}/{pack}/{name}/receipt")
def receipt(visit: Visiting, business: str, pack: str, name: str) -> Response:
    """The receipt of an export: every file with its SHA-256, and when it had arrived.

    Raises:
        AbsentError: there is none.
    """
    office, _ = _desk(visit, business, pack)
    found = next((one for one in exported(office.storage, business, pack) if one.name == name), None)
    if found is None or found.receipt is None:
        raise AbsentError
    visit.record("packs", business=business, subject=pack, details={"do": "receipt", "export": name})
    file = exports_folder(office.storage, business, pack) / name / "receipt.json"
    saved_as = f"receipt-{business}-{pack}-{name}.json"
    return FileResponse(
        file, media_type="application/json", headers={"Content-Disposition": f'attachment; filename="{saved_as}"'}
    )
