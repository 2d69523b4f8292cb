"""On demand: find → fetch → pack: the recordings that somebody has asked for by a list, as one ZIP file.

Which recordings these are is fixed in the request's folder before the first is fetched, so that a run which is killed
goes on with the same ones. Each is put on record before it is fetched; one that is there whole is not fetched again.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE

from blocks.archive import hashes, zip_folder
from blocks.audit_log import AuditLog
from blocks.business import Business
from blocks.catalog import Catalog
from blocks.elastic import ElasticIndex
from blocks.errors import PermanentError
from blocks.index import DOCUMENT_SCHEMA, CatalogIndex
from blocks.lock import exclusive
from blocks.progress import Tell
from blocks.query import CallQuery, every_page
from blocks.retrievals import Request, Retrieval, Retrievals
from blocks.saved import load, load_index
from blocks.store import ObjectStore
from blocks.trail import Entry
from flows.artifacts import show_done
from flows.days import start_of
from flows.on_record import audit_log
from reconcile.frames import TRACE
from reconcile.numbers import searched
from reconcile.pack import Pack
from reconcile.retrieval import (
    MOST_CALLS,
    UNFOUND,
    Selection,
    is_number,
    of_entry,
    pack_of,
    refused_files,
    select,
)  # fmt: skip
from reconcile.retrieval_index import FOLDER, index_files
from reconcile.rules import Rules

# So many are looked for, and fetched, at a time.
_AT_ONCE = 4
_PAGE = 200
# More than this is asked for in several lists: it lies on the central disk twice for a while.
MOST_RECORDINGS = 50_000
_TOLD_EVERY = 10
# More calls that have an entry as a part of a number than anybody means.
_MOST_LOOKED_AT = 20_000


@dataclass(frozen=True)
class Place:
    """One business as a retrieval needs it."""

    business: str
    rules: Rules
    catalog: Catalog
    index: CatalogIndex | ElasticIndex
    store: ObjectStore
    log: AuditLog


@flow(name="retrieve", flow_run_name="retrieve {business} {request}")
def retrieve(business: str, request: str) -> dict[str, Any]:
    """Fetch what this request (made by the page, or by `voxkeep retrieve`) asks for, into its ZIP file.

    A run that was killed goes on where it stopped; one of a request that is complete changes nothing.
    """
    settings = load(Business, business)
    retrievals = Retrievals(Path(settings.storage), business)
    retrieval = retrievals.get(request)
    if retrieval is None:
        raise PermanentError(
            operation="retrieve recordings", subject=f"{business}/{request}", cause="there is no such request",
            remedy="ask by the page, or by `voxkeep retrieve`",
        )  # fmt: skip
    with (
        exclusive(retrieval.lock, f"retrieve {business}/{request}"),
        retrieval.progress.telling("retrieve") as (tell, outcome),
    ):
        if not retrieval.is_over():
            retrievals.let_go(datetime.now(UTC))
            _retrieve(_place(settings), retrieval, tell)
        outcome.update(json.loads(retrieval.figures.read_text()))
    show_done("retrieve", business, outcome)
    return outcome


def _place(settings: Business) -> Place:
    name = settings.business
    return Place(
        name, Rules.model_validate(settings.rules), load(Catalog, name), load_index(name), load(ObjectStore, name),
        audit_log(name),
    )  # fmt: skip


def _retrieve(place: Place, retrieval: Retrieval, tell: Tell) -> None:
    """Find, fetch and pack; what came of it in figures is written down before the ZIP file is there."""
    request = retrieval.request
    pack = pack_of(request.name, request.index, request.field, request.language)
    if not retrieval.rows.is_file():
        _fix(retrieval, find(place, request, pack, tell))
    rows, unfound = pl.read_parquet(retrieval.rows), pl.read_parquet(retrieval.unfound)
    numbered = rows.with_columns(pl.col(_place_of("number", pack)).alias("number"))
    gone = fetch(place, retrieval, numbered, tell)
    unfound = pl.concat([unfound, refused_files(rows, gone)]).sort("entry", maintain_order=True)
    rows = rows.filter(~pl.col("recording_id").is_in(list(gone)))
    tell("pack", 0, 1)
    unfound.write_parquet(retrieval.absent)
    files = rows.unique("recording_id")
    figures = {
        "entries": len(request.entries),
        "entries_found": rows["entry"].n_unique(),
        "recordings": files.height,
        "bytes": int(files["size"].sum()),
        "not_found": unfound.height,
        "reasons": dict(unfound["reason"].value_counts(sort=True).iter_rows()),
    }
    retrieval.figures.write_text(json.dumps(figures))
    _pack(retrieval, index_files(pack, rows, unfound, request.language, place.rules.time_zone))


def _place_of(field: str, pack: Pack) -> str:
    """The pack's column of this field, as its rows name it."""
    return str(next(place for place, column in enumerate(pack.columns) if column.field == field))


