"""Monthly, for each site: prove a restore. choose → restore → compare → play → tell.

A random day and a random sample of recordings are restored into an empty place, with a cache that knows nothing, and
every hash is compared with the inventory; each is decoded from beginning to end; all of it is timed.
"""

import shutil
from dataclasses import dataclass
from datetime import UTC, date, datetime
from os import fsdecode
from pathlib import Path
from secrets import randbelow
from time import monotonic
from typing import Any

import polars as pl
from prefect import flow, get_run_logger, task
from prefect.artifacts import create_link_artifact
from prefect.cache_policies import NO_CACHE

from blocks.business import Business
from blocks.disk import hash_files
from blocks.errors import PermanentError
from blocks.lock import exclusive
from blocks.notifier import Notifier
from blocks.paths import join_below
from blocks.playing import unplayable
from blocks.saved import load
from flows.artifacts import show_done
from flows.centre import Centre, load_centre
from flows.days import today
from flows.errors import OUR_ERRORS, at
from flows.recovery import age_seconds, fetch, kept_snapshots, restorable_of
from reconcile import recovery
from reconcile.frames import DRILLS, SNAPSHOT_FILES, SUMMARY
from reconcile.report import Language, drill_brief, render_drill

# So many recordings of other days, beside the whole random day.
SAMPLED = 20
_SEEDS = 2**31


@dataclass(frozen=True)
class Chosen:
    """What a drill restores: the recordings of a day, and the sample of others (both `restorable`)."""

    day: date | None
    of_day: pl.DataFrame
    sampled: pl.DataFrame

    @property
    def wanted(self) -> pl.DataFrame:
        """Both together."""
        return pl.concat([self.of_day, self.sampled])


@dataclass(frozen=True)
class Tried:
    """What came of it: each recording (`with_played`), and how long it took."""

    outcomes: pl.DataFrame
    restore_seconds: float
    recovery_seconds: float


@flow(name="drill", flow_run_name="drill {business}/{site}")
def drill(business: str, site: str, seed: int | None = None) -> dict[str, Any]:
    """Restore a random day and a random sample of the site into an empty place, compare, play and time it.

    The same `seed` over the same days chooses the same. A drill that fails alarms on every route of the business.
    """
    settings = load(Business, business)
    now = datetime.now(UTC)
    seed = randbelow(_SEEDS) if seed is None else seed
    with at(f"{business}/{site}"), exclusive(settings.lock(f"drill-{site}"), f"drill {business}/{site}"):
        centre = load_centre(settings, site)
        get_run_logger().info("%s: drill with seed %d", centre.name, seed)
        place = settings.work(site) / "drill"
        try:
            row, outcomes = attempt(centre, seed, place, now)
        finally:
            shutil.rmtree(place, ignore_errors=True)
        done = tell(centre, row, outcomes)
    show_done("drill", centre.name, done)
    return done


def attempt(centre: Centre, seed: int, place: Path, now: datetime) -> tuple[dict[str, Any], pl.DataFrame]:
    """The row (DRILLS) of this drill and what became of each recording; what restic refuses is told in the row."""
    kept, chosen, tried, trouble = pl.DataFrame(schema=recovery.KEPT), None, None, None
    try:
        kept = kept_snapshots(centre)
        chosen = choose(centre, seed, kept)
        tried = rehearse(centre, chosen, place)
    except OUR_ERRORS as error:
        get_run_logger().error("%s: %s", centre.name, error)
        trouble = str(error)
    nothing = recovery.with_played(recovery.compared(recovery.none_wanted(), hash_files(place, [])), [])
    outcomes = tried.outcomes if tried else nothing
    counts = recovery.counted(outcomes)
    if chosen and chosen.wanted.is_empty():
        trouble = trouble or "the catalog knows no recording that the backup should hold"
    row = {
        "business": centre.business.business,
        "site": centre.site,
        "day": today(now, centre.rules.time_zone),
        "drill_id": f"{centre.site}-{seed}",
        "began_at": now,
        "seed": seed,
        "restored_day": chosen.day if chosen else None,
        "recordings": chosen.wanted.height if chosen else 0,
        "sampled": chosen.sampled.height if chosen else 0,
        **counts,
        "restore_seconds": tried.restore_seconds if tried else 0.0,
        "recovery_seconds": tried.recovery_seconds if tried else 0.0,
        "whole_seconds": _whole(centre, counts["bytes"], tried),
        "recovery_point_seconds": age_seconds(kept, now),
        "good": trouble is None and recovery.wrong(outcomes).is_empty(),
        "trouble": trouble,
    }
    return row, outcomes


