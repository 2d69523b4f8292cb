"""Disks that are carried: what the command line does with them."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
from rich.table import Table

from blocks.catalog import Catalog
from blocks.errors import SettingsError
from reconcile import disks
from reconcile.frames import DISKS
from voxkeep.console import err, table
from voxkeep.search import businesses
from voxkeep.services import places
from voxkeep.settings import Settings


def prepare_disk(home: Path, folder: Path, business: str | None, site: str | None, label: str | None) -> dict[str, Any]:
    """Make this folder a disk of the site.

    Raises:
        SettingsError: it is not clear which site's, or the disk has no name.
    """
    known = [
        (settings.business, name)
        for settings in businesses(home, business)
        for name, found in settings.sites.items()
        if (site or name) == name and (site or found.repository)
    ]
    if len(known) != 1 or not label:
        wanted = ", ".join("/".join(one) for one in known)
        raise SettingsError(
            operation="prepare a disk",
            subject=str(folder),
            cause=f"it could be one of {wanted}"
            if len(known) > 1
            else "no such site"
            if not known
            else "it has no name",
            remedy="give --business, --site and --label: what stands on the disk's sticker",
        )
    from flows.disks import prepare  # noqa: PLC0415

    done = prepare(folder.absolute(), *known[0], label)
    if done["on_the_disk_of_the_recordings"]:
        err.print(f"[yellow]{folder} lies on the same disk as the recordings: that is no second copy of them[/]")
    return done


def depart(what: str) -> dict[str, Any]:
    """The disk in this folder leaves the site; or, at the centre, what its slip says is entered."""
    from flows.disks import announce  # noqa: PLC0415
    from flows.disks import depart as leave  # noqa: PLC0415

    return announce(what) if what.startswith(disks.SLIP) else leave(Path(what))


def take_in(folder: Path) -> dict[str, Any]:
    """Verify, copy and ingest the disk that is mounted here."""
    from flows.carry import carry  # noqa: PLC0415

    done: dict[str, Any] = carry(str(folder.absolute()))
    return done


def ledger(home: Path, business: str | None) -> list[dict[str, Any]]:
    """Every disk, with where it is."""
    now = datetime.now(UTC)
    found = [disks_of(settings, places(settings).catalog, now) for settings in businesses(home, business)]
    return [row for part in found for row in part.to_dicts()]


def disks_of(settings: Settings, catalog: Catalog, now: datetime) -> pl.DataFrame:
    """The newest row (DISKS) of each disk of the business, with its `state`."""
    return pl.concat(
        disks.newest(
            catalog.read(DISKS.name, settings.business, name, None, DISKS.schema), site.carry.transit_days, now
        )
        for name, site in settings.sites.items()
    )


def show_ledger(found: list[dict[str, Any]]) -> Table:
    """The ledger as a table."""
    rows = [
        [
            f"{disk['business']}/{disk['site']}", disk["label"], disk["serial"], disk["state"].replace("_", " "),
            f"{disk['departed_at']:%Y-%m-%d}" if disk["departed_at"] else "-",
            f"{disk['arrived_at']:%Y-%m-%d}" if disk["arrived_at"] else "-",
            len(disk["expected"]),
        ]
        for disk in found
    ]  # fmt: skip
    columns = ["site", "disk", "serial", "where", "departed", "arrived", "snapshots"]
    return table(f"{len(found)} disks", columns, rows, numbers_from=6)
