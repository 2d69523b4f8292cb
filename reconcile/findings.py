"""Findings: every discrepancy, once.

`KINDS` is the one ordered table of what can be wrong. The kinds that a row of the trace can have are tried in their
order and the first that holds is the row's finding: one cause, one finding. It also drives docs, report and routing.
"""

from dataclasses import dataclass
from datetime import date

import polars as pl

from reconcile.evidence import Witnesses, with_evidence
from reconcile.frames import CALLS, EXTRACTS, FINDINGS, QUARANTINE
from reconcile.ids import stable_ids
from reconcile.rules import MatchingRules
from reconcile.text import filled, tenths

SEVERITIES = ("critical", "major", "minor", "info")


@dataclass(frozen=True)
class Kind:
    """A kind of finding: its name, how bad it is, and what it says."""

    name: str
    severity: str
    meaning: str


KINDS = (
    Kind("recording_lost", "critical", "a recording was at one station and is not at the next"),
    Kind("content_mismatch", "critical", "a copy of a recording does not have the source's bytes"),
    Kind("recording_empty", "major", "a recording has no audio in it"),
    Kind("recording_truncated", "major", "a recording ends before its header says"),
    Kind("recording_undecodable", "major", "a recording is in no format that is known"),
    Kind("match_ambiguous", "major", "several partners fit equally well, so none was chosen"),
    Kind("recording_missing", "major", "a call that must have a recording has none"),
    Kind("recording_duplicate", "minor", "a recording repeats another one byte for byte"),
    Kind("recording_orphan", "major", "a recording belongs to no call"),
    Kind("not_indexed", "major", "the call index does not know the call, or does not link it to its recording"),
    Kind("duration_mismatch", "minor", "the talk time of the call and the length of its recording differ"),
    Kind("call_duplicate", "minor", "the same call was extracted more than once"),
    Kind("row_quarantined", "major", "a row could not be read and was set aside"),
    Kind("extract_mismatch", "major", "an extract arrived otherwise than it was sent"),
    Kind("clock_skew", "minor", "the clock that names recordings and the one that writes calls disagree"),
    Kind("backup_overdue", "critical", "a site has no backup of this day"),
)
SEVERITY = {kind.name: kind.severity for kind in KINDS}


def in_trace(trace: pl.LazyFrame, rules: MatchingRules, witnesses: Witnesses | None = None) -> pl.LazyFrame:
    """The findings (FINDINGS without ledger columns) of a trace (TRACE), one a row at most.

    `witnesses` tell more of their evidence and cause than the trace alone.
    """
    seconds = pl.col("duration_ms") / 1000
    apart = (seconds - pl.col("talk_seconds")).abs()
    allowed = pl.max_horizontal(
        pl.lit(rules.duration_tolerance_seconds), pl.col("talk_seconds") * rules.duration_tolerance_ratio
    )
    has_file = pl.col("recording_id").is_not_null()
    of_call = ["business", "site", "dataset", "call_id"]
    a_file_a_leg = (
        (pl.len().over("call_uid") == 1)
        & (pl.col("legs") <= has_file.sum().over(of_call))
        & pl.col("call_uid").is_not_null()
    )
    owns_tie = pl.col("ambiguous") & pl.col("reason").is_not_null()
    conditions = {
        "recording_lost": has_file & pl.col("lost_at").is_in(["in_snapshot", "restored", "published"]),
        "content_mismatch": ~pl.col("content_ok"),
        "recording_empty": pl.col("state") == "empty",
        "recording_truncated": pl.col("state") == "truncated",
        "recording_undecodable": pl.col("state").is_in(["undecodable", "unreadable"]),
        "match_ambiguous": owns_tie,
        "recording_missing": pl.col("lost_at") == "on_site",
        "recording_duplicate": pl.col("duplicate_of").is_not_null(),
        "recording_orphan": ~pl.col("called") & ~pl.col("ambiguous"),
        "not_indexed": pl.col("lost_at") == "indexed",
        "duration_mismatch": a_file_a_leg & (apart > allowed),
    }
    by_itself = pl.any_horizontal(holds for kind, holds in conditions.items() if kind != "duration_mismatch")
    rows = _rows_in_question(trace.collect(), by_itself, apart > allowed)
    is_moving = (pl.col("state") == "in_progress").fill_null(False)
    kind = pl.coalesce(pl.when(condition).then(pl.lit(name)) for name, condition in conditions.items())
    found = rows.with_columns(pl.when(~is_moving).then(kind).alias("kind")).drop_nulls("kind").collect()
    expected, actual = _words()
    # Not by call_uid: which leg stands for the call may change when rows arrive late.
    call = pl.concat_str("dataset", "call_id", pl.col("path").fill_null(""), separator="\n")
    subject = pl.when(has_file | pl.col("call_id").is_null()).then("path").otherwise(filled("call {}", "call_id"))
    # What is expected is said of the trace's own size and hash, not of those of a file that a call names.
    said = found.with_columns(subject.alias("subject"), expected.alias("expected"), actual.alias("actual"))
    return with_evidence(said, trace, witnesses or Witnesses()).lazy().select(
        "kind", "business", "site", "day", "call_uid", "call_id", "recording_id", "lost_at",
        "held_at", "held_time", "size", "sha256", "cause", "subject", "expected", "actual",
        pl.coalesce("recording_id", call).alias("identity"),
    )  # fmt: skip


