"""The source database: only read, by the user's SQL, into a CSV file that tells NULL from empty."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date, datetime
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from pydantic import Field, SecretStr
from sqlalchemy import URL, Connection, Engine, TextClause, create_engine, exc, make_url, text
from sqlalchemy.pool import NullPool

from blocks.day_sql import sql_of_day
from blocks.errors import PermanentError, SettingsError, TransientError, VoxkeepError
from blocks.extract import Extract, aside, write_rows
from blocks.paths import escape_path
from blocks.saved_block import SavedBlock

__all__ = ["SourceDatabase", "sql_of_day"]

WINDOW = ("start", "end")
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


class SourceDatabase(SavedBlock):
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
        r"""Make `target` the rows of `sql` as CSV; it is there whole or not at all, even after kill -9.

        RFC 4180 in UTF-8, lines end with CR LF, the first names the columns. NULL is an empty field, the
        empty string is `""` (a row that is one NULL is an empty line). Values are as the database writes them:
        every digit of numbers, instants like 2021-01-31 11:41:29; bytes are PostgreSQL's `\x…`, elsewhere text
        with what is not UTF-8 (and `%`) percent-escaped. Memory does not grow with the rows.

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
        with aside(target) as file:
            return write_rows(connection, query, file, self.statement_timeout_seconds)

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        """A connection in a read-only transaction; its errors are told as errors of voxkeep."""
        engine = self._engine()
        driver_errors = engine.dialect.loaded_dbapi.Error
        try:
            with engine.connect() as connection:
                try:
                    for statement in self._manners(connection):
                        connection.exec_driver_sql(statement)
                    yield connection
                except BaseException:
                    # Drop it as it is: a rollback would wait for rows that nobody wants, or fail on a lost connection.
                    connection.invalidate()
                    raise
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
            if url.get_driver_name() == "mysqlconnector":
                # Its own default is a collation that MariaDB does not know.
                url = url.update_query_dict({"charset": "utf8mb4", "collation": "utf8mb4_general_ci"} | dict(url.query))
                options["buffered"] = False  # SQLAlchemy would have it read all rows before the first
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
            # The rest makes every server write alike, however it or the user's role is set up.
            return [
                "SET TRANSACTION READ ONLY",
                f"SET LOCAL statement_timeout = {milliseconds}",
                "SET LOCAL client_encoding = 'UTF8'",
                "SET LOCAL datestyle = 'ISO, YMD'",
                "SET LOCAL intervalstyle = 'postgres'",
                "SET LOCAL bytea_output = 'hex'",
                "SET LOCAL extra_float_digits = 1",
            ]
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


def _plain(value: object) -> object:
    """A parameter as databases compare it: SQLite has no instants, only text like 2021-01-31 11:41:29."""
    return value.isoformat(" ") if isinstance(value, datetime) else str(value) if isinstance(value, date) else value


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return escape_path(raw)
