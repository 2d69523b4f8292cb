"""The catalog keeps partitions whole, whoever writes and whatever dies."""

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import duckdb
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.catalog import Catalog
from blocks.errors import PermanentError, SettingsError

DAY = date(2021, 1, 31)
SCHEMA = pl.Schema([("business", pl.String()), ("site", pl.String()), ("day", pl.Date()), ("call_id", pl.String())])


def rows(*call_ids: str, site: str = "cq", day: date = DAY) -> pl.DataFrame:
    return pl.DataFrame([("meituan", site, day, call_id) for call_id in call_ids], schema=SCHEMA, orient="row")


@pytest.fixture(params=["folder", "file url", "memory"])
def catalog(request: pytest.FixtureRequest, tmp_path: Path) -> Catalog:
    urls = {
        "folder": str(tmp_path / "our catalog"),
        "file url": f"file://{tmp_path}/catalog",
        "memory": f"memory://{tmp_path}",
    }
    return Catalog(url=urls[request.param])


def test_what_was_written_is_read_back_in_order_of_day_and_site(catalog: Catalog) -> None:
    later = date(2021, 2, 1)
    catalog.write("calls", "meituan", "cq", later, rows("3", day=later))
    catalog.write("calls", "meituan", "wh", DAY, rows("2", site="wh"))
    catalog.write("calls", "meituan", "cq", DAY, rows("1"))
    catalog.write("calls", "other", "cq", DAY, rows("9"))
    found = catalog.read("calls", "meituan", None, None, SCHEMA)
    assert found["call_id"].to_list() == ["1", "2", "3"]
    assert found.schema == SCHEMA
    assert catalog.read("calls", "meituan", "wh", [DAY, later], SCHEMA)["call_id"].to_list() == ["2"]
    assert catalog.days("calls", "meituan", "cq") == [DAY, later]
    assert catalog.days("calls", "meituan", "wh") == [DAY]
    assert catalog.sites("calls", "meituan") == ["cq", "wh"]
    assert catalog.businesses() == ["meituan", "other"]


def test_an_empty_catalog_answers_with_nothing_in_the_right_columns(catalog: Catalog) -> None:
    assert catalog.read("calls", "meituan", "cq", [DAY], SCHEMA).equals(SCHEMA.to_frame())
    assert catalog.days("calls", "meituan", None) == []
    assert catalog.sites("calls", "meituan") == []
    assert catalog.businesses() == []


def test_a_mark_is_taken_away_unless_it_was_set_anew_and_nothing_else_ever_is(catalog: Catalog) -> None:
    for site in ("cq", "wh"):
        catalog.write("untraced", "meituan", site, DAY, rows("1", site=site))
    first, second = catalog.partitions("untraced", "meituan")
    catalog.write("untraced", "meituan", "cq", DAY, rows("2"))
    for mark in (first, second, second):
        catalog.unmark("untraced", mark)
    assert catalog.read("untraced", "meituan", None, None, SCHEMA)["call_id"].to_list() == ["2"]
    catalog.write("calls", "meituan", "cq", DAY, rows("1"))
    (partition,) = catalog.partitions("calls", "meituan")
    with pytest.raises(PermanentError, match="more than marks"):
        catalog.unmark("calls", partition)
    assert catalog.read("calls", "meituan", "cq", [DAY], SCHEMA).height == 1


def test_a_partition_has_another_version_whenever_it_was_replaced_and_only_then(catalog: Catalog) -> None:
    later = date(2021, 2, 1)
    catalog.write("calls", "meituan", "wh", DAY, rows("2", site="wh"))
    catalog.write("calls", "meituan", "cq", DAY, rows("1"))
    catalog.write("calls", "meituan", "cq", later, rows("3", day=later))
    catalog.write("calls", "meituan-two", "cq", DAY, rows("9"))
    before = catalog.partitions("calls", "meituan")
    assert [(one.business, one.day, one.site) for one in before] == [
        ("meituan", DAY, "cq"), ("meituan", DAY, "wh"), ("meituan", later, "cq")
    ]  # fmt: skip
    catalog.write("calls", "meituan", "wh", DAY, rows("2", site="wh"))  # nothing new
    catalog.write("calls", "meituan", "cq", later, rows("4", day=later))  # as many bytes as before
    after = catalog.partitions("calls", "meituan")
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, True, False]
    assert [one.path for one in before] == [one.path for one in after]
    assert catalog.open(after[1:], SCHEMA).collect()["call_id"].to_list() == ["2", "4"]
    assert catalog.open([], SCHEMA).collect().equals(SCHEMA.to_frame())
    assert catalog.partitions("calls", "meituan", first=later) == after[2:]
    assert catalog.partitions("calls", "meituan", last=DAY) == after[:2]
    assert catalog.partitions("calls", "nobody") == []


def test_writing_replaces_the_partition_whole(catalog: Catalog) -> None:
    assert catalog.write("calls", "meituan", "cq", DAY, rows("1", "2"))
    assert catalog.write("calls", "meituan", "cq", DAY, rows("3"))
    assert catalog.read("calls", "meituan", "cq", None, SCHEMA)["call_id"].to_list() == ["3"]


def test_writing_the_same_rows_again_changes_nothing(catalog: Catalog) -> None:
    assert catalog.write("calls", "meituan", "cq", DAY, rows("1", "2"))
    assert not catalog.write("calls", "meituan", "cq", DAY, rows("1", "2"))


def test_the_file_of_an_unchanged_partition_is_not_touched(tmp_path: Path) -> None:
    catalog = Catalog(url=str(tmp_path))
    catalog.write("calls", "meituan", "cq", DAY, rows("1"))
    file = tmp_path / "calls/business=meituan/day=2021-01-31/cq.parquet"
    before = file.stat()
    catalog.write("calls", "meituan", "cq", DAY, rows("1"))
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert [found.name for found in file.parent.iterdir()] == ["cq.parquet"]


