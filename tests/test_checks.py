"""Which share of what is kept is due, whatever days were missed; and what a damage concerns."""

from datetime import UTC, date, datetime, timedelta
from random import Random

import polars as pl
import pytest

from reconcile.checks import check_row, days_of, held_by, reached, share_of, shares_due, still_damaged, with_check
from reconcile.frames import CHECKS, DAMAGED, SNAPSHOT_FILES

DAY = date(2021, 1, 31)
NOW = datetime(2021, 1, 31, tzinfo=UTC)


def done(day: date, share: int, shares: int) -> pl.DataFrame:
    return check_row(
        {
            "business": "b", "site": "s", "day": day, "kind": "packs", "share": share, "shares": shares,
            "verdict": "sound", "concerned": 0, "said": "", "seconds": 1.0, "checked_at": NOW,
        }
    )  # fmt: skip


def lived(days: list[date], shares: int) -> dict[date, list[int]]:
    """The shares that were done on each of these days, when checks ran on no others."""
    known, told = CHECKS.empty(), {}
    for day in days:
        told[day] = shares_due(known, day, shares)
        known = pl.concat([known, *(done(day, share, shares) for share in told[day])])
    return told


def test_the_first_day_does_its_own_share_and_a_rotation_does_all() -> None:
    told = lived([DAY + timedelta(days=number) for number in range(7)], 7)
    assert all(len(shares) == 1 for shares in told.values())
    assert sorted(share for shares in told.values() for share in shares) == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(("missed", "wanted"), [(0, 1), (1, 2), (3, 4), (6, 7), (7, 7), (40, 7)])
def test_the_shares_of_missed_days_are_done_by_the_next_run(missed: int, wanted: int) -> None:
    week = [DAY + timedelta(days=number) for number in range(7)]
    told = lived([*week, week[-1] + timedelta(days=missed + 1)], 7)
    assert len(list(told.values())[-1]) == wanted


@pytest.mark.parametrize("seed", range(20))
def test_whatever_days_are_missed_no_share_is_older_than_a_rotation_after_a_run(seed: int) -> None:
    random = Random(seed)  # noqa: S311  # repeatable, no secret
    shares = random.randint(1, 9)
    every = [DAY + timedelta(days=number) for number in range(60)]
    days = every[:1] + [day for day in every[1:] if random.random() < 0.6]
    last: dict[int, date] = {}
    for day, did in lived(days, shares).items():
        last |= dict.fromkeys(did, day)
        begun = (day - DAY).days + 1
        late = [share for share, seen in last.items() if (day - seen).days >= shares]
        assert late == [], f"seed {seed}"
        assert len(last) >= min(begun, shares), f"seed {seed}"


def test_another_length_of_the_rotation_begins_anew() -> None:
    known = pl.concat(
        [done(DAY - timedelta(days=back), share_of(DAY - timedelta(days=back), 7), 7) for back in range(7)]
    )
    assert shares_due(known, DAY + timedelta(days=3), 9) == [share_of(DAY + timedelta(days=3), 9)]


def test_every_business_day_belongs_to_one_share() -> None:
    days = [DAY + timedelta(days=number) for number in range(20)]
    parts = [days_of(days, [share], 6) for share in range(1, 7)]
    assert sorted(day for part in parts for day in part) == days


def test_a_check_of_the_same_day_is_told_anew() -> None:
    once = with_check(CHECKS.empty(), done(DAY, 3, 7))
    again = with_check(once, done(DAY, 3, 7).with_columns(verdict=pl.lit("damaged")))
    assert again["verdict"].to_list() == ["damaged"]


def test_a_recording_is_sound_only_with_all_its_pieces_and_one_without_bytes_has_none() -> None:
    files = {"path": ["whole", "doubtful", "lost", "empty", "other"], "size": [1, 2, 3, 0, 9], "mtime": [NOW] * 5}
    contents = pl.DataFrame({**files, "blobs": [["a", "b"], ["a", "c"], ["a", "d"], [], ["a"]]})
    sought = pl.DataFrame({**files, "size": [1, 2, 3, 0, 8], "recording_id": list("12345")})
    found = reached(sought, contents, pl.Series(["a", "b"]), pl.Series(["a", "b", "c"]))
    assert found.select("path", "is_sound").rows() == [("whole", True), ("doubtful", False), ("empty", True)]


def test_damage_stays_until_it_is_looked_at_again_and_keeps_its_time() -> None:
    row = {
        "business": "b", "site": "s", "day": DAY, "station": "published", "path": "p", "size": 1, "mtime": NOW,
        "reason": "gone", "found_at": NOW, "repository_year": None,
    }  # fmt: skip
    known = pl.DataFrame([{**row, "recording_id": name} for name in "12"], schema=DAMAGED.schema)
    later = NOW + timedelta(days=1)
    found = known.filter(pl.col("recording_id") == "2").with_columns(found_at=pl.lit(later, pl.Datetime("us", "UTC")))
    looked = pl.DataFrame({"recording_id": ["2"], "station": ["published"]})
    assert still_damaged(known, found, looked).rows() == known.rows()
    assert still_damaged(known, found.clear(), looked)["recording_id"].to_list() == ["1"]
    assert still_damaged(known.clear(), found, looked)["found_at"].to_list() == [later]


def test_a_recording_whose_snapshot_was_forgotten_is_still_its_years() -> None:
    keys = {"business": "b", "site": "s", "path": "p", "size": 1, "mtime": NOW}
    last_year = date(2020, 12, 31)
    rows = [
        ("kept", DAY, "a"),
        ("forgotten", DAY, "gone"),
        ("of another year", DAY, "b"),
        ("dropped", last_year, "gone"),
    ]
    files = pl.DataFrame(
        [{**keys, "recording_id": name, "day": day, "snapshot_id": held} for name, day, held in rows],
        schema=SNAPSHOT_FILES.schema,
    )
    snapshots = pl.DataFrame({"snapshot_id": ["a", "b"], "repository_year": [2021, 2022]})
    found = held_by(files, files.with_columns(sha256=pl.lit("x")), snapshots, 2021)
    assert found.select("recording_id", "sha256").rows() == [("kept", "x"), ("forgotten", "x")]
