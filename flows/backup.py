"""At the site: extract → inventory → backup → confirm.

Recordings come first: an extract that fails is told at the end, after the recordings are safe.
"""

import hashlib
import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl
from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run
from pydantic import BaseModel

from blocks.business import SAMPLE, STAGING, Business, SiteSettings
from blocks.datapackage import Resource, write_datapackage
from blocks.disk import Scan, hash_files, read_files, scan
from blocks.errors import OutOfTimeError, SettingsError, VoxkeepError
from blocks.lock import exclusive
from blocks.paths import unescape_path
from blocks.repository import Backup, Pace, Repository
from blocks.saved import find, taken
from blocks.source import SourceDatabase, sql_of_day
from flows.absence import look_for_disk
from flows.artifacts import show_done, show_progress
from flows.days import days_between, start_of, today, window
from flows.errors import at
from flows.pings import pinged
from flows.runs import BEGAN, LIVE
from flows.timetable import allowed, paced, refuse_overdue
from reconcile.arrivals import vanished, with_day
from reconcile.frames import INVENTORY, conform
from reconcile.hours import Timetable
from reconcile.recordings import name_files
from reconcile.rules import Rules

# A call that began yesterday is taken live as long as this.
LONGEST_CALL = timedelta(hours=1)


@dataclass(frozen=True)
class Place:
    """One site of one business, with its blocks and rules."""

    business: Business
    site: str
    settings: SiteSettings
    rules: Rules
    repository: Repository
    database: SourceDatabase | None

    @property
    def name(self) -> str:
        """Business and site as people write them."""
        return f"{self.business.business}/{self.site}"

    @property
    def root(self) -> Path:
        """The recordings root, with symbolic links resolved: of a link restic would keep only the link."""
        return Path(self.settings.recordings).resolve()

    @property
    def staging(self) -> Path:
        """What goes into the snapshot beside the recordings."""
        return Path(self.settings.staging).resolve() / STAGING

    @property
    def timetable(self) -> Timetable:
        """When it may back up, and how fast it may send."""
        return Timetable.model_validate(self.settings.timetable)

    @property
    def reports(self) -> Path:
        """Where `voxkeep purge` leaves what it has deleted."""
        return Path(self.settings.staging).resolve() / "purged"


class Live(BaseModel):
    """What the watcher has seen of the disk: files that are being written, and since when it sees every write."""

    growing: list[str] = []
    since: datetime | None = None


@flow(name="backup", flow_run_name="backup {business}/{site}")
def backup(business: str, site: str, day: date | None = None, live: Live | None = None) -> dict[str, Any]:
    """Back up one site: the business days up to `day` (today, where not given) and all its recordings.

    `live`: a batch of the watcher, which takes the day so far alone.

    Run twice, or after kill -9, it ends in the same state; where nothing has changed no snapshot is added. One that
    comes to the end of its hours goes on in the next, and fails only when a day is overdue.
    """
    with at(f"{business}/{site}"):
        place = load_place(business, site)
        with pinged(place.business, site, "backup"):
            look_for_disk(place.business, site)
            try:
                return back_up(place, day, live)
            except OutOfTimeError as error:
                return postpone(place, day, error)


def back_up(place: Place, day: date | None, live: Live | None = None) -> dict[str, Any]:
    """The steps of a backup, in their order; returns what was done."""
    business, site = place.business.business, place.site
    now = datetime.now(UTC)
    until = day or today(now, place.rules.time_zone)
    allowed(place.name, place.timetable, place.rules.time_zone)
    with exclusive(Path(place.settings.staging) / "backup.lock", f"back up {business}/{site}"):
        last = latest_snapshot(place.repository, until.year)
        days = live_days(place, until, now) if live and last else open_days(place, until, last)
        disk = scan_recordings(place)
        packed, failures = extract(place, days)
        inventory = take_inventory(place, disk, days, now, complete=last is None, live=live)
        if live is None:
            look_again(place, disk, until)
        content = stage(place, days, disk, inventory)
        tags = (f"{BEGAN}{now.isoformat()}", *([LIVE] if live and last else []))
        taken = take_snapshot(place, days, content, last, tags)
        if isinstance(taken, OutOfTimeError):
            raise taken
        lost = confirm(place, until.year, taken, inventory)
        _put_away(place)
    done = {
        "business": business,
        "site": site,
        "day": until.isoformat(),
        "snapshot_id": taken,
        "rows": packed,
        "recordings": inventory.height,
        "bytes": int(inventory["size"].sum()),
        "in_progress": inventory.filter(pl.col("state") == "in_progress").height,
        "vanished": lost["path"].to_list(),
        "refused": disk.refused["path"].to_list(),
    }
    show_done("backup", place.name, done)
    if failures:
        raise failures[0]
    return done


