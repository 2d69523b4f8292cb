"""What a report is made of, and the figures that page, chat and workbook all show."""

from dataclasses import dataclass, field
from datetime import date, datetime

import polars as pl

from reconcile.frames import CHECKS, DURATIONS, INSPECTIONS, STATIONS

SEVERITIES = ("critical", "major", "minor", "info")
COVERAGES = ("complete", "partial", "missing", "excluded")
LOSSES = tuple(f"lost_{station}" for station in STATIONS[1:])
_SUMS = ("calls", "calls_expecting", "recordings", "bytes", "seconds", *COVERAGES, *STATIONS[2:], *LOSSES)
# What was expected of the summary, and whether it is so (blocks.expectations.check).
CHECKED = pl.Schema(
    {
        "expectation": pl.String(), "column": pl.String(), "description": pl.String(), "success": pl.Boolean(),
        "observed": pl.String(),
    }
)  # fmt: skip
OVERDUE = pl.Schema({"site": pl.String(), "day": pl.Date()})


@dataclass(frozen=True)
class ReportData:
    """The frames of a report and what they are about.

    `summary`, `file_types`, `durations`, `findings`, `waivers` and `snapshots` are the frames of these names; they may
    reach further back than `days`, for trend and calendar and for findings that are still open. `overdue`: the sites'
    days (site, day) without a backup that was due. `checks`: CHECKS, as far back as a rotation.
    `inspections`: INSPECTIONS, of the last days.
    `expectations` (CHECKED): empty where nothing was expected.
    `links`: workbook, csv, data_docs, each with its address relative to the page, where it exists.
    `is_daily`: one report of many, of a business day; else a comparison made once, of files without backups.
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
    waivers: pl.DataFrame
    snapshots: pl.DataFrame
    sites: tuple[tuple[str, str], ...]
    durations: pl.DataFrame = field(default_factory=DURATIONS.empty)
    overdue: pl.DataFrame = field(default_factory=OVERDUE.to_frame)
    expectations: pl.DataFrame = field(default_factory=CHECKED.to_frame)
    checks: pl.DataFrame = field(default_factory=CHECKS.empty)
    inspections: pl.DataFrame = field(default_factory=INSPECTIONS.empty)
    links: dict[str, str] = field(default_factory=dict)
    is_daily: bool = True


@dataclass(frozen=True)
class Figures:
    """The sums over the days reconciled, the open findings by severity, and what changed on the day of the report.

    `carried` were open before; the oldest of them is `oldest_days` old.
    """

    sums: dict[str, float]
    open_by_severity: dict[str, int]
    opened: int
    reopened: int
    resolved: int
    waived: int
    carried: int
    oldest_days: int

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
    is_new, is_changed = pl.col("first_seen") == data.as_of, pl.col("status_since") == data.as_of
    changed = data.findings.filter(is_changed)
    carried = is_open.filter(~is_new & ~is_changed)
    return Figures(
        sums=sums,
        open_by_severity={severity: counts.get(severity, 0) for severity in SEVERITIES},
        opened=is_open.filter(is_new).height,
        reopened=is_open.filter(is_changed & ~is_new).height,
        resolved=changed.filter(pl.col("status") == "resolved").height,
        waived=changed.filter(pl.col("status") == "waived").height,
        carried=carried.height,
        oldest_days=max(carried["age_days"], default=0),
    )


def in_days(frame: pl.DataFrame, data: ReportData) -> pl.DataFrame:
    """The rows of the days reconciled; a row of no day belongs to them."""
    return frame.filter(pl.col("day").is_in(list(data.days)) | pl.col("day").is_null())


def open_findings(data: ReportData) -> pl.DataFrame:
    """The open findings with their `age_days`: worst first, then those open longest, then the newest days."""
    order = pl.col("severity").replace_strict({s: place for place, s in enumerate(SEVERITIES)}, return_dtype=pl.Int8)
    is_open = with_age(data.findings.filter(pl.col("status") == "open"), data.as_of)
    return is_open.sort(
        order, "first_seen", "day", "kind", "subject", descending=[False, False, True, False, False], nulls_last=True
    )


def with_age(findings: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """The findings with `age_days`: business days from the first look that saw it to `as_of`, or to its resolution."""
    until = pl.when(pl.col("status") == "resolved").then("status_since").otherwise(pl.lit(as_of))
    return findings.with_columns((until - pl.col("first_seen")).dt.total_days().alias("age_days"))


def waived_findings(data: ReportData) -> pl.DataFrame:
    """The waived findings with author, reason and last day of the decision that holds, the newest first."""
    newest = data.waivers.sort("waived_at").unique("finding_id", keep="last")
    said = newest.select("finding_id", "author", "reason", "until", "waived_at")
    waived = data.findings.filter(pl.col("status") == "waived").join(said, on="finding_id", how="left")
    return waived.sort("waived_at", "finding_id", descending=[True, False], nulls_last=True)


def share(part: float) -> str:
    """A share as a percentage that never rounds up to the whole: 99.96 % is not 100 %."""
    return "100 %" if part == 1 else f"{int(part * 1000) / 10:.1f} %"
