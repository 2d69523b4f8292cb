"""What a snapshot brings that the catalog does not have yet, and how partitions take it in.

Taking the same thing in twice gives the same partition.
"""

from datetime import UTC, datetime

import polars as pl

from reconcile.frames import GONE, INSTANT, INVENTORY, RESTORED, SNAPSHOT_FILES

_DAY_TAG = "day="
_COMPLETES = "completes="
_VERSION = ["recording_id", "size", "mtime"]


def with_day(snapshots: pl.DataFrame) -> pl.DataFrame:
    """The snapshots (tags: List(String)) that voxkeep has taken, with the `day` (Date) that their tag names."""
    tag = pl.col("tags").list.filter(pl.element().str.starts_with(_DAY_TAG)).list.first()
    return snapshots.with_columns(tag.str.strip_prefix(_DAY_TAG).str.to_date(strict=False).alias("day")).drop_nulls(
        "day"
    )


def completes(taken_at: datetime) -> str:
    """The tag of a snapshot that lies beside the one taken at this instant, which keeps it when it is written anew."""
    return f"{_COMPLETES}{taken_at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


def beside(snapshots: pl.DataFrame) -> pl.DataFrame:
    """The snapshots (tags, taken_at) that lie beside others, newest first, with the tag `completes`."""
    tag = pl.col("tags").list.filter(pl.element().str.starts_with(_COMPLETES)).list.first()
    found = snapshots.with_columns(tag.alias("completes")).drop_nulls("completes")
    return found.sort("taken_at", "snapshot_id", descending=True)


def with_beside(snapshots: pl.DataFrame, everything: pl.DataFrame) -> pl.DataFrame:
    """The snapshots with `beside_id` and `beside_path` of what lies beside each; null where nothing does."""
    newest = beside(everything).unique(["year", "completes"], keep="first", maintain_order=True)
    others = newest.select(
        "year", "completes", pl.col("snapshot_id").alias("beside_id"), pl.col("paths").list.first().alias("beside_path")
    )
    tags = pl.Series("completes", [completes(taken_at) for taken_at in snapshots["taken_at"]], dtype=pl.String)
    named = snapshots.with_columns(tags)
    return named.join(others, on=["year", "completes"], how="left", maintain_order="left").drop("completes")


