"""Every kind of finding has one cause, and one cause is one finding."""

import dataclasses
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import BUSINESS, DAY, SITE, Row, at, call, calls, everywhere, inventory, named, recording, rows_of

from reconcile.findings import (
    KINDS,
    SEVERITIES,
    SEVERITY,
    collect_findings,
    in_trace,
    mismatched_extracts,
    overdue_backups,
    quarantined_rows,
    repeated_calls,
    skewed_clocks,
)
from reconcile.frames import EXTRACTS, FINDINGS, QUARANTINE, SNAPSHOTS, conform
from reconcile.matching import match
from reconcile.nearest import CLOCK
from reconcile.rules import MatchingRules, Rules
from reconcile.trace import Stations, trace

RULES = Rules()
NEXT_DAY = DAY + timedelta(days=1)


def as_it_is(stations: Stations) -> Stations:
    return stations


def found(
    rows: list[Row], files: list[Row], tamper: Callable[[Stations], Stations] = as_it_is, as_of: Any = DAY
) -> pl.DataFrame:
    """The findings of these calls and recordings, of which nothing is lost but by `tamper`."""
    frames = calls(*rows), inventory(*files)
    stations = tamper(everywhere(*frames, match(frames[0].lazy(), frames[1].lazy(), RULES)))
    traced = trace(frames[0].lazy(), frames[1].lazy(), stations, RULES).trace
    return collect_findings([in_trace(traced, RULES.matching), repeated_calls(frames[0].lazy())], as_of)


def unlooked(stations: Stations) -> Stations:
    """No station was looked at."""
    return Stations()


def without(station: str) -> Callable[[Stations], Stations]:
    """Stations of which this one holds nothing."""
    return lambda stations: dataclasses.replace(stations, **{station: getattr(stations, station).clear()})


def altered(stations: Stations) -> Stations:
    """Every object is one byte longer."""
    return dataclasses.replace(stations, listing=stations.listing.with_columns(pl.col("size") + 1))


def pair(**columns: Any) -> tuple[list[Row], list[Row]]:
    """A call and the recording that its row names, which is otherwise in these columns."""
    return [call("c1", recording_path="a.wav")], [recording("a.wav", **columns)]


COPY = [recording("a.wav", content="same"), recording("b/copy of a.wav", content="same")]
EXAMPLES: list[tuple[str, list[Row], list[Row], Callable[[Stations], Stations]]] = [
    ("recording_lost", *pair(), without("snapshot_files")),
    ("recording_lost", *pair(), without("restored")),
    ("recording_lost", *pair(), without("listing")),
    ("content_mismatch", *pair(), altered),
    ("recording_empty", *pair(state="empty", duration_ms=0), as_it_is),
    ("recording_truncated", *pair(state="truncated", duration_ms=1000), as_it_is),
    ("recording_undecodable", *pair(state="undecodable", duration_ms=None), as_it_is),
    ("recording_undecodable", *pair(state="unreadable", sha256=None, md5=None, duration_ms=None), unlooked),
    ("match_ambiguous", [call("c1"), call("c2")], [named("09:00:00")], as_it_is),
    ("match_ambiguous", [call("c1", recording_path="a.wav")], [recording("1/a.wav"), recording("2/a.wav")], as_it_is),
    ("recording_missing", [call("c1")], [], as_it_is),
    ("recording_missing", [call("c1", recording_path="a.wav")], [], as_it_is),
    ("recording_duplicate", [call("c1", recording_path="a.wav")], COPY, as_it_is),
    ("recording_orphan", [], [recording("a.wav")], as_it_is),
    ("not_indexed", *pair(), without("indexed")),
    ("duration_mismatch", *pair(duration_ms=65_000), as_it_is),
    ("call_duplicate", [call("c1", recording_path="a.wav", source_row=n) for n in (2, 9)], pair()[1], as_it_is),
]


@pytest.mark.parametrize(("kind", "rows", "files", "tamper"), EXAMPLES)
def test_one_cause_is_one_finding(
    kind: str, rows: list[Row], files: list[Row], tamper: Callable[[Stations], Stations]
) -> None:
    assert found(rows, files, tamper)["kind"].to_list() == [kind]


