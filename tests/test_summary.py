"""The summary counts what the trace has, by site and day."""

import dataclasses
from datetime import timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import BUSINESS, DAY, SITE, Row, call, calls, everywhere, finding, findings, inventory, recording, rows_of

from reconcile.frames import DURATIONS, EXTRACTS, FILE_TYPES, NOTES, SUMMARY, TRACE, conform
from reconcile.matching import match
from reconcile.recordings import object_key
from reconcile.rules import Rules
from reconcile.summary import LENGTHS, durations, file_types, summarise
from reconcile.trace import Stations, trace


def traced(rows: list[Row], files: list[Row]) -> pl.LazyFrame:
    frames = calls(*rows), inventory(*files)
    stations = everywhere(*frames, match(frames[0].lazy(), frames[1].lazy(), Rules()))
    return trace(frames[0].lazy(), frames[1].lazy(), stations, Rules()).trace


def summary_of(rows: list[Row], files: list[Row], ledger: pl.DataFrame | None = None) -> pl.DataFrame:
    extract = {
        "business": BUSINESS, "site": SITE, "day": DAY, "dataset": "calls", "source_file": "a.csv", "expected_rows": 0,
        "expected_bytes": 0, "expected_sha256": None, "rows_in": 7, "rows_ok": 6, "rows_quarantined": 1, "bytes": 0,
        "sha256": "",
    }  # fmt: skip
    return summarise(
        traced(rows, files),
        calls=calls(*rows).lazy(),
        notes=NOTES.empty().lazy(),
        extracts=rows_of(EXTRACTS, extract).lazy(),
        findings=(ledger if ledger is not None else findings()).lazy(),
    )


def test_a_day_is_counted_once_whatever_its_legs() -> None:
    rows = [
        call("c1", recording_path="1.wav", leg="1"),
        call("c1", recording_path="2.wav", leg="2"),
        call("c2", "10:00:00", recording_path="3.wav"),
        call("c3", "11:00:00", recording_path="4.wav"),
        call("c4", "12:00:00", callee="13900000000", expects_recording=False),
    ]
    (day,) = summary_of(rows, [recording(f"{n}.wav") for n in (1, 2, 3)]).iter_rows(named=True)
    assert {name: day[name] for name in ("calls", "legs", "calls_expecting", "complete", "missing", "excluded")} == {
        "calls": 4, "legs": 5, "calls_expecting": 3, "complete": 2, "missing": 1, "excluded": 1,
    }  # fmt: skip
    assert (day["recordings"], day["bytes"], day["seconds"], day["published"]) == (3, 3000, 15.0, 3)
    assert (day["rows_in"], day["rows_ok"], day["rows_quarantined"]) == (7, 6, 1)
    assert day["coverage"] == 2 / 3


def test_a_finding_counts_while_it_is_open() -> None:
    ledger = findings(
        finding("a", severity="critical"),
        finding("b", severity="critical", status="resolved"),
        finding("c", severity="critical", status="waived"),
        finding("d", severity="minor"),
    )
    (day,) = summary_of([], [], ledger).iter_rows(named=True)
    assert (day["open_critical"], day["open_major"], day["open_minor"]) == (1, 0, 1)


def test_a_day_without_calls_is_covered() -> None:
    assert summary_of([], [recording("a.wav")])["coverage"].to_list() == [1.0]


def test_days_are_counted_apart() -> None:
    later = DAY + timedelta(days=1)
    files = [recording("a.wav"), recording("b.wav", day=later), recording("c.wav", day=later)]
    assert summary_of([], files).select("day", "recordings").rows() == [(DAY, 1), (later, 2)]


def test_nothing_gives_frames_without_rows() -> None:
    empty = summarise(
        TRACE.empty().lazy(), calls=calls().lazy(), notes=NOTES.empty().lazy(), extracts=EXTRACTS.empty().lazy(),
        findings=findings().lazy(),
    )  # fmt: skip
    assert (empty.height, empty.schema) == (0, SUMMARY.schema)
    assert file_types(TRACE.empty().lazy()).schema == FILE_TYPES.schema
    assert durations(TRACE.empty().lazy()).schema == DURATIONS.schema


