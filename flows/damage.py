"""What checks have found, into the catalog: which copies of recordings are damaged, and that somebody looked."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import polars as pl

from flows.centre import Centre
from reconcile import checks
from reconcile.frames import CHECKS, DAMAGED


@dataclass(frozen=True)
class Look:
    """What a check has looked at of one day, at one station, and what it found damaged there, with the reasons."""

    station: str
    looked_at: pl.DataFrame
    damaged: pl.DataFrame
    year: int | None = None


def note_damage(centre: Centre, day: date, look: Look, now: datetime) -> bool:
    """Bring DAMAGED of one day up to date; whether anything changed."""
    known = centre.read(DAMAGED, [day])
    found = checks.damage(look.damaged, look.station, now, look.year)
    seen = look.looked_at.select("recording_id", pl.lit(look.station).alias("station"))
    after = checks.still_damaged(known, found, seen)
    if after.equals(known):
        return False
    centre.write(DAMAGED, day, after)
    return True


def note_check(centre: Centre, row: dict[str, Any]) -> None:
    """Remember in CHECKS, on the day of the check, what was looked at and what came of it."""
    day = row["day"]
    centre.write(CHECKS, day, checks.with_check(centre.read(CHECKS, [day]), checks.check_row(row)))


def damaged_days(centre: Centre, station: str | None = None) -> list[date]:
    """The business days of which a copy is known to be damaged (at this station), in order."""
    known = centre.read(DAMAGED, centre.days(DAMAGED))
    mine = known if station is None else known.filter(pl.col("station") == station)
    return mine["day"].unique().sort().to_list()
