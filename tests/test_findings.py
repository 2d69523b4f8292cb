"""Every kind of finding has one cause, and one cause is one finding."""

import dataclasses
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from tables import BUSINESS, DAY, SITE, Row, at, call, calls, everywhere, inventory, named, recording, rows_of

from reconcile.findings import (
    KINDS,
    collect_findings,
    in_trace,
    mismatched_extracts,
    overdue_backups,
    quarantined_rows,
    repeated_calls,
    skewed_clocks,
)
from reconcile.frames import EXTRACTS, QUARANTINE, SNAPSHOTS
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
    ("match_ambiguous", [call("c1"), call("c2")], [named("09:00:00")], as_it_is),
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