def postpone(place: Place, day: date | None, error: OutOfTimeError) -> dict[str, Any]:
    """What is told of a backup that goes on another time.

    Raises:
        TransientError: a day is overdue by now.
    """
    until = day or today(datetime.now(UTC), place.rules.time_zone)
    last = latest_snapshot(place.repository, until.year)
    waiting_since = min(last.day + timedelta(days=1) if last and last.day else place.settings.since or until, until)
    refuse_overdue(error, waiting_since, place.rules.time_zone, place.business.backup_due_hours)
    get_run_logger().warning("%s: goes on another time: %s; %s", place.name, error.cause, error.remedy)
    done = {
        "business": place.business.business, "site": place.site, "day": until.isoformat(),
        "snapshot_id": None, "goes_on": error.remedy,
    }  # fmt: skip
    show_done("backup", place.name, done)
    return done


def load_place(business: str, site: str) -> Place:
    """The site with its blocks.

    Raises:
        SettingsError: the business has no such site.
    """
    name = f"{business}--{site}"
    found = find([(Business, business), (Repository, name), (SourceDatabase, name)])
    settings = taken(found, Business, business)
    if site not in settings.sites:
        raise SettingsError(
            operation=f"work on {business}/{site}",
            subject=f"site {site}",
            cause=f"{business} has the sites {', '.join(settings.sites)}",
            remedy="name one of them, or add the site to the YAML and run `voxkeep apply`",
        )
    place = settings.sites[site]
    return Place(
        business=settings,
        site=site,
        settings=place,
        rules=Rules.model_validate(settings.rules),
        repository=taken(found, Repository, name),
        database=taken(found, SourceDatabase, name) if place.sql else None,
    )


@dataclass(frozen=True)
class Last:
    """The site's newest snapshot: its id and a digest of all that it holds; business day and first day of the last run.

    A batch of the watcher is no such run: what changes late in the days before it, it does not see.
    """

    snapshot_id: str
    year: int
    day: date | None
    first_day: date | None
    content: str


def latest_snapshot(repository: Repository, year: int) -> Last | None:
    """The site's newest snapshot in this year's repository or last year's; None where there is none yet."""
    newest = None
    for candidate in (year, year - 1):
        found = with_day(repository.snapshots(candidate))
        daily = found.filter(~pl.col("tags").list.contains(LIVE))
        if found.height and newest is None:
            newest = found.row(-1, named=True) | {"year": candidate}
        if newest and (daily.height or candidate < year):
            day, first = _days_of(daily.row(-1, named=True)) if daily.height else (None, None)
            return Last(newest["snapshot_id"], newest["year"], day, first, _tags(newest).get("content", ""))
    return None


def _days_of(snapshot: dict[str, Any]) -> tuple[date, date]:
    """Business day and first day that it took; older programs did not tell the first."""
    tags = _tags(snapshot)
    return date.fromisoformat(tags["day"]), date.fromisoformat(tags.get("first", tags["day"]))


def _tags(snapshot: dict[str, Any]) -> dict[str, str]:
    return dict(tag.split("=", 1) for tag in snapshot["tags"] if "=" in tag)


def open_days(place: Place, until: date, last: Last | None) -> list[date]:
    """The business days to take: `lookback` days, and those of every backup that was missed; none before `since`.

    The same day's next backup takes the same days again.
    """
    lookback = timedelta(days=place.business.lookback_days)
    first = until - lookback
    if last and last.day and last.first_day:
        again = last.first_day if last.day == until else last.day
        first = min(first, again, last.day + timedelta(days=1) - lookback)
    return days_between(min(max(first, place.settings.since or first), until), until)