@pytest.mark.parametrize(
    ("rows", "files"),
    [
        pair(),
        pair(duration_ms=7_000),
        pair(state="in_progress", duration_ms=None),
        ([call("c1", expects_recording=False)], []),
        ([call("c1")], [named("09:00:00")]),
        ([], []),
    ],
)
def test_what_is_as_it_should_be_is_no_finding(rows: list[Row], files: list[Row]) -> None:
    assert found(rows, files).is_empty()


def test_a_damaged_recording_that_is_also_lost_and_an_orphan_is_lost_only() -> None:
    assert found([], [recording("a.wav", state="truncated")], without("listing"))["kind"].to_list() == [
        "recording_lost"
    ]


def test_the_table_of_kinds_is_that_of_all_examples_and_the_others() -> None:
    others = {"row_quarantined", "extract_mismatch", "clock_skew", "backup_overdue"}
    assert {kind for kind, *_ in EXAMPLES} | others == {kind.name for kind in KINDS}


def test_a_finding_has_the_severity_of_its_kind_and_says_what_it_is_about() -> None:
    (row,) = found([call("c1")], []).iter_rows(named=True)
    assert (row["severity"], row["subject"], row["call_id"], row["status"]) == ("major", "call c1", "c1", "open")
    assert (row["first_seen"], row["last_seen"], row["day"]) == (DAY, DAY, DAY)


def test_ids_stay_the_same_over_days_and_whatever_the_order() -> None:
    rows = [call(f"c{n}", f"{n:02}:00:00", callee=f"1390000000{n}") for n in range(8)]
    today, later = found(rows, []), found(rows[::-1], [], as_of=NEXT_DAY)
    assert today["finding_id"].to_list() == later["finding_id"].to_list()
    assert today["finding_id"].n_unique() == len(rows)


def test_a_row_set_aside_is_known_by_its_content_wherever_it_moves() -> None:
    row = {
        "business": BUSINESS, "site": SITE, "dataset": "calls", "day": DAY, "source_file": "a.csv", "source_row": 7,
        "reason": "too many fields", "raw": "1,2,3",
    }  # fmt: skip
    first, moved = (
        collect_findings([quarantined_rows(rows_of(QUARANTINE, row | {"source_row": line}).lazy())], DAY)
        for line in (7, 9)
    )
    assert first["finding_id"].to_list() == moved["finding_id"].to_list()
    assert (first["kind"].item(), first["actual"].item()) == ("row_quarantined", "too many fields")


@pytest.mark.parametrize(
    ("differs", "expected", "actual"),
    [
        ({}, None, None),
        ({"expected_rows": None, "expected_bytes": None, "expected_sha256": None}, None, None),
        ({"rows_in": 9}, "rows 10", "rows 9"),
        ({"rows_in": 9, "bytes": 90}, "rows 10, bytes 100", "rows 9, bytes 90"),
        ({"sha256": "b"}, "sha256 a", "sha256 b"),
    ],
)
def test_an_extract_that_arrived_otherwise_says_how(
    differs: dict[str, Any], expected: str | None, actual: str | None
) -> None:
    row = {
        "business": BUSINESS, "site": SITE, "day": DAY, "dataset": "calls", "source_file": "a.csv",
        "expected_rows": 10, "expected_bytes": 100, "expected_sha256": "a", "rows_in": 10, "rows_ok": 10,
        "rows_quarantined": 0, "bytes": 100, "sha256": "a",
    } | differs  # fmt: skip
    told = collect_findings([mismatched_extracts(rows_of(EXTRACTS, row).lazy())], DAY).select("expected", "actual")
    assert told.rows() == ([(expected, actual)] if expected else [])


@pytest.mark.parametrize(
    ("seconds", "kinds"), [(120.0, []), (-120.0, []), (120.1, ["clock_skew"]), (-121.0, ["clock_skew"])]
)
def test_a_clock_is_skewed_beyond_the_limit_either_way(seconds: float, kinds: list[str]) -> None:
    clock = pl.DataFrame([(SITE, DAY, seconds, 9)], schema=CLOCK, orient="row")
    rules = MatchingRules(clock_skew_limit_seconds=120)
    assert collect_findings([skewed_clocks(clock, BUSINESS, rules)], DAY)["kind"].to_list() == kinds


