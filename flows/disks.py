"""The ledger of disks as people work with it: a disk is prepared, departs, is told of to the centre, and is missed."""

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from blocks.business import Business
from blocks.catalog import Catalog
from blocks.disk_label import label_disk
from blocks.errors import PermanentError, SettingsError
from blocks.notifier import Delivery, Notifier
from blocks.repository import Repository
from blocks.saved import load
from flows.carry import Disk, open_disk, row_of, snapshots_of
from flows.days import today
from reconcile import disks
from reconcile.frames import DISKS

_TOLD = {
    "zh": (
        "{title}：硬盘 {label} 未到",
        (
            "站点 {site} 的硬盘 {label}（序列号 {serial}）{departed:%Y-%m-%d} 已寄出，{days:g} 天内应到，至今未到。"
            "请查明它在谁手里；盘上数据是加密的。"
        ),
    ),
    "en": (
        "{title}: the disk {label} has not arrived",
        (
            "The disk {label} of the site {site} (serial number {serial}) departed on {departed:%Y-%m-%d}, should have "
            "arrived within {days:g} days, and has not. Find out who has it; what is on it is encrypted."
        ),
    ),
}


def prepare(folder: Path, business: str, site: str, label: str) -> dict[str, Any]:
    """Make this folder a disk of the site, and enter it into the ledger; twice is harmless.

    Where a repository of the site can be seen from here, that of the disk cuts large files at the same places.
    """
    settings = load(Business, business)
    if site not in settings.sites:
        raise SettingsError(
            operation=f"prepare a disk of {business}/{site}",
            subject=f"site {site}",
            cause=f"{business} has the sites {', '.join(settings.sites)}",
            remedy="name one of them with --site",
        )
    made = label_disk(folder, business, site, label)
    disk = open_disk(folder)
    if disk.ledger.is_empty():
        disk.enter(row_of(made, made.prepared_at))
    year = today(datetime.now(UTC), settings.rules["time_zone"]).year
    like = _seen(disk, year)
    if like:
        disk.repository.create(year, like=(like, year))
    beside = Path(settings.sites[site].recordings)
    return {
        **made.model_dump(mode="json"),
        "folder": str(folder),
        "on_the_disk_of_the_recordings": beside.exists() and beside.stat().st_dev == folder.stat().st_dev,
    }


def _seen(disk: Disk, year: int) -> Repository | None:
    """Another repository of the site and year: the central one, or that of the disk that is in use at the site."""
    used = load(Repository, f"{disk.label.business}--{disk.label.site}")
    for other in (disk.centre, used):
        with suppress(PermanentError):
            if other.location != disk.repository.location and year in other.years():
                return other
    return None


def depart(folder: Path) -> dict[str, Any]:
    """Enter into the ledger that the disk leaves the site; `slip` is what the centre must be told, on another way.

    Once a disk has departed, the same again gives the same slip, until there is something new on it.
    """
    disk = open_disk(folder)
    ids = snapshots_of(disk)["snapshot_id"].to_list()
    fresh = disks.not_expected_before(ids, disk.ledger)
    ways = disks.on_their_way(disk.ledger).sort("departed_at")
    if fresh or ways.is_empty():
        now = datetime.now(UTC)
        row = row_of(disk.label, now) | {"departed_at": now, "expected": fresh}
        disk.enter(row)
    else:
        row = ways.row(-1, named=True)
    return _told(row) | {"slip": disks.write_slip(row)}


def announce(slip: str) -> dict[str, Any]:
    """Enter at the centre what the slip of a disk says; twice is harmless."""
    row = disks.read_slip(slip)
    catalog = load(Catalog, row["business"])
    known = catalog.read(DISKS.name, row["business"], row["site"], [row["day"]], DISKS.schema)
    same = known.filter((pl.col("disk_id") == row["disk_id"]) & (pl.col("departed_at") == row["departed_at"]))
    if same.is_empty():
        catalog.write(DISKS.name, row["business"], row["site"], row["day"], disks.with_row(known, row))
    return _told(row)


def _told(row: dict[str, Any]) -> dict[str, Any]:
    plain = {name: row[name] for name in ("business", "site", "label", "serial", "disk_id", "departed_at")}
    return plain | {"snapshots": len(row["expected"])}


def ledger(settings: Business, catalog: Catalog, now: datetime) -> pl.DataFrame:
    """The newest row (DISKS) of each disk of the business, with its `state`."""
    parts = [
        disks.newest(_of_site(catalog, settings, name), site.carry.transit_days, now)
        for name, site in settings.sites.items()
    ]
    return pl.concat(parts)


def _of_site(catalog: Catalog, settings: Business, site: str) -> pl.DataFrame:
    return catalog.read(DISKS.name, settings.business, site, None, DISKS.schema)


def tell_missing(settings: Business, now: datetime) -> list[Delivery]:
    """Alarm about each disk that departed and did not arrive in time, once a day."""
    found = ledger(settings, load(Catalog, settings.business), now).filter(pl.col("state") == "missing")
    if found.is_empty():
        return []
    notifier = load(Notifier, settings.business)
    title, text = _TOLD["en" if settings.language == "en" else "zh"]
    deliveries: list[Delivery] = []
    for row in found.iter_rows(named=True):
        said = {
            "title": settings.title, "label": row["label"], "site": settings.sites[row["site"]].title or row["site"],
            "serial": row["serial"], "departed": row["departed_at"],
            "days": settings.sites[row["site"]].carry.transit_days,
        }  # fmt: skip
        deliveries += notifier.send(title.format(**said), text.format(**said), "critical")
    return deliveries
