"""Centrally: discover → restore → verify → publish → index.

A snapshot counts as ingested only when all of it is done, so that a run which is killed is simply run again.
"""

import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE

from blocks.business import SAMPLE, STAGING, Business
from blocks.catalog import Catalog
from blocks.datapackage import read_datapackage
from blocks.disk import hash_files
from blocks.elastic import ElasticIndex
from blocks.errors import TransientError
from blocks.index import CatalogIndex
from blocks.lock import exclusive, in_turn
from blocks.paths import join_below, unescape_path
from blocks.repository import Repository
from blocks.restored import flushing, remove_files, remove_other_versions
from blocks.saved import load, load_index
from blocks.store import ObjectStore, Proof, Publication
from flows.admission import admitted, admitted_notes
from flows.artifacts import show_done
from flows.damage import Look, note_check, note_damage
from flows.days import days_between, following, today, with_neighbours
from flows.errors import OUR_ERRORS, at
from flows.pings import pinged
from flows.runs import LIVE, Stages
from flows.untraced import mark
from reconcile import arrivals, checks
from reconcile.calls import read_calls, read_notes
from reconcile.documents import differing, documents
from reconcile.errors import UnreadableError
from reconcile.frames import (
    CALLS,
    EXTRACTS,
    GATHERED,
    GONE,
    INVENTORY,
    LISTENABLE,
    NOTES,
    PURGED,
    QUARANTINE,
    REJECTED,
    RESTORED,
    RUNS,
    SNAPSHOT_FILES,
    SNAPSHOTS,
    TRACE,
    UNINDEXED,
    Frame,
    conform,
)
from reconcile.listenable import newly_listenable
from reconcile.matching import match
from reconcile.purge import read_report, with_purged
from reconcile.recordings import name_files, object_key
from reconcile.rules import Rules
from reconcile.snapshots import renamed
from reconcile.tables import read_table

# More folders than this are restored by folders above them: each takes a call of restic.
FEW_FOLDERS = 6
# So many days are indexed together: their documents and recordings are in memory.
INDEXED_TOGETHER = 7


@dataclass(frozen=True)
class Centre:
    """The central side of one site of one business, with its blocks and rules."""

    business: Business
    site: str
    rules: Rules
    repository: Repository
    catalog: Catalog
    store: ObjectStore
    index: CatalogIndex | ElasticIndex

    @property
    def name(self) -> str:
        """Business and site as people write them."""
        return f"{self.business.business}/{self.site}"

    def read(self, frame: Frame, days: list[date]) -> pl.DataFrame:
        """The site's partitions of these days."""
        return self.catalog.read(frame.name, self.business.business, self.site, days, frame.schema)

    def days(self, frame: Frame) -> list[date]:
        """The days of which there is a partition, in order."""
        return self.catalog.days(frame.name, self.business.business, self.site)

    def write(self, frame: Frame, day: date, rows: pl.DataFrame) -> None:
        """Replace one partition."""
        self.catalog.write(frame.name, self.business.business, self.site, day, conform(rows, frame))

    def gather(self, days: Iterable[date]) -> None:
        """Bring the months of these days up to date in `summaries/`, where analysts read."""
        for month in sorted({day.replace(day=1) for day in days}):
            for frame in GATHERED:
                self.catalog.gather(frame.name, self.business.business, self.site, month, frame.schema)


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


@dataclass(frozen=True)
class Verified:
    """The restored files by their own bytes: RESTORED, and how each was when it was hashed (`HASHED_SCHEMA`)."""

    restored: pl.DataFrame
    hashed: pl.DataFrame


