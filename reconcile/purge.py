"""Purge lists: what a source may delete because the centre has it, and what became of it.

A recording may go when this very version of it is in a snapshot that the repository still has, was restored with the
source's bytes, is in the object store with all of them, is old enough, and nothing serious is open about it.
"""

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime
from hashlib import sha256
from typing import Any

import polars as pl

from reconcile.errors import UnreadableError
from reconcile.frames import PURGED
from reconcile.recordings import object_key

LIST, REPORT = "voxkeep purge list, version 1", "voxkeep purge report, version 1"
# What a list says of each recording, and what the source must find just so.
ENTRY = pl.Schema(
    {"path": pl.String(), "size": pl.Int64(), "mtime_us": pl.Int64(), "sha256": pl.String(),
     "recording_id": pl.String(), "day": pl.String()}
)  # fmt: skip
_VERSION = ["recording_id", "size", "mtime"]
_SERIOUS = ["critical", "major"]


@dataclass(frozen=True)
class Kept:
    """What is known of some days of a site: INVENTORY, SNAPSHOT_FILES, RESTORED, LISTING, FINDINGS, PURGED.

    `snapshots`: ids of those that the repository still has.
    """

    inventory: pl.DataFrame
    held: pl.DataFrame
    restored: pl.DataFrame
    listing: pl.DataFrame
    findings: pl.DataFrame
    purged: pl.DataFrame
    snapshots: list[str]


def may_go(kept: Kept, until: date) -> pl.DataFrame:
    """The recordings (INVENTORY) of business days up to `until` that the source may delete, in order of path."""
    at_rest = pl.col("sha256").is_not_null() & (pl.col("state") != "in_progress")
    old = kept.inventory.filter(at_rest, pl.col("day") <= until).with_columns(object_key().alias("key"))
    in_snapshot = kept.held.filter(pl.col("snapshot_id").is_in(kept.snapshots))
    proved = kept.restored.filter(pl.col("published").fill_null(value=False))
    is_serious = (pl.col("status") != "resolved") & pl.col("severity").is_in(_SERIOUS)
    doubtful = kept.findings.filter(is_serious).drop_nulls("recording_id")
    etag = pl.when(pl.col("etag").str.contains("^[0-9a-f]{32}$")).then("etag")
    objects = kept.listing.select("key", pl.col("size").alias("object_size"), etag.alias("object_md5"))
    found = (
        old.join(in_snapshot, on=_VERSION, how="semi")
        .join(proved, on=[*_VERSION, "sha256"], how="semi")
        .join(objects, on="key", how="inner")
        .join(doubtful, on="recording_id", how="anti")
        .join(kept.purged, on="recording_id", how="anti")
    )
    is_whole = (pl.col("object_size") == pl.col("size")) & (
        pl.col("object_md5").fill_null(pl.col("md5")) == pl.col("md5")
    )
    return found.filter(is_whole).select(kept.inventory.columns).sort("path")


@dataclass(frozen=True)
class Terms:
    """Whose list it is, what the site calls itself by, when it was issued and until when it may be carried out."""

    business: str
    site: str
    staging: str
    issued_at: datetime
    expires_at: datetime


def purge_list(terms: Terms, recordings: pl.DataFrame) -> bytes:
    """The list, as it is signed; its id is made of all that it says."""
    entries = recordings.select(
        "path", "size", pl.col("mtime").dt.epoch("us").alias("mtime_us"), "sha256", "recording_id",
        pl.col("day").cast(pl.String),
    ).sort("path")  # fmt: skip
    content: dict[str, Any] = {
        "format": LIST,
        "business": terms.business,
        "site": terms.site,
        "staging": terms.staging,
        "issued_at": terms.issued_at.isoformat(timespec="seconds"),
        "expires_at": terms.expires_at.isoformat(timespec="seconds"),
        "columns": ENTRY.names(),
        "recordings": [list(row) for row in entries.iter_rows()],
    }
    return _json(content | {"list_id": sha256(_json(content)).hexdigest()[:16]})


def read_list(content: bytes) -> tuple[dict[str, Any], pl.DataFrame]:
    """What a list says of itself, and its recordings (`ENTRY`).

    Raises:
        UnreadableError: it is none.
    """
    try:
        said = json.loads(content)
        known = said["format"] == LIST and said["columns"] == ENTRY.names()
        entries = pl.DataFrame(said.pop("recordings"), schema=ENTRY, orient="row", strict=True)
        datetime.fromisoformat(said["expires_at"])
    except (ValueError, KeyError, TypeError, AttributeError, pl.exceptions.PolarsError):
        known = False
    if not known:
        raise UnreadableError(
            operation="read a purge list",
            subject="the file",
            cause=f"it is no {LIST}",
            remedy="take list.json as `voxkeep purge-list` has written it",
        )
    return said, entries


def is_expired(said: dict[str, Any], now: datetime) -> bool:
    """Whether the list may no longer be carried out."""
    return now.astimezone(UTC) > datetime.fromisoformat(said["expires_at"])


def purge_report(said: dict[str, Any], deleted: pl.DataFrame) -> bytes:
    """What the source reports back: `deleted` has recording_id, day and purged_at."""
    rows = [
        [recording_id, day, purged_at.isoformat(timespec="microseconds")]
        for recording_id, day, purged_at in deleted.select("recording_id", "day", "purged_at").iter_rows()
    ]
    return _json({"format": REPORT, **{key: said[key] for key in ("list_id", "business", "site")}, "deleted": rows})


def read_report(content: bytes, business: str, site: str) -> pl.DataFrame:
    """PURGED of what a report of this site tells.

    Raises:
        UnreadableError: it is no report of this site.
    """
    try:
        said = json.loads(content)
        known = (said["format"], said["business"], said["site"]) == (REPORT, business, site)
        rows = [
            {
                "business": business, "site": site, "day": date.fromisoformat(day), "recording_id": recording_id,
                "list_id": said["list_id"], "purged_at": datetime.fromisoformat(at),
            }
            for recording_id, day, at in said["deleted"]
        ]  # fmt: skip
        found = pl.DataFrame(rows, schema=PURGED.schema, orient="row")
    except (ValueError, KeyError, TypeError, pl.exceptions.PolarsError):
        known = False
    if not known:
        raise UnreadableError(
            operation="read a purge report",
            subject=f"{business}/{site}",
            cause=f"it is no {REPORT} of this site",
            remedy="look who writes into the folder `purged` of the site's staging folder",
        )
    return found


def with_purged(known: pl.DataFrame, arrived: pl.DataFrame) -> pl.DataFrame:
    """PURGED with what arrived; told twice it is there once."""
    both = pl.concat([known, arrived]).sort("purged_at", "recording_id", maintain_order=True)
    return both.unique(["recording_id", "list_id"], keep="first", maintain_order=True)


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