@pytest.mark.parametrize(
    ("first", "last", "overdue"),
    [(DAY, DAY, [NEXT_DAY]), (DAY, NEXT_DAY, []), (NEXT_DAY, NEXT_DAY, [DAY]), (None, None, [DAY, NEXT_DAY])],
)
def test_a_day_is_overdue_that_no_snapshot_covers(first: Any, last: Any, overdue: list[Any]) -> None:
    row = {
        "business": BUSINESS, "site": SITE, "day": last, "snapshot_id": "a" * 64, "repository_year": 2021,
        "taken_at": at("23:00:00"), "first_day": first, "files": 1, "bytes": 1,
    }  # fmt: skip
    snapshots = rows_of(SNAPSHOTS, row) if first else SNAPSHOTS.empty()
    due = pl.DataFrame({"business": BUSINESS, "site": SITE, "day": [DAY, NEXT_DAY]})
    assert sorted(collect_findings([overdue_backups(due, snapshots.lazy())], DAY)["day"]) == overdue


def tagged_by_parts(stations: Stations) -> Stations:
    """Objects put in parts, whose tags are no MD5."""
    return dataclasses.replace(stations, listing=stations.listing.with_columns(pl.lit("ab" * 16 + "-2").alias("etag")))


def copied_badly(stations: Stations) -> Stations:
    """Every file on the central disk has other bytes."""
    return dataclasses.replace(stations, restored=stations.restored.with_columns(pl.lit("0" * 64).alias("sha256")))


def grown_since(stations: Stations) -> Stations:
    """Every file grew between the inventory and the snapshot, which is all there is so far."""
    grown = stations.snapshot_files.with_columns(pl.col("size") + 1)
    return Stations(snapshot_files=grown, restored=stations.restored.clear(), listing=stations.listing.clear())


TWICE = [call("c1", recording_path="a.wav"), call("c2", "10:00:00", recording_path="b.wav")]
LEGS = [call("c1", leg="1"), call("c1", leg="2")]
NEAR_MISSES: list[tuple[str, list[Row], list[Row], Callable[[Stations], Stations]]] = [
    ("recording_lost", *pair(), unlooked),
    ("recording_lost", *pair(), grown_since),
    ("recording_lost", *pair(state="in_progress"), without("restored")),
    ("content_mismatch", *pair(), tagged_by_parts),
    ("content_mismatch", *pair(state="in_progress"), copied_badly),
    ("recording_empty", *pair(duration_ms=0, size=44), as_it_is),
    ("recording_truncated", *pair(state="in_progress", duration_ms=1000), as_it_is),
    ("recording_undecodable", *pair(container="amr", codec="amr_nb", duration_ms=None), as_it_is),
    ("match_ambiguous", LEGS, [named("09:00:00")], as_it_is),
    (
        "match_ambiguous",
        *([call(f"c{n}", recording_path=f"{n}/a.wav") for n in (1, 2)], [recording("1/a.wav"), recording("2/a.wav")]),
        as_it_is,
    ),
    ("recording_missing", [call("c1", expects_recording=False)], [], as_it_is),
    ("recording_missing", LEGS, [recording("a.wav", call_id="c1")], as_it_is),
    ("recording_duplicate", TWICE, [recording("a.wav", content="same"), recording("b.wav", content="same")], as_it_is),
    ("recording_orphan", *pair(day=NEXT_DAY), as_it_is),
    ("recording_orphan", [call("c1", expects_recording=False)], [recording("a.wav", call_id="c1")], as_it_is),
    ("not_indexed", *pair(state="in_progress"), unlooked),
    ("not_indexed", [call("c1", expects_recording=False)], [], unlooked),
    ("duration_mismatch", *pair(duration_ms=10_000), as_it_is),
    (
        "duration_mismatch",
        [call("c1", recording_path="a.wav", talk_seconds=600.0)],
        [recording("a.wav", duration_ms=660_000)],
        as_it_is,
    ),
    (
        "duration_mismatch",
        [call("c1", recording_path="a.wav", talk_seconds=None)],
        [recording("a.wav", duration_ms=660_000)],
        as_it_is,
    ),
    ("duration_mismatch", LEGS, [recording("a.wav", call_id="c1", duration_ms=660_000)], as_it_is),
    ("duration_mismatch", *pair(state="in_progress", duration_ms=660_000), as_it_is),
    ("recording_orphan", [], [recording("a.wav", state="in_progress")], as_it_is),
    (
        "recording_duplicate",
        [call("c1", recording_path="a.wav")],
        [COPY[0], COPY[1] | {"state": "in_progress"}],
        as_it_is,
    ),
    (
        "call_duplicate",
        [call("c1", leg=leg, recording_path=f"{leg}.wav") for leg in "12"],
        [recording("1.wav"), recording("2.wav")],
        as_it_is,
    ),
]


