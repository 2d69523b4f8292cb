"""The rows of a query as CSV, streamed: NULL told from empty, every value as the database itself writes it.

PostgreSQL writes the CSV itself (COPY); MySQL and MariaDB, where their own driver is used, write each row as one value.
Any other driver makes Python's values, which are written as text without loss.
"""

import hashlib
import json
import os
import re
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from datetime import time as time_of_day
from decimal import Decimal
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import polars as pl
from sqlalchemy import Connection, CursorResult, TextClause

from blocks.errors import SettingsError
from blocks.paths import escape_path

ROWS_A_BATCH = 5_000
# What Polars writes as the database gave it: every digit of integers, the shortest exact ones of floats.
_AS_THEY_ARE: dict[type, pl.DataType] = {str: pl.String(), int: pl.Int64(), float: pl.Float64()}
_FRICTIONLESS: dict[type, str] = {
    str: "string",
    int: "integer",
    float: "number",
    Decimal: "number",
    bool: "boolean",
    datetime: "datetime",
    date: "date",
    time_of_day: "time",
}
# PostgreSQL's types by oid (pg_type.dat).
_BOOL = 16
_POSTGRESQL = {
    _BOOL: "boolean", 20: "integer", 21: "integer", 23: "integer", 26: "integer", 700: "number", 701: "number",
    1700: "number", 1082: "date", 1083: "time", 1114: "datetime", 1184: "datetime",
}  # fmt: skip
# MySQL's by their numbers (field_types.h); those that hold bytes have the character set 63.
_MYSQL = {
    0: "number", 1: "integer", 2: "integer", 3: "integer", 4: "number", 5: "number", 7: "datetime", 8: "integer",
    9: "integer", 10: "date", 12: "datetime", 13: "integer", 246: "number",
}  # fmt: skip
# What may stand behind a query, and not within the brackets of another: a semicolon, with comments behind it.
_LAST_WORDS = re.compile(r"\s*;(?:\s|--[^\n]*(?:\n|\Z)|/\*.*?\*/)*\Z", re.DOTALL)
_BYTES, _BINARY = {16, 249, 250, 251, 252, 253, 254, 255}, 63
# ASCII's separators of fields and of records.
_UNIT, _RECORD, _LAST_CONTROL = b"\x1f", b"\x1e", 31
_UNIT_TO_COMMA = np.uint8(ord(",") - ord(_UNIT))


@dataclass(frozen=True)
class Extract:
    """What an extract holds; `columns` is name to Frictionless type ("any" where nothing tells)."""

    rows: int
    bytes: int
    sha256: str
    columns: dict[str, str]


def write_rows(connection: Connection, query: TextClause, file: BinaryIO, seconds: float) -> Extract:
    """Write header and rows of the query; it may take so many seconds.

    Raises:
        SettingsError: the query yields no rows, or two columns of one name.
        TimeoutError: it took longer. Errors of the driver are not touched.
    """
    give_up = time.monotonic() + seconds
    if connection.dialect.driver == "psycopg":
        return _copied(connection, query, file, give_up)
    if connection.dialect.driver == "mysqlconnector":
        return _fetched(connection, query, file, give_up)
    with connection.execution_options(stream_results=True).execute(query) as result:
        if not result.returns_rows:
            raise _useless("the SQL yields no rows", "write one SELECT")
        names = _distinct(list(result.keys()))
        kinds: list[set[type]] = [set() for _ in names]
        out = _Output(file, names, give_up)
        for rows in _batches(result):
            out.write(_frame(rows, kinds))
        types = {name: _frictionless(kind) for name, kind in zip(names, kinds, strict=True)}
        return out.extract(types)


