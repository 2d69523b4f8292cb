"""A finding says which station had the recording last, and what led to it, as far as the data tell."""

import dataclasses
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from tables import (
    BUSINESS,
    DAY,
    OF_CHECKS,
    SITE,
    Row,
    at,
    call,
    call_uid,
    calls,
    everywhere,
    inventory,
    recording,
    rows_of,
)

from reconcile.evidence import CAUSES, Witnesses
from reconcile.findings import collect_findings, in_trace, overdue_backups
from reconcile.frames import GONE, LISTING, REJECTED, SNAPSHOTS, UNINDEXED
from reconcile.matching import match
from reconcile.recordings import object_key
from reconcile.rules import Rules
from reconcile.trace import Stations, trace

RULES = Rules()
KEYS = {"business": BUSINESS, "site": SITE, "day": DAY}
EVENING = at("23:00:00")
SNAPSHOT = KEYS | {
    "snapshot_id": "a" * 64, "repository_year": 2021, "taken_at": EVENING, "first_day": DAY, "files": 1, "bytes": 1,
    "inventory_whole": True,
}  # fmt: skip
A = recording("a.wav")
Tamper = Callable[[Stations], Stations]


def told(
    rows: list[Row], files: list[Row], tamper: Tamper = lambda stations: stations, snapshot: Row = SNAPSHOT, **more: Row
) -> list[Row]:
    """The findings of these calls and recordings, by a snapshot of the evening and `more` of GONE and the like."""
    frames = calls(*rows), inventory(*files)
    stations = tamper(everywhere(*frames, match(frames[0].lazy(), frames[1].lazy(), RULES)))
    contracts = {"gone": GONE, "rejected": REJECTED, "unindexed": UNINDEXED}
    others = {
        name: rows_of(contract, *(row for key, row in more.items() if key == name)).lazy()
        for name, contract in contracts.items()
    }
    witnesses = Witnesses(stations, rows_of(SNAPSHOTS, snapshot).lazy(), **others)
    traced = trace(frames[0].lazy(), frames[1].lazy(), stations, RULES).trace
    return collect_findings([in_trace(traced, RULES.matching, witnesses)], DAY).rows(named=True)


def without(*names: str) -> Tamper:
    """Stations of which these hold nothing."""
    return lambda stations: dataclasses.replace(stations, **{name: getattr(stations, name).clear() for name in names})


def changed(name: str, **columns: Any) -> Tamper:
    """Stations of which one has other values in these columns."""

    def change(stations: Stations) -> Stations:
        frame: pl.LazyFrame = getattr(stations, name)
        schema = frame.collect_schema()
        values = [pl.lit(value, schema[column]).alias(column) for column, value in columns.items()]
        return dataclasses.replace(stations, **{name: frame.with_columns(values)})

    return change


def both(first: Tamper, second: Tamper) -> Tamper:
    return lambda stations: second(first(stations))