def live_days(place: Place, until: date, now: datetime) -> list[date]:
    """The day so far, and the day before while calls of it may still be going on."""
    first = min(until, today(now - LONGEST_CALL, place.rules.time_zone))
    return days_between(max(first, place.settings.since or first), until)


@task(name="scan", cache_policy=NO_CACHE)
def scan_recordings(place: Place) -> Scan:
    """What lies below the recordings root; what is no plain file is told and never opened."""
    disk = scan(place.root)
    for row in disk.refused.iter_rows(named=True):
        get_run_logger().warning("%s: not a recording, not opened: %s (%s)", place.name, row["path"], row["reason"])
    return disk


@task(name="extract", cache_policy=NO_CACHE)
def extract(place: Place, days: list[date]) -> tuple[int, list[VoxkeepError]]:
    """Rows extracted into the new staging folder, and what went wrong with single datasets."""
    folder = _new_staging(place)
    resources: list[Resource] = []
    failures: list[VoxkeepError] = []
    for dataset, sql in place.settings.sql.items():
        try:
            resources += _extract_dataset(place, dataset, sql, days, folder)
        except VoxkeepError as error:
            get_run_logger().error("%s: dataset %s: %s", place.name, dataset, error)
            failures.append(error)
    write_datapackage(folder, resources)
    for dataset, source in place.settings.dropped.items():
        _take_dropped(Path(source), folder / "dropped" / dataset, start_of(days[0], place.rules.time_zone))
    rows = sum(resource.extract.rows for resource in resources)
    get_run_logger().info("%s: %d rows in %d extracts, %s to %s", place.name, rows, len(resources), days[0], days[-1])
    return rows, failures


def _new_staging(place: Place) -> Path:
    """An empty folder beside the staging folder, which it will replace."""
    folder = place.staging.with_suffix(".part")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _extract_dataset(place: Place, dataset: str, sql: str, days: list[date], folder: Path) -> list[Resource]:
    if place.database is None:
        raise SettingsError(
            operation=f"extract {dataset} of {place.name}",
            subject=f"site {place.site}",
            cause="it has no database",
            remedy="give it a `database`, or name the dataset's `sites`",
        )
    rules = place.rules
    source_zone = rules.datasets[dataset].time_zone or rules.time_zone
    resources = []
    for day in days:
        bounds = window(day, rules.time_zone, source_zone)
        target = folder / "extracts" / dataset / f"{day}.csv"
        target.parent.mkdir(parents=True, exist_ok=True)
        done = place.database.extract(sql_of_day(sql, day), dict(bounds), target)
        path = str(target.relative_to(folder))
        resources.append(
            Resource(path=path, dataset=dataset, extract=done, start=bounds["start"], end=bounds["end"], sql=sql)
        )
    return resources


def _take_dropped(source: Path, target: Path, since: datetime) -> None:
    """Copy what another system has dropped since then, as it is, with the datapackages beside it."""
    if not source.is_dir():
        raise SettingsError(
            operation="take ready-made files",
            subject=str(source),
            cause="there is no such folder",
            remedy="create it, or correct `dropped` in the site's settings",
        )
    target.mkdir(parents=True)
    for file in dropped_since(source, since):
        shutil.copy2(file, target / file.name)


def dropped_since(source: Path, since: datetime) -> list[Path]:
    """The files that another system has dropped into the folder since then, in order."""
    files = [file for file in sorted(source.iterdir()) if file.is_file() and not file.is_symlink()]
    arrived = [max(file.lstat().st_mtime, file.lstat().st_ctime) for file in files]
    return [file for file, at_time in zip(files, arrived, strict=True) if datetime.fromtimestamp(at_time, UTC) >= since]