@dataclass
class _Output:
    """The file that is being written, with what an Extract tells of it."""

    file: BinaryIO
    names: list[str]
    give_up: float
    size: int = 0
    rows: int = 0
    digest: Any = field(default_factory=hashlib.sha256)

    def __post_init__(self) -> None:
        self.write(pl.DataFrame([pl.Series(str(i), [name]) for i, name in enumerate(self.names)]))
        self.rows = 0

    def write(self, frame: pl.DataFrame) -> None:
        """Write rows. Polars, not the csv module: that cannot tell NULL from the empty string."""
        buffer = BytesIO()
        frame.write_csv(buffer, include_header=False, line_terminator="\r\n")
        self.write_text(buffer.getbuffer(), frame.height)

    def write_text(self, content: bytes | bytearray | memoryview, rows: int) -> None:
        """Write rows that are CSV already."""
        if time.monotonic() > self.give_up:
            raise TimeoutError("the extract took longer than its time")
        self.digest.update(content)
        self.size += self.file.write(content)
        self.rows += rows

    def extract(self, types: dict[str, str]) -> Extract:
        """What was written."""
        return Extract(self.rows, self.size, self.digest.hexdigest(), types)


def _copied(connection: Connection, query: TextClause, file: BinaryIO, give_up: float) -> Extract:
    """Have PostgreSQL write the CSV: three times as fast as making and writing Python's values.

    COPY binds no parameters, so psycopg writes them into the SQL as literals. A query keeps the order of its rows
    within another that only selects from it.
    """
    from psycopg import ClientCursor  # noqa: PLC0415  # a driver is loaded only where it is used

    driver: Any = connection.connection.driver_connection
    compiled = query.compile(dialect=connection.dialect)
    sql = _LAST_WORDS.sub("", ClientCursor(driver).mogrify(str(compiled), compiled.params))
    with driver.cursor() as cursor:
        cursor.execute(f"SELECT * FROM (\n{sql}\n) AS extract LIMIT 0")  # noqa: S608  # the user's SQL is the purpose
        columns = [(column.name, column.type_code) for column in cursor.description]
        names = _distinct([name for name, _ in columns])
        out = _Output(file, names, give_up)
        selected = ", ".join(f"{_quoted(name)}{'::text' if kind == _BOOL else ''}" for name, kind in columns)
        copy = f"COPY (SELECT {selected} FROM (\n{sql}\n) AS extract) TO STDOUT (FORMAT csv)"  # noqa: S608
        with cursor.copy(copy) as rows:
            while lines := [bytes(row) for row in islice(rows, ROWS_A_BATCH)]:
                out.write_text(_with_crlf(lines), len(lines))
    return out.extract({name: _POSTGRESQL.get(kind, "string") for name, kind in columns})


def _with_crlf(lines: list[bytes]) -> bytes:
    """The rows of COPY in one piece. A message is a row, which ends with a line feed (PostgreSQL's protocol)."""
    together = b"".join(lines)
    if b'"' not in together:  # so no field has a line feed of its own
        return together.replace(b"\n", b"\r\n")
    return b"".join([line[:-1] + b"\r\n" for line in lines])


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _fetched(connection: Connection, query: TextClause, file: BinaryIO, give_up: float) -> Extract:
    """Have MySQL or MariaDB write each row as one value, which its own driver hands out as it is: four times as fast.

    Where a column holds bytes, which are no text, or a text holds the separator, the values come one by one. The order
    of the rows is the server's: within another query it need not keep the one that is asked for.
    """
    compiled = query.compile(dialect=connection.dialect)
    parameters: Any = compiled.params
    if compiled.positiontup is not None:
        parameters = tuple(compiled.params[name] for name in compiled.positiontup)
    sql = _LAST_WORDS.sub("", str(compiled))
    driver: Any = connection.connection.driver_connection
    cursor = driver.cursor(raw=True)
    try:
        cursor.execute(f"SELECT * FROM (\n{sql}\n) AS extract LIMIT 0", parameters)  # noqa: S608
        columns = [(column[0], column[1], column[8] == _BINARY) for column in cursor.description]
        cursor.fetchall()
        names = _distinct([name for name, *_ in columns])
        of_bytes = [kind in _BYTES and is_binary for _, kind, is_binary in columns]
        out, written = _Output(file, names, give_up), False
        if len(names) > 1 and not any(of_bytes):
            null = secrets.token_hex(8)  # no text can be this by chance, nor on purpose
            row = f", '{_UNIT.decode()}', ".join(f"IFNULL({_mysql_name(name)}, '{null}')" for name in names)
            cursor.execute(f"SELECT CONCAT({row}) FROM (\n{sql}\n) AS extract", parameters)  # noqa: S608
            written = _write_whole(_raw_batches(driver, cursor), out, null.encode())
        if not written:
            file.seek(0)
            file.truncate()
            out = _Output(file, names, give_up)
            cursor.execute(sql, parameters)
            for rows in _raw_batches(driver, cursor):
                values = zip(zip(*rows, strict=True), of_bytes, strict=True)
                out.write(pl.DataFrame([_raw_series(str(i), *column) for i, column in enumerate(values)]))
        return out.extract({name: _MYSQL.get(kind, "string") for name, kind, _ in columns})
    finally:
        # Closing a cursor reads what is left of its rows: after an error nobody wants them.
        with suppress(Exception):
            cursor.close()


