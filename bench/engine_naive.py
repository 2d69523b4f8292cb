"""The same trace and findings as one writes them in Polars at first: `engine_naive.py DATA OUT`.

One frame, joined as text: a full join of calls and recordings on site and path, one with the objects on the key;
`over` for what stands twice or belongs to one call; when/then for the rest; all threads; no hashes, no windows of days,
nothing set apart. Unneeded columns are not read, since the scan is lazy. As in the SQL for DuckDB, a row that fits
several files by the end of its path and calls of several legs are not followed further: the data has none. Of voxkeep
it takes the expressions that any way needs (a number made comparable, the key of an object) and the findings, which are
when/then over the trace. What is written is the same, row by row.
"""

import sys
from datetime import date
from pathlib import Path

import polars as pl

from reconcile.findings import collect_findings, in_trace, repeated_calls, skewed_clocks
from reconcile.frames import TRACE
from reconcile.numbers import normalised
from reconcile.recordings import object_key
from reconcile.rules import MatchingRules, NumberRules

RULES = MatchingRules(order=["path"])
CALL = ["site", "dataset", "call_id"]
BYTES = ["business", "site", "sha256"]
OF_CALL = ["day", "dataset", "call_uid", "call_id", "leg", "legs", "started_at", "extension", "number", "talk_seconds",
           "expects_recording"]  # fmt: skip
OF_BOTH = ["business", "day", "started_at", "extension", "number"]
BASE = r"([^/]+)$"
ORDER = ["business", "site", "day", "started_at", "call_id", "path", "call_uid", "recording_id"]


def read(data: Path, name: str) -> pl.LazyFrame:
    """All days and sites of a frame."""
    return pl.scan_parquet(data / name / "*" / "*.parquet", hive_partitioning=False)


def legs_once(calls: pl.LazyFrame) -> pl.LazyFrame:
    """Each leg once, with the number of its call's legs and the number of the other party."""
    parties = [
        pl.when(pl.col(side).ne_missing(pl.col("extension"))).then(normalised(pl.col(side), NumberRules()))
        for side in ("callee", "caller")
    ]
    once = calls.sort("source_file", "source_row").unique("call_uid", keep="first", maintain_order=True)
    return once.select(
        "business", "site", "day", "dataset", "call_uid", "call_id", "leg", "started_at", "extension", "talk_seconds",
        "expects_recording",
        pl.col("recording_path").alias("path"),
        pl.len().over(CALL).cast(pl.UInt32).alias("legs"),
        pl.coalesce(parties).alias("number"),
    )  # fmt: skip


def files_once(files: pl.LazyFrame) -> pl.LazyFrame:
    """The newest version of each recording, with the key of its object."""
    newest = files.sort("mtime", "size", "sha256").unique("recording_id", keep="last", maintain_order=True)
    return newest.with_columns(object_key().alias("key"), normalised(pl.col("number"), NumberRules())).select(
        "site", "path", "recording_id", "duration_ms", "size", "mtime", "sha256", "md5", "container", "codec", "state",
        "key", *(pl.col(name).alias(f"{name}_of_file") for name in OF_BOTH),
    )  # fmt: skip


