"""The repositories of a site: a year's dropped whole when its time is over, snapshots forgotten that others outlive."""

from collections.abc import Iterable
from datetime import date
from pathlib import Path

import polars as pl
from prefect import get_run_logger

from blocks.business import STAGING
from blocks.paths import unescape_path
from blocks.repository import FILE_SCHEMA, SNAPSHOT_SCHEMA
from blocks.retained_repository import RetainedRepository
from flows.centre import Centre
from flows.days import days_in
from flows.expiry import Tools
from flows.protocol import Entry, begin, digest_of, end, spare, unfinished
from reconcile import arrivals
from reconcile.frames import GONE, HELD, RESTORED, SNAPSHOT_FILES, SNAPSHOTS
from reconcile.retention import Retention, Thing, is_over, last_day, permit, verdict
from reconcile.snapshots import forgettable, holders, repointed


def years_over(centre: Centre, rules: Retention, today: date) -> list[Thing]:
    """The years' repositories whose time is over; `held` where something in one is held, or nobody knows what."""
    longest = rules.longest()
    old = [
        year
        for year in centre.repository.years()
        if verdict("retention", date(year, 12, 31), today, longest, held=False).goes
    ]
    found = looked_at(centre, old)
    return [one for one in found if verdict("retention", one.day, today, longest, held=False).goes]


def looked_at(centre: Centre, years: Iterable[int]) -> list[Thing]:
    """The years' repositories as things that may go; one that is half gone has no backups any more."""
    return [_looked_at(centre, year) for year in years]


def _looked_at(centre: Centre, year: int) -> Thing:
    """The year's repository with the last day of which it holds anything, and whether something in it is held."""
    held = centre.catalog.read(HELD.name, centre.business.business, centre.site, None, HELD.schema)
    is_in_it = (pl.col("repository_year") == year) | (pl.col("day").dt.year() == year)
    ids = snapshots_of(centre, year)["snapshot_id"]
    later = [day for day in centre.days(SNAPSHOT_FILES) if day.year > year]
    days = centre.read(SNAPSHOT_FILES, later).filter(pl.col("snapshot_id").is_in(ids.implode()))["day"]
    is_held = held.filter(is_in_it.fill_null(value=False)).height > 0 or not_ingested(centre, [year]) > 0
    return Thing("repository", centre.site, str(year), last_day(year, days), held=is_held)


def not_ingested(centre: Centre, years: Iterable[int]) -> int:
    """How many backups the years' repositories have that the catalog does not know: not ingested yet, or forgotten."""
    known = set(centre.read(SNAPSHOTS, centre.days(SNAPSHOTS))["snapshot_id"])
    others = [year for year in years if not centre.repository.marks(year) <= known]
    there = [arrivals.with_day(centre.repository.snapshots(year))["snapshot_id"] for year in others]
    return sum(len(set(ids) - known) for ids in there)


def snapshots_of(centre: Centre, year: int) -> pl.DataFrame:
    """The ingested snapshots (SNAPSHOTS) that the year's repository has, oldest first."""
    rows = centre.catalog.read(SNAPSHOTS.name, centre.business.business, centre.site, None, SNAPSHOTS.schema)
    return rows.filter(pl.col("repository_year") == year).sort("taken_at", "snapshot_id")


def drop(centre: Centre, repository: RetainedRepository, tools: Tools, thing: Thing, today: date) -> None:
    """Drop the year's repository, and take its snapshots out of the catalog."""
    year = int(thing.subject)
    allowed = permit("retention", centre.business.business, tools.rules, [thing], today)
    rows = snapshots_of(centre, year)
    told = digest_of(rows["snapshot_id"])
    begin(centre, tools.order, Entry("repository", thing.subject, 1, int(rows["bytes"].sum()), told))
    repository.drop(year, allowed)
    take_out(centre, rows["snapshot_id"].to_list())
    end(centre, "retention", "repository", thing.subject)
    get_run_logger().info("%s: repository of %d dropped, with %d snapshots", centre.name, year, rows.height)


