"""The source database: only read, by the user's SQL, into a CSV file that tells NULL from empty."""

import hashlib
import json
import os
import re
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from datetime import time as time_of_day
from decimal import Decimal
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import quote

import polars as pl
from prefect.blocks.core import Block
from pydantic import Field, SecretStr
from sqlalchemy import URL, Connection, CursorResult, Engine, TextClause, create_engine, exc, make_url, text
from sqlalchemy.pool import NullPool

from blocks.errors import PermanentError, SettingsError, TransientError, VoxkeepError
from blocks.paths import escape_path

ROWS_A_BATCH = 2_000
WINDOW = ("start", "end")
PACKAGE_SCHEMA = pl.Schema(
    [("path", pl.String()), ("rows", pl.Int64()), ("bytes", pl.Int64()), ("sha256", pl.String())]
)
_CONNECT_SECONDS = 5
# How each driver is told for how long to try to connect.
_CONNECT_OPTIONS: dict[str, dict[str, Any]] = {
    "postgresql": {"connect_timeout": _CONNECT_SECONDS},
    "mysql": {"connect_timeout": _CONNECT_SECONDS},
    "mariadb": {"connect_timeout": _CONNECT_SECONDS},
    "mssql": {"login_timeout": _CONNECT_SECONDS},
    "oracle": {"tcp_connect_timeout": _CONNECT_SECONDS},
}
# SQL Server has no read-only transactions: only a user without these rights is one who only reads.
_MSSQL_RIGHTS = " + ".join(
    f"HAS_PERMS_BY_NAME(DB_NAME(), 'DATABASE', '{right}')"
    for right in ("INSERT", "UPDATE", "DELETE", "ALTER", "EXECUTE")
)
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
# What may go well another time. MySQL and MariaDB, by number: of the client (2xxx) the lost connections; of the server
# too many connections, shutdown, killed, network, locks and deadlines.
# https://mariadb.com/kb/en/mariadb-error-code-reference/
_PASSING_MYSQL = {
    1040, 1042, 1053, 1152, 1158, 1159, 1160, 1161, 1203, 1205, 1213, 1226, 1317, 1927, 1969, 2002, 2003, 2006, 2013,
    2055, 3024,
}  # fmt: skip
# PostgreSQL, by class: connection, rollback, resources, intervention (the deadline is one), system, locks.
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_PASSING_POSTGRESQL = ("08", "40", "53", "57", "58", "55P03")
_PASSING_SQLITE = {"SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_INTERRUPT", "SQLITE_PROTOCOL", "SQLITE_IOERR"}
# A server that refuses the log-in has no class in psycopg, only words.
_REFUSED = ("authentication failed", "does not exist", "permission denied", "not permitted to log in", "no pg_hba.conf")


@dataclass(frozen=True)
class Extract:
    """What an extract holds; `columns` is name to Frictionless type ("any" where all rows had NULL)."""

    rows: int
    bytes: int
    sha256: str
    columns: dict[str, str]


@dataclass(frozen=True)
class Resource:
    """One extract for the datapackage: its file's name, the window it covers and the SQL that made it."""

    path: str
    dataset: str
    extract: Extract
    start: str
    end: str
    sql: str


