"""The report as the body of a mail: tables and inline styles only, for that is what every mail program shows."""

from functools import cache
from zoneinfo import ZoneInfo

import polars as pl
from jinja2 import Template

from reconcile.report.brief import one_line, verdict
from reconcile.report.changes import changes
from reconcile.report.data import ReportData, figures, open_findings
from reconcile.report.expected import expectation
from reconcile.report.masking import masked
from reconcile.report.messages import Language, say, subject
from reconcile.report.templates import environment
from reconcile.report.totals import cards, stations

# More findings than this nobody reads in a mail: the attached report has more, the workbook all. So much is also all
# that fits below 100 kB, where programs cut a mail (Gmail above 102 kB).
_FINDINGS, _UNMET = 10, 20


def render_mail(data: ReportData, language: Language) -> str:
    """The report as HTML for mail, in one language: verdict, figures, stations, open findings, what changed.

    No style sheet, picture, script or link; dark text on white, at most 640 px wide, below 100 kB. Numbers are masked.
    """
    found, is_open = figures(data), open_findings(data)
    unmet = data.expectations.filter(~pl.col("success"))["description"]
    return _template().render(
        language=language,
        t=lambda key, **places: say(key, language, **places),
        subject=lambda row: subject(row, language),
        data=data,
        title=one_line(data.title),
        status=found.status,
        verdict=verdict(data, language),
        changed=masked(changes(data, language)),
        cards=cards(found),
        stations=stations(data, found),
        kinds=is_open.group_by("kind", "severity", maintain_order=True).agg(pl.len().alias("n")).to_dicts(),
        findings=is_open.head(_FINDINGS).to_dicts(),
        others=max(is_open.height - _FINDINGS, 0),
        unmet=[expectation(words, language) for words in unmet.head(_UNMET)],
        unmet_total=unmet.len(),
        generated=data.generated_at.astimezone(ZoneInfo(data.time_zone)).strftime("%Y-%m-%d %H:%M"),
    )


@cache
def _template() -> Template:
    jinja = environment()
    jinja.filters["one_line"] = one_line
    return jinja.get_template("mail.html.j2")
