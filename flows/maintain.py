"""Daily, at the centre, is all that is kept still what it was? locks → repositories → objects → trace → tell.

Each day has its share of the packs of every repository and of the published recordings, so that all is read within
`check_days`. What a check finds is kept in the frame DAMAGED until a check finds it sound again; the trace reads it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from time import perf_counter
from typing import Any

import polars as pl
from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from psutil import virtual_memory

from blocks.business import Business
from blocks.lock import exclusive
from blocks.notifier import Notifier
from blocks.repository import Repository
from blocks.repository_check import Checked, age, check, remove_stale_locks, snapshots_left
from blocks.saved import load
from flows.artifacts import show_done
from flows.assess import assess
from flows.centre import Centre, load_centre
from flows.damage import Look, damaged_days, note_check, note_damage
from flows.days import days_between, today
from flows.errors import OUR_ERRORS, at
from flows.hold import LOCK
from flows.reconciliation import look_at
from reconcile import arrivals, checks
from reconcile.frames import CHECKS, DAMAGED, INVENTORY, REMOVALS, RESTORED, SNAPSHOTS
from reconcile.recordings import object_key
from reconcile.report import Language, say_checks

# Packs and snapshots that are named; more of them nobody reads.
_NAMED = 20


@dataclass
class Round:
    """One round of checks of one site: its day, what was noted so far, and the business days that changed by it."""

    centre: Centre
    day: date
    now: datetime
    noted: list[dict[str, Any]] = field(default_factory=list)
    changed: set[date] = field(default_factory=set)

    def note(self, kind: str, began: float, **told: Any) -> None:  # noqa: ANN401
        """Remember what came of one check."""
        row = {
            "business": self.centre.business.business, "site": self.centre.site, "day": self.day, "kind": kind,
            "seconds": perf_counter() - began, "checked_at": datetime.now(UTC), "concerned": 0, "said": "", **told,
        }  # fmt: skip
        note_check(self.centre, row)
        self.noted.append(row)
        get_run_logger().info(
            "%s: %s %s: %s %s", self.centre.name, kind, told.get("share") or "", row["verdict"], row["said"]
        )

    def due(self, kind: str, year: int | None) -> list[int]:
        """The shares to do today."""
        shares = self.centre.business.check_days
        first = self.day - timedelta(days=shares - 1)
        earlier = [day for day in self.centre.days(CHECKS) if day < first]
        days = [*earlier[-1:], *days_between(first, self.day)]
        done = self.centre.read(CHECKS, days).filter(
            (pl.col("kind") == kind) & pl.col("repository_year").eq_missing(pl.lit(year, pl.Int32))
        )
        return checks.shares_due(done, self.day, shares)

    def take(self, day: date, look: Look) -> None:
        """Bring what is known of damaged copies up to date."""
        if note_damage(self.centre, day, look, self.now):
            self.changed.add(day)


@dataclass(frozen=True)
class Read:
    """A share of the packs, what restic found in it, and how long that took."""

    share: int
    found: Checked
    seconds: float


@flow(name="maintain", flow_run_name="maintain {business}")
def maintain(business: str, site: str | None = None, day: date | None = None) -> dict[str, Any]:
    """Check what is kept of the business (of one site): today's share of it, and all that was found damaged before.

    A site that fails does not keep the others waiting; its error is raised at the end. A share whose day was missed
    is done, too. Whatever is found damaged is told at once.
    """
    settings = load(Business, business)
    now = datetime.now(UTC)
    rounds: list[Round] = []
    failures: list[Exception] = []
    for name in [site] if site else list(settings.sites):
        try:
            with at(f"{business}/{name}"), exclusive(settings.lock(f"maintain-{name}"), "maintain"):
                centre = load_centre(settings, name)
                one = Round(centre, day or today(now, centre.rules.time_zone), now)
                rounds.append(one)
                check_site(one)
                trace_again(one)
        except OUR_ERRORS as error:
            get_run_logger().error("%s", error)
            failures.append(error)
    done = summed_up(business, rounds)
    show_done("maintain", business, done)
    if done["damaged"]:
        done["alerts"] = tell(settings, rounds)
    if failures:
        raise failures[0]
    return done


def check_site(one: Round) -> None:
    """All checks of one site, the quick ones first."""
    years = one.centre.repository.years()
    release_locks(one, years)
    known = one.centre.read(SNAPSHOTS, one.centre.days(SNAPSHOTS))
    for year in sorted({*years, *known["repository_year"]}):
        check_repository(one, year, known)
    check_objects(one)


@task(name="locks", cache_policy=NO_CACHE)
def release_locks(one: Round, years: list[int]) -> None:
    """Remove the locks that nobody holds any more, and remember whose they were."""
    repository = writer_of(one.centre)
    for year in years:
        began = perf_counter()
        removed = remove_stale_locks(repository, year)
        if removed:
            said = "; ".join(age(lock, one.now) for lock in removed)
            one.note("locks", began, verdict="removed", repository_year=year, looked_at=len(removed), said=said)


def writer_of(centre: Centre) -> Repository:
    """The site's repositories at the centre with the key that may write: the site's, or that for carrying disks in."""
    name = f"{centre.business.business}--{centre.site}"
    own = load(Repository, name)
    return own if own.location == centre.repository.location else load(Repository, f"{name}--carry")


@task(name="repository", cache_policy=NO_CACHE)
def check_repository(one: Round, year: int, known: pl.DataFrame) -> None:
    """One year's repository: its snapshots, the shares of its packs that are due, and what any damage concerns."""
    centre, shares = one.centre, one.centre.business.check_days
    began, began_at = perf_counter(), datetime.now(UTC)
    there, gone, looks = _read_repository(one, year, known)
    if (gone.height or any(look.found.complaints for look in looks)) and removed_since(centre, began_at):
        with nothing_removed(centre):
            known = centre.read(SNAPSHOTS, centre.days(SNAPSHOTS))
            if year not in {*known["repository_year"], *centre.repository.years()}:
                return  # dropped, for its time was over
            there, gone, looks = _read_repository(one, year, known)
    packs = frozenset(pack for look in looks for pack in look.found.packs)
    is_damaged = bool(gone.height or any(look.found.complaints for look in looks))
    lost = assess(centre, year, known, packs, everything=is_damaged)
    for day in lost.days:
        of_day = pl.col("day") == day
        one.take(day, Look("in_snapshot", lost.looked_at.filter(of_day), lost.damaged.filter(of_day), year))
    common = {"repository_year": year, "concerned": lost.damaged.height}
    one.note(
        "snapshots", began, verdict="damaged" if gone.height else "sound", looked_at=there.height,
        said=_names(gone["snapshot_id"].to_list()), **common,
    )  # fmt: skip
    for look in looks:
        verdict = "damaged" if look.found.complaints else "sound"
        said = _names(sorted(look.found.packs)) or "; ".join(look.found.complaints[:_NAMED])
        told = {"verdict": verdict, "share": look.share, "shares": shares, "said": said}
        one.note("packs", perf_counter() - look.seconds, **told, **common)


