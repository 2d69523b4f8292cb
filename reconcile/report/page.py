"""The page: one HTML file that needs nothing from outside, in Chinese and English."""

from collections.abc import Callable
from datetime import date
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from reconcile.frames import STATIONS
from reconcile.report import charts
from reconcile.report.brief import verdict
from reconcile.report.changes import changes
from reconcile.report.data import (
    COVERAGES,
    SEVERITIES,
    ReportData,
    figures,
    in_days,
    open_findings,
    share,
    waived_findings,
)
from reconcile.report.masking import masked
from reconcile.report.messages import LANGUAGES, Language, phrase, say

# More findings than this nobody reads in a page; the workbook has them all.
TOP = 200


def render_page(data: ReportData, language: Language) -> str:
    """The report as one HTML file; `language` is the one shown first, a switch shows the other.

    The same data gives the same page. Telephone numbers are masked.
    """
    found = figures(data)
    is_open = open_findings(data)
    return str(
        _template().render(
            language=language,
            data=data,
            figures=found,
            zone=data.time_zone,
            generated=data.generated_at.astimezone(ZoneInfo(data.time_zone)).strftime("%Y-%m-%d %H:%M"),
            verdict=_both(lambda spoken: verdict(data, spoken)),
            changed=_both(lambda spoken: changes(data, spoken)),
            share=share,
            cards=_cards(data),
            steps=_steps(data),
            grid=_grid(data),
            trend=_trend(data),
            kinds=_kinds(is_open),
            findings=is_open.head(TOP).to_dicts(),
            open_total=is_open.height,
            waived=waived_findings(data).head(TOP).to_dicts(),
            types=_types(data),
            backups=_backups(data),
            coverages=_coverages(data),
            severities=SEVERITIES,
        )
    )


