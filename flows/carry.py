"""At the centre: a disk that was carried in is verified, copied and ingested. On both sides: the ledger of disks.

What is copied gets new snapshot ids; CARRIED remembers the old ones. A snapshot that came once never comes again, even
where retention or an erasure has changed it since.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE

from blocks.business import Business
from blocks.catalog import Catalog
from blocks.disk_label import DiskLabel, find_disk, label_of
from blocks.errors import PermanentError, SettingsError, TransientError
from blocks.lock import exclusive
from blocks.packs import damaged_packs
from blocks.repository import SNAPSHOT_SCHEMA, Repository
from blocks.saved import load
from flows.artifacts import show_done
from flows.days import today
from flows.errors import at
from flows.ingest import ingest
from reconcile import disks
from reconcile.arrivals import with_day
from reconcile.frames import CARRIED, DISKS, INSTANT, Frame, conform

_LOOK = "look who had the disk, keep it as it is, and have the site carry in another one"


@dataclass(frozen=True)
class Disk:
    """A disk at hand, and what the ledger knows of the site's disks."""

    business: Business
    label: DiskLabel
    repository: Repository
    centre: Repository
    catalog: Catalog

    @property
    def name(self) -> str:
        """What people call the disk, and its business and site."""
        return f"{self.label.label} of {self.label.business}/{self.label.site}"

    @property
    def ledger(self) -> pl.DataFrame:
        """DISKS of this disk."""
        return self._all(DISKS).filter(pl.col("disk_id") == self.label.disk_id)

    @property
    def carried(self) -> pl.DataFrame:
        """CARRIED of the site."""
        return self._all(CARRIED)

    def refused(self, cause: str, remedy: str = _LOOK) -> PermanentError:
        """The error that refuses the disk."""
        return PermanentError(operation="take in a disk", subject=self.name, cause=cause, remedy=remedy)

    def write(self, frame: Frame, day: date, rows: pl.DataFrame) -> None:
        """Replace one of the site's partitions."""
        self.catalog.write(frame.name, self.label.business, self.label.site, day, rows)

    def enter(self, row: dict[str, Any]) -> None:
        """Enter a row into the ledger DISKS."""
        known = self._all(DISKS).filter(pl.col("day") == row["day"])
        self.write(DISKS, row["day"], disks.with_row(known, row))

    def _all(self, frame: Frame) -> pl.DataFrame:
        return self.catalog.read(frame.name, self.label.business, self.label.site, None, frame.schema)


@flow(name="carry", flow_run_name="carry {folder}")
def carry(folder: str) -> dict[str, Any]:
    """Take in the disk whose repositories lie in this folder: verify, copy, ingest.

    Twice is harmless; after kill -9, or when the disk was pulled out, the same again goes on. A disk that is another's,
    is not in the ledger, or does not hold what it must, is refused before anything is copied.
    """
    disk = open_disk(Path(folder))
    business, site = disk.label.business, disk.label.site
    with at(f"{business}/{site}"), exclusive(disk.business.lock(f"carry-{site}"), "take in a disk"):
        taken = recognise(disk)
        fresh = not_carried(disk, taken)
        years = sorted(fresh["year"].unique())
        for year in years:
            verify(disk, year)
        for year in years:
            copy(disk, year, fresh.filter(pl.col("year") == year)["snapshot_id"].to_list())
        remember(disk, taken)
        arrive(disk, fresh)
    done = {
        "business": business, "site": site, "disk": disk.label.label, "disk_id": disk.label.disk_id,
        "snapshots_on_disk": taken.height, "copied": fresh.height,
        "same_chunks": all(disk.centre.cutting(year) == disk.repository.cutting(year) for year in years),
    }  # fmt: skip
    done |= {name: value for name, value in ingest(business, site).items() if name != "business"}
    show_done("carry", f"{business}/{site}", done)
    return done


