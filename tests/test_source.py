"""An extract is exactly what the SQL yields, and the source is only read."""

import csv
import hashlib
import json
import signal
import socket
import sqlite3
import subprocess
import sys
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import duckdb
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.datapackage import PACKAGE_SCHEMA, Resource, read_datapackage, write_datapackage
from blocks.errors import PermanentError, SettingsError, TransientError
from blocks.extract import Extract, _text
from blocks.source import SourceDatabase

WINDOW: dict[str, object] = {"start": "2021-01-31 00:00:00", "end": "2021-02-01 00:00:00"}
SQL = "SELECT * FROM cdr WHERE started >= :start AND started < :end ORDER BY id"


def database(file: Path, *rows: tuple[object, ...]) -> SourceDatabase:
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE cdr (id INTEGER PRIMARY KEY, started TEXT, number, path)")
        connection.executemany("INSERT INTO cdr VALUES (?, ?, ?, ?)", rows)
    connection.close()
    return SourceDatabase(url=f"sqlite:///{file}")


@pytest.fixture
def source(tmp_path: Path) -> SourceDatabase:
    return database(
        tmp_path / "calls.db",
        (1, "2021-01-31 11:41:29", "015372388463", None),
        (2, "2021-01-31 23:59:59", "", 'a "quoted", name\r\nin two lines'),
        (3, "2021-02-01 00:00:00", "outside", "of the window"),
    )


def test_null_is_an_empty_field_and_the_empty_string_is_quoted(source: SourceDatabase, tmp_path: Path) -> None:
    target = tmp_path / "cdr.csv"
    done = source.extract(SQL, WINDOW, target)
    content = (
        b"id,started,number,path\r\n"
        b"1,2021-01-31 11:41:29,015372388463,\r\n"
        b'2,2021-01-31 23:59:59,"","a ""quoted"", name\r\nin two lines"\r\n'
    )
    assert target.read_bytes() == content
    columns = {"id": "integer", "started": "string", "number": "string", "path": "string"}
    assert done == Extract(2, len(content), hashlib.sha256(content).hexdigest(), columns)


def test_other_tools_read_the_extract(source: SourceDatabase, tmp_path: Path) -> None:
    target = tmp_path / "cdr.csv"
    source.extract(SQL, WINDOW, target)
    with target.open(newline="", encoding="utf-8") as file:
        assert len(list(csv.reader(file))) == 3
    assert duckdb.read_csv(str(target), all_varchar=True).fetchall()[0][2] == "015372388463"
    read = pl.read_csv(target, infer_schema=False)
    assert read["path"].to_list() == [None, 'a "quoted", name\r\nin two lines']
    assert read["number"].to_list() == ["015372388463", ""]


def test_a_window_without_rows_gives_a_header(source: SourceDatabase, tmp_path: Path) -> None:
    done = source.extract(SQL, {"start": "1999", "end": "1999"}, tmp_path / "cdr.csv")
    assert done.rows == 0
    assert (tmp_path / "cdr.csv").read_bytes() == b"id,started,number,path\r\n"


def test_the_same_extract_has_the_same_bytes(source: SourceDatabase, tmp_path: Path) -> None:
    assert source.extract(SQL, WINDOW, tmp_path / "1.csv") == source.extract(SQL, WINDOW, tmp_path / "2.csv")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["1.csv", "2.csv", "calls.db"]


def test_instants_as_parameters_are_compared_as_sqlite_writes_them(source: SourceDatabase, tmp_path: Path) -> None:
    bounds: dict[str, object] = {"start": datetime(2021, 1, 31), "end": datetime(2021, 2, 1)}  # noqa: DTZ001 - a source's clock
    assert source.extract(SQL, bounds, tmp_path / "cdr.csv").rows == 2


@given(
    st.lists(
        st.tuples(
            st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0")),
            st.none() | st.integers(-(2**63), 2**63 - 1) | st.text("0123456789.eE", max_size=8),
            st.none() | st.floats(allow_nan=False, allow_infinity=False),
        ),
        max_size=30,
    )
)
def test_any_values_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str | None, object, float | None]]
) -> None:
    folder = tmp_path_factory.mktemp("source")
    connection = sqlite3.connect(folder / "any.db")
    connection.execute("CREATE TABLE any (a, b, c)")
    connection.executemany("INSERT INTO any VALUES (?, ?, ?)", rows)
    connection.commit()
    connection.close()
    sql = "SELECT a, b, c, 1 AS d FROM any WHERE :start <> :end ORDER BY rowid"
    SourceDatabase(url=f"sqlite:///{folder}/any.db").extract(sql, {"start": 1, "end": 2}, folder / "any.csv")
    read = pl.read_csv(folder / "any.csv", infer_schema=False)
    assert read["a"].to_list() == [a for a, _, _ in rows]
    assert read["b"].to_list() == [None if b is None else str(b) for _, b, _ in rows]
    assert [None if c is None else float(c) for c in read["c"]] == [c for _, _, c in rows]


