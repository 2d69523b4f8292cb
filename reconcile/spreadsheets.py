"""Tables for people's spreadsheets: text stays text, whatever it begins with."""

from datetime import UTC, datetime
from io import BytesIO

import polars as pl
import xlsxwriter

# A cell that begins with one of these is a formula to a spreadsheet.
# https://owasp.org/www-community/attacks/CSV_Injection
FORMULA = r"^[=+\-@\t\r\n＝＋－＠]"
# How a spreadsheet knows UTF-8.
MARK = b"\xef\xbb\xbf"

# A text is a text, never a formula, a link or a number.
PLAIN = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
_WIDEST = 60


def without_formulas(frame: pl.DataFrame) -> pl.DataFrame:
    """The same rows; a text that a spreadsheet would calculate begins with an apostrophe."""
    return frame.with_columns(
        pl.when(pl.col(name).str.contains(FORMULA)).then("'" + pl.col(name)).otherwise(name).alias(name)
        for name, dtype in frame.schema.items()
        if dtype == pl.String
    )


def csv_for_people(frame: pl.DataFrame, *, is_first: bool = True) -> bytes:
    """The rows as CSV that a spreadsheet opens rightly; the first part of a file has its mark and its header."""
    text = without_formulas(frame).write_csv(line_terminator="\r\n", include_header=is_first)
    return (MARK if is_first else b"") + text.encode()


def workbook(sheets: dict[str, pl.DataFrame], title: str) -> bytes:
    """XLSX with a sheet a frame, by its name; the same frames give the same bytes."""
    buffer = BytesIO()
    book = xlsxwriter.Workbook(buffer, PLAIN)
    book.set_properties({"title": title, "created": datetime(1980, 1, 1, tzinfo=UTC).replace(tzinfo=None)})
    bold = book.add_format({"bold": True, "bottom": 1, "bg_color": "#eef1f5"})
    for name, frame in sheets.items():
        sheet = book.add_worksheet(name)
        for place, values in enumerate(frame.iter_columns()):
            texts = values.cast(pl.String).fill_null("")
            sheet.write_string(0, place, values.name, bold)
            for line, text in enumerate(texts, start=1):
                if text:
                    sheet.write_string(line, place, text)
            longest = max([len(values.name) * 2, *texts.head(200).str.len_chars()])
            sheet.set_column(place, place, min(longest + 2, _WIDEST))
        sheet.freeze_panes(1, 0)
        sheet.autofilter(0, 0, max(frame.height, 1), max(frame.width - 1, 0))
    book.close()
    return buffer.getvalue()