@task(name="choose", cache_policy=NO_CACHE)
def choose(centre: Centre, seed: int, kept: pl.DataFrame) -> Chosen:
    """A random day that the backup should hold, and recordings of other days."""
    days = centre.days(SNAPSHOT_FILES)
    if not days:
        return Chosen(None, recovery.none_wanted(), recovery.none_wanted())
    day = recovery.random_day(days, seed)
    others = recovery.sample_days([other for other in days if other != day], seed, SAMPLED)
    samples = [
        recovery.sample(restorable_of(centre, [other], kept), count, seed) for other, count in others.items()
    ]  # fmt: skip
    return Chosen(day, restorable_of(centre, [day], kept), pl.concat([recovery.none_wanted(), *samples]))


@task(name="rehearse", cache_policy=NO_CACHE)
def rehearse(centre: Centre, chosen: Chosen, place: Path) -> Tried:
    """Restore what was chosen into the empty `place`, compare every hash, and play it.

    Raises:
        PermanentError: the disk has not so much room, or nothing can be decoded here.
    """
    shutil.rmtree(place, ignore_errors=True)
    cache, root = place / "cache", place / "recordings"
    cache.mkdir(parents=True)
    root.mkdir()
    wanted = chosen.wanted
    _refuse_no_room(centre, int(wanted["size"].sum()), root)
    began = monotonic()
    fetch(centre, chosen.of_day, root, cache=cache)
    fetch(centre, chosen.sampled, root, one_by_one=True, cache=cache)
    restored = monotonic()
    outcomes = recovery.compared(wanted, hash_files(root, wanted["path"].to_list()))
    proved = monotonic()
    outcomes = recovery.with_played(outcomes, _unplayable(root, recovery.must_play(outcomes)["path"].to_list()))
    return Tried(outcomes, round(restored - began, 3), round(proved - began, 3))


def _unplayable(root: Path, paths: list[str]) -> list[str]:
    """Those of the recordings below the root that cannot be decoded."""
    files = {Path(fsdecode(join_below(root, path))): path for path in paths}
    return [files[file] for file in unplayable(list(files))]


def _refuse_no_room(centre: Centre, needed: int, place: Path) -> None:
    free = shutil.disk_usage(place).free
    if needed > free:
        raise PermanentError(
            operation="carry out a restore drill",
            subject=centre.name,
            cause=f"it needs {needed:,} bytes and {place} has {free:,} left",
            remedy="make room on the central disk, and run `voxkeep drill` again",
        )


def _whole(centre: Centre, restored: int, tried: Tried | None) -> float | None:
    """Seconds in which all recordings of the site would be back, at the speed measured."""
    if not (tried and restored and tried.recovery_seconds):
        return None
    everything = centre.catalog.scan(SUMMARY.name, centre.business.business, centre.site, None, SUMMARY.schema)
    size = int(everything.select(pl.col("bytes").sum()).collect().item())
    return round(tried.recovery_seconds * max(size, restored) / restored, 1)


@task(name="tell", cache_policy=NO_CACHE)
def tell(centre: Centre, row: dict[str, Any], outcomes: pl.DataFrame) -> dict[str, Any]:
    """Keep the row, write the report, and alarm where the drill failed; returns what was done."""
    settings, day = centre.business, row["day"]
    language: Language = "en" if settings.language == "en" else "zh"
    zone, title = centre.rules.time_zone, settings.sites[centre.site].title or centre.site
    folder = settings.reports() / "drills"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{day}-{row['drill_id']}.html"
    whose = f"{settings.title} · {title}"
    part = file.with_name(f".{file.name}.part")
    part.write_text(render_drill(row, outcomes, whose, zone, language))
    part.replace(file)
    known = centre.read(DRILLS, [day]).filter(pl.col("drill_id") != row["drill_id"])
    centre.write(DRILLS, day, pl.concat([known, pl.DataFrame([row], schema=DRILLS.schema)]).sort("began_at"))
    create_link_artifact(file.as_uri(), key=f"drill-{centre.name.replace('/', '--')}", link_text=f"{whose} {day}")
    done = {name: row[name] for name in DRILLS.columns} | {"report": str(file)}
    if not row["good"]:
        brief = drill_brief(row, outcomes, whose, language)
        sent = load(Notifier, settings.business).send(f"{whose} {day}", brief, "critical", [file])
        done["alerts"] = [f"{d.route}: {'delivered' if d.delivered else d.cause}" for d in sent]
    return done
