"""The ledger: findings keep their id over days; what is seen no more is resolved, what people waive is quiet.

`RESOLUTIONS` is the one ordered table of what resolves a finding: the first that holds is told.
"""

from dataclasses import dataclass
from datetime import date

import polars as pl

from reconcile.frames import FINDINGS, WAIVERS, conform


@dataclass(frozen=True)
class Resolution:
    """What can resolve a finding: its name, and what is so now."""

    name: str
    meaning: str


RESOLUTIONS = (
    Resolution("recording_arrived", "the call has a recording now"),
    Resolution("call_arrived", "the recording has a call now"),
    Resolution("told_otherwise", "another finding tells of the same recording or call now"),
    Resolution("backup_arrived", "a snapshot covers the day now"),
    Resolution("corrected", "the source gives it rightly now"),
    Resolution("not_expected", "the call need not have a recording any more"),
    Resolution("healed", "what was wrong with it is right now"),
    Resolution("withdrawn", "neither call nor recording is told of any more"),
)
# What a look must know of the trace.
OWNERS = ("business", "site", "call_id", "recording_id", "called")
_OF_SOURCE = ["row_quarantined", "extract_mismatch", "clock_skew", "call_duplicate"]
_OF_CALL = ["business", "site", "call_id"]


@dataclass(frozen=True)
class Now:
    """What a look shows: the rows of the trace (`OWNERS`), all its findings (FINDINGS), and what else there is.

    `others` has a recording_id, or business, site and call_id, for each recording and call of the days around: a
    recording that has found its call may be traced on another day.
    """

    trace: pl.DataFrame
    found: pl.DataFrame
    others: pl.DataFrame


def carry_on(known: pl.DataFrame, found: pl.DataFrame, as_of: date, now: Now | None = None) -> pl.DataFrame:
    """The ledger (FINDINGS) of one partition after a look on `as_of` that found `found` (FINDINGS).

    Found again: last_seen moves on, first_seen and a waiver stay, a resolved one opens again. Not found: resolved, by
    what `now` shows. `status_since` is the day of the look that gave a finding its status.
    The same look twice gives the same ledger, and a look at an earlier day never moves last_seen back.
    """
    known, found = conform(known, FINDINGS), conform(found, FINDINGS)
    before = known.select(
        "finding_id",
        pl.col("first_seen").alias("known_since"),
        pl.col("last_seen").alias("known_until"),
        pl.col("status").alias("known_status"),
        pl.col("status_since").alias("known_status_since"),
    )
    is_waived = pl.col("known_status") == "waived"
    again = found.join(before, on="finding_id", how="left").with_columns(
        pl.min_horizontal("known_since", "first_seen").alias("first_seen"),
        pl.max_horizontal("known_until", pl.lit(as_of)).alias("last_seen"),
        pl.when(is_waived).then(pl.lit("waived")).otherwise(pl.lit("open")).alias("status"),
        pl.when(pl.col("known_status").is_in(["open", "waived"]))
        .then("known_status_since")
        .otherwise(pl.lit(as_of))
        .alias("status_since"),
    )
    gone = known.join(found, on="finding_id", how="anti")
    if now is not None:
        gone = _with_resolution(gone, now)
    gone = _with_status(gone, pl.lit("resolved"), as_of)
    return pl.concat([again.select(list(FINDINGS.columns)), gone]).sort("finding_id")


def _with_resolution(gone: pl.DataFrame, now: Now) -> pl.DataFrame:
    """The findings that are found no more, with what resolved them; one that was resolved before stays as it was."""
    traced = ~pl.col("kind").is_in([*_OF_SOURCE, "backup_overdue"])
    told = now.found.filter(traced)
    has_file = pl.col("recording_id").is_not_null()
    rows = gone
    for name, on, among in (
        ("file_told", "recording_id", told),
        ("call_told", _OF_CALL, told),
        ("file_traced", "recording_id", now.trace),
        ("file_called", "recording_id", now.trace.filter("called")),
        ("call_traced", _OF_CALL, now.trace),
        ("call_recorded", _OF_CALL, now.trace.filter(has_file)),
        ("file_there", "recording_id", now.others),
        ("call_there", _OF_CALL, now.others),
    ):
        some = among.select(on).drop_nulls().unique().with_columns(pl.lit(value=True).alias(name))
        rows = rows.join(some, on=on, how="left", maintain_order="left")
        rows = rows.with_columns(pl.col(name).fill_null(value=False))
    may_arrive = pl.col("kind").is_in(["recording_missing", "match_ambiguous"]) & ~has_file
    holds = {
        "told_otherwise": traced & pl.when(has_file).then("file_told").otherwise("call_told"),
        "recording_arrived": may_arrive & pl.col("call_recorded"),
        "call_arrived": (pl.col("kind") == "recording_orphan") & pl.col("file_called"),
        "backup_arrived": pl.col("kind") == "backup_overdue",
        "corrected": pl.col("kind").is_in(_OF_SOURCE),
        "not_expected": may_arrive & pl.col("call_traced"),
        "healed": pl.when(has_file).then("file_traced").otherwise("call_traced"),
        "withdrawn": traced & ~pl.when(has_file).then("file_there").otherwise("call_there"),
    }
    said = pl.coalesce(pl.when(holds[each.name]).then(pl.lit(each.name)) for each in RESOLUTIONS)
    was_resolved = pl.col("status") == "resolved"
    resolution = pl.when(was_resolved).then("resolution").otherwise(said)
    return rows.with_columns(resolution.alias("resolution")).select(gone.columns)


def waive(ledger: pl.DataFrame, waivers: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """The ledger (FINDINGS); what is not resolved is waived as long as its newest waiver (WAIVERS) holds."""
    newest = conform(waivers, WAIVERS).sort("waived_at").unique("finding_id", keep="last")
    holds = newest.filter(pl.col("until") >= as_of)["finding_id"].implode()
    is_resolved = pl.col("status") == "resolved"
    status = pl.when(pl.col("finding_id").is_in(holds)).then(pl.lit("waived")).otherwise(pl.lit("open"))
    return _with_status(ledger, pl.when(is_resolved).then("status").otherwise(status), as_of)


def _with_status(ledger: pl.DataFrame, status: pl.Expr, as_of: date) -> pl.DataFrame:
    """The findings with this status, since `as_of` where they had another."""
    since = pl.when(pl.col("status") == status).then("status_since").otherwise(pl.lit(as_of))
    return ledger.with_columns(status.alias("status"), since.alias("status_since"))
