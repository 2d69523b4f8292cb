"""On demand: a finding is waived, with author, reason and a last day, or the waiver is withdrawn."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import polars as pl
from prefect import flow

from blocks.business import Business
from blocks.errors import SettingsError
from blocks.lock import exclusive
from blocks.saved import load
from flows.artifacts import show_done
from flows.centre import Centre, load_centre
from flows.days import today
from reconcile.frames import FINDINGS, SUMMARY, WAIVERS
from reconcile.ledger import waive as waived
from reconcile.summary import recount


@flow(name="waive", flow_run_name="waive {business} {finding}")
def waive(business: str, finding: str, author: str, reason: str, until: date) -> dict[str, Any]:
    """Waive a finding up to the day `until`; a day that is over withdraws what was decided before.

    What was decided is never deleted. The finding counts as waived, or as open, at once.
    """
    settings = load(Business, business)
    now = datetime.now(UTC)
    centres = [load_centre(settings, name) for name in settings.sites]
    as_of = today(now, centres[0].rules.time_zone)
    _refuse_nobody(finding, author, reason)
    with exclusive(settings.lock("reconcile"), f"waive {finding}"):
        centre, day = _home(centres, finding)
        decided = {
            "business": business, "site": centre.site, "day": day, "finding_id": finding,
            "author": author.strip(), "reason": reason.strip(), "waived_at": now, "until": until,
        }  # fmt: skip
        known = centre.read(WAIVERS, [day])
        centre.write(WAIVERS, day, pl.concat([known, pl.DataFrame([decided], schema=WAIVERS.schema)]))
        mark(centre, day, as_of)
        centre.gather([day])
        row = centre.read(FINDINGS, [day]).row(by_predicate=pl.col("finding_id") == finding, named=True)
    done = {
        "finding": finding,
        **{name: row[name] for name in ("kind", "severity", "site", "day", "subject", "status")},
        "until": until if until >= as_of else "withdrawn",
        "author": decided["author"],
        "reason": decided["reason"],
    }
    show_done("waive", business, done)
    return done


def mark(centre: Centre, day: date, as_of: date, until: datetime | None = None) -> bool:
    """Whether the waivers of this day, as they hold on `as_of`, changed its ledger; its summary counts anew then.

    `until`: only those that were decided by then.
    """
    ledger, waivers = centre.read(FINDINGS, [day]), centre.read(WAIVERS, [day])
    marked = waived(ledger, waivers.filter(pl.col("waived_at") <= until) if until else waivers, as_of)
    if marked.equals(ledger):
        return False
    centre.write(FINDINGS, day, marked)
    centre.write(SUMMARY, day, recount(centre.read(SUMMARY, [day]), marked))
    return True


def _refuse_nobody(finding: str, author: str, reason: str) -> None:
    if author.strip() and reason.strip():
        return
    raise SettingsError(
        operation="waive a finding",
        subject=finding,
        cause="nobody or nothing stands behind it",
        remedy="say who waives it and why: an auditor will read both",
    )


def _home(centres: list[Centre], finding: str) -> tuple[Centre, date]:
    """Where this finding is kept: newest days first."""
    for centre, day in _partitions(centres):
        if finding in centre.read(FINDINGS, [day])["finding_id"]:
            return centre, day
    raise SettingsError(
        operation="waive a finding",
        subject=finding,
        cause=f"{centres[0].business.business} has no finding of this id",
        remedy="take the id from the report or from findings.xlsx: 16 letters and digits",
    )


def _partitions(centres: list[Centre]) -> Iterator[tuple[Centre, date]]:
    days = [(day, centre) for centre in centres for day in centre.days(FINDINGS)]
    for day, centre in sorted(days, key=lambda one: one[0], reverse=True):
        yield centre, day
