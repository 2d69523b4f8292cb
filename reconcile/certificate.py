"""The completeness certificate: what a business kept in a period, in figures that an auditor can check.

`recordings.csv` lists the SHA-256 of every recording, by its opaque id; the certificate holds the Merkle root over
them (reconcile.merkle), so that one recording can be proved to belong to it without showing any other.
"""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from hashlib import sha256
from typing import Any

import polars as pl

from reconcile import merkle
from reconcile.errors import UnreadableError

FORMAT = "voxkeep completeness certificate, version 1"
LEAVES = ("recording_id", "site", "day", "sha256")
_CALLS = ("calls", "calls_expecting", "complete", "partial", "missing", "excluded")
_RECORDINGS = ("recordings", "bytes", "in_snapshot", "restored", "published", "indexed")


@dataclass(frozen=True)
class Period:
    """Whose certificate it is, and of which business days, both included."""

    business: str
    title: str
    sites: tuple[str, ...]
    since: date
    until: date
    time_zone: str
    coverage_target: float


@dataclass(frozen=True)
class Kept:
    """What the catalog holds of the period: TRACE, SUMMARY, SNAPSHOTS, FINDINGS and WAIVERS."""

    trace: pl.LazyFrame
    summary: pl.DataFrame
    snapshots: pl.DataFrame
    findings: pl.DataFrame
    waivers: pl.DataFrame


def recordings_csv(trace: pl.LazyFrame) -> bytes:
    """One line a recording whose content was read: recording_id, site, day, sha256; sorted by recording_id."""
    rows = trace.drop_nulls(["recording_id", "sha256"]).select(LEAVES).sort(LEAVES).collect()
    return rows.write_csv(line_terminator="\n").encode()


def hashes(recordings: bytes) -> list[bytes]:
    """The SHA-256 (32 bytes) of each line of `recordings.csv`, in its order.

    Raises:
        UnreadableError: it is none.
    """
    lines = csv.DictReader(io.StringIO(recordings.decode(errors="replace")))
    try:
        return [bytes.fromhex(line["sha256"]) for line in lines]
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableError(
            operation="read the recordings of a certificate", subject="recordings.csv",
            cause=f"line {lines.line_num} has no SHA-256",
            remedy="take the file that was issued with the certificate",
        ) from error  # fmt: skip


def certificate(period: Period, kept: Kept, recordings: bytes, issued_at: datetime) -> dict[str, Any]:
    """The certificate as plain data for JSON; `recordings` is `recordings_csv` of the trace.

    It is `complete` if every day of every site was backed up, coverage reaches the target, and nothing of severity
    critical or major is open.
    """
    summed = kept.summary.select(pl.col(*_CALLS, *_RECORDINGS).sum()).row(0, named=True)
    must = summed["complete"] + summed["partial"] + summed["missing"]
    is_open = kept.findings.filter(pl.col("status") == "open")
    waived = kept.findings.filter(pl.col("status") == "waived")
    unseen = _days_unseen(period, kept)
    serious = is_open.filter(pl.col("severity").is_in(["critical", "major"])).height
    coverage = summed["complete"] / must if must else 1.0
    entries = hashes(recordings)
    return {
        "format": FORMAT,
        "business": period.business,
        "title": period.title,
        "since": period.since.isoformat(),
        "until": period.until.isoformat(),
        "time_zone": period.time_zone,
        "issued_at": issued_at.isoformat(timespec="seconds"),
        "complete": not unseen and not serious and coverage >= period.coverage_target,
        "coverage": round(coverage, 6),
        "coverage_target": period.coverage_target,
        "days_not_backed_up": unseen,
        "calls": {name: summed[name] for name in _CALLS},
        "recordings": {name: summed[name] for name in _RECORDINGS},
        "recordings_without_hash": summed["recordings"] - len(entries),
        "hashes": {
            "file": "recordings.csv",
            "sha256": sha256(recordings).hexdigest(),
            "count": len(entries),
            "merkle_root": merkle.root(entries).hex(),
            "merkle_tree": "RFC 9162, section 2.1, SHA-256; an entry is the 32 bytes of a line's sha256",
        },
        "snapshots": kept.snapshots.sort("site", "taken_at").select("site", "snapshot_id").to_dicts(),
        "open_findings": _counted(is_open),
        "waived_findings": _counted(waived) | {"decisions": _decisions(waived, kept.waivers)},
    }


def _days_unseen(period: Period, kept: Kept) -> list[str]:
    """`site day` of each day that no snapshot covers and of which nothing is known."""
    days = pl.date_range(period.since, period.until, eager=True).alias("day")
    every = pl.DataFrame({"site": period.sites}).join(days.to_frame(), how="cross")
    covered = kept.snapshots.select("site", pl.date_ranges("first_day", "day").alias("day")).explode("day")
    known = kept.summary.filter(pl.col("rows_in") + pl.col("recordings") > 0)
    seen = pl.concat([known.select("site", "day"), covered])
    unseen = every.join(seen, on=["site", "day"], how="anti").sort("day", "site")
    return [f"{site} {day}" for site, day in unseen.iter_rows()]


def _counted(findings: pl.DataFrame) -> dict[str, Any]:
    kinds = dict(findings["kind"].value_counts().sort("kind").iter_rows())
    return {"total": findings.height, "kinds": kinds, "ids": sorted(findings["finding_id"])}


def _decisions(waived: pl.DataFrame, waivers: pl.DataFrame) -> list[dict[str, Any]]:
    newest = waivers.sort("waived_at").unique("finding_id", keep="last").join(waived, on="finding_id", how="semi")
    said = newest.sort("finding_id").select(
        "finding_id", "author", "reason", pl.col("waived_at", "until").cast(pl.String)
    )
    return said.to_dicts()


def disagreements(certified: dict[str, Any], recordings: bytes) -> Iterable[str]:
    """What of the certificate's figures about `recordings.csv` is not so."""
    said = certified["hashes"]
    entries = hashes(recordings)
    found = {
        "sha256": sha256(recordings).hexdigest(),
        "count": len(entries),
        "merkle_root": merkle.root(entries).hex(),
    }
    for name, value in found.items():
        if said[name] != value:
            yield f"{name} of recordings.csv is {value}, and the certificate says {said[name]}"
