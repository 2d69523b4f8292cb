r"""A table handed over as a file, read without losing or shifting a row: `rows in = rows + quarantined`.

Lines that are plain (every quoted field closed on its line, as many fields as the header) are read all at
once by Polars; every other line is the start of a record for the exact parser (reconcile.records). Both say
the same of a plain line, so it does not matter which of them read it.
"""

import io
import re
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from reconcile.encodings import Text, decode
from reconcile.errors import UnreadableError
from reconcile.layouts import HeaderError, Layout, find_layout, unique_names
from reconcile.parquet import as_text
from reconcile.records import as_it_stands, read_record

Header = list[str] | list[list[str]]

# So much of the file decides about the layout.
_HEAD_BYTES = 1 << 18
_QUARANTINED = pl.Schema({"source_row": pl.Int64, "reason": pl.String, "raw": pl.String})


@dataclass(frozen=True)
class Table:
    r"""The rows of a file, and those that could not be read.

    `rows`: every source column as String (NULL is null, "" is empty), and source_row (Int64): the physical
    line where the row begins, from 1. `quarantined`: source_row (Int64), reason, raw (String, the first 500
    characters). `rows_in` = rows + quarantined. `damaged_rows`: the source_rows in which undecodable bytes
    are shown as `\xNN` (reconcile.encodings.bytes_shown reads them).
    """

    rows: pl.DataFrame
    quarantined: pl.DataFrame
    encoding: str
    rows_in: int
    damaged_rows: frozenset[int] = frozenset()


def read_table(path: Path, *, header: Header | None = None) -> Table:
    """The table in a CSV (or `;`, tab, `|` separated) or Parquet file.

    `header`: the columns of a file without a header row, or several such lists for a file whose rows can be
    of several lengths: the one whose length fits most rows holds. A first row that equals it is no row.
    Without it, the first row names the columns, unless it looks like data. Blank lines are no rows.

    Raises:
        UnreadableError: the file cannot be opened, is no Parquet file, or its header row is broken.
    """
    try:
        if path.suffix.lower() == ".parquet":
            rows = as_text(pl.read_parquet(path, hive_partitioning=False))
            return Table(rows, pl.DataFrame(schema=_QUARANTINED), "parquet", rows.height)
        return parse_table(decode(path.read_bytes()), headers=_alternatives(header))
    except (OSError, pl.exceptions.PolarsError) as error:
        raise UnreadableError(
            operation="read a table", subject=str(path), cause=str(error),
            remedy="see that the file is whole and may be read, and export it again if it is not",
        ) from error  # fmt: skip
    except HeaderError as error:
        raise UnreadableError(
            operation="read a table", subject=str(path),
            cause=f"its first row, which names the columns, is broken: {error}",
            remedy="mend that row, or name the columns in the dataset's `header`",
        ) from error  # fmt: skip


def _alternatives(header: Header | None) -> list[list[str]]:
    if not header:
        return []
    several = [names for names in header if isinstance(names, list)]
    return several or [[name for name in header if isinstance(name, str)]]


def parse_table(text: Text, *, headers: list[list[str]], vectorised: bool = True) -> Table:
    """The table in a text; the same whether plain lines are read all at once or one by one.

    Raises:
        HeaderError: no header is given, and the first row, which names the columns, is broken.
    """
    start, head = _head(text)
    if start is None:
        names = unique_names(headers[0]) if headers else []
        return Table(_no_rows(names), pl.DataFrame(schema=_QUARANTINED), text.encoding, 0)
    layout = _layout(text, start, head, headers)
    lines = _lines(text)
    below = pl.int_range(lines.len(), eager=True) >= layout.first_line
    plain = below & (lines.str.contains(_plain(layout)) if vectorised else False) & (lines != "")
    # Polars would take this mark off the first of the lines that it is given.
    plain &= ~lines.str.starts_with("\ufeff")
    # A line of spaces is blank, unless it can be the value of the only column.
    space = " " if len(layout.names) > 1 else ""
    starts = (below & ~plain).arg_true()
    starts = starts.filter(lines.gather(starts).str.strip_chars(space) != "") if starts.len() else starts
    odd = _read_odd(text, layout, starts.to_list())
    if odd.inner_lines:
        plain = plain.scatter(odd.inner_lines, values=False)
    rows = _rows(_read_plain(text, lines, layout, plain), plain, odd, layout)
    quarantined = pl.DataFrame(odd.quarantined, schema=_QUARANTINED, orient="row")
    damaged = text.damaged_lines.intersection(rows["source_row"]) if text.damaged_lines else frozenset[int]()
    return Table(rows, quarantined, text.encoding, rows.height + quarantined.height, damaged | odd.damaged)


