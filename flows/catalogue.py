"""What came with a snapshot, taken into the catalog: recordings, rows of the extracts, reports of deletions."""

import shutil
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from blocks.business import SAMPLE
from blocks.datapackage import read_datapackage
from blocks.disk import hash_files
from flows.admission import admitted, admitted_notes
from flows.centre import Centre
from flows.damage import Look, note_check, note_damage
from flows.days import days_in
from flows.untraced import mark
from reconcile import arrivals, checks
from reconcile.calls import read_calls, read_notes
from reconcile.errors import UnreadableError
from reconcile.frames import (
    CALLS,
    EXTRACTS,
    GONE,
    INVENTORY,
    NOTES,
    PURGED,
    QUARANTINE,
    RESTORED,
    SNAPSHOT_FILES,
    SNAPSHOTS,
    TRACE,
)
from reconcile.purge import read_report, with_purged
from reconcile.recordings import name_files
from reconcile.tables import read_table


@dataclass(frozen=True)
class Snapshot:
    """A snapshot that is not ingested yet: what restic knows, and what its run.json says."""

    snapshot_id: str
    year: int
    taken_at: Any
    folder: Path
    root: str
    day: date
    first_day: date
    kinds: dict[str, str]
    inventory_whole: bool | None
    live: bool


@task(name="catalogue", cache_policy=NO_CACHE)
def catalogue(
    centre: Centre, snapshot: Snapshot, inventory: pl.DataFrame, held: pl.DataFrame, restored: pl.DataFrame
) -> int:
    """Take everything into the catalog, a partition a day; returns the number of rows set aside."""
    for frame, arrived in ((INVENTORY, inventory), (SNAPSHOT_FILES, held), (RESTORED, restored)):
        for day in days_in(arrived):
            part = arrived.filter(pl.col("day") == day)
            centre.write(frame, day, arrivals.newest_versions(centre.read(frame, [day]), part))
    _take_reports(centre, snapshot)
    newer = _newer(centre, snapshot)
    _miss(centre, snapshot, inventory, newer)
    tables = _read_tables(centre, snapshot)
    traced = [day for day in days_in(inventory) if centre.read(TRACE, [day]).height]
    rows = [day for table in tables.values() for day in days_in(table)]
    changed = sorted({*covered(snapshot), *rows, *traced})
    mark(centre.catalog, centre.business.business, centre.site, changed, snapshot.snapshot_id)
    files = tables[EXTRACTS.name].select("dataset", "source_file")
    if newer:
        known = centre.read(EXTRACTS, newer)
        files = files.join(known, on=["dataset", "source_file"], how="anti")
        tables = {name: rows.join(files, on=["dataset", "source_file"], how="semi") for name, rows in tables.items()}
    if files.height:
        for frame in (CALLS, NOTES, QUARANTINE, EXTRACTS):
            arrived = tables[frame.name]
            for day in sorted({*covered(snapshot), *days_in(arrived)}):
                part = arrived.filter(pl.col("day") == day)
                known = centre.read(frame, [day])
                if known.height or part.height:
                    centre.write(frame, day, arrivals.replace_files(known, part, files))
    return tables[QUARANTINE.name].height


def _newer(centre: Centre, snapshot: Snapshot) -> list[date]:
    """The days of this snapshot of which a newer one was ingested already: it came late, on a disk.

    What the newer one says of files of the same name, and of what is gone, holds.
    """
    partitions = centre.catalog.partitions(SNAPSHOTS.name, centre.business.business, snapshot.first_day)
    known = centre.read(SNAPSHOTS, [found.day for found in partitions if found.site == centre.site])
    newer = known.filter(pl.col("taken_at") > snapshot.taken_at)
    spans = newer.select("first_day", "day").rows()
    return [day for day in covered(snapshot) if any(first <= day <= last for first, last in spans)]


