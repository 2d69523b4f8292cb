"""The files of a pack: rows cut into parts, written as delimited text, fixed width or a spreadsheet."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from io import BytesIO

import polars as pl
import xlsxwriter

from reconcile.pack import File, Pack, Split
from reconcile.spreadsheets import PLAIN

_LINE_ENDS = {"crlf": "\r\n", "lf": "\n"}
_WIDEST = 60


def parts(rows: pl.DataFrame, split: Split) -> Iterator[pl.DataFrame]:
    """The rows, cut where a part would have too many rows or bytes (`size`); one without rows where there are none."""
    first, count, size = 0, 0, 0
    for place, row_bytes in enumerate(rows["size"].fill_null(0)):
        too_many = split.rows is not None and count == split.rows
        too_large = split.bytes is not None and count > 0 and size + row_bytes > split.bytes
        if too_many or too_large:
            yield rows[first:place]
            first, count, size = place, 0, 0
        count, size = count + 1, size + row_bytes
    yield rows[first:]


def named(name: str, pack: str, business: str, period: tuple[date, date], part: int) -> str:
    """A name of a file with its fields in it."""
    return name.format(business=business, pack=pack, since=period[0], until=period[1], part=part)


def table(pack: Pack, rows: pl.DataFrame, until: date) -> bytes:
    """The file with these rows, whose columns are named by their place from 0; the same rows give the same bytes."""
    texts = rows.select(str(place) for place in range(len(pack.columns)))
    headings = [column.name for column in pack.columns]
    if pack.file.kind == "xlsx":
        return _spreadsheet(pack, texts, until)
    if pack.file.kind == "fixed":
        return _fixed(pack, texts)
    return _delimited(pack.file, texts, headings)


def _delimited(file: File, texts: pl.DataFrame, headings: list[str]) -> bytes:
    """A data file: nothing in it is changed for a spreadsheet's sake."""
    heading = pl.DataFrame([headings], schema=texts.schema, orient="row")
    whole = pl.concat([heading, texts]) if file.header else texts
    # Polars would write "" for an empty text, to tell it from null.
    whole = whole if file.quotes == "always" else whole.with_columns(pl.all().replace("", None))
    text = whole.write_csv(
        include_header=False, separator=file.delimiter, line_terminator=_LINE_ENDS[file.line_end],
        quote_style=file.quotes,
    )  # fmt: skip
    return text.encode(file.encoding)


def _fixed(pack: Pack, texts: pl.DataFrame) -> bytes:
    end = _LINE_ENDS[pack.file.line_end].encode()
    lines = [b"".join(_padded(pack, place, column.name) for place, column in enumerate(pack.columns))]
    lines = lines if pack.file.header else []
    lines += [b"".join(_padded(pack, place, text) for place, text in enumerate(row)) for row in texts.iter_rows()]
    return b"".join(line + end for line in lines)


def _padded(pack: Pack, place: int, text: str) -> bytes:
    """The text in as many bytes as the column has."""
    column = pack.columns[place]
    content, width = text.encode(pack.file.encoding), column.width or 0
    pad = column.pad.encode()
    return content.rjust(width, pad) if column.align == "right" else content.ljust(width, pad)


def _spreadsheet(pack: Pack, texts: pl.DataFrame, until: date) -> bytes:
    """What people open: a text is a text, never a formula or a link; a column with `decimals` holds numbers."""
    buffer = BytesIO()
    book = xlsxwriter.Workbook(buffer, PLAIN)
    book.set_properties({"title": pack.title, "created": datetime.combine(until, time(), UTC).replace(tzinfo=None)})
    sheet = book.add_worksheet()
    bold = book.add_format({"bold": True, "bottom": 1, "bg_color": "#eef1f5"})
    first = 1 if pack.file.header else 0
    for place, column in enumerate(pack.columns):
        if pack.file.header:
            sheet.write_string(0, place, column.name, bold)
        values = texts[str(place)]
        longest = max([len(column.name) * 2, *values.head(200).str.len_chars()])
        sheet.set_column(place, place, min(longest + 2, _WIDEST))
        form = book.add_format({"num_format": f"0.{'0' * column.decimals}".rstrip(".")}) if column.decimals else None
        for line, value in enumerate(values, start=first):
            if column.decimals is not None and column.codes is None and value:
                sheet.write_number(line, place, float(value), form)
            else:
                sheet.write_string(line, place, value)
    if pack.file.header:
        sheet.freeze_panes(1, 0)
        sheet.autofilter(0, 0, max(texts.height, 1), len(pack.columns) - 1)
    book.close()
    return buffer.getvalue()
