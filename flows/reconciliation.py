"""Daily: trace → findings → summary → expectations → report → notify."""

import hashlib
import json
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from prefect import flow, get_run_logger, task
from prefect.artifacts import create_link_artifact, create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.logging import disable_run_logger
from psutil import Process, virtual_memory

from blocks import expectations as great_expectations
from blocks.business import Business
from blocks.errors import SettingsError
from blocks.lock import exclusive
from blocks.notifier import Delivery, Notifier, Severity
from blocks.saved import load
from flows.artifacts import show_findings
from flows.centre import Centre, load_centre, remember
from flows.damage import damaged_days
from flows.days import days_between, following, start_of, today, with_neighbours
from flows.disks import tell_missing
from flows.errors import at
from flows.pings import pinged
from flows.processes import in_process
from flows.runs import Stages
from flows.untraced import unmark, waiting
from flows.waive import mark
from reconcile import findings as kinds
from reconcile.evidence import Witnesses
from reconcile.expected import WEEKS, Expected, Known, measure
from reconcile.expected import expectations as wanted_expectations
from reconcile.frames import (
    CALLS,
    CHECKS,
    DAMAGED,
    DURATIONS,
    EXTRACTS,
    FILE_TYPES,
    FINDINGS,
    GONE,
    INSPECTIONS,
    INVENTORY,
    NOTES,
    QUARANTINE,
    REJECTED,
    RESTORED,
    SNAPSHOT_FILES,
    SNAPSHOTS,
    SUMMARY,
    TRACE,
    UNINDEXED,
    WAIVERS,
)
from reconcile.inspection import EVERYWHERE
from reconcile.ledger import OWNERS, Now, carry_on, waive
from reconcile.report import (
    CHECKED,
    Language,
    ReportData,
    calendar_days,
    findings_csv,
    open_findings,
    render_brief,
    render_mail,
    render_page,
    render_workbook,
    with_age,
)
from reconcile.retention import Retention, days_over
from reconcile.summary import durations, file_types, summarise
from reconcile.trace import Stations, Traced, trace
from reconcile.windows import windows

# A process holds Python, Prefect and Polars, too: with less for each, a second one is not worth it.
LEAST_FOR_A_PROCESS = 1 << 30
# The days before the window whose open findings the report still shows.
OPEN_DAYS = 14
# Larger files are not attached: mail servers refuse a mail of 20 MB or so, and a file grows by a third on its way.
MOST_ATTACHED = 5_000_000


@dataclass(frozen=True)
class Look:
    """One look at a site: the trace of the days, and of the days around them the stations, recordings and calls."""

    traced: Traced
    stations: Stations
    others: pl.DataFrame


@dataclass(frozen=True)
class Report:
    """What was written for people, and how much is open."""

    page: Path
    brief: str
    mail: str
    open_critical: int
    open_major: int


@flow(name="reconcile", flow_run_name="reconcile {business}")
def reconcile(
    business: str,
    site: str | None = None,
    day: date | None = None,
    since: date | None = None,
    memory: int | None = None,
) -> dict[str, Any]:
    """Reconcile the business's open days up to `day` (today, where not given) at every station, and report.

    `since`: the first day, where it is not the lookback's; a long period is taken in windows of days, some of them at
    a time in processes of their own, that hold `memory` bytes at most (half of what is free, where not given).
    """
    great_expectations.start()  # it takes seconds, in which there is other work
    settings = load(Business, business)
    now = datetime.now(UTC)
    names = [site] if site else list(settings.sites)
    centres = [load_centre(settings, name) for name in names]
    until = day or today(now, centres[0].rules.time_zone)
    days = days_between(since or until - timedelta(days=settings.lookback_days), until)
    spans = Retention.model_validate(settings.retention).spans()
    over = days_over(days, spans, today(now, centres[0].rules.time_zone))
    days = days[len(over) :]  # beyond its ceiling, nothing can be missing any more
    _refuse_empty_period(business, days, until)
    room = memory - Process().memory_info().rss if memory else virtual_memory().available // 2
    with ExitStack() as pings, exclusive(settings.lock("reconcile"), f"reconcile {business}"):
        for centre in centres:
            pings.enter_context(pinged(settings, centre.site, "reconcile"))
        stages = Stages()
        with stages.timed("reconcile"):
            took = {centre.site: look_at(centre, days, until, now, room) for centre in centres}
            checked = expectations(settings, centres, days, until)
            with stages.timed("report"):
                report = write_report(settings, centres, days, until, now, checked)
            delivered = [*notify(settings, until, report), *tell_missing(settings, now)]
        for centre in centres:
            remember(centre, took[centre.site] | stages)
    return {
        "business": business,
        "day": until.isoformat(),
        "report": str(report.page),
        "open_critical": report.open_critical,
        "open_major": report.open_major,
        "expectations": {"met": int(checked["success"].sum()), "failed": int((~checked["success"]).sum())},
        "alerts": [f"{d.route}: {'delivered' if d.delivered else d.cause}" for d in delivered],
    }