def with_tails(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows; a call and a recording that are alone become one where one path is the end of the other."""
    calls = rows.filter(pl.col("recording_id").is_null() & pl.col("path").is_not_null())
    files = rows.filter(pl.col("call_uid").is_null())
    base = pl.col("path").str.extract(BASE).alias("base")
    pairs = calls.select("site", "call_uid", "path", base).join(
        files.select("site", "recording_id", "path", base), on=["site", "base"], suffix="_of_file"
    )
    said, path = pl.lit("/") + pl.col("path").str.strip_prefix("/"), pl.lit("/") + pl.col("path_of_file")
    is_absolute = pl.col("path").str.contains(r"^(/|[A-Za-z]:/|[a-z][a-z0-9+.-]*://)")
    alike = pl.min_horizontal(said.str.len_bytes(), path.str.len_bytes()).alias("alike")
    tails = pairs.filter(path.str.ends_with(said) | (is_absolute & said.str.ends_with(path))).with_columns(alike)
    tails = tails.filter(pl.col("alike") == pl.col("alike").max().over("call_uid"))
    tails = tails.filter(pl.len().over("call_uid") == 1)
    reason = pl.concat_str(pl.lit("the row names "), "path", pl.lit(", which only this file ends with"))
    of_file = [name for name in files.columns if name not in (*OF_CALL, "business", "score", "reason")]
    found = (
        tails.select("call_uid", "recording_id", pl.lit(0.95).alias("score"), reason.alias("reason"))
        .join(calls.select("business", *OF_CALL), on="call_uid")
        .join(files.select(of_file), on="recording_id")
    )
    left = rows.join(found, on="call_uid", how="anti").join(found, on="recording_id", how="anti")
    return pl.concat([left, found.select(rows.columns)])


def settled(rows: pl.DataFrame) -> pl.DataFrame:
    """A row for each recording, with its call or in doubt between several, and for each call without one."""
    call = pl.concat_str(CALL, separator="\0")
    named = pl.col("call_id").unique().sort().head(5).str.join(", ")
    files = rows.filter(pl.col("recording_id").is_not_null()).with_columns(
        call.n_unique().over("recording_id").alias("calls"), pl.lit(value=False).alias("ambiguous")
    )
    tied = files.filter(pl.col("calls") > 1)
    said = pl.concat_str(pl.lit("fits "), "calls", pl.lit(" calls equally well: "), named.over("recording_id"))
    owners = tied.with_columns(said.alias("reason")).unique("recording_id", maintain_order=True)
    owners = owners.with_columns(
        pl.lit(None).cast(files.schema[name]).alias(name) for name in (*OF_CALL, "score")
    ).with_columns(pl.lit(value=True).alias("ambiguous"))
    linked = files.filter(pl.col("calls") <= 1).sort("leg", "call_uid", nulls_last=True)
    linked = linked.unique("recording_id", keep="first", maintain_order=True)
    without = rows.filter(pl.col("call_uid").is_not_null()).unique("call_uid").join(linked, on="call_uid", how="anti")
    unit = [*CALL, "path"]
    without = (
        without.with_columns(
            pl.col("call_uid").is_in(tied["call_uid"].implode()).any().over(unit).alias("ambiguous"),
            pl.col("expects_recording").any().over(unit).alias("unit_expects"),
        )
        .sort(~pl.col("expects_recording"), "started_at", "leg", nulls_last=True)
        .unique(unit, keep="first", maintain_order=True)
        .with_columns(pl.col("unit_expects").alias("expects_recording"))
    )
    nothing = [name for name in files_only(rows) if name != "path"]
    without = without.with_columns(pl.lit(None).cast(rows.schema[name]).alias(name) for name in nothing)
    return pl.concat([frame.select(*rows.columns, "ambiguous") for frame in (linked, owners, without)])


def files_only(rows: pl.DataFrame) -> list[str]:
    """The columns that tell of the recording."""
    return [name for name in rows.columns if name not in ("business", "site", *OF_CALL)]


def with_objects(rows: pl.DataFrame, objects: pl.LazyFrame) -> pl.LazyFrame:
    """The rows with `published` and `content_ok`, by their objects."""
    newest = objects.sort("last_modified", "size", "etag").unique("key", keep="last", maintain_order=True)
    newest = newest.select("key", pl.col("size").alias("object_size"), pl.col("etag").str.to_lowercase())
    joined = rows.lazy().join(newest, on="key", how="full", coalesce=True).filter(pl.col("site").is_not_null())
    is_md5 = pl.col("etag").str.contains("^[0-9a-f]{32}$").fill_null(value=False)
    same = (pl.col("object_size") == pl.col("size")) & (~is_md5 | (pl.col("etag") == pl.col("md5")))
    at_rest = pl.col("recording_id").is_not_null() & (pl.col("state") != "in_progress")
    return joined.with_columns(
        pl.when(at_rest).then(pl.col("object_size").is_not_null()).alias("published"),
        pl.when(at_rest).then(same).alias("content_ok"),
        pl.col("call_uid").is_not_null().alias("called"),
        pl.col("recording_id").is_not_null().alias("on_site"),
        *(pl.coalesce(name, f"{name}_of_file").alias(name) for name in OF_BOTH),
        pl.when(pl.col("score").is_not_null()).then(pl.lit("path")).alias("match"),
        *(pl.lit(None, pl.Boolean).alias(name) for name in ("in_snapshot", "restored", "indexed")),
    )


def with_duplicates(rows: pl.LazyFrame) -> pl.LazyFrame:
    """The rows with `duplicate_of`: of equal bytes the first that has a call, is oldest, has the shortest path."""
    rows = rows.sort(pl.col("call_uid").is_null(), "mtime", pl.col("path").str.len_bytes(), "path")
    has_bytes = (pl.col("size") > 0) & pl.col("sha256").is_not_null()
    first = pl.col("recording_id").first()
    original = pl.when("called").then(first.over([*BYTES, "call_uid"])).otherwise(first.over(BYTES))
    return rows.with_columns(
        pl.when(has_bytes & (original != pl.col("recording_id"))).then(original).alias("duplicate_of")
    )


def with_losses(rows: pl.LazyFrame) -> pl.LazyFrame:
    """The rows with `lost_at` and the `coverage` of their call."""
    must = pl.col("expects_recording") & ~pl.col("ambiguous")
    lost = (
        pl.when((pl.col("state") == "in_progress").fill_null(value=False))
        .then(None)
        .when(~pl.col("on_site") & must)
        .then(pl.lit("on_site"))
        .when(~pl.col("published"))
        .then(pl.lit("published"))
    )
    rows = rows.with_columns(lost.alias("lost_at"))
    has_file = pl.col("recording_id").is_not_null()
    counts = has_file & pl.col("duplicate_of").is_null()
    is_whole = (pl.col("state") == "ok") & pl.col("lost_at").is_null() & pl.col("content_ok").fill_null(value=True)
    lacks = (counts & ~is_whole) | (~has_file & pl.col("expects_recording")) | pl.col("ambiguous")
    any_file, any_expects, any_counts, any_ambiguous, any_lacks = (
        condition.any().over(CALL)
        for condition in (has_file, pl.col("expects_recording"), counts, pl.col("ambiguous"), lacks)
    )
    coverage = (
        pl.when(~any_file & ~any_expects)
        .then(pl.lit("excluded"))
        .when(~any_counts & ~any_ambiguous)
        .then(pl.lit("missing"))
        .when(any_lacks)
        .then(pl.lit("partial"))
        .otherwise(pl.lit("complete"))
    )
    return rows.with_columns(pl.when("called").then(coverage).alias("coverage"))


def clock(rows: pl.DataFrame) -> pl.DataFrame:
    """How far the two clocks are apart, a site and day."""
    apart = (pl.col("started_at_of_file") - pl.col("started_at")).dt.total_microseconds()
    certain = rows.filter(pl.col("score").is_not_null()).select("site", "day", apart.alias("apart")).drop_nulls("apart")
    found = certain.group_by("site", "day").agg(
        (pl.col("apart").median().round() / 1e6).alias("offset_seconds"), pl.len().cast(pl.UInt32).alias("matches")
    )
    return found.filter(pl.col("matches") >= 5)


def main() -> None:
    """Read, join, settle, and write the trace and the findings."""
    data, out = map(Path, sys.argv[1:3])
    legs, files = legs_once(read(data, "calls")), files_once(read(data, "inventory"))
    is_pair = pl.col("call_uid").is_not_null() & pl.col("recording_id").is_not_null()
    joined = legs.join(files, on=["site", "path"], how="full", coalesce=True).with_columns(
        pl.when(is_pair).then(1.0).alias("score"),
        pl.when(is_pair).then(pl.lit("the row names this file")).alias("reason"),
    )
    rows = settled(with_tails(joined.collect()))
    told = with_losses(with_duplicates(with_objects(rows, read(data, "listing"))))
    trace = told.select(list(TRACE.columns)).cast(TRACE.schema).sort(ORDER, nulls_last=True).collect()
    trace.write_parquet(out / "trace.parquet", compression_level=1)
    parts = [
        in_trace(trace.lazy(), RULES),
        repeated_calls(read(data, "calls")),
        skewed_clocks(clock(rows), "haihe", RULES),
    ]
    collect_findings(parts, date(2026, 11, 1)).write_parquet(out / "findings.parquet")


if __name__ == "__main__":
    main()