def _rows_in_question(trace: pl.DataFrame, by_itself: pl.Expr, by_its_call: pl.Expr) -> pl.LazyFrame:
    """The rows that may have a finding, and all rows of a call that must be looked at as a whole: few, mostly."""
    calls = trace.filter(by_its_call)["call_id"].drop_nulls()
    return trace.lazy().filter(by_itself | pl.col("call_id").is_in(calls.implode()))


def _words() -> tuple[pl.Expr, pl.Expr]:
    """What should have been there and what was there, in words, for each kind of the trace."""
    length = (pl.col("duration_ms") / 1000).round(1)
    talked = pl.col("talk_seconds").round(1)
    names_file = pl.col("path").is_not_null()
    words: dict[str, tuple[pl.Expr, pl.Expr]] = {
        "recording_lost": (
            filled(
                "at the station before, sha256 {}, {} bytes",
                pl.col("sha256").str.head(12).fill_null("unread"),
                "size",
            ),
            filled("not at station {}", "lost_at"),
        ),
        "content_mismatch": (
            filled("sha256 {}, {} bytes", pl.col("sha256").str.head(12).fill_null("unread"), "size"),
            pl.lit("a copy has other bytes"),
        ),
        "recording_empty": (pl.lit("a recording with audio"), filled("{} bytes without audio", "size")),
        "recording_truncated": (
            pl.lit("as many bytes as the header says"),
            filled("the file ends after {} bytes", "size"),
        ),
        "recording_undecodable": (
            pl.lit("a known audio format"),
            pl.when(pl.col("state") == "unreadable")
            .then(filled("{} bytes that could not be read", "size"))
            .otherwise(filled("{} bytes with no header that is known", "size")),
        ),
        "match_ambiguous": (pl.lit("one partner that fits best"), pl.col("reason")),
        "recording_missing": (
            pl.when(names_file).then(filled("the file {}", "path")).otherwise(pl.lit("a recording")),
            pl.lit("none on the source disk"),
        ),
        "recording_duplicate": (
            pl.lit("content of its own"),
            filled("the same bytes as recording {}", "duplicate_of"),
        ),
        "recording_orphan": (pl.lit("a call that it belongs to"), pl.lit("none that fits by any rule")),
        "not_indexed": (
            pl.lit("the call with its recording in the call index"),
            pl.lit("not in the call index"),
        ),
        "duration_mismatch": (filled("{} s talked", talked), filled("{} s recorded", length)),
    }
    expected, actual = (
        pl.coalesce(pl.when(pl.col("kind") == kind).then(said[side]) for kind, said in words.items()) for side in (0, 1)
    )
    return expected.fill_null(""), actual.fill_null("")


def repeated_calls(calls: pl.LazyFrame) -> pl.LazyFrame:
    """The findings of calls (CALLS) whose call_uid stands in several rows."""
    times = pl.len().over("call_uid")
    rows = calls.select(CALLS.columns.keys()).filter(times > 1).sort("source_file", "source_row")
    return rows.group_by("call_uid", maintain_order=True).agg(
        pl.lit("call_duplicate").alias("kind"),
        pl.first("business", "site", "day", "call_id"),
        filled("call {}", pl.first("call_id")).alias("subject"),
        pl.lit("one row").alias("expected"),
        filled(
            "{} rows: {}",
            pl.len(),
            filled("{}:{}", "source_file", "source_row").head(5).str.join(", "),
        ).alias("actual"),
        pl.first("call_uid").alias("identity"),
    )


