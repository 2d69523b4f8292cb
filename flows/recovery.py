"""On demand: the recordings of a site, back from the backup into a folder, proved by their SHA-256.

Day by day, from what the catalog knows and the repositories hold; a run that was stopped goes on where it was.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from os import fsdecode
from pathlib import Path
from time import monotonic
from typing import Any

import polars as pl
from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE

from blocks.business import STAGING, Business
from blocks.disk import hash_files
from blocks.errors import SettingsError
from blocks.paths import join_below, unescape_path
from blocks.repository import Restoring
from blocks.restored import flushing, remove_files, remove_other_versions
from blocks.saved import load
from flows.artifacts import show_done
from flows.centre import Centre, load_centre
from flows.errors import at
from flows.ingest import few_folders
from reconcile import arrivals
from reconcile.frames import INVENTORY, SNAPSHOT_FILES, SNAPSHOTS
from reconcile.recovery import KEPT, compared, counted, restorable

# What marks a folder as one into which a site was being restored.
MARK = ".voxkeep-restore.json"
_NAMED = 20


@flow(name="restore", flow_run_name="restore {business}/{site}")
def restore(business: str, site: str, into: str, day: date | None = None, since: date | None = None) -> dict[str, Any]:
    """Restore the site's recordings (of one day, since a day, or all) into the folder `into`, each proved.

    The folder must be new, empty, or one into which this site was being restored. What is there and right is kept;
    what is wrong is fetched again, once.
    """
    settings = load(Business, business)
    with at(f"{business}/{site}"):
        centre = load_centre(settings, site)
        target = own_folder(Path(into), centre)
        days = [known for known in centre.days(INVENTORY) if (since or known) <= known and (day or known) == known]
        done = restore_days(centre, days, target)
    show_done("restore", centre.name, done)
    return done


def own_folder(target: Path, centre: Centre) -> Path:
    """The folder, made and marked as this site's.

    Raises:
        SettingsError: something else is in it.
    """
    mine = {"business": centre.business.business, "site": centre.site}
    mark = target / MARK
    if mark.is_file() and json.loads(mark.read_text()) == mine:
        return target
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise SettingsError(
            operation=f"restore {centre.name}",
            subject=str(target),
            cause="something else is in it",
            remedy="name a new or an empty folder, or the one into which this site was being restored",
        )
    target.mkdir(parents=True, exist_ok=True)
    mark.write_text(json.dumps(mine))
    return target


@dataclass
class Progress:
    """How far it is, told with an estimate of the rest: at most every `every` seconds, by the log."""

    total: int
    told: Callable[[str], None]
    every: float = 10.0

    def __post_init__(self) -> None:
        self.began = self.last = monotonic()
        self.done = 0

    def move(self, done: int) -> None:
        """So many bytes are back."""
        self.done = done
        now = monotonic()
        if now - self.last >= self.every or done >= self.total:
            self.last = now
            self.told(self.words(now - self.began))

    def words(self, seconds: float) -> str:
        """`1.2 of 3.4 GB (35 %), about 2 min left`."""
        part = self.done / self.total if self.total else 1.0
        left = f", about {seconds / part * (1 - part) / 60:.0f} min left" if 0 < part < 1 else ""
        return f"{self.done / 1e9:,.1f} of {self.total / 1e9:,.1f} GB ({part:.0%}){left}"


def restore_days(centre: Centre, days: list[date], target: Path) -> dict[str, Any]:
    """Restore the recordings of these days; what was done, and what did not come back."""
    began, logger = monotonic(), get_run_logger()
    kept = kept_snapshots(centre)
    plan = {day: restorable_of(centre, [day], kept) for day in days}
    progress = Progress(
        sum(int(wanted["size"].sum()) for wanted in plan.values()),
        lambda words: logger.info("%s: %s", centre.name, words),
    )
    outcomes, behind = [compared(restorable_of(centre, [], kept), hash_files(target, []))], 0
    for day, wanted in plan.items():
        outcomes.append(restore_day(centre, wanted, target, lambda part, b=behind: progress.move(b + part)))  # type: ignore[misc]
        behind += int(wanted["size"].sum())
        progress.move(behind)
        logger.info("%s: %s: %s", centre.name, day, _told(outcomes[-1]))
    together = pl.concat(outcomes)
    lost = together.filter(pl.col("outcome") != "same")
    counts = counted(together.with_columns(played=pl.lit(None, pl.Boolean)))
    return {
        "business": centre.business.business,
        "site": centre.site,
        "into": str(target),
        "days": len(days),
        "recordings": together.height,
        **{name: counts[name] for name in ("same", "differing", "absent", "bytes")},
        "seconds": round(monotonic() - began, 1),
        "not_restored": lost["path"].head(_NAMED).to_list(),
    }


def _told(outcomes: pl.DataFrame) -> str:
    counts = outcomes["outcome"].value_counts().sort("outcome").rows()
    return ", ".join(f"{n} {outcome}" for outcome, n in counts) or "no recordings"


@task(name="restore day", cache_policy=NO_CACHE)
def restore_day(
    centre: Centre, wanted: pl.DataFrame, target: Path, move: Callable[[int], None] | None = None
) -> pl.DataFrame:
    """Restore these recordings (`restorable`); what became of each (`compared`). What is right already is kept."""
    remove_other_versions(target, wanted)
    fetch(centre, wanted.filter(~there(target, wanted)), target, move=move)
    with flushing(target):
        outcomes = compared(wanted, hash_files(target, wanted["path"].to_list()))
    again = outcomes.filter(pl.col("outcome") != "same").select(wanted.columns)
    if again.is_empty():
        return outcomes
    get_run_logger().warning("%s: %d recordings are not right; fetching them again", centre.name, again.height)
    remove_files(target, again["path"])
    fetch(centre, again, target)
    with flushing(target):
        return compared(wanted, hash_files(target, wanted["path"].to_list()))


def there(target: Path, wanted: pl.DataFrame) -> pl.Series:
    """Which of the recordings have a file below the folder."""
    return pl.Series([Path(fsdecode(join_below(target, path))).is_file() for path in wanted["path"]], dtype=pl.Boolean)


def kept_snapshots(centre: Centre) -> pl.DataFrame:
    """The snapshots (`KEPT`) that the site's repositories have, as they say themselves."""
    rows = [
        {"snapshot_id": found["snapshot_id"], "taken_at": found["taken_at"], "year": year, "root": root}
        for year in centre.repository.years()
        for found in arrivals.with_day(centre.repository.snapshots(year)).iter_rows(named=True)
        for root in [path for path in found["paths"] if Path(path).name != STAGING][:1]
    ]
    return pl.DataFrame(rows, schema=KEPT)


