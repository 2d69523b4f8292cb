"""Extracts from MariaDB and PostgreSQL themselves: exact, streamed, only read, ended in time, told when they fail."""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import polars as pl
import pytest
from databases import PASSWORD
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from blocks.errors import PermanentError, TransientError, VoxkeepError
from blocks.source import SourceDatabase
from deploy.servers.mariadb import Mariadb
from deploy.servers.postgresql import Postgresql

WINDOW: dict[str, object] = {"start": "2021-01-31 00:00:00", "end": "2021-02-01 00:00:00"}


@dataclass(frozen=True)
class ByConnector:
    """The same MariaDB, by MySQL's own driver."""

    server: Mariadb

    @property
    def port(self) -> int:
        """Of the loopback."""
        return self.server.port

    def url(self, database: str) -> str:
        """SQLAlchemy URL of a database."""
        return self.server.url(database).replace("mysql+pymysql:", "mysql+mysqlconnector:")

    def run(self, sql: str, database: str = "") -> None:
        """Run one statement."""
        self.server.run(sql, database)


Server = Mariadb | ByConnector | Postgresql
OF_MARIADB = (Mariadb, ByConnector)


@pytest.fixture(params=["by_pymysql", "by_connector"])
def maria(request: pytest.FixtureRequest, mariadb: Mariadb) -> Server:
    """MariaDB by each of two drivers."""
    return mariadb if request.param == "by_pymysql" else ByConnector(mariadb)


@pytest.fixture(params=["by_pymysql", "by_connector", "postgresql"])
def server(request: pytest.FixtureRequest) -> Server:
    """Each database in turn."""
    if request.param == "postgresql":
        found: Server = request.getfixturevalue("postgresql")
        return found
    mariadb: Mariadb = request.getfixturevalue("mariadb")
    return mariadb if request.param == "by_pymysql" else ByConnector(mariadb)


def source(server: Server, **changes: object) -> SourceDatabase:
    return SourceDatabase.model_validate({"url": server.url("calls"), **changes})


def extracted(server: Server, select: str, folder: Path) -> list[str]:
    """The rows of the extract of this SELECT, with quotes only where they mean something."""
    source(server).extract(f"{select} WHERE :start < :end", WINDOW, folder / "calls.csv")
    return normal(folder / "calls.csv")


def normal(file: Path) -> list[str]:
    """The rows of a CSV file as Polars writes them, the header left out."""
    read = pl.read_csv(file, infer_schema=False)
    return read.write_csv(include_header=False).splitlines()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("9007199254740993123", "9007199254740993123"),
        ("CAST(18446744073709551615 AS UNSIGNED)", "18446744073709551615"),
        ("CAST('12345678901234567890.120' AS DECIMAL(30,3))", "12345678901234567890.120"),
        ("0.1e0", "0.1"),
        ("NULL", ""),
        ("''", '""'),
        ("'0372'", "0372"),
        ("TIMESTAMP('2021-01-31 11:41:29')", "2021-01-31 11:41:29"),
        ("CAST('2021-01-31 11:41:29.000005' AS DATETIME(6))", "2021-01-31 11:41:29.000005"),
        ("DATE('2021-01-31')", "2021-01-31"),
        ("CAST('-25:00:01' AS TIME)", "-25:00:01"),
        ("JSON_OBJECT('案', 1.50)", '"{""案"": 1.50}"'),
        ("X'FF25'", "%FF%25"),
        ("'催记，\"承诺\"还款'", '"催记，""承诺""还款"'),
        ("CONVERT('催记' USING gbk)", "催记"),
        ("CONVERT('é' USING latin1)", "é"),
        ("TRUE", "1"),
        ("'a\\nb'", '"a'),
    ],
)
def test_values_of_mariadb_come_out_as_it_holds_them(maria: Server, tmp_path: Path, value: str, expected: str) -> None:
    assert extracted(maria, f"SELECT {value} AS value FROM dual", tmp_path)[0] == expected  # noqa: S608
    beside = extracted(maria, f"SELECT {value} AS value, 1 AS one FROM dual", tmp_path)[0]  # noqa: S608
    assert beside.removesuffix(",1") == expected


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("a", "b"),
        ("", None),
        (None, ""),
        ("a,b", 'a"b'),
        ("a\tb", "\r\n"),
        ("\ufeffa", "b\ufeff"),
        ("\x1f", "a"),
        ("a", "a\x1fb"),
        ("a\x1e", "b"),
        ("\x00", " "),
    ],
)
def test_any_text_of_mariadb_is_told_from_its_neighbours(
    maria: Server, tmp_path: Path, first: str | None, last: str | None
) -> None:
    held = ["NULL" if text is None else f"CONVERT(X'{text.encode().hex()}' USING utf8mb4)" for text in (first, last)]
    done = source(maria).extract(
        f"SELECT {held[0]} AS first, '，' AS middle, {held[1]} AS last FROM seq_1_to_3 WHERE :start < :end",  # noqa: S608
        WINDOW, tmp_path / "calls.csv",
    )  # fmt: skip
    rows = pl.DataFrame({"first": [first] * 3, "middle": ["，"] * 3, "last": [last] * 3})
    assert (tmp_path / "calls.csv").read_bytes() == rows.write_csv(line_terminator="\r\n").encode()
    assert done.rows == 3


