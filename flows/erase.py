"""On demand: one person's data is erased everywhere, with a signed protocol that does not name the person.

suppress → objects → central disk → snapshots → rows → documents → trace anew → protocol. The rows by which everything
is found go last, so that a run that was killed is simply given again.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from secrets import token_hex
from typing import Any

import polars as pl
from prefect import flow, get_run_logger

from blocks.business import STAGING, Business
from blocks.errors import KeptError, SettingsError
from blocks.restored import remove_files
from blocks.retained_repository import Excluded, RetainedRepository
from blocks.saved import load
from flows import thinning
from flows.artifacts import show_done
from flows.centre import Centre, load_centre
from flows.cleaning import Cleaned, Person, clean
from flows.days import each_with_neighbours, today
from flows.decisions import keep, refuse_forgotten
from flows.errors import at
from flows.expiry import OF_DATASETS, OF_RECORDINGS, Names, Tools
from flows.hold import Asked, refresh
from flows.indexing import index_or_remember
from flows.ingest import discover, follow, unpack
from flows.protocol import Entry, begin, digest_of, end, issue, signer_of, unfinished
from flows.reconciliation import find, summarise_site, trace_site
from flows.retention import alone, tools_of
from flows.subjects import belongings
from reconcile import arrivals
from reconcile.erasure import digest, erased_rows
from reconcile.frames import ERASED, FINDINGS, HELD, QUARANTINE, TRACE, UNINDEXED, Frame
from reconcile.ids import stable_id
from reconcile.retention import Permit, Retention, Thing, permit
from reconcile.subjects import Belongings, Subject, mentions


@dataclass(frozen=True)
class Erasing:
    """What is erased at one site: what belongs to the person, its objects, and how rows are known."""

    centre: Centre
    found: Belongings
    person: Person
    objects: dict[str, int]
    label: str
    cuts: dict[date, int] = field(default_factory=dict)


@flow(name="erase", flow_run_name="erase {business}")
def erase(business: str, author: str, reason: str, subject: Asked) -> dict[str, Any]:
    """Erase all that belongs to a call, a number or an attribute, at every site and every station.

    Refused under a legal hold and, unless `retention.erasure_beats_floor` is set, under the floor: then nothing goes.
    """
    settings = load(Business, business)
    rules = Retention.model_validate(settings.retention)
    _refuse(business, author, reason, subject)
    wanted, signer = subject.subject(), signer_of(business)
    centres = [load_centre(settings, name) for name in settings.sites]
    as_of = today(datetime.now(UTC), centres[0].rules.time_zone)
    tools = tools_of(business, rules, "erasure", author, reason, as_of)
    with alone(settings, "erase"):
        for centre in centres:
            refuse_forgotten(centre)
        erasing = [_plan(centre, wanted) for centre in centres]
        leaves = [_permit(one, tools, as_of) for one in erasing]  # of all sites, before anything goes
        _refuse_locked(tools, [key for one in erasing for key in one.objects])
        snapshots = 0
        for one, leave in zip(erasing, leaves, strict=True):
            with at(one.centre.name):
                snapshots += _erase(one, tools, leave)
        protocols = issue(centres, signer, {"not_erased": NOT_ERASED})
        for centre in centres:
            keep(centre)
    done = {
        "erasure": tools.order.removal_id,
        "calls": sum(one.found.calls.height for one in erasing),
        "notes": sum(one.found.notes.height for one in erasing),
        "recordings": sum(one.found.recordings.height for one in erasing),
        "objects": sum(len(one.objects) for one in erasing),
        "snapshots": snapshots,
        "protocols": [str(folder) for folder in protocols],
    }
    show_done("erase", business, done)
    return done


# What voxkeep does not reach, and the protocol says so.
NOT_ERASED = [
    "the source: its database and its disk are only read",
    "packs that were sent to banks, and reports that were sent or lie in the folder of reports",
    "disks that were carried and are not imported yet, and copies of repositories elsewhere",
    "what the page has made ready to be heard, until it is restarted, and results of retrievals, for 14 days",
    "statistics without personal data, and the audit trail, in which numbers are masked",
]


def _refuse(business: str, author: str, reason: str, subject: Asked) -> None:
    cause = ""
    if not (author.strip() and reason.strip()):
        cause = "nobody or nothing stands behind it"
    elif subject.since or subject.until or subject.site:
        cause = "a person's data is named by a call, a number or an attribute, at every site"
    if cause:
        raise SettingsError(
            operation="erase",
            subject=business,
            cause=cause,
            remedy="say whose data it is, who orders it and why: an auditor will read both",
        )


def _refuse_locked(tools: Tools, keys: list[str]) -> None:
    """Object lock keeps an object whatever a key may do: then nothing is begun.

    Raises:
        KeptError: some of the objects are locked.
    """
    locked = tools.store.locked(keys)
    if locked:
        raise _locked(tools.store.guard.business, len(locked))


def _locked(business: str, count: int) -> KeptError:
    return KeptError(
        operation="erase",
        subject=f"{count} recordings of {business}",
        cause="the object store's own lock or hold keeps them, and nobody can remove them before it ends",
        remedy="give the same order again when the lock has ended; whoever asked must be told so",
    )


def _plan(centre: Centre, subject: Subject) -> Erasing:
    """What is to go; nothing is changed but the catalog's knowledge of snapshots and holds."""
    # Gives the catalog the new ids of snapshots that a killed run has written anew, too.
    unknown = discover.fn(centre).height
    if unknown:
        raise SettingsError(
            operation="erase",
            subject=centre.name,
            cause=f"{unknown} backups are not ingested, and a hold or the floor may keep what they have",
            remedy=f"run `voxkeep ingest {centre.business.business}` first, then give the same order again",
        )
    found = belongings(centre, subject)
    if found.count():
        refresh(centre, each_with_neighbours(found.days()))
    business = centre.business.business
    erased = centre.catalog.read(ERASED.name, business, centre.site, None, ERASED.schema)
    ids = frozenset(found.recordings["recording_id"])
    notes = frozenset(found.notes["note_uid"])
    person = Person(subject, frozenset(found.calls["call_id"]), notes, ids, erased)
    listings = [centre.store.listing(f"{day}/") for day in found.recordings["day"].unique().sort()]
    objects = {
        key: size for listing in listings for key, size in listing.select("key", "size").rows() if _id(key) in ids
    }
    erasing = Erasing(centre, found, person, objects, _label(centre, subject))
    for day, _, _, gone in _cuts(erasing):
        erasing.cuts[day] = erasing.cuts.get(day, 0) + gone.height
    return erasing


