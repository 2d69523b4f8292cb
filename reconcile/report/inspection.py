"""The daily inspection as people read it: a page, the form in Prefect's UI, and a few lines for chat."""

from datetime import datetime
from typing import Any

import polars as pl

from reconcile.inspection import standing
from reconcile.report.brief import plain
from reconcile.report.messages import Language, say
from reconcile.report.sheet import local, sheet
from reconcile.report.spoken import both

# The form is narrow: more sites than these stand on the page alone, those with the worst findings first.
_SITES = 20
# So many days of signatures stand in the daily report.
_LAST = 7
_TONES = {"open": "attention", "ok": "good", "remarks": "good", "rejected": "bad"}


def render_inspection(figures: dict[str, Any], acts: pl.DataFrame, sha256: str, language: Language) -> str:
    """The inspection (reconcile.inspection.figures, and INSPECTIONS of its day) as one HTML file."""
    stands, zone = standing(acts), figures["time_zone"]
    return sheet("inspection.html.j2").render(
        what="inspection",
        language=language,
        title=figures["title"],
        day=figures["day"],
        made=local(datetime.fromisoformat(figures["taken_at"]), zone),
        zone=zone,
        f=figures,
        tone=_TONES[stands],
        standing="waits" if stands == "open" else stands,
        verdict=both(lambda spoken: headline(figures, spoken)),
        acts=[act | {"local": local(act["at"], zone)} for act in acts.iter_rows(named=True)],
        sha256=sha256,
    )


def signatures(acts: pl.DataFrame) -> list[dict[str, Any]]:
    """How the inspections (INSPECTIONS) of the last days stand, newest first: day, stands, author, comment, heard."""
    rows = []
    for of_day in acts.partition_by("day"):
        stands = standing(of_day)
        said = of_day.filter(pl.lit(stands != "open") & (pl.col("act") == "signed")).tail(1)
        signed = said.select("author", "comment", "heard").to_dicts() or [dict.fromkeys(("author", "comment", "heard"))]
        rows.append({"day": of_day["day"][0], "stands": "waits" if stands == "open" else stands} | signed[0])
    return sorted(rows, key=lambda row: row["day"], reverse=True)[:_LAST]


def headline(figures: dict[str, Any], language: Language) -> str:
    """How it looks, in a sentence."""
    states = [item["state"] for item in figures["items"]]
    bad, attention = states.count("bad"), states.count("attention")
    if not (bad or attention):
        return say("inspect_all_good", language)
    return say("inspect_some_bad", language, bad=bad, attention=attention)


def inspection_form(figures: dict[str, Any], sha256: str, language: Language) -> str:
    """What Prefect's UI shows above the fields, as Markdown: what is wrong first, all of it, and what to listen to."""

    def t(key: str, **places: object) -> str:
        return say(key, language, **places)

    items = [
        f"| {_state(item, language)} | {t('inspect_' + item['key'])} | {plain(t(item['said'], **item['places']))} |"
        for item in figures["items"]
    ]
    return "\n".join(
        [
            f"## {plain(figures['title'])} · {t('inspection')} {figures['day']}",
            "",
            f"**{headline(figures, language)}**",
            "",
            f"| {t('inspect_state')} | {t('inspect_item')} | {t('inspect_figure')} |",
            "| --- | --- | --- |",
            *items,
            "",
            *_sites(figures, language),
            *_sample(figures, language),
            t("inspect_fingerprint", sha256=f"`{sha256[:16]}…`"),
        ]
    )


def _state(item: dict[str, Any], language: Language) -> str:
    """The state in a word, that of what is not good in bold: not every machine has signs for it."""
    word = say(f"inspect_state_{item['state']}", language)
    return word if item["state"] == "good" else f"**{word}**"


def _sites(figures: dict[str, Any], language: Language) -> list[str]:
    def t(key: str, **places: object) -> str:
        return say(key, language, **places)

    worst = sorted(figures["sites"], key=lambda site: [-n for n in site["open"]])
    lines = []
    for site in worst[:_SITES]:
        cells = [
            plain(site["title"]), site["last_backup_day"] or t("inspect_never"), site["coverage"] or "—",
            " / ".join(map(str, site["open"])),
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    more = [t("inspect_more_sites", n=len(worst) - _SITES), ""] if len(worst) > _SITES else []
    heads = [t("site"), t("inspect_last_backup"), t("coverage"), t("open_findings")]
    return [
        f"### {t('inspect_sites')}", "", f"| {' | '.join(heads)} |", "| --- | --- | --: | --: |", *lines, "", *more,
    ]  # fmt: skip


def _sample(figures: dict[str, Any], language: Language) -> list[str]:
    """The recordings as a list: a table of so many columns would not fit."""
    if not figures["sample"]:
        return []
    lines = []
    for one in figures["sample"]:
        call = one["call_id"].replace("`", "'").replace("]", ")")  # as it is: it is asked for by this name
        name = f"[{call}]({one['link']})" if one["link"] else f"`{call}`"
        line = plain(f"{one['extension'] or '—'} → {one['number']}")
        lines.append(f"- {name} · {one['site']} · {one['started']} · {line} · {one['seconds']} s")
    return [f"### {say('inspect_sample', language)}", "", *lines, "", say("inspect_how", language), ""]


def inspection_brief(figures: dict[str, Any], what: str, where: str, language: Language) -> str:
    """A few lines of Markdown for chat: what is asked, what is not good, and where to sign."""
    lines = [f"### {plain(figures['title'])} · {say('inspection', language)} {figures['day']}", "", what, ""]
    lines += [f"**{headline(figures, language)}**", ""]
    lines += [
        f"- {_state(item, language)} {say('inspect_' + item['key'], language)}: "
        f"{plain(say(item['said'], language, **item['places']))}"
        for item in figures["items"]
        if item["state"] in ("bad", "attention")
    ]
    return "\n".join([*lines, "", where]) + "\n"
