"""The rules of what may go: floors, ceilings, holds; snapshots that others outlive; what was erased stays away."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import BUSINESS, SITE

from reconcile.erasure import erased_anywhere, erased_rows, without_erased, without_records
from reconcile.errors import RuleError
from reconcile.frames import GONE, HOLDS, SNAPSHOT_FILES, SNAPSHOTS
from reconcile.retention import (
    Retention,
    Spans,
    Thing,
    at_least,
    is_over,
    last_day,
    over_on,
    permit,
    verdict,
)
from reconcile.rules import NumberRules
from reconcile.snapshots import forgettable, holders
from reconcile.subjects import Subject, active_holds, mentions

DAY = date(2021, 1, 31)
NOW = datetime(2026, 3, 1, tzinfo=UTC)
SPANS = Spans("3y", "5y")
UNDER, BETWEEN, BEYOND = date(2024, 1, 31), date(2024, 2, 1), date(2026, 2, 1)

# Purpose, today, held, whether the law may beat the floor: what becomes of a day of January 2021.
TABLE = [
    ("retention", UNDER, False, False, "floor"),
    ("retention", UNDER, False, True, "floor"),
    ("retention", BETWEEN, False, False, "ceiling"),
    ("retention", BEYOND, False, False, "over"),
    ("retention", BEYOND, True, True, "hold"),
    ("erasure", UNDER, False, False, "floor"),
    ("erasure", UNDER, False, True, "erasure"),
    ("erasure", UNDER, True, True, "hold"),
    ("erasure", BETWEEN, False, False, "erasure"),
    ("erasure", BETWEEN, True, False, "hold"),
    ("erasure", BEYOND, False, False, "erasure"),
]


@pytest.mark.parametrize(("purpose", "today", "held", "law", "why"), TABLE)
def test_who_may_remove_what_when(purpose: str, today: date, held: bool, law: bool, why: str) -> None:
    said = verdict(purpose, DAY, today, SPANS, held=held, erasure_beats_floor=law)  # type: ignore[arg-type]
    assert (said.why, said.goes) == (why, why in ("over", "erasure"))
    rules = Retention(floor="3y", ceiling="5y", erasure_beats_floor=law)
    for what in ("objects", "rows", "repository"):
        thing = Thing(what, SITE, "x", DAY, names=frozenset({"a"}), held=held)  # type: ignore[arg-type]
        if said.goes:
            leave = permit(purpose, BUSINESS, rules, [thing], today)  # type: ignore[arg-type]
            assert leave.covers(what, SITE, "x")
            assert not leave.covers(what, SITE, "y")
        else:
            with pytest.raises(RuleError, match=r"hold|floor|time is not over"):
                permit(purpose, BUSINESS, rules, [thing], today)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("day", "span", "first"),
    [
        (DAY, "3y", date(2024, 2, 1)),
        (DAY, "1d", date(2021, 2, 2)),
        (date(2024, 2, 29), "1y", date(2025, 3, 2)),
        (date(2024, 2, 29), "4y", date(2028, 3, 1)),
    ],
)
def test_a_time_is_over_when_all_of_it_lies_behind_the_whole_day(day: date, span: str, first: date) -> None:
    assert over_on(day, span) == first
    assert is_over(day, span, first)
    assert not is_over(day, span, first - timedelta(days=1))


@pytest.mark.parametrize("span", ["", "3", "3w", "0y", "-1d", "3 y", "1.5y"])
def test_a_time_that_means_nothing_is_refused(span: str) -> None:
    with pytest.raises(RuleError, match="no number of days or years"):
        over_on(DAY, span)


days = st.dates(date(2000, 1, 1), date(2090, 1, 1))
spans = st.builds("{}{}".format, st.integers(1, 40), st.sampled_from("dy"))


@settings(max_examples=300)
@given(days, days, spans, spans | st.none(), st.booleans(), st.booleans())
def test_the_laws_of_retention(day: date, today: date, floor: str, ceiling: str | None, held: bool, law: bool) -> None:
    kept = Spans(floor, ceiling)
    goes = {
        purpose: verdict(purpose, day, today, kept, held=held, erasure_beats_floor=law).goes  # type: ignore[arg-type]
        for purpose in ("retention", "erasure")
    }
    # What is held stays, and nothing goes by itself under the floor or without a ceiling.
    assert not (held and any(goes.values()))
    assert not goes["retention"] or (is_over(day, floor, today) and ceiling is not None)
    # What retention removes could also be erased; what may go today may go on every later day.
    assert goes["erasure"] or not goes["retention"]
    later = verdict("retention", day, today + timedelta(days=400), kept, held=held)
    assert later.goes or not goes["retention"]
    # A longer floor or ceiling never lets anything more go.
    longer = verdict("retention", day, today, Spans("50y", ceiling), held=held)
    assert goes["retention"] or not longer.goes


@given(spans, spans, days)
def test_a_time_that_is_at_least_another_never_ends_before_it(one: str, other: str, day: date) -> None:
    if at_least(one, other):
        assert over_on(day, one) >= over_on(day, other)


def test_a_repository_is_kept_for_the_longest_of_its_datasets_and_the_last_of_its_days() -> None:
    rules = Retention(floor="3y", ceiling="5y", datasets={"calls": {"ceiling": "8y"}})  # type: ignore[dict-item]
    assert rules.longest() == Spans("3y", "8y")
    assert Retention(floor="3y", datasets={"notes": {"ceiling": "5y"}}).longest().ceiling is None  # type: ignore[dict-item]
    assert last_day(2021, []) == date(2021, 12, 31)
    assert last_day(2021, [date(2022, 1, 1)]) == date(2022, 1, 1)


def snapshot(name: str, day: int, hour: int = 1) -> dict[str, object]:
    taken = datetime(2021, 2, day + 1, hour, tzinfo=UTC)
    return {
        "business": BUSINESS, "site": SITE, "day": date(2021, 2, day), "snapshot_id": name, "repository_year": 2021,
        "taken_at": taken, "first_day": date(2021, 2, max(day - 1, 1)), "files": 1, "bytes": 1, "inventory_whole": True,
    }  # fmt: skip


def test_a_snapshot_is_forgotten_only_where_others_hold_all_that_it_holds() -> None:
    taken = pl.DataFrame([snapshot("a", 2), snapshot("b", 2, 2), snapshot("c", 3), snapshot("d", 4)], SNAPSHOTS.schema)

    def old(needed: list[str], within: str = "30d") -> list[str]:
        return forgettable(taken, needed, within, NOW.date(), "Asia/Shanghai")

    # b is the last that covers 1 February, c that of the 2nd, d is the newest.
    assert old([]) == ["a"]
    assert old(["a"]) == []
    assert old([], within="60y") == []


def test_a_recording_that_was_gone_soon_or_came_late_keeps_the_snapshot_that_has_it() -> None:
    taken = pl.DataFrame([snapshot("a", 2), snapshot("b", 2, 2), snapshot("c", 3), snapshot("d", 4)], SNAPSHOTS.schema)

    def file(name: str, day: int, own: str) -> dict[str, object]:
        return {
            "business": BUSINESS, "site": SITE, "day": date(2021, 2, day), "recording_id": name, "snapshot_id": own,
            "path": name, "size": 1, "mtime": NOW,
        }  # fmt: skip

    def missing(name: str, last: datetime | None) -> dict[str, object]:
        return {
            "business": BUSINESS, "site": SITE, "day": date(2021, 2, 2), "recording_id": name, "last_on_site": last,
            "gone_since": NOW,
        }  # fmt: skip

    seen = dict(taken.select("snapshot_id", "taken_at").iter_rows())
    files = pl.DataFrame(
        [file("stays", 2, "a"), file("gone", 2, "a"), file("gone later", 2, "a"), file("unknown", 2, "a"),
         file("late", 1, "d")], SNAPSHOT_FILES.schema,
    )  # fmt: skip
    gone = pl.DataFrame(
        [missing("gone", seen["a"]), missing("gone later", seen["b"]), missing("unknown", None)], GONE.schema
    )
    found = dict(holders(files, gone, taken).select("recording_id", "holder").iter_rows())
    assert found == {"stays": "c", "gone": "a", "gone later": "b", "unknown": "a", "late": "d"}


def test_the_newest_decision_about_a_hold_counts() -> None:
    subject = Subject("call", "c1")
    row = {
        "business": BUSINESS, "site": "_", "day": DAY, "hold_id": subject.hold_id, "decision": "placed", "kind": "call",
        "name": None, "value": "c1", "since": None, "until": None, "author": "wang", "reason": "court",
        "decided_at": NOW,
    }  # fmt: skip
    withdrawn = row | {"decision": "withdrawn", "decided_at": NOW + timedelta(seconds=1)}
    assert active_holds(pl.DataFrame([row], HOLDS.schema)) == [(subject.hold_id, subject)]
    assert active_holds(pl.DataFrame([withdrawn, row], HOLDS.schema)) == []
    again = row | {"decided_at": NOW + timedelta(seconds=2)}
    assert len(active_holds(pl.DataFrame([row, withdrawn, again], HOLDS.schema))) == 1


@pytest.mark.parametrize(
    "subject",
    [("call", ""), ("number", None), ("attribute", "K7", None), ("range", None), ("call", "c1", "case")],
)
def test_a_subject_that_names_nobody_is_refused(subject: tuple[str | None, ...]) -> None:
    with pytest.raises(RuleError, match="whose data is meant"):
        Subject(*subject)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("subject", "raw", "is_in_it"),
    [
        (Subject("number", "15372388463"), "7,15372388463,bad", True),
        (Subject("number", "15372388463"), "7;+86 153-7238 8463;bad", True),
        (Subject("number", "15372388463"), "2049 015372388463 bad", True),
        (Subject("number", "+86 (153) 7238.8463"), '"0086-15372388463"', True),
        (Subject("number", "15372388463"), "7,153723884631,bad", False),
        (Subject("number", "15372388463"), "7,915372388463,bad", False),
        (Subject("number", "15372388463"), "7,153****8463,bad", False),
        (Subject("attribute", "K7", "case"), "1,K7,2", True),
        (Subject("attribute", "K7", "case"), "1,案件K7。", True),
        (Subject("attribute", "K7", "case"), "1,K77,2", False),
        (Subject("call", "c.1"), "c21,x", False),
        (Subject("call", "c.1"), "c.1", True),
        (Subject("range", since=DAY, until=DAY), "2021-01-31", False),
    ],
)
def test_a_row_that_could_not_be_read_is_searched_for_the_subject(subject: Subject, raw: str, is_in_it: bool) -> None:
    assert mentions(pl.Series(["other", raw, ""]), subject, NumberRules()).to_list() == [False, is_in_it, False]


def test_what_was_erased_is_known_again_by_its_day_and_salt_and_by_nothing_else() -> None:
    where, order = (BUSINESS, SITE, DAY), ("r1", NOW)
    erased = erased_rows(where, "recording", ["one"], "salt", order)
    rows = pl.DataFrame({"day": [DAY, DAY, DAY + timedelta(1)], "recording_id": ["one", "two", "one"]})
    assert without_erased(rows, "recording", erased)["recording_id"].to_list() == ["two", "one"]
    assert without_erased(rows, "recording", erased.with_columns(salt=pl.lit("other"))).height == 3
    assert "one" not in erased.select("salt", "digest", "removal_id").row(0)
    calls = erased_rows(where, "call", ["c1"], "salt", order)
    assert erased_anywhere(pl.DataFrame({"call_id": ["c1", "c2"]}), "call", calls) == {"c1"}


@pytest.mark.parametrize(
    ("data", "begins", "gone", "kept"),
    [
        (b"h\r\na\r\nb\r\n", [2, 3], {2}, b"h\r\nb\r\n"),
        (b"h\na\nb", [2, 3], {3}, b"h\na"),
        (b'h\n"a\nb"\nc\n', [2, 4], {2}, b"h\nc\n"),
        (b'h\nc\n"a\nb"\n', [2, 3], {3}, b"h\nc\n"),
        (b"h\na\n", [2], {2}, b"h\n"),
    ],
)
def test_a_record_is_cut_out_of_a_file_with_all_its_lines(
    data: bytes, begins: list[int], gone: set[int], kept: bytes
) -> None:
    assert without_records(data, begins, gone) == kept