def test_files_are_counted_by_what_their_headers_say() -> None:
    files = [
        recording("a.wav"),
        recording("b.wav", duration_ms=1000),
        recording("c.mp3", container="mp3", codec="mp3"),
        recording("d.wav", container=None, codec=None, state="undecodable", duration_ms=None),
    ]
    counted = file_types(traced([], files)).select("container", "codec", "state", "recordings", "bytes", "seconds")
    assert sorted(counted.rows()) == [
        ("mp3", "mp3", "ok", 1, 1000, 5.0),
        ("unknown", "unknown", "undecodable", 1, 1000, 0.0),
        ("wav", "pcm_mulaw", "ok", 2, 2000, 6.0),
    ]


def without(name: str, rows: list[Row], files: list[Row], *gone: str) -> pl.LazyFrame:
    """The trace of these calls and recordings, of which a station does not hold the files of these paths."""
    frames = calls(*rows), inventory(*files)
    stations = everywhere(*frames, match(frames[0].lazy(), frames[1].lazy(), Rules()))
    held: pl.LazyFrame = getattr(stations, name)
    column = "key" if name == "listing" else "recording_id"
    absent = frames[1].filter(pl.col("path").is_in(gone)).with_columns(object_key().alias("key")).select(column)
    fewer = dataclasses.replace(stations, **{name: held.join(absent.lazy(), on=column, how="anti")})
    return trace(frames[0].lazy(), frames[1].lazy(), fewer, Rules()).trace


def summed(traced_rows: pl.LazyFrame, **frames: pl.DataFrame) -> pl.DataFrame:
    """The summary of a trace, with nothing beside it but these frames."""
    empty = {"calls": calls(), "notes": NOTES.empty(), "extracts": EXTRACTS.empty(), "findings": findings()}
    return summarise(traced_rows, **{name: frame.lazy() for name, frame in (empty | frames).items()})


THREE = [call(f"c{n}", f"{n:02}:00:00", recording_path=f"{n}.wav") for n in (1, 2, 3)]
THEIRS = [recording(f"{n}.wav") for n in (1, 2, 3)]


@pytest.mark.parametrize(
    ("name", "counts", "complete", "partial", "missing"),
    [
        ("snapshot_files", (2, 3, 3, 3), 2, 0, 1),
        ("restored", (3, 2, 3, 3), 2, 1, 0),
        ("listing", (3, 3, 2, 3), 2, 1, 0),
        ("indexed", (3, 3, 3, 2), 2, 1, 0),
    ],
)
def test_each_station_counts_the_recordings_that_it_has(
    name: str, counts: tuple[int, ...], complete: int, partial: int, missing: int
) -> None:
    (day,) = summed(without(name, THREE, THEIRS, "2.wav")).iter_rows(named=True)
    assert tuple(day[station] for station in ("in_snapshot", "restored", "published", "indexed")) == counts
    assert (day["complete"], day["partial"], day["missing"]) == (complete, partial, missing)
    assert (day["recordings"], day["coverage"]) == (3, 2 / 3)


def test_stations_that_were_not_looked_at_hold_nothing() -> None:
    (day,) = summed(trace(calls(*THREE).lazy(), inventory(*THEIRS).lazy(), Stations(), Rules()).trace).iter_rows(
        named=True
    )
    assert [day[station] for station in ("in_snapshot", "restored", "published", "indexed")] == [0, 0, 0, 0]
    assert (day["recordings"], day["complete"], day["coverage"]) == (3, 3, 1.0)


def test_bytes_and_seconds_are_those_of_all_files_of_unknown_length_too() -> None:
    files = [
        recording("a.wav", size=0, duration_ms=0, state="empty"),
        recording("b.wav", size=3_000_000_000, duration_ms=1),
        recording("c.wav", size=3_000_000_000, duration_ms=None, state="undecodable"),
    ]
    (day,) = summed(traced([], files)).iter_rows(named=True)
    assert (day["recordings"], day["bytes"], day["seconds"]) == (3, 6_000_000_000, 0.001)


def test_calls_that_need_no_recording_do_not_lower_the_coverage() -> None:
    free = [call(f"f{n}", f"1{n}:00:00", callee="13900000000", expects_recording=False) for n in range(3)]
    (day,) = summed(traced([*free, *THREE], THEIRS[:1])).iter_rows(named=True)
    assert (day["calls"], day["calls_expecting"], day["excluded"], day["missing"]) == (6, 3, 3, 2)
    assert day["coverage"] == 1 / 3


def test_a_day_of_calls_that_need_no_recording_is_covered() -> None:
    (day,) = summed(traced([call("c1", expects_recording=False)], [])).iter_rows(named=True)
    assert (day["calls"], day["calls_expecting"], day["excluded"], day["coverage"]) == (1, 0, 1, 1.0)