@flow(name="ingest", flow_run_name="ingest {business}")
def ingest(
    business: str, site: str | None = None, snapshot_id: str | None = None, since: date | None = None
) -> dict[str, Any]:
    """Take in every snapshot of the business (of one site) that the catalog does not have yet, oldest first.

    A site that fails does not keep the others waiting; its error is raised at the end. `snapshot_id` is the one that
    an event told of: a hint that is only logged, for what is new is found out from the repositories alone. `since`:
    only snapshots of this business day or later, which costs nothing of the history.
    """
    if snapshot_id:
        get_run_logger().info("%s/%s: an event tells of snapshot %s", business, site, snapshot_id[:8])
    settings = load(Business, business)
    done: dict[str, Any] = {
        "business": business,
        "snapshots": [],
        "restored": 0,
        "published": 0,
        "quarantined": 0,
        "rejected": 0,
        "suppressed": 0,
        "days_unindexed": 0,
    }
    failures: list[Exception] = []
    for name in [site] if site else list(settings.sites):
        try:
            with (
                at(f"{business}/{name}"),
                pinged(settings, name, "ingest"),
                in_turn(turn(business, name) if settings.has_workers else None, "ingest"),
                exclusive(settings.lock(f"ingest-{name}"), "ingest"),
            ):
                ingest_site(load_centre(settings, name), done, since)
        except OUR_ERRORS as error:
            get_run_logger().error("%s", error)
            failures.append(error)
    if done["snapshots"] or done["rejected"]:
        show_done("ingest", business, done)
    if failures:
        raise failures[0]
    return done


def remember(centre: Centre, stages: Stages) -> None:
    """Remember of these stages, which have succeeded, when and how long they were at it."""
    day = today(datetime.now(UTC), centre.rules.time_zone)
    keys = {"business": centre.business.business, "site": centre.site, "day": day}
    centre.write(RUNS, day, stages.into(centre.read(RUNS, [day]), keys))


def turn(business: str, site: str) -> str:
    """Name of the concurrency limit that keeps two ingests of one site apart, on whatever machines they run."""
    return f"voxkeep-ingest-{business}-{site}"


def ingest_site(centre: Centre, done: dict[str, Any], since: date | None = None) -> None:
    """Take in the site's new snapshots, once what waits for the index is in it; what was done is added to `done`."""
    stages = Stages()
    with stages.timed("ingest"):
        waiting = unindexed(centre, since)
        if waiting:
            done["rejected"] += catch_up(centre, waiting)
        for row in discover(centre, since).iter_rows(named=True):
            ingested = ingest_snapshot(centre, row, stages)
            done["snapshots"].append(row["snapshot_id"])
            for count, value in ingested.items():
                done[count] += value
    remember(centre, stages)
    done["days_unindexed"] += len(unindexed(centre, since))


def load_centre(settings: Business, site: str) -> Centre:
    """The central side of one site, with its blocks."""
    name = settings.business
    return Centre(
        business=settings,
        site=site,
        rules=Rules.model_validate(settings.rules),
        repository=load(Repository, f"{name}--{site}--restore"),  # its key can only read
        catalog=load(Catalog, name),
        store=load(ObjectStore, name),
        index=load_index(name),
    )


@task(name="discover", cache_policy=NO_CACHE)
def discover(centre: Centre, since: date | None = None) -> pl.DataFrame:
    """The site's snapshots that are not ingested, oldest first: snapshot_id, year, day, taken_at, paths."""
    years = [year for year in centre.repository.years() if since is None or year >= since.year]
    found = [centre.repository.snapshots(year).with_columns(pl.lit(year).alias("year")) for year in years]
    if not found:
        return pl.DataFrame(schema={"snapshot_id": pl.String})
    ours = arrivals.with_beside(arrivals.with_day(pl.concat(found)), pl.concat(found))
    follow(centre, ours)
    ours = ours.filter(pl.col("day") >= (since or date.min))
    fresh = arrivals.not_ingested(ours, centre.read(SNAPSHOTS, _days(ours)))
    get_run_logger().info("%s: %d new snapshots of %d", centre.name, fresh.height, ours.height)
    return fresh


def follow(centre: Centre, found: pl.DataFrame) -> None:
    """Give the catalog the new ids of snapshots that were written anew: they are ingested already, and not lost."""
    names = arrivals.written_anew(found, centre.read(SNAPSHOTS, _days(found)))
    if not names:
        return
    business = centre.business.business
    # The list of snapshots comes last, so that a killed run is taken up again.
    for frame in (SNAPSHOT_FILES, RESTORED, SNAPSHOTS):
        rows = centre.catalog.scan(frame.name, business, centre.site, None, frame.schema)
        for day in _days(rows.filter(pl.col("snapshot_id").is_in(list(names))).select("day").collect()):
            centre.write(frame, day, renamed(centre.read(frame, [day]), names))
    get_run_logger().info("%s: %d snapshots were written anew", centre.name, len(names))