@pytest.mark.parametrize(("kind", "rows", "files", "tamper"), NEAR_MISSES)
def test_what_only_looks_like_it_is_no_finding(
    kind: str, rows: list[Row], files: list[Row], tamper: Callable[[Stations], Stations]
) -> None:
    assert found(rows, files, tamper).is_empty()


def test_every_kind_of_the_trace_has_an_example_and_a_near_miss() -> None:
    assert {kind for kind, *_ in EXAMPLES} == {kind for kind, *_ in NEAR_MISSES}


@pytest.mark.parametrize(("milliseconds", "kinds"), [(660_000, []), (660_001, ["duration_mismatch"])])
def test_lengths_may_differ_by_a_share_of_the_talk_time(milliseconds: int, kinds: list[str]) -> None:
    rows = [call("c1", recording_path="a.wav", talk_seconds=600.0)]
    assert found(rows, [recording("a.wav", duration_ms=milliseconds)])["kind"].to_list() == kinds


def test_the_limits_of_lengths_are_those_of_the_business() -> None:
    rows, files = pair(duration_ms=8_000)
    frames = calls(*rows).lazy(), inventory(*files).lazy()
    traced = trace(*frames, Stations(), RULES).trace
    strict = MatchingRules(duration_tolerance_seconds=1, duration_tolerance_ratio=0)
    assert collect_findings([in_trace(traced, strict)], DAY).select("kind", "expected", "actual").rows() == [
        ("duration_mismatch", "5.0 s talked", "8.0 s recorded")
    ]


@pytest.mark.parametrize(
    ("tamper", "lost_at"),
    [
        (without("snapshot_files"), "in_snapshot"),
        (without("restored"), "restored"),
        (without("listing"), "published"),
        (without("indexed"), "indexed"),
    ],
)
def test_a_finding_says_at_which_station_it_was_lost(tamper: Callable[[Stations], Stations], lost_at: str) -> None:
    (row,) = found(*pair(), tamper).iter_rows(named=True)
    assert (row["lost_at"], row["subject"], row["recording_id"]) == (
        lost_at,
        "a.wav",
        recording("a.wav")["recording_id"],
    )


def test_a_copy_with_other_bytes_at_either_place_is_a_mismatch() -> None:
    assert found(*pair(), copied_badly)["kind"].to_list() == ["content_mismatch"]
    assert found(*pair(), lambda stations: altered(copied_badly(stations)))["kind"].to_list() == ["content_mismatch"]


FAULTS: dict[str, Callable[[Stations], Stations]] = {
    "recording_lost": without("listing"), "content_mismatch": copied_badly, "not_indexed": without("indexed"),
}  # fmt: skip
STATES = {
    "ok": None, "empty": "recording_empty", "truncated": "recording_truncated", "undecodable": "recording_undecodable",
    "unreadable": "recording_undecodable",
}  # fmt: skip


@settings(max_examples=30)
@given(st.sets(st.sampled_from(sorted(FAULTS))), st.sampled_from(sorted(STATES)), st.booleans(), st.booleans())
def test_of_all_that_is_wrong_with_a_recording_the_first_kind_alone_is_told(
    faults: set[str], state: str, called: bool, too_long: bool
) -> None:
    def tamper(stations: Stations) -> Stations:
        for fault in sorted(faults):
            stations = FAULTS[fault](stations)
        return stations

    rows = [call("c1", recording_path="a.wav")] if called else []
    wrong = faults | {STATES[state]} | ({"duration_mismatch"} if called and too_long else set())
    if not called:
        wrong = wrong - {"not_indexed"} | {"recording_orphan"}
    first = [kind.name for kind in KINDS if kind.name in wrong][:1]
    files = [recording("a.wav", state=state, duration_ms=90_000 if too_long else 5000)]
    assert found(rows, files, tamper)["kind"].to_list() == first


