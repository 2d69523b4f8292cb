"""Fetching recordings, and how things stand: all from catalog, index and store."""

import hashlib
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from blocks.absence import absent_since
from blocks.catalog import Catalog
from blocks.errors import PermanentError
from blocks.query import CallQuery
from blocks.store import ObjectStore
from reconcile.frames import FINDINGS, SNAPSHOTS, SUMMARY
from voxkeep.carrying import disks_of
from voxkeep.console import out, table
from voxkeep.search import Wanted, businesses, find_calls
from voxkeep.services import places
from voxkeep.settings import Settings

# So many days back `status` looks for the last backup and for what is open.
STATUS_DAYS = 31
WATCH_SECONDS = 5.0


def get_recordings(home: Path, call: str, target: Path, business: str | None) -> list[dict[str, Any]]:
    """Write the recordings of a call to a file, or to a folder under their own names; each proved by its SHA-256.

    What is there already and is the recording stays, and is told as written.

    Raises:
        PermanentError: there is no such call, it has no recording, or several and `target` is no folder, another file
            has the name, or what the store holds is not what the source had.
    """
    found = find_calls(home, Wanted(CallQuery(call_id=call), business), everything=True).calls
    recordings = {r["recording_id"]: (c["business"], r) for c in found for r in c["recordings"]}
    if not recordings:
        cause = "no call has this id" if not found else "the call has no recording"
        raise PermanentError(
            operation="get a recording",
            subject=f"call {call}",
            cause=cause,
            remedy="look with `voxkeep find --call`",
        )
    into_folder = target.is_dir()
    if len(recordings) > 1 and not into_folder:
        raise PermanentError(
            operation="get a recording",
            subject=f"call {call}",
            cause=f"it has {len(recordings)} recordings",
            remedy=f"name a folder that exists: --out {target.parent}",
        )
    stores = {settings.business: places(settings).store for settings in businesses(home, business)}
    names = file_names({one: recording["path"] for one, (_, recording) in recordings.items()})
    written = []
    for (owner, recording), name in zip(recordings.values(), names, strict=True):
        file = target / name if into_folder else target
        written.append({"file": str(file), **_fetch(stores[owner], recording, file)})
    return written


def file_names(paths: dict[str, str]) -> list[str]:
    """A file's name for each recording's (id) path: its last part, after the id where several end alike."""
    ends = Counter(Path(path).name for path in paths.values())
    named = [(one, Path(path).name) for one, path in paths.items()]
    return [name if ends[name] == 1 else f"{one}_{name}" for one, name in named]


def _fetch(store: ObjectStore, recording: dict[str, Any], file: Path) -> dict[str, Any]:
    if os.path.lexists(file):
        if not (file.is_file() and os.access(file, os.R_OK) and _sha256(file) == recording["sha256"]):
            raise PermanentError(
                operation="get a recording",
                subject=str(file),
                cause="something else of this name is there, and stays as it is",
                remedy="name another file or folder with --out, or move that away",
            )
        return _told_of(recording)
    store.download(recording["key"], file)
    if _sha256(file) != recording["sha256"]:
        file.unlink()
        raise PermanentError(
            operation="get a recording",
            subject=recording["path"],
            cause="the stored object does not have the source's bytes",
            remedy="restore it from its snapshot; `voxkeep status` shows the finding",
        )
    return _told_of(recording)


def _told_of(recording: dict[str, Any]) -> dict[str, Any]:
    return {name: recording[name] for name in ("recording_id", "path", "size", "sha256")}


def _sha256(file: Path) -> str:
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def status_of(home: Path, until: date | None = None) -> dict[str, Any]:
    """Every business and site: last backup, calls complete, findings open, alerts that wait, disks that are away."""
    return {settings.business: _status_of(settings, until) for settings in businesses(home, None)}


def _status_of(settings: Settings, until: date | None) -> dict[str, Any]:
    catalog = places(settings).catalog
    outbox = Path(settings.storage) / "outbox" / settings.business
    sites = {}
    for name in settings.sites:
        days = catalog.days(SUMMARY.name, settings.business, name)
        last = until or max(days, default=None)
        shown = [day for day in days if last and last - timedelta(days=STATUS_DAYS) < day <= last]
        sites[name] = _status_of_site(settings, catalog, name, shown, until)
    disks = disks_of(settings, catalog, datetime.now(UTC)).filter(pl.col("state").is_in(["on_its_way", "missing"]))
    return {
        "title": settings.title,
        "sites": sites,
        "alerts_waiting": len(list(outbox.glob("*.json"))),
        "disks_away": disks.select("site", "label", "disk_id", "departed_at", "state").to_dicts(),
    }


