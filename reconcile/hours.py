"""When a site may back up, and how fast it may send: by weekday and time of day, in the business's time zone."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Literal, get_args
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEK: tuple[Weekday, ...] = get_args(Weekday)
_MINUTES_OF_A_DAY = 24 * 60


def _clock(value: object) -> object:
    """The time of day as `HH:MM`; YAML 1.1 reads an unquoted 20:00 as the number 1200."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MINUTES_OF_A_DAY:
        value = f"{value // 60:02}:{value % 60:02}"
    try:
        return datetime.strptime(str(value), "%H:%M").strftime("%H:%M")  # noqa: DTZ007  # a time of day has no zone
    except ValueError:
        raise ValueError("expected a time of day like 08:30, from 00:00 to 23:59") from None


Clock = Annotated[str, BeforeValidator(_clock, json_schema_input_type=str | int)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Hours(_Strict):
    """Some hours of some weekdays, the end excluded."""

    days: list[Weekday] = Field(
        list(WEEK), min_length=1, description="Weekdays on which they begin, mon to sun; every day, where not given."
    )
    start: Clock = Field(description="Time of day at which they begin.")
    end: Clock = Field(description="Time of day at which they end; not later than the start: on the next day.")


class UploadLimit(Hours):
    """How fast backups may send in some hours."""

    kib_per_second: int = Field(strict=True, ge=1, description="KiB a second that restic may send.")


class Timetable(_Strict):
    """When a site may back up, and how fast it may send; whenever and as fast as it can, where nothing is given."""

    backup_hours: list[Hours] = Field(
        default_factory=list,
        description="Hours in which backups may run; one that comes to their end stops, and goes on in the next.",
    )
    upload_limits: list[UploadLimit] = Field(
        default_factory=list, description="Limits by hours; the first that fits holds."
    )


@dataclass(frozen=True)
class Permit:
    """Whether a backup may run, how fast it may send (None: as it can), and when that changes (None: never)."""

    may_run: bool
    kib_per_second: int | None
    until: datetime | None


def permit(timetable: Timetable, now: datetime, time_zone: str) -> Permit:
    """What the timetable allows at this instant."""
    zone = ZoneInfo(time_zone)
    may_run, speed = _allowed(timetable, now, zone)
    changes = sorted(change for change in _changes(timetable, now, zone) if change > now)
    until = next((change for change in changes if _allowed(timetable, change, zone) != (may_run, speed)), None)
    return Permit(may_run, speed, until)


def _allowed(timetable: Timetable, now: datetime, zone: ZoneInfo) -> tuple[bool, int | None]:
    hours = timetable.backup_hours
    may_run = not hours or any(_covers(one, now, zone) for one in hours)
    speeds = (limit.kib_per_second for limit in timetable.upload_limits if _covers(limit, now, zone))
    return may_run, next(speeds, None) if may_run else None


def _covers(hours: Hours, now: datetime, zone: ZoneInfo) -> bool:
    return any(start <= now < end for start, end in _spans(hours, now, zone, range(-1, 1)))


def _changes(timetable: Timetable, now: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    """Every instant within a week at which some hours begin or end."""
    for hours in (*timetable.backup_hours, *timetable.upload_limits):
        for span in _spans(hours, now, zone, range(-1, 8)):
            yield from span


def _spans(hours: Hours, now: datetime, zone: ZoneInfo, offsets: range) -> Iterator[tuple[datetime, datetime]]:
    """The hours as instants, of the days at these offsets from the day of `now`."""
    today = now.astimezone(zone).date()
    start, end = time.fromisoformat(hours.start), time.fromisoformat(hours.end)
    for day in (today + timedelta(days=offset) for offset in offsets):
        if WEEK[day.weekday()] in hours.days:
            last = day + timedelta(days=1) if end <= start else day
            yield _instant(day, start, zone), _instant(last, end, zone)


def _instant(day: date, clock: time, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, clock, zone).astimezone(UTC)
