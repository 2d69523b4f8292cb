"""Findings as a workbook and as CSV: what people open in a spreadsheet, with nothing in it that a spreadsheet runs."""

from datetime import UTC, date, datetime
from io import BytesIO

import polars as pl
import xlsxwriter
from xlsxwriter.format import Format
from xlsxwriter.worksheet import Worksheet

from reconcile.frames import FINDINGS, SUMMARY, WAIVERS
from reconcile.report.masking import masked
from reconcile.report.messages import MESSAGES
from reconcile.spreadsheets import PLAIN, csv_for_people

_COLUMNS = (
    "severity", "kind", "status", "business", "site", "day", "subject", "expected", "actual", "lost_at", "cause",
    "held_at", "held_time", "size", "first_seen", "last_seen", "age_days", "status_since", "resolution", "call_id",
    "recording_id", "sha256", "finding_id",
)  # fmt: skip
_WIDTHS = {
    "subject": 52,
    "expected": 34,
    "actual": 34,
    "kind": 26,
    "cause": 26,
    "held_time": 20,
    "recording_id": 34,
    "sha256": 68,
    "call_id": 22,
    "finding_id": 20,
    "reason": 52,
}
# A spreadsheet's calendar begins with this year.
_FIRST_YEAR = 1900
_DATE, _INSTANT = "yyyy-mm-dd", "yyyy-mm-dd hh:mm"
_COLOURS = {"critical": "#f8d0cc", "major": "#fde3c8", "minor": "#fdf3cd", "info": "#e3edf9"}


def render_workbook(findings: pl.DataFrame, waivers: pl.DataFrame, summary: pl.DataFrame, created: datetime) -> bytes:
    """XLSX of FINDINGS, WAIVERS and SUMMARY: filters, frozen headers in both languages, masked numbers.

    Days are dates, so that a spreadsheet sorts and groups them; instants are UTC; ids stay text.
    Findings with `age_days` (`with_age`) show it.
    """
    buffer = BytesIO()
    book = xlsxwriter.Workbook(buffer, PLAIN)
    book.set_properties({"title": "voxkeep", "created": created.astimezone(UTC).replace(tzinfo=None)})
    _sheet(book, "findings", _readable(findings), _columns(findings))
    _sheet(book, "waivers", waivers.with_columns(_masked("reason")), list(WAIVERS.columns))
    _sheet(book, "summary", summary, list(SUMMARY.columns))
    book.close()
    return buffer.getvalue()


def _columns(findings: pl.DataFrame) -> list[str]:
    """The columns shown; `age_days` only where it is given, for it depends on the day of the report."""
    return [name for name in _COLUMNS if name in findings.columns]


def _readable(findings: pl.DataFrame) -> pl.DataFrame:
    return findings.select(*FINDINGS.columns, *(["age_days"] if "age_days" in findings.columns else [])).with_columns(
        _masked("subject", "expected", "actual")
    )


def _masked(*names: str) -> pl.Expr:
    return pl.col(names).map_elements(masked, return_dtype=pl.String)


def _sheet(book: xlsxwriter.Workbook, name: str, frame: pl.DataFrame, columns: list[str]) -> None:
    sheet = book.add_worksheet(name)
    bold = book.add_format({"bold": True, "text_wrap": True, "valign": "top", "bottom": 1, "bg_color": "#eef1f5"})
    formats = {severity: book.add_format({"bg_color": colour}) for severity, colour in _COLOURS.items()}
    formats |= {form: book.add_format({"num_format": form, "align": "left"}) for form in (_DATE, _INSTANT)}
    for place, column in enumerate(columns):
        title = "\n".join(MESSAGES[column]) if column in MESSAGES else column
        sheet.write_string(0, place, title, bold)
        sheet.set_column(place, place, _WIDTHS.get(column, 13))
    for line, row in enumerate(frame.select(columns).iter_rows(named=True), start=1):
        for place, column in enumerate(columns):
            _cell(sheet, line, place, row[column], formats.get(_format_of(column, row[column])))
    sheet.set_row(0, 32)
    sheet.freeze_panes(1, 2)
    sheet.autofilter(0, 0, max(frame.height, 1), len(columns) - 1)


def _format_of(column: str, value: object) -> str:
    """The name of the format that this value has."""
    if isinstance(value, datetime):
        return _INSTANT
    if _is_day(value):
        return _DATE
    return str(value) if column == "severity" else ""


def _is_day(value: object) -> bool:
    """Whether it is a day that a spreadsheet knows."""
    return isinstance(value, date) and value.year >= _FIRST_YEAR


def _cell(sheet: Worksheet, line: int, place: int, value: object, form: Format | None) -> None:
    if value is None:
        sheet.write_blank(line, place, None, form)
    elif isinstance(value, datetime):
        sheet.write_datetime(line, place, value.astimezone(UTC).replace(tzinfo=None), form)
    elif isinstance(value, date) and _is_day(value):
        sheet.write_datetime(line, place, value, form)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        sheet.write_number(line, place, value, form)
    else:
        sheet.write_string(line, place, str(value), form)


def findings_csv(findings: pl.DataFrame) -> bytes:
    """Findings (FINDINGS) as CSV that a spreadsheet opens rightly: UTF-8 with mark, numbers masked, no formulas."""
    return csv_for_people(_readable(findings).select(_columns(findings)))