def test_a_zero_date_stays_the_zeros_that_it_is(maria: Server, tmp_path: Path) -> None:
    maria.run("CREATE OR REPLACE TABLE zeros (id INT, answer DATETIME, day DATE) ENGINE=InnoDB", "calls")
    maria.run(
        "SET STATEMENT sql_mode='' FOR INSERT INTO zeros VALUES "
        "(1, '0000-00-00 00:00:00', '0000-00-00'), (2, '2021-01-31 11:41:29', '2021-01-00'), (3, NULL, NULL)",
        "calls",
    )
    assert extracted(maria, "SELECT * FROM zeros", tmp_path) == [
        "1,0000-00-00 00:00:00,0000-00-00",
        "2,2021-01-31 11:41:29,2021-01-00",
        "3,,",
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("9007199254740993123", "9007199254740993123"),
        ("12345678901234567890.120::numeric(30,3)", "12345678901234567890.120"),
        ("'NaN'::numeric", "NaN"),
        ("0.1::float8", "0.1"),
        ("NULL::text", ""),
        ("''", '""'),
        ("'0372'", "0372"),
        ("'2021-01-31 11:41:29'::timestamp", "2021-01-31 11:41:29"),
        ("'2021-01-31 11:41:29.000005'::timestamp", "2021-01-31 11:41:29.000005"),
        ("'2021-01-31 11:41:29+08'::timestamptz AT TIME ZONE 'UTC'", "2021-01-31 03:41:29"),
        ("'2021-01-31'::date", "2021-01-31"),
        ("'25:00:01'::interval", "25:00:01"),
        ("'{\"案\": 1.50}'::json", '"{""案"": 1.50}"'),
        ("'\\xff25'::bytea", "\\xff25"),
        ("TRUE", "true"),
        ("'7d444840-9dc0-11d1-b245-5ffdce74fad2'::uuid", "7d444840-9dc0-11d1-b245-5ffdce74fad2"),
        ("'催记，\"承诺\"还款'", '"催记，""承诺""还款"'),
        ("ARRAY[1, 2]", '"{1,2}"'),
        ("1\\:\\:text", "1"),
    ],
)
def test_values_of_postgresql_come_out_as_it_holds_them(
    postgresql: Postgresql, tmp_path: Path, value: str, expected: str
) -> None:
    assert extracted(postgresql, f"SELECT {value} AS value", tmp_path)[0] == expected