def look_at(centre: Centre, days: list[date], until: date, now: datetime, room: int) -> Stages:
    """Trace, ledger and summary of one site, brought up to date; the stages of its last window."""
    stages = Stages()
    with at(centre.name):
        marks = waiting(centre.catalog, centre.business.business, centre.site, until)
        spans = Retention.model_validate(centre.business.retention).spans()
        late = {mark.day for mark in marks}
        wanted = sorted({*days, *late}.difference(days_over(late, spans, today(now, centre.rules.time_zone))))
        for period in following(wanted):
            stages |= _reconcile_period(centre, period, until, now, room)
        gather(centre, [*wanted, *reopen(centre, wanted, until)])
        unmark(centre.catalog, marks)
    return stages


def _refuse_empty_period(business: str, days: list[date], until: date) -> None:
    if not days:
        raise SettingsError(
            operation="reconcile",
            subject=f"{business} up to {until}",
            cause="the first day lies behind the last, or all of it is beyond its ceiling",
            remedy="name a first day that is not later than the last, of what is still kept",
        )


def _reconcile_period(centre: Centre, days: list[date], until: date, now: datetime, room: int) -> Stages:
    """Reconcile days that follow each other: at once if they fit into `room` bytes, else in windows side by side.

    Returns the stages of the last window.
    """
    sizes = _sizes(centre, days)
    processes = min(os.cpu_count() or 1, room // LEAST_FOR_A_PROCESS)
    pieces = list(windows(sizes, days, room))
    if len(pieces) > 1 and processes > 1:
        pieces = list(windows(sizes, days, room // processes - Process().memory_info().rss))
        return side_by_side(centre, pieces, until, now, processes)
    return [_reconcile_window(centre, window, until, now) for window in pieces][-1]


@task(name="windows", cache_policy=NO_CACHE)
def side_by_side(centre: Centre, pieces: list[list[date]], until: date, now: datetime, processes: int) -> Stages:
    """Reconcile the windows, so many at a time, in processes of their own: the same as one after the other."""

    def one(window: list[date]) -> Stages:
        what = f"{centre.name}, {window[0]} to {window[-1]}"
        stages = in_process(what, _reconcile_alone, centre, window, until, now)
        logger.info("%s: reconciled", what)
        return stages

    logger = get_run_logger()
    with ThreadPoolExecutor(processes) as pool:
        return list(pool.map(one, pieces))[-1]


def _reconcile_window(centre: Centre, window: list[date], until: date, now: datetime) -> Stages:
    stages = Stages()
    with stages.timed("trace"):
        look = trace_site(centre, window)
    with stages.timed("findings"):
        found = find(centre, window, look, until, now)
    with stages.timed("summary"):
        summarise_site(centre, window, look.traced, found)
    return stages


def _reconcile_alone(centre: Centre, window: list[date], until: date, now: datetime) -> Stages:
    """As `_reconcile_window`, in a process that is no run of Prefect's."""
    stages = Stages()
    with disable_run_logger():
        with stages.timed("trace"):
            look = trace_site.fn(centre, window)
        with stages.timed("findings"):
            found = find.fn(centre, window, look, until, now)
        with stages.timed("summary"):
            summarise_site.fn(centre, window, look.traced, found)
    return stages


def _sizes(centre: Centre, days: list[date]) -> dict[date, int]:
    """Bytes of what a trace reads of each of these days, and of the two around them."""
    sizes: Counter[date] = Counter()
    for frame in (CALLS, INVENTORY, SNAPSHOT_FILES, RESTORED):
        sizes.update(centre.catalog.sizes(frame.name, centre.business.business, centre.site, with_neighbours(days)))
    return sizes


@task(name="trace", cache_policy=NO_CACHE)
def trace_site(centre: Centre, days: list[date]) -> Look:
    """The trace of one site: the days and their neighbours, for calls and recordings around midnight."""
    around = with_neighbours(days)
    stations = Stations(
        snapshot_files=centre.read(SNAPSHOT_FILES, around).lazy(),
        restored=centre.read(RESTORED, around).lazy(),
        listing=pl.concat([centre.store.listing(f"{day}/") for day in around]).lazy(),
        indexed=centre.index.links(centre.business.business, centre.site, around).lazy(),
        damaged=centre.read(DAMAGED, around).lazy(),
    )
    calls, inventory = centre.read(CALLS, around), centre.read(INVENTORY, around)
    traced = trace(calls.lazy(), inventory.lazy(), stations, centre.rules, days)
    rows = traced.trace.collect()
    for day in days:
        part = rows.filter(pl.col("day") == day)
        if part.height or centre.read(TRACE, [day]).height:
            centre.write(TRACE, day, part)
    get_run_logger().info("%s: %d rows of trace, %s to %s", centre.name, rows.height, days[0], days[-1])
    others = pl.concat([calls.select(OWNERS[:3]), inventory.select("recording_id")], how="diagonal").unique()
    return Look(Traced(rows.lazy(), traced.clock), stations, others)


@task(name="findings", cache_policy=NO_CACHE)
def find(centre: Centre, days: list[date], look: Look, as_of: date, now: datetime) -> pl.DataFrame:
    """The site's ledger (FINDINGS) of these days, brought up to date."""
    matching = centre.rules.matching
    snapshots = _snapshots(centre, days, as_of).lazy()
    witnesses = Witnesses(
        stations=look.stations,
        snapshots=snapshots,
        gone=centre.read(GONE, with_neighbours(days)).lazy(),
        rejected=centre.read(REJECTED, days).lazy(),
        unindexed=centre.read(UNINDEXED, days).lazy(),
    )
    parts = [
        kinds.in_trace(look.traced.trace, matching, witnesses),
        kinds.repeated_calls(centre.read(CALLS, days).lazy()),
        kinds.quarantined_rows(centre.read(QUARANTINE, days).lazy()),
        kinds.mismatched_extracts(centre.read(EXTRACTS, days).lazy()),
        kinds.skewed_clocks(look.traced.clock, centre.business.business, matching),
        kinds.overdue_backups(_due(centre, days, now), snapshots),
    ]
    found = kinds.collect_findings(parts, as_of)
    seen = Now(look.traced.trace.select(OWNERS).collect(), found, look.others)
    ledger = []
    for day in days:
        known = centre.read(FINDINGS, [day])
        part = carry_on(known, found.filter(pl.col("day") == day), as_of, seen)
        part = waive(part, centre.read(WAIVERS, [day]), as_of)
        if part.height or known.height:
            centre.write(FINDINGS, day, part)
        ledger.append(part)
    together = pl.concat(ledger)
    counts = together["status"].value_counts().sort("status").rows()
    told = ", ".join(f"{n} {status}" for status, n in counts)
    get_run_logger().info("%s: findings: %s", centre.name, told or "none")
    return together


@task(name="waivers", cache_policy=NO_CACHE)
def reopen(centre: Centre, days: list[date], as_of: date) -> list[date]:
    """Open again, on days that are not reconciled any more, what was waived up to a day before `as_of`; those days."""
    changed = [day for day in centre.days(WAIVERS) if day not in days and mark(centre, day, as_of)]
    if changed:
        get_run_logger().info("%s: waivers ended on %s", centre.name, ", ".join(map(str, changed)))
    return changed


@task(name="months", cache_policy=NO_CACHE)
def gather(centre: Centre, days: list[date]) -> None:
    """Summary, file types and findings of these days' months, for analysts: derived, so it comes last."""
    centre.gather(days)


def _due(centre: Centre, days: list[date], now: datetime) -> pl.DataFrame:
    """The days (business, site, day) of which the site's backup is due by now."""
    since = centre.business.sites[centre.site].since or days[-1]
    site = centre.business.sites[centre.site]
    grace = timedelta(days=1 + (site.carry.every_days if site.disk else 0), hours=centre.business.backup_due_hours)
    due = [day for day in days if day >= since and start_of(day, centre.rules.time_zone) + grace <= now]
    return pl.DataFrame(
        {"business": centre.business.business, "site": centre.site, "day": due},
        schema={"business": pl.String, "site": pl.String, "day": pl.Date},
    )


def _snapshots(centre: Centre, days: list[date], as_of: date) -> pl.DataFrame:
    """The site's snapshots that may cover these days: a later one covers days before it, and those that were missed."""
    behind = max(as_of, days[-1] + timedelta(days=centre.business.lookback_days))
    return centre.read(SNAPSHOTS, days_between(days[0], behind))


@task(name="summary", cache_policy=NO_CACHE)
def summarise_site(centre: Centre, days: list[date], traced: Traced, findings: pl.DataFrame) -> None:
    """SUMMARY, FILE_TYPES and DURATIONS of the site's days, into the catalog."""
    summary = summarise(
        traced.trace,
        calls=centre.read(CALLS, days).lazy(),
        notes=centre.read(NOTES, days).lazy(),
        extracts=centre.read(EXTRACTS, days).lazy(),
        findings=findings.lazy(),
    )
    types, lengths = file_types(traced.trace), durations(traced.trace)
    for frame, rows in ((SUMMARY, summary), (FILE_TYPES, types), (DURATIONS, lengths)):
        for day in days:
            part = rows.filter(pl.col("day") == day)
            if part.height or centre.read(frame, [day]).height:
                centre.write(frame, day, part)


@task(name="expectations", cache_policy=NO_CACHE)
def expectations(settings: Business, centres: list[Centre], days: list[date], as_of: date) -> pl.DataFrame:
    """The expectations of the summary (CHECKED), and whether they hold; the Data Docs are written."""
    known = Known(
        **{name: pl.concat([c.read(frame, wanted) for c in centres]) for name, frame, wanted in (
            ("summary", SUMMARY, days), ("before", SUMMARY, _same_weekdays(days)), ("file_types", FILE_TYPES, days),
            ("findings", FINDINGS, days), ("extracts", EXTRACTS, days),
        )}
    )  # fmt: skip
    if known.summary.is_empty():
        get_run_logger().warning("nothing to expect anything of: the summary is empty")
        return CHECKED.to_frame()
    expected = Expected.model_validate(settings.expected)
    checked = great_expectations.check(
        measure(known, expected),
        wanted_expectations(expected, settings.coverage_target),
        as_of=as_of,
        docs_folder=settings.reports() / "data-docs",
    )
    for row in checked.filter(~pl.col("success")).iter_rows(named=True):
        get_run_logger().warning("%s: observed %s", row["description"], row["observed"])
    return checked


def _same_weekdays(days: list[date]) -> list[date]:
    """The same weekdays in the weeks before, as far as growth looks back."""
    weeks = [day - timedelta(weeks=number) for day in days for number in range(1, WEEKS + 1)]
    return sorted(set(weeks) - set(days))


@task(name="report", cache_policy=NO_CACHE)
def write_report(
    settings: Business, centres: list[Centre], days: list[date], as_of: date, now: datetime, checked: pl.DataFrame
) -> Report:
    """The report as a page, a workbook, a CSV, a brief for chat and a mail, in the folder of the day."""
    data = _report_data(settings, centres, days, as_of, now, checked)
    folder = settings.reports() / as_of.isoformat()
    folder.mkdir(parents=True, exist_ok=True)
    language: Language = "en" if settings.language == "en" else "zh"
    brief, mail = render_brief(data, language, str(folder)), render_mail(data, language)
    _write(folder / "report.html", render_page(data, language).encode())
    aged = with_age(data.findings, as_of)
    _write(folder / "findings.xlsx", render_workbook(aged, data.waivers, data.summary, now))
    _write(folder / "findings.csv", findings_csv(aged))
    _write(folder / "brief.md", brief.encode())
    _write(folder / "mail.html", mail.encode())
    key = f"report-{settings.business}"
    create_markdown_artifact(brief, key=key, description=f"{settings.title} {as_of}")
    create_link_artifact((folder / "report.html").as_uri(), key=f"{key}-page", link_text=f"{settings.title} {as_of}")
    is_open = open_findings(data)
    show_findings(settings.business, is_open)
    counts = dict(is_open["severity"].value_counts().iter_rows())
    return Report(folder / "report.html", brief, mail, counts.get("critical", 0), counts.get("major", 0))


def _report_data(
    settings: Business, centres: list[Centre], days: list[date], as_of: date, now: datetime, checked: pl.DataFrame
) -> ReportData:
    shown = days_between(days[0] - timedelta(days=OPEN_DAYS), days[-1])
    # What a check found may be of any age.
    told = sorted({*shown, *(day for centre in centres for day in damaged_days(centre))})
    rotation = days_between(as_of - timedelta(days=settings.check_days), as_of)
    weeks = calendar_days(days, as_of)
    everything = {
        frame.name: pl.concat([c.read(frame, wanted) for c in centres])
        for frame, wanted in (
            (SUMMARY, sorted({*weeks, *shown})), (FILE_TYPES, days), (DURATIONS, days), (FINDINGS, told),
            (WAIVERS, told), (SNAPSHOTS, shown), (CHECKS, rotation),
        )
    }  # fmt: skip
    docs = {"data_docs": f"../data-docs/{as_of}/index.html"} if checked.height else {}
    return ReportData(
        business=settings.business,
        title=settings.title,
        as_of=as_of,
        generated_at=now,
        time_zone=centres[0].rules.time_zone,
        days=tuple(days),
        summary=everything[SUMMARY.name],
        file_types=everything[FILE_TYPES.name],
        durations=everything[DURATIONS.name],
        findings=everything[FINDINGS.name],
        waivers=everything[WAIVERS.name],
        snapshots=everything[SNAPSHOTS.name],
        checks=everything[CHECKS.name],
        inspections=centres[0].catalog.read(INSPECTIONS.name, settings.business, EVERYWHERE, shown, INSPECTIONS.schema),
        overdue=pl.concat([_overdue(centre, weeks) for centre in centres]),
        sites=tuple((centre.site, settings.sites[centre.site].title or centre.site) for centre in centres),
        expectations=checked,
        links={"workbook": "findings.xlsx", "csv": "findings.csv", **docs},
    )


def _overdue(centre: Centre, days: list[date]) -> pl.DataFrame:
    """The days (site, day) of which the site has no backup, though one was due."""
    found = centre.catalog.scan(FINDINGS.name, centre.business.business, centre.site, days, FINDINGS.schema)
    is_overdue = (pl.col("kind") == "backup_overdue") & (pl.col("status") != "resolved")
    return found.filter(is_overdue).select("site", "day").collect()


def _write(file: Path, content: bytes) -> None:
    """Replace the file as a whole: a reader never sees half."""
    part = file.with_name(f".{file.name}.part")
    part.write_bytes(content)
    part.replace(file)


@task(name="notify", cache_policy=NO_CACHE)
def notify(settings: Business, as_of: date, report: Report) -> list[Delivery]:
    """Send the brief to every route, once; what could not be delivered before is tried again first."""
    notifier = load(Notifier, settings.business)
    logger = get_run_logger()
    deliveries = notifier.resend()
    sent = settings.reports() / as_of.isoformat() / "sent.json"
    digest = hashlib.sha256(report.brief.encode()).hexdigest()
    if not sent.is_file() or json.loads(sent.read_text()).get("digest") != digest:
        severity: Severity = "critical" if report.open_critical else "major" if report.open_major else "info"
        title = f"{settings.title} {as_of}"
        files = [report.page, report.page.with_name("findings.xlsx")]
        attached = [file for file in files if file.stat().st_size <= MOST_ATTACHED]
        deliveries += notifier.send(title, report.brief, severity, attached, html=report.mail)
        _write(sent, json.dumps({"digest": digest}).encode())
    for delivery in deliveries:
        if not delivery.delivered:
            logger.error("alert not delivered by %s, kept to be sent again: %s", delivery.route, delivery.cause)
    return deliveries
