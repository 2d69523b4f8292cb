"""What people read every morning: the page, the workbook, the CSV, and a few lines for chat."""

from reconcile.report.brief import render_brief
from reconcile.report.certificate import render_certificate
from reconcile.report.checks import say_checks
from reconcile.report.coverage import calendar_days
from reconcile.report.data import CHECKED, ReportData, open_findings, with_age
from reconcile.report.drill import drill_brief, render_drill
from reconcile.report.inspection import headline, inspection_brief, inspection_form, render_inspection
from reconcile.report.mail import render_mail
from reconcile.report.masking import masked
from reconcile.report.messages import Language, say
from reconcile.report.page import render_page
from reconcile.report.workbook import findings_csv, render_workbook

__all__ = [
    "CHECKED",
    "Language",
    "ReportData",
    "calendar_days",
    "drill_brief",
    "findings_csv",
    "headline",
    "inspection_brief",
    "inspection_form",
    "masked",
    "open_findings",
    "render_brief",
    "render_certificate",
    "render_drill",
    "render_inspection",
    "render_mail",
    "render_page",
    "render_workbook",
    "say",
    "say_checks",
    "with_age",
]
