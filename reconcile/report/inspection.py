"""The daily inspection as people read it: a page, the form in Prefect's UI, and a few lines for chat."""

from datetime import datetime
from typing import Any

import polars as pl

from reconcile.inspection import standing
from reconcile.report.brief import plain
from reconcile.report.messages import Language, say
from reconcile.report.sheet import local, sheet
from reconcile.report.spoken import both

# As a checklist shows a state where there are no colours.
SIGNS = {"good": "✅", "attention": "⚠️", "bad": "❌", "unknown": "❔"}
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
        f"| {SIGNS[item['state']]} | **{t('inspect_' + item['key'])}** | {_cell(t(item['said'], **item['places']))} |"
        for item in figures["items"]
    ]
    return "\n".join(
        [
            f"## {plain(figures['title'])} · {t('inspection')} {figures['day']}",
            "",
            f"**{headline(figures, language)}**",
            "",
            f"| | {t('inspect_item')} | {t('inspect_figure')} |",
            "| :-: | --- | --- |",
            *items,
            "",
            *_sites(figures, language),
            *_sample(figures, language),
            f"{t('inspect_fingerprint', sha256=f'`{sha256[:16]}…`')}",
        ]
    )


def _sites(figures: dict[str, Any], language: Language) -> list[str]:
    def t(key: str, **places: object) -> str:
        return say(key, language, **places)

    heads = [t("site"), t("inspect_last_backup"), t("recordings"), t("coverage"), t("inspect_open"), t("drill")]
    lines = []
    for site in figures["sites"]:
        hours, drill = site["last_backup_hours"], site["drill"]
        backup = t("inspect_ago", day=site["last_backup_day"], hours=hours) if hours is not None else t("inspect_never")
        drilled = t(f"inspect_drill_{'good' if drill['good'] else 'failed'}", day=drill["day"]) if drill else None
        cells = [
            site["title"], backup, f"{site['recordings']:,}", site["coverage"] or "—",
            " / ".join(map(str, site["open"])), drilled or t("inspect_never"),
        ]  # fmt: skip
        lines.append(f"| {' | '.join(map(_cell, cells))} |")
    return [
        f"### {t('inspect_sites')}",
        "",
        f"| {' | '.join(heads)} |",
        "| --- | --- | --: | --: | --: | --- |",
        *lines,
        "",
    ]


def _sample(figures: dict[str, Any], language: Language) -> list[str]:
    if not figures["sample"]:
        return []
    lines = []
    for one in figures["sample"]:
        name = f"[{_cell(one['call_id'])}]({one['link']})" if one["link"] else f"`{one['call_id']}`"
        line = f"{one['extension'] or '—'} → {one['number']}"
        lines.append(f"| {name} | {_cell(one['site'])} | {one['started']} | {_cell(line)} | {one['seconds']} s |")
    heads = [say(key, language) for key in ("inspect_call", "site", "taken_at", "inspect_line", "inspect_length")]
    return [
        f"### {say('inspect_sample', language)}",
        "",
        f"| {' | '.join(heads)} |",
        "| --- | --- | --- | --- | --: |",
        *lines,
        "",
        say("inspect_how", language),
        "",
    ]


def _cell(text: str) -> str:
    return str(text).replace("|", "\\|").replace("\n", " ")


def inspection_brief(figures: dict[str, Any], what: str, where: str, language: Language) -> str:
    """A few lines of Markdown for chat: what is asked, what is not good, and where to sign."""
    lines = [f"### {plain(figures['title'])} · {say('inspection', language)} {figures['day']}", "", what, ""]
    lines += [f"**{headline(figures, language)}**", ""]
    lines += [
        f"- {SIGNS[item['state']]} {say('inspect_' + item['key'], language)}："
        f"{plain(say(item['said'], language, **item['places']))}"
        for item in figures["items"]
        if item["state"] in ("bad", "attention")
    ]
    return "\n".join([*lines, "", where]) + "\n"
