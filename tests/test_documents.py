"""Every call becomes one search document, with its notes and its recordings."""

import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import (
    BUSINESS,
    DAY,
    NUMBER,
    SITE,
    Row,
    at,
    call,
    call_uid,
    calls,
    inventory,
    recording,
    recording_id,
    rows_of,
)

from reconcile.documents import differing, documents
from reconcile.frames import CALLS, NOTES
from reconcile.matching import match
from reconcile.rules import NumberRules, Rules

RULES = Rules()
OWN = (
    "call_uid", "business", "site", "dataset", "day", "call_id", "leg", "started_at", "talk_seconds", "extension",
    "caller", "callee", "display_number", "attributes",
)  # fmt: skip


def note(call_id: str | None, clock: str | None, text: str, **columns: Any) -> Row:
    """A row of NOTES."""
    return {
        "business": BUSINESS, "site": SITE, "dataset": "notes", "day": DAY, "note_uid": text, "call_id": call_id,
        "written_at": at(clock) if clock else None, "attributes": json.dumps({"text": text}, ensure_ascii=False),
        "source_file": "notes.csv", "source_row": 2,
    } | columns  # fmt: skip


def documented(
    rows: list[Row], files: list[Row] | None = None, notes: list[Row] | None = None, numbers: NumberRules | None = None
) -> pl.DataFrame:
    frames = calls(*rows), inventory(*files or [])
    matches = match(frames[0].lazy(), frames[1].lazy(), RULES)
    return documents(frames[0], rows_of(NOTES, *notes or []), frames[1], matches, numbers or RULES.numbers)


def texts(document: Row) -> list[str]:
    return [written["text"] for written in json.loads(document["notes"])]


def names(document: Row) -> list[str]:
    return [held["path"] for held in document["recordings"]]


def by_call(frame: pl.DataFrame) -> dict[str, Row]:
    """The documents by the id and leg of their call."""
    return {f"{row['call_id']}{row['leg']}": row for row in frame.iter_rows(named=True)}


def test_a_document_holds_the_call_as_its_row_says_it() -> None:
    row = call("c1", caller="2049", display_number="02112345678", attributes='{"case":"K7"}')
    (document,) = documented([row]).iter_rows(named=True)
    assert {name: document[name] for name in OWN} == {name: row[name] for name in OWN}
    assert (document["notes"], document["recordings"]) == ("[]", [])


def test_a_document_holds_its_recording_with_its_key_and_hash() -> None:
    (document,) = documented([call("c1", recording_path="01/31/a.wav3")], [recording("01/31/a.wav3")]).iter_rows(
        named=True
    )
    name, digest = recording_id("01/31/a.wav3"), inventory(recording("01/31/a.wav3"))["sha256"].item()
    assert document["recordings"] == [
        {
            "recording_id": name, "key": f"2021-01-31/{name[:2]}/{name}.{digest[:12]}.wav3", "path": "01/31/a.wav3",
            "container": "wav", "codec": "pcm_mulaw", "duration_ms": 5000, "size": 1000, "sha256": digest,
            "state": "ok",
        }
    ]  # fmt: skip


def test_a_recording_that_was_not_read_has_no_key() -> None:
    unread = recording("a.wav", sha256=None, md5=None, state="unreadable")
    (document,) = documented([call("c1", recording_path="a.wav")], [unread]).iter_rows(named=True)
    assert [(held["path"], held["key"], held["sha256"]) for held in document["recordings"]] == [("a.wav", None, None)]


def test_each_call_has_its_own_recordings_by_their_path_and_an_orphan_is_in_none() -> None:
    rows = [call("c1"), call("c2", "10:00:00"), call("c3", "11:00:00", callee="13900000000")]
    files = [
        recording("b.wav", call_id="c1"),
        recording("a.wav", call_id="c1"),
        recording("c.wav", call_id="c2"),
        recording("d.wav"),
    ]
    found = by_call(documented(rows, files))
    assert {name: names(document) for name, document in found.items()} == {
        "c1": ["a.wav", "b.wav"], "c2": ["c.wav"], "c3": [],
    }  # fmt: skip


def test_a_recording_that_fits_several_calls_is_in_no_document() -> None:
    rows = [call("c1", recording_path="a.wav"), call("c2", "10:00:00", recording_path="a.wav")]
    assert [names(row) for row in documented(rows, [recording("a.wav")]).iter_rows(named=True)] == [[], []]


def test_every_leg_is_a_document_with_the_notes_of_its_call() -> None:
    rows = [call("c1", leg="1", recording_path="1.wav"), call("c1", leg="2", recording_path="2.wav")]
    found = by_call(documented(rows, [recording("1.wav"), recording("2.wav")], [note("c1", "12:00:00", "n1")]))
    assert {name: (names(document), texts(document)) for name, document in found.items()} == {
        "c11": (["1.wav"], ["n1"]), "c12": (["2.wav"], ["n1"]),
    }  # fmt: skip


