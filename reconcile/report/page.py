"""The page: one HTML file that needs nothing from outside, in Chinese and English."""

import re
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
from jinja2 import Template
from markupsafe import Markup, escape

from reconcile.report import charts
from reconcile.report.brief import verdict
from reconcile.report.changes import changes
from reconcile.report.checks import last_checks
from reconcile.report.coverage import LEVELS, calendars, grid
from reconcile.report.data import (
    ReportData,
    figures,
    in_days,
    open_findings,
    share,
    waived_findings,
)
from reconcile.report.expected import expectation
from reconcile.report.inspection import signatures
from reconcile.report.lengths import lengths, range_words
from reconcile.report.messages import LANGUAGES, Language, phrase, say, subject
from reconcile.report.spoken import both, breakable
from reconcile.report.templates import environment
from reconcile.report.totals import cards, coverages, size, stations

# More findings than this nobody reads in a page; the workbook has them all.
TOP = 200
# Of each kind at least so many are among them, however many worse ones there are.
_OF_A_KIND = 5
# So many are named at the top of the page.
_FIRST = 5
# The trend shows the last days, as many as can be told apart on a telephone.
_TREND = 28


def render_page(data: ReportData, language: Language) -> str:
    """The report as one HTML file; `language` is the one shown first, a switch shows the other.

    The same data gives the same page. Telephone numbers are masked.
    """
    found = figures(data)
    is_open = open_findings(data)
    shown = top_findings(is_open)
    return str(
        _template().render(
            language=language,
            data=data,
            figures=found,
            zone=data.time_zone,
            generated=data.generated_at.astimezone(ZoneInfo(data.time_zone)).strftime("%Y-%m-%d %H:%M"),
            verdict=both(lambda spoken: verdict(data, spoken)),
            changed=both(lambda spoken: changes(data, spoken)),
            cards=cards(found),
            stations=stations(data, found),
            calendars=[site | {"drawn": _drawn(place, site)} for place, site in enumerate(calendars(data))],
            levels=LEVELS,
            grid=grid(data),
            trend=_trend(data),
            kinds=_kinds(is_open, shown),
            findings=shown.to_dicts(),
            first=shown.head(_FIRST).to_dicts(),
            held=lambda row: both(lambda spoken: _held(row, data, spoken)),
            open_total=is_open.height,
            waived=waived_findings(data).head(TOP).to_dicts(),
            checks=last_checks(data.checks),
            inspections=signatures(data.inspections),
            unmet=data.expectations.filter(~pl.col("success")).to_dicts(),
            types=_types(data),
            lengths=lengths(data),
            backups=_backups(data),
            coverages=coverages(found),
        )
    )


def top_findings(is_open: pl.DataFrame) -> pl.DataFrame:
    """The findings that a page shows, in their order: the worst, but some of each kind."""
    ranked = is_open.with_row_index("place").with_columns(pl.int_range(pl.len()).over("kind").alias("of_kind"))
    shown = ranked.sort(pl.col("of_kind") >= _OF_A_KIND, "place").head(TOP).sort("place")
    return shown.drop("place", "of_kind")


@cache
def _template() -> Template:
    jinja = environment()
    jinja.globals["t"] = lambda key, **places: both(lambda spoken: say(key, spoken, **places))
    jinja.globals["phrase"] = lambda text: both(lambda spoken: breakable(phrase(text, spoken)))
    jinja.globals["subject"] = _subject
    jinja.globals["expectation"] = lambda text: both(lambda spoken: breakable(expectation(text, spoken)))
    jinja.globals["length"] = lambda row: both(lambda spoken: range_words(row["first"], row["until"], spoken))
    jinja.globals["share"] = share
    jinja.filters.update(masked=breakable, size=size)
    jinja.filters["observed"] = lambda text: breakable(_observed(str(text)))
    return jinja.get_template("page.html.j2")


def _subject(row: dict[str, Any]) -> Markup:
    """What the finding is about: letter for letter, where it is not words of ours."""
    said = {spoken: subject(row, spoken) for spoken in LANGUAGES}
    return breakable(row["subject"]) if len({*said.values()}) == 1 else both(lambda spoken: breakable(said[spoken]))


def _observed(text: str) -> str:
    """What was observed, without the brackets of a list, and no more digits than people read."""
    inner = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    return re.sub(r"\d+\.\d{4,}", lambda number: f"{float(number.group()):.4g}", inner)


def _held(row: dict[str, Any], data: ReportData, language: Language) -> str:
    """The last station that had it, and when."""
    station = say(f"station_{row['held_at']}", language)
    if row["held_time"] is None:
        return say("held_there_once", language, station=station)
    local = row["held_time"].astimezone(ZoneInfo(data.time_zone))
    return say("held_there", language, station=station, time=local.strftime("%Y-%m-%d %H:%M"))


def _drawn(place: int, site: dict[str, Any]) -> Markup:
    def months(number: int) -> str:
        return _svg_text(f"month_{number}")

    weekdays = [_svg_text(f"weekday_{day}") if day % 2 == 0 else "" for day in range(7)]
    drawn = charts.calendar(site["cells"], f"calendar-{place}", months, weekdays)
    return Markup(drawn)  # noqa: S704  # drawn here, from dates and counts


def _svg_text(key: str) -> str:
    """The text in both languages, for SVG."""
    return "".join(
        f'<text lang="{"zh-CN" if spoken == "zh" else "en"}">{escape(say(key, spoken))}</text>' for spoken in LANGUAGES
    )


def _trend(data: ReportData) -> Markup:
    must = pl.col("complete").sum() + pl.col("partial").sum() + pl.col("missing").sum()
    days = (
        data.summary.drop_nulls("day")
        .group_by("day")
        .agg(pl.col("recordings").sum(), pl.when(must > 0).then(pl.col("complete").sum() / must).alias("share"))
        .sort("day")
        .tail(_TREND)
    )
    points = [(str(day), int(count), part) for day, count, part in days.iter_rows()]
    return Markup(charts.trend(points, "trend"))  # noqa: S704  # drawn here, texts escaped


def _kinds(is_open: pl.DataFrame, shown: pl.DataFrame) -> list[dict[str, Any]]:
    """How many are open of each kind, and the first of them that is shown."""
    firsts = shown.group_by("kind", "severity", maintain_order=True).agg(pl.first("finding_id").alias("first"))
    kinds = is_open.group_by("kind", "severity", maintain_order=True).agg(pl.len().alias("n"))
    return kinds.join(firsts, on=["kind", "severity"], how="left", maintain_order="left").to_dicts()


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