def take_out(centre: Centre, snapshot_ids: list[str]) -> None:
    """Take these snapshots out of the catalog's list."""
    known = centre.catalog.read(SNAPSHOTS.name, centre.business.business, centre.site, None, SNAPSHOTS.schema)
    is_gone = pl.col("snapshot_id").is_in(snapshot_ids)
    for day in known.filter(is_gone)["day"].unique():
        centre.write(SNAPSHOTS, day, known.filter(~is_gone, day=day).sort("taken_at", "snapshot_id"))


def outlived(centre: Centre, rules: Retention, year: int, today: date) -> list[str]:
    """The snapshots of the year's repository that may be forgotten, because others hold all that they hold.

    None before the floor of all that it covers is over, and none of a year in which something is held: that a newer
    snapshot has a recording, too, is known from the catalog alone. None either where a listed one is lost.
    """
    if rules.snapshots_within is None or _looked_at(centre, year).held:
        return []
    # Pruning would take away what is left of a snapshot that is lost.
    if lost_from(centre, year):
        return []
    known = snapshots_of(centre, year)
    floor = rules.longest().floor
    over = {row["snapshot_id"] for row in known.iter_rows(named=True) if is_over(row["day"], floor, today)}
    zone = centre.rules.time_zone
    old = forgettable(known, [], rules.snapshots_within, today, zone)
    alone = holders(_files_of(centre, old), _gone(centre), known)["holder"].to_list() if old else []
    return [one for one in forgettable(known, alone, rules.snapshots_within, today, zone) if one in over]


def lost_from(centre: Centre, year: int) -> set[str]:
    """The ingested snapshots that the year's repository has no more."""
    return set(snapshots_of(centre, year)["snapshot_id"]) - centre.repository.marks(year)


def forget(centre: Centre, repository: RetainedRepository, tools: Tools, year: int, today: date) -> int:
    """Forget the snapshots that others outlive, once the catalog tells of the others; returns how many.

    The others are asked first: what the catalog only thinks they hold keeps the snapshot that has it.
    """
    ids = outlived(centre, tools.rules, year, today)
    if tools.rules.snapshots_within is not None and (lost := lost_from(centre, year)):
        get_run_logger().warning(
            "%s: no snapshot of %d is forgotten while %d are lost that the catalog knows: see `voxkeep maintain`",
            centre.name, year, len(lost),
        )  # fmt: skip
    if not ids:
        return 0
    where = holders(_files_of(centre, ids), _gone(centre), snapshots_of(centre, year))
    needed = unproved(centre, year, where)
    if needed:
        get_run_logger().warning(
            "%s: %d snapshots of %d stay: newer ones do not have all that the catalog says", centre.name, len(needed),
            year,
        )  # fmt: skip
    ids = [one for one in ids if one not in needed]
    if not ids:
        return 0
    thing = Thing("snapshots", centre.site, str(year), date(year, 12, 31))
    allowed = permit("retention", centre.business.business, tools.rules, [thing], today)
    # First the catalog: of what is begun, no recording is told to be in it.
    repoint(centre, where.filter(pl.col("snapshot_id").is_in(ids)))
    begin(centre, tools.order, *(Entry("snapshots", f"{year}/{one}", 1, 0, digest_of([one])) for one in ids))
    repository.forget(year, ids, allowed)
    take_out(centre, ids)
    end(centre, "retention", "snapshots", *(f"{year}/{one}" for one in ids))
    get_run_logger().info("%s: %d snapshots of %d forgotten", centre.name, len(ids), year)
    return len(ids)


def finish(centre: Centre) -> None:
    """Take out of the catalog's list what a killed run has forgotten of the repositories, and tell that it is done."""
    gone = begun_snapshots(centre).filter(~pl.col("is_there"))
    # A snapshot that recordings are told to be in was not forgotten, but lost; and a repository may be elsewhere.
    named = _files_of(centre, gone["snapshot_id"].to_list())["snapshot_id"] if gone.height else gone["snapshot_id"]
    absent = [
        year
        for year in gone["year"].unique()
        if year not in centre.repository.years() and snapshots_of(centre, year).height
    ]
    gone = gone.filter(~pl.col("snapshot_id").is_in(named.implode()), ~pl.col("year").is_in(absent))
    if gone.height:
        take_out(centre, gone["snapshot_id"].to_list())
        end(centre, "retention", "snapshots", *gone["subject"])
        get_run_logger().info("%s: %d snapshots were forgotten by a run that was killed", centre.name, gone.height)


