"""Which recordings a damaged repository no longer gives back: exactly those, by trying.

A recording is sound where some snapshot reaches it and every piece of it lies in a pack that nothing is known against.
Where a piece lies in a damaged pack, or was found damaged before, the recording is read out of the repository and
hashed: of a pack with one flipped bit, all others are still whole.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from blocks.business import STAGING
from blocks.repository_check import Blobs, blobs, contents, digests, snapshots_left
from flows.centre import Centre
from reconcile import arrivals, checks
from reconcile.frames import DAMAGED, INVENTORY, SNAPSHOT_FILES


@dataclass(frozen=True)
class Lost:
    """The recordings that were looked at, and those of them that are not given back, with the reasons."""

    looked_at: pl.DataFrame
    damaged: pl.DataFrame

    @property
    def days(self) -> list[date]:
        """The business days of all of them."""
        return self.looked_at["day"].unique().sort().to_list()


def assess(centre: Centre, year: int, snapshots: pl.DataFrame, packs: frozenset[str], *, everything: bool) -> Lost:
    """Look at the recordings that the year's snapshots (SNAPSHOTS) have brought: at all, or at those damaged before.

    `packs` are known to be damaged. Where the catalog and the check show nothing, nothing is read.
    """
    known = centre.read(DAMAGED, centre.days(DAMAGED))
    known = known.filter((pl.col("station") == "in_snapshot") & (pl.col("repository_year") == year))
    days = centre.days(SNAPSHOT_FILES) if everything else known["day"].unique().to_list()
    held = checks.held_by(centre.read(SNAPSHOT_FILES, days), centre.read(INVENTORY, days), snapshots, year)
    sought = held if everything else held.join(known, on=checks.VERSION, how="semi")
    doubted = known.filter(pl.col("reason") == "other_bytes")
    return Lost(sought, _seek(centre, year, sought, packs, doubted))


def _seek(
    centre: Centre, year: int, sought: pl.DataFrame, packs: frozenset[str], doubted: pl.DataFrame
) -> pl.DataFrame:
    """Of the recordings `sought`, those that no snapshot of any year gives back, with `reason`."""
    reason = pl.lit("unreachable").alias("reason")
    left = sought.with_columns(reason)
    # The next years' snapshots hold the whole disk, too, and their repositories have bytes of their own.
    for place in [year, *(other for other in centre.repository.years() if other != year)]:
        if left.is_empty():
            break
        found = blobs(centre.repository, place, packs if place == year else frozenset())
        left = _seek_in(centre, place, left, found, doubted)
    return left


def _seek_in(centre: Centre, year: int, left: pl.DataFrame, found: Blobs, doubted: pl.DataFrame) -> pl.DataFrame:
    """What one year's repository does not give back. Newest snapshot first: what one has no other is asked for."""
    sound, known = pl.Series(sorted(found.sound), dtype=pl.String), pl.Series(sorted(found.known), dtype=pl.String)
    wrong = left.clear()
    for snapshot in arrivals.with_day(snapshots_left(centre.repository, year)).iter_rows(named=True):
        if left.is_empty():
            break
        root = recordings_root(snapshot["paths"])
        files = contents(centre.repository, year, snapshot["snapshot_id"], root, left["path"])
        reached = checks.reached(left, files, sound, known)
        unsure = reached.filter(~pl.col("is_sound") | pl.col("recording_id").is_in(doubted["recording_id"].implode()))
        pairs = [(snapshot["snapshot_id"], path) for path in unsure["path"]]
        got = pl.Series("got", digests(centre.repository, year, root, pairs), dtype=pl.String)
        is_wrong = pl.col("got").is_null() | (pl.col("got") != pl.col("sha256")).fill_null(value=False)
        bad = unsure.with_columns(got).filter(is_wrong)
        wrong = pl.concat([wrong, bad.with_columns(pl.lit("other_bytes").alias("reason")).select(left.columns)])
        left = left.join(reached, on=checks.VERSION, how="anti")
    return pl.concat([left, wrong])


def recordings_root(paths: Iterable[str]) -> Path:
    """Of the two folders that a snapshot holds, the one with the recordings."""
    return Path(next(path for path in paths if Path(path).name != STAGING))