def quarantined_rows(quarantine: pl.LazyFrame) -> pl.LazyFrame:
    """The findings of rows set aside (QUARANTINE); a row is known by its file and content, wherever it moves to."""
    rows = quarantine.select(QUARANTINE.columns.keys()).sort("source_file", "source_row")
    return rows.select(
        pl.lit("row_quarantined").alias("kind"), "business", "site", "day",
        filled("{} line {}", "source_file", "source_row").alias("subject"),
        pl.lit("a row that can be read").alias("expected"), pl.col("reason").alias("actual"),
        pl.concat_str("source_file", "raw", separator="\n").alias("identity"),
    )  # fmt: skip


def mismatched_extracts(extracts: pl.LazyFrame) -> pl.LazyFrame:
    """The findings of extracts (EXTRACTS) with other rows, bytes or hash than their datapackage says."""
    pairs = (
        ("rows", "expected_rows", "rows_in"),
        ("bytes", "expected_bytes", "bytes"),
        ("sha256", "expected_sha256", "sha256"),
    )
    differs = pl.any_horizontal(pl.col(sent) != pl.col(arrived) for _, sent, arrived in pairs)
    said = [
        pl.when(pl.col(sent) != pl.col(arrived)).then(filled(f"{name} {{}}", sent)) for name, sent, arrived in pairs
    ]
    found = [
        pl.when(pl.col(sent) != pl.col(arrived)).then(filled(f"{name} {{}}", arrived)) for name, sent, arrived in pairs
    ]
    return extracts.select(EXTRACTS.columns.keys()).filter(differs).select(
        pl.lit("extract_mismatch").alias("kind"), "business", "site", "day",
        pl.col("source_file").alias("subject"),
        pl.concat_str(said, separator=", ", ignore_nulls=True).alias("expected"),
        pl.concat_str(found, separator=", ", ignore_nulls=True).alias("actual"),
        pl.col("source_file").alias("identity"),
    )  # fmt: skip


def skewed_clocks(clock: pl.DataFrame, business: str, rules: MatchingRules) -> pl.LazyFrame:
    """The findings of clocks (`nearest.CLOCK`) that are further off than the business allows."""
    limit = rules.clock_skew_limit_seconds
    return clock.lazy().filter(pl.col("offset_seconds").abs() > limit).select(
        pl.lit("clock_skew").alias("kind"), pl.lit(business).alias("business"), "site", "day",
        filled("clock of site {}", "site").alias("subject"),
        pl.lit(f"at most {limit:g} s apart").alias("expected"),
        filled("{} s apart, by {} matches", tenths("offset_seconds"), "matches").alias("actual"),
        filled("{} {}", "site", "day").alias("identity"),
    )  # fmt: skip


def overdue_backups(due: pl.DataFrame, snapshots: pl.LazyFrame) -> pl.LazyFrame:
    """The findings of backups that are due (business, site, day) and that no snapshot (SNAPSHOTS) covers."""
    covered = snapshots.select("business", "site", "first_day", pl.col("day").alias("last_day"))
    pairs = due.lazy().join(covered, on=["business", "site"], how="inner")
    done = pairs.filter(pl.col("day").is_between("first_day", "last_day")).select("business", "site", "day").unique()
    return due.lazy().join(done, on=["business", "site", "day"], how="anti").select(
        pl.lit("backup_overdue").alias("kind"), "business", "site", "day",
        filled("site {}", "site").alias("subject"),
        filled("a backup that covers {}", "day").alias("expected"), pl.lit("none").alias("actual"),
        pl.lit("backup_missing").alias("cause"),
        filled("{} {}", "site", "day").alias("identity"),
    )  # fmt: skip


def collect_findings(parts: list[pl.LazyFrame], as_of: date) -> pl.DataFrame:
    """All parts as one frame FINDINGS, each finding once, open and seen on `as_of`."""
    found = (
        pl.concat(parts, how="diagonal_relaxed")
        .collect()
        .unique(["kind", "business", "site", "identity"], keep="first", maintain_order=True)
    )
    ids = stable_ids((), [found[name] for name in ("kind", "business", "site", "identity")], digits=16)
    absent = [name for name, column in FINDINGS.columns.items() if column.nullable and name not in found.columns]
    return (
        found.with_columns(
            ids.alias("finding_id"),
            pl.col("kind").replace_strict(SEVERITY, return_dtype=pl.String).alias("severity"),
            pl.lit(as_of).alias("first_seen"),
            pl.lit(as_of).alias("last_seen"),
            pl.lit("open").alias("status"),
            pl.lit(as_of).alias("status_since"),
            *(pl.lit(None, FINDINGS.schema[name]).alias(name) for name in absent),
        )
        .select(list(FINDINGS.columns))
        .cast(FINDINGS.schema)
        .sort("finding_id")
    )
