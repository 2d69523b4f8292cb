"""After a loss: catalog, call index and published recordings anew, from the repositories alone.

Nothing here knows how any of it is made. It lives the days again: of each day, the snapshots are ingested and the day
is reconciled, as it was then; so findings are as old as they were, and what was resolved is resolved again. What is
still there is kept, and nothing is published twice.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from psutil import virtual_memory

from blocks.business import Business
from blocks.lock import exclusive, in_turn
from blocks.saved import load
from flows.artifacts import show_done
from flows.centre import Centre, load_centre, turn
from flows.days import days_between, today
from flows.decisions import DECIDED, bring_back, lacks_what_ingest_heeds
from flows.errors import OUR_ERRORS, at
from flows.hold import LOCK, refresh
from flows.ingest import discover, ingest_snapshot
from flows.reconciliation import look_at
from flows.retention import alone
from flows.runs import Stages
from flows.thinning import take_out
from flows.waive import mark
from reconcile.frames import SNAPSHOTS, TRACE, WAIVERS


@flow(name="rebuild", flow_run_name="rebuild {business}")
def rebuild(business: str, site: str | None = None) -> dict[str, Any]:
    """Make anew what is lost of the business (of one site); a run that is killed is simply run again.

    What people decided comes first, from its copy beside the backups: holds, erasures, waivers, inspections, disks. A
    site that fails does not keep the others waiting; its error is raised at the end.
    """
    settings = load(Business, business)
    now = datetime.now(UTC)
    failures: list[Exception] = []
    done: dict[str, Any] = {
        "business": business,
        "snapshots": 0,
        "restored": 0,
        "published": 0,
        "days": 0,
        "decisions": decide_again(settings, failures),
    }
    for name in [site] if site else list(settings.sites):
        try:
            with (
                at(f"{business}/{name}"),
                in_turn(turn(business, name) if settings.has_workers else None, "rebuild"),
                exclusive(settings.lock(f"ingest-{name}"), "rebuild"),
            ):
                for count, value in rebuild_site(load_centre(settings, name), now).items():
                    done[count] += value
        except OUR_ERRORS as error:
            get_run_logger().error("%s", error)
            failures.append(error)
    show_done("rebuild", business, done)
    if failures:
        raise failures[0]
    return done


def decide_again(settings: Business, failures: list[Exception]) -> int:
    """Bring back what was decided, at all sites before any of them is ingested; how many rows were lacking.

    Where a hold or an erasure was lacking, what was ingested without it, at whatever site, counts as not ingested. A
    killed run does all of it again. What fails of a site is added to `failures`.
    """
    centres = [load_centre(settings, name) for name in settings.sites]
    lacking, reached, count = False, [], 0
    with alone(settings, "rebuild"):
        for centre in centres:
            try:
                with at(centre.name):
                    lacking |= lacks_what_ingest_heeds(centre)
                reached.append(centre)
            except OUR_ERRORS as error:
                get_run_logger().error("%s", error)
                failures.append(error)
        for centre in centres if lacking else []:
            take_out(centre, centre.read(SNAPSHOTS, centre.days(SNAPSHOTS))["snapshot_id"].to_list())
        for centre in reached:
            count += bring_back(centre, [frame for frame in DECIDED if frame is not WAIVERS])
    return count


def rebuild_site(centre: Centre, now: datetime) -> dict[str, int]:
    """Live the site's days again, from the first that the catalog lacks on; counts of what was done."""
    fresh, stages = discover(centre), Stages()
    days = lacking_days(centre, fresh)
    done = {"snapshots": fresh.height, "restored": 0, "published": 0, "days": len(days)}
    for day in days:
        for row in fresh.filter(pl.col("day") == day).iter_rows(named=True):
            taken = ingest_snapshot(centre, row, stages)
            done["restored"] += taken["restored"]
            done["published"] += taken["published"]
        live_again(centre, day, now)
    with exclusive(centre.business.lock(LOCK), "rebuild"), exclusive(centre.business.lock("reconcile"), "rebuild"):
        refresh(centre, None)
        return done | {"decisions": waive_again(centre, lived=bool(days))}


def lacking_days(centre: Centre, fresh: pl.DataFrame) -> list[date]:
    """The days from the first with a snapshot that is not ingested, or not reconciled, to the last with any."""
    known = centre.read(SNAPSHOTS, centre.days(SNAPSHOTS))["day"].to_list()
    new = fresh["day"].to_list() if fresh.height else []
    lacking = [*new, *(day for day in known[-1:] if day not in centre.days(TRACE))]
    return days_between(min(lacking), max([*known, *new])) if lacking else []


def waive_again(centre: Centre, *, lived: bool) -> int:
    """Waive what was waived, each finding from the day on which that was decided; how many decisions were lacking."""
    count, now = bring_back(centre, [WAIVERS]), datetime.now(UTC)
    days = centre.days(WAIVERS) if count or lived else []
    for day in days:
        for decided_at in centre.read(WAIVERS, [day])["waived_at"].sort():
            mark(centre, day, today(decided_at, centre.rules.time_zone), decided_at)
        mark(centre, day, today(now, centre.rules.time_zone))
    centre.gather(days)
    return count


@task(name="live again", cache_policy=NO_CACHE)
def live_again(centre: Centre, day: date, now: datetime) -> None:
    """Reconcile as on this day."""
    settings = centre.business
    days = days_between(day - timedelta(days=settings.lookback_days), day)
    with exclusive(settings.lock("reconcile"), "rebuild"):
        look_at(centre, days, day, now, virtual_memory().available // 2)
