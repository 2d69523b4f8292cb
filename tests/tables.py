"""Frames for tests from small written-out tables: a row names what matters to the test, the rest is plain."""

import hashlib
from datetime import date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from reconcile.frames import CALLS, FINDINGS, INVENTORY, LISTING, RESTORED, SNAPSHOT_FILES, Frame
from reconcile.ids import stable_id
from reconcile.matching import Matches
from reconcile.recordings import object_key
from reconcile.trace import Stations

# Causes that only the checks of what is kept can find: tests/test_maintain.py has them.
OF_CHECKS = ("repository_damaged", "source_altered")
BUSINESS, SITE, DATASET = "meituan", "cq", "calls"
DAY = date(2021, 1, 31)
EXTENSION, NUMBER = "2049", "15372388463"

Row = dict[str, Any]


def at(clock: str, day: date = DAY, zone: str = "Asia/Shanghai") -> datetime:
    """The instant at which the clocks of the zone show this time of that day."""
    return datetime.combine(day, time.fromisoformat(clock), ZoneInfo(zone))


def call(call_id: str, clock: str | None = "09:00:00", leg: str = "", **columns: Any) -> Row:
    """A row of CALLS: extension 2049 dials 15372388463, talks for 5 s and must have a recording."""
    row = {
        "business": BUSINESS, "site": SITE, "dataset": DATASET, "day": DAY, "call_id": call_id, "leg": leg,
        "started_at": at(clock) if clock else None, "talk_seconds": 5.0, "extension": EXTENSION, "caller": None,
        "callee": NUMBER, "display_number": None, "recording_path": None, "expects_recording": True,
        "attributes": "{}", "source_file": "calls.csv", "source_row": 2,
    } | columns  # fmt: skip
    return row | {"call_uid": call_uid(call_id, leg, row["site"], row["dataset"])}


def recording(path: str, clock: str | None = None, content: str | None = None, **columns: Any) -> Row:
    """A row of INVENTORY: 5 s of sound with bytes of its own; its name says only what is given."""
    content = path if content is None else content
    row = {
        "business": BUSINESS, "site": SITE, "day": DAY, "path": path, "size": 1000, "mtime": at("12:00:00"),
        "sha256": hashlib.sha256(content.encode()).hexdigest(),
        "md5": hashlib.md5(content.encode(), usedforsecurity=False).hexdigest(),
        "container": "wav", "codec": "pcm_mulaw", "sample_rate": 8000, "channels": 1, "duration_ms": 5000,
        "state": "ok", "extension": None, "number": None, "call_id": None,
        "started_at": at(clock) if clock else None,
    } | columns  # fmt: skip
    return row | {"recording_id": recording_id(path, row["site"])}


def named(clock: str, path: str | None = None, **columns: Any) -> Row:
    """A row of INVENTORY whose name says extension, number and start, as in 2049_15372388463_090000.wav."""
    given = {"extension": EXTENSION, "number": NUMBER} | columns
    return recording(path or f"{given['extension']}_{given['number']}_{clock}.wav", clock, **given)


def call_uid(call_id: str, leg: str = "", site: str = SITE, dataset: str = DATASET) -> str:
    """The id of a leg."""
    return stable_id(BUSINESS, site, dataset, call_id, leg)


def recording_id(path: str, site: str = SITE) -> str:
    """The id of a recording."""
    return stable_id(BUSINESS, site, path)


def rows_of(contract: Frame, *rows: Row) -> pl.DataFrame:
    """The rows as a frame of this contract, in its columns' order; what may be null need not be written out."""
    full = [
        {name: row.get(name) if column.nullable else row[name] for name, column in contract.columns.items()}
        for row in rows
    ]
    return pl.DataFrame(full, schema=contract.schema)


def calls(*rows: Row) -> pl.DataFrame:
    """The frame CALLS."""
    return rows_of(CALLS, *rows)


def inventory(*rows: Row) -> pl.DataFrame:
    """The frame INVENTORY."""
    return rows_of(INVENTORY, *rows)


def finding(finding_id: str, **columns: Any) -> Row:
    """A row of FINDINGS: an open one of DAY."""
    return {
        "finding_id": finding_id, "kind": "recording_missing", "severity": "major", "business": BUSINESS,
        "site": SITE, "day": DAY, "call_uid": None, "call_id": None, "recording_id": None, "subject": "call c1",
        "expected": "a recording", "actual": "none", "lost_at": None, "held_at": None, "held_time": None,
        "size": None, "sha256": None, "cause": None, "first_seen": DAY, "last_seen": DAY, "status": "open",
        "status_since": DAY, "resolution": None,
    } | columns  # fmt: skip


def findings(*rows: Row) -> pl.DataFrame:
    """The frame FINDINGS."""
    return rows_of(FINDINGS, *rows)


def in_snapshot(files: pl.DataFrame) -> pl.DataFrame:
    """SNAPSHOT_FILES: a snapshot that holds these recordings as they are."""
    return files.with_columns(snapshot_id=pl.lit("a" * 64)).select(list(SNAPSHOT_FILES.columns))


def restored(files: pl.DataFrame) -> pl.DataFrame:
    """RESTORED: these recordings on the central disk, as they are, and taken by the object store."""
    return files.with_columns(snapshot_id=pl.lit("a" * 64), published=pl.lit(value=True)).select(list(RESTORED.columns))


def published(files: pl.DataFrame) -> pl.DataFrame:
    """LISTING: an object for each of these recordings that was read, with its MD5 as tag."""
    objects = files.drop_nulls("sha256").select(
        object_key().alias("key"), "size", pl.col("md5").alias("etag"), pl.col("mtime").alias("last_modified")
    )
    return objects.select(list(LISTING.columns))


def indexed(rows: pl.DataFrame, matches: Matches) -> pl.DataFrame:
    """INDEXED: an index that knows every leg of these calls, and every link."""
    return rows.select("call_uid").join(
        matches.links.select("call_uid", "recording_id"), on="call_uid", how="left", maintain_order="left"
    )


def everywhere(rows: pl.DataFrame, files: pl.DataFrame, matches: Matches) -> Stations:
    """Every station, with nothing lost at any of them."""
    return Stations(
        in_snapshot(files).lazy(), restored(files).lazy(), published(files).lazy(), indexed(rows, matches).lazy()
    )