def test_a_tie_is_told_once_and_its_members_are_neither_missing_nor_orphans() -> None:
    (row,) = found([call("c1"), call("c2")], [named("09:00:00")]).iter_rows(named=True)
    assert row["recording_id"] == named("09:00:00")["recording_id"]
    assert row["actual"] == "fits 2 calls equally well: c1, c2"


def test_two_causes_on_two_subjects_are_two_findings() -> None:
    rows = [call("c1", source_row=2), call("c1", source_row=3), call("c2", "10:00:00", recording_path="b.wav")]
    files = [recording("b.wav", state="truncated"), recording("x/other.wav")]
    told = found(rows, files).select("kind", "subject").rows()
    assert sorted(told) == [
        ("call_duplicate", "call c1"), ("recording_missing", "call c1"), ("recording_orphan", "x/other.wav"),
        ("recording_truncated", "b.wav"),
    ]  # fmt: skip


def test_a_copy_that_has_no_call_is_a_duplicate_and_names_its_original() -> None:
    (row,) = found([call("c1", recording_path="a.wav")], COPY).iter_rows(named=True)
    original, copy = (file["recording_id"] for file in COPY)
    assert (row["recording_id"], row["actual"]) == (copy, f"the same bytes as recording {original}")


def test_a_repeated_call_tells_where_its_rows_stand_the_first_five_by_line() -> None:
    rows = [call("c1", source_row=row) for row in (13, 7, 12, 9, 11, 8, 10)]
    (told,) = collect_findings([repeated_calls(calls(*rows).lazy())], DAY).iter_rows(named=True)
    where = ", ".join(f"calls.csv:{row}" for row in range(7, 12))
    assert (told["actual"], told["call_uid"]) == (f"7 rows: {where}", rows[0]["call_uid"])


EVERY_CAUSE_ROWS = [
    call("c1", source_row=2),
    call("c1", source_row=9),
    call("c2", "10:00:00", recording_path="b.wav"),
    call("c3", "11:00:00", leg="1"),
    call("c3", "11:00:30", leg="2"),
    call("c4", "12:00:00", callee="13900000000"),
    call("c5", "12:00:00", callee="13900000000"),
]
EVERY_CAUSE_FILES = [
    recording("b.wav", state="truncated"),
    recording("x.wav"),
    recording("y.wav", content="x.wav", mtime=at("13:00:00")),
    named("12:00:00", number="13900000000"),
]


@settings(max_examples=12)
@given(st.permutations(EVERY_CAUSE_ROWS), st.permutations(EVERY_CAUSE_FILES), st.integers(0, 400))
def test_findings_are_the_same_whatever_the_order_of_rows_and_the_day(
    rows: list[Row], files: list[Row], days: int
) -> None:
    as_of = DAY + timedelta(days=days)
    told, first = found(rows, files, as_of=as_of), found(EVERY_CAUSE_ROWS, EVERY_CAUSE_FILES)
    seen = ["first_seen", "last_seen", "status_since"]
    assert told.drop(seen).equals(first.drop(seen))
    assert told.select(pl.col(seen).unique()).rows() == [(as_of, as_of, as_of)]
    assert sorted(told["kind"]) == [
        "call_duplicate", "match_ambiguous", "recording_duplicate", "recording_missing", "recording_missing",
        "recording_orphan", "recording_truncated",
    ]  # fmt: skip


def test_ids_written_down_today_hold_for_ever() -> None:
    assert found([call("c1")], [])["finding_id"].to_list() == ["d5cfad8060680588"]
    assert found([], [recording("a.wav")])["finding_id"].to_list() == ["fd443608b3c575b3"]


def test_the_leg_that_stands_for_a_call_does_not_change_the_id() -> None:
    early, late = call("c1", "09:00:00", leg="2"), call("c1", "08:00:00", leg="1")
    assert found([early], [])["finding_id"].to_list() == found([early, late], [])["finding_id"].to_list()


def test_the_same_cause_at_another_site_or_in_another_dataset_is_another_finding() -> None:
    rows = [call("c1"), call("c1", site="gz"), call("c1", dataset="others")]
    told = found(rows, [])
    assert told["kind"].to_list() == ["recording_missing"] * 3
    assert told["finding_id"].n_unique() == 3


