"""Business days and the instants between which they lie."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import polars as pl


def today(now: datetime, time_zone: str) -> date:
    """The business day of this instant."""
    return now.astimezone(ZoneInfo(time_zone)).date()


def days_between(first: date, last: date) -> list[date]:
    """All days from `first` to `last`, both included."""
    return [first + timedelta(days=offset) for offset in range((last - first).days + 1)]


def following(days: Iterable[date]) -> list[list[date]]:
    """The days (in order) in runs of days that follow each other."""
    runs: list[list[date]] = []
    for day in days:
        if runs and runs[-1][-1] + timedelta(days=1) == day:
            runs[-1].append(day)
        else:
            runs.append([day])
    return runs


def days_in(frame: pl.DataFrame) -> list[date]:
    """The days of a frame's column `day`, in order, each once."""
    return frame["day"].drop_nulls().unique().sort().to_list()


def with_neighbours(days: list[date]) -> list[date]:
    """The days, and the one before and behind: a call near midnight has its recording there."""
    return days_between(days[0] - timedelta(days=1), days[-1] + timedelta(days=1))


def each_with_neighbours(days: Iterable[date]) -> list[date]:
    """These days, and the one before and behind each."""
    return sorted({near for day in days for near in with_neighbours([day])})


def start_of(day: date, time_zone: str) -> datetime:
    """The instant (UTC) at which the day begins."""
    return datetime.combine(day, time.min, ZoneInfo(time_zone)).astimezone(UTC)


def window(day: date, time_zone: str, source_time_zone: str) -> dict[str, str]:
    """`start` and `end` of the day `[start, end)` as the source's clock writes them, for the SQL to bind."""
    bounds = {"start": start_of(day, time_zone), "end": start_of(day + timedelta(days=1), time_zone)}
    zone = ZoneInfo(source_time_zone)
    return {name: instant.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S") for name, instant in bounds.items()}
