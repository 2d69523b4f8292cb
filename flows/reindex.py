"""The call index anew, from the catalog alone: after it was lost, or when it no longer holds what it should."""

from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from blocks.business import Business
from blocks.lock import exclusive, in_turn
from blocks.saved import load
from flows.centre import Centre, load_centre, turn
from flows.errors import at
from flows.indexing import documents_by_day, index_day, together
from reconcile.frames import CALLS


@flow(name="reindex", flow_run_name="reindex {business}")
def reindex(business: str, site: str | None = None) -> dict[str, Any]:
    """Write every document of the business (of one site) to the call index again, day by day, oldest first.

    What the index holds can be searched meanwhile. A run that is killed is simply run again.
    """
    settings = load(Business, business)
    done: dict[str, Any] = {"business": business, "days": 0, "calls": 0, "rejected": 0}
    for name in [site] if site else list(settings.sites):
        with (
            at(f"{business}/{name}"),
            in_turn(turn(business, name) if settings.has_workers else None, "reindex"),
            exclusive(settings.lock(f"ingest-{name}"), "reindex"),
        ):
            for count, value in reindex_site(load_centre(settings, name)).items():
                done[count] += value
    return done


@task(name="reindex", cache_policy=NO_CACHE)
def reindex_site(centre: Centre) -> dict[str, int]:
    """Index every day of the site of which the catalog has calls; counts of days, calls and rejected documents."""
    counts = {"days": 0, "calls": 0, "rejected": 0}
    for days in together(centre.catalog.days(CALLS.name, centre.business.business, centre.site)):
        for day, calls in documents_by_day(centre, days):
            counts["days"] += 1
            counts["calls"] += calls.height
            counts["rejected"] += index_day(centre, day, calls, anew=True)
    return counts