def _miss(centre: Centre, snapshot: Snapshot, inventory: pl.DataFrame, newer: list[date]) -> None:
    """GONE of the days that the snapshot covers: what was on the source disk before and is not in this inventory."""
    days = [day for day in covered(snapshot) if day not in newer]
    earlier = centre.read(SNAPSHOTS, days).filter(pl.col("taken_at") < snapshot.taken_at)
    for day in days:
        known = centre.read(GONE, [day])
        gone = arrivals.back(known, inventory)
        if snapshot.inventory_whole:
            gone = arrivals.gone(centre.read(INVENTORY, [day]), inventory, gone, earlier, snapshot.taken_at)
        if known.height or gone.height:
            centre.write(GONE, day, arrivals.explained(gone, centre.read(PURGED, [day])))


def _take_reports(centre: Centre, snapshot: Snapshot) -> None:
    """PURGED of what the site reports to have deleted as signed lists allowed; a report that is none is set aside."""
    business, site = centre.business.business, centre.site
    for file in sorted(snapshot.folder.glob("purged/*.json")):
        try:
            told = read_report(file.read_bytes(), business, site)
        except UnreadableError as error:
            _set_report_aside(centre, snapshot, f"purged/{file.name}", str(error))
            continue
        for day in days_in(told):
            part = with_purged(centre.read(PURGED, [day]), told.filter(pl.col("day") == day))
            centre.write(PURGED, day, part)
            if centre.read(GONE, [day]).height:
                centre.write(GONE, day, arrivals.explained(centre.read(GONE, [day]), part))
        get_run_logger().info("%s: %d recordings were purged at the source", centre.name, told.height)


def _set_report_aside(centre: Centre, snapshot: Snapshot, name: str, reason: str) -> None:
    row = {
        "business": centre.business.business, "site": centre.site, "dataset": "purged", "day": snapshot.day,
        "source_file": name, "source_row": 1, "reason": reason, "raw": "",
    }  # fmt: skip
    known = centre.read(QUARANTINE, [snapshot.day]).filter(pl.col("source_file") != name)
    centre.write(QUARANTINE, snapshot.day, pl.concat([known, pl.DataFrame([row], schema=QUARANTINE.schema)]))


@task(name="compare sample", cache_policy=NO_CACHE)
def compare_sample(centre: Centre, snapshot: Snapshot) -> None:
    """Compare what the site has hashed again with what the catalog knows of it: DAMAGED at the source, and CHECKS."""
    file = snapshot.folder / SAMPLE
    if not file.is_file():
        return
    business = centre.business.business
    sample = name_files(pl.read_parquet(file), business=business, site=centre.site, rules=centre.rules)
    known = centre.read(INVENTORY, days_in(sample))
    compared, other = checks.altered(sample, known)
    for day in days_in(compared):
        look = Look("on_site", compared.filter(pl.col("day") == day), other.filter(pl.col("day") == day))
        if note_damage(centre, day, look, snapshot.taken_at):
            mark(centre.catalog, business, centre.site, [day], snapshot.snapshot_id)
    row = {
        "business": business, "site": centre.site, "day": snapshot.day, "kind": "source",
        "verdict": "damaged" if other.height else "sound", "looked_at": compared.height,
        "bytes": int(compared["size"].sum()), "concerned": other.height, "said": "", "seconds": 0.0,
        "checked_at": snapshot.taken_at,
    }  # fmt: skip
    note_check(centre, row)


def covered(snapshot: Snapshot) -> list[date]:
    """The business days of which the snapshot tells."""
    return pl.date_range(snapshot.first_day, snapshot.day, "1d", eager=True).to_list()


def _read_tables(centre: Centre, snapshot: Snapshot) -> dict[str, pl.DataFrame]:
    """CALLS, NOTES, QUARANTINE and EXTRACTS of all files that came with the snapshot, by their names."""
    read: dict[str, list[pl.DataFrame]] = {
        frame.name: [frame.empty()] for frame in (CALLS, NOTES, QUARANTINE, EXTRACTS)
    }
    for file in sorted(snapshot.folder.glob("extracts/*/*.csv")):
        _read_file(centre, snapshot, file, date.fromisoformat(file.stem), read)
    for file in sorted(snapshot.folder.glob("dropped/*/*")):
        if not file.name.endswith("datapackage.json"):
            _read_file(centre, snapshot, file, None, read)
    return {name: pl.concat(parts) for name, parts in read.items()}


