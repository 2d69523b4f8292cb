"""When a backup may run and how fast it may send: what the timetable says of each instant."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from reconcile.hours import WEEK, Hours, Timetable, UploadLimit, permit

ZONE = "Asia/Shanghai"
NIGHTS = Timetable(
    backup_hours=[Hours(start="20:00", end="08:00"), Hours(days=["sat"], start="08:00", end="12:00")],
    upload_limits=[
        UploadLimit(days=["fri"], start="20:00", end="22:00", kib_per_second=500),
        UploadLimit(start="20:00", end="23:00", kib_per_second=2000),
    ],
)


def instant(day: str, clock: str, zone: str = ZONE) -> datetime:
    return datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


@pytest.mark.parametrize(
    ("clock", "may_run", "speed", "until"),
    [
        ("2021-01-28 19:59", False, None, "2021-01-28 20:00"),
        ("2021-01-28 20:00", True, 2000, "2021-01-28 23:00"),
        ("2021-01-28 23:00", True, None, "2021-01-29 08:00"),
        ("2021-01-29 07:59", True, None, "2021-01-29 08:00"),
        ("2021-01-29 08:00", False, None, "2021-01-29 20:00"),
        ("2021-01-29 21:00", True, 500, "2021-01-29 22:00"),
        ("2021-01-29 22:30", True, 2000, "2021-01-29 23:00"),
        ("2021-01-29 23:30", True, None, "2021-01-30 12:00"),  # one window ends on Saturday where the other begins
        ("2021-01-30 12:00", False, None, "2021-01-30 20:00"),
    ],
)
def test_each_hour_has_its_permit(clock: str, may_run: bool, speed: int | None, until: str) -> None:
    found = permit(NIGHTS, instant(*clock.split()), ZONE)
    assert (found.may_run, found.kib_per_second, found.until) == (may_run, speed, instant(*until.split()))


def test_without_a_timetable_a_backup_may_run_at_any_time_for_ever() -> None:
    found = permit(Timetable(), instant("2021-01-31", "12:00"), ZONE)
    assert (found.may_run, found.kib_per_second, found.until) == (True, None, None)


def test_hours_of_a_whole_week_never_end() -> None:
    always = Timetable(backup_hours=[Hours(start="00:00", end="00:00")])
    assert permit(always, instant("2021-01-31", "00:00"), ZONE).until is None


def test_a_night_with_a_change_of_the_clock_ends_by_the_clock_on_the_wall() -> None:
    night = Timetable(backup_hours=[Hours(start="20:00", end="08:00")])
    found = permit(night, instant("2021-03-27", "20:00", "Europe/Berlin"), "Europe/Berlin")
    assert found.until == instant("2021-03-28", "08:00", "Europe/Berlin")
    assert found.until - instant("2021-03-27", "20:00", "Europe/Berlin") == timedelta(hours=11)


clocks = st.integers(0, 24 * 60 - 1)
hours = st.builds(Hours, days=st.lists(st.sampled_from(WEEK), min_size=1, max_size=3), start=clocks, end=clocks)


@settings(max_examples=40)
@given(st.lists(hours, max_size=3), st.integers(0, 7 * 24 * 60))
def test_nothing_changes_until_it_is_told_to(found: list[Hours], minute: int) -> None:
    timetable = Timetable(backup_hours=found)
    now = instant("2021-01-25", "00:00") + timedelta(minutes=minute)
    first = permit(timetable, now, ZONE)
    end = first.until or now + timedelta(days=7)
    between = now + (end - now) / 2
    assert permit(timetable, between, ZONE) == first
    if first.until:
        assert permit(timetable, first.until, ZONE).may_run is not first.may_run


@pytest.mark.parametrize(("written", "read"), [(1200, "20:00"), ("8:05", "08:05"), (0, "00:00"), ("23:59", "23:59")])
def test_a_time_of_day_is_read_as_people_and_yaml_write_it(written: object, read: str) -> None:
    assert Hours.model_validate({"start": written, "end": "00:00"}).start == read


@pytest.mark.parametrize("written", [1440, -1, "24:00", "8", "noon", True, None, 8.5])
def test_what_is_no_time_of_day_is_refused(written: object) -> None:
    with pytest.raises(ValidationError, match="expected a time of day like 08:30"):
        Hours.model_validate({"start": written, "end": "00:00"})
