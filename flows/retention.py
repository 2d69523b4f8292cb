"""Daily: holds → locks → what is beyond its time: objects, rows, documents, snapshots, repositories → protocol.

Everything that goes passes the guard (blocks.guard), which looks at floor and holds itself. Each step may be run
twice, and after kill -9: what was begun is in the catalog, and the next run goes on with it.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime
from typing import Any

import polars as pl
from prefect import flow, get_run_logger

from blocks.business import Business
from blocks.lock import exclusive, in_turn
from blocks.retained_catalog import RetainedCatalog
from blocks.retained_repository import RetainedRepository
from blocks.retained_store import RetainedStore
from blocks.saved import load
from flows import thinning
from flows.artifacts import show_done
from flows.centre import Centre, load_centre, turn
from flows.days import today
from flows.decisions import keep
from flows.errors import at
from flows.expiry import Expiring, Tools, candidates, days_with_data, expire, look
from flows.hold import LOCK, read_holds, refresh
from flows.object_locks import lock_kept
from flows.protocol import issue, new_order, signer_of, unfinished
from reconcile.frames import HELD, SUMMARY
from reconcile.retention import Retention, is_over, over_on
from reconcile.subjects import active_holds

BY_SETTINGS = "voxkeep"


@flow(name="retain", flow_run_name="retain {business}")
def retain(business: str, author: str = BY_SETTINGS) -> dict[str, Any]:
    """Remove what the business's settings say has been kept for its time, and lock what they say must be kept.

    Nothing under the floor or a legal hold goes. `author`: by whose order, where it is not that of the settings.
    """
    settings = load(Business, business)
    rules = Retention.model_validate(settings.retention)
    centres = [load_centre(settings, name) for name in settings.sites]
    as_of = today(datetime.now(UTC), centres[0].rules.time_zone)
    done: dict[str, Any] = {
        "business": business, "days": [], "objects": 0, "rows": 0, "snapshots": 0, "repositories": [], "locked": 0,
        "protocols": [],
    }  # fmt: skip
    with alone(settings, "retain"):
        for centre in centres:
            keep(centre)
            refresh(centre, sorted({*candidates(centre, rules, as_of), *centre.days(HELD)}))
        done["locked"] = lock_kept(centres, rules, as_of)
        if is_asked(rules) or any(unfinished(centre, "retention").height for centre in centres):
            _remove(centres, rules, as_of, author, done)
        for centre in centres:
            keep(centre)
    show_done("retain", business, done)
    return done


def is_asked(rules: Retention) -> bool:
    """Whether the settings want anything removed."""
    return bool(rules.ceiling or rules.snapshots_within or any(one.ceiling for one in rules.datasets.values()))


@contextmanager
def alone(settings: Business, what: str) -> Iterator[None]:
    """Nothing else changes the business's catalog meanwhile: no ingest, no reconciliation, no other removal."""
    name = settings.business
    with ExitStack() as held:
        held.enter_context(exclusive(settings.lock(LOCK), f"{what} {name}"))
        held.enter_context(exclusive(settings.lock("reconcile"), f"{what} {name}"))
        for site in settings.sites:
            held.enter_context(in_turn(turn(name, site) if settings.has_workers else None, what))
            held.enter_context(exclusive(settings.lock(f"ingest-{site}"), f"{what} {name}/{site}"))
        yield


def tools_of(business: str, rules: Retention, purpose: str, author: str, reason: str, as_of: date) -> Tools:
    """What removes, for one order."""
    order = new_order(business, purpose, author, reason, as_of)
    return Tools(load(RetainedStore, business), load(RetainedCatalog, business), rules, order)


def _remove(centres: list[Centre], rules: Retention, as_of: date, author: str, done: dict[str, Any]) -> None:
    name = centres[0].business.business
    signer = signer_of(name)
    tools = tools_of(name, rules, "retention", author, f"kept for {rules.ceiling or 'its time'}", as_of)
    ready = [centre for centre in centres if _is_whole(centre)]
    for place, centre in enumerate(ready):
        with at(centre.name):
            # Of an object that no site knows, one that does not know all may yet hear.
            _remove_days(centre, tools, as_of, done, strays=place == 0 and len(ready) == len(centres))
            _remove_snapshots(centre, tools, as_of, done)
    done["protocols"] = [str(folder) for folder in issue(centres, signer)]


def _is_whole(centre: Centre) -> bool:
    """Whether the catalog knows every backup: in one that it does not, a hold may yet find what it means."""
    lacking = thinning.not_ingested(centre, centre.repository.years())
    if lacking:
        get_run_logger().warning(
            "%s: %d backups are not ingested: nothing is removed before they are", centre.name, lacking
        )
    return not lacking