def test_a_day_without_any_recording_is_not_covered_at_all() -> None:
    (day,) = summed(traced(THREE, [])).iter_rows(named=True)
    assert (day["recordings"], day["bytes"], day["seconds"], day["missing"], day["coverage"]) == (0, 0, 0.0, 3, 0.0)


def test_a_call_with_two_recordings_is_one_call_and_expects_once() -> None:
    rows, files = [call("c1")], [recording(f"{n}.wav", call_id="c1") for n in (1, 2)]
    (day,) = summed(traced(rows, files), calls=calls(*rows)).iter_rows(named=True)
    assert (day["calls"], day["legs"], day["calls_expecting"], day["recordings"], day["complete"]) == (1, 1, 1, 2, 1)


def test_calls_of_one_id_in_two_datasets_are_two() -> None:
    rows = [call("c1", recording_path="1.wav"), call("c1", dataset="others", recording_path="2.wav")]
    (day,) = summed(traced(rows, [recording("1.wav"), recording("2.wav")])).iter_rows(named=True)
    assert (day["calls"], day["complete"]) == (2, 2)


def test_sites_are_counted_apart() -> None:
    rows = [call("c1", recording_path="1.wav"), call("c1", site="gz", recording_path="1.wav")]
    told = summed(traced(rows, [recording("1.wav")]), calls=calls(*rows))
    assert told.select("site", "calls", "recordings", "coverage").rows() == [("cq", 1, 1, 1.0), ("gz", 1, 0, 0.0)]


@pytest.mark.parametrize("name", ["notes", "extracts", "findings", "calls"])
def test_a_day_that_only_one_frame_knows_has_a_row(name: str) -> None:
    row = {
        "notes": rows_of(NOTES, NOTE), "extracts": rows_of(EXTRACTS, EXTRACT), "findings": findings(finding("a")),
        "calls": calls(call("c1")),
    }[name]  # fmt: skip
    (day,) = summed(TRACE.empty().lazy(), **{name: row}).iter_rows(named=True)
    counted = {"notes": "notes", "extracts": "rows_in", "findings": "open_major", "calls": "legs"}
    assert {column for column, value in day.items() if value and column not in ("business", "site", "day")} == {
        counted[name], "coverage", *(["rows_ok"] if name == "extracts" else []),
    }  # fmt: skip
    assert (day["day"], day["coverage"]) == (DAY, 1.0)


NOTE = {
    "business": BUSINESS, "site": SITE, "dataset": "notes", "day": DAY, "note_uid": "n1", "call_id": None,
    "written_at": None, "attributes": "{}", "source_file": "n.csv", "source_row": 2,
}  # fmt: skip
EXTRACT = {
    "business": BUSINESS, "site": SITE, "day": DAY, "dataset": "calls", "source_file": "a.csv", "expected_rows": None,
    "expected_bytes": None, "expected_sha256": None, "rows_in": 5, "rows_ok": 5, "rows_quarantined": 0, "bytes": 9,
    "sha256": "a",
}  # fmt: skip


def test_rows_of_all_extracts_of_a_day_are_summed() -> None:
    more = EXTRACT | {"dataset": "notes", "source_file": "n.csv", "rows_in": 4, "rows_ok": 1, "rows_quarantined": 3}
    (day,) = summed(TRACE.empty().lazy(), extracts=rows_of(EXTRACTS, EXTRACT, more)).iter_rows(named=True)
    assert (day["rows_in"], day["rows_ok"], day["rows_quarantined"]) == (9, 6, 3)


def test_rows_of_no_known_day_are_counted_last() -> None:
    rows = [call("c1"), call("c2", None, day=None, callee="13900000000")]
    ledger = findings(finding("a"), finding("b", day=None))
    told = summed(traced(rows, []), calls=calls(*rows), findings=ledger)
    assert told.select("day", "calls", "legs", "open_major").rows() == [(DAY, 1, 1, 1), (None, 1, 1, 1)]


def test_every_severity_is_counted_for_itself() -> None:
    wanted = {"critical": 4, "major": 3, "minor": 2, "info": 1}
    ledger = findings(
        *(finding(f"{severity} {n}", severity=severity) for severity, times in wanted.items() for n in range(times))
    )
    (day,) = summed(TRACE.empty().lazy(), findings=ledger).iter_rows(named=True)
    assert {severity: day[f"open_{severity}"] for severity in wanted} == wanted