def ingest_snapshot(centre: Centre, row: dict[str, Any], stages: Stages) -> dict[str, int]:
    """Take in one snapshot; returns how many recordings were restored and published, rows set aside and rejected."""
    stages.add_backup(row)
    with stages.timed("unpack"):
        snapshot = unpack(centre, row)
    whole = conform(pl.read_parquet(snapshot.folder / "inventory.parquet"), INVENTORY)
    inventory = admitted(centre, "recording", whole)
    fresh = arrivals.still_to_restore(inventory, centre.read(RESTORED, _days(inventory)))
    listed = list_held.submit(centre, snapshot, pl.concat([fresh, arrivals.moving(inventory)]))
    with stages.timed("restore"):
        restore(centre, snapshot, fresh)
    with stages.timed("verify"):
        verified = verify(centre, snapshot, fresh)
    with stages.timed("publish"):
        published, restored = publish(centre, fresh, verified)
    held = listed.result()
    days = sorted({*_covered(snapshot), *_days(inventory)})
    before = live_documents(centre, days) if snapshot.live else None
    with stages.timed("catalogue"):
        quarantined = catalogue(centre, snapshot, inventory, held, restored)
    compare_sample(centre, snapshot)
    with stages.timed("index"):
        rejected = index(centre, days, before)
    finish(centre, snapshot, inventory)
    return {
        "restored": restored.height, "published": published, "quarantined": quarantined, "rejected": rejected,
        "suppressed": whole.height - inventory.height,
    }  # fmt: skip


def _days(frame: pl.DataFrame) -> list[date]:
    return frame["day"].drop_nulls().unique().sort().to_list()


@task(name="unpack", cache_policy=NO_CACHE)
def unpack(centre: Centre, row: dict[str, Any]) -> Snapshot:
    """Restore what the site has put beside its recordings, and read what it says of itself."""
    folder = centre.business.work(centre.site) / row["snapshot_id"]
    shutil.rmtree(folder, ignore_errors=True)
    staging = next(path for path in row["paths"] if Path(path).name == STAGING)
    centre.repository.restore(row["year"], row["snapshot_id"], Path(staging), folder)
    if row.get("beside_id"):  # what an erasure has left out of it, without the person's rows
        centre.repository.restore(row["year"], row["beside_id"], Path(row["beside_path"]), folder)
    run = json.loads((folder / "run.json").read_text())
    unread = run.get("disk", {}).get("unread_folders")  # older programs did not tell
    return Snapshot(
        snapshot_id=row["snapshot_id"],
        year=row["year"],
        taken_at=row["taken_at"],
        folder=folder,
        root=run["root"],
        day=date.fromisoformat(run["day"]),
        first_day=date.fromisoformat(run["first_day"]),
        kinds=run["datasets"],
        inventory_whole=unread == 0 if unread is not None else None,
        live=LIVE in row["tags"],
    )


@task(name="restore", cache_policy=NO_CACHE)
def restore(centre: Centre, snapshot: Snapshot, fresh: pl.DataFrame) -> None:
    """Restore the folders in which there is something new: the inventory against the catalog is the difference.

    It is exact to the file and keeps names without loss, which `restic diff` does not. An older version is removed
    first: restic would write into it, and so into the object that shares its bytes.
    """
    folders = few_folders({unescape_path(path).rpartition(b"/")[0] for path in fresh["path"]})
    target = centre.business.restored(centre.site)
    remove_other_versions(target, fresh)
    for folder in folders:
        source = snapshot.root.encode() + (b"/" + folder if folder else b"")
        centre.repository.restore(snapshot.year, snapshot.snapshot_id, source, target / Path(_path(folder)))
    get_run_logger().info("%s: %d recordings to restore, from %d folders", centre.name, fresh.height, len(folders))


def _path(name: bytes) -> str:
    return name.decode(errors="surrogateescape")