def _head(text: Text) -> tuple[int | None, list[str]]:
    """The index of the first line that is not blank, if there is one, and all lines some way below it."""
    size = _HEAD_BYTES
    while True:
        end = len(text.data) if size >= len(text.data) else text.data.rfind(text.line_end, 0, size) + 1
        head = _split(text.data[:end], text.line_end)
        start = next((index for index, line in enumerate(head) if line.strip(" \r")), None)
        if start is not None or end == len(text.data):
            return start, head
        size *= 16


def _layout(text: Text, start: int, head: list[str], headers: list[list[str]]) -> Layout:
    line_end = text.line_end.decode()
    try:
        return find_layout(head, start, headers, line_end)
    except HeaderError:
        # The first record may be longer than the head of the file.
        return find_layout(_split(text.data, text.line_end), start, headers, line_end)


def _lines(text: Text) -> pl.Series:
    r"""The physical lines without their ends (`\r\n` is one)."""
    if text.line_end == b"\n":
        return pl.read_lines(io.BytesIO(text.data))["line"]
    return pl.Series("line", _split(text.data, text.line_end), dtype=pl.String)


def _split(data: bytes, line_end: bytes) -> list[str]:
    r"""The physical lines; one that ends with `\r\n` keeps its `\r`."""
    pieces = data.decode().split(line_end.decode())
    return pieces if pieces[-1] else pieces[:-1]


def _plain(layout: Layout) -> str:
    """The pattern of a line that is one record of the right length, however one reads it."""
    field = rf'(?:"(?:[^"\r\n\x00]|"")*"|[^"{re.escape(layout.delimiter)}\r\n\x00]*)'
    return f"^{field}(?:{re.escape(layout.delimiter)}{field}){{{len(layout.names) - 1}}}$"


def _read_plain(text: Text, lines: pl.Series, layout: Layout, plain: pl.Series) -> pl.DataFrame:
    """The fields of the plain lines, in their order."""
    data, skip_lines = text.data, layout.first_line
    if text.line_end != b"\n" or not plain.slice(skip_lines).all():
        buffer = io.BytesIO()
        lines.filter(plain).to_frame().write_csv(buffer, include_header=False, quote_style="never")
        data, skip_lines = buffer.getvalue(), 0
    if not plain.any():
        return _no_rows(layout.names).drop("source_row")
    return pl.read_csv(
        data, has_header=False, schema=dict.fromkeys(layout.names, pl.String), separator=layout.delimiter,
        skip_lines=skip_lines,
    )  # fmt: skip


@dataclass(frozen=True)
class _Odd:
    """What the lines that are not plain hold: rows, broken rows, and lines inside of records."""

    rows: list[tuple[str | int | None, ...]]
    quarantined: list[tuple[int, str, str]]
    inner_lines: list[int]
    damaged: frozenset[int]


def _read_odd(text: Text, layout: Layout, starts: list[int]) -> _Odd:
    """The records that begin on these lines; one that begins inside another is none."""
    rows: list[tuple[str | int | None, ...]] = []
    quarantined: list[tuple[int, str, str]] = []
    inner: list[int] = []
    damaged: set[int] = set()
    lines = _split(text.data, text.line_end) if starts else []
    line_end, after = text.line_end.decode(), 0
    for start in starts:
        if start < after:
            continue
        record = read_record(lines, start, layout.delimiter, line_end)
        after = record.next_line
        inner.extend(range(start + 1, after))
        reason = record.broken or _why_not(record.fields, layout)
        if reason:
            quarantined.append((start + 1, reason, as_it_stands(lines, start, after, line_end)))
            continue
        rows.append((*record.fields, start + 1))
        if not text.damaged_lines.isdisjoint(range(start + 1, after + 1)):
            damaged.add(start + 1)
    return _Odd(rows, quarantined, inner, frozenset(damaged))


def _why_not(fields: list[str | None], layout: Layout) -> str | None:
    """Why a record is no row of this table, if it is none."""
    if len(fields) != len(layout.names):
        return f"{len(fields)} fields found, {len(layout.names)} expected"
    if any(field and "\0" in field for field in fields):
        return "it holds a NUL byte"
    return None


def _rows(fields: pl.DataFrame, plain: pl.Series, odd: _Odd, layout: Layout) -> pl.DataFrame:
    """All rows in the order of the file, with source_row."""
    rows = fields.with_columns(plain.arg_true().cast(pl.Int64).alias("source_row") + 1)
    if not odd.rows:
        return rows
    more = pl.DataFrame(odd.rows, schema=_no_rows(layout.names).schema, orient="row")
    return pl.concat([rows, more]).sort("source_row")


def _no_rows(names: list[str]) -> pl.DataFrame:
    return pl.DataFrame(schema={**dict.fromkeys(names, pl.String), "source_row": pl.Int64})
