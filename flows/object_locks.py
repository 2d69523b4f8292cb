"""Recordings are locked in the store until the floor is over, also where the bucket's own lock is shorter.

A bucket locks each object for a fixed time from when it was put. That is too short where the floor was raised since;
a lock can be made longer, and never shorter.
"""

from datetime import UTC, date, datetime, timedelta

import polars as pl
from prefect import get_run_logger

from blocks.retained_store import RetainedStore
from blocks.saved import load
from flows.centre import Centre
from flows.days import start_of
from flows.hold import in_store
from reconcile.frames import HELD, INVENTORY, LOCKED
from reconcile.retention import Retention, is_over, over_on
from reconcile.subjects import EVERY_SITE

# A day may get late recordings for so long; older ones are only looked at when the floor has been raised.
_SETTLED = timedelta(days=35)


def lock_kept(centres: list[Centre], rules: Retention, today: date) -> int:
    """Lock what must be kept, and hold what is held, in the store; returns how many objects were locked for longer."""
    store = load(RetainedStore, centres[0].business.business)
    if not store.lock_days:
        return 0
    for centre in centres:
        for day in centre.days(HELD):
            rows = centre.read(HELD, [day])
            in_store(centre, day, rows.clear(), rows)
    floor = rules.spans().floor
    days = sorted({day for centre in centres for day in centre.days(INVENTORY) if not is_over(day, floor, today)})
    return sum(_lock(centres[0], store, day, floor, today) for day in days)


def _lock(centre: Centre, store: RetainedStore, day: date, floor: str, today: date) -> int:
    until = start_of(over_on(day, floor), centre.rules.time_zone)
    business = centre.business.business
    known = centre.catalog.read(LOCKED.name, business, EVERY_SITE, [day], LOCKED.schema)
    is_locked = known.filter(pl.col("until") >= until).height > 0
    if is_locked and today - day > _SETTLED:
        return 0
    listing = centre.store.listing(f"{day}/")
    by_itself = pl.col("last_modified") + timedelta(days=store.lock_days or 0)
    short = listing.filter(by_itself < until)["key"].to_list()
    store.lock(short, until)
    row = {
        "business": business, "site": EVERY_SITE, "day": day, "until": until, "objects": listing.height,
        "locked_at": datetime.now(UTC),
    }  # fmt: skip
    if not is_locked or known["objects"].to_list() != [listing.height]:
        centre.catalog.write(LOCKED.name, business, EVERY_SITE, day, pl.DataFrame([row], schema=LOCKED.schema))
    if short:
        get_run_logger().info("%s: %s: %d objects locked until %s", business, day, len(short), until.date())
    return len(short)