def few_folders(folders: set[bytes]) -> list[bytes]:
    """Folders that hold all these folders, few enough for a call of restic each."""
    while len(folders) > FEW_FOLDERS:
        deepest = max(folder.count(b"/") for folder in folders)
        folders = {folder.rpartition(b"/")[0] if folder.count(b"/") == deepest else folder for folder in folders}
    return sorted(f for f in folders if not any(f != other and _inside(f, other) for other in folders))


def _inside(folder: bytes, other: bytes) -> bool:
    return other == b"" or folder.startswith(other + b"/")


@task(name="list", cache_policy=NO_CACHE)
def list_held(centre: Centre, snapshot: Snapshot, wanted: pl.DataFrame) -> pl.DataFrame:
    """SNAPSHOT_FILES: what the snapshot itself says it holds of the wanted recordings."""
    root = Path(snapshot.root)
    folders = sorted({(bytes(root) + b"/" + unescape_path(path)).rpartition(b"/")[0] for path in wanted["path"]})
    files = centre.repository.files(snapshot.year, snapshot.snapshot_id, root, folders)
    return arrivals.held_recordings(wanted, files, snapshot.snapshot_id)


@task(name="verify", cache_policy=NO_CACHE)
def verify(centre: Centre, snapshot: Snapshot, fresh: pl.DataFrame) -> Verified:
    """The restored files by their own bytes; one that is wrong is removed and fetched again, once."""
    root = centre.business.restored(centre.site)
    with flushing(root):
        hashed = hash_files(root, fresh["path"].to_list())
    restored = arrivals.restored_recordings(fresh, hashed, snapshot.snapshot_id)
    wrong = arrivals.damaged(fresh, restored)
    if wrong.height:
        get_run_logger().warning(
            "%s: %d restored files have wrong bytes; fetching them again", centre.name, wrong.height
        )
        remove_files(root, wrong["path"])
        restore.fn(centre, snapshot, wrong)
        with flushing(root):
            again = hash_files(root, wrong["path"].to_list())
        hashed = pl.concat([hashed, again])
        restored = arrivals.instead(restored, arrivals.restored_recordings(wrong, again, snapshot.snapshot_id))
    get_run_logger().info(
        "%s: %d of %d restored files verified",
        centre.name,
        fresh.height - arrivals.damaged(fresh, restored).height,
        fresh.height,
    )
    return Verified(restored, hashed)


@task(name="publish", cache_policy=NO_CACHE)
def publish(centre: Centre, fresh: pl.DataFrame, verified: Verified) -> tuple[int, pl.DataFrame]:
    """Publish each proved recording as one object, created once.

    Returns how many were new, and RESTORED with what the store took.
    """
    root = centre.business.restored(centre.site)
    ready = arrivals.ready_to_publish(fresh, verified.restored).with_columns(object_key().alias("key"))
    offered = arrivals.with_proof(ready, verified.hashed)
    done = centre.store.publish(
        Publication(
            key=key,
            source=join_below(root, path),
            size=size,
            sha256=sha256,
            metadata={"name": path},
            proof=Proof(inode, ctime_ns),
        )
        for key, path, size, sha256, inode, ctime_ns in offered.select(
            "key", "path", "size", "sha256", "inode", "ctime_ns"
        ).rows()
    )
    for refused in done.refused:
        get_run_logger().error("%s: not published: %s: %s", centre.name, refused.key, refused.cause)
    get_run_logger().info("%s: %d recordings published, %d were there", centre.name, done.published, done.already)
    return done.published, arrivals.with_outcome(verified.restored, ready, [refused.key for refused in done.refused])