@task(name="inventory", cache_policy=NO_CACHE)
def take_inventory(
    place: Place, disk: Scan, days: list[date], now: datetime, *, complete: bool, live: Live | None = None
) -> pl.DataFrame:
    """The recordings (INVENTORY) of the open days, and whatever else has arrived since their start.

    The first backup of a site (`complete`) takes every recording since the site's first day. Unchanged files are
    not hashed again.
    """
    rules = place.rules
    named = name_files(disk.files, business=place.business.business, site=place.site, rules=rules)
    arrived = pl.col("arrived_at") >= start_of(days[0], rules.time_zone)
    wanted = named.filter(complete | pl.col("day").is_between(days[0], days[-1]) | arrived)
    if place.settings.since:
        wanted = wanted.filter(pl.col("day") >= place.settings.since)
    read = read_files(
        place.root,
        wanted.select(disk.files.columns),
        cache=Path(place.settings.staging) / "hashes.parquet",
        now=now,
        quiet_period_seconds=quiet_period(place.business, live),
    )
    if live:
        read = read.with_columns(growing_state(live, now - timedelta(seconds=place.business.quiet_period_seconds)))
    inventory = name_files(read, business=place.business.business, site=place.site, rules=rules)
    states = inventory["state"].value_counts().sort("state").rows()
    told = ", ".join(f"{n} {s}" for s, n in states)
    get_run_logger().info("%s: %d recordings on site: %s", place.name, inventory.height, told or "none")
    return conform(inventory, INVENTORY).sort("path")


@task(name="look again", cache_policy=NO_CACHE)
def look_again(place: Place, disk: Scan, until: date) -> None:
    """Hash a sample of the recordings again, whatever is remembered of them: another one each day.

    The snapshot takes it along to the centre, which knows what every recording was when it was backed up.
    """
    chosen = disk.files.bottom_k(place.business.spot_check_files, by=pl.col("path").hash(until.toordinal()))
    hashed = hash_files(place.root, chosen["path"].sort().to_list())
    stood_still = hashed.filter(pl.col("inode").is_not_null())
    stood_still.select("path", "size", "mtime", "sha256").write_parquet(place.staging.with_suffix(".part") / SAMPLE)


def quiet_period(business: Business, live: Live | None) -> float:
    """How long a file must have been quiet to count as finished; not at all where every write of it was seen."""
    if live is None:
        return business.quiet_period_seconds
    return 0 if live.since or business.realtime is None else business.realtime.quiet_period_seconds


def growing_state(live: Live, quiet_since: datetime) -> pl.Expr:
    """The state, `in_progress` where the watcher sees a file grow, or did not see yet whether it does."""
    since = live.since.astimezone(UTC) if live.since else None
    unseen = pl.col("mtime").is_between(quiet_since, since) if since else pl.lit(False)
    moving = pl.col("path").is_in(live.growing) | unseen
    return (
        pl.when(moving & (pl.col("state") != "unreadable"))
        .then(pl.lit("in_progress"))
        .otherwise("state")
        .alias("state")
    )


@task(name="stage", cache_policy=NO_CACHE)
def stage(place: Place, days: list[date], disk: Scan, inventory: pl.DataFrame) -> str:
    """Put the new staging folder in place; returns a digest of all that the snapshot will hold."""
    folder = place.staging.with_suffix(".part")
    _take_reports(place, folder / "purged")
    inventory.write_parquet(folder / "inventory.parquet", compression="zstd", statistics=True)
    everything = disk.files.select("path", "size", "mtime_ns").hash_rows(seed=1).sort()
    run = {
        "business": place.business.business,
        "site": place.site,
        "day": days[-1].isoformat(),
        "first_day": days[0].isoformat(),
        "root": str(place.root),
        "datasets": {name: rules.kind for name, rules in place.rules.datasets.items()},
        "version": version("voxkeep"),
        "settings": place.business.model_dump(mode="json", include=set(Business.model_fields) - {"block_type_slug"}),
        "disk": {
            "files": disk.files.height,
            "unread_folders": disk.refused.filter(pl.col("kind") == "folder").height,
            "digest": _digest(everything.to_numpy().tobytes()),
        },
    }
    (folder / "run.json").write_text(json.dumps(run, ensure_ascii=False, indent=1, sort_keys=True))
    content = _digest(*(_named_content(folder, file) for file in sorted(folder.rglob("*")) if file.is_file()))
    shutil.rmtree(place.staging, ignore_errors=True)
    folder.rename(place.staging)
    return content


