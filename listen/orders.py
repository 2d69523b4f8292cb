"""Work that the page has done for somebody: starting it, and telling how far it is."""

from datetime import date
from typing import Any

from fastapi import Response
from fastapi.responses import JSONResponse

from blocks.errors import PermanentError
from blocks.progress import Progress, Told
from listen.messages import say
from listen.visit import Visit

# How much of the whole each step takes: where its share begins, and where it ends.
_SHARES = {"": (0, 2), "find": (2, 30), "fetch": (30, 92), "pack": (92, 99), "select": (2, 40), "send": (40, 99)}
_LONGEST_PERIOD_DAYS = 400


def order(visit: Visit, flow: str, parameters: dict[str, Any], progress: Progress, what: str) -> None:
    """Have the flow run, unless it is at it already; what it is about is on record before.

    Raises:
        TransientError, PermanentError: it cannot be started.
    """
    told = progress.read()
    if told and told.state == "running":
        return
    if visit.house.work is None:
        raise PermanentError(
            operation=f"start {flow}", subject=what, cause="this page starts no work", remedy="use the command line"
        )
    progress.tell(Told("asked", what))
    visit.house.work.start(flow, parameters, progress)


def percent(told: Told) -> int:
    """How much is done."""
    if told.state == "done":
        return 100
    begins, ends = _SHARES.get(told.step, (0, 99))
    return round(begins + (ends - begins) * (told.done / told.of if told.of else 0))


def state_answer(visit: Visit, told: Told | None) -> Response:
    """How far it is, for the script that looks again and again."""
    if told is None:
        return JSONResponse({"state": "none", "percent": 0, "words": ""})
    words = say(f"step_{told.step or told.state}", visit.language, done=f"{told.done:,}", of=f"{told.of:,}")
    return JSONResponse({"state": told.state, "percent": percent(told), "words": words})


def period_of(since: str, until: str) -> tuple[date, date]:
    """The business days of two fields.

    Raises:
        ValueError: they are no days, in the wrong order, or more than anybody sends at a time.
    """
    first, last = date.fromisoformat(since), date.fromisoformat(until)
    if not 0 <= (last - first).days < _LONGEST_PERIOD_DAYS:
        raise ValueError(f"{since} to {until} is no period")
    return first, last
