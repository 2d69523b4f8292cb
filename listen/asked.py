"""What somebody looks for, as the form sends it: read, kept in a token, put to every index."""

from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from blocks.query import CallQuery, Found, Place, search_all
from listen.house import Office
from listen.typed import comparable

PAGE = 50
_MOST_SECONDS = 86_400
_TIMES = ("%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d")


@dataclass(frozen=True)
class Asked:
    """The form's fields as they were filled in; all are text, empty where nothing was."""

    number: str = ""
    call_id: str = ""
    extension: str = ""
    display_number: str = ""
    words: str = ""
    attribute: str = ""
    value: str = ""
    business: str = ""
    site: str = ""
    since: str = ""
    until: str = ""
    min_seconds: str = ""
    max_seconds: str = ""
    recording: str = ""

    @staticmethod
    def of(form: dict[str, Any]) -> "Asked":
        """The fields of a form, or of a token."""
        return Asked(**{name.name: str(form.get(name.name, ""))[:200] for name in fields(Asked)})

    def plain(self) -> dict[str, str]:
        """The fields that are filled."""
        return {name: value for name, value in asdict(self).items() if value}

    def more(self) -> int:
        """How many of the less usual fields are filled."""
        usual = {"number", "since", "until", "value"}
        return sum(name not in usual for name in self.plain())


def find(offices: dict[str, Office], asked: Asked, after: Place | None, limit: int = PAGE) -> Found:
    """The page of calls that fit, over all these businesses.

    Raises:
        ValueError: a time or a length cannot be read.
    """
    return search_all(queries(offices, asked, after, limit))


def queries(offices: dict[str, Office], asked: Asked, after: Place | None, limit: int) -> list[tuple[Any, CallQuery]]:
    """Each business's index with the query as that business compares numbers and counts days.

    Raises:
        ValueError: a time or a length cannot be read.
    """
    chosen = [office for name, office in offices.items() if asked.business in ("", name)]
    if not chosen:  # a business that is none of theirs holds nothing for them
        return [(office.index, CallQuery(businesses=())) for office in list(offices.values())[:1]]
    return [(office.index, _query(office, asked, after, limit)) for office in chosen]


def _query(office: Office, asked: Asked, after: Place | None, limit: int) -> CallQuery:
    typed = CallQuery(
        businesses=(office.business,),
        sites=(asked.site,) if asked.site else None,
        call_id=asked.call_id,
        number=asked.number,
        display_number=asked.display_number,
        extension=asked.extension,
        attributes=((asked.attribute, asked.value),),
        words=asked.words,
        start=_instant(office, asked.since, is_end=False),
        end=_instant(office, asked.until, is_end=True),
        min_seconds=_seconds(asked.min_seconds),
        max_seconds=_seconds(asked.max_seconds),
        has_recording={"yes": True, "no": False}.get(asked.recording),
        after=after,
        limit=limit,
    )
    return comparable(typed, [office.numbers])


def _instant(office: Office, text: str, *, is_end: bool) -> datetime | None:
    """A time by the business's clock; a day without a time is meant whole, an end's minute likewise."""
    if not text:
        return None
    for form, length in zip(_TIMES, (timedelta(minutes=1), timedelta(seconds=1), timedelta(days=1)), strict=True):
        try:
            found = datetime.strptime(text, form).replace(tzinfo=office.zone)
        except ValueError:
            continue
        return (found + length if is_end else found).astimezone(UTC)
    raise ValueError(f"{text} is no time")


def _seconds(text: str) -> float | None:
    if not text:
        return None
    seconds = float(text)
    if not 0 <= seconds <= _MOST_SECONDS:
        raise ValueError(f"{text} is no length of a call")
    return seconds