def test_bytes_and_text_that_is_not_utf8_are_escaped_without_loss(tmp_path: Path) -> None:
    source = database(tmp_path / "calls.db", (1, "2021-01-31 11:41:29", b"100% \xff", "plain"))
    with sqlite3.connect(tmp_path / "calls.db") as connection:
        connection.execute("UPDATE cdr SET path = CAST(x'746574E9' AS TEXT)")
    connection.close()
    source.extract(SQL, WINDOW, tmp_path / "cdr.csv")
    assert (tmp_path / "cdr.csv").read_bytes().splitlines()[1] == b"1,2021-01-31 11:41:29,100%25 %FF,tet%E9"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Decimal("1E+2"), "100"),
        (Decimal("0.10"), "0.10"),
        (Decimal("12345678901234567890.123456789"), "12345678901234567890.123456789"),
        (2**64, "18446744073709551616"),
        (True, "true"),
        (datetime(2021, 1, 31, 11, 41, 29, 5), "2021-01-31 11:41:29.000005"),  # noqa: DTZ001 - a source's clock
        (timedelta(hours=25, seconds=1), "25:00:01"),
        (-timedelta(minutes=1, microseconds=500_000), "-00:01:00.500000"),
        (b"\xff%", "%FF%25"),
        ({"case": "催记"}, '{"case": "催记"}'),
    ],
)
def test_what_other_databases_give_is_text_exactly(value: object, expected: str) -> None:
    assert _text(value) == expected


@pytest.mark.parametrize(
    ("sql", "parameters", "named"),
    [
        ("SELECT 1 AS one WHERE 1 > :start", WINDOW, ":end"),
        ("SELECT 1 AS one WHERE 1 > :end", WINDOW, ":start"),
        ("SELECT 1 AS one WHERE :start < :end AND 1 = :team", WINDOW, ":team"),
        ("SELECT 1 AS one WHERE :start < :end", {"start": 1}, ":end"),
        ("SELECT 1 AS one, 2 AS one WHERE :start < :end", WINDOW, "two columns one"),
    ],
)
def test_sql_that_cannot_be_bound_names_what_is_wrong(
    source: SourceDatabase, tmp_path: Path, sql: str, parameters: dict[str, object], named: str
) -> None:
    with pytest.raises(SettingsError, match=named):
        source.extract(sql, parameters, tmp_path / "cdr.csv")
    assert not (tmp_path / "cdr.csv").exists()


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM cdr WHERE started >= :start AND started < :end",
        "DELETE FROM cdr WHERE started >= :start AND started < :end RETURNING id",
        "SELECT id FROM cdr WHERE started >= :start AND started < :end; DROP TABLE cdr",
        "SELECT nosuch FROM cdr WHERE started >= :start AND started < :end",
    ],
)
def test_sql_that_writes_or_fails_changes_nothing(source: SourceDatabase, tmp_path: Path, sql: str) -> None:
    before = (tmp_path / "calls.db").read_bytes()
    with pytest.raises(PermanentError):
        source.extract(sql, WINDOW, tmp_path / "cdr.csv")
    assert (tmp_path / "calls.db").read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["calls.db"]


def test_a_database_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match=r"nosuch\.db"):
        SourceDatabase(url=f"sqlite:///{tmp_path}/nosuch.db").extract(SQL, WINDOW, tmp_path / "cdr.csv")
    assert list(tmp_path.iterdir()) == []


def test_a_locked_database_may_answer_later(source: SourceDatabase, tmp_path: Path) -> None:
    holder = sqlite3.connect(tmp_path / "calls.db")
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(TransientError, match="locked"):
        source.extract(SQL, WINDOW, tmp_path / "cdr.csv")
    holder.close()


def test_an_extract_that_takes_too_long_is_ended(source: SourceDatabase, tmp_path: Path) -> None:
    endless = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) AS i FROM n WHERE :start < :end"
    )
    hurried = source.model_copy(update={"statement_timeout_seconds": 0.2})
    with pytest.raises(TransientError, match="interrupted"):
        hurried.extract(endless, WINDOW, tmp_path / "cdr.csv")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+nosuch://reader:s3cret@127.0.0.1/calls",
        "oracle+nosuch://reader:s3cret@127.0.0.1/calls",
        "nonsense s3cret",
        "postgresql://reader:s3cret@host:port/calls",
    ],
)
def test_a_useless_url_is_told_without_its_password(tmp_path: Path, url: str) -> None:
    source = SourceDatabase(url=url)
    with pytest.raises(SettingsError) as error:
        source.extract(SQL, WINDOW, tmp_path / "cdr.csv")
    assert "s3cret" not in f"{error.value}{source!r}{source}"


