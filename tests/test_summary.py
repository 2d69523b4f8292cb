"""The summary counts what the trace has, by site and day."""

from datetime import timedelta

import polars as pl
from tables import BUSINESS, DAY, SITE, Row, call, calls, everywhere, finding, findings, inventory, recording, rows_of

from reconcile.frames import EXTRACTS, FILE_TYPES, NOTES, SUMMARY, TRACE
from reconcile.matching import match
from reconcile.rules import Rules
from reconcile.summary import file_types, summarise
from reconcile.trace import trace


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