def _remove_days(centre: Centre, tools: Tools, as_of: date, done: dict[str, Any], *, strays: bool) -> None:
    begun = unfinished(centre, "retention").filter(pl.col("what").is_in(["objects", "rows"]))["subject"]
    days = {*candidates(centre, tools.rules, as_of), *map(date.fromisoformat, begun)}
    for day in sorted(days):
        found = look(centre, tools.rules, day, as_of, strays=strays)
        if found.objects or found.rows or str(day) in begun:
            expire(centre, tools, found, as_of)
            done["days"].append(f"{centre.site}: {day}")
            done["objects"] += len(found.objects)
            done["rows"] += sum(found.rows.values())


def _remove_snapshots(centre: Centre, tools: Tools, as_of: date, done: dict[str, Any]) -> None:
    repository = load(RetainedRepository, f"{centre.business.business}--{centre.site}")
    thinning.finish(centre)
    begun = unfinished(centre, "retention").filter(what="repository")["subject"]
    half_dropped = thinning.looked_at(centre, [int(year) for year in begun.unique()])
    for thing in [*half_dropped, *thinning.years_over(centre, tools.rules, as_of)]:
        if thing.held:
            get_run_logger().info(
                "%s: a hold keeps the repository of %s, or backups in it are not ingested", centre.name, thing.subject
            )
            continue
        thinning.drop(centre, repository, tools, thing, as_of)
        done["repositories"].append(f"{centre.site}: {thing.subject}")
    for year in centre.repository.years():
        done["snapshots"] += thinning.forget(centre, repository, tools, year, as_of)
    thinning.spare_the_rest(centre)


def preview(business: str) -> dict[str, Any]:
    """What `retain` would remove now and why, and what stays because of the floor, the ceiling or a hold.

    Nothing is changed.
    """
    settings = load(Business, business)
    rules = Retention.model_validate(settings.retention)
    centres = [load_centre(settings, name) for name in settings.sites]
    as_of = today(datetime.now(UTC), centres[0].rules.time_zone)
    return {
        "business": business,
        "day": as_of.isoformat(),
        "goes": [row for place, one in enumerate(centres) for row in _goes(one, rules, as_of, strays=place == 0)],
        "stays": [row for centre in centres for row in _stays(centre, rules, as_of)],
        "holds": [
            {"hold": hold_id, "kind": one.kind, "site": one.site, "since": one.since, "until": one.until}
            for hold_id, one in active_holds(read_holds(centres[0]))
        ],
    }


def _goes(centre: Centre, rules: Retention, as_of: date, *, strays: bool) -> Iterator[dict[str, Any]]:
    """What goes of each day, year and repository of the site."""
    for day in candidates(centre, rules, as_of):
        found = look(centre, rules, day, as_of, strays=strays)
        if found.objects or found.rows:
            yield _told(centre, day, found)
    for thing in thinning.years_over(centre, rules, as_of):
        rows = thinning.snapshots_of(centre, int(thing.subject))
        if not thing.held:
            size = int(rows["bytes"].sum())
            yield {
                "site": centre.site,
                "what": "repository",
                "of": thing.subject,
                "snapshots": rows.height,
                "bytes": size,
            }
    for year in centre.repository.years():
        ids = thinning.outlived(centre, rules, year, as_of)
        if ids:
            yield {"site": centre.site, "what": "snapshots", "of": str(year), "snapshots": len(ids), "bytes": 0}


def _told(centre: Centre, day: date, found: Expiring) -> dict[str, Any]:
    documents = centre.index.documents(centre.business.business, centre.site, day).height
    return {
        "site": centre.site, "what": "day", "of": str(day), "objects": len(found.objects),
        "bytes": sum(found.objects.values()), "rows": sum(found.rows.values()), "documents": documents,
        "partitions": len(found.rows), "held": found.kept,
    }  # fmt: skip


def _stays(centre: Centre, rules: Retention, as_of: date) -> Iterator[dict[str, Any]]:
    """How many days and recordings stay, by what keeps them and until when at least."""
    days, spans = days_with_data(centre), rules.spans()
    under = [day for day in days if not is_over(day, spans.floor, as_of)]
    between = [day for day in days if day not in under and not (spans.ceiling and is_over(day, spans.ceiling, as_of))]
    held = sorted(set(centre.days(HELD)).intersection(days))
    held = [day for day in held if centre.read(HELD, [day]).height]
    for why, some, span in (("floor", under, spans.floor), ("ceiling", between, spans.ceiling), ("hold", held, None)):
        if some:
            counted = centre.read(SUMMARY, some)
            yield {
                "site": centre.site, "why": why, "days": len(some), "first": str(some[0]), "last": str(some[-1]),
                "recordings": int(counted["recordings"].sum()), "bytes": int(counted["bytes"].sum()),
                "until": str(over_on(some[0], span)) if span else "",
            }  # fmt: skip
