"""What metrics are made of: the catalog's last days of one business, its outbox, and nothing of its history."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl

from reconcile.frames import FINDINGS, LISTENABLE, RUNS, SNAPSHOTS, SUMMARY, UNINDEXED, Frame
from voxkeep.services import Places, places
from voxkeep.settings import Settings

# So far back a last success, a snapshot or an open finding is looked for; counts are of the last week.
DAYS_BACK = 31
DAYS_COUNTED = 7
# Calls of today and the day before tell how soon one can be heard.
DAYS_LISTENED = 2


@dataclass(frozen=True)
class Facts:
    """One business, as its catalog tells it; every frame has all of its sites."""

    business: str
    sites: tuple[str, ...]
    runs: pl.DataFrame
    snapshots: pl.DataFrame
    summary: pl.DataFrame
    findings: pl.DataFrame
    listenable: pl.DataFrame
    unindexed: pl.DataFrame
    alerts_waiting: int


def read_facts(settings: Settings, now: datetime) -> Facts:
    """The facts of a business at this instant.

    Raises:
        TransientError: the catalog does not answer.
        PermanentError: something in it is damaged.
    """
    look = _Look(settings, places(settings), now.astimezone(ZoneInfo(settings.time_zone)).date())
    outbox = Path(settings.storage) / "outbox" / settings.business
    return Facts(
        business=settings.business,
        sites=tuple(settings.sites),
        runs=look.read(RUNS, DAYS_BACK),
        snapshots=look.read(SNAPSHOTS, DAYS_BACK),
        summary=look.read_gathered(SUMMARY, DAYS_COUNTED),
        findings=look.read_gathered(FINDINGS, DAYS_BACK),
        listenable=look.read(LISTENABLE, DAYS_LISTENED),
        unindexed=look.read(UNINDEXED, DAYS_BACK),
        alerts_waiting=len(list(outbox.glob("*.json"))),
    )


@dataclass(frozen=True)
class _Look:
    """One look at a business's catalog on a business day."""

    settings: Settings
    places: Places
    today: date

    def read(self, frame: Frame, days: int) -> pl.DataFrame:
        """The partitions of the last days."""
        return self.places.catalog.read(frame.name, self.settings.business, None, self._last(days), frame.schema)

    def read_gathered(self, frame: Frame, days: int) -> pl.DataFrame:
        """The rows of the last days, from the few objects of their months."""
        wanted = self._last(days)
        months = sorted({day.replace(day=1) for day in wanted})
        catalog, business = self.places.catalog, self.settings.business
        parts = [
            catalog.gathered(frame.name, business, site, month, frame.schema)
            for site in self.settings.sites
            for month in months
        ]
        return pl.concat(parts).filter(pl.col("day").is_between(wanted[0], wanted[-1]))

    def _last(self, days: int) -> list[date]:
        return [self.today - timedelta(days=back) for back in reversed(range(days))]