def test_the_same_finding_told_twice_counts_once() -> None:
    missing = in_trace(trace(calls(call("c1")).lazy(), inventory().lazy(), Stations(), RULES).trace, RULES.matching)
    assert collect_findings([missing, missing], DAY).height == 1


def test_findings_conform_to_their_frame_and_have_the_severity_of_their_kind() -> None:
    told = found(EVERY_CAUSE_ROWS, EVERY_CAUSE_FILES)
    assert conform(told, FINDINGS).equals(told)
    assert told["finding_id"].is_sorted()
    assert [SEVERITY[kind] for kind in told["kind"]] == told["severity"].to_list()


def test_kinds_are_told_apart_by_name_and_have_a_severity_that_exists() -> None:
    assert len({kind.name for kind in KINDS}) == len(KINDS) == len(SEVERITY)
    assert {kind.severity for kind in KINDS} <= set(SEVERITIES)
    assert {kind.name for kind in KINDS if kind.severity == "critical"} == {
        "recording_lost", "content_mismatch", "backup_overdue",
    }  # fmt: skip


def test_no_rows_set_aside_are_no_findings_and_each_file_has_its_own() -> None:
    row = {
        "business": BUSINESS, "site": SITE, "dataset": "calls", "day": DAY, "source_file": "a.csv", "source_row": 7,
        "reason": "too many fields", "raw": "1,2,3",
    }  # fmt: skip
    assert collect_findings([quarantined_rows(QUARANTINE.empty().lazy())], DAY).is_empty()
    rows = rows_of(QUARANTINE, row, row | {"source_file": "b.csv"}, row | {"source_row": 8, "raw": "4,5,6"})
    told = collect_findings([quarantined_rows(rows.lazy())], DAY)
    assert sorted(told["subject"]) == ["a.csv line 7", "a.csv line 8", "b.csv line 7"]


def test_a_skewed_clock_says_how_far_it_is_off_and_by_how_many_matches() -> None:
    clock = pl.DataFrame([(SITE, DAY, -121.04, 9), (SITE, NEXT_DAY, 61.0, 5)], schema=CLOCK, orient="row")
    told = collect_findings([skewed_clocks(clock, BUSINESS, MatchingRules())], DAY)
    assert sorted(told.select("day", "subject", "expected", "actual", "severity").rows()) == [
        (DAY, "clock of site cq", "at most 60 s apart", "-121.0 s apart, by 9 matches", "minor"),
        (NEXT_DAY, "clock of site cq", "at most 60 s apart", "61.0 s apart, by 5 matches", "minor"),
    ]


def test_a_clock_is_learnt_from_the_calls_and_told_once_a_day() -> None:
    rows = [call(f"c{n}", f"{n:02}:00:00") for n in range(6)]
    files = [recording(f"{n}.wav", f"{n:02}:05:00", call_id=f"c{n}") for n in range(6)]
    traced = trace(calls(*rows).lazy(), inventory(*files).lazy(), Stations(), RULES)
    told = collect_findings([skewed_clocks(traced.clock, BUSINESS, RULES.matching)], DAY)
    assert told["actual"].to_list() == ["300.0 s apart, by 6 matches"]


@pytest.mark.parametrize("other", [{"site": "gz"}, {"business": "other"}])
def test_the_snapshot_of_another_site_covers_nothing(other: Row) -> None:
    row = {
        "business": BUSINESS, "site": SITE, "day": DAY, "snapshot_id": "a" * 64, "repository_year": 2021,
        "taken_at": at("23:00:00"), "first_day": DAY, "files": 1, "bytes": 1,
    } | other  # fmt: skip
    due = pl.DataFrame({"business": [BUSINESS], "site": [SITE], "day": [DAY]})
    told = collect_findings([overdue_backups(due, rows_of(SNAPSHOTS, row).lazy())], DAY)
    assert told.select("kind", "severity", "subject", "expected").rows() == [
        ("backup_overdue", "critical", "site cq", "a backup that covers 2021-01-31")
    ]


def test_nothing_due_is_nothing_overdue() -> None:
    due = pl.DataFrame(schema={"business": pl.String, "site": pl.String, "day": pl.Date})
    assert collect_findings([overdue_backups(due, SNAPSHOTS.empty().lazy())], DAY).is_empty()
