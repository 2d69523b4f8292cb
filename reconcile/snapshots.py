"""Which snapshots others outlive, and which of them hold a recording for as long as anybody does.

A snapshot covers the business days that its extracts and its inventory take, and holds whatever lay on the source's
disk. A recording of a day is in the last snapshot that covers the day, unless it was gone from the disk by then or had
not arrived yet.
"""

from collections.abc import Collection
from datetime import date, timedelta

import polars as pl

from reconcile.frames import GONE, SNAPSHOT_FILES, SNAPSHOTS, conform
from reconcile.retention import is_over


def forgettable(
    snapshots: pl.DataFrame, needed: Collection[str], within: str, today: date, time_zone: str
) -> list[str]:
    """The snapshots (SNAPSHOTS of one repository) that may be forgotten, oldest first.

    Those taken within this time stay, the last that covers a day, the newest, and those that are needed.
    """
    ordered = conform(snapshots, SNAPSHOTS).sort("taken_at", "snapshot_id")
    kept = {*needed, *_last_covers(ordered).values(), *ordered["snapshot_id"].tail(1)}
    taken = ordered["taken_at"].dt.convert_time_zone(time_zone).dt.date()
    return [
        name
        for name, day in zip(ordered["snapshot_id"], taken, strict=True)
        if name not in kept and is_over(day, within, today)
    ]


def _last_covers(ordered: pl.DataFrame) -> dict[date, str]:
    """The last snapshot that covers each day."""
    last: dict[date, str] = {}
    for name, first, until in ordered.select("snapshot_id", "first_day", "day").iter_rows():
        last |= {first + timedelta(days=place): name for place in range((until - first).days + 1)}
    return last


def holders(files: pl.DataFrame, gone: pl.DataFrame, snapshots: pl.DataFrame) -> pl.DataFrame:
    """day, recording_id, snapshot_id and `holder` of each recording (SNAPSHOT_FILES): the snapshot to keep for it.

    The last that covers its day, where that surely has it; else the last in which GONE says that it was; else the one
    that is told to have it. `snapshots`: SNAPSHOTS of one repository.
    """
    ordered = conform(snapshots, SNAPSHOTS).sort("taken_at", "snapshot_id")
    times = dict(ordered.select("snapshot_id", "taken_at").iter_rows())
    last = _last_covers(ordered)
    seen = dict(conform(gone, GONE).select("recording_id", "last_on_site").iter_rows())
    rows = []
    for day, recording, own in conform(files, SNAPSHOT_FILES).select("day", "recording_id", "snapshot_id").iter_rows():
        cover, holder = last.get(day), own
        if own in times and cover and times[cover] >= times[own]:
            holder = cover
            if recording in seen:
                at = seen[recording]
                still = [name for name, when in times.items() if at and times[own] <= when <= min(at, times[cover])]
                holder = still[-1] if still else own
        rows.append((day, recording, own, holder))
    schema = {"day": pl.Date, "recording_id": pl.String, "snapshot_id": pl.String, "holder": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def repointed(rows: pl.DataFrame, where: pl.DataFrame) -> pl.DataFrame:
    """The rows (day, recording_id, snapshot_id) with the `holder` instead of the snapshot they tell of."""
    keys = ["day", "recording_id", "snapshot_id"]
    joined = rows.join(where, on=keys, how="left", maintain_order="left")
    return joined.with_columns(pl.coalesce("holder", "snapshot_id").alias("snapshot_id")).drop("holder")


def renamed(rows: pl.DataFrame, names: dict[str, str]) -> pl.DataFrame:
    """The rows with the snapshots' new ids: restic gives one to each snapshot that is written anew."""
    return rows.with_columns(pl.col("snapshot_id").replace(names))