def _both(make: Callable[[Language], str]) -> Markup:
    """The text in both languages, of which the page shows one."""
    return Markup("").join(
        Markup('<span lang="{}">{}</span>').format("zh-CN" if spoken == "zh" else "en", make(spoken))
        for spoken in LANGUAGES
    )


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("reconcile.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["t"] = lambda key, **places: _both(lambda spoken: say(key, spoken, **places))
    environment.globals["phrase"] = lambda text: _both(lambda spoken: _masked(phrase(text, spoken)))
    environment.filters.update(masked=_masked, thousands=lambda number: f"{int(number):,}", size=_size)
    return environment.get_template("page.html.j2")


def _masked(text: object) -> Markup:
    """Masked, and with places where a long path may break."""
    whole = str(escape(masked(str(text))))
    return Markup(whole.replace("/", "/<wbr>").replace("_", "_<wbr>"))  # noqa: S704  # escaped in the line above


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":  # noqa: PLR2004
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1000
    return ""


def _cards(data: ReportData) -> list[dict[str, Any]]:
    found = figures(data)
    sums = found.sums
    covered = share(found.coverage) if found.coverage is not None else "—"
    return [
        {"key": "coverage", "value": covered, "strong": True},
        {"key": "calls", "value": f"{int(sums['calls']):,}"},
        {"key": "calls_expecting", "value": f"{int(sums['calls_expecting']):,}"},
        {"key": "recordings", "value": f"{int(sums['recordings']):,}"},
        {"key": "volume", "value": _size(sums["bytes"])},
        {
            "key": "hours",
            "value": _both(lambda spoken: say("hours_unit", spoken, hours=f"{sums['seconds'] / 3600:,.1f}")),
        },
    ]


def _steps(data: ReportData) -> list[dict[str, Any]]:
    """The stations behind the call: how many recordings each has; None where nobody looked."""
    sums = figures(data).sums
    looked_at = {name: in_days(data.summary, data)[name].sum() > 0 for name in STATIONS[2:]}
    any_behind = any(looked_at.values())
    steps: list[dict[str, Any]] = [{"key": "on_site", "count": int(sums["recordings"]), "lost": 0}]
    for name in STATIONS[2:]:
        count = int(sums[name]) if any_behind else None
        before = steps[-1]["count"]
        lost = max(before - count, 0) if count is not None and before is not None and name != "indexed" else 0
        steps.append({"key": name, "count": count, "lost": lost})
    top = max((step["count"] or 0 for step in steps), default=0) or 1
    return [step | {"part": (step["count"] or 0) / top * 100} for step in steps]


def _grid(data: ReportData) -> dict[str, Any]:
    """Coverage of each site and day."""
    must = pl.col("complete") + pl.col("partial") + pl.col("missing")
    cells = {
        (row["site"], row["day"]): row
        for row in in_days(data.summary, data).with_columns(must.alias("must")).iter_rows(named=True)
    }
    days: list[date | None] = [*data.days] if data.days else [None]
    if None in {day for _, day in cells} and None not in days:
        days.append(None)
    rows = []
    for site, title in data.sites:
        row = [_grid_cell(cells.get((site, day))) for day in days]
        rows.append({"site": site, "title": title, "cells": row, "silent": _is_silent(data, site)})
    return {"days": days, "rows": rows}


# How good a share is, for its colour.
_LEVELS = (("full", 1.0), ("high", 0.99), ("mid", 0.9), ("low", 0.0))


def _grid_cell(row: dict[str, Any] | None) -> dict[str, Any]:
    if row is None or not row["must"]:
        return {"text": "—", "level": "none", "must": 0, "complete": 0}
    level = next(name for name, least in _LEVELS if row["coverage"] >= least)
    return {"text": share(row["coverage"]), "level": level, "must": row["must"], "complete": row["complete"]}


def _is_silent(data: ReportData, site: str) -> bool:
    """Whether nothing has ever come from this site."""
    has_rows = data.summary.filter(
        (pl.col("site") == site) & ((pl.col("calls") > 0) | (pl.col("recordings") > 0))
    ).height
    return not has_rows and not data.snapshots.filter(pl.col("site") == site).height


def _trend(data: ReportData) -> Markup:
    must = pl.col("complete").sum() + pl.col("partial").sum() + pl.col("missing").sum()
    days = (
        data.summary.drop_nulls("day")
        .group_by("day")
        .agg(pl.col("recordings").sum(), pl.when(must > 0).then(pl.col("complete").sum() / must).alias("share"))
        .sort("day")
        .tail(21)
    )
    points = [(str(day), int(count), part) for day, count, part in days.iter_rows()]
    return Markup(charts.trend(points, "recordings and coverage by day"))  # noqa: S704  # drawn here, texts escaped


def _kinds(is_open: pl.DataFrame) -> list[dict[str, Any]]:
    return is_open.group_by("kind", "severity", maintain_order=True).agg(pl.len().alias("n")).to_dicts()


def _coverages(data: ReportData) -> list[dict[str, Any]]:
    sums = figures(data).sums
    total = sum(sums[name] for name in COVERAGES) or 1
    return [{"key": name, "count": int(sums[name]), "part": sums[name] / total * 100} for name in COVERAGES]


def _types(data: ReportData) -> list[dict[str, Any]]:
    rows = (
        in_days(data.file_types, data)
        .group_by("container", "codec", "state")
        .agg(pl.col("recordings", "bytes", "seconds").sum())
    )
    return rows.sort("recordings", "container", "codec", "state", descending=[True, False, False, False]).to_dicts()


def _backups(data: ReportData) -> list[dict[str, Any]]:
    """Each site's last snapshot, of those the report was given."""
    zone = ZoneInfo(data.time_zone)
    rows = []
    for site, title in data.sites:
        mine = data.snapshots.filter(pl.col("site") == site).sort("taken_at")
        last = mine.row(-1, named=True) if mine.height else None
        rows.append(
            {
                "site": site,
                "title": title,
                "count": mine.height,
                "snapshot": last["snapshot_id"][:8] if last else None,
                "day": last["day"] if last else None,
                "taken_at": last["taken_at"].astimezone(zone).strftime("%Y-%m-%d %H:%M") if last else None,
            }
        )
    return rows