def test_repeated_rows_of_a_leg_are_one_document_that_of_the_first_row() -> None:
    rows = [call("c1", source_row=9, talk_seconds=9.0), call("c1", source_row=2, talk_seconds=2.0)]
    found = documented(rows, notes=[note("c1", "12:00:00", "n1")])
    assert found.select("call_id", "talk_seconds").rows() == [("c1", 2.0)]


def test_notes_stand_in_the_order_in_which_they_were_written() -> None:
    written = [
        note("c1", None, "undated"),
        note("c1", "12:00:00", "second"),
        note("c1", "11:00:00", "first"),
        note("c2", "10:00:00", "of another call"),
        note(None, "10:00:00", "of no call"),
    ]
    (document,) = documented([call("c1")], notes=written).iter_rows(named=True)
    assert texts(document) == ["first", "second", "undated"]


def test_notes_of_a_call_of_the_same_id_at_another_site_are_not_its_own() -> None:
    rows = [call("c1"), call("c1", site="gz")]
    written = [note("c1", "12:00:00", "at cq"), note("c1", "12:00:00", "at gz", site="gz")]
    found = documented(rows, notes=written)
    assert {row["site"]: texts(row) for row in found.iter_rows(named=True)} == {"cq": ["at cq"], "gz": ["at gz"]}


@pytest.mark.parametrize("text", ['say "hello"', "line\nline", "{}],[{}", "催记：明天再打", ""])
def test_notes_are_json_whatever_stands_in_them(text: str) -> None:
    (document,) = documented(
        [call("c1")], notes=[note("c1", "11:00:00", text), note("c1", "12:00:00", "n2")]
    ).iter_rows(named=True)
    assert texts(document) == [text, "n2"]


@pytest.mark.parametrize(
    ("columns", "numbers"),
    [
        ({"callee": "015372388463"}, [NUMBER]),
        ({"caller": "8615372388463", "callee": "15372388463"}, [NUMBER]),
        ({"caller": "2049", "callee": NUMBER, "display_number": "02112345678"}, ["2049", NUMBER, "2112345678"]),
        ({"callee": "anonymous"}, []),
        ({"callee": None}, []),
    ],
)
def test_a_call_is_found_by_each_of_its_numbers_once_however_written(columns: Row, numbers: list[str]) -> None:
    (document,) = documented([call("c1", **columns)]).iter_rows(named=True)
    assert document["numbers"] == numbers
    assert document["callee"] == columns["callee"]


def test_numbers_follow_the_rules_of_the_business() -> None:
    rules = NumberRules(access_codes=["9"])
    (document,) = documented([call("c1", callee="9015372388463")], numbers=rules).iter_rows(named=True)
    assert document["numbers"] == [NUMBER]


def test_no_calls_are_no_documents_of_the_same_columns() -> None:
    none, one = documented([], [recording("a.wav")], [note("c1", "12:00:00", "n1")]), documented([call("c1")])
    assert (none.height, none.schema) == (0, one.schema)
    assert set(none.columns) == {*OWN, "numbers", "notes", "recordings"}


ROWS = [call(f"c{n}", f"{n:02}:00:00", recording_path=f"{n}.wav", source_row=n) for n in range(1, 5)]
FILES = [recording(f"{n}.wav") for n in range(1, 4)]
WRITTEN = [note(f"c{n}", f"{hour}:00:00", f"n{n} {hour}") for n in (1, 2) for hour in (10, 11)]


@settings(max_examples=25)
@given(st.permutations(ROWS), st.permutations(FILES), st.permutations(WRITTEN))
def test_documents_are_the_same_whatever_the_order_of_the_rows(
    rows: list[Row], files: list[Row], written: list[Row]
) -> None:
    found = documented(rows, files, written)
    assert found.equals(documented(ROWS, FILES, WRITTEN))
    assert found["call_uid"].to_list() == sorted(call_uid(row["call_id"]) for row in ROWS)
    assert set(CALLS.columns) - set(found.columns) == {
        "recording_path", "expects_recording", "source_file", "source_row",
    }  # fmt: skip


def test_only_documents_that_differ_are_changed() -> None:
    rows = [call("1", "10:00:00"), call("2", "11:00:00", recording_path="b.wav")]
    before = documented(rows)
    after = documented([*rows, call("3", "12:00:00")], [recording("b.wav", "11:00:00")])
    differs = differing(before, after)
    assert differs is not None
    assert sorted(differs["call_id"]) == ["2", "3"]
    same = differing(after, after.reverse())
    assert same is not None
    assert same.is_empty()


def test_a_document_that_is_gone_or_of_another_day_needs_the_whole_day() -> None:
    rows = [call("1", "10:00:00"), call("2", "11:00:00")]
    before = documented(rows)
    assert differing(before, documented(rows[:1])) is None
    assert differing(before, before.with_columns(pl.col("day").dt.offset_by("1d"))) is None
