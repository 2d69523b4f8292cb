"""Evidence: which station had a recording last and when, and what led to a finding, as far as the data tell.

`CAUSES` is the one ordered table of causes; a finding has the first that the frames show, and none where they do not
tell: a cause is never a guess. Those that begin with `never_recorded` are hints, each a fact that can be looked up.
"""

from dataclasses import dataclass, field

import polars as pl

from reconcile.frames import DAMAGED, SNAPSHOTS
from reconcile.ids import stable_ids
from reconcile.silence import with_silence
from reconcile.trace import Stations


@dataclass(frozen=True)
class Cause:
    """What can lead to a finding: its name, and what the data show."""

    name: str
    meaning: str


CAUSES = (
    Cause("repository_damaged", "a check could not have it back from any snapshot"),
    Cause("source_altered", "a check found other bytes on the source disk than were backed up"),
    Cause("unreadable_on_site", "the file could not be read on the source disk"),
    Cause("site_disk_purged", "an earlier look had it and no newer inventory has: it was deleted at the source"),
    Cause("vanished_before_backup", "the inventory has it, and the snapshot taken right behind it does not"),
    Cause("restore_incomplete", "a snapshot holds it, and the central disk does not"),
    Cause("restored_damaged", "the copy on the central disk does not have the source's bytes"),
    Cause("publish_rejected", "it was restored with the source's bytes, and the object store did not take it"),
    Cause("object_removed", "the object store took it, and does not have it any more"),
    Cause("object_damaged", "its object does not have the source's bytes"),
    Cause("index_rejected", "the call index refused the call's document"),
    Cause("index_waiting", "the call index did not answer, and the day waits for it"),
    Cause("backup_missing", "no snapshot covers the day"),
    Cause("never_recorded_at_site", "three calls or more of that hour lack a recording, and the site made none in it"),
    Cause("never_recorded_on_line", "two calls or more of that hour lack a recording, and their line made none in it"),
    Cause("never_recorded_too_short", "the talk was shorter than a second"),
)

SHORTEST_SECONDS = 1.0
_DAY = ["business", "site", "day"]
# Where an object's key holds the recording's id: behind `<day>/<2 digits>/`.
_ID_IN_KEY = (14, 32)


@dataclass(frozen=True)
class Witnesses:
    """What tells more of findings than the trace: the stations, and the frames of these names; None: not looked at."""

    stations: Stations = field(default_factory=Stations)
    snapshots: pl.LazyFrame | None = None
    gone: pl.LazyFrame | None = None
    rejected: pl.LazyFrame | None = None
    unindexed: pl.LazyFrame | None = None


def with_evidence(found: pl.DataFrame, trace: pl.LazyFrame, witnesses: Witnesses) -> pl.DataFrame:
    """Rows of the trace with their `kind`, and with held_at, held_time and cause.

    `trace` is the whole one, of which the rows are a part. Of a call that names a file no inventory has, the other
    stations are asked; size and sha256 are then theirs.
    """
    rows = _with_sought(found)
    rows = _with_copies(rows, witnesses)
    rows = _with_object(rows, witnesses.stations.listing)
    rows = _with_gone(rows, witnesses.gone)
    rows = _with_days(rows, witnesses)
    rows = _with_index(rows, witnesses)
    rows = _with_damage(rows, witnesses.stations.damaged)
    rows = with_silence(rows, trace)
    rows = rows.with_columns(_held_at().alias("held_at"))
    return rows.with_columns(
        _held_time().alias("held_time"),
        pl.coalesce("size", "copy_size", "snapshot_size", "object_size").alias("size"),
        pl.coalesce("sha256", pl.when(_HAS_NO_FILE).then("copy_sha256")).alias("sha256"),
        _cause().alias("cause"),
    )


_HAS_NO_FILE = pl.col("recording_id").is_null()
_IS_MISSING = pl.col("kind") == "recording_missing"


def _with_sought(found: pl.DataFrame) -> pl.DataFrame:
    """The rows with `sought`: the id of their recording, or of the one that a call without recording names."""
    rows = found.with_row_index("row")
    named = rows.filter(_IS_MISSING & pl.col("path").is_not_null())
    ids = stable_ids((), [named[name] for name in ("business", "site", "path")])
    joined = rows.join(named.select("row", ids.alias("named")), on="row", how="left", maintain_order="left")
    return joined.with_columns(pl.coalesce("recording_id", "named").alias("sought")).drop("row", "named")