def restorable_of(centre: Centre, days: list[date], kept: pl.DataFrame) -> pl.DataFrame:
    """The recordings of these days with the snapshots to take them from (`restorable`)."""
    held = centre.read(SNAPSHOT_FILES, days)
    # A version is first held by a snapshot of its day or of a later one.
    snapshots = centre.catalog.read(SNAPSHOTS.name, centre.business.business, centre.site, None, SNAPSHOTS.schema)
    return restorable(centre.read(INVENTORY, days), held, snapshots, kept)


def fetch(
    centre: Centre,
    wanted: pl.DataFrame,
    target: Path,
    *,
    one_by_one: bool = False,
    cache: Path | None = None,
    move: Callable[[int], None] | None = None,
) -> None:
    """Have restic put the recordings (`restorable`) below `target`: by whole folders, or `one_by_one` where few."""
    behind = 0
    for row, part in _by_snapshot(wanted):
        size = int(part["size"].sum())

        def hear(status: dict[str, Any], behind: int = behind, size: int = size) -> None:
            if move:
                move(behind + int(size * status.get("percent_done", 0)))

        root, repository = row["root"].encode(errors="surrogateescape"), centre.repository
        if one_by_one:
            paths = tuple(unescape_path(path) for path in part["path"])
            repository.restore(row["year"], row["snapshot_id"], root, target, Restoring(paths, cache, hear))
        for folder in [] if one_by_one else few_folders({_folder(path) for path in part["path"]}):
            below, place = (b"/" + folder if folder else b""), target / Path(fsdecode(folder))
            repository.restore(row["year"], row["snapshot_id"], root + below, place, Restoring((), cache, hear))
        behind += size


def _by_snapshot(wanted: pl.DataFrame) -> Iterator[tuple[dict[str, Any], pl.DataFrame]]:
    known = wanted.drop_nulls("snapshot_id")
    for _, part in known.group_by("snapshot_id", maintain_order=True):
        yield part.row(0, named=True), part


def _folder(path: str) -> bytes:
    return unescape_path(path).rpartition(b"/")[0]


def age_seconds(kept: pl.DataFrame, now: datetime) -> float | None:
    """How old the newest snapshot is; None where there is none."""
    newest = kept["taken_at"].max()
    return (now - newest.astimezone(UTC)).total_seconds() if isinstance(newest, datetime) else None
