"""The report of a restore drill: a page, and a few lines for chat where it failed."""

from typing import Any

import polars as pl

from reconcile.recovery import wrong
from reconcile.report.brief import plain
from reconcile.report.messages import Language, say
from reconcile.report.sheet import lasting_both, local, sheet
from reconcile.report.spoken import both
from reconcile.report.totals import size

# More than these nobody reads.
_TOP, _NAMED = 200, 10


def render_drill(
    row: dict[str, Any], outcomes: pl.DataFrame, title: str, time_zone: str, language: Language
) -> str:  # fmt: skip
    """The drill (a row of DRILLS, and `recovery.with_played`) as one HTML file; a switch shows the other language."""
    bad = wrong(outcomes)
    speed = row["bytes"] / row["recovery_seconds"] if row["recovery_seconds"] else 0
    counts = [(f"drill_{name}", f"{row[name]:,}") for name in ("same", "differing", "absent", "played", "silent")]
    return sheet("drill.html.j2").render(
        what="drill",
        language=language,
        title=title,
        day=row["day"],
        made=local(row["began_at"], time_zone),
        zone=time_zone,
        row=row,
        verdict=both(lambda spoken: verdict(row, spoken)),
        cards=[
            ("drill_recovery_time", lasting_both(row["recovery_seconds"])),
            ("drill_recovery_point", lasting_both(row["recovery_point_seconds"])),
            ("drill_speed", f"{size(speed)}/s"),
            ("drill_whole", lasting_both(row["whole_seconds"])),
        ],
        lines=[
            ("drill_day", row["restored_day"] or "—"),
            ("drill_of_day", f"{row['recordings'] - row['sampled']:,}"),
            ("drill_sampled", f"{row['sampled']:,}"),
            ("drill_bytes", size(row["bytes"])),
            *counts,
        ],
        wrong=bad.head(_TOP).to_dicts(),
        more=max(bad.height - _TOP, 0),
    )


def verdict(row: dict[str, Any], language: Language) -> str:
    """What came of it, in a sentence."""
    if row["trouble"]:
        return say("drill_not_done", language)
    names = ("recordings", "same", "differing", "absent", "silent", "played")
    counts = {name: f"{row[name]:,}" for name in names}
    if row["good"]:
        return say("drill_said_good", language, recordings=counts["recordings"], played=counts["played"])
    return say("drill_said_bad", language, **{name: counts[name] for name in names if name != "played"})


def drill_brief(row: dict[str, Any], outcomes: pl.DataFrame, title: str, language: Language) -> str:
    """The failed drill in a few lines of Markdown."""
    lines = [f"### {plain(title)} · {say('drill', language)}", "", f"**{say('drill_bad', language)}**", ""]
    lines += [verdict(row, language), ""]
    lines += [f"- {plain(row['trouble'])}"] if row["trouble"] else []
    lines += [f"- {day} {plain(path)}" for day, path in wrong(outcomes).head(_NAMED).select("day", "path").iter_rows()]
    lines += ["", say("drill_again", language, seed=row["seed"])]
    return "\n".join(lines) + "\n"
