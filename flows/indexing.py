"""The call index of a site, brought up to date from the catalog; days for which it does not answer wait."""

from datetime import UTC, date, datetime

import polars as pl
from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from blocks.errors import TransientError
from flows.centre import Centre
from flows.days import days_between, days_in, following, today, with_neighbours
from reconcile import arrivals
from reconcile.documents import differing, documents
from reconcile.frames import (
    CALLS,
    INVENTORY,
    LISTENABLE,
    NOTES,
    REJECTED,
    RESTORED,
    UNINDEXED,
)
from reconcile.listenable import newly_listenable
from reconcile.matching import match

# So many days are indexed together: their documents and recordings are in memory.
INDEXED_TOGETHER = 7


@task(name="index", cache_policy=NO_CACHE)
def index(centre: Centre, days: list[date], before: pl.DataFrame | None = None) -> int:
    """Bring the call index of the days concerned up to date; returns how many documents it refused.

    `before`: the documents that it holds of them, so that only what differs is looked at. An index that does not answer
    keeps no snapshot waiting: the days are remembered, and every later ingest tries them.
    """
    if before is None:
        return index_or_remember(centre, days)
    after = pl.concat(found for _, found in documents_by_day(centre, days))
    differs = differing(before, after)
    if differs is None:
        return index_or_remember(centre, days)
    try:
        rejected = sum(_index_some(centre, day, differs.filter(pl.col("day") == day)) for day in days)
    except TransientError as error:
        _wait_for_index(centre, days, error)
        return 0
    for day in days:
        _indexed(centre, day)
    return rejected


def live_documents(centre: Centre, days: list[date]) -> pl.DataFrame | None:
    """The documents of these days, as the index holds them; None where one of them waits for it.

    Until what comes now is indexed, too, the days wait: a run that is killed meanwhile is made good by the next.
    """
    if any(centre.read(UNINDEXED, [day]).height for day in days):
        return None
    found = pl.concat(documents for _, documents in documents_by_day(centre, days))
    _waits(centre, days)
    return found


def _index_some(centre: Centre, day: date, calls: pl.DataFrame) -> int:
    """Make these documents the index's of their calls; the others of the day stay. Returns how many it refused."""
    if calls.is_empty():
        return 0
    done = centre.index.update(centre.business.business, centre.site, day, calls)
    known = centre.read(REJECTED, [day])
    rejected = pl.concat([known.join(calls, on="call_uid", how="anti"), done.rejected])
    if not rejected.equals(known):
        centre.write(REJECTED, day, rejected)
    _hearable(centre, day, calls.join(done.rejected, on="call_uid", how="anti"))
    get_run_logger().info("%s: %s: %d calls of the day indexed anew", centre.name, day, calls.height)
    return done.rejected.height


@task(name="index what waits", cache_policy=NO_CACHE)
def catch_up(centre: Centre, days: list[date]) -> int:
    """Index the days that wait for the call index; returns how many documents it refused."""
    return index_or_remember(centre, days)


def index_or_remember(centre: Centre, days: list[date]) -> int:
    """Index these days; those for which the index does not answer are UNINDEXED. Returns the number of rejected."""
    rejected, left = 0, days
    try:
        for some in together(days):
            for day, calls in documents_by_day(centre, some):
                rejected += index_day(centre, day, calls)
                left = left[1:]
    except TransientError as error:
        _wait_for_index(centre, left, error)
    return rejected


def _wait_for_index(centre: Centre, days: list[date], error: TransientError) -> None:
    get_run_logger().warning("%s: %d days wait for the call index: %s", centre.name, len(days), error)
    _waits(centre, days)


def _waits(centre: Centre, days: list[date]) -> None:
    """Remember that these days are to be indexed."""
    now = datetime.now(UTC)
    for day in days:
        if centre.read(UNINDEXED, [day]).is_empty():
            row = {"business": centre.business.business, "site": centre.site, "day": day, "since": now}
            centre.write(UNINDEXED, day, pl.DataFrame([row], schema=UNINDEXED.schema))


def _indexed(centre: Centre, day: date) -> None:
    """Forget that the day is to be indexed."""
    if centre.read(UNINDEXED, [day]).height:
        centre.write(UNINDEXED, day, UNINDEXED.empty())


def together(days: list[date]) -> list[list[date]]:
    """The days (in order), cut where one is missing and where there are too many to have in memory."""
    runs = following(days)
    return [run[at : at + INDEXED_TOGETHER] for run in runs for at in range(0, len(run), INDEXED_TOGETHER)]


def documents_by_day(centre: Centre, days: list[date]) -> list[tuple[date, pl.DataFrame]]:
    """The search documents of each day: every call with its notes and recordings, from the catalog."""
    around = with_neighbours(days)
    calls, notes, versions = (centre.read(frame, around) for frame in (CALLS, NOTES, INVENTORY))
    recordings = arrivals.newest_versions(versions, versions.clear())
    matches = match(calls.unique("call_uid", keep="first", maintain_order=True).lazy(), recordings.lazy(), centre.rules)
    found = documents(calls, notes, recordings, matches, centre.rules.numbers)
    return [(day, found.filter(pl.col("day") == day)) for day in days]


def index_day(centre: Centre, day: date, calls: pl.DataFrame, *, anew: bool = False) -> int:
    """Make these documents the index's of this day; what it refuses is REJECTED, and counted."""
    done = centre.index.replace(centre.business.business, centre.site, day, calls, anew=anew)
    if done.rejected.height or centre.read(REJECTED, [day]).height:
        centre.write(REJECTED, day, done.rejected)
    _indexed(centre, day)
    _hearable(centre, day, calls.join(done.rejected, on="call_uid", how="anti"))
    with_recording = calls.filter(pl.col("recordings").list.len() > 0).height
    get_run_logger().info(
        "%s: %s: %d calls indexed, %d with a recording, %d rejected",
        centre.name, day, calls.height - done.rejected.height, with_recording, done.rejected.height,
    )  # fmt: skip
    return done.rejected.height


def _hearable(centre: Centre, day: date, indexed: pl.DataFrame) -> None:
    """Remember since when each of these calls can be heard."""
    known, restored = centre.read(LISTENABLE, [day]), centre.read(RESTORED, with_neighbours([day]))
    new = newly_listenable(indexed, restored, known, datetime.now(UTC))
    if new.height:
        centre.write(LISTENABLE, day, pl.concat([known, new]))


def unindexed(centre: Centre, since: date | None = None) -> list[date]:
    """The site's days (from `since` on) that wait for the call index, in order."""
    business, days = centre.business.business, None
    if since:
        days = days_between(since, max(since, today(datetime.now(UTC), centre.rules.time_zone)))
    return days_in(centre.catalog.read(UNINDEXED.name, business, centre.site, days, UNINDEXED.schema))
