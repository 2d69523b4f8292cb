r"""Extracting a table of calls from PostgreSQL and MariaDB, against psql's \copy and mariadb --quick.

Run by `make bench`. Each round extracts the same rows into a file with voxkeep and with the database's own program, in
turn; a table, then one line of JSON with the medians, the ratios (above 1 where voxkeep is faster) and the peak memory
of voxkeep's process for the rows and for five times as many. Starting a Python is left out, starting psql is not.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from deploy.servers import mariadb, postgresql

HERE = Path(__file__).resolve().parents[1]
FOLDER = HERE / ".bench" / "extract"
PASSWORD = "of-no-worth"  # noqa: S105  # of a server that lives for a minute
COLUMNS = """
    {n} AS id, concat('c', {n}) AS call_no, {start} AS started_at, mod({n}, 600) AS talk_seconds,
    concat(2000 + mod({n}, 100)) AS extension, concat('1', 3000000000 + {n}) AS caller, {null} AS callee,
    concat('0571', mod({n}, 10000)) AS display_number, CASE mod({n}, 3) WHEN 0 THEN '接通' ELSE '未接' END AS result,
    CAST(mod({n}, 1000) / 7.0 AS decimal(12, 2)) AS amount, concat('客户', mod({n}, 5000), '，承诺还款') AS note,
    concat('01/31/', 2000 + mod({n}, 100), '_', {n}, '_20210131114129.wav') AS recording
