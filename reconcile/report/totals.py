"""The totals of a report's days, as page and mail show them."""

from typing import Any

from reconcile.frames import STATIONS
from reconcile.report.data import COVERAGES, Figures, ReportData, in_days, share


def cards(found: Figures) -> list[dict[str, str]]:
    """The figures that everybody looks for first, each with its key and value."""
    sums = found.sums
    counts = [{"key": name, "value": f"{int(sums[name]):,}"} for name in ("calls", "calls_expecting", "recordings")]
    return [
        {"key": "coverage", "value": share(found.coverage) if found.coverage is not None else "—"},
        *counts,
        {"key": "volume", "value": size(sums["bytes"])},
        {"key": "hours", "value": f"{sums['seconds'] / 3600:,.1f}"},
    ]


def size(count: float) -> str:
    """Bytes as people read them."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":  # noqa: PLR2004
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1000
    return ""


def stations(data: ReportData, found: Figures) -> list[dict[str, Any]]:
    """The stations: how many each has (None where nobody looked), and how many were lost on the way to it."""
    rows = in_days(data.summary, data)
    any_behind = any(rows[name].sum() > 0 or rows[f"lost_{name}"].sum() > 0 for name in STATIONS[2:])
    counts = {"called": found.must, "on_site": int(found.sums["recordings"])}
    counts |= {name: int(found.sums[name]) for name in STATIONS[2:] if any_behind}
    top = max(counts.values()) or 1
    return [
        {
            "key": name,
            "count": counts.get(name),
            "lost": int(found.sums[f"lost_{name}"]) if name != "called" and name in counts else None,
            "part": counts.get(name, 0) / top * 100,
        }
        for name in STATIONS
    ]


def coverages(found: Figures) -> list[dict[str, Any]]:
    """How many calls are complete, partial, missing and excluded, and the percentage of all that each is."""
    total = sum(found.sums[name] for name in COVERAGES) or 1
    return [{"key": name, "count": int(found.sums[name]), "part": found.sums[name] / total * 100} for name in COVERAGES]