@task(name="find", cache_policy=NO_CACHE)
def find(place: Place, request: Request, pack: Pack, tell: Tell) -> Selection:
    """The recordings of every entry, and why there is none where there is none."""
    found, failed = (
        [pl.DataFrame(schema={"entry": pl.Int32, "asked": pl.String, **DOCUMENT_SCHEMA})],
        [UNFOUND.to_frame()],
    )
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        answers = threads.map(lambda entry: _calls(place, request, entry), request.entries)
        for number, (entry, (calls, reason)) in enumerate(zip(request.entries, answers, strict=True), 1):
            mark = [pl.lit(number, pl.Int32).alias("entry"), pl.lit(entry).alias("asked")]
            if reason:
                failed.append(pl.DataFrame([{"entry": number, "asked": entry, "reason": reason}], schema=UNFOUND))
            else:
                found.append(calls.select(*mark, *DOCUMENT_SCHEMA))
            if number % _TOLD_EVERY == 0:
                tell("find", number, len(request.entries))
    calls = pl.concat(found)
    selection = select(calls, pl.concat(failed), _trace(place, calls), pack, place.rules)
    if selection.rows["recording_id"].n_unique() > MOST_RECORDINGS:
        raise PermanentError(
            operation="retrieve recordings", subject=f"{place.business}: {len(request.entries)} entries",
            cause=f"they have more than {MOST_RECORDINGS:,} recordings", remedy="ask for them in several lists",
        )  # fmt: skip
    get_run_logger().info("%s: %d recordings found", place.business, selection.rows["recording_id"].n_unique())
    return selection


def _calls(place: Place, request: Request, entry: str) -> tuple[pl.DataFrame, str | None]:
    """The calls of one entry with all their legs, or why there are none."""
    numbers, zone = place.rules.numbers, place.rules.time_zone
    query = CallQuery(
        businesses=(place.business,),
        start=start_of(request.since, zone) if request.since else None,
        end=start_of(request.until + timedelta(days=1), zone) if request.until else None,
        limit=_PAGE, count_to=0,
    )  # fmt: skip
    if request.field == "call":
        calls = _all(place, replace(query, call_id=entry))
    elif request.field == "number":
        if not is_number(entry, numbers):
            return pl.DataFrame(), "no_number"
        alike = replace(query, number=searched(entry, [numbers]))
        calls = _all(place, alike, lambda found: of_entry(found, entry, numbers))
    else:
        calls = _all(place, replace(query, attributes=((request.field, entry),)))
    if calls is None:
        return pl.DataFrame(), "too_many"
    if calls.is_empty():
        return pl.DataFrame(), "no_call"
    silent = calls.filter(pl.col("recordings").list.len() == 0) if request.field != "call" else calls.clear()
    return pl.concat([calls, *_other_legs(place, silent)]).unique("call_uid", keep="first", maintain_order=True), None


def _all(
    place: Place, query: CallQuery, keep: Callable[[pl.DataFrame], pl.DataFrame] = lambda found: found
) -> pl.DataFrame | None:
    """Every call that fits and is kept; None where there are too many."""
    pages, looked_at = [DOCUMENT_SCHEMA.to_frame()], 0
    for found in every_page([(place.index, query)]):
        calls = found.calls.select(list(DOCUMENT_SCHEMA))
        looked_at += calls.height
        pages.append(keep(calls))
        if looked_at > _MOST_LOOKED_AT or sum(page.height for page in pages) > MOST_CALLS:
            return None
    return pl.concat(pages)


