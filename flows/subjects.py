"""Finding, in the catalog of one site, all that belongs to a subject: for legal holds and for erasures."""

from datetime import date

import polars as pl

from flows.centre import Centre
from flows.days import with_neighbours
from flows.indexing import together
from reconcile import arrivals
from reconcile.frames import CALLS, INVENTORY, NOTES, SNAPSHOT_FILES, SNAPSHOTS, Frame
from reconcile.matching import match
from reconcile.subjects import (
    CALL_KEYS,
    NOTE_KEYS,
    RECORDING_KEYS,
    Belongings,
    Subject,
    calls_of,
    notes_of,
    recordings_of,
)

_YEARS = pl.Schema({"site": pl.String, "day": pl.Date, "recording_id": pl.String, "repository_year": pl.Int32})


def known_days(centre: Centre) -> list[date]:
    """The days of which the site has calls, notes or recordings, in order."""
    return sorted({day for frame in (CALLS, NOTES, INVENTORY) for day in centre.days(frame)})


def belongings(centre: Centre, subject: Subject, days: list[date] | None = None) -> Belongings:
    """What belongs to the subject, on these days (all, where not given).

    A number, call or attribute is looked for in every row of these days, but in notes, and for notes of its calls, on
    all days from the first of them: people write them later.
    """
    numbers = centre.rules.numbers
    calls = calls_of(_scan(centre, CALLS, days), subject, numbers).select("day", "call_id").collect()
    later = [day for day in centre.days(NOTES) if days is None or (days and day >= min(days))]
    itself = notes_of(_scan(centre, NOTES, later), subject).select(NOTE_KEYS.names()).collect()
    files = recordings_of(_scan(centre, INVENTORY, days), subject, numbers).select("day", "recording_id").collect()
    call_ids = set(calls["call_id"]) | set(itself["call_id"].drop_nulls())
    near = _scan(centre, CALLS, None).filter(pl.col("call_id").is_in(list(call_ids))).select("day").collect()
    seeds = sorted({*near["day"].drop_nulls(), *files["day"]})
    own = [_around(centre, some, call_ids, set(files["recording_id"])) for some in together(seeds)]
    found_calls = pl.concat([CALL_KEYS.to_frame(), *(part[0] for part in own)]).unique().sort("day", "call_uid")
    recordings = pl.concat([RECORDING_KEYS.to_frame(), *(part[1] for part in own)]).unique().sort("day", "path")
    every_id = list(call_ids | set(found_calls["call_id"]))
    is_its_note = pl.col("call_id").is_in(every_id)
    beside = _scan(centre, NOTES, None).filter(is_its_note).select(NOTE_KEYS.names()).collect()
    return Belongings(found_calls, pl.concat([beside, itself]).unique().sort("day", "note_uid"), recordings)


def _around(centre: Centre, days: list[date], call_ids: set[str], files: set[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Every leg of these calls and every recording of them, on these days and their neighbours.

    A recording that names the subject brings its call along.
    """
    around = with_neighbours(days)
    calls, versions = centre.read(CALLS, around), centre.read(INVENTORY, around)
    inventory = arrivals.newest_versions(versions, versions.clear())
    legs = calls.unique("call_uid", keep="first", maintain_order=True)
    links = match(legs.lazy(), inventory.lazy(), centre.rules).links
    of_files = links.filter(pl.col("recording_id").is_in(list(files)))["call_uid"]
    more = legs.filter(pl.col("call_uid").is_in(of_files.implode()))["call_id"]
    ours = legs.filter(pl.col("call_id").is_in(list(call_ids | set(more))))
    linked = links.filter(pl.col("call_uid").is_in(ours["call_uid"].implode()))["recording_id"]
    recordings = inventory.filter(pl.col("recording_id").is_in(list(files | set(linked))))
    return ours.select(CALL_KEYS.names()), recordings.select(RECORDING_KEYS.names())


def repository_years(centre: Centre, days: list[date]) -> pl.DataFrame:
    """Which year's repository has each recording of these days, and (recording_id null) the rows of each day."""
    snapshots = centre.catalog.read(SNAPSHOTS.name, centre.business.business, centre.site, None, SNAPSHOTS.schema)
    files = centre.read(SNAPSHOT_FILES, days).join(
        snapshots.select("snapshot_id", "repository_year"), on="snapshot_id", how="inner"
    )
    covering = pl.DataFrame({"day": days}, schema={"day": pl.Date}).join_where(
        snapshots.select("first_day", pl.col("day").alias("last_day"), "repository_year"),
        pl.col("day") >= pl.col("first_day"), pl.col("day") <= pl.col("last_day"),
    )  # fmt: skip
    of_rows = covering.select("day", "repository_year").unique()
    named = of_rows.with_columns(pl.lit(centre.site).alias("site"), pl.lit(None, pl.String).alias("recording_id"))
    return pl.concat([named.select(_YEARS.names()), files.select(_YEARS.names())]).unique()


def _scan(centre: Centre, frame: Frame, days: list[date] | None) -> pl.LazyFrame:
    return centre.catalog.scan(frame.name, centre.business.business, centre.site, days, frame.schema)
