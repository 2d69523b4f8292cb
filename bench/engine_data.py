"""Calls, recordings and objects by the million, as Parquet with a file a site and day, as in the catalog.

Every call names its recording by the whole path. 0.5 % have a fault: a recording or its object is gone, an object is
another's, a file is cut short, empty or a copy of another, nobody called, a row stands twice, two calls name one file.
"""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl

from reconcile.frames import CALLS, INDEXED, INVENTORY, LISTING, RESTORED, SNAPSHOT_FILES
from reconcile.ids import stable_ids
from reconcile.recordings import object_key
from reconcile.text import filled

BUSINESS = "haihe"
SITES = ("jinnan", "hexi", "nankai", "dongli")
FIRST_DAY = date(2026, 10, 1)
FAULTS = 0.005
# Of a thousand faults, how many are of which kind.
_KINDS = {
    "missing": 250, "not_published": 250, "other_bytes": 100, "orphan": 150, "truncated": 50, "empty": 50,
    "copy": 50, "repeated": 50, "shared": 50,
}  # fmt: skip


def make(folder: Path, count: int, days: int, *, stations: bool = False) -> None:
    """Write `calls/`, `inventory/` and `listing/` below the folder, a file a site and day; made once.

    With `stations`, `snapshot_files/`, `restored/` and `indexed/`, too.
    """
    if (folder / "made").exists():
        return
    each = count // (len(SITES) * days)
    for place, site in enumerate(SITES):
        for number in range(days):
            day = FIRST_DAY + timedelta(days=number)
            calls, files, objects = partition(site, day, each, seed=place * 1_000 + number)
            frames = {"calls": calls, "inventory": files, "listing": objects}
            for name, frame in (frames | (behind(calls, files) if stations else {})).items():
                file = folder / name / f"day={day}" / f"{site}.parquet"
                file.parent.mkdir(parents=True, exist_ok=True)
                frame.write_parquet(file, row_group_size=50_000)
    (folder / "made").touch()


def partition(site: str, day: date, count: int, seed: int) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """CALLS, INVENTORY and LISTING of one site and day."""
    rows = _rows(site, day, count, seed)
    fault = pl.col("fault")
    calls = rows.filter((fault != "orphan").fill_null(value=True))
    # Who shares a file names that of the call before.
    named = pl.when(fault == "shared").then(pl.col("path").shift(1)).otherwise("path")
    calls = calls.with_columns(named.alias("recording_path"))
    calls = pl.concat([calls, calls.filter(fault == "repeated")])
    calls = calls.with_columns(pl.int_range(2, pl.len() + 2).alias("source_row"))
    files = rows.filter((~fault.is_in(["missing", "shared"])).fill_null(value=True))
    files = files.with_columns(
        pl.when(fault == "copy").then(pl.col(name).shift(1)).otherwise(name).alias(name) for name in ("sha256", "md5")
    )
    objects = files.filter((fault != "not_published").fill_null(value=True)).select(
        object_key().alias("key"),
        pl.col("size"),
        pl.when(fault == "other_bytes").then(pl.col("md5").str.reverse()).otherwise("md5").alias("etag"),
        (pl.col("mtime") + timedelta(hours=9)).alias("last_modified"),
    )
    # The recorder begins up to five seconds later than the call.
    rings = pl.duration(milliseconds=pl.col("random_7") % 5_000)
    files = files.with_columns(pl.col("started_at") + rings)
    return _as(CALLS, calls), _as(INVENTORY, files), _as(LISTING, objects).sample(fraction=1, shuffle=True, seed=seed)


