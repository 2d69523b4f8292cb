"""A list that somebody pastes or uploads: telephone numbers, call ids or cases, as text, CSV or a spreadsheet."""

import csv
import io
import re
import unicodedata
import zipfile
from collections.abc import Iterator
from pathlib import PurePosixPath

import openpyxl

from reconcile.errors import ListError

MOST_BYTES = 2_000_000
MOST_ENTRIES = 5000
_LONGEST = 200
# What a spreadsheet may hold when it is unpacked, and how many of its rows and columns are looked at.
_MOST_UNPACKED = 50_000_000
_MOST_ROWS, _MOST_COLUMNS = 100_000, 200
_BETWEEN = re.compile(r"[\n\r\t,;，；、]+")
_HEADINGS = {
    "number": {
        "number", "phone", "telephone", "mobile", "caller", "callee", "号码", "电话", "电话号码", "客户号码", "手机",
        "手机号", "手机号码", "客户电话", "主叫", "被叫",
    },
    "call": {"call_id", "call id", "callid", "uniqueid", "通话编号", "通话id", "话单号", "通话标识", "录音流水号"},
}  # fmt: skip
Row = list[str]


def read_list(content: bytes, file_name: str, field: str) -> list[str]:
    """The entries of the list, in its order, each once; `field` is `number`, `call` or an attribute's name.

    Of a table it is the column whose heading says so, or the first one.

    Raises:
        ListError: it is too large, holds too much, or cannot be read.
    """
    if len(content) > MOST_BYTES:
        raise ListError("too_large", f"it has more than {MOST_BYTES:,} bytes")
    suffix = PurePosixPath(file_name.lower()).suffix
    if suffix in (".xlsx", ".xlsm") or content.startswith(b"PK\3\4"):
        rows = list(_spreadsheet(content))
    elif suffix == ".csv":
        rows = _delimited(_text(content))
    else:
        rows = [[entry] for entry in _BETWEEN.split(_text(content))]
    entries = list(dict.fromkeys(filter(None, map(_plain, _column(rows, field)))))
    if not entries:
        raise ListError("empty", "there is nothing in it")
    if len(entries) > MOST_ENTRIES:
        raise ListError("too_many", f"it has {len(entries):,} entries, more than {MOST_ENTRIES:,}")
    if any(len(entry) > _LONGEST for entry in entries):
        raise ListError("too_long", f"an entry is longer than {_LONGEST} characters")
    return entries


def _column(rows: list[Row], field: str) -> list[str]:
    """The cells that are meant."""
    wanted = _HEADINGS.get(field, set()) | {field.casefold()}
    heading = [_plain(cell).casefold() for cell in rows[0]] if rows else []
    place = next((place for place, cell in enumerate(heading) if cell in wanted), None)
    if place is None:
        return [row[0] for row in rows if row]
    return [row[place] for row in rows[1:] if len(row) > place]


def _plain(cell: str) -> str:
    """The cell without blanks around it, and without the apostrophe by which spreadsheets keep text as text."""
    return unicodedata.normalize("NFKC", cell).replace("\0", "").strip().removeprefix("'").strip()


def _text(content: bytes) -> str:
    """The text of a file as Windows or anybody else writes it."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", "replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("gb18030", "replace")


def _delimited(text: str) -> list[Row]:
    first = text.partition("\n")[0]
    delimiter = max((",", ";", "\t"), key=first.count)
    try:
        return [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if any(row)]
    except csv.Error as error:
        raise ListError("unreadable", f"it is no CSV: {error}") from None


def _spreadsheet(content: bytes) -> Iterator[Row]:
    """The rows of the first sheet. What unpacks to too much, or defines entities, is not opened at all."""
    try:
        _prove(content)
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True, keep_links=False)
        sheet = book.worksheets[0]
        sheet.reset_dimensions()  # a file may claim any
        for row in sheet.iter_rows(max_row=_MOST_ROWS, max_col=_MOST_COLUMNS, values_only=True):
            cells = ["" if value is None else _cell(value) for value in row]
            if any(cells):
                yield cells
    except ListError:
        raise
    except Exception as error:  # noqa: BLE001  # whatever a broken or hostile file makes the library raise
        raise ListError("unreadable", f"it is no spreadsheet ({type(error).__name__})") from None


def _prove(content: bytes) -> None:
    """No more than a bound when it is unpacked, and no document type: entities grow without one."""
    left = _MOST_UNPACKED
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for member in archive.infolist():
            with archive.open(member) as file:
                inside = file.read(left + 1)
            left -= len(inside)
            if left < 0:
                raise ListError("too_large", "it unpacks to too much")
            if b"<!DOCTYPE" in inside.replace(b"\0", b""):  # in UTF-16, too
                raise ListError("unreadable", "it defines a document type")


def _cell(value: object) -> str:
    """A number as its digits: a spreadsheet has long made one of many a telephone number."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