def _id(key: str) -> str:
    return key.rpartition("/")[2].partition(".")[0]


def _label(centre: Centre, subject: Subject) -> str:
    """How the protocol names the person: a salt and a hash; that of a run which was killed, where there is one."""
    parts = ("subject", subject.kind, subject.name or "", subject.value or "")
    for label in unfinished(centre, "erasure")["subject"].unique():
        salt, _, told = label.partition(".")
        if digest(salt, *parts) == told:
            return str(label)
    salt = token_hex(16)
    return f"{salt}.{digest(salt, *parts)}"


def _permit(one: Erasing, tools: Tools, as_of: date) -> Permit:
    """Leave to erase all of it.

    Raises:
        RuleError: something is held, or under the floor.
    """
    site, found = one.centre.site, one.found
    held = one.centre.read(HELD, each_with_neighbours(sorted({*found.days(), *one.cuts})))
    ids = {name: set(held[name].drop_nulls()) for name in ("call_uid", "note_uid", "recording_id")}
    names = pl.col("call_uid", "note_uid", "recording_id")
    whole = set(held.filter(pl.all_horizontal(names.is_null()))["day"])
    things = [
        Thing("objects", site, str(day), day, names=one.person.recording_ids | set(one.objects),
              held=day in whole or recording in ids["recording_id"])
        for day, recording in found.recordings.select("day", "recording_id").rows()
    ]  # fmt: skip
    for frame, name in ((found.calls, "call_uid"), (found.notes, "note_uid")):
        things += [
            Thing("rows", site, str(day), day, dataset=dataset, held=day in whole or uid in ids[name])
            for day, dataset, uid in frame.select("day", "dataset", name).rows()
        ]
    things += [Thing("rows", site, str(day), day) for day in one.cuts]
    things += [Thing("snapshots", site, str(year), as_of) for year in one.centre.repository.years()]
    return permit("erasure", one.centre.business.business, tools.rules, things, as_of)


