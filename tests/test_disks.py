"""The ledger of disks: what is on its way, what is missing, what a slip says."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from blocks.disk_label import LABEL, find_disk, label_disk, label_of, require_disk, serial_of
from blocks.errors import AbsentDiskError, PermanentError
from reconcile import disks
from reconcile.errors import RuleError
from reconcile.frames import DISKS

NOON = datetime(2021, 1, 31, 4, tzinfo=UTC)
IDS = [f"{number:064x}"[::-1] for number in (1, 2, 3)]


def row(disk: str, departed: datetime | None = None, arrived: datetime | None = None, *ids: str) -> dict[str, Any]:
    return {
        "business": "shop", "site": "one", "day": (departed or NOON).date(), "disk_id": disk * 32,
        "label": f"盘 {disk}",
        "serial": "WD-1", "prepared_at": NOON, "departed_at": departed, "expected": [one[:16] for one in ids],
        "arrived_at": arrived,
    }  # fmt: skip


def ledger(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=DISKS.schema)


def test_each_disk_is_where_its_newest_row_says() -> None:
    known = ledger(
        row("a"), row("a", NOON, NOON + timedelta(days=2)), row("a", NOON + timedelta(days=30)),
        row("b"), row("b", NOON),
        row("c"), row("c", NOON, NOON + timedelta(days=2)),
        row("d"),
    )  # fmt: skip
    found = disks.newest(known, 7, NOON + timedelta(days=31))
    assert dict(found.select("label", "state").iter_rows()) == {
        "盘 a": "on_its_way", "盘 b": "missing", "盘 c": "arrived", "盘 d": "at_site",
    }  # fmt: skip


@pytest.mark.parametrize(("days", "state"), [(7, "on_its_way"), (7.001, "missing")])
def test_a_disk_is_missing_when_its_time_is_over(days: float, state: str) -> None:
    found = disks.newest(ledger(row("a", NOON)), 7, NOON + timedelta(days=days))
    assert found["state"].to_list() == [state]


def test_a_departure_tells_of_what_no_earlier_one_has_told() -> None:
    known = ledger(row("a"), row("a", NOON, None, *IDS[:2]))
    assert disks.not_expected_before(IDS, known) == [IDS[2][:16]]
    assert disks.vanished(known, IDS[1:]) == [IDS[0][:16]]
    assert disks.vanished(known, IDS) == []


def test_the_same_row_entered_twice_is_one() -> None:
    known = disks.with_row(ledger(row("a")), row("a", NOON))
    again = disks.with_row(known, row("a", NOON, NOON))
    assert disks.with_row(again, row("a")).equals(again)
    assert again["arrived_at"].to_list() == [None, NOON]


def test_a_slip_says_the_departure_and_survives_line_breaks() -> None:
    departed = row("a", NOON + timedelta(microseconds=1), None, *IDS)
    slip = disks.write_slip(departed)
    assert disks.read_slip(f"{slip[:30]}\n  {slip[30:]}\n") == departed
    assert len(disks.write_slip(row("a", NOON, None, *(f"{n * 7919:064x}"[::-1] for n in range(31))))) < 1000


@pytest.mark.parametrize("cut", [slice(0, -5), slice(0, 20), slice(40, None)])
def test_a_slip_of_which_a_part_is_missing_is_refused(cut: slice) -> None:
    slip = disks.write_slip(row("a", NOON, None, *IDS))
    with pytest.raises(RuleError, match="a part of it is missing"):
        disks.read_slip(slip[cut])


def test_a_disk_keeps_its_label_and_takes_no_other(tmp_path: Path) -> None:
    made = label_disk(tmp_path / "restic", "shop", "one", "A1")
    assert label_disk(tmp_path / "restic", "shop", "one", "A1") == made == label_of(tmp_path / "restic")
    assert made.serial == (serial_of(tmp_path) or made.disk_id)
    with pytest.raises(PermanentError, match="it is the disk A1 of shop/one already"):
        label_disk(tmp_path / "restic", "shop", "two", "A1")


def test_a_disk_is_found_where_it_is_mounted(tmp_path: Path) -> None:
    made = label_disk(tmp_path / "restic", "shop", "one", "A1")
    assert find_disk(tmp_path) == find_disk(tmp_path / "restic") == (tmp_path / "restic", made)
    label_disk(tmp_path / "other", "shop", "two", "A2")
    with pytest.raises(PermanentError, match="2 labels"):
        find_disk(tmp_path)


def test_a_folder_without_a_label_is_no_disk(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="there is no label"):
        find_disk(tmp_path)
    with pytest.raises(AbsentDiskError, match="the disk is not mounted"):
        require_disk(tmp_path / "nowhere", "shop", "one")
    with pytest.raises(PermanentError, match="the folder above it is not there"):
        label_disk(tmp_path / "nowhere" / "restic", "shop", "one", "A1")


def test_a_label_that_was_tampered_with_is_refused(tmp_path: Path) -> None:
    label_disk(tmp_path / "restic", "shop", "one", "A1")
    (tmp_path / "restic" / LABEL).write_text('{"disk_id": 5}')
    with pytest.raises(PermanentError, match="it is no label of voxkeep"):
        find_disk(tmp_path)


def test_dates_of_a_slip_are_dates() -> None:
    assert disks.read_slip(disks.write_slip(row("a", NOON)))["day"] == date(2021, 1, 31)