def not_ingested(snapshots: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """The snapshots (snapshot_id, taken_at) that are not in SNAPSHOTS, oldest first."""
    return snapshots.join(known, on="snapshot_id", how="anti").sort("taken_at", "snapshot_id")


def written_anew(snapshots: pl.DataFrame, known: pl.DataFrame) -> dict[str, str]:
    """The new id of each snapshot in SNAPSHOTS that was written anew (`original` names it) and is there no more."""
    told = snapshots.drop_nulls("original").join(known, left_on="original", right_on="snapshot_id", how="semi")
    told = told.filter(~pl.col("original").is_in(snapshots["snapshot_id"].implode()))
    return dict(told.sort("taken_at", "snapshot_id").select("original", "snapshot_id").iter_rows())


def with_snapshot(known: pl.DataFrame, ingested: pl.DataFrame) -> pl.DataFrame:
    """SNAPSHOTS with one more; one that is known already is told anew."""
    return pl.concat([known.join(ingested, on="snapshot_id", how="anti"), ingested]).sort("taken_at", "snapshot_id")


def of_snapshot(restored: pl.DataFrame, snapshot_id: str) -> pl.DataFrame:
    """The rows (RESTORED) that came from this snapshot."""
    return restored.filter(pl.col("snapshot_id") == snapshot_id)


def instead(restored: pl.DataFrame, again: pl.DataFrame) -> pl.DataFrame:
    """RESTORED with the recordings of `again` told anew."""
    return pl.concat([restored.join(again, on="recording_id", how="anti"), again]).sort("recording_id")


def still_to_restore(inventory: pl.DataFrame, restored: pl.DataFrame) -> pl.DataFrame:
    """The recordings (INVENTORY) of which this very version is not in RESTORED; those nobody could read excepted.

    What the object store did not take is restored once more, to be offered again.
    """
    at_rest = inventory.filter(pl.col("sha256").is_not_null() & (pl.col("state") != "in_progress"))
    done = restored.filter(pl.col("published").ne_missing(False))
    return at_rest.join(done, on=[*_VERSION, "sha256"], how="anti")


def vanished(inventory: pl.DataFrame, held: pl.DataFrame) -> pl.DataFrame:
    """The recordings (INVENTORY) that the snapshot's files (path, size, mtime) do not hold at all."""
    return inventory.join(held, on="path", how="anti")


def held_recordings(inventory: pl.DataFrame, held: pl.DataFrame, snapshot_id: str) -> pl.DataFrame:
    """SNAPSHOT_FILES of the recordings (INVENTORY) that the snapshot's files (path, size, mtime) hold."""
    keys = inventory.select("business", "site", "day", "recording_id", "path")
    joined = held.join(keys, on="path", how="inner").with_columns(pl.lit(snapshot_id).alias("snapshot_id"))
    return joined.select(list(SNAPSHOT_FILES.columns)).sort("recording_id")


def restored_recordings(inventory: pl.DataFrame, hashed: pl.DataFrame, snapshot_id: str) -> pl.DataFrame:
    """RESTORED of the recordings (INVENTORY) whose files lie on the central disk (path, size, mtime, sha256)."""
    keys = inventory.select("business", "site", "day", "recording_id", "path")
    joined = hashed.drop_nulls("sha256").join(keys, on="path", how="inner")
    joined = joined.with_columns(pl.lit(snapshot_id).alias("snapshot_id"), pl.lit(None, pl.Boolean).alias("published"))
    return joined.select(list(RESTORED.columns)).sort("recording_id")


def damaged(inventory: pl.DataFrame, restored: pl.DataFrame) -> pl.DataFrame:
    """The recordings (INVENTORY) whose restored copy (RESTORED), of the same size and mtime, has other bytes."""
    copies = restored.select(*_VERSION, pl.col("sha256").alias("restored_sha256"))
    return inventory.join(copies, on=_VERSION, how="inner").filter(pl.col("sha256") != pl.col("restored_sha256"))


def ready_to_publish(inventory: pl.DataFrame, restored: pl.DataFrame) -> pl.DataFrame:
    """The recordings (INVENTORY) whose restored copy (RESTORED) is proved to have the source's bytes."""
    return inventory.join(restored.select("recording_id", "sha256"), on=["recording_id", "sha256"], how="semi")


def with_proof(recordings: pl.DataFrame, hashed: pl.DataFrame) -> pl.DataFrame:
    """The recordings (path, sha256) with inode and ctime_ns of their copies as they were hashed.

    Null where a copy has another hash, or moved meanwhile.
    """
    proofs = hashed.select("path", "sha256", "inode", "ctime_ns")
    return recordings.join(proofs, on=["path", "sha256"], how="left", maintain_order="left")


def with_outcome(restored: pl.DataFrame, offered: pl.DataFrame, refused: list[str]) -> pl.DataFrame:
    """RESTORED with whether the object store took what it was offered (recording_id, key), but for these keys."""
    outcome = offered.select("recording_id", (~pl.col("key").is_in(refused)).alias("published"))
    joined = restored.drop("published").join(outcome, on="recording_id", how="left", maintain_order="left")
    return joined.select(list(RESTORED.columns))


def back(known: pl.DataFrame, inventory: pl.DataFrame) -> pl.DataFrame:
    """GONE without the recordings that this INVENTORY has."""
    return known.join(inventory, on="recording_id", how="anti")


def gone(
    known: pl.DataFrame, inventory: pl.DataFrame, before: pl.DataFrame, earlier: pl.DataFrame, taken_at: datetime
) -> pl.DataFrame:
    """GONE of one day, once an inventory that could look everywhere was taken at `taken_at`.

    Of all recordings that are known of the day (INVENTORY), those that `inventory` does not have. What is in `before`
    (GONE) stays as it is told there; the others were last on site at the last of the `earlier` snapshots (SNAPSHOTS)
    whose inventory covers the day and could look everywhere.
    """
    missing = known.join(inventory, on="recording_id", how="anti").join(before, on="recording_id", how="anti")
    whole = earlier.filter(pl.col("inventory_whole")).select("first_day", pl.col("day").alias("last_day"), "taken_at")
    days = missing.select("day").unique()
    seen = (
        days.join(whole, how="cross")
        .filter(pl.col("day").is_between("first_day", "last_day"))
        .group_by("day")
        .agg(pl.col("taken_at").max().alias("last_on_site"))
    )
    fresh = missing.join(seen, on="day", how="left").with_columns(
        pl.lit(taken_at.astimezone(UTC), INSTANT).alias("gone_since"), pl.lit(None, pl.String).alias("list_id")
    )
    return pl.concat([before, fresh.select(list(GONE.columns))]).sort("recording_id")


def explained(before: pl.DataFrame, purged: pl.DataFrame) -> pl.DataFrame:
    """GONE with the purge list as which allowed each deletion, as far as the source has reported it (PURGED)."""
    lists = purged.sort("purged_at").group_by("recording_id", maintain_order=True).agg(pl.last("list_id"))
    told = before.drop("list_id").join(lists, on="recording_id", how="left", maintain_order="left")
    return told.select(list(GONE.columns))


def newest_versions(known: pl.DataFrame, arrived: pl.DataFrame) -> pl.DataFrame:
    """Both together, the newest version of each recording: by mtime, and of equal ones the one that arrived."""
    both = pl.concat([known, arrived]).sort("mtime", maintain_order=True)
    return both.unique("recording_id", keep="last", maintain_order=True).sort("path")


def replace_files(known: pl.DataFrame, arrived: pl.DataFrame, files: pl.DataFrame) -> pl.DataFrame:
    """`known` without the rows of these files (dataset, source_file), which are told anew, and with `arrived`."""
    kept = known.join(files, on=["dataset", "source_file"], how="anti")
    order = ["dataset", "source_file", *(["source_row"] if "source_row" in known.columns else [])]
    return pl.concat([kept, arrived]).sort(order, maintain_order=True)


def moving(inventory: pl.DataFrame) -> pl.DataFrame:
    """The recordings (INVENTORY) that still grow, for the next run to take again."""
    return inventory.filter(pl.col("state") == "in_progress").select(list(INVENTORY.columns))