def spare_the_rest(centre: Centre) -> None:
    """Tell that snapshots stay which a killed run has begun to forget, and which are not to be forgotten any more."""
    spare(centre, "retention", "snapshots", *begun_snapshots(centre).filter("is_there")["subject"])


def begun_snapshots(centre: Centre) -> pl.DataFrame:
    """The snapshots that were begun to be forgotten, and of which it is not told that it is done.

    subject (String), year (Int32), snapshot_id (String), and is_there (Boolean): whether the year's repository has it.
    """
    parts = pl.col("subject").str.splitn("/", 2)
    begun = (
        unfinished(centre, "retention")
        .filter(what="snapshots")
        .select(
            "subject",
            parts.struct.field("field_0").cast(pl.Int32).alias("year"),
            parts.struct.field("field_1").fill_null("").alias("snapshot_id"),
        )
    )
    there = [one for year in begun["year"].unique() for one in centre.repository.marks(year)]
    return begun.with_columns(pl.col("snapshot_id").is_in(there).alias("is_there"))


def unproved(centre: Centre, year: int, where: pl.DataFrame) -> set[str]:
    """The snapshots (snapshot_id of `where`) with a recording that its `holder` does not list, of this size and time.

    `where`: day, recording_id, snapshot_id and holder, of recordings in the year's repository.
    """
    moved = where.filter(pl.col("holder") != pl.col("snapshot_id"))
    keys = ["day", "recording_id", "snapshot_id"]
    told = centre.read(SNAPSHOT_FILES, days_in(moved)).join(moved, on=keys, how="inner")
    there = arrivals.with_day(centre.repository.snapshots(year)) if told.height else SNAPSHOT_SCHEMA.to_frame()
    needed: set[str] = set()
    for (holder,), some in told.group_by("holder"):
        paths = there.filter(snapshot_id=holder)["paths"].explode().drop_nulls()
        root = next((Path(path) for path in paths if Path(path).name != STAGING), None)
        found = _listed(centre, year, str(holder), root, some["path"]) if root else FILE_SCHEMA.to_frame()
        lacking = some.join(found, on=["path", "size", "mtime"], how="anti")
        needed.update(lacking["snapshot_id"])
    return needed


def _listed(centre: Centre, year: int, snapshot_id: str, root: Path, paths: Iterable[str]) -> pl.DataFrame:
    """The files in the folders of these paths, as the snapshot lists them."""
    folders = sorted({(bytes(root) + b"/" + unescape_path(path)).rpartition(b"/")[0] for path in paths})
    return centre.repository.files(year, snapshot_id, root, folders)


def repoint(centre: Centre, where: pl.DataFrame) -> None:
    """Have the catalog tell of another snapshot (`holder`) for each of these recordings (day, recording_id)."""
    for day in where["day"].unique().sort():
        for frame in (SNAPSHOT_FILES, RESTORED):
            rows = centre.read(frame, [day])
            if rows.height:
                centre.write(frame, day, repointed(rows, where))


def _files_of(centre: Centre, snapshot_ids: list[str]) -> pl.DataFrame:
    """The recordings (SNAPSHOT_FILES) that these snapshots are told to have."""
    business = centre.business.business
    files = centre.catalog.scan(SNAPSHOT_FILES.name, business, centre.site, None, SNAPSHOT_FILES.schema)
    return files.filter(pl.col("snapshot_id").is_in(snapshot_ids)).collect()


def _gone(centre: Centre) -> pl.DataFrame:
    return centre.catalog.read(GONE.name, centre.business.business, centre.site, None, GONE.schema)
