"""Centrally: discover → restore → verify → publish → index.

A snapshot counts as ingested only when all of it is done, so that a run which is killed is simply run again.
"""

import json
import os
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE

from blocks.business import STAGING, Business
from blocks.disk import hash_files
from blocks.lock import exclusive, in_turn
from blocks.paths import join_below, unescape_path
from blocks.restored import flushing, remove_files, remove_other_versions
from blocks.saved import load
from blocks.store import Proof, Publication
from flows.admission import admitted
from flows.artifacts import show_done
from flows.catalogue import Snapshot, catalogue, compare_sample, covered, finish
from flows.centre import Centre, load_centre, remember, turn
from flows.days import days_in
from flows.decisions import refuse_forgotten
from flows.errors import OUR_ERRORS, at
from flows.indexing import catch_up, index, live_documents, unindexed
from flows.pings import pinged
from flows.runs import LIVE, Stages
from reconcile import arrivals
from reconcile.frames import (
    INVENTORY,
    RESTORED,
    SNAPSHOT_FILES,
    SNAPSHOTS,
    conform,
)
from reconcile.recordings import object_key
from reconcile.snapshots import renamed

# More folders than this are restored by folders above them: each takes a call of restic.
FEW_FOLDERS = 6
# What an ingest counts.
COUNTS = ("restored", "published", "quarantined", "rejected", "suppressed", "days_unindexed")


@dataclass(frozen=True)
class Verified:
    """The restored files by their own bytes: RESTORED, and how each was when it was hashed (`HASHED_SCHEMA`)."""

    restored: pl.DataFrame
    hashed: pl.DataFrame


@dataclass(frozen=True)
class Ingested:
    """What was done of one site: the snapshots taken in, and `COUNTS`."""

    snapshots: list[str]
    counts: Counter[str]


@flow(name="ingest", flow_run_name="ingest {business}")
def ingest(
    business: str, site: str | None = None, snapshot_id: str | None = None, since: date | None = None
) -> dict[str, Any]:
    """Take in every snapshot of the business (of one site) that the catalog does not have yet, oldest first.

    As many sites at a time as there are processors: restic needs half a second of one for each thing it is asked.
    A site that fails does not keep the others waiting; its error is raised at the end. `snapshot_id` is the one that
    an event told of: a hint that is only logged, for what is new is found out from the repositories alone. `since`:
    only snapshots of this business day or later, which costs nothing of the history.
    """
    if snapshot_id:
        get_run_logger().info("%s/%s: an event tells of snapshot %s", business, site, snapshot_id[:8])
    settings = load(Business, business)

    def take_in(name: str) -> Ingested | Exception:
        """What was done of the site, or why it failed: whatever that is, the other sites go on."""
        try:
            with (
                at(f"{business}/{name}"),
                pinged(settings, name, "ingest"),
                in_turn(turn(business, name) if settings.has_workers else None, "ingest"),
                exclusive(settings.lock(f"ingest-{name}"), "ingest"),
            ):
                return ingest_site(load_centre(settings, name), since)
        except OUR_ERRORS as error:
            get_run_logger().error("%s", error)
            return error
        except Exception as error:  # noqa: BLE001  # raised at the end
            get_run_logger().exception("%s/%s", business, name)
            return error

    names = [site] if site else list(settings.sites)
    with ThreadPoolExecutor(min(len(names), os.cpu_count() or 1)) as pool:
        # Each with the context of this run, in which Prefect's tasks find it.
        running = [pool.submit(copy_context().run, take_in, name) for name in names]
        try:
            ended = [one.result() for one in running]
        except BaseException:  # the run is ended: no other site begins
            pool.shutdown(cancel_futures=True)
            raise
    parts = [one for one in ended if not isinstance(one, Exception)]
    failures = [one for one in ended if isinstance(one, Exception)]
    counts: Counter[str] = Counter(dict.fromkeys(COUNTS, 0))
    for part in parts:
        counts.update(part.counts)
    done = {"business": business, "snapshots": [one for part in parts for one in part.snapshots], **counts}
    if done["snapshots"] or done["rejected"]:
        show_done("ingest", business, done)
    if failures:
        raise failures[0]
    return done


def ingest_site(centre: Centre, since: date | None = None) -> Ingested:
    """Take in the site's new snapshots, once what waits for the index is in it."""
    stages, snapshots, counts = Stages(), [], Counter[str]()
    if not centre.days(SNAPSHOTS):
        refuse_forgotten(centre)  # the catalog is new, or lost
    with stages.timed("ingest"):
        waiting = unindexed(centre, since)
        if waiting:
            counts["rejected"] += catch_up(centre, waiting)
        for row in discover(centre, since).iter_rows(named=True):
            counts.update(ingest_snapshot(centre, row, stages))
            snapshots.append(row["snapshot_id"])
    remember(centre, stages)
    counts["days_unindexed"] += len(unindexed(centre, since))
    return Ingested(snapshots, counts)


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
    fresh = arrivals.not_ingested(ours, centre.read(SNAPSHOTS, days_in(ours)))
    get_run_logger().info("%s: %d new snapshots of %d", centre.name, fresh.height, ours.height)
    return fresh


def follow(centre: Centre, found: pl.DataFrame) -> None:
    """Give the catalog the new ids of snapshots that were written anew: they are ingested already, and not lost."""
    names = arrivals.written_anew(found, centre.read(SNAPSHOTS, days_in(found)))
    if not names:
        return
    business = centre.business.business
    # The list of snapshots comes last, so that a killed run is taken up again.
    for frame in (SNAPSHOT_FILES, RESTORED, SNAPSHOTS):
        rows = centre.catalog.scan(frame.name, business, centre.site, None, frame.schema)
        for day in days_in(rows.filter(pl.col("snapshot_id").is_in(list(names))).select("day").collect()):
            centre.write(frame, day, renamed(centre.read(frame, [day]), names))
    get_run_logger().info("%s: %d snapshots were written anew", centre.name, len(names))


def ingest_snapshot(centre: Centre, row: dict[str, Any], stages: Stages) -> dict[str, int]:
    """Take in one snapshot; returns how many recordings were restored and published, rows set aside and rejected."""
    stages.add_backup(row)
    with stages.timed("unpack"):
        snapshot = unpack(centre, row)
    whole = conform(pl.read_parquet(snapshot.folder / "inventory.parquet"), INVENTORY)
    inventory = admitted(centre, "recording", whole)
    fresh = arrivals.still_to_restore(inventory, centre.read(RESTORED, days_in(inventory)))
    listed = list_held.submit(centre, snapshot, pl.concat([fresh, arrivals.moving(inventory)]))
    with stages.timed("restore"):
        restore(centre, snapshot, fresh)
    with stages.timed("verify"):
        verified = verify(centre, snapshot, fresh)
    with stages.timed("publish"):
        published, restored = publish(centre, fresh, verified)
    held = listed.result()
    days = sorted({*covered(snapshot), *days_in(inventory)})
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