def _with_copies(rows: pl.DataFrame, witnesses: Witnesses) -> pl.DataFrame:
    """The rows with the newest version in a snapshot and on the central disk, and when each was last taken."""
    stations = witnesses.stations
    sought = rows["sought"].drop_nulls().unique().implode()
    for name, frame, facts in (
        ("snapshot", stations.snapshot_files, ["size"]),
        ("copy", stations.restored, ["sha256", "size", "published"]),
    ):
        held = _NOTHING.lazy() if frame is None else frame.filter(pl.col("recording_id").is_in(sought))
        dated = held.join(_taken(witnesses), on="snapshot_id", how="left").collect()
        newest = dated.sort("mtime", *facts).group_by("recording_id", maintain_order=True)
        known = newest.agg(
            *(pl.col(fact).last().alias(f"{name}_{fact}") for fact in facts),
            pl.col("taken_at").max().alias(f"{name}_time"),
        )
        rows = rows.join(known, left_on="sought", right_on="recording_id", how="left", maintain_order="left")
    return rows


_NOTHING = pl.DataFrame(
    schema={
        "recording_id": pl.String, "snapshot_id": pl.String, "mtime": pl.Datetime("us", "UTC"), "size": pl.Int64,
        "sha256": pl.String, "published": pl.Boolean,
    }
)  # fmt: skip


def _taken(witnesses: Witnesses) -> pl.LazyFrame:
    """When each snapshot was taken."""
    snapshots = SNAPSHOTS.empty().lazy() if witnesses.snapshots is None else witnesses.snapshots
    return snapshots.group_by("snapshot_id").agg(pl.col("taken_at").max())


def _with_object(rows: pl.DataFrame, listing: pl.LazyFrame | None) -> pl.DataFrame:
    """The rows with when their object was put, and with the size of the newest of a file that a call names."""
    if listing is None:
        return rows.with_columns(object_time=pl.lit(None, pl.Datetime("us", "UTC")), object_size=pl.lit(None, pl.Int64))
    ids = rows.filter(_HAS_NO_FILE)["sought"].drop_nulls().unique()
    by_key = listing.filter(pl.col("key").is_in(rows["key"].drop_nulls().unique().implode()))
    put = by_key.group_by("key").agg(pl.col("last_modified").max().alias("put")).collect()
    named = listing.with_columns(pl.col("key").str.slice(*_ID_IN_KEY).alias("sought"))
    named = named.filter(pl.col("sought").is_in(ids.implode())) if ids.len() else named.clear()
    newest = named.sort("last_modified", "size").group_by("sought", maintain_order=True)
    found = newest.agg(pl.last("last_modified").alias("put_named"), pl.last("size").alias("object_size")).collect()
    joined = rows.join(put, on="key", how="left", maintain_order="left")
    joined = joined.join(found, on="sought", how="left", maintain_order="left")
    return joined.with_columns(
        pl.when(_HAS_NO_FILE).then("put_named").otherwise("put").alias("object_time"),
        pl.when(_HAS_NO_FILE).then("object_size").alias("object_size"),
    )


def _with_gone(rows: pl.DataFrame, gone: pl.LazyFrame | None) -> pl.DataFrame:
    """The rows with `last_on_site` and `gone_since` of what the source disk has no more."""
    if gone is None:
        nothing = pl.lit(None, pl.Datetime("us", "UTC"))
        return rows.with_columns(last_on_site=nothing, gone_since=nothing)
    newest = gone.sort("gone_since", "last_on_site").group_by("recording_id", maintain_order=True)
    known = newest.agg(pl.last("last_on_site", "gone_since")).collect()
    return rows.join(known, on="recording_id", how="left", maintain_order="left")


def _with_days(rows: pl.DataFrame, witnesses: Witnesses) -> pl.DataFrame:
    """The rows with `uncovered`: no snapshot covers their day; and `looked`: the time of its last whole inventory."""
    if witnesses.snapshots is None:
        return rows.with_columns(uncovered=pl.lit(value=False), looked=pl.lit(None, pl.Datetime("us", "UTC")))
    snapshots = witnesses.snapshots.select(
        "business", "site", "first_day", pl.col("day").alias("last_day"), "taken_at", "inventory_whole"
    )
    days = rows.select(_DAY).unique().lazy()
    covered = (
        days.join(snapshots, on=["business", "site"], how="inner")
        .filter(pl.col("day").is_between("first_day", "last_day"))
        .group_by(_DAY)
        .agg(pl.col("taken_at").filter(pl.col("inventory_whole")).max().alias("looked"), covered=pl.lit(value=True))
    )
    joined = rows.join(covered.collect(), on=_DAY, how="left", maintain_order="left")
    return joined.with_columns((pl.col("covered").is_null() & pl.col("day").is_not_null()).alias("uncovered"))


def _with_index(rows: pl.DataFrame, witnesses: Witnesses) -> pl.DataFrame:
    """The rows with `refused`, the index refused their document, and `waits`, their day waits for the index."""
    refused, waits = pl.lit(value=False), pl.lit(value=False)
    if witnesses.rejected is not None:
        refused = pl.col("call_uid").is_in(witnesses.rejected.select("call_uid").collect()["call_uid"].implode())
    if witnesses.unindexed is not None:
        waiting = witnesses.unindexed.select(_DAY).unique().with_columns(waits=pl.lit(value=True)).collect()
        rows, waits = rows.join(waiting, on=_DAY, how="left", maintain_order="left"), pl.col("waits").is_not_null()
    return rows.with_columns(refused.alias("refused"), waits.alias("waits"))