def behind(calls: pl.DataFrame, files: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """SNAPSHOT_FILES, RESTORED and INDEXED of these calls and recordings; a few of a thousand are gone or other."""
    fate = pl.col("recording_id").hash(1) % 2_000
    held = files.with_columns(pl.lit("0" * 64).alias("snapshot_id"), pl.lit(value=True).alias("published"))
    copies = held.with_columns(pl.when(fate == 2).then(pl.col("sha256").str.reverse()).otherwise("sha256"))
    links = calls.unique("call_uid", maintain_order=True).select("call_uid", path="recording_path")
    links = links.join(files.select("path", "recording_id"), on="path", how="left", maintain_order="left")
    return {
        "snapshot_files": _as(SNAPSHOT_FILES, held.filter(fate != 0)),
        "restored": _as(RESTORED, copies.filter(fate > 1)),
        "indexed": _as(INDEXED, links.filter((fate != 3).fill_null(value=True))),
    }


def _as(frame, rows: pl.DataFrame) -> pl.DataFrame:  # noqa: ANN001
    return rows.select(list(frame.columns)).cast(frame.schema)


def _rows(site: str, day: date, count: int, seed: int) -> pl.DataFrame:
    """A row for each call with its recording, and what is wrong with it (`fault`, mostly null)."""
    place = pl.int_range(count, dtype=pl.UInt64).alias("place")
    unit = pl.select(place).with_columns(pl.col("place").hash(seed * 7 + k).alias(f"random_{k}") for k in range(10))
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
    names = [name for name, share in _KINDS.items() for _ in range(share)]
    is_fault = pl.col("random_0") % 100_000 < FAULTS * 100_000
    rows = unit.with_columns(
        # Eight in the morning to eight in the evening in Shanghai.
        (pl.lit(begin) + pl.duration(microseconds=pl.col("place") * (12 * 3600 * 1_000_000 // count))).alias(
            "started_at"
        ),
        (2000 + pl.col("random_1") % 800).cast(pl.String).alias("extension"),
        (13_000_000_000 + pl.col("random_2") % 6_999_999_999).cast(pl.String).alias("number"),
        (pl.col("random_3") % 600_000).cast(pl.Int64).alias("duration_ms"),
        pl.when(is_fault).then(pl.lit(pl.Series(names)).gather(pl.col("random_4") % 1000)).alias("fault"),
    )
    call_id = filled("{}.{}", pl.col("started_at").dt.epoch("s"), "place")
    hexes = {
        "sha256": [f"random_{k}" for k in (5, 6, 7, 8)],
        "md5": ["random_9", "random_1"],
    }
    rows = rows.with_columns(call_id.alias("call_id")).with_columns(
        filled(
            "{}/out-{}-{}-{}-{}.wav", pl.lit(f"{day:%Y/%m/%d}"), "number", "extension",
            (pl.col("started_at") + timedelta(hours=8)).dt.to_string("%Y%m%d-%H%M%S"), "call_id",
        ).alias("path"),
        *(pl.concat_str(_hex(part) for part in parts).alias(name) for name, parts in hexes.items()),
    )  # fmt: skip
    fault = pl.col("fault")
    no_leg = pl.repeat("", rows.height, eager=True)
    return rows.with_columns(
        stable_ids((BUSINESS, site), [rows["path"]]).alias("recording_id"),
        stable_ids((BUSINESS, site, "calls"), [rows["call_id"], no_leg]).alias("call_uid"),
        pl.lit(BUSINESS).alias("business"), pl.lit(site).alias("site"), pl.lit(day).alias("day"),
        pl.lit("calls").alias("dataset"), pl.lit("").alias("leg"), pl.lit("{}").alias("attributes"),
        pl.lit(f"calls-{day}.csv").alias("source_file"), pl.lit(value=True).alias("expects_recording"),
        pl.lit("02288886666").alias("display_number"), pl.lit("02288886666").alias("caller"),
        filled("0{}", "number").alias("callee"), (pl.col("duration_ms") / 1000).alias("talk_seconds"),
        (pl.col("duration_ms") * 8 + 44).alias("size"), (pl.col("started_at") + timedelta(minutes=11)).alias("mtime"),
        pl.lit("wav").alias("container"), pl.lit("pcm_alaw").alias("codec"), pl.lit(8000).alias("sample_rate"),
        pl.lit(1).alias("channels"),
        pl.when(fault.is_in(["truncated", "empty"])).then(fault).otherwise(pl.lit("ok")).alias("state"),
    )  # fmt: skip


def _hex(random: str) -> pl.Expr:
    """16 hex digits of a random number."""
    digits = [((pl.col(random) // 16**place) % 16).cast(pl.UInt8) for place in range(16)]
    letters = pl.lit(pl.Series(list("0123456789abcdef")))
    return pl.concat_str(letters.gather(digit) for digit in digits)