def _read_repository(one: Round, year: int, known: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame, list[Read]]:
    """The snapshots that are there, those of `known` (SNAPSHOTS) that are not, and the shares that are due."""
    there = snapshots_left(one.centre.repository, year)
    looks = [_read_share(one.centre, year, share) for share in one.due("packs", year)]
    return there, checks.snapshots_gone(known, there, year), looks


def removed_since(centre: Centre, instant: datetime) -> bool:
    """Whether anything of the site was being removed by order since then: what is gone may be gone by right."""
    removals = centre.read(REMOVALS, centre.days(REMOVALS))
    return removals.filter(pl.col("done_at").is_null() | (pl.col("done_at") >= instant)).height > 0


@contextmanager
def nothing_removed(centre: Centre) -> Iterator[None]:
    """Neither retention nor an erasure removes anything meanwhile."""
    with exclusive(centre.business.lock(LOCK), f"maintain {centre.name}"):
        yield


def _read_share(centre: Centre, year: int, share: int) -> Read:
    began = perf_counter()
    found = check(centre.repository, year, share, centre.business.check_days)
    return Read(share, found, perf_counter() - began)


def _names(ids: list[str]) -> str:
    more = f" and {len(ids) - _NAMED:,} more" if len(ids) > _NAMED else ""
    return ", ".join(one[:8] for one in ids[:_NAMED]) + more