"""
POSTGRESQL = COLUMNS.format(
    n="n", start="timestamp '2021-01-31' + n * interval '1 second'", null="CASE WHEN mod(n, 5) > 0 THEN 'x' || n END"
)
MARIADB = COLUMNS.format(
    n="seq", start="timestamp('2021-01-31') + interval seq second", null="IF(mod(seq, 5) > 0, concat('x', seq), NULL)"
)
# The columns as they stand, as any template selects them.
SELECT = "SELECT * FROM cdr WHERE id <= {rows}"
WINDOW = " AND :start < :end"


def make_tables(one: postgresql.Postgresql, other: mariadb.Mariadb, rows: int) -> None:
    """The same rows in both databases."""
    one.create_database("calls")
    one.run("DROP TABLE IF EXISTS cdr", "calls")
    one.run(f"CREATE TABLE cdr AS SELECT {POSTGRESQL} FROM generate_series(1, {rows}) n", "calls")  # noqa: S608
    one.run("ALTER TABLE cdr ADD PRIMARY KEY (id)", "calls")
    other.create_database("calls")
    other.run("DROP TABLE IF EXISTS cdr", "calls")
    other.run(f"CREATE TABLE cdr (PRIMARY KEY (id)) AS SELECT {MARIADB} FROM seq_1_to_{rows}", "calls")  # noqa: S608


def extract_once(url: str, rows: int) -> None:
    """Extract, and print the seconds and the peak memory in MB: what this file does when it is run anew."""
    import resource  # noqa: PLC0415  # only in the process that is measured

    from blocks.source import SourceDatabase  # noqa: PLC0415

    source = SourceDatabase(url=url)
    source.extract(SELECT.format(rows=1) + WINDOW, {"start": "1", "end": "2"}, FOLDER / "voxkeep.csv")  # imports
    began = time.perf_counter()
    done = source.extract(SELECT.format(rows=rows) + WINDOW, {"start": "1", "end": "2"}, FOLDER / "voxkeep.csv")
    spent = time.perf_counter() - began
    assert done.rows == rows, done
    print(json.dumps([spent, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))


def voxkeep(url: str, rows: int) -> tuple[float, float]:
    """Seconds and peak memory in MB of an extract in a process of its own; the URL is no argument."""
    command = [sys.executable, __file__, "--once", "--rows", str(rows)]
    run = subprocess.run(command, input=url, stdout=subprocess.PIPE, text=True, check=True)
    seconds, megabytes = json.loads(run.stdout.splitlines()[-1])
    return seconds, megabytes


def psql(server: postgresql.Postgresql, rows: int) -> float:
    r"""Seconds of \copy into a CSV file."""
    copy = rf"\copy ({SELECT.format(rows=rows)}) to '{FOLDER / 'psql.csv'}' with (format csv, header)"
    command = ["psql", "--no-psqlrc", "--quiet", "-h", "127.0.0.1", "-p", str(server.port), "-U", postgresql.USER]
    began = time.perf_counter()
    subprocess.run([*command, "-d", "calls", "-c", copy], env=os.environ | {"PGPASSWORD": PASSWORD}, check=True)
    return time.perf_counter() - began


def mariadb_quick(server: mariadb.Mariadb, rows: int) -> float:
    """Seconds of the program `mariadb` writing its tab-separated rows into a file."""
    command = ["mariadb", "--no-defaults", "--quick", "--batch", "-h", "127.0.0.1", "-P", str(server.port)]
    command += ["-u", mariadb.USER, "--default-character-set=utf8mb4", "-e", SELECT.format(rows=rows), "calls"]
    began = time.perf_counter()
    with (FOLDER / "mariadb.tsv").open("wb") as out:
        subprocess.run(command, env=os.environ | {"MYSQL_PWD": PASSWORD}, stdout=out, check=True)
    return time.perf_counter() - began


def show(times: dict[str, list[float]], memory: dict[str, tuple[float, float]], rows: int) -> None:
    """The table and the line of JSON."""
    medians = {way: statistics.median(spent) for way, spent in times.items()}
    print(f"\n{rows:,} rows of 12 columns, medians of {len(times['psql'])} rounds")
    for way, spent in medians.items():
        print(f"  {way:32}{spent:8.2f} s{rows / spent:12,.0f} rows/s")
    figures = {f"{way.replace(' ', '_')}_seconds": spent for way, spent in medians.items()}
    figures["postgresql_ratio"] = medians["psql"] / medians["voxkeep postgresql"]
    figures["mariadb_ratio"] = medians["mariadb --quick"] / medians["voxkeep mariadb"]
    for name in ("postgresql", "mariadb"):
        few, many = memory[name]
        figures |= {f"{name}_memory_mb": few, f"{name}_memory_5x_mb": many}
        print(f"  {name + ' (at least 0.8)':32}{figures[f'{name}_ratio']:8.2f}")
        print(f"  {name + ' memory, 1x and 5x':32}{few:8.0f} MB{many:8.0f} MB")
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


def main() -> None:
    """Measure in turn, and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.once:
        extract_once(sys.stdin.read(), options.rows)
        return
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    one = postgresql.server(FOLDER / "postgresql", PASSWORD)
    other = mariadb.server(FOLDER / "mariadb", PASSWORD)
    urls = {"postgresql": one.url("calls"), "mariadb": other.url("calls").replace("pymysql", "mysqlconnector")}
    times: dict[str, list[float]] = {
        "voxkeep postgresql": [], "psql": [], "voxkeep mariadb": [], "mariadb --quick": []
    }  # fmt: skip
    try:
        one.start()
        other.start()
        make_tables(one, other, 5 * options.rows)
        memory = {}
        for place in range(options.rounds):
            times["voxkeep postgresql"].append(voxkeep(urls["postgresql"], options.rows)[0])
            times["psql"].append(psql(one, options.rows))
            times["voxkeep mariadb"].append(voxkeep(urls["mariadb"], options.rows)[0])
            times["mariadb --quick"].append(mariadb_quick(other, options.rows))
            told = ", ".join(f"{way} {spent[-1]:.2f} s" for way, spent in times.items())
            print(f"round {place + 1}: {told}", flush=True)
        for name, url in urls.items():
            memory[name] = (voxkeep(url, options.rows)[1], voxkeep(url, 5 * options.rows)[1])
        show(times, memory, options.rows)
    finally:
        one.stop()
        other.stop()
        shutil.rmtree(FOLDER, ignore_errors=True)


if __name__ == "__main__":
    main()
