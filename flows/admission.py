"""What of a snapshot may come into the catalog: nothing that was erased, nothing that is beyond its ceiling.

While there is a legal hold, what is beyond its ceiling comes in, too: only afterwards can be told whether it is held.
The next removal takes the rest out again.
"""

from datetime import UTC, date, datetime

import polars as pl
from prefect import get_run_logger

from flows.centre import Centre
from flows.days import days_in, today
from flows.hold import read_holds
from reconcile.erasure import IDS, erased_anywhere, without_erased
from reconcile.frames import CALLS, ERASED, RESTORED
from reconcile.retention import Retention, days_over
from reconcile.subjects import active_holds


def admitted(centre: Centre, kind: str, rows: pl.DataFrame) -> pl.DataFrame:
    """The recordings, calls, notes or quarantined rows that may come in; how many may not is told in the log."""
    may = rows.filter(~_is_over(centre, kind, rows))
    kept = without_erased(may, kind, centre.read(ERASED, days_in(rows)))
    if kept.height < rows.height:
        get_run_logger().warning(
            "%s: %d of %d %ss of the snapshot were erased or are beyond their ceiling, and are not taken in",
            centre.name, rows.height - kept.height, rows.height, kind,
        )  # fmt: skip
    return kept


def admitted_notes(centre: Centre, rows: pl.DataFrame) -> pl.DataFrame:
    """The notes that may come in; a note goes with its call, whatever day it was written on."""
    notes = admitted(centre, "note", rows)
    calls = notes.drop_nulls("call_id").select("call_id").unique()
    business = centre.business.business
    erased = centre.catalog.read(ERASED.name, business, centre.site, None, ERASED.schema)
    gone = erased_anywhere(calls, "call", erased)
    return notes.filter(~pl.col("call_id").is_in(list(gone)).fill_null(value=False)) if gone else notes


def _is_over(centre: Centre, kind: str, rows: pl.DataFrame) -> pl.Expr:
    """Whether a row is beyond its ceiling; what stays in the catalog nevertheless is told anew."""
    rules = Retention.model_validate(centre.business.retention)
    as_of = today(datetime.now(UTC), centre.rules.time_zone)
    is_over = pl.lit(value=False)
    for name in rows["dataset"].unique() if "dataset" in rows.columns else [None]:
        days = days_over(days_in(rows), rules.spans(name), as_of)
        if days and not _may_be_held(centre):
            is_its = pl.col("dataset") == name if name else pl.lit(value=True)
            is_over |= is_its & pl.col("day").is_in(days) & ~_is_known(centre, kind, days)
    return is_over


def _may_be_held(centre: Centre) -> bool:
    return any(subject.of_site(centre.site) for _, subject in active_holds(read_holds(centre)))


def _is_known(centre: Centre, kind: str, days: list[date]) -> pl.Expr:
    frame = RESTORED if kind == "recording" else CALLS
    name = IDS[kind]
    if name not in frame.columns:
        return pl.lit(value=False)
    return pl.col(name).is_in(centre.read(frame, days)[name].implode())