def _read_file(
    centre: Centre, snapshot: Snapshot, file: Path, day: date | None, read: dict[str, list[pl.DataFrame]]
) -> None:
    """Read one file; a ready-made one belongs to the first day of its rows."""
    dataset, source_file = file.parent.name, str(file.relative_to(snapshot.folder))
    rules = centre.rules.datasets.get(dataset)
    if rules is None:
        get_run_logger().warning("%s: the settings no longer know the dataset %s", source_file, dataset)
        return
    table = read_table(file, header=rules.header)
    reader, frame = (read_notes, NOTES) if rules.kind == "notes" else (read_calls, CALLS)
    rows, set_aside = reader(
        table,
        business=centre.business.business,
        site=centre.site,
        dataset=dataset,
        rules=rules,
        time_zone=centre.rules.time_zone,
        source_file=source_file,
        day=day,
    )
    days = days_in(rows)
    day = day or (days[0] if days else snapshot.day)
    rows = rows.with_columns(pl.col("day").fill_null(day))
    read[frame.name].append(admitted_notes(centre, rows) if frame is NOTES else admitted(centre, "call", rows))
    read[QUARANTINE.name].append(admitted(centre, "row", set_aside.with_columns(pl.col("day").fill_null(day))))
    read[EXTRACTS.name].append(_arrival(centre, snapshot, file, day, rows.height, set_aside.height))


def _arrival(centre: Centre, snapshot: Snapshot, file: Path, day: date, ok: int, set_aside: int) -> pl.DataFrame:
    """EXTRACTS: one file as it arrived, beside what its datapackage says of it."""
    beside = [
        file.with_name(f"{file.stem}.datapackage.json"),
        file.with_name("datapackage.json"),
        snapshot.folder / "datapackage.json",
    ]
    package = next((path for path in beside if path.is_file()), None)
    sent: dict[str, Any] = {}
    if package:
        said = read_datapackage(package)
        mine = said.filter(pl.col("path") == str(file.relative_to(package.parent)))
        sent = mine.row(0, named=True) if mine.height else {}
    found = hash_files(file.parent, [file.name]).row(0, named=True)
    row = {
        "business": centre.business.business,
        "site": centre.site,
        "day": day,
        "dataset": file.parent.name,
        "source_file": str(file.relative_to(snapshot.folder)),
        "expected_rows": sent.get("rows"),
        "expected_bytes": sent.get("bytes"),
        "expected_sha256": sent.get("sha256"),
        "rows_in": ok + set_aside,
        "rows_ok": ok,
        "rows_quarantined": set_aside,
        "bytes": found["size"],
        "sha256": found["sha256"],
    }
    return pl.DataFrame([row], schema=EXTRACTS.schema)


@task(name="finish", cache_policy=NO_CACHE)
def finish(centre: Centre, snapshot: Snapshot, inventory: pl.DataFrame) -> None:
    """Remember that the snapshot is ingested: the last step, so that a killed run is taken up again."""
    restored = arrivals.of_snapshot(centre.read(RESTORED, days_in(inventory)), snapshot.snapshot_id)
    row = {
        "business": centre.business.business,
        "site": centre.site,
        "day": snapshot.day,
        "snapshot_id": snapshot.snapshot_id,
        "repository_year": snapshot.year,
        "taken_at": snapshot.taken_at,
        "first_day": snapshot.first_day,
        "files": restored.height,
        "bytes": int(restored["size"].sum()),
        "inventory_whole": snapshot.inventory_whole,
    }
    known = centre.read(SNAPSHOTS, [snapshot.day])
    centre.write(SNAPSHOTS, snapshot.day, arrivals.with_snapshot(known, pl.DataFrame([row], schema=SNAPSHOTS.schema)))
    shutil.rmtree(snapshot.folder, ignore_errors=True)