class SourceDatabase(Block):
    """A source database, which is only read.

    Attributes:
        url: SQLAlchemy URL, e.g. `sqlite:////srv/calls.db` or `postgresql+psycopg://reader:…@host/calls`.
        statement_timeout_seconds: Longest time for one extract.

    Example:
        >>> source = SourceDatabase(url="sqlite:////srv/calls.db")
        >>> sql = "SELECT * FROM cdr WHERE started >= :start AND started < :end"
        >>> source.extract(sql, {"start": "2021-01-31 00:00:00", "end": "2021-02-01 00:00:00"}, target).rows
        1024
    """

    _block_type_name = "Voxkeep source database"
    _block_type_slug = "voxkeep-source-database"

    url: SecretStr = Field(description="SQLAlchemy URL of the database; a user who may only read is enough.")
    statement_timeout_seconds: float = Field(default=600, gt=0, description="Longest time for an extract, in seconds.")

    def extract(self, sql: str, parameters: dict[str, object], target: Path) -> Extract:
        """Make `target` the rows of `sql` as CSV; it is there whole or not at all, even after kill -9.

        RFC 4180 in UTF-8, lines end with CR LF, the first names the columns. NULL is an empty field, the
        empty string is `""` (a row that is one NULL is an empty line). Numbers keep every digit, instants are
        ISO 8601; bytes are text, with what is not UTF-8 (and `%`) percent-escaped. Memory does not grow with
        the rows.

        `sql` is one query, bound by `:start`, `:end` and any other of `parameters`; before a colon that binds
        nothing stands a backslash. It runs in a read-only transaction.

        Raises:
            SettingsError: a parameter is missing, `sql` is no query or repeats a column, the URL is useless.
            TransientError: the database cannot be reached, is locked, or took too long.
            PermanentError: it refuses the SQL or the user, or `target` cannot be written.
        """
        query = self._bind(sql, parameters)
        with self._connection() as connection:
            try:
                return self._write(connection, query, target)
            except sqlite3.OperationalError as error:
                if not str(error).startswith("Could not decode to UTF-8"):
                    raise
                # Other encodings are rare: only a table that has some pays for looking at every value.
                _sqlite(connection).text_factory = _decoded
                return self._write(connection, query, target)

    def _bind(self, sql: str, parameters: dict[str, object]) -> TextClause:
        clause = text(sql)
        names = set(clause.compile().params)
        for name in WINDOW:
            if name not in names:
                raise self._useless(f"the SQL does not bind :{name}", "select by the window: >= :start and < :end")
        for name in sorted(names - parameters.keys()):
            raise self._useless(f"nothing is given for :{name}", "give it, or write \\: for a colon that binds nothing")
        return clause.bindparams(**{name: _plain(parameters[name]) for name in names})

    def _write(self, connection: Connection, query: TextClause, target: Path) -> Extract:
        give_up = time.monotonic() + self.statement_timeout_seconds
        with connection.execution_options(stream_results=True).execute(query) as result:
            if not result.returns_rows:
                raise self._useless("the SQL yields no rows", "write one SELECT")
            names = list(result.keys())
            for name in {name for name in names if names.count(name) > 1}:
                raise self._useless(f"the SQL yields two columns {name}", "name each column otherwise, with AS")
            with _aside(target) as file:
                return _write_csv(file, names, _batches(result, give_up))

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        """A connection in a read-only transaction; its errors are told as errors of voxkeep."""
        engine = self._engine()
        driver_errors = engine.dialect.loaded_dbapi.Error
        try:
            with engine.connect() as connection:
                for statement in self._manners(connection):
                    connection.exec_driver_sql(statement)
                yield connection
        except exc.DBAPIError as error:
            raise self._told(error.orig or error) from None
        except (driver_errors, exc.SQLAlchemyError, OSError) as error:
            raise self._told(error) from None
        finally:
            engine.dispose()

    def _engine(self) -> Engine:
        try:
            url = make_url(self.url.get_secret_value())
            backend = url.get_backend_name()
            if backend == "sqlite":
                return create_engine("sqlite://", creator=lambda: _open_sqlite(url), poolclass=NullPool)
            options = dict(_CONNECT_OPTIONS.get(backend, {}))
            if backend == "mssql":
                options["timeout"] = int(self.statement_timeout_seconds)
            return create_engine(url, poolclass=NullPool, connect_args=options, hide_parameters=True)
        except (exc.ArgumentError, ValueError, TypeError):
            raise self._useless(
                "its URL cannot be read", "write it like postgresql+psycopg://reader:…@host/calls"
            ) from None
        except ImportError as error:
            remedy = "install it beside voxkeep (voxkeep[mssql] and voxkeep[oracle] bring theirs), or name another"
            raise self._useless(f"there is no driver: {error}", remedy) from None

    def _manners(self, connection: Connection) -> list[str]:
        """What makes this transaction read only and ends it in time."""
        milliseconds = int(self.statement_timeout_seconds * 1000)
        backend = connection.dialect.name
        if backend == "sqlite":
            give_up = time.monotonic() + self.statement_timeout_seconds
            _sqlite(connection).set_progress_handler(lambda: time.monotonic() > give_up, 100_000)
            return ["PRAGMA query_only = ON"]
        if backend == "postgresql":
            return ["SET TRANSACTION READ ONLY", f"SET LOCAL statement_timeout = {milliseconds}"]
        if backend == "mariadb" or getattr(connection.dialect, "is_mariadb", False):
            return [f"SET SESSION max_statement_time = {milliseconds / 1000}", "START TRANSACTION READ ONLY"]
        if backend == "mysql":
            return [f"SET SESSION max_execution_time = {milliseconds}", "START TRANSACTION READ ONLY"]
        if backend == "oracle":
            cast("Any", connection.connection.dbapi_connection).call_timeout = milliseconds
            return ["SET TRANSACTION READ ONLY"]
        if backend == "mssql":
            if connection.exec_driver_sql(f"SELECT {_MSSQL_RIGHTS}").scalar_one():
                raise self._useless(
                    "its user may write, and SQL Server has no read-only transactions",
                    "give voxkeep a user that has only the role db_datareader",
                )
            return [f"SET LOCK_TIMEOUT {milliseconds}"]
        known = "SQLite, PostgreSQL, MySQL, MariaDB, SQL Server or Oracle"
        raise self._useless(f"voxkeep cannot keep {backend} from writing", f"use {known}")

    def _told(self, error: BaseException) -> VoxkeepError:
        cause = " ".join(str(error).split()) or type(error).__name__
        passes = _passes(error, cause)
        return (TransientError if passes else PermanentError)(
            operation="extract from the source database",
            subject=self._name(),
            cause=self._without_password(cause),
            remedy="check that it answers and is not overloaded, then run it again"
            if passes
            else "check the URL, the rights of its user, the SQL, and the space for the extract",
        )

    def _useless(self, cause: str, remedy: str) -> SettingsError:
        return SettingsError(
            operation="extract from the source database",
            subject=self._name(),
            cause=self._without_password(cause),
            remedy=remedy,
        )

    def _name(self) -> str:
        """The database's address, without user, password and options."""
        try:
            url = make_url(self.url.get_secret_value())
        except (exc.ArgumentError, ValueError):
            return "the source database"
        return f"{url.get_backend_name()} {url.host or ''}/{(url.database or '').lstrip('/')}"

    def _without_password(self, words: str) -> str:
        with suppress(exc.ArgumentError, ValueError):
            url = make_url(self.url.get_secret_value())
            for secret in (url.password, *(v for v in url.query.values() if isinstance(v, str))):
                if secret:
                    words = words.replace(str(secret), "…").replace(quote(str(secret)), "…")
        return words


