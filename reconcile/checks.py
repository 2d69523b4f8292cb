"""Checks: which share of what is kept is due, and which recordings a damage concerns.

A rotation has as many shares as days. The share of a day follows from the day alone, so that there is no state to
lose; a share whose day was missed is done by the next run, as the frame CHECKS tells.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import polars as pl

from reconcile.frames import CHECKS, DAMAGED, INSTANT

# A version of a recording: what a check finds of one says nothing of a later one.
VERSION = ["recording_id", "size", "mtime"]
_FILE = ["path", "size", "mtime"]


@dataclass(frozen=True)
class Check:
    """A kind of check: its name, and what it does."""

    name: str
    meaning: str


KINDS = (
    Check("packs", "restic reads index, snapshots and trees, and a share of the packs whole"),
    Check("snapshots", "the snapshots of the repository are those that the catalog remembers"),
    Check("objects", "a share of the published recordings is read and hashed"),
    Check("source", "a sample of the files on the source disk is hashed again"),
    Check("locks", "locks that nobody holds any more are removed"),
)


def share_of(day: date, shares: int) -> int:
    """The share (1 to `shares`) that is due on this day; of business days, the share to which they belong."""
    return day.toordinal() % shares + 1


def shares_due(done: pl.DataFrame, today: date, shares: int) -> list[int]:
    """The shares to do on this day: its own, and those of the days since the first check that nobody has done.

    `done`: CHECKS of one kind and repository; those of the last `shares` days count. A rotation of another length
    begins anew.
    """
    mine = done.filter(pl.col("shares") == shares)
    oldest = today - timedelta(days=shares - 1)
    first = min([*mine["day"], today])
    days = [oldest + timedelta(days=place) for place in range(shares)]
    recent = set(mine.filter(pl.col("day") >= oldest)["share"])
    due = {share_of(day, shares) for day in days if day >= first}
    return sorted((due - recent) | {share_of(today, shares)})


def days_of(days: Iterable[date], due: list[int], shares: int) -> list[date]:
    """The business days that belong to these shares."""
    return sorted(day for day in days if share_of(day, shares) in due)


def check_row(row: dict[str, object]) -> pl.DataFrame:
    """One row of CHECKS; what is not told is null."""
    return pl.DataFrame([{name: row.get(name) for name in CHECKS.columns}], schema=CHECKS.schema)


def with_check(known: pl.DataFrame, row: pl.DataFrame) -> pl.DataFrame:
    """CHECKS with one more; the same check of the same day is told anew."""
    same = ["kind", "repository_year", "share", "shares"]
    return pl.concat([known.join(row, on=same, how="anti", nulls_equal=True), row]).sort(
        "kind", "repository_year", "share", nulls_last=True
    )


def held_by(files: pl.DataFrame, inventory: pl.DataFrame, snapshots: pl.DataFrame, year: int) -> pl.DataFrame:
    """The recordings (SNAPSHOT_FILES) that this year's repository must have, with `sha256` by the inventory.

    Those that its snapshots (SNAPSHOTS) have brought; and of its days, those of a snapshot that was forgotten because
    others hold the same.
    """
    ours = snapshots.filter(pl.col("repository_year") == year)["snapshot_id"]
    is_forgotten = ~pl.col("snapshot_id").is_in(snapshots["snapshot_id"].implode()) & (pl.col("day").dt.year() == year)
    mine = files.filter(pl.col("snapshot_id").is_in(ours.implode()) | is_forgotten)
    return mine.join(inventory.select(*VERSION, "sha256"), on=VERSION, how="left", maintain_order="left")


def snapshots_gone(known: pl.DataFrame, there: pl.DataFrame, year: int) -> pl.DataFrame:
    """The snapshots (SNAPSHOTS) of this year's repository that it does not have any more."""
    return known.filter(pl.col("repository_year") == year).join(there, on="snapshot_id", how="anti")


def reached(sought: pl.DataFrame, contents: pl.DataFrame, sound: pl.Series, known: pl.Series) -> pl.DataFrame:
    """Of the recordings `sought`, those that a snapshot has (path, size, mtime, blobs), with `is_sound`.

    `sound` and `known` are ids of blobs: all of it must be known; only what is all sound needs no further proof.
    """
    pieces = (
        contents.join(sought, on=_FILE, how="semi")
        .explode("blobs", empty_as_null=True)
        .with_columns(
            pl.col("blobs").is_in(sound.implode()).alias("is_sound"),
            pl.col("blobs").is_in(known.implode()).alias("is_known"),
        )
    )
    whole = pieces.group_by(_FILE).agg(
        # An empty file has no piece, and no piece that is not sound.
        (pl.col("is_sound") | pl.col("blobs").is_null()).all(),
        (pl.col("is_known") | pl.col("blobs").is_null()).all(),
    )
    return sought.join(whole.filter("is_known").drop("is_known"), on=_FILE, how="inner", maintain_order="left")


def damage(found: pl.DataFrame, station: str, now: datetime, year: int | None = None) -> pl.DataFrame:
    """DAMAGED of recordings (keys, recording_id, path, size, mtime, reason) whose copy at this station is not sound."""
    return found.with_columns(
        pl.lit(station).alias("station"),
        pl.lit(year, pl.Int32).alias("repository_year"),
        pl.lit(now, INSTANT).alias("found_at"),
    ).select(list(DAMAGED.columns))


def still_damaged(known: pl.DataFrame, found: pl.DataFrame, looked_at: pl.DataFrame) -> pl.DataFrame:
    """DAMAGED of one day after a look at `looked_at` (recording_id) at one station, which found `found` (DAMAGED).

    What was found before keeps the time of it; what was looked at and not found is sound again.
    """
    station = ["recording_id", "station"]
    since = known.select(*station, *VERSION[1:], pl.col("found_at").alias("since"))
    again = found.join(since, on=[*station, *VERSION[1:]], how="left", maintain_order="left").with_columns(
        pl.coalesce("since", "found_at").alias("found_at")
    )
    others = known.join(looked_at, on=station, how="anti").join(found, on=station, how="anti")
    return pl.concat([others, again.select(list(DAMAGED.columns))]).sort("recording_id", "station")


def sound_copies(files: pl.LazyFrame, damaged: pl.DataFrame) -> pl.LazyFrame:
    """SNAPSHOT_FILES without the versions that no snapshot gives back (DAMAGED)."""
    lost = damaged.filter(pl.col("station") == "in_snapshot")
    return files if lost.is_empty() else files.join(lost.lazy(), on=VERSION, how="anti")


def altered(sample: pl.DataFrame, inventory: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The sampled files (recording_id, size, mtime, sha256) that can be compared, and those with other bytes.

    A file that was changed since, by its size or time, is a new version, which the next inventory takes. So only the
    very versions that the inventory has are compared.
    """
    known = inventory.drop_nulls("sha256").select(
        "business", "site", "day", *VERSION, "path", pl.col("sha256").alias("expected")
    )
    compared = known.join(sample.drop_nulls("sha256").select(*VERSION, "sha256"), on=VERSION, how="inner")
    other = compared.filter(pl.col("sha256") != pl.col("expected")).with_columns(pl.lit("other_bytes").alias("reason"))
    return compared, other
