"""Tables for people's spreadsheets: text stays text, whatever it begins with."""

import polars as pl

# A cell that begins with one of these is a formula to a spreadsheet.
# https://owasp.org/www-community/attacks/CSV_Injection
FORMULA = r"^[=+\-@\t\r\n＝＋－＠]"
# How a spreadsheet knows UTF-8.
MARK = b"\xef\xbb\xbf"


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
