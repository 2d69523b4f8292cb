"""A million calls of a hundred days, in both kinds of call index below .bench/: made once, used by every run."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
from listening_sounds import columns as columns_of_sounds

from blocks.elastic import ElasticIndex
from blocks.index import DOCUMENT_SCHEMA, CatalogIndex
from reconcile.text import filled

BUSINESS, SITES = "bench", ("cq", "wh")
FIRST, DAYS = date(2021, 1, 1), 100
CUSTOMERS, EXTENSIONS, DISPLAY_NUMBERS = 120_000, 400, 60
# What agents write, in the order of how often they do.
PHRASES = (
    "无人接听", "客户说明天下午还款", "关机", "客户已还款，请核实", "拒接", "承诺周五之前还清全部欠款",
    "家人代接，已转告", "客户要求投诉", "号码是空号", "需要发送账单到邮箱",
)  # fmt: skip
# Counted up when the data change, so that they are made anew.
FORM = 3


def customer_number(place: int) -> str:
    """The telephone number of a customer."""
    return f"1{3 + place % 7}{(place * 7_919 + 12_345) % 10**9:09}"


def days_of(count: int) -> Iterator[tuple[date, str, pl.DataFrame]]:
    """Day, site and documents of each partition, about `count` in all."""
    random = np.random.default_rng(1)
    customers = pl.Series([customer_number(place) for place in range(CUSTOMERS)])
    each = count // (DAYS * len(SITES))
    for offset in range(DAYS):
        for site in SITES:
            day = FIRST + timedelta(days=offset)
            yield day, site, _documents(random, customers, site, day, each)


def _documents(random: np.random.Generator, customers: pl.Series, site: str, day: date, count: int) -> pl.DataFrame:
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    seconds = pl.Series("second", np.sort(random.integers(3600, 13 * 3600, count)))
    frame = pl.DataFrame(
        {
            "place": np.arange(count),
            "customer": random.integers(0, CUSTOMERS, count),
            "agent": random.integers(0, EXTENSIONS, count),
            "shown": random.integers(0, DISPLAY_NUMBERS, count),
            "phrase": np.minimum(random.geometric(0.3, count) - 1, len(PHRASES) - 1),
            "talked": np.where(random.random(count) < 0.6, np.round(random.exponential(60, count), 1), 0.0),
            "noted": random.random(count) < 0.35,
        }
    ).with_columns(seconds)
    known = columns_of_sounds()
    owned = known[random.integers(0, known.height, count).tolist()]
    frame = frame.hstack(owned)
    uid = (pl.lit(f"{site}{day:%Y%m%d}") + pl.col("place").cast(pl.String).str.zfill(6)).hash(1)
    other = (uid.cast(pl.String) + pl.lit(site)).hash(2)
    named = frame.with_columns(
        pl.lit(site).alias("site"),
        pl.lit(day).alias("day"),
        (uid.cast(pl.String).str.zfill(20) + other.cast(pl.String)).str.slice(0, 32).str.pad_end(32, "0").alias("uid"),
        customers.gather(frame["customer"]).alias("number"),
        (2000 + pl.col("agent")).cast(pl.String).alias("extension"),
        (pl.lit("0216123") + pl.col("shown").cast(pl.String).str.zfill(4)).alias("display_number"),
        pl.col("phrase").replace_strict(dict(enumerate(PHRASES))).alias("text"),
        (pl.lit(start) + pl.duration(seconds="second", microseconds="place")).alias("started_at"),
    )
    return named.select(*_columns(day)).select(DOCUMENT_SCHEMA.names()).match_to_schema(DOCUMENT_SCHEMA)


def _columns(day: date) -> list[pl.Expr]:
    attributes = pl.struct(
        filled("K{}", pl.col("customer").cast(pl.String)).alias("case"),
        filled("C{}", (pl.col("customer") // 2).cast(pl.String)).alias("customer"),
        filled("agent-{}", pl.col("agent").cast(pl.String)).alias("agent"),
        pl.lit("催收一组").alias("queue"),
        pl.lit("ANSWERED").alias("disposition"),
        filled("gw{}", pl.col("shown").cast(pl.String)).alias("trunk"),
    )
    note = pl.struct(pl.col("text"), pl.col("extension").alias("by")).struct.json_encode()
    recording = pl.struct(
        pl.col("uid").alias("recording_id"),
        filled(
            f"{day}/{{}}/{{}}.{{}}.{{}}",
            pl.col("uid").str.slice(0, 2),
            "uid",
            pl.col("sha256").str.slice(0, 12),
            "extension_of_sound",
        ).alias("key"),
        filled(f"{day:%m/%d}/{{}}_{{}}.{{}}", "extension", "number", "extension_of_sound").alias("path"),
        "container",
        "codec",
        "duration_ms",
        "size",
        "sha256",
        pl.lit("ok").alias("state"),
    )
    empty = pl.lit([], dtype=DOCUMENT_SCHEMA["recordings"])
    return [
        pl.col("uid").alias("call_uid"),
        pl.lit(BUSINESS).alias("business"),
        pl.col("site"),
        pl.lit("calls").alias("dataset"),
        pl.col("day"),
        filled(f"{day:%Y%m%d}{{}}{{}}", "site", pl.col("place").cast(pl.String).str.zfill(7)).alias("call_id"),
        pl.lit("").alias("leg"),
        pl.col("started_at"),
        pl.col("talked").alias("talk_seconds"),
        pl.col("extension"),
        pl.col("extension").alias("caller"),
        (pl.lit("0") + pl.col("number")).alias("callee"),
        pl.col("display_number"),
        pl.concat_list("extension", "number", pl.col("display_number").str.strip_prefix("0")).alias("numbers"),
        attributes.struct.json_encode().alias("attributes"),
        pl.when("noted").then(filled("[{}]", note)).otherwise(pl.lit("[]")).alias("notes"),
        pl.when(pl.col("talked") > 0).then(pl.concat_list(recording)).otherwise(empty).alias("recordings"),
    ]


def fill(index: CatalogIndex | ElasticIndex, folder: Path, count: int) -> None:
    """Put the calls into the index, unless this was done before."""
    done = folder / f"filled-{type(index).__name__}"
    wanted = json.dumps({"form": FORM, "calls": count})
    if done.is_file() and done.read_text() == wanted:
        return
    print(f"making {count:,} calls for {type(index).__name__}, once", flush=True)
    for day, site, documents in days_of(count):
        assert index.replace(BUSINESS, site, day, documents, anew=True).rejected.is_empty()
    done.write_text(wanted)


def recorded_calls(calls: int, wanted: int) -> pl.DataFrame:
    """So many calls with a recording, the same each time, of all days."""
    each = wanted // (DAYS * len(SITES)) + 1
    with_recording = pl.col("recordings").list.len() > 0
    found = [documents.filter(with_recording).sample(each, seed=1) for _, _, documents in days_of(calls)]
    return pl.concat(found).sample(wanted, seed=1)