def sql_of_day(sql: str, day: date) -> str:
    """The SQL for one business day: `{day:%Y%m%d}` becomes the date, for systems that begin a table each day.

    Nothing else ever gets into the SQL's text; values are bound.

    Example:
        >>> sql_of_day("SELECT * FROM e_cdr_{day:%Y%m%d}", date(2021, 1, 31))
        'SELECT * FROM e_cdr_20210131'

    Raises:
        SettingsError: the placeholder has another form than %Y, %m, %d, %y, %j, `_` and `-`.
    """

    def written(found: re.Match[str]) -> str:
        form = found[1] or ""
        if not re.fullmatch("(%[Ymdyj]|[-_])+", form):
            raise SettingsError(
                operation="put the day into the SQL",
                subject=found[0],
                cause="it is no form of a date",
                remedy="write it like {day:%Y%m%d}, of %Y %m %d %y %j, _ and -",
            )
        return day.strftime(form)

    return re.sub(r"\{day(?::([^{}]*))?\}", written, sql)


def write_datapackage(folder: Path, resources: list[Resource]) -> Path:
    """Make `datapackage.json` (Frictionless) describe these extracts; the same ones give the same bytes."""
    package = {
        "name": "voxkeep-extracts",
        "profile": "tabular-data-package",
        "resources": [_described(resource) for resource in sorted(resources, key=lambda one: one.path)],
    }
    file = folder / "datapackage.json"
    with _aside(file) as out:
        out.write(json.dumps(package, ensure_ascii=False, indent=2).encode() + b"\n")
    return file


def read_datapackage(file: Path) -> pl.DataFrame:
    """path, rows, bytes, sha256 of each resource (`PACKAGE_SCHEMA`), null where the file does not say.

    No file, no rows: an extract that another system made has none.

    Raises:
        SettingsError: it is not a data package.
    """
    try:
        package = json.loads(file.read_bytes())
        rows = [
            {
                "path": str(found["path"]),
                "rows": found.get("rows"),
                "bytes": found.get("bytes"),
                "sha256": str(found.get("hash") or "").removeprefix("sha256:") or None,
            }
            for found in package["resources"]
        ]
        return pl.DataFrame(rows, schema=PACKAGE_SCHEMA)
    except FileNotFoundError:
        return PACKAGE_SCHEMA.to_frame()
    except (OSError, ValueError, KeyError, TypeError, AttributeError, pl.exceptions.PolarsError) as error:
        raise SettingsError(
            operation="read the data package",
            subject=str(file),
            cause=f"it is damaged ({type(error).__name__})",
            remedy="extract again, or remove the file: its extracts are then taken as they are",
        ) from None


