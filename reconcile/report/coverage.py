"""Coverage by site and day: the table of the last days, and a calendar of the weeks before them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import polars as pl

from reconcile.report.data import ReportData, in_days, share

# A calendar shows a quarter, or the period reconciled where that is longer, but never more than a year; weeks before
# anything was known are left out, but for as many as a month has.
_QUARTER, _YEAR, _MONTH = 13, 53, 5
# The table shows so many of the days reconciled: more do not fit a page's width, and the calendar has them.
MOST_COLUMNS = 7
# How good a share is, for its colour.
_LEVELS = (("full", 1.0), ("high", 0.99), ("mid", 0.9), ("low", 0.0))
LEVELS = (*(name for name, _ in _LEVELS), "none", "gap", "unknown")


@dataclass(frozen=True)
class Cell:
    """A day of a site: complete of those that must be, and the level that stands for it.

    Levels: full, high, mid, low by share; none: nothing had to be recorded; gap: no backup; unknown: not reconciled.
    """

    day: date | None
    complete: int
    must: int
    level: str

    @property
    def text(self) -> str:
        """The share as people read it."""
        return share(self.complete / self.must) if self.must else "—"


def calendar_days(days: Iterable[date], as_of: date) -> list[date]:
    """The days that a calendar shows, whole weeks from Monday to Sunday, the last with the last of these days."""
    first, last = min(days, default=as_of), max(days, default=as_of)
    end = _monday(last)
    weeks = ((end - _monday(first)).days // 7) + 1
    weeks = min(max(weeks, _QUARTER), _YEAR)
    begin = end - timedelta(weeks=weeks - 1)
    return [begin + timedelta(days=number) for number in range(weeks * 7)]


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


def calendars(data: ReportData) -> list[dict[str, Any]]:
    """For each site its cells of the calendar's days up to the last reconciled, and how many are of each level."""
    known = _cells(data.summary, ["site", "day"])
    gaps = set(data.overdue.select("site", "day").iter_rows())
    days = _since_known(data, {day for _, day in [*known, *gaps] if day})
    made = []
    for site, title in data.sites:
        cells = [_cell(day, known.get((site, day)), gap=(site, day) in gaps) for day in days]
        counts = {level: sum(cell.level == level for cell in cells) for level in LEVELS}
        worst = min((cell for cell in cells if cell.must), key=lambda cell: cell.complete / cell.must, default=None)
        made.append({"site": site, "title": title or site, "cells": cells, "counts": counts, "worst": worst})
    return made


def _since_known(data: ReportData, known: set[date]) -> list[date]:
    """The calendar's days up to the last reconciled, from the week of the first that anything is known of."""
    last = max(data.days, default=data.as_of)
    days = [day for day in calendar_days(data.days, data.as_of) if day <= last]
    begin = min(_monday(min(known, default=last)), _monday(last) - timedelta(weeks=_MONTH - 1))
    return [day for day in days if day >= begin]


def grid(data: ReportData) -> dict[str, Any]:
    """Coverage of each site on the last days reconciled, over all of them, and of the business as a whole."""
    rows = in_days(data.summary, data)
    days: list[date | None] = list(data.days[-MOST_COLUMNS:])
    if rows["day"].null_count() or not days:
        days.insert(0, None)
    by_day, whole = _cells(rows, ["site", "day"]), _cells(rows, ["site"])
    lines = [
        {
            "site": site,
            "title": title,
            "cells": [_cell(day, by_day.get((site, day))) for day in days],
            "whole": _cell(None, whole.get((site,))),
            "silent": _is_silent(data, site),
        }
        for site, title in data.sites
    ]
    of_days, of_all = _cells(rows, ["day"]), _cells(rows.with_columns(pl.lit("all").alias("all")), ["all"])
    together = {
        "cells": [_cell(day, of_days.get((day,))) for day in days],
        "whole": _cell(None, of_all.get(("all",))),
    }
    return {"days": days, "rows": lines, "together": together if len(lines) > 1 else None}


def _cells(summary: pl.DataFrame, keys: list[str]) -> dict[tuple[Any, ...], tuple[int, int]]:
    """How many are complete, and how many must be, of each of these keys."""
    sums = summary.group_by(keys).agg(
        pl.col("complete").sum(), (pl.col("complete") + pl.col("partial") + pl.col("missing")).sum().alias("must")
    )
    return {tuple(row[:-2]): (row[-2], row[-1]) for row in sums.iter_rows()}


def _cell(day: date | None, known: tuple[int, int] | None, *, gap: bool = False) -> Cell:
    complete, must = known or (0, 0)
    if gap:
        level = "gap"
    elif known is None:
        level = "unknown"
    elif not must:
        level = "none"
    else:
        level = next(name for name, least in _LEVELS if complete / must >= least)
    return Cell(day, complete, must, level)


def _is_silent(data: ReportData, site: str) -> bool:
    """Whether nothing has ever come from this site."""
    has_rows = data.summary.filter(
        (pl.col("site") == site) & ((pl.col("calls") > 0) | (pl.col("recordings") > 0))
    ).height
    return not has_rows and not data.snapshots.filter(pl.col("site") == site).height