def test_the_password_in_a_drivers_words_is_hidden() -> None:
    source = SourceDatabase(url="postgresql+psycopg://reader:s3%40cret@db.example/calls?sslpassword=other1")
    told = source._told(ConnectionError('cannot log in with "s3@cret" or s3%40cret or other1'))
    assert isinstance(told, TransientError)
    assert "cret" not in str(told)
    assert "other1" not in str(told)
    assert "db.example/calls" in str(told)


def test_an_unreachable_database_is_told_in_seconds(tmp_path: Path) -> None:
    pymysql = pytest.importorskip("pymysql")
    assert pymysql
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(TransientError):
        SourceDatabase(url=f"mysql+pymysql://reader:s3cret@127.0.0.1:{port}/calls").extract(
            SQL, WINDOW, tmp_path / "cdr.csv"
        )


TWO_SIZES = """
import resource, sys
from pathlib import Path
from blocks.source import SourceDatabase
source = SourceDatabase(url=sys.argv[1])
for rows in (20_000, 1_000_000):
    sql = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})"
    sql += " SELECT i, printf('%0100d', i) AS text FROM n WHERE :start < :end"
    assert source.extract(sql, {"start": 1, "end": 2}, Path(sys.argv[2])).rows == rows
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_the_rows(source: SourceDatabase, tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", TWO_SIZES, source.url.get_secret_value(), str(tmp_path / "big.csv")]
    run = subprocess.run(arguments, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
    small, big = map(int, run.stdout.split())
    assert big - small < 60_000  # KiB; the extract has 113 MB


EXTRACTOR = """
import sys
from pathlib import Path
from blocks.source import SourceDatabase
print("ready", flush=True)
sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n WHERE :start < :end"
SourceDatabase(url=sys.argv[1]).extract(sql, {"start": 1, "end": 2}, Path(sys.argv[2]))
"""


def test_an_extractor_that_is_killed_leaves_the_old_extract(source: SourceDatabase, tmp_path: Path) -> None:
    target, part = tmp_path / "cdr.csv", tmp_path / ".cdr.csv.part"
    done = source.extract(SQL, WINDOW, target)
    arguments = [sys.executable, "-c", EXTRACTOR, source.url.get_secret_value(), str(target)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1]) as extractor:
        assert extractor.stdout
        assert extractor.stdout.readline() == b"ready\n"  # or the looking would take the time that it needs to start
        while not (part.exists() and part.stat().st_size):
            assert extractor.poll() is None
        extractor.send_signal(signal.SIGKILL)
    assert hashlib.sha256(target.read_bytes()).hexdigest() == done.sha256
    assert source.extract(SQL, WINDOW, target) == done
    assert not part.exists()


def test_a_datapackage_says_what_its_extracts_hold(source: SourceDatabase, tmp_path: Path) -> None:
    done = source.extract(SQL, WINDOW, tmp_path / "calls" / "cdr.csv")
    resource = Resource("calls/cdr.csv", "calls", done, "2021-01-31 00:00:00", "2021-02-01 00:00:00", SQL)
    file = write_datapackage(tmp_path, [resource])
    content = file.read_bytes()
    assert read_datapackage(file).rows() == [("calls/cdr.csv", 2, done.bytes, done.sha256)]
    described = json.loads(content)["resources"][0]
    assert described["hash"] == f"sha256:{done.sha256}"
    assert described["sqlHash"] == f"sha256:{hashlib.sha256(SQL.encode()).hexdigest()}"
    assert described["window"] == {"start": "2021-01-31 00:00:00", "end": "2021-02-01 00:00:00"}
    assert described["schema"]["fields"][0] == {"name": "id", "type": "integer"}
    write_datapackage(tmp_path, [resource])
    assert file.read_bytes() == content


def test_where_there_is_no_datapackage_there_is_nothing_to_compare(tmp_path: Path) -> None:
    assert read_datapackage(tmp_path / "datapackage.json").equals(PACKAGE_SCHEMA.to_frame())


def test_what_a_foreign_datapackage_does_not_say_is_null(tmp_path: Path) -> None:
    (tmp_path / "datapackage.json").write_text('{"resources": [{"path": "a.csv"}]}')
    assert read_datapackage(tmp_path / "datapackage.json").rows() == [("a.csv", None, None, None)]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"resources": 1}', b'{"resources": [1]}', b"\xff"])
def test_a_damaged_datapackage_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "datapackage.json").write_bytes(content)
    with pytest.raises(SettingsError, match=r"datapackage\.json"):
        read_datapackage(tmp_path / "datapackage.json")