def _status_of_site(
    settings: Settings, catalog: Catalog, site: str, days: list[date], until: date | None
) -> dict[str, Any]:
    # The newest may not have been reconciled yet.
    taken = sorted(day for day in catalog.days(SNAPSHOTS.name, settings.business, site) if not until or day <= until)
    snapshots = catalog.read(SNAPSHOTS.name, settings.business, site, taken[-STATUS_DAYS:], SNAPSHOTS.schema)
    summary = catalog.read(SUMMARY.name, settings.business, site, days, SUMMARY.schema)
    findings = catalog.read(FINDINGS.name, settings.business, site, days, FINDINGS.schema)
    counts = dict(findings.filter(pl.col("status") == "open")["severity"].value_counts().iter_rows())
    newest = snapshots.sort("taken_at").tail(1)
    total = summary.select(pl.col("calls", "recordings", "complete", "partial", "missing").sum()).row(0, named=True)
    must = total["complete"] + total["partial"] + total["missing"]
    return {
        "last_backup": newest["taken_at"][0].isoformat() if newest.height else None,
        "last_backup_day": str(newest["day"][0]) if newest.height else None,
        "calls": total["calls"],
        "recordings": total["recordings"],
        "coverage": total["complete"] / must if must else None,
        "disk_absent_since": absent_since(Path(settings.sites[site].staging or "")),
        "open": {severity: counts.get(severity, 0) for severity in ("critical", "major", "minor", "info")},
    }


def _told(status: dict[str, Any]) -> Iterator[str]:
    """What is told above the table."""
    waiting = sum(found["alerts_waiting"] for found in status.values())
    yield f"{waiting} alerts wait to be delivered" if waiting else "every alert was delivered"
    for business, found in status.items():
        for disk in found["disks_away"]:
            words = "is missing" if disk["state"] == "missing" else "is on its way"
            yield f"{business}/{disk['site']}: the disk {disk['label']} {words} since {disk['departed_at']:%Y-%m-%d}"
        for site, facts in found["sites"].items():
            if facts["disk_absent_since"]:
                yield f"{business}/{site}: no disk since {facts['disk_absent_since']:%Y-%m-%d}"


def is_well(status: dict[str, Any]) -> bool:
    """Whether every site has a backup and no finding of severity major or above, and no disk is missing."""
    sites = [site for found in status.values() for site in found["sites"].values()]
    disks = [disk for found in status.values() for disk in found["disks_away"]]
    are_well = [site["last_backup"] and not (site["open"]["critical"] or site["open"]["major"]) for site in sites]
    return all(are_well) and not any(disk["state"] == "missing" for disk in disks)


def show_status(status: dict[str, Any]) -> Table:
    """How things stand, as a table."""
    rows = []
    for business, found in status.items():
        for site, facts in found["sites"].items():
            coverage = f"{facts['coverage']:.1%}" if facts["coverage"] is not None else "-"
            is_open = facts["open"]
            rows.append(
                [
                    f"{business}/{site}",
                    facts["last_backup_day"] or "never",
                    coverage,
                    facts["calls"],
                    facts["recordings"],
                    is_open["critical"],
                    is_open["major"],
                    is_open["minor"],
                ]
            )
    return table(
        "; ".join(_told(status)),
        ["site", "last backup", "complete", "calls", "rec.", "critical", "major", "minor"],
        rows,
    )


def watch_status(home: Path) -> None:
    """Show how things stand, anew every few seconds, until interrupted; the last look stays on the terminal."""
    look = _looked(home)
    with suppress(KeyboardInterrupt), Live(look, console=out, auto_refresh=False) as page:
        while True:
            time.sleep(WATCH_SECONDS)
            page.update(_looked(home), refresh=True)


def _looked(home: Path) -> Group:
    when = datetime.now(UTC).astimezone()
    told = f"voxkeep, {when:%Y-%m-%d %H:%M:%S}, anew every {WATCH_SECONDS:.0f} s; Ctrl-C ends it"
    return Group(Text(told, style="dim"), show_status(status_of(home)))
