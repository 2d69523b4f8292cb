"""Days that have got something since they were last traced: an ingest marks them, the next reconcile takes them, too.

So a disk that is carried in after a month, a row that is later than the lookback, and a day that was backed up late
are reconciled, whatever days the daily run looks at by itself.
"""

from collections.abc import Iterable
from datetime import date

import polars as pl

from blocks.catalog import Catalog, Partition
from reconcile.frames import UNTRACED


def mark(catalog: Catalog, business: str, site: str, days: Iterable[date], snapshot_id: str) -> None:
    """Have the next reconcile trace these days: the snapshot has brought them something."""
    for day in days:
        row = {"business": business, "site": site, "day": day, "snapshot_id": snapshot_id}
        catalog.write(UNTRACED.name, business, site, day, pl.DataFrame([row], schema=UNTRACED.schema))


def waiting(catalog: Catalog, business: str, site: str, until: date) -> list[Partition]:
    """The marks of the site's days up to `until`, in order of day."""
    return [mark for mark in catalog.partitions(UNTRACED.name, business, last=until) if mark.site == site]


def unmark(catalog: Catalog, marks: Iterable[Partition]) -> None:
    """Take these marks away, for their days are traced; one that has been set anew meanwhile stays."""
    for mark in marks:
        catalog.unmark(UNTRACED.name, mark)