def test_a_partition_without_rows_is_a_partition(catalog: Catalog) -> None:
    assert catalog.write("calls", "meituan", "cq", DAY, rows())
    assert catalog.days("calls", "meituan", "cq") == [DAY]
    assert catalog.read("calls", "meituan", "cq", None, SCHEMA).is_empty()


def test_a_column_that_an_old_partition_does_not_have_is_null_and_one_too_many_is_left(
    catalog: Catalog,
) -> None:
    catalog.write("calls", "meituan", "cq", DAY, rows("1").with_columns(pl.lit(1).alias("forgotten")))
    schema = pl.Schema({**SCHEMA, "leg": pl.String()})
    assert catalog.read("calls", "meituan", "cq", None, schema).row(0) == ("meituan", "cq", DAY, "1", None)


def test_other_tools_read_the_hive_layout(tmp_path: Path) -> None:
    Catalog(url=str(tmp_path)).write("calls", "meituan", "cq", DAY, rows("1", "2"))
    found = duckdb.read_parquet(f"{tmp_path}/calls/**/*.parquet").aggregate("count(*), min(business), min(day)")
    assert found.fetchall() == [(2, "meituan", DAY)]


def test_a_damaged_object_is_named_in_the_error(tmp_path: Path) -> None:
    catalog = Catalog(url=str(tmp_path))
    catalog.write("calls", "meituan", "cq", DAY, rows("1"))
    file = tmp_path / "calls/business=meituan/day=2021-01-31/cq.parquet"
    file.write_bytes(b"not Parquet at all")
    with pytest.raises(PermanentError, match=r"cq\.parquet|meituan"):
        catalog.read("calls", "meituan", "cq", None, SCHEMA)


@pytest.mark.parametrize("name", ["", "..", "a/b", "../x", ".hidden"])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError):
        Catalog(url=str(tmp_path)).write("calls", name, "cq", DAY, rows("1"))
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_kind_of_url_is_a_mistake_in_the_settings() -> None:
    with pytest.raises(SettingsError, match="nosuch"):
        Catalog(url="nosuch://x").businesses()


def test_what_a_killed_writer_left_is_ignored_and_then_swept(tmp_path: Path) -> None:
    catalog = Catalog(url=str(tmp_path))
    catalog.write("calls", "meituan", "cq", DAY, rows("1"))
    folder = tmp_path / "calls/business=meituan/day=2021-01-31"
    (folder / ".cq.parquet.part").write_bytes(b"PAR1 half")
    assert catalog.read("calls", "meituan", None, None, SCHEMA)["call_id"].to_list() == ["1"]
    catalog.write("calls", "meituan", "cq", DAY, rows("2"))
    assert [found.name for found in folder.iterdir()] == ["cq.parquet"]
    assert catalog.read("calls", "meituan", None, None, SCHEMA)["call_id"].to_list() == ["2"]


def test_of_many_writers_at_once_one_wins_and_readers_see_only_whole_partitions(tmp_path: Path) -> None:
    catalog = Catalog(url=str(tmp_path))
    versions = [rows(*[f"{version}"] * 500) for version in range(8)]

    def write_and_read(version: int) -> None:
        for _ in range(10):
            catalog.write("calls", "meituan", "cq", DAY, versions[version])
            found = catalog.read("calls", "meituan", "cq", [DAY], SCHEMA)
            assert found.height == 500
            assert found["call_id"].n_unique() == 1

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(write_and_read, range(8)))
    assert len(list((tmp_path / "calls/business=meituan/day=2021-01-31").iterdir())) == 1


WRITER = """
import sys
from datetime import date
import polars as pl
from blocks.catalog import Catalog
catalog = Catalog(url=sys.argv[1])
frames = [pl.DataFrame({"call_id": [f"{version}"] * 300_000, "n": range(300_000)}) for version in range(2)]
catalog.write("calls", "meituan", "cq", date(2021, 1, 31), frames[0])
print("ready", flush=True)
while True:
    for frame in reversed(frames):
        catalog.write("calls", "meituan", "cq", date(2021, 1, 31), frame)
"""


def test_a_writer_that_is_killed_leaves_the_old_partition_or_the_new_one(tmp_path: Path) -> None:
    schema = pl.Schema([("call_id", pl.String()), ("n", pl.Int64())])
    catalog = Catalog(url=str(tmp_path))
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[1]
    ) as writer:
        assert writer.stdout
        assert writer.stdout.readline() == b"ready\n"
        # Killed while it writes: the file beside the partition is there and not empty.
        part = tmp_path / "calls/business=meituan/day=2021-01-31/.cq.parquet.part"
        while not (part.exists() and part.stat().st_size):
            assert writer.poll() is None
        writer.send_signal(signal.SIGKILL)
    found = catalog.read("calls", "meituan", "cq", None, schema)
    assert found.height == 300_000
    assert found["call_id"].n_unique() == 1
    assert catalog.write("calls", "meituan", "cq", DAY, pl.DataFrame({"call_id": ["x"], "n": [1]}, schema=schema))
    assert not part.exists()


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=5), max_size=20))
def test_any_rows_come_back_as_they_were(tmp_path_factory: pytest.TempPathFactory, call_ids: list[str]) -> None:
    catalog = Catalog(url=str(tmp_path_factory.mktemp("catalog")))
    catalog.write("calls", "meituan", "cq", DAY, rows(*call_ids))
    assert catalog.read("calls", "meituan", "cq", None, SCHEMA).equals(rows(*call_ids))
