"""What a daily inspection looks at, from the catalog and from outside."""

import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from prefect import get_run_logger

from blocks.business import Business
from blocks.notifier import Notifier
from blocks.saved import load
from flows.centre import Centre
from flows.days import days_between
from flows.disks import ledger
from flows.errors import OUR_ERRORS
from reconcile.frames import CHECKS, DRILLS, FINDINGS, GONE, INVENTORY, SNAPSHOTS, SUMMARY, TRACE, Frame
from reconcile.inspection import InspectionRules, Known, Measured, Whose, figures, to_hear
from reconcile.report import masked

# The days of which findings are open, drills known, and from whose growth it is told when the disk is full.
FINDING_DAYS, DRILL_DAYS, GROWTH_DAYS = 14, 100, 28


def take_stock(settings: Business, centres: list[Centre], as_of: date, now: datetime) -> dict[str, Any]:
    """The figures of the inspection of this business day (reconcile.inspection)."""
    rules = InspectionRules.model_validate(settings.inspection)
    known = look(settings, centres, as_of, now)
    matching, zone = centres[0].rules.matching, centres[0].rules.time_zone
    whose = Whose(
        business=settings.business,
        title=settings.title,
        as_of=as_of,
        now=now,
        time_zone=zone,
        sites=tuple((centre.site, settings.sites[centre.site].title or centre.site) for centre in centres),
        coverage_target=settings.coverage_target,
        clock_skew_limit_seconds=matching.clock_skew_limit_seconds,
    )
    chosen = to_hear(known.trace, rules.sample, f"{settings.business} {as_of}", zone)
    sample = [
        row | {"number": masked(row["number"] or "—"), "link": _link(rules, settings.business, row)} for row in chosen
    ]  # fmt: skip
    return figures(whose, known, measure(settings, centres, now), sample)


def look(settings: Business, centres: list[Centre], as_of: date, now: datetime) -> Known:
    """What the catalog knows."""

    def read(frame: Frame, back: int) -> pl.DataFrame:
        days = days_between(as_of - timedelta(days=back), as_of)
        return pl.concat([centre.read(frame, days) for centre in centres])

    recent = settings.lookback_days
    return Known(
        summary=read(SUMMARY, recent),
        grown=read(SUMMARY, GROWTH_DAYS),
        findings=read(FINDINGS, FINDING_DAYS),
        snapshots=read(SNAPSHOTS, FINDING_DAYS),
        drills=read(DRILLS, DRILL_DAYS),
        gone=read(GONE, FINDING_DAYS),
        trace=read(TRACE, recent),
        inventory=read(INVENTORY, recent),
        disks=ledger(settings, centres[0].catalog, now),
        checks=read(CHECKS, settings.check_days),
    )


def measure(settings: Business, centres: list[Centre], now: datetime) -> Measured:
    """What can be seen outside: the central disk, the repositories' locks, alerts that wait."""
    storage = Path(settings.storage)
    disk = shutil.disk_usage(next(folder for folder in (storage, *storage.parents) if folder.is_dir()))
    # The restored file and its object share their bytes; a repository on the same disk has them once more.
    copies = 2 if any(centre.repository.location.startswith(f"{storage}/") for centre in centres) else 1
    notifiers = [load(Notifier, name) for name in (settings.business, f"{settings.business}--escalation")]
    return Measured(
        free=disk.free,
        total=disk.total,
        copies=copies,
        alerts_waiting=sum(notifier.waiting() for notifier in notifiers),
        locks=_locks(centres, now),
    )


def _locks(centres: list[Centre], now: datetime) -> pl.DataFrame | None:
    """The age of each lock of the newest repositories; None where one does not answer."""
    rows = []
    try:
        for centre in centres:
            for year in centre.repository.years()[-1:]:
                times = centre.repository.lock_times(year)
                rows += [(centre.site, (now - time.astimezone(UTC)).total_seconds() / 3600) for time in times]
    except OUR_ERRORS as error:
        get_run_logger().warning("%s: %s", centres[0].business.business, error)
        return None
    return pl.DataFrame(rows, schema={"site": pl.String, "hours": pl.Float64}, orient="row")


def _link(rules: InspectionRules, business: str, row: dict[str, Any]) -> str | None:
    """Where the page 调听 shows this call."""
    return f"{rules.page.rstrip('/')}/call/{business}/{row['day']}/{row['call_uid']}" if rules.page else None
