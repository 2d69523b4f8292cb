"""A backup in its hours and at its speed, on a real restic; the wall clock alone is the test's."""

import os
from datetime import datetime, timedelta
from typing import Any

import pytest
from shop import DAY, Shop, at

from blocks.errors import TransientError
from blocks.repository import Repository
from blocks.saved import load
from flows import timetable
from flows.backup import backup
from flows.ingest import ingest

MEGABYTES = 24
EVENING = {"backup_hours": [{"start": "20:00", "end": "08:00"}]}


class Clock:
    """A clock that goes on from whatever time it is set to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._real = timetable.now
        monkeypatch.setattr(timetable, "now", lambda: self._real() + self._ahead)
        self._ahead = timedelta()

    def set(self, clock: str, seconds: int = 0) -> None:
        """Make it this time of the day, less these seconds."""
        wanted: datetime = at(clock) - timedelta(seconds=seconds)
        self._ahead = wanted - self._real()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def busy(shop: Shop, **changes: Any) -> Shop:
    """A shop with a timetable, a call and a large recording."""
    shop.apply(**changes)
    shop.call("c1", "09:00:00")
    file = shop.recording("09:00:00")
    file.write_bytes(file.read_bytes()[:44] + os.urandom(MEGABYTES * 1_000_000))
    shop.settle(file, at("09:10:00"))
    return shop


def stored(shop: Shop) -> int:
    return sum(
        file.stat().st_size for file in (shop.repositories / str(DAY.year) / "data").rglob("*") if file.is_file()
    )


def test_a_backup_that_comes_to_the_end_of_its_hours_goes_on_in_the_next_and_is_no_failure(
    shop: Shop, clock: Clock
) -> None:
    slow = {"upload_limits": [{"start": "00:00", "end": "09:00", "kib_per_second": 1500}]}
    busy(shop, timetable=EVENING | slow)
    clock.set("08:00:00", seconds=5)
    stopped = backup("shop", "one", DAY)
    assert stopped["snapshot_id"] is None
    assert "from 2021-01-31 12:00:00+00:00 on" in stopped["goes_on"]  # 20:00 in Shanghai
    assert ingest("shop")["snapshots"] == []
    clock.set("20:00:00")
    assert backup("shop", "one", DAY)["snapshot_id"]
    assert stored(shop) < MEGABYTES * 1_000_000 + 500_000  # nothing was sent twice
    assert ingest("shop")["restored"] == 1


def test_a_backup_outside_of_its_hours_asks_neither_database_nor_disk(shop: Shop, clock: Clock) -> None:
    busy(shop, timetable=EVENING)
    shop.database.unlink()
    clock.set("12:00:00")
    assert backup("shop", "one", DAY)["snapshot_id"] is None
    assert load(Repository, "shop--one").snapshots(DAY.year).height == 0


def test_a_site_has_its_own_hours_where_it_has_some(shop: Shop, clock: Clock) -> None:
    sites = shop.content()["sites"]
    sites["one"]["timetable"] = {"backup_hours": [{"start": "11:00", "end": "13:00"}]}
    busy(shop, timetable=EVENING, sites=sites)
    clock.set("12:00:00")
    assert backup("shop", "one", DAY)["snapshot_id"]
    clock.set("21:00:00")
    assert backup("shop", "one", DAY)["snapshot_id"] is None


def test_a_day_that_is_overdue_makes_it_a_failure_not_to_have_the_time(shop: Shop, clock: Clock) -> None:
    busy(shop, timetable=EVENING, backup_due_hours=12)
    clock.set("11:00:00")
    assert backup("shop", "one", DAY - timedelta(days=1))["snapshot_id"] is None
    clock.set("12:00:00")
    with pytest.raises(TransientError, match=r"the backup of 2021-01-30 is overdue.*more hours"):
        backup("shop", "one", DAY - timedelta(days=1))


@pytest.mark.long
def test_where_the_limit_changes_restic_goes_on_with_the_other(shop: Shop, clock: Clock) -> None:
    slow = [{"start": "00:00", "end": "12:00", "kib_per_second": 3000}]
    busy(shop, timetable={"upload_limits": slow})
    clock.set("12:00:00", seconds=4)
    began = timetable.now()
    assert backup("shop", "one", DAY)["snapshot_id"]
    assert stored(shop) < MEGABYTES * 1_000_000 + 500_000
    assert load(Repository, "shop--one").snapshots(DAY.year).height == 1
    assert timetable.now() - began < timedelta(seconds=MEGABYTES * 1000 // 3000 + 60)
