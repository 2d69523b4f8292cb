"""What a report is made of, and the figures that page, chat and workbook all show."""

from dataclasses import dataclass
from datetime import date, datetime

import polars as pl

from reconcile.frames import STATIONS

SEVERITIES = ("critical", "major", "minor", "info")
COVERAGES = ("complete", "partial", "missing", "excluded")
_SUMS = ("calls", "calls_expecting", "recordings", "bytes", "seconds", *COVERAGES, *STATIONS[2:])


@dataclass(frozen=True)
class ReportData:
    """The frames of a report and what they are about.

    `summary`, `file_types`, `findings` and `snapshots` are SUMMARY, FILE_TYPES, FINDINGS and SNAPSHOTS; they may
    reach further back than `days`, for the trend and for findings that are still open.
    """

    business: str
    title: str
    as_of: date
    generated_at: datetime
    time_zone: str
    days: tuple[date, ...]
    summary: pl.DataFrame
    file_types: pl.DataFrame
    findings: pl.DataFrame
    snapshots: pl.DataFrame
    sites: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Figures:
    """The sums over the days reconciled, and the open findings by severity."""

    sums: dict[str, float]
    open_by_severity: dict[str, int]
    opened: int
    resolved: int
    carried: int

    @property
    def must(self) -> int:
        """Calls that must have a recording, or have one."""
        return int(self.sums["complete"] + self.sums["partial"] + self.sums["missing"])

    @property
    def coverage(self) -> float | None:
        """Share of them that is complete; None where there are none."""
        return self.sums["complete"] / self.must if self.must else None

    @property
    def status(self) -> str:
        """good, attention, bad or no_data."""
        if self.open_by_severity["critical"]:
            return "bad"
        if self.open_by_severity["major"] or self.open_by_severity["minor"]:
            return "attention"
        return "good" if self.sums["calls"] or self.sums["recordings"] else "no_data"


def figures(data: ReportData) -> Figures:
    """The figures of a report."""
    rows = in_days(data.summary, data)
    sums = rows.select(pl.col(_SUMS).sum()).row(0, named=True)
    is_open = open_findings(data)
    counts = dict(is_open["severity"].value_counts().iter_rows())
    opened = is_open.filter(pl.col("first_seen") == data.as_of).height
    resolved = data.findings.filter(pl.col("status") == "resolved").height
    return Figures(
        sums=sums,
        open_by_severity={severity: counts.get(severity, 0) for severity in SEVERITIES},
        opened=opened,
        resolved=resolved,
        carried=is_open.height - opened,
    )


def in_days(frame: pl.DataFrame, data: ReportData) -> pl.DataFrame:
    """The rows of the days reconciled; a row of no day belongs to them."""
    return frame.filter(pl.col("day").is_in(list(data.days)) | pl.col("day").is_null())


def open_findings(data: ReportData) -> pl.DataFrame:
    """The open findings, worst first, then newest."""
    order = pl.col("severity").replace_strict({s: place for place, s in enumerate(SEVERITIES)}, return_dtype=pl.Int8)
    is_open = data.findings.filter(pl.col("status") == "open")
    return is_open.sort(order, "day", "kind", "subject", descending=[False, True, False, False], nulls_last=True)