def _raw_batches(driver: Any, cursor: Any) -> Iterator[Sequence[tuple[bytes | None, ...]]]:  # noqa: ANN401
    """The rows that the cursor asked for, from the driver's part in C: its part in Python only makes them slower."""
    in_c = getattr(driver, "_cmysql", None)
    if in_c is not None:
        rows_of_c = _rows_of_c(in_c)
        while rows := list(islice(rows_of_c, ROWS_A_BATCH)):
            yield rows
    while rows := cursor.fetchmany(ROWS_A_BATCH):  # behind the part in C none are left, which the cursor has to notice
        yield rows


def _rows_of_c(in_c: Any) -> Iterator[tuple[bytes | None, ...]]:  # noqa: ANN401  # it has no types
    from _mysql_connector import MySQLInterfaceError  # noqa: PLC0415  # a driver is loaded only where it is used
    from mysql.connector.errors import get_mysql_exception  # noqa: PLC0415

    try:
        yield from iter(in_c.fetch_row, None)
    except MySQLInterfaceError as error:
        raise get_mysql_exception(error.errno, error.msg, error.sqlstate) from None


def _write_whole(batches: Iterator[Sequence[tuple[bytes | None, ...]]], out: _Output, null: bytes) -> bool:
    """Write the rows, each of them one value in which separators stand; False where a text holds one too."""
    for rows in batches:
        lines = [_whole(row) for (row,) in rows]
        together = bytearray(b"\r\n").join([*lines, b""])
        if _has_plain_fields(together, len(lines), len(out.names)):
            _put_commas(together)
            out.write_text(together.replace(null, b""), len(lines))
        elif together.count(_UNIT) == (len(out.names) - 1) * len(lines) and _RECORD not in together:
            out.write(_split(_RECORD.join([*lines, b""]), len(out.names), null))
        else:
            for _ in batches:  # a second query waits for the last row of the first
                pass
            return False
    return True


def _has_plain_fields(lines: bytearray, rows: int, columns: int) -> bool:
    """Whether no field is empty or holds what CSV quotes."""
    if b'"' in lines or b"," in lines:
        return False
    control = np.frombuffer(lines, np.uint8) <= _LAST_CONTROL
    only_ours = np.count_nonzero(control) == (columns - 1 + len(b"\r\n")) * rows
    side_by_side = np.count_nonzero(control[1:] & control[:-1])
    return bool(only_ours and side_by_side == rows and not control[0])


def _put_commas(lines: bytearray) -> None:
    """Make commas of the separators, in place."""
    letters = np.frombuffer(lines, np.uint8)
    letters += (letters == ord(_UNIT)) * _UNIT_TO_COMMA


def _split(records: bytes, columns: int, null: bytes) -> pl.DataFrame:
    """The fields of the records. Their header keeps Polars from taking a U+FEFF of the first field for a mark."""
    header = _UNIT.join(str(number).encode() for number in range(columns)) + _RECORD
    return pl.read_csv(
        header + records, separator=_UNIT.decode(), eol_char=_RECORD.decode(), quote_char=None, infer_schema=False,
        null_values=null.decode(), empty_string_is_null=False,
    )  # fmt: skip