PAIR = [call("c1", recording_path="a.wav")], [A]
UNREAD = [call("c1", recording_path="a.wav")], [A | {"state": "unreadable", "sha256": None, "md5": None}]
ALL_BEHIND = without("snapshot_files", "restored", "listing")
IS_GONE = KEYS | {"recording_id": A["recording_id"], "last_on_site": at("20:00:00"), "gone_since": EVENING}
MORNING = [call(f"c{n}", f"09:{n:02}:00", extension=f"20{n}") for n in range(3)]
REFUSED = KEYS | {"call_uid": call_uid("c1"), "reason": "no", "document": "{}"}
EXAMPLES: list[tuple[str, list[Row], list[Row], Tamper, dict[str, Row]]] = [
    ("unreadable_on_site", *UNREAD, ALL_BEHIND, {}),
    ("site_disk_purged", *PAIR, ALL_BEHIND, {"gone": IS_GONE}),
    ("vanished_before_backup", *PAIR, ALL_BEHIND, {}),
    ("restore_incomplete", *PAIR, without("restored", "listing"), {}),
    ("restored_damaged", *PAIR, changed("restored", sha256="0" * 64), {}),
    ("restored_damaged", *PAIR, both(changed("restored", sha256="0" * 64), without("listing")), {}),
    ("publish_rejected", *PAIR, both(changed("restored", published=False), without("listing")), {}),
    ("object_removed", *PAIR, without("listing"), {}),
    ("object_damaged", *PAIR, changed("listing", size=999), {}),
    ("index_rejected", *PAIR, without("indexed"), {"rejected": REFUSED}),
    ("index_waiting", *PAIR, without("indexed"), {"unindexed": KEYS | {"since": EVENING}}),
    ("backup_missing", [call("c1")], [], without(), {"snapshot": SNAPSHOT | {"site": "gz"}}),
    ("never_recorded_at_site", MORNING, [], without(), {}),
    ("never_recorded_on_line", [call("c1"), call("c2", "09:30:00", callee="13800000000")], [], without(), {}),
    ("never_recorded_too_short", [call("c1", talk_seconds=0.9)], [], without(), {}),
]


@pytest.mark.parametrize(("cause", "rows", "files", "tamper", "more"), EXAMPLES)
def test_each_cause_is_told_where_the_data_show_it(
    cause: str, rows: list[Row], files: list[Row], tamper: Tamper, more: dict[str, Row]
) -> None:
    assert {row["cause"] for row in told(rows, files, tamper, **more)} == {cause}


def test_every_cause_has_an_example() -> None:
    causes = [cause.name for cause in CAUSES if cause.name not in OF_CHECKS]
    assert list(dict.fromkeys(cause for cause, *_ in EXAMPLES)) == causes


@pytest.mark.parametrize(
    ("rows", "files", "tamper"),
    [
        # It is in the store, so it did vanish nowhere; who lost the snapshot's row is not told.
        (*PAIR, without("snapshot_files")),
        (*PAIR, without("restored")),
        # Whether the store took it was not written down when it was ingested.
        (*PAIR, both(changed("restored", published=None), without("listing"))),
        # The index neither refused it nor did it not answer.
        (*PAIR, without("indexed")),
        # One call without recording is no silence, nor is an hour in which the line recorded another call.
        ([call("c1")], [], without()),
        (
            [call("c1"), call("c2", "09:30:00"), call("c3", "09:40:00", recording_path="a.wav")],
            [A],
            without(),
        ),
        # Two files of one call are no silence either.
        ([call("c1", leg=leg, recording_path=f"{leg}.wav") for leg in "12"], [], without()),
        # Nobody knows whose the stray recording is, or when it began: it may be of any of them.
        (MORNING, [recording("stray.wav")], without()),
        ([call("c1"), call("c2", "10:00:00")], [], without()),
        ([call("c1", talk_seconds=1.0)], [], without()),
        ([call("c1", None, day=None)], [], without()),
    ],
)
def test_where_the_data_do_not_tell_there_is_no_cause(rows: list[Row], files: list[Row], tamper: Tamper) -> None:
    found = told(rows, files, tamper)
    assert found
    assert {row["cause"] for row in found} == {None}


def held(row: Row) -> tuple[Any, ...]:
    return row["held_at"], row["held_time"], row["size"], row["sha256"]


@pytest.mark.parametrize(
    ("tamper", "station", "time"),
    [
        (without("indexed"), "published", A["mtime"]),
        (without("listing"), "restored", EVENING),
        (without("restored", "listing"), "in_snapshot", EVENING),
        (ALL_BEHIND, "on_site", EVENING),
        # A copy with other bytes is not the recording.
        (changed("listing", size=999), "restored", EVENING),
        (changed("restored", sha256="0" * 64), "in_snapshot", EVENING),
    ],
)
def test_the_last_station_that_has_it_is_told_with_the_time_the_size_and_the_hash(
    tamper: Tamper, station: str, time: Any
) -> None:
    (row,) = told(*PAIR, tamper)
    assert held(row) == (station, time, 1000, A["sha256"])


