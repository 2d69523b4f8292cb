"""What people ask for, in about the shares in which they do: as they type it."""

from datetime import UTC, datetime, time, timedelta
from random import Random
from typing import Any

from listening_data import BUSINESS, CUSTOMERS, DAYS, EXTENSIONS, FIRST, PHRASES, customer_number

from blocks.query import CallQuery

PAGE = 50
# Kind of question and its share.
KINDS = {
    "number": 30,
    "end of number": 10,
    "case": 15,
    "extension, day": 10,
    "words": 10,
    "number shown, week": 5,
    "long, recorded, month": 5,
    "call id": 5,
    "newest": 5,
    "a later page": 5,
}


def questions(count: int, seed: int) -> list[tuple[str, CallQuery]]:
    """Kind and query of so many questions; the same seed gives the same."""
    random = Random(seed)  # noqa: S311  # repeatable data, no secret
    kinds = random.choices(list(KINDS), list(KINDS.values()), k=count)
    return [(kind, _question(kind, random)) for kind in kinds]


def _question(kind: str, random: Random) -> CallQuery:
    number, day = customer_number(random.randrange(CUSTOMERS)), random.randrange(DAYS - 1)
    start = datetime.combine(FIRST + timedelta(days=day), time(), UTC)
    asked: dict[str, dict[str, Any]] = {
        "number": {
            "number": random.choice((number, f"0{number}", f"+86 {number[:3]} {number[3:7]} {number[7:]}")),
        },
        "end of number": {"number": number[-4:]},
        "case": {"attributes": (("case", f"K{random.randrange(CUSTOMERS)}"),)},
        "extension, day": {"extension": str(2000 + random.randrange(EXTENSIONS)), **_days(start, 1)},
        "words": {"words": random.choice(PHRASES)[-4:]},
        "number shown, week": {"display_number": f"0216123{random.randrange(60):04}", **_days(start, 7)},
        "long, recorded, month": {"min_seconds": 120, "has_recording": True, **_days(start, 30)},
        "call id": {"call_id": f"{start:%Y%m%d}cq{random.randrange(5000):07}"},
        "newest": {},
        "a later page": {"has_recording": True, "after": (start + timedelta(hours=9), "5")},
    }
    return CallQuery(limit=PAGE, **asked[kind])


def form_of(query: CallQuery) -> dict[str, str]:
    """The fields of the page's form that ask the same; of a later page, those of the page before it."""
    attribute, value = query.attributes[0] if query.attributes else (None, None)
    until = query.after[0] if query.after else query.end - timedelta(days=1) if query.end else None
    fields = {
        "number": query.number,
        "call_id": query.call_id,
        "extension": query.extension,
        "display_number": query.display_number,
        "words": query.words,
        "attribute": attribute,
        "value": value,
        "since": f"{query.start:%Y-%m-%d}" if query.start else None,
        "until": f"{until:%Y-%m-%dT%H:%M}" if query.after else f"{until:%Y-%m-%d}" if until else None,
        "min_seconds": str(query.min_seconds) if query.min_seconds else None,
        "recording": "yes" if query.has_recording else None,
        # Without any field, the page shows the form alone.
        "business": BUSINESS if query == CallQuery(limit=PAGE) else None,
    }
    return {name: text for name, text in fields.items() if text}


def _days(start: datetime, days: int) -> dict[str, datetime]:
    return {"start": start, "end": start + timedelta(days=days)}