def _mysql_name(name: str) -> str:
    return "`" + name.replace("`", "``").replace("%", "%%") + "`"


def _whole(row: bytes | None) -> bytes:
    """The row: MySQL makes NULL of one that is longer than its packets may be."""
    if row is None:
        raise SettingsError(
            operation="extract from the source database",
            subject="a row",
            cause="it is longer than the server's max_allowed_packet",
            remedy="make max_allowed_packet larger, or leave the column with the long text out",
        )
    return row


def _raw_series(name: str, column: tuple[bytes | None, ...], is_bytes: bool) -> pl.Series:
    if is_bytes:
        return pl.Series(
            name, [None if value is None else escape_path(bytes(value)) for value in column], dtype=pl.String
        )
    return pl.Series(name, column, dtype=pl.Binary).cast(pl.String)


def _distinct(names: list[str]) -> list[str]:
    for name in {name for name in names if names.count(name) > 1}:
        raise _useless(f"the SQL yields two columns {name}", "name each column otherwise, with AS")
    return names


def _useless(cause: str, remedy: str) -> SettingsError:
    return SettingsError(operation="extract from the source database", subject="the SQL", cause=cause, remedy=remedy)


def _batches(result: CursorResult[Any]) -> Iterator[Sequence[Any]]:
    """The rows as the driver gives them: a third faster than as SQLAlchemy's, and never all in memory."""
    cursor = result.cursor
    if result.dialect.name != "sqlite":
        # Of what it streams, SQLAlchemy has fetched the first row already: asked for one, it gives just that.
        first = result.fetchmany(1)
        if not first:
            return
        yield [tuple(row) for row in first]
    while rows := cursor.fetchmany(ROWS_A_BATCH):
        yield rows


def _frame(rows: Sequence[Any], kinds: list[set[type]]) -> pl.DataFrame:
    """The rows as columns; what Polars would write otherwise than the database gave it is text before."""
    columns = []
    for number, column in enumerate(zip(*rows, strict=True)):
        found = set(map(type, column)) - {type(None)}
        kinds[number] |= found
        native = _AS_THEY_ARE.get(next(iter(found))) if len(found) == 1 else None
        columns.append(_series(str(number), column, native))
    return pl.DataFrame(columns)


def _series(name: str, column: tuple[Any, ...], native: pl.DataType | None) -> pl.Series:
    if native is not None:
        with suppress(OverflowError, TypeError, pl.exceptions.PolarsError):  # whole numbers beyond 64 bits
            return pl.Series(name, column, dtype=native)
    return pl.Series(name, [None if value is None else _text(value) for value in column], dtype=pl.String)


def _text(value: object) -> str:
    """One value of the database as text, exactly."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, bytes | bytearray | memoryview):
        return escape_path(bytes(value))
    if isinstance(value, date | time_of_day):
        return value.isoformat(" ") if isinstance(value, datetime) else value.isoformat()
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, timedelta):
        return _duration(value)
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, dict | list) else str(value)


def _duration(value: timedelta) -> str:
    """MySQL's TIME as MySQL writes it: -01:02:03.5 (Python would tell days of a negative one)."""
    seconds, micros = divmod(abs(value) // timedelta(microseconds=1), 1_000_000)
    sign = "-" if value < timedelta(0) else ""
    fraction = f".{micros:06d}" if micros else ""
    return f"{sign}{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{fraction}"


def _frictionless(kinds: set[type]) -> str:
    names = {_FRICTIONLESS.get(kind, "string") for kind in kinds}
    if len(names) == 1:
        return names.pop()
    if not names:
        return "any"
    return "number" if names == {"integer", "number"} else "string"


@contextmanager
def aside(target: Path) -> Iterator[BinaryIO]:
    """A file beside `target` that takes its name when all is written; nothing stays of one that failed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