AMOUNTS = st.lists(
    st.tuples(st.booleans(), st.booleans(), st.sampled_from(["ok", "truncated"]), st.integers(1, 10**9)), max_size=6
)


@settings(max_examples=15)
@given(AMOUNTS)
def test_every_call_has_one_coverage_and_file_types_add_up_to_the_summary(
    amounts: list[tuple[bool, bool, str, int]],
) -> None:
    rows = [
        call(f"c{n}", f"{n:02}:00:00", recording_path=f"{n}.wav", expects_recording=expects)
        for n, (expects, *_) in enumerate(amounts)
    ]
    files = [
        recording(f"{n}.wav", size=size, state=state) for n, (_, exists, state, size) in enumerate(amounts) if exists
    ]
    whole = traced(rows, files)
    told, types = summed(whole, calls=calls(*rows)), file_types(whole)
    assert conform(told, SUMMARY).equals(told)
    assert conform(types, FILE_TYPES).equals(types)
    assert (told["calls"].sum(), told["legs"].sum()) == (len(rows), len(rows))
    parts = ("complete", "partial", "missing", "excluded")
    assert tuple(told[name].sum() for name in parts) == tuple(
        len([each for each in amounts if outcome(*each[:3]) == name]) for name in parts
    )
    lengths = durations(whole)
    assert conform(lengths, DURATIONS).equals(lengths)
    assert lengths["recordings"].sum() == told["recordings"].sum()
    for name in ("recordings", "bytes", "seconds"):
        assert types[name].sum() == told[name].sum()
    assert told["bytes"].sum() == sum(file["size"] for file in files)


def outcome(expects: bool, exists: bool, state: str) -> str:
    """The coverage of a call that expects its file, which exists in this state."""
    if exists:
        return "complete" if state == "ok" else "partial"
    return "missing" if expects else "excluded"


def test_files_of_several_sites_and_days_are_not_mixed() -> None:
    files = [recording("a.wav"), recording("a.wav", site="gz"), recording("b.wav", day=DAY + timedelta(days=1))]
    types = file_types(traced([call("c1", callee="13900000000")], files))
    assert types.select("site", "day", "recordings").rows() == [
        ("cq", DAY, 1), ("cq", DAY + timedelta(days=1), 1), ("gz", DAY, 1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("milliseconds", "bounds"),
    [
        (0, (0, 1)), (999, (0, 1)), (1000, (1, 5)), (4999, (1, 5)), (5000, (5, 10)), (59_999, (30, 60)),
        (60_000, (60, 120)), (3_599_999, (1800, 3600)), (3_600_000, (3600, None)), (10**9, (3600, None)),
        (None, (None, None)),
    ],
)  # fmt: skip
def test_a_recording_is_counted_in_the_range_that_begins_with_its_length(
    milliseconds: int | None, bounds: tuple[int | None, int | None]
) -> None:
    lengths = durations(traced([], [recording("a.wav", duration_ms=milliseconds)]))
    assert lengths.select("from_seconds", "until_seconds", "recordings").rows() == [(*bounds, 1)]


def test_recordings_of_one_range_site_and_day_are_one_row() -> None:
    files = [recording(f"{n}.wav", duration_ms=n * 1000) for n in (6, 7, 90)]
    files += [recording("a.wav", duration_ms=6000, site="gz"), recording("b.wav", day=DAY + timedelta(days=1))]
    assert durations(traced([], files)).select("site", "day", "from_seconds", "recordings").rows() == [
        ("cq", DAY, 5, 2), ("cq", DAY, 60, 1), ("cq", DAY + timedelta(days=1), 5, 1), ("gz", DAY, 5, 1),
    ]  # fmt: skip
    assert list(LENGTHS) == sorted(set(LENGTHS))


def test_each_loss_is_counted_at_the_station_where_it_happened() -> None:
    lost = ["restored", "restored", "on_site", None, "indexed"]
    rows = traced([], [recording(f"{n}.wav") for n in range(len(lost))]).collect()
    (day,) = summed(rows.with_columns(pl.Series("lost_at", lost, dtype=pl.String)).lazy()).iter_rows(named=True)
    told = {name.removeprefix("lost_"): count for name, count in day.items() if name.startswith("lost_")}
    assert told == {"on_site": 1, "in_snapshot": 0, "restored": 2, "published": 0, "indexed": 1}