@task(name="objects", cache_policy=NO_CACHE)
def check_objects(one: Round) -> None:
    """Read and hash the published recordings of the business days that are due, and those found damaged before."""
    centre, shares = one.centre, one.centre.business.check_days
    for share in one.due("objects", None):
        began, looked_at, read, concerned = perf_counter(), 0, 0, 0
        days = checks.days_of(centre.days(INVENTORY), [share], shares)
        again = damaged_days(centre, "published") if share == checks.share_of(one.day, shares) else []
        for day in sorted({*days, *again}):
            began_at = datetime.now(UTC)
            wanted, damaged, size = hash_day(centre, day)
            if damaged.height and removed_since(centre, began_at):
                with nothing_removed(centre):
                    wanted, damaged, size = hash_day(centre, day)
            one.take(day, Look("published", wanted, damaged))
            looked_at, read, concerned = looked_at + wanted.height, read + size, concerned + damaged.height
        verdict = "damaged" if concerned else "sound"
        one.note(
            "objects", began, verdict=verdict, share=share, shares=shares, looked_at=looked_at, bytes=read,
            concerned=concerned,
        )  # fmt: skip


def hash_day(centre: Centre, day: date) -> tuple[pl.DataFrame, pl.DataFrame, int]:
    """The recordings of a business day that must be published, those of them that are not sound, and bytes read."""
    versions = centre.read(INVENTORY, [day])
    recordings = arrivals.newest_versions(versions, versions.clear()).drop_nulls("sha256")
    taken = centre.read(RESTORED, [day]).filter(pl.col("published").ne_missing(False))
    wanted = recordings.join(taken, on=[*checks.VERSION, "sha256"], how="semi").with_columns(object_key().alias("key"))
    there = wanted.filter(pl.col("key").is_in(centre.store.listing(f"{day}/")["key"].implode()))
    rows = list(centre.store.digests(there["key"]))
    found = pl.DataFrame(rows, schema={"key": pl.String, "found": pl.String, "read": pl.Int64}, orient="row")
    compared = there.join(found, on="key", how="left", maintain_order="left")
    other = compared.filter(pl.col("found").ne_missing(pl.col("sha256"))).with_columns(
        pl.when(pl.col("found").is_null()).then(pl.lit("unreadable")).otherwise(pl.lit("other_bytes")).alias("reason")
    )
    gone = wanted.join(there, on="key", how="anti").with_columns(pl.lit("gone").alias("reason"))
    columns = [*wanted.columns, "reason"]
    return wanted, pl.concat([other.select(columns), gone.select(columns)]), int(found["read"].sum())


@task(name="trace again", cache_policy=NO_CACHE)
def trace_again(one: Round) -> None:
    """Bring findings and summary of the days up to date of which a check has found anything, or found it mended."""
    settings = one.centre.business
    with exclusive(settings.lock("reconcile"), f"reconcile {settings.business}"):
        look_at(one.centre, sorted(one.changed), one.day, one.now, virtual_memory().available // 2)


def summed_up(business: str, rounds: list[Round]) -> dict[str, Any]:
    """What was looked at, and how many recordings are damaged now."""
    rows = [row for one in rounds for row in one.noted]
    known = [one.centre.read(DAMAGED, one.centre.days(DAMAGED)).height for one in rounds]
    return {
        "business": business,
        "checks": len(rows),
        "damaged": sum(row["verdict"] == "damaged" for row in rows),
        "locks_removed": sum(row["looked_at"] for row in rows if row["verdict"] == "removed"),
        "recordings_damaged": sum(known),
        "days_traced": sum(len(one.changed) for one in rounds),
    }


@task(name="tell", cache_policy=NO_CACHE)
def tell(settings: Business, rounds: list[Round]) -> list[str]:
    """Tell people at once what is damaged; an alert that cannot be delivered is kept and sent again."""
    language: Language = "en" if settings.language == "en" else "zh"
    bad = [row for one in rounds for row in one.noted if row["verdict"] == "damaged"]
    title, text = say_checks(settings.title, bad, language)
    told = load(Notifier, settings.business).send(title, text, "critical")
    return [f"{one.route}: {'delivered' if one.delivered else one.cause}" for one in told]