def test_a_server_with_ways_of_its_own_writes_as_any_other(postgresql: Postgresql, tmp_path: Path) -> None:
    if not postgresql._fetch("SELECT 1 FROM pg_database WHERE datname = :name", name="odd"):
        postgresql.run("CREATE DATABASE odd ENCODING 'EUC_CN' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    for setting in ("datestyle = 'German'", "intervalstyle = 'iso_8601'", "bytea_output = 'escape'"):
        postgresql.run(f"ALTER DATABASE odd SET {setting}")
    select = (
        "SELECT '催记' AS a, date '2021-01-31' AS b, interval '25:00:01' AS c, CAST('\\xff' AS bytea) AS d, "
        "CAST(0.1 AS float8) AS e"
    )
    database = SourceDatabase(url=postgresql.url("odd"))
    database.extract(f"{select} WHERE :start < :end ; -- the end", WINDOW, tmp_path / "calls.csv")
    assert (tmp_path / "calls.csv").read_text(encoding="utf-8").splitlines()[1] == "催记,2021-01-31,25:00:01,\\xff,0.1"


def test_an_instant_with_a_zone_keeps_its_instant(postgresql: Postgresql, tmp_path: Path) -> None:
    (line,) = extracted(postgresql, "SELECT '2021-01-31 11:41:29+08'::timestamptz AS at", tmp_path)
    assert line in ("2021-01-31 03:41:29+00", "2021-01-31 11:41:29+08")


@pytest.mark.parametrize("rows", [0, 1, 2, 2_000, 2_001, 4_001])
def test_every_row_comes_once_and_in_order(server: Server, tmp_path: Path, rows: int) -> None:
    series = (
        "SELECT seq AS n FROM seq_0_to_5000 WHERE seq < {rows} AND :start < :end ORDER BY seq"
        if isinstance(server, OF_MARIADB)
        else "SELECT n FROM generate_series(0, {rows} - 1) n WHERE :start < :end ORDER BY n"
    )
    done = source(server).extract(series.format(rows=rows), WINDOW, tmp_path / "calls.csv")
    lines = (tmp_path / "calls.csv").read_text().splitlines()
    if isinstance(server, ByConnector):  # which leaves the order to the server
        lines[1:] = sorted(lines[1:], key=int)
    assert lines == ["n", *map(str, range(rows))]
    assert done.rows == rows


PEAK = """
import resource, sys
from pathlib import Path
from blocks.source import SourceDatabase
done = SourceDatabase(url=sys.stdin.read()).extract(sys.argv[1], {"start": "1", "end": "2"}, Path(sys.argv[2]))
print(done.rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_memory_does_not_grow_with_the_rows(server: Server, tmp_path: Path) -> None:
    sql = (
        "SELECT seq, repeat('x', 200) AS text FROM seq_1_to_{rows} WHERE :start < :end"
        if isinstance(server, OF_MARIADB)
        else "SELECT n, repeat('x', 200) AS text FROM generate_series(1, {rows}) n WHERE :start < :end"
    )
    peaks = []
    for rows in (20_000, 300_000):
        run = subprocess.run(
            [sys.executable, "-c", PEAK, sql.format(rows=rows), str(tmp_path / "calls.csv")],
            input=server.url("calls"), capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1],
        )  # fmt: skip
        extracted_rows, megabytes = map(int, run.stdout.split())
        assert extracted_rows == rows
        peaks.append(megabytes)
    assert peaks[1] - peaks[0] < 25  # the larger extract has 62 MB


def test_sql_that_would_write_is_refused_and_writes_nothing(server: Server, tmp_path: Path) -> None:
    server.run("DROP TABLE IF EXISTS written", "calls")
    server.run("CREATE TABLE written (id INT)", "calls")
    if isinstance(server, OF_MARIADB):
        server.run(
            "CREATE OR REPLACE FUNCTION write_it() RETURNS INT BEGIN INSERT INTO written VALUES (1); RETURN 1; END",
            "calls",
        )
        tries = ["SELECT write_it() AS id FROM dual WHERE :start < :end"]
    else:
        server.run(
            "CREATE OR REPLACE FUNCTION write_it() RETURNS int LANGUAGE plpgsql AS "
            "$$ BEGIN INSERT INTO written VALUES (1); RETURN 1; END $$",
            "calls",
        )
        tries = [
            "SELECT write_it() AS id WHERE :start < :end",
            "WITH made AS (INSERT INTO written VALUES (1) RETURNING id) SELECT id FROM made WHERE :start < :end",
        ]
    tries.append("INSERT INTO written SELECT 1 WHERE :start < :end")
    for sql in tries:
        with pytest.raises(PermanentError, match=r"(?i)read.only|data-modifying|syntax"):
            source(server).extract(sql, WINDOW, tmp_path / "calls.csv")
    assert extracted(server, "SELECT count(*) AS n FROM written", tmp_path) == ["0"]


def test_a_query_that_takes_too_long_is_ended_by_the_server(server: Server, tmp_path: Path) -> None:
    endless = "SELECT sleep(60) AS n FROM dual" if isinstance(server, OF_MARIADB) else "SELECT pg_sleep(60) AS n"
    hurried = source(server, statement_timeout_seconds=1)
    began = time.monotonic()
    with pytest.raises(TransientError) as told:
        hurried.extract(f"{endless} WHERE :start < :end", WINDOW, tmp_path / "calls.csv")
    assert time.monotonic() - began < 20
    assert PASSWORD not in str(told.value)
    assert list(tmp_path.iterdir()) == []


def failing(server: Server, what: str) -> tuple[SourceDatabase, str]:
    """A source and an SQL that fail in this way."""
    url, sql = server.url("calls"), "SELECT 1 AS n WHERE :start < :end"
    if isinstance(server, OF_MARIADB):
        sql = "SELECT 1 AS n FROM dual WHERE :start < :end"
    changes: dict[str, Callable[[], tuple[str, str]]] = {
        "a wrong password": lambda: (url.replace(PASSWORD, f"{PASSWORD}-not"), sql),
        "no such database": lambda: (server.url("nosuch"), sql),
        "no such table": lambda: (url, "SELECT * FROM nosuch WHERE :start < :end"),
        "no such column": lambda: (url, sql.replace("1 AS n", "nosuch AS n")),
        "wrong SQL": lambda: (url, sql.replace("AS n", "AS n,")),
        "no right to the table": lambda: (with_user(server), "SELECT * FROM kept WHERE :start < :end"),
        "nobody at the port": lambda: (url.replace(f":{server.port}/", ":9/"), sql),
    }
    address, query = changes[what]()
    return SourceDatabase(url=address), query


def with_user(server: Server) -> str:
    """The URL of a user who may log in and nothing else; there is a table that he may not read."""
    server.run("DROP TABLE IF EXISTS kept", "calls")
    server.run("CREATE TABLE kept (id INT)", "calls")
    if isinstance(server, OF_MARIADB):
        server.run(f"CREATE OR REPLACE USER reader@127.0.0.1 IDENTIFIED BY '{PASSWORD}'")
        server.run("CREATE TABLE IF NOT EXISTS open_table (id INT)", "calls")
        server.run("GRANT SELECT ON calls.open_table TO reader@127.0.0.1")
    else:
        server.run("DROP ROLE IF EXISTS reader")
        server.run(f"CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'")
    return server.url("calls").replace("//voxkeep:", "//reader:")


@pytest.mark.parametrize(
    ("what", "kind", "words"),
    [
        ("a wrong password", PermanentError, "(?i)access denied|authentication failed"),
        ("no such database", PermanentError, "nosuch"),
        ("no such table", PermanentError, "nosuch"),
        ("no such column", PermanentError, "nosuch"),
        ("wrong SQL", PermanentError, "(?i)syntax"),
        ("no right to the table", PermanentError, "(?i)denied"),
        ("nobody at the port", TransientError, "(?i)connect|refused"),
    ],
)
def test_what_fails_is_told_at_once_without_the_password(
    server: Server, tmp_path: Path, what: str, kind: type[VoxkeepError], words: str
) -> None:
    database, sql = failing(server, what)
    began = time.monotonic()
    with pytest.raises(kind, match=words) as told:
        database.extract(sql, WINDOW, tmp_path / "calls.csv")
    assert time.monotonic() - began < 15
    assert PASSWORD not in str(told.value)
    assert "\n" not in told.value.cause
    assert list(tmp_path.iterdir()) == []


def kill_the_others(server: Server) -> bool:
    """End every other session that runs a query; whether there was one."""
    if isinstance(server, OF_MARIADB):
        find = "SELECT id FROM information_schema.processlist WHERE info LIKE '%dawdle%' AND id <> connection_id()"
        end = "KILL {}"
    else:
        find = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'COPY%' AND pid <> pg_backend_pid()"
        end = "SELECT pg_terminate_backend({})"
    with create_engine(server.url("calls"), poolclass=NullPool).connect() as connection:
        found = list(connection.execute(text(find)).scalars())
        for one in found:
            connection.exec_driver_sql(end.format(one))
    return bool(found)


def test_a_connection_that_is_cut_half_way_may_work_later(server: Server, tmp_path: Path) -> None:
    dawdle = (
        "SELECT seq AS dawdle, sleep(seq / 20000) AS s FROM seq_1_to_100000 WHERE :start < :end"
        if isinstance(server, OF_MARIADB)
        else "SELECT n AS dawdle, pg_sleep(n / 20000.0)::text AS s FROM generate_series(1, 100000) n "
        "WHERE :start < :end"
    ).replace("::text", "\\:\\:text")
    errors: list[VoxkeepError] = []

    def extract() -> None:
        try:
            source(server).extract(dawdle, WINDOW, tmp_path / "calls.csv")
        except VoxkeepError as error:
            errors.append(error)

    thread = Thread(target=extract)
    thread.start()
    give_up = time.monotonic() + 30
    while not kill_the_others(server):
        assert time.monotonic() < give_up
    thread.join(timeout=60)
    (told,) = errors
    assert isinstance(told, TransientError), told
    assert PASSWORD not in str(told)
    assert list(tmp_path.iterdir()) == []