def test_a_call_whose_recording_nobody_has_seen_is_held_by_its_row_alone() -> None:
    (row,) = told([call("c1", "09:00:00")], [])
    assert held(row) == ("called", at("09:00:00"), None, None)


def test_what_is_gone_was_on_site_until_the_last_inventory_that_had_it() -> None:
    (row,) = told(*PAIR, ALL_BEHIND, gone=IS_GONE)
    assert held(row)[:2] == ("on_site", at("20:00:00"))


@pytest.mark.parametrize("whole", [False, None])
def test_an_inventory_that_could_not_look_everywhere_proves_no_time(whole: bool | None) -> None:
    (row,) = told(*PAIR, ALL_BEHIND, snapshot=SNAPSHOT | {"inventory_whole": whole})
    assert held(row)[:2] == ("on_site", None)


@pytest.mark.parametrize(
    ("lost", "station", "sha256"),
    [
        ((), "published", A["sha256"]),
        (("listing",), "restored", A["sha256"]),
        (("listing", "restored"), "in_snapshot", None),
    ],
)
def test_a_file_that_a_call_names_and_no_inventory_has_is_looked_for_behind(
    lost: tuple[str, ...], station: str, sha256: str | None
) -> None:
    everything = everywhere(calls(), inventory(A), match(calls().lazy(), inventory(A).lazy(), RULES))
    (row,) = told([call("c1", recording_path="a.wav")], [], lambda _: without(*lost)(everything))
    assert (row["kind"], row["cause"]) == ("recording_missing", "site_disk_purged")
    assert (row["held_at"], row["size"], row["sha256"]) == (station, 1000, sha256)


def test_of_an_object_alone_the_size_is_told() -> None:
    key = inventory(A).select(object_key()).item()
    listed = rows_of(LISTING, {"key": key, "size": 7, "etag": None, "last_modified": EVENING})
    (row,) = told([call("c1", recording_path="a.wav")], [], lambda _: Stations(listing=listed.lazy()))
    assert held(row) == ("published", EVENING, 7, None)


def test_the_last_of_several_snapshots_and_objects_is_the_time() -> None:
    later = EVENING + timedelta(days=1)
    many = rows_of(SNAPSHOTS, SNAPSHOT, SNAPSHOT | {"snapshot_id": "b" * 64, "taken_at": later, "day": later.date()})
    stations = everywhere(calls(), inventory(A), match(calls().lazy(), inventory(A).lazy(), RULES))
    twice = pl.concat([stations.snapshot_files, stations.snapshot_files.with_columns(snapshot_id=pl.lit("b" * 64))])
    seen = dataclasses.replace(stations, snapshot_files=twice, restored=stations.restored.clear())
    traced = trace(calls().lazy(), inventory(A).lazy(), dataclasses.replace(seen, listing=None), RULES).trace
    found = collect_findings([in_trace(traced, RULES.matching, Witnesses(seen, many.lazy()))], DAY)
    assert found.select("held_at", "held_time").row(0) == ("in_snapshot", later)


def test_without_witnesses_the_trace_alone_tells_the_station() -> None:
    frames = calls(*PAIR[0]).lazy(), inventory(A | {"duration_ms": 65_000}).lazy()
    traced = trace(*frames, Stations(), RULES).trace
    found = collect_findings([in_trace(traced, RULES.matching)], DAY)
    assert found.select("held_at", "held_time", "size", "cause").row(0) == ("on_site", None, 1000, None)


def test_a_day_without_backup_is_its_own_cause() -> None:
    due = pl.DataFrame({"business": [BUSINESS], "site": [SITE], "day": [DAY]})
    found = collect_findings([overdue_backups(due, SNAPSHOTS.empty().lazy())], DAY)
    assert found.select("cause", "held_at").row(0) == ("backup_missing", None)