def _erase(one: Erasing, tools: Tools, leave: Permit) -> int:
    """Erase it at one site; returns how many snapshots were written anew."""
    centre, order = one.centre, tools.order
    salt = one.label.partition(".")[0]
    if one.found.count():
        size, rows = sum(one.objects.values()), sum(one.cuts.values())
        begin(centre, order, Entry("objects", one.label, len(one.objects), size, digest_of(one.objects, salt)))
        begin(centre, order, Entry("rows", one.label, rows, 0, digest_of(one.person.call_ids, salt)))
        _suppress(one, tools, salt)
    locked = tools.store.remove(list(one.objects), leave).locked
    if locked:
        raise _locked(centre.business.business, len(locked))
    remove_files(centre.business.restored(centre.site), one.found.recordings["path"])
    rewritten = _clean_snapshots(one, tools, leave)
    days = sorted(one.cuts)
    _wait_for_index(centre, one.found.days())
    for day, frame, stay, _ in _cuts(one):
        tools.catalog.remove(frame.name, centre.site, day, stay, leave)
    index_or_remember(centre, one.found.days())
    _look_anew(centre, tools, days)
    for what in ("objects", "snapshots", "rows"):
        end(centre, "erasure", what, one.label)
    get_run_logger().info(
        "%s: %d rows erased, %d snapshots written anew", centre.name, sum(one.cuts.values()), rewritten
    )
    return rewritten


def _suppress(one: Erasing, tools: Tools, salt: str) -> None:
    """Remember what must not come back, as salted hashes."""
    centre, order = one.centre, (tools.order.removal_id, tools.order.at)
    parts = [
        (day, kind, ids)
        for frame, kind, name in (
            (one.found.recordings, "recording", "recording_id"),
            (one.found.calls, "call", "call_id"),
            (one.found.notes, "note", "note_uid"),
        )
        for day, ids in frame.group_by("day").agg(name).rows()
    ]
    parts += [(day, "row", gone["raw"]) for day, frame, _, gone in _cuts(one) if frame is QUARANTINE]
    for day, kind, ids in parts:
        known = centre.read(ERASED, [day])
        more = erased_rows((centre.business.business, centre.site, day), kind, ids, salt, order)
        fresh = more.join(known, on=["kind", "digest"], how="anti")
        if fresh.height:
            centre.write(ERASED, day, pl.concat([known, fresh]).sort("kind", "digest"))


def _cuts(one: Erasing) -> Iterator[tuple[date, Frame, pl.DataFrame, pl.DataFrame]]:
    """Day, frame, rows that stay and rows that go; a frame of all days before the next, calls last."""
    names = Names(
        frozenset(one.found.calls["call_uid"]), one.person.note_uids, one.person.recording_ids
    )  # fmt: skip
    days = each_with_neighbours(one.found.days())
    for frame in (*OF_RECORDINGS, *OF_DATASETS):
        for day in days:
            rows = one.centre.read(frame, [day])
            goes = names.among(rows.columns)
            if "call_id" in rows.columns and "note_uid" not in rows.columns and "call_uid" in rows.columns:
                goes |= pl.col("call_id").is_in(list(one.person.call_ids)).fill_null(value=False)
            if frame is QUARANTINE:
                goes = pl.lit(mentions(rows["raw"], one.person.subject, one.centre.rules.numbers))
            gone = rows.filter(goes)
            if gone.height:
                yield day, frame, rows.filter(~goes), gone


def _wait_for_index(centre: Centre, days: list[date]) -> None:
    """Have the days indexed by whoever comes next, should this run be killed."""
    for day in days:
        row = {"business": centre.business.business, "site": centre.site, "day": day, "since": datetime.now(UTC)}
        centre.write(UNINDEXED, day, pl.DataFrame([row], schema=UNINDEXED.schema))


