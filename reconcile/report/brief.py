"""A few lines for chat: Markdown as DingTalk shows it."""

import re
from typing import Any

import polars as pl

from reconcile.report.changes import changes
from reconcile.report.data import ReportData, figures, open_findings, share
from reconcile.report.masking import masked
from reconcile.report.messages import Language, say, subject

# More kinds, findings and characters of a subject than this are not read in a chat.
_KINDS, _FINDINGS, _SUBJECT = 8, 10, 160
# DingTalk refuses a message above 20,000 bytes (errcode 460101); title, recipients and JSON take some of them.
# https://open.dingtalk.com/document/orgapp/custom-robots-send-group-messages
MOST_BYTES = 18_000
# What Markdown would take for its own, with what looks like it: DingTalk does not say that it takes backslashes.
_LOOKS_LIKE = str.maketrans("*[]<>`", "•［］＜＞'")
_SPACES = re.compile(r"\s+")


def render_brief(data: ReportData, language: Language, where: str = "") -> str:
    """The report in a few lines of Markdown: verdict, open findings by kind, the worst, what changed.

    Only headings, bold text and lists, with an empty line between paragraphs. However much is open, it stays below
    MOST_BYTES: it ends at a whole line and says how many more there are. `where`: the folder of the report.
    """
    is_open = open_findings(data)
    before = [
        f"### {plain(data.title)} · {say('as_of', language, day=data.as_of)}",
        "",
        f"**{say(figures(data).status, language)}**",
        "",
        verdict(data, language),
        "",
        *_kinds(is_open, language),
    ]
    after = ["", f"**{say('changes', language)}** {changes(data, language)}"]
    more = say("more_at", language, where=where) if where else say("more_in_report", language)
    room = MOST_BYTES - _size([*before, *after, "", more])
    return masked("\n".join([*before, *_worst(is_open, room, language), *after])) + f"\n\n{more}\n"


def plain(text: str) -> str:
    """The text as `one_line`, with nothing in it that Markdown takes for its own."""
    return one_line(text).translate(_LOOKS_LIKE)


def one_line(text: str) -> str:
    """The text with numbers masked, in one line, and not longer than people read."""
    line = _SPACES.sub(" ", masked(text)).strip()
    return line if len(line) <= _SUBJECT else f"{line[: _SUBJECT - 1]}…"


def _worst(is_open: pl.DataFrame, room: int, language: Language) -> list[str]:
    """Lines with the worst findings, as many as there is room for (bytes), and how many there are beside them."""
    items = [
        f"{number}. {_line(row, language)}"
        for number, row in enumerate(is_open.head(_FINDINGS).iter_rows(named=True), start=1)
    ]
    for count in range(len(items), 0, -1):
        lines = ["", f"**{say('first_things', language)}**", "", *items[:count]]
        others = is_open.height - count
        if others:
            lines += ["", say("findings_more", language, n=f"{others:,}")]
        if _size(lines) <= room:
            return lines
    return []


def _line(row: dict[str, Any], language: Language) -> str:
    kind, severity = say(f"kind_{row['kind']}", language), say(f"severity_{row['severity']}", language)
    return f"{severity} · {kind} · {plain(row['site'])} · {plain(subject(row, language))}"


def _size(lines: list[str]) -> int:
    return len("\n".join(lines).encode()) + 1


def _kinds(is_open: pl.DataFrame, language: Language) -> list[str]:
    kinds = is_open.group_by("kind", "severity", maintain_order=True).agg(pl.len().alias("n"))
    lines = []
    for kind, severity, n in kinds.head(_KINDS).iter_rows():
        words = {"kind": say(f"kind_{kind}", language), "severity": say(f"severity_{severity}", language)}
        lines.append(say("kind_line", language, n=f"{n:,}", **words))
    others = kinds.slice(_KINDS)
    if others.height:
        lines += ["", say("kinds_more", language, kinds=f"{others.height:,}", n=f"{others['n'].sum():,}")]
    return lines


def verdict(data: ReportData, language: Language) -> str:
    """One or two sentences that say how things stand."""
    found = figures(data)
    if found.coverage is None:
        first = say("verdict_none", language)
    else:
        first = say(
            "verdict", language, must=f"{found.must:,}", complete=f"{int(found.sums['complete']):,}",
            coverage=f"{share(found.coverage)}",
        )  # fmt: skip
    counts = found.open_by_severity
    if any(counts.values()):
        second = say("verdict_open", language, **{name: f"{n:,}" for name, n in counts.items()})
    else:
        second = say("verdict_clear", language)
    return f"{first}{'' if language == 'zh' else ' '}{second}"