def open_disk(folder: Path) -> Disk:
    """The disk whose repositories lie in this folder, or below it.

    Raises:
        PermanentError: it is no disk of a business and site that is known here.
    """
    place, label = find_disk(folder)
    try:
        business = load(Business, label.business)
        own = load(Repository, f"{label.business}--{label.site}")
        is_carried = business.sites[label.site].disk is not None
    except (SettingsError, KeyError):
        raise PermanentError(
            operation="take in a disk",
            subject=f"{label.label} of {label.business}/{label.site}",
            cause="this business and site are not known here",
            remedy="give the disk back, or run `voxkeep apply` with the settings that have the site",
        ) from None
    return Disk(
        business=business,
        label=label,
        repository=Repository(location=str(place.resolve()), password=own.password),
        centre=load(Repository, f"{label.business}--{label.site}--carry") if is_carried else own,
        catalog=load(Catalog, label.business),
    )


@task(name="recognise", cache_policy=NO_CACHE)
def recognise(disk: Disk) -> pl.DataFrame:
    """The snapshots on the disk (with `year` and `day`), once it is known to be what the ledger says.

    Raises:
        PermanentError: the disk is not in the ledger, is another's, or lacks what it must hold.
    """
    if disk.ledger.is_empty():
        raise disk.refused(
            f"the ledger has no disk {disk.label.disk_id}: nobody has prepared it here or told of its departure",
            "enter the slip that the site got: `voxkeep carry depart voxkeep-disk:…`; where it has none, ask for it",
        )
    found = snapshots_of(disk)
    label = disk.label
    for row in found.iter_rows(named=True):
        if {f"business={label.business}", f"site={label.site}"} - set(row["tags"]):
            raise disk.refused(f"its snapshot {row['snapshot_id'][:8]} was taken by another business or site")
    gone = disks.vanished(disks.on_their_way(disk.ledger), found["snapshot_id"].to_list())
    if gone:
        names = ", ".join(name[:8] for name in gone[:10])
        raise disk.refused(f"{len(gone)} snapshots that were on it when it departed are gone: {names}")
    get_run_logger().info("%s: %d snapshots on it", disk.name, found.height)
    return found


def snapshots_of(disk: Disk) -> pl.DataFrame:
    """Every snapshot of voxkeep on the disk, oldest first, with `year`, `day` and `identity`: the id it first had.

    Raises:
        PermanentError: they cannot be read, or with another password than the site's only.
    """
    found = [SNAPSHOT_SCHEMA.to_frame().with_columns(pl.lit(None, pl.Int32).alias("year"))]
    with reading(disk):
        found += [
            disk.repository.snapshots(year).with_columns(pl.lit(year, pl.Int32).alias("year"))
            for year in disk.repository.years()
        ]
    identity = pl.coalesce("original", "snapshot_id").alias("identity")
    return with_day(pl.concat(found)).with_columns(identity).sort("taken_at", "snapshot_id")


def not_carried(disk: Disk, taken: pl.DataFrame) -> pl.DataFrame:
    """The snapshots (`snapshots_of`) that never came to the centre, on a disk or over the network."""
    here = [disk.centre.snapshots(year) for year in taken["year"].unique()]
    known = [disk.carried["original"], *(found[name] for found in here for name in ("snapshot_id", "original"))]
    return taken.filter(~pl.col("identity").is_in(pl.concat(known).drop_nulls().implode()))


@task(name="verify disk", cache_policy=NO_CACHE)
def verify(disk: Disk, year: int) -> None:
    """See that the year's repository on the disk is whole: its structure, and every pack that was not read before.

    Raises:
        PermanentError: it is damaged.
        TransientError: the disk cannot be read any more.
    """
    damaged = damaged_packs(Path(disk.repository.location) / str(year), _notes(disk, year, "verified"))
    if damaged:
        names = ", ".join(name[:8] for name in damaged[:10])
        raise disk.refused(f"{len(damaged)} packs of {year} are not as they were written: {names}")
    with reading(disk):
        disk.repository.check(year)
    get_run_logger().info("%s: the repository of %d is whole", disk.name, year)