def _described(resource: Resource) -> dict[str, Any]:
    extract = resource.extract
    return {
        "name": resource.dataset,
        "path": resource.path,
        "profile": "tabular-data-resource",
        "format": "csv",
        "mediatype": "text/csv",
        "encoding": "utf-8",
        "dialect": {
            "delimiter": ",",
            "lineTerminator": "\r\n",
            "quoteChar": '"',
            "doubleQuote": True,
            "header": True,
        },
        "schema": {
            "fields": [{"name": name, "type": kind} for name, kind in extract.columns.items()],
            "missingValues": [""],
        },
        "rows": extract.rows,
        "bytes": extract.bytes,
        "hash": f"sha256:{extract.sha256}",
        "window": {"start": resource.start, "end": resource.end},
        "sqlHash": f"sha256:{hashlib.sha256(resource.sql.encode()).hexdigest()}",
    }


def _passes(error: BaseException, cause: str) -> bool:
    """Whether the same call may succeed later."""
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorname", "") in _PASSING_SQLITE
    if isinstance(error, TimeoutError | ConnectionError):
        return True
    if error.args and isinstance(error.args[0], int):
        return error.args[0] in _PASSING_MYSQL
    if state := getattr(error, "sqlstate", None):
        return str(state).startswith(_PASSING_POSTGRESQL)
    is_connection = any(kind.__name__ in ("OperationalError", "InterfaceError") for kind in type(error).__mro__)
    return is_connection and not any(words in cause.lower() for words in _REFUSED)


def _open_sqlite(url: URL) -> sqlite3.Connection:
    """The file, opened so that it can only be read."""
    if not url.database or not Path(url.database).is_file():
        raise FileNotFoundError(f"there is no file {url.database}")
    address = f"file:{quote(url.database)}?mode=ro"
    return sqlite3.connect(address, uri=True, timeout=_CONNECT_SECONDS, check_same_thread=False)


def _sqlite(connection: Connection) -> sqlite3.Connection:
    return cast("sqlite3.Connection", connection.connection.dbapi_connection)


def _batches(result: CursorResult[Any], give_up: float) -> Iterator[Sequence[Any]]:
    """The rows as the driver gives them: a third faster than as SQLAlchemy's, and never all in memory."""
    cursor = result.cursor
    if result.dialect.name != "sqlite":
        # Of what it streams, SQLAlchemy has fetched the first row already: asked for one, it gives just that.
        first = result.fetchmany(1)
        if not first:
            return
        yield [tuple(row) for row in first]
    while rows := cursor.fetchmany(ROWS_A_BATCH):
        if time.monotonic() > give_up:
            raise TimeoutError("the extract took longer than its time")
        yield rows


def _write_csv(file: BinaryIO, names: list[str], batches: Iterator[Sequence[Any]]) -> Extract:
    """Write header and rows. Polars, not the csv module: that cannot tell NULL from the empty string."""
    digest, size, rows = hashlib.sha256(), 0, 0
    kinds: list[set[type]] = [set() for _ in names]
    pieces = (_frame(batch, kinds) for batch in batches)
    header = pl.DataFrame([pl.Series(str(i), [name]) for i, name in enumerate(names)])
    for frame in chain([header], pieces):
        buffer = BytesIO()
        frame.write_csv(buffer, include_header=False, line_terminator="\r\n")
        content = buffer.getbuffer()
        digest.update(content)
        size, rows = size + file.write(content), rows + frame.height
    types = {name: _frictionless(kind) for name, kind in zip(names, kinds, strict=True)}
    return Extract(rows - 1, size, digest.hexdigest(), types)


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
        return value.isoformat()
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


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return escape_path(raw)


def _plain(value: object) -> object:
    """A parameter as databases compare it: SQLite has no instants, only text like 2021-01-31 11:41:29."""
    return value.isoformat(" ") if isinstance(value, datetime) else str(value) if isinstance(value, date) else value


def _frictionless(kinds: set[type]) -> str:
    names = {_FRICTIONLESS.get(kind, "string") for kind in kinds}
    if len(names) == 1:
        return names.pop()
    if not names:
        return "any"
    return "number" if names == {"integer", "number"} else "string"


@contextmanager
def _aside(target: Path) -> Iterator[BinaryIO]:
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
