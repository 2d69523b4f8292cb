"""How long the recordings are: how many of each range of length."""

from typing import Any

import polars as pl

from reconcile.report.data import ReportData, in_days
from reconcile.report.messages import Language, say
from reconcile.summary import LENGTHS

_MINUTE, _HOUR = 60, 3600


def lengths(data: ReportData) -> list[dict[str, Any]]:
    """The ranges from the first to the last that has recordings, in order, and last those of unknown length.

    Each with `first` (seconds, None: unknown), `until`, `count`, and `part`: its percentage of the largest.
    """
    counts = dict(in_days(data.durations, data).group_by("from_seconds").agg(pl.col("recordings").sum()).iter_rows())
    ends = [*LENGTHS[1:], None]
    filled = [place for place, first in enumerate(LENGTHS) if counts.get(first)]
    shown = range(filled[0], filled[-1] + 1) if filled else range(0)
    rows = [{"first": LENGTHS[place], "until": ends[place], "count": counts.get(LENGTHS[place], 0)} for place in shown]
    if counts.get(None):
        rows.append({"first": None, "until": None, "count": counts[None]})
    top = max((row["count"] for row in rows), default=1)
    return [row | {"part": row["count"] / top * 100} for row in rows]


def range_words(first: int | None, until: int | None, language: Language) -> str:
    """A range of length as people say it."""
    if first is None:
        return say("length_unknown", language)
    unit, name = (_HOUR, "hours") if first >= _HOUR else (_MINUTE, "minutes") if first >= _MINUTE else (1, "seconds")
    if until is None:
        return say("length_longest", language, first=first // unit)
    return say(f"length_{name}", language, first=first // unit, until=until // unit)