def _look_anew(centre: Centre, tools: Tools, days: list[date]) -> None:
    """Trace and count those of these days anew that were reconciled before; clear away what was gathered of them."""
    now = datetime.now(UTC)
    for day in [day for day in days if centre.read(TRACE, [day]).height or day in centre.days(TRACE)]:
        seen = trace_site(centre, [day])
        found = find(centre, [day], seen, today(now, centre.rules.time_zone), now)
        summarise_site(centre, [day], seen.traced, found)
    centre.gather(days)
    for month in sorted({day.replace(day=1) for day in days}):
        tools.catalog.forget_older(FINDINGS.name, centre.site, month)


def _clean_snapshots(one: Erasing, tools: Tools, leave: Permit) -> int:
    """Write every snapshot that has the person's recordings or rows anew without them; returns how many."""
    centre = one.centre
    days = [*one.found.days(), *one.person.erased["day"]]
    if not days:
        return 0
    repository = load(RetainedRepository, f"{centre.business.business}--{centre.site}")
    rewritten = 0
    for year in centre.repository.years():
        everything = repository.snapshots(year).with_columns(pl.lit(year).alias("year"))
        ours = arrivals.with_beside(arrivals.with_day(everything), everything).filter(pl.col("day") >= min(days))
        ours = ours.join(
            thinning.snapshots_of(centre, year), on="snapshot_id", how="semi"
        )  # of others nothing is known
        if ours.height:
            rewritten += _clean_year(one, repository, ours, leave)
            repository.prune(year, leave_nothing=True)
    if rewritten:
        begin(centre, tools.order, Entry("snapshots", one.label, rewritten, 0, digest_of([])))
    return rewritten


def _clean_year(one: Erasing, repository: RetainedRepository, ours: pl.DataFrame, leave: Permit) -> int:
    """The same for the snapshots (`ours`) of one year's repository."""
    centre, year = one.centre, ours["year"][0]
    cleaned: dict[str, Cleaned] = {}
    for row in ours.iter_rows(named=True):
        cleaned[row["snapshot_id"]] = _clean_staging(one, repository, row)
    paths = {*one.found.recordings["path"], *(path for found in cleaned.values() for path in found.paths)}
    before, business = set(ours["snapshot_id"]), centre.business.business
    ids = {stable_id(business, centre.site, path) for path in paths}
    leave = replace(leave, names=leave.names | ids)  # of what has come back since, the catalog does not know
    for row in ours.iter_rows(named=True):
        root = next(path for path in row["paths"] if Path(path).name != STAGING)
        staging = next(path for path in row["paths"] if Path(path).name == STAGING)
        wanted = Excluded(root, tuple(sorted(paths)), staging, cleaned[row["snapshot_id"]].files)
        repository.exclude(year, [row["snapshot_id"]], wanted, leave)
    after = repository.snapshots(year)
    follow(centre, arrivals.with_day(after))
    _forget_superseded(repository, year, after, leave)
    return len(before - set(after["snapshot_id"]))


def _clean_staging(one: Erasing, repository: RetainedRepository, row: dict[str, Any]) -> Cleaned:
    """Clean the snapshot's own files, and lay what was changed beside it, before anything is left out of it."""
    centre = one.centre
    snapshot = unpack.fn(centre, row)
    found = clean(centre, snapshot.folder, one.person)
    if found.files:
        # Its whole folder: what an earlier erasure has laid beside it is replaced.
        beside = snapshot.folder.with_name(f"{row['snapshot_id']}-beside") / STAGING
        shutil.rmtree(beside.parent, ignore_errors=True)
        beside.parent.mkdir()
        snapshot.folder.rename(beside)
        tags = [arrivals.completes(row["taken_at"]), f"business={centre.business.business}", f"site={centre.site}"]
        repository.add_beside(row["year"], beside, host=centre.site, tags=tags)
        shutil.rmtree(beside.parent, ignore_errors=True)
    shutil.rmtree(snapshot.folder, ignore_errors=True)
    return found


def _forget_superseded(repository: RetainedRepository, year: int, everything: pl.DataFrame, leave: Permit) -> None:
    """Of several that lie beside the same snapshot, forget all but the newest."""
    beside = arrivals.beside(everything)
    old = beside.filter(~pl.col("completes").is_first_distinct())["snapshot_id"].to_list()
    if old:
        repository.forget(year, old, leave)