@task(name="catalogue", cache_policy=NO_CACHE)
def catalogue(
    centre: Centre, snapshot: Snapshot, inventory: pl.DataFrame, held: pl.DataFrame, restored: pl.DataFrame
) -> int:
    """Take everything into the catalog, a partition a day; returns the number of rows set aside."""
    for frame, arrived in ((INVENTORY, inventory), (SNAPSHOT_FILES, held), (RESTORED, restored)):
        for day in _days(arrived):
            part = arrived.filter(pl.col("day") == day)
            centre.write(frame, day, arrivals.newest_versions(centre.read(frame, [day]), part))
    _take_reports(centre, snapshot)
    newer = _newer(centre, snapshot)
    _miss(centre, snapshot, inventory, newer)
    tables = _read_tables(centre, snapshot)
    traced = [day for day in _days(inventory) if centre.read(TRACE, [day]).height]
    rows = [day for table in tables.values() for day in _days(table)]
    changed = sorted({*_covered(snapshot), *rows, *traced})
    mark(centre.catalog, centre.business.business, centre.site, changed, snapshot.snapshot_id)
    files = tables[EXTRACTS.name].select("dataset", "source_file")
    if newer:
        known = centre.read(EXTRACTS, newer)
        files = files.join(known, on=["dataset", "source_file"], how="anti")
        tables = {name: rows.join(files, on=["dataset", "source_file"], how="semi") for name, rows in tables.items()}
    if files.height:
        for frame in (CALLS, NOTES, QUARANTINE, EXTRACTS):
            arrived = tables[frame.name]
            for day in sorted({*_covered(snapshot), *_days(arrived)}):
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
    return [day for day in _covered(snapshot) if any(first <= day <= last for first, last in spans)]


def _miss(centre: Centre, snapshot: Snapshot, inventory: pl.DataFrame, newer: list[date]) -> None:
    """GONE of the days that the snapshot covers: what was on the source disk before and is not in this inventory."""
    days = [day for day in _covered(snapshot) if day not in newer]
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
        for day in _days(told):
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
    known = centre.read(INVENTORY, _days(sample))
    compared, other = checks.altered(sample, known)
    for day in _days(compared):
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


def _covered(snapshot: Snapshot) -> list[date]:
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
    days = _days(rows)
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


@task(name="index", cache_policy=NO_CACHE)
def index(centre: Centre, days: list[date], before: pl.DataFrame | None = None) -> int:
    """Bring the call index of the days concerned up to date; returns how many documents it refused.

    `before`: the documents that it holds of them, so that only what differs is looked at. An index that does not answer
    keeps no snapshot waiting: the days are remembered, and every later ingest tries them.
    """
    if before is None:
        return index_or_remember(centre, days)
    after = pl.concat(found for _, found in documents_by_day(centre, days))
    differs = differing(before, after)
    if differs is None:
        return index_or_remember(centre, days)
    try:
        rejected = sum(_index_some(centre, day, differs.filter(pl.col("day") == day)) for day in days)
    except TransientError as error:
        _wait_for_index(centre, days, error)
        return 0
    for day in days:
        _indexed(centre, day)
    return rejected


def live_documents(centre: Centre, days: list[date]) -> pl.DataFrame | None:
    """The documents of these days, as the index holds them; None where one of them waits for it.

    Until what comes now is indexed, too, the days wait: a run that is killed meanwhile is made good by the next.
    """
    if any(centre.read(UNINDEXED, [day]).height for day in days):
        return None
    found = pl.concat(documents for _, documents in documents_by_day(centre, days))
    _waits(centre, days)
    return found


def _index_some(centre: Centre, day: date, calls: pl.DataFrame) -> int:
    """Make these documents the index's of their calls; the others of the day stay. Returns how many it refused."""
    if calls.is_empty():
        return 0
    done = centre.index.update(centre.business.business, centre.site, day, calls)
    known = centre.read(REJECTED, [day])
    rejected = pl.concat([known.join(calls, on="call_uid", how="anti"), done.rejected])
    if not rejected.equals(known):
        centre.write(REJECTED, day, rejected)
    _hearable(centre, day, calls.join(done.rejected, on="call_uid", how="anti"))
    get_run_logger().info("%s: %s: %d calls of the day indexed anew", centre.name, day, calls.height)
    return done.rejected.height


@task(name="index what waits", cache_policy=NO_CACHE)
def catch_up(centre: Centre, days: list[date]) -> int:
    """Index the days that wait for the call index; returns how many documents it refused."""
    return index_or_remember(centre, days)


