"""What analysts read: months in one file, and the queries of docs/analysts.md, in DuckDB and in Polars."""

import re
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
from shop import DAY, Shop

from flows.reconciliation import reconcile
from flows.waive import waive
from reconcile.frames import FINDINGS, GATHERED, SUMMARY, TRACE, Frame

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "analysts.md").read_text(encoding="utf-8")
QUERIES = re.findall(r"^## (\d+)\. .*?```sql\n(.*?)```\n.*?```python\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE)


def gathered(shop: Shop, frame: Frame) -> pl.DataFrame:
    """The frame as it lies by month."""
    return pl.read_parquet(f"{shop.storage}/catalog/summaries/{frame.name}/**/*.parquet", hive_partitioning=False)


def two_weeks(shop: Shop) -> None:
    """Days in two months: a call of each kind, a loss, an orphan, one that arrives a day late."""
    for place, clock in enumerate(("09:00:00", "09:20:00", "10:00:00")):
        shop.call(f"c{place}", clock)
        shop.recording(clock)
    shop.call("late", "11:00:00")
    shop.call("never", "12:00:00")
    shop.recording("13:00:00", number="13900000000")
    shop.call("after", "09:00:00", day=DAY + timedelta(days=1))
    shop.recording("09:00:00", day=DAY + timedelta(days=1))
    shop.run()
    shop.recording("11:00:00")
    lost = shop.frame(TRACE).filter(pl.col("call_id") == "c0")["key"].item()
    (shop.storage / "bucket" / "shop-audio" / lost).unlink()
    shop.run(DAY + timedelta(days=1))


def plain(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The rows with durations as days and numbers as floats, which the two tools type differently."""

    def same(value: Any) -> Any:
        if isinstance(value, timedelta):
            return value.days
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else value

    return [tuple(map(same, row)) for row in rows]


def test_the_queries_say_the_same_in_duckdb_and_in_polars(shop: Shop) -> None:
    two_weeks(shop)
    catalog = str(shop.storage / "catalog")
    assert [number for number, _, _ in QUERIES] == [str(number) for number in range(1, 11)]
    answers: dict[str, list[tuple[Any, ...]]] = {}
    for number, sql, python in QUERIES:
        relation = duckdb.sql(sql.replace("/srv/voxkeep/catalog", catalog))
        held: dict[str, Any] = {"pl": pl, "CATALOG": catalog}
        exec(python, held)  # noqa: S102  # the page's own text
        assert relation.columns == held["answer"].columns, number
        answers[number] = plain(held["answer"].rows())
        assert plain(relation.fetchall()) == answers[number], number
    assert all(answers.values()), answers
    assert answers["1"] == [("one", "2021-01", 3.0, 5.0, 0.6), ("one", "2021-02", 1.0, 1.0, 1.0)]
    assert answers["2"] == [
        ("one", "on_site", "open", 1.0), ("one", "on_site", "resolved", 1.0), ("one", "published", "open", 1.0),
    ]  # fmt: skip
    assert [row[2] for row in answers["3"]] == ["01/31/2049_13900000000_20210131130000.wav3"]
    assert [row[1:3] for row in answers["6"]] == [(date(2021, 1, 25), 5.0), (date(2021, 2, 1), 1.0)]
    assert answers["9"] == [("one", DAY, "recording_missing", 1.0, 1.0)]


def test_months_hold_the_rows_of_their_days_once(shop: Shop) -> None:
    two_weeks(shop)
    for frame in GATHERED:
        by_day = shop.frame(frame).sort(pl.all())
        assert by_day.height, frame.name
        assert gathered(shop, frame).sort(pl.all()).equals(by_day), frame.name


def test_a_waiver_and_a_killed_writers_remains_are_no_second_row(shop: Shop) -> None:
    shop.call("never", "12:00:00")
    shop.run()
    finding = shop.frame(FINDINGS)["finding_id"].item()
    waive(shop.business, finding, "auditor", "disk burnt", date.today() + timedelta(days=9))  # noqa: DTZ011
    assert gathered(shop, FINDINGS)["status"].to_list() == ["waived"]
    assert gathered(shop, SUMMARY)["open_major"].sum() == 0
    file = next((shop.storage / "catalog" / "summaries").rglob("*.parquet"))
    file.with_name(f".{file.name}.part").write_bytes(file.read_bytes()[:100])
    before = {frame.name: gathered(shop, frame) for frame in (SUMMARY, FINDINGS)}
    reconcile(shop.business, day=DAY)
    assert all(gathered(shop, frame).equals(before[frame.name]) for frame in (SUMMARY, FINDINGS))