def _with_damage(rows: pl.DataFrame, damaged: pl.LazyFrame | None) -> pl.DataFrame:
    """The rows with `snapshot_damaged` and `source_altered`: a check found it so."""
    found = DAMAGED.empty() if damaged is None else damaged.collect()
    for name, station in (("snapshot_damaged", "in_snapshot"), ("source_altered", "on_site")):
        ids = found.filter(pl.col("station") == station)["recording_id"].implode()
        rows = rows.with_columns(pl.col("recording_id").is_in(ids).fill_null(value=False).alias(name))
    return rows


_IS_INTACT = pl.col("content_ok").fill_null(value=True)
_HAS_COPY = pl.col("restored").fill_null(value=False)
_HAS_OBJECT = pl.col("published").fill_null(value=False)
_COPY_IS_SAME = (pl.col("copy_sha256") == pl.col("sha256")).fill_null(value=False)


def _held_at() -> pl.Expr:
    """The last station that has it; a copy with other bytes is not it."""
    holds = {
        "published": pl.when(_HAS_NO_FILE)
        .then(pl.col("object_time").is_not_null())
        .otherwise(_HAS_OBJECT & _IS_INTACT),
        "restored": pl.when(_HAS_NO_FILE)
        .then(pl.col("copy_size").is_not_null())
        .otherwise(_HAS_COPY & (_IS_INTACT | _COPY_IS_SAME)),
        "in_snapshot": pl.when(_HAS_NO_FILE).then(pl.col("snapshot_size").is_not_null()).otherwise("in_snapshot"),
        "on_site": pl.col("on_site"),
        "called": pl.col("called"),
    }
    return pl.coalesce(pl.when(condition).then(pl.lit(station)) for station, condition in holds.items())


def _held_time() -> pl.Expr:
    """When `held_at` had it, for all that is known."""
    on_site = pl.when(pl.col("gone_since").is_null()).then("looked").otherwise("last_on_site")
    times: dict[str, str | pl.Expr] = {
        "published": "object_time", "restored": "copy_time", "in_snapshot": "snapshot_time", "on_site": on_site,
        "called": "started_at",
    }  # fmt: skip
    return pl.coalesce(pl.when(pl.col("held_at") == station).then(time) for station, time in times.items())


def _cause() -> pl.Expr:
    """The first of `CAUSES` that the data show."""
    is_lost = pl.col("kind") == "recording_lost"

    def lost_at(station: str) -> pl.Expr:
        return is_lost & (pl.col("lost_at") == station)

    is_nowhere_behind = lost_at("in_snapshot") & ~_HAS_COPY & ~_HAS_OBJECT
    is_elsewhere = pl.col("held_at").is_in(["in_snapshot", "restored", "published"])
    differs = pl.col("kind") == "content_mismatch"
    is_unread = (pl.col("state") == "unreadable") & pl.col("kind").is_in(["recording_lost", "recording_undecodable"])
    is_proved = lost_at("published") & _HAS_COPY & _COPY_IS_SAME
    shown = {
        "repository_damaged": lost_at("in_snapshot") & pl.col("snapshot_damaged"),
        "source_altered": differs & pl.col("source_altered"),
        "unreadable_on_site": is_unread,
        "site_disk_purged": (is_nowhere_behind & pl.col("gone_since").is_not_null()) | (_IS_MISSING & is_elsewhere),
        "vanished_before_backup": is_nowhere_behind,
        "restore_incomplete": lost_at("restored") & pl.col("in_snapshot") & ~_HAS_OBJECT,
        "restored_damaged": (differs | lost_at("published")) & _HAS_COPY & (pl.col("copy_sha256") != pl.col("sha256")),
        "publish_rejected": is_proved & ~pl.col("copy_published"),
        "object_removed": is_proved & pl.col("copy_published"),
        "object_damaged": differs & _HAS_OBJECT & (_COPY_IS_SAME | ~_HAS_COPY),
        "index_rejected": (pl.col("kind") == "not_indexed") & pl.col("refused"),
        "index_waiting": (pl.col("kind") == "not_indexed") & pl.col("waits"),
        "backup_missing": _IS_MISSING & pl.col("uncovered"),
        "never_recorded_at_site": _IS_MISSING & pl.col("site_is_silent"),
        "never_recorded_on_line": _IS_MISSING & pl.col("line_is_silent"),
        "never_recorded_too_short": _IS_MISSING & (pl.col("talk_seconds") < SHORTEST_SECONDS),
    }
    return pl.coalesce(pl.when(shown[cause.name]).then(pl.lit(cause.name)) for cause in CAUSES)