def index_or_remember(centre: Centre, days: list[date]) -> int:
    """Index these days; those for which the index does not answer are UNINDEXED. Returns the number of rejected."""
    rejected, left = 0, days
    try:
        for some in together(days):
            for day, calls in documents_by_day(centre, some):
                rejected += index_day(centre, day, calls)
                left = left[1:]
    except TransientError as error:
        _wait_for_index(centre, left, error)
    return rejected


def _wait_for_index(centre: Centre, days: list[date], error: TransientError) -> None:
    get_run_logger().warning("%s: %d days wait for the call index: %s", centre.name, len(days), error)
    _waits(centre, days)


def _waits(centre: Centre, days: list[date]) -> None:
    """Remember that these days are to be indexed."""
    now = datetime.now(UTC)
    for day in days:
        if centre.read(UNINDEXED, [day]).is_empty():
            row = {"business": centre.business.business, "site": centre.site, "day": day, "since": now}
            centre.write(UNINDEXED, day, pl.DataFrame([row], schema=UNINDEXED.schema))


def _indexed(centre: Centre, day: date) -> None:
    """Forget that the day is to be indexed."""
    if centre.read(UNINDEXED, [day]).height:
        centre.write(UNINDEXED, day, UNINDEXED.empty())


def together(days: list[date]) -> list[list[date]]:
    """The days (in order), cut where one is missing and where there are too many to have in memory."""
    runs = following(days)
    return [run[at : at + INDEXED_TOGETHER] for run in runs for at in range(0, len(run), INDEXED_TOGETHER)]


def documents_by_day(centre: Centre, days: list[date]) -> list[tuple[date, pl.DataFrame]]:
    """The search documents of each day: every call with its notes and recordings, from the catalog."""
    around = with_neighbours(days)
    calls, notes, versions = (centre.read(frame, around) for frame in (CALLS, NOTES, INVENTORY))
    recordings = arrivals.newest_versions(versions, versions.clear())
    matches = match(calls.unique("call_uid", keep="first", maintain_order=True).lazy(), recordings.lazy(), centre.rules)
    found = documents(calls, notes, recordings, matches, centre.rules.numbers)
    return [(day, found.filter(pl.col("day") == day)) for day in days]


def index_day(centre: Centre, day: date, calls: pl.DataFrame, *, anew: bool = False) -> int:
    """Make these documents the index's of this day; what it refuses is REJECTED, and counted."""
    done = centre.index.replace(centre.business.business, centre.site, day, calls, anew=anew)
    if done.rejected.height or centre.read(REJECTED, [day]).height:
        centre.write(REJECTED, day, done.rejected)
    _indexed(centre, day)
    _hearable(centre, day, calls.join(done.rejected, on="call_uid", how="anti"))
    with_recording = calls.filter(pl.col("recordings").list.len() > 0).height
    get_run_logger().info(
        "%s: %s: %d calls indexed, %d with a recording, %d rejected",
        centre.name, day, calls.height - done.rejected.height, with_recording, done.rejected.height,
    )  # fmt: skip
    return done.rejected.height


def _hearable(centre: Centre, day: date, indexed: pl.DataFrame) -> None:
    """Remember since when each of these calls can be heard."""
    known, restored = centre.read(LISTENABLE, [day]), centre.read(RESTORED, with_neighbours([day]))
    new = newly_listenable(indexed, restored, known, datetime.now(UTC))
    if new.height:
        centre.write(LISTENABLE, day, pl.concat([known, new]))


def unindexed(centre: Centre, since: date | None = None) -> list[date]:
    """The site's days (from `since` on) that wait for the call index, in order."""
    business, days = centre.business.business, None
    if since:
        days = days_between(since, max(since, today(datetime.now(UTC), centre.rules.time_zone)))
    return _days(centre.catalog.read(UNINDEXED.name, business, centre.site, days, UNINDEXED.schema))


@task(name="finish", cache_policy=NO_CACHE)
def finish(centre: Centre, snapshot: Snapshot, inventory: pl.DataFrame) -> None:
    """Remember that the snapshot is ingested: the last step, so that a killed run is taken up again."""
    restored = arrivals.of_snapshot(centre.read(RESTORED, _days(inventory)), snapshot.snapshot_id)
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
