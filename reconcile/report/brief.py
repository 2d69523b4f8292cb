"""A few lines for chat: Markdown as DingTalk shows it."""

import polars as pl

from reconcile.report.changes import changes
from reconcile.report.data import ReportData, figures, open_findings, share
from reconcile.report.masking import masked
from reconcile.report.messages import Language, say

# More kinds than this are not read in a chat.
_KINDS = 8


def render_brief(data: ReportData, language: Language) -> str:
    """The report in a few lines of Markdown: verdict, open findings by kind, what changed."""
    found = figures(data)
    lines = [
        f"### {data.title} · {say('as_of', language, day=data.as_of)}",
        f"**{say(found.status, language)}**",
        "",
    ]
    lines.append(verdict(data, language))
    lines.append("")
    kinds = open_findings(data).group_by("kind", "severity", maintain_order=True).agg(pl.len().alias("n"))
    for kind, severity, n in kinds.head(_KINDS).iter_rows():
        words = {"kind": say(f"kind_{kind}", language), "severity": say(f"severity_{severity}", language)}
        lines.append(say("kind_line", language, n=f"{n:,}", **words))
    lines += [
        "",
        f"**{say('changes', language)}** {changes(data, language)}",
    ]
    lines += ["", say("more_in_report", language)]
    return masked("\n".join(lines)) + "\n"


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
