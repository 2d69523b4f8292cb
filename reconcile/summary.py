"""Summaries: one row a business, site and day, one a kind of file, and one a range of length."""

import polars as pl

from reconcile.findings import SEVERITIES
from reconcile.frames import DURATIONS, FILE_TYPES, STATIONS, SUMMARY

KEYS = ["business", "site", "day"]
# Where the ranges of length begin and end, in seconds: close together where calls are many, each end a round figure.
LENGTHS = (0, 1, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)


def summarise(
    trace: pl.LazyFrame,
    *,
    calls: pl.LazyFrame,
    notes: pl.LazyFrame,
    extracts: pl.LazyFrame,
    findings: pl.LazyFrame,
) -> pl.DataFrame:
    """The frame SUMMARY of a trace (TRACE) with its CALLS, NOTES, EXTRACTS and ledger (FINDINGS).

    A call counts once whatever its legs; a finding counts while it is open.
    """
    parts = [
        _of_trace(trace),
        _of_losses(trace),
        _of_calls(trace),
        _of_legs(calls),
        _of_notes(notes),
        _of_extracts(extracts),
        _of_findings(findings),
    ]
    joined = pl.concat([part.select(KEYS) for part in parts]).unique()
    for part in parts:
        joined = joined.join(part, on=KEYS, how="left", nulls_equal=True)
    counts = [name for name in SUMMARY.columns if name not in (*KEYS, "coverage")]
    must = pl.col("complete") + pl.col("partial") + pl.col("missing")
    return (
        joined.with_columns(pl.col(counts).fill_null(0))
        .with_columns(pl.when(must == 0).then(1.0).otherwise(pl.col("complete") / must).alias("coverage"))
        .select(list(SUMMARY.columns))
        .cast(SUMMARY.schema)
        .sort(KEYS, nulls_last=True)
        .collect()
    )


def _of_trace(trace: pl.LazyFrame) -> pl.LazyFrame:
    has_file = pl.col("recording_id").is_not_null()
    files = trace.filter(has_file)
    return files.group_by(KEYS).agg(
        pl.len().alias("recordings"),
        pl.col("size").sum().alias("bytes"),
        (pl.col("duration_ms").sum() / 1000).alias("seconds"),
        *(pl.col(station).sum().alias(station) for station in ("in_snapshot", "restored", "published", "indexed")),
    )


def _of_losses(trace: pl.LazyFrame) -> pl.LazyFrame:
    return trace.group_by(KEYS).agg(
        (pl.col("lost_at") == station).sum().alias(f"lost_{station}") for station in STATIONS[1:]
    )


def _of_calls(trace: pl.LazyFrame) -> pl.LazyFrame:
    calls = (
        trace.filter("called")
        .group_by(*KEYS, "dataset", "call_id")
        .agg(pl.col("coverage").first(), pl.col("expects_recording").any())
    )
    return calls.group_by(KEYS).agg(
        pl.len().alias("calls"),
        pl.col("expects_recording").sum().alias("calls_expecting"),
        *((pl.col("coverage") == name).sum().alias(name) for name in ("complete", "partial", "missing", "excluded")),
    )


def _of_legs(calls: pl.LazyFrame) -> pl.LazyFrame:
    return calls.group_by(KEYS).agg(pl.len().alias("legs"))


def _of_notes(notes: pl.LazyFrame) -> pl.LazyFrame:
    return notes.group_by(KEYS).agg(pl.len().alias("notes"))


def _of_extracts(extracts: pl.LazyFrame) -> pl.LazyFrame:
    return extracts.group_by(KEYS).agg(pl.col("rows_in", "rows_ok", "rows_quarantined").sum())


def _of_findings(findings: pl.LazyFrame) -> pl.LazyFrame:
    is_open = pl.col("status") == "open"
    return findings.group_by(KEYS).agg(
        (is_open & (pl.col("severity") == severity)).sum().alias(f"open_{severity}") for severity in SEVERITIES
    )


def recount(summary: pl.DataFrame, findings: pl.DataFrame) -> pl.DataFrame:
    """The summary (SUMMARY) with the open findings of this ledger (FINDINGS) of the same days."""
    counts = _of_findings(findings.lazy())
    others = summary.lazy().drop(name for name in SUMMARY.columns if name.startswith("open_"))
    return (
        others.join(counts, on=KEYS, how="left", nulls_equal=True)
        .with_columns(pl.col(f"open_{severity}").fill_null(0) for severity in SEVERITIES)
        .select(list(SUMMARY.columns))
        .cast(SUMMARY.schema)
        .collect()
    )


def file_types(trace: pl.LazyFrame) -> pl.DataFrame:
    """The frame FILE_TYPES of a trace (TRACE)."""
    return (
        trace.filter(pl.col("recording_id").is_not_null())
        .group_by(*KEYS, pl.col("container").fill_null("unknown"), pl.col("codec").fill_null("unknown"), "state")
        .agg(
            pl.len().cast(pl.Int64).alias("recordings"),
            pl.col("size").sum().alias("bytes"),
            (pl.col("duration_ms").sum() / 1000).alias("seconds"),
        )
        .select(list(FILE_TYPES.columns))
        .sort(list(FILE_TYPES.columns), nulls_last=True)
        .collect()
    )


def durations(trace: pl.LazyFrame) -> pl.DataFrame:
    """The frame DURATIONS of a trace (TRACE): a range without recordings has no row."""
    ends = pl.Series(LENGTHS, dtype=pl.Int64)
    place = pl.lit(ends).search_sorted(pl.col("duration_ms") // 1000, side="right")
    place = pl.when(pl.col("duration_ms").is_not_null()).then(place.cast(pl.Int64))
    bounds = pl.LazyFrame(
        {"place": range(1, len(LENGTHS) + 1), "from_seconds": LENGTHS, "until_seconds": [*LENGTHS[1:], None]},
        schema={"place": pl.Int64, "from_seconds": pl.Int64, "until_seconds": pl.Int64},
    )
    return (
        trace.filter(pl.col("recording_id").is_not_null())
        .with_columns(place.alias("place"))
        .group_by(*KEYS, "place")
        .agg(pl.len().cast(pl.Int64).alias("recordings"))
        .join(bounds, on="place", how="left")
        .select(list(DURATIONS.columns))
        .sort(list(DURATIONS.columns), nulls_last=True)
        .collect()
    )
