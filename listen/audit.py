"""The page of the audit trail: who did what, when, to which call; also by one telephone number."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from fastapi.responses import RedirectResponse

from blocks.trail import Row, day_begins
from listen.visit import Visit, told, visit_of

router = APIRouter()
Visiting = Annotated[Visit, Depends(visit_of)]
PAGE = 50
# So many rows are looked through for one page; then it says how far it came.
MOST_SCANNED = 20_000
_TOKEN_SECONDS = 12 * 3600
SHOWN_ACTIONS = (
    "search", "open", "play", "unmask", "download", "export", "retrieve", "packs", "audit", "login", "login_failed",
    "logout", "password", "refused", "account_added", "account_changed", "account_reset",
)  # fmt: skip


@dataclass(frozen=True)
class Wanted:
    """Which rows somebody wants to see."""

    actor: str = ""
    action: str = ""
    business: str = ""
    number: str = ""
    subject: str = ""
    since: str = ""
    until: str = ""

    def plain(self) -> dict[str, str]:
        """The fields that are filled."""
        return {name: value for name, value in vars(self).items() if value}


@router.get("/audit")
def audit(visit: Visiting, q: str = "") -> Response:
    """The newest rows; those that fit, where `q` is the token of a search. Looking is on record, too."""
    visit.require("audit")
    content = visit.house.tokens.read("rows", q, _TOKEN_SECONDS) or {}
    wanted = Wanted(**content.get("wanted", {}))
    numbers = _numbers(visit, wanted)
    visit.record("audit", business=wanted.business, numbers=numbers, details=told(wanted.plain()))
    trail = visit.house.trail
    top = min(int(content.get("top") or trail.head().sequence), trail.head().sequence)
    try:
        oldest = trail.first_since(_begins(wanted.since)) if wanted.since else 1
        newest = min(top, trail.first_since(_begins(wanted.until) + timedelta(days=1)) - 1) if wanted.until else top
    except ValueError:
        oldest, newest = 1, 0
    hashes = {visit.house.hashes.of(number) for number in numbers}
    rows, scanned = _scan(visit, wanted, hashes, (newest, max(oldest, newest - MOST_SCANNED + 1)))
    goes_on = scanned is not None and scanned.sequence > oldest
    older = _token(visit, wanted, scanned.sequence - 1) if goes_on and scanned else None
    return visit.page(
        "audit", rows=rows, wanted=wanted, head=trail.head(), older=older, scanned=scanned, zone=UTC,
        actions=SHOWN_ACTIONS, offices=visit.house.offices,
    )  # fmt: skip


@router.post("/audit")
def look(visit: Visiting) -> Response:
    """Turn what is wanted into a token, so that no number stands in an address."""
    visit.require("audit")
    names = Wanted.__dataclass_fields__
    wanted = Wanted(**{name: visit.form.get(name, "")[:200] for name in names})
    return RedirectResponse(f"/audit?q={_token(visit, wanted)}" if wanted.plain() else "/audit", 303)


def _token(visit: Visit, wanted: Wanted, top: int | None = None) -> str:
    content: dict[str, Any] = {"wanted": wanted.plain(), "top": top}
    return visit.house.tokens.make("rows", content)


def _begins(day: str) -> datetime:
    return day_begins(date.fromisoformat(day))


def _numbers(visit: Visit, wanted: Wanted) -> tuple[str, ...]:
    """The number in the ways in which the businesses write it."""
    if not wanted.number:
        return ()
    return tuple(dict.fromkeys(office.plain(wanted.number) for office in visit.house.offices.values()))


def _scan(visit: Visit, wanted: Wanted, hashes: set[str], bounds: tuple[int, int]) -> tuple[list[Row], Row | None]:
    """A page of rows that fit, newest first, and the last row that was looked at."""
    rows: list[Row] = []
    last = None
    for row in visit.house.trail.rows(*bounds):
        last = row
        if _fits(row, wanted, hashes):
            rows.append(row)
        if len(rows) == PAGE:
            break
    return rows, last


def _fits(row: Row, wanted: Wanted, hashes: set[str]) -> bool:
    entry = row.entry
    texts = ((wanted.actor, entry.actor), (wanted.action, entry.action), (wanted.business, entry.business))
    is_subject = not wanted.subject or wanted.subject in (entry.subject, entry.details.get("call"))
    return (
        all(not want or want == have for want, have in texts)
        and is_subject
        and (not hashes or not hashes.isdisjoint(entry.numbers))
    )
