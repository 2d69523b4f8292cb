"""What of the backup is to be restored from where, and whether it came back: for drills and for real restores.

Nothing here is sure of itself: a recording counts as restored when its bytes have the SHA-256 of the inventory.
"""

from collections.abc import Iterable
from datetime import date
from random import Random

import polars as pl

from reconcile.frames import INVENTORY

# A snapshot that a repository still has: its id, when it was taken, the year of its repository, the recordings root.
KEPT = pl.Schema(
    {"snapshot_id": pl.String(), "taken_at": pl.Datetime("us", "UTC"), "year": pl.Int32(), "root": pl.String()}
)
_VERSION = ["recording_id", "size", "mtime"]


def restorable(
    inventory: pl.DataFrame, held: pl.DataFrame, snapshots: pl.DataFrame, kept: pl.DataFrame
) -> pl.DataFrame:
    """The recordings (INVENTORY) whose content is known, with the snapshot to take each from (the columns of `KEPT`).

    `held` is SNAPSHOT_FILES, `snapshots` SNAPSHOTS, `kept` as in `KEPT`. Where the snapshot that held a version first
    is gone from its repository, the next one of the site takes its place; null where there is none.
    """
    known = inventory.filter(pl.col("sha256").is_not_null() & (pl.col("state") != "in_progress"))
    taken = snapshots.group_by("snapshot_id").agg(pl.col("taken_at").min())
    first = held.select(*_VERSION, "snapshot_id").join(taken, on="snapshot_id", how="inner").drop("snapshot_id")
    first = first.sort("taken_at").unique(_VERSION, keep="first", maintain_order=True)
    found = first.join_asof(kept.sort("taken_at").with_columns(kept_at="taken_at"), on="taken_at", strategy="forward")
    found = found.drop("taken_at").rename({"kept_at": "taken_at"}).select(*_VERSION, *KEPT.names())
    return known.join(found, on=_VERSION, how="left").sort("path")


def random_day(days: list[date], seed: int) -> date:
    """One of these days; the same for the same seed and days."""
    return Random(seed).choice(days)  # noqa: S311  # a sample, not a secret


def sample_days(days: list[date], seed: int, count: int) -> dict[date, int]:
    """How many recordings of which of these days are to be sampled; the same for the same seed and days."""
    drawn = Random(seed + 1).choices(days, k=count) if days else []  # noqa: S311  # likewise
    return {day: drawn.count(day) for day in sorted(set(drawn))}


def sample(recordings: pl.DataFrame, count: int, seed: int) -> pl.DataFrame:
    """So many of the recordings, at random; the same for the same seed, in order of path."""
    return recordings.sort("path").sample(min(count, recordings.height), seed=seed, shuffle=True).sort("path")


def compared(wanted: pl.DataFrame, hashed: pl.DataFrame) -> pl.DataFrame:
    """The wanted recordings (path, sha256, …) with `outcome`: same, differing or absent.

    `hashed` (path, sha256): what lies in the place into which they were restored.
    """
    found = wanted.join(hashed.select("path", pl.col("sha256").alias("found")), on="path", how="left")
    outcome = (
        pl.when(pl.col("found").is_null())
        .then(pl.lit("absent"))
        .when(pl.col("found") == pl.col("sha256"))
        .then(pl.lit("same"))
        .otherwise(pl.lit("differing"))
    )
    return found.with_columns(outcome.alias("outcome")).drop("found")


def must_play(outcomes: pl.DataFrame) -> pl.DataFrame:
    """Those of the compared recordings that somebody must be able to hear: the same bytes, and whole at the source."""
    return outcomes.filter((pl.col("outcome") == "same") & (pl.col("state") == "ok"))


def with_played(outcomes: pl.DataFrame, silent: Iterable[str]) -> pl.DataFrame:
    """The compared recordings with `played`: null where nobody could hear it at the source either.

    `silent`: paths of those that could not be decoded.
    """
    must = pl.col("path").is_in(must_play(outcomes)["path"].implode())
    return outcomes.with_columns(pl.when(must).then(~pl.col("path").is_in(list(silent))).alias("played"))


def wrong(outcomes: pl.DataFrame) -> pl.DataFrame:
    """The recordings of `with_played` that did not come back as they must."""
    return outcomes.filter((pl.col("outcome") != "same") | ~pl.col("played").fill_null(value=True))


def counted(outcomes: pl.DataFrame) -> dict[str, int]:
    """`same`, `differing`, `absent`, `played` and `silent` of `with_played`, and the bytes that came back."""
    counts = dict(outcomes["outcome"].value_counts().iter_rows())
    heard = outcomes["played"].drop_nulls()
    return {
        **{outcome: counts.get(outcome, 0) for outcome in ("same", "differing", "absent")},
        "played": int(heard.sum()),
        "silent": int((~heard).sum()),
        "bytes": int(outcomes.filter(pl.col("outcome") == "same")["size"].sum()),
    }


def none_wanted() -> pl.DataFrame:
    """`restorable` without recordings."""
    return pl.DataFrame(schema={**INVENTORY.schema, **KEPT})