@task(name="copy", cache_policy=NO_CACHE)
def copy(disk: Disk, year: int, snapshot_ids: list[str]) -> None:
    """Copy these snapshots into the central repository.

    What a run that was killed has copied is entered into the index first, and not copied again.

    Raises:
        TransientError: the disk has gone meanwhile.
    """
    begun = _notes(disk, year, "begun")
    if begun.exists():
        disk.centre.keep_sent(year)
    begun.touch()
    disk.centre.create(year, like=(disk.repository, year))
    try:
        disk.centre.copy_from(disk.repository, year, snapshot_ids)
    except PermanentError:
        _require_presence(disk)
        raise
    begun.unlink()
    get_run_logger().info("%s: %d snapshots of %d copied", disk.name, len(snapshot_ids), year)


def remember(disk: Disk, taken: pl.DataFrame) -> None:
    """CARRIED of the snapshots (`snapshots_of`) that were copied, by this run or by one that was killed."""
    known = disk.carried
    for year in taken["year"].unique().sort():
        here = disk.centre.snapshots(year).select(
            pl.col("snapshot_id").alias("copy"), pl.col("original").alias("identity")
        )
        fresh = taken.join(here, on="identity").join(known, left_on="identity", right_on="original", how="anti")
        rows = fresh.select(
            pl.lit(disk.label.business).alias("business"),
            pl.lit(disk.label.site).alias("site"),
            "day",
            pl.col("copy").alias("snapshot_id"),
            pl.col("identity").alias("original"),
            pl.lit(year, pl.Int32).alias("repository_year"),
            pl.lit(disk.label.disk_id).alias("disk_id"),
            pl.lit(datetime.now(UTC), INSTANT).alias("carried_at"),
        )
        for (day,), part in conform(rows, CARRIED).partition_by("day", as_dict=True).items():
            disk.write(CARRIED, day, pl.concat([known.filter(pl.col("day") == day), part]).sort("snapshot_id"))


def arrive(disk: Disk, fresh: pl.DataFrame) -> None:
    """Enter into the ledger that the disk has arrived; one that came without a word and brings something, too."""
    now = datetime.now(UTC)
    ways = disks.on_their_way(disk.ledger)
    rows = [row | {"arrived_at": now} for row in ways.iter_rows(named=True)]
    if fresh.height and not rows:
        known = disks.not_expected_before(fresh["snapshot_id"].to_list(), disk.ledger)
        rows = [row_of(disk.label, now) | {"expected": known, "departed_at": now, "arrived_at": now}]
    for row in rows:
        disk.enter(row)


def row_of(label: DiskLabel, when: datetime) -> dict[str, Any]:
    """A row of DISKS that says of the disk what its label says; `when` gives its day."""
    return {
        **label.model_dump(include={"disk_id", "label", "serial", "business", "site", "prepared_at"}),
        "day": today(when, "UTC"), "departed_at": None, "expected": [], "arrived_at": None,
    }  # fmt: skip


@contextmanager
def reading(disk: Disk) -> Iterator[None]:
    """Tell what cannot be read as the disk's fault, or that it is not there any more."""
    try:
        yield
    except PermanentError as error:
        _require_presence(disk)
        raise disk.refused(f"it cannot be read as it was written: {error.cause}") from None


def _require_presence(disk: Disk) -> None:
    with suppress(PermanentError):
        if label_of(Path(disk.repository.location)):
            return
    raise TransientError(
        operation="take in a disk",
        subject=disk.name,
        cause="it is not there any more",
        remedy="mount it again and run this again: it goes on where it was",
    ) from None


def _notes(disk: Disk, year: int, what: str) -> Path:
    """A file that makes going on cheaper; without it, all is read and copied anew."""
    return disk.business.work(disk.label.site) / f"disk-{disk.label.disk_id}" / f"{year}.{what}"