def _other_legs(place: Place, silent: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """The other legs of calls whose recording may hang on one that does not have the number."""
    for site, call_id in silent.select("site", "call_id").unique(maintain_order=True).rows():
        legs = _all(place, CallQuery(businesses=(place.business,), sites=(site,), call_id=call_id, limit=_PAGE))
        if legs is not None:
            yield legs


def _trace(place: Place, calls: pl.DataFrame) -> pl.DataFrame:
    """TRACE of these calls."""
    parts = [TRACE.empty()]
    for (site,), some in calls.group_by("site"):
        days = some["day"].unique().sort().to_list()
        rows = place.catalog.scan(TRACE.name, place.business, str(site), days, TRACE.schema)
        parts.append(rows.filter(pl.col("call_id").is_in(some["call_id"].unique().to_list())).collect())
    return pl.concat(parts)


def _fix(retrieval: Retrieval, selection: Selection) -> None:
    """Write down what was found, for good."""
    selection.unfound.write_parquet(retrieval.unfound)
    part = retrieval.folder / ".rows.part"
    selection.rows.write_parquet(part)
    part.replace(retrieval.rows)


@task(name="fetch", cache_policy=NO_CACHE)
def fetch(place: Place, retrieval: Retrieval, rows: pl.DataFrame, tell: Tell) -> dict[str, tuple[str, str | None]]:
    """Fetch every recording that is not there yet, its bytes proved; returns why those are not there that are not."""
    wanted = rows.unique("recording_id", keep="first", maintain_order=True).to_dicts()
    by, gone = retrieval.request.by, {}
    shutil.rmtree(retrieval.work, ignore_errors=True)
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        runs = [threads.submit(_fetch, place, retrieval, by, row) for row in wanted]
        try:
            for number, (row, run) in enumerate(zip(wanted, runs, strict=True), 1):
                if reason := run.result():
                    gone[row["recording_id"]] = (reason, "published" if reason == "lost" else None)
                if number % _TOLD_EVERY == 0 or number == len(wanted):
                    tell("fetch", number, len(wanted))
        except BaseException:
            threads.shutdown(cancel_futures=True)
            raise
    shutil.rmtree(retrieval.work, ignore_errors=True)
    get_run_logger().info("%s: %d of %d recordings fetched", place.business, len(wanted) - len(gone), len(wanted))
    return gone


def _fetch(place: Place, retrieval: Retrieval, by: str, row: dict[str, Any]) -> str | None:
    """Make the recording stand in the folder, once it is on record that it does; the reason where it cannot be had."""
    target = retrieval.files / FOLDER / row["file"]
    if target.is_file() and _sha256(target) == row["sha256"]:
        return None
    details = {"request": retrieval.name, "call": row["call_uid"], "sha256": row["sha256"]}
    numbers = place.log.hashes([row["number"]] if row["number"] else [])
    place.log.append(Entry(by, "retrieve", place.business, row["recording_id"], numbers=numbers, details=details))
    got = retrieval.work / row["recording_id"]
    try:
        place.store.download(row["key"], got)
    except PermanentError:
        return _why(place.store, row["key"])
    if _sha256(got) != row["sha256"]:
        return "damaged"
    target.parent.mkdir(parents=True, exist_ok=True)
    got.replace(target)
    return None


def _sha256(file: Path) -> str:
    [(_, _, sha256)] = hashes(file)
    return sha256


def _why(store: ObjectStore, key: str) -> str:
    """Whether the object is not there, or may not be read."""
    try:
        known = store.listing(key.rpartition("/")[0])["key"].to_list()
    except PermanentError:
        return "refused"
    return "refused" if key in known else "lost"


def _pack(retrieval: Retrieval, lists: dict[str, bytes]) -> None:
    """Make the ZIP file of the lists and what was fetched; what it was made of goes."""
    retrieval.files.mkdir(parents=True, exist_ok=True)
    for name, content in lists.items():
        (retrieval.files / name).write_bytes(content)
    zip_folder(retrieval.files, retrieval.result, retrieval.asked_at.date())
    shutil.rmtree(retrieval.files)
