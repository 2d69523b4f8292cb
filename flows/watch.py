"""Near-real-time: what is new goes through backup and ingest in small batches, between the daily runs.

At the site a batch is a backup of the day so far; at the centre, the ingest of its snapshot. Nothing is remembered: a
watcher that is killed begins with a batch, and what it misses the daily runs take.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event

from blocks.business import Business, Realtime
from blocks.errors import SettingsError
from blocks.repository import Repository
from blocks.saved import load
from blocks.source import sql_of_day
from blocks.watcher import Watcher, watching
from flows.backup import Live, Place, backup, dropped_since, live_days, load_place
from flows.days import start_of, today, window
from flows.errors import OUR_ERRORS
from flows.ingest import ingest
from reconcile.rules import Rules

# How often the centre looks whether a site has a new snapshot: one listing a site.
LOOK_SECONDS = 1.0
# After a batch that failed it waits, twice as long each time, up to this.
LONGEST_PAUSE = 300.0

log = logging.getLogger(__name__)


def watch_site(business: str, site: str, stop: Event) -> None:
    """Back up whatever is new at the site, again and again, until `stop`; what fails is told, and tried again.

    Raises:
        SettingsError: the business has no such site, or its settings have no `realtime`.
    """
    every = _realtime(load_place(business, site).business).every_seconds
    pause = every
    while not stop.is_set():
        began = time.monotonic()
        with _told(f"{business}/{site}"):
            _watch_disk(business, site, stop)
        pause = every if time.monotonic() - began > LONGEST_PAUSE else min(2 * pause, LONGEST_PAUSE)
        stop.wait(pause)


def _watch_disk(business: str, site: str, stop: Event) -> None:
    """Back up whatever is new until `stop`, or until something fails: a disk that was away is watched anew."""
    place = load_place(business, site)
    with watching(place.root, place.business.quiet_period_seconds) as disk:
        unfinished = True
        while not stop.is_set():
            began = time.monotonic()
            place = load_place(business, site)
            if disk.changed() or unfinished or rows_changed(place, datetime.now(UTC)):
                unfinished = _batch(place, disk)
            stop.wait(max(0.0, _realtime(place.business).every_seconds - (time.monotonic() - began)))


def _batch(place: Place, disk: Watcher) -> bool:
    """Back up the day so far; whether something is not finished."""
    live = Live(growing=disk.growing(), since=disk.since)
    done = backup(place.business.business, place.site, live=live)
    return done["snapshot_id"] is None or int(done["in_progress"]) > 0  # it may not run at this hour, or files grow


def rows_changed(place: Place, now: datetime) -> bool:
    """Whether the source has other rows of the day so far than the last backup took."""
    days = live_days(place, today(now, place.rules.time_zone), now)
    with TemporaryDirectory(prefix="voxkeep-rows-") as folder:
        rows = Path(folder) / "rows.csv"
        return _dropped(place, days[0]) or any(
            _extracted(place, dataset, day, rows) for dataset in place.settings.sql for day in days
        )


def _extracted(place: Place, dataset: str, day: date, rows: Path) -> bool:
    """Whether the dataset has other rows of the day than those in the staging folder."""
    if place.database is None:
        return False
    zone = place.rules.datasets[dataset].time_zone or place.rules.time_zone
    bounds: dict[str, object] = dict(window(day, place.rules.time_zone, zone))
    place.database.extract(sql_of_day(place.settings.sql[dataset], day), bounds, rows)
    before = place.staging / "extracts" / dataset / f"{day}.csv"
    return not before.is_file() or rows.read_bytes() != before.read_bytes()


def _dropped(place: Place, day: date) -> bool:
    """Whether there is a ready-made file that is not so in the staging folder."""
    since = start_of(day, place.rules.time_zone)
    for dataset, folder in place.settings.dropped.items():
        for file in dropped_since(Path(folder), since):
            before = place.staging / "dropped" / dataset / file.name
            if not before.is_file() or before.stat().st_mtime_ns != file.stat().st_mtime_ns:
                return True
    return False


def watch_centre(business: str, stop: Event) -> None:
    """Take in each new snapshot of every site of the business within seconds, until `stop`.

    Raises:
        SettingsError: the business's settings have no `realtime`.
    """
    settings = load(Business, business)
    _realtime(settings)
    seen: dict[str, frozenset[str]] = {}
    pause = LOOK_SECONDS
    while not stop.is_set():
        with _told(business) as outcome:
            for site in list(settings.sites):
                _look(settings, site, seen)
        pause = LOOK_SECONDS if outcome.good else min(2 * pause, LONGEST_PAUSE)
        stop.wait(pause)


def _look(settings: Business, site: str, seen: dict[str, frozenset[str]]) -> None:
    """Ingest the site, where it has other snapshots than were seen before."""
    now = datetime.now(UTC)
    day = today(now, Rules.model_validate(settings.rules).time_zone)
    yesterday = day - timedelta(days=1)
    repository = load(Repository, f"{settings.business}--{site}--restore")
    there = frozenset().union(*(repository.marks(year) for year in {day.year, yesterday.year}))
    if there != seen.get(site):
        ingest(settings.business, site, since=yesterday)
        seen[site] = there


def _realtime(settings: Business) -> Realtime:
    if settings.realtime is None:
        raise SettingsError(
            operation="watch",
            subject=settings.business,
            cause="its settings have no `realtime`",
            remedy="add it to the YAML and run `voxkeep apply`",
        )
    return settings.realtime


class _Outcome:
    """How a look went."""

    good = True


@contextmanager
def _told(place: str) -> Iterator[_Outcome]:
    """Tell an error of ours, and go on: what failed is tried again."""
    outcome = _Outcome()
    try:
        yield outcome
    except OUR_ERRORS as error:
        outcome.good = False
        log.error("%s: %s", place, error)  # noqa: TRY400  # it says all there is to say