def _take_reports(place: Place, target: Path) -> None:
    """Copy what was reported of deletions (`voxkeep purge`): the centre learns of them with the snapshot."""
    for report in sorted(place.reports.glob("*.json")):
        target.mkdir(exist_ok=True)
        shutil.copy2(report, target / report.name)


def _put_away(place: Place) -> None:
    """Put the reports that are in the snapshot aside, so that each goes only once."""
    for report in (place.staging / "purged").glob("*.json"):
        (place.reports / "taken").mkdir(exist_ok=True)
        with suppress(FileNotFoundError):
            (place.reports / report.name).rename(place.reports / "taken" / report.name)


def _named_content(folder: Path, file: Path) -> bytes:
    with file.open("rb") as handle:
        return bytes(file.relative_to(folder)) + b"\0" + hashlib.file_digest(handle, "sha256").digest()


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


@task(name="snapshot", cache_policy=NO_CACHE)
def take_snapshot(
    place: Place, days: list[date], content: str, last: Last | None, more_tags: tuple[str, ...] = ()
) -> str | OutOfTimeError:
    """The id of the snapshot that holds this content: the last one, if nothing has changed since, or a new one.

    To run out of time is no failure of this step: it says so.
    """
    logger, until = get_run_logger(), days[-1]
    if last and last.year == until.year and last.content == content:
        logger.info("%s: nothing has changed since snapshot %s", place.name, last.snapshot_id[:8])
        return last.snapshot_id
    run = flow_run.get_name() or "by-hand"
    tags = [
        "latest",
        f"business={place.business.business}",
        f"site={place.site}",
        f"run={run.replace(',', ' ')}",
        f"day={until}",
        f"first={days[0]}",
        f"content={content}",
        *more_tags,
    ]
    parent = last.snapshot_id if last and last.year == until.year else None
    move = show_progress(place.name)

    def back_up_at(pace: Pace) -> Backup:
        heard = replace(pace, on_progress=_progress(place.name, move))
        sources = [place.root, place.staging]
        return place.repository.backup(until.year, sources, host=place.site, tags=tags, parent=parent, pace=heard)

    try:
        done = paced(place.name, place.timetable, place.rules.time_zone, back_up_at)
    except OutOfTimeError as error:
        return error
    move(1, f"snapshot {done.snapshot_id[:8]}, {done.bytes_added:,} bytes added")
    logger.info(
        "%s: snapshot %s: %d new files, %d changed, %d bytes added",
        place.name,
        done.snapshot_id[:8],
        done.files_new,
        done.files_changed,
        done.bytes_added,
    )
    if not done.complete:
        logger.warning("%s: restic could not read everything: %s", place.name, done.complaint)
    return done.snapshot_id


def _progress(name: str, move: Callable[[float, str], None]) -> Callable[[dict[str, Any]], None]:
    """Tell every further tenth of the work, in the log and as a bar."""
    told, logger = [0], get_run_logger()

    def hear(status: dict[str, Any]) -> None:
        tenth = int(status.get("percent_done", 0) * 10)
        if tenth > told[0]:
            told[0] = tenth
            words = f"{status.get('files_done', 0):,} of {status.get('total_files', 0):,} files"
            logger.info("%s: backup %d %%, %s", name, tenth * 10, words)
            move(tenth / 10, words)

    return hear


@task(name="confirm", cache_policy=NO_CACHE)
def confirm(place: Place, year: int, snapshot_id: str, inventory: pl.DataFrame) -> pl.DataFrame:
    """The recordings of the inventory that the snapshot does not hold."""
    root = place.root
    folders = sorted({_folder(root, path) for path in inventory["path"]})
    held = place.repository.files(year, snapshot_id, root, folders)
    lost = vanished(inventory, held)
    for path in lost["path"]:
        get_run_logger().error("%s: vanished before it was in the snapshot: %s", place.name, path)
    get_run_logger().info(
        "%s: snapshot %s holds %d of %d recordings",
        place.name,
        snapshot_id[:8],
        inventory.height - lost.height,
        inventory.height,
    )
    return lost


def _folder(root: Path, path: str) -> bytes:
    return (bytes(root) + b"/" + unescape_path(path)).rpartition(b"/")[0]
