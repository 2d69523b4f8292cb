"""The trace tells of every call and recording at which station it is, and where it was lost."""

import dataclasses
from datetime import timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import DAY, NUMBER, Row, at, call, call_uid, calls, everywhere, inventory, named, recording, recording_id

from reconcile.frames import TRACE
from reconcile.matching import match
from reconcile.recordings import object_key
from reconcile.rules import Rules
from reconcile.trace import Stations, trace

BEHIND = {"in_snapshot": "snapshot_files", "restored": "restored", "published": "listing", "indexed": "indexed"}


def all_stations(rows: list[Row], files: list[Row]) -> Stations:
    """Every station, with nothing lost."""
    frames = calls(*rows), inventory(*files)
    return everywhere(*frames, match(frames[0].lazy(), frames[1].lazy(), Rules()))


def lost(stations: Stations, station: str, *gone: Row) -> Stations:
    """The stations, of which this one lacks these recordings."""
    name = BEHIND[station]
    frame: pl.LazyFrame = getattr(stations, name)
    column = "key" if name == "listing" else "recording_id"
    absent = inventory(*gone).with_columns(object_key().alias("key"))
    return dataclasses.replace(stations, **{name: frame.join(absent.select(column).lazy(), on=column, how="anti")})


def traced(rows: list[Row], files: list[Row], stations: Stations | None = None) -> pl.DataFrame:
    return trace(calls(*rows).lazy(), inventory(*files).lazy(), stations or Stations(), Rules()).trace.collect()


def told(frame: pl.DataFrame, *columns: str) -> dict[str, object]:
    """What these columns say of each recording, by its path, or call that has none, by its id."""
    name = pl.when(pl.col("recording_id").is_null()).then("call_id").otherwise("path")
    said = frame.select(name.alias("name"), *columns)
    assert said["name"].is_unique().all()
    return {row[0]: row[1] if len(columns) == 1 else row[1:] for row in said.iter_rows()}


def pairs(*numbers: int) -> tuple[list[Row], list[Row]]:
    """Calls c1, c2, … and the recordings 1.wav, 2.wav, … that their rows name."""
    rows = [call(f"c{n}", f"{n:02}:00:00", recording_path=f"{n}.wav") for n in numbers]
    return rows, [recording(f"{n}.wav") for n in numbers]


# stations


def test_what_is_at_every_station_is_lost_nowhere() -> None:
    rows, files = pairs(1, 2)
    found = traced(rows, files, all_stations(rows, files))
    assert found.select("called", "on_site", *BEHIND, "content_ok").unique().rows() == [(True,) * 7]
    assert told(found, "lost_at", "coverage") == {"1.wav": (None, "complete"), "2.wav": (None, "complete")}


@pytest.mark.parametrize("station", BEHIND)
@pytest.mark.parametrize("for_good", [True, False])
def test_a_recording_is_lost_at_the_first_station_that_lacks_it(station: str, for_good: bool) -> None:
    rows, files = pairs(1, 2, 3)
    stations, order = all_stations(rows, files), list(BEHIND)
    gone_from = order[order.index(station) :] if for_good else [station]
    for name in gone_from:
        stations = lost(stations, name, files[1])
    found = traced(rows, files, stations)
    assert told(found, "lost_at") == {"1.wav": None, "2.wav": station, "3.wav": None}
    assert told(found, *BEHIND)["2.wav"] == tuple(name not in gone_from for name in order)
    of_that_call = "missing" if station == "in_snapshot" else "partial"
    assert told(found, "coverage") == {"1.wav": "complete", "2.wav": of_that_call, "3.wav": "complete"}


@pytest.mark.parametrize("looked_further", [True, False])
def test_a_call_whose_recording_never_was_is_lost_on_site(looked_further: bool) -> None:
    rows, files = pairs(1, 2)
    found = traced(rows, files[:1], all_stations(rows, files[:1]) if looked_further else None)
    assert told(found, "called", "on_site", "lost_at", "coverage") == {
        "1.wav": (True, True, None, "complete"),
        "c2": (True, False, "on_site", "missing"),
    }


def test_a_call_that_the_index_does_not_know_is_lost_there_if_it_needs_no_recording() -> None:
    rows = [call("c1", expects_recording=False), call("c2", "10:00:00", expects_recording=False)]
    stations = dataclasses.replace(all_stations(rows, []), indexed=all_stations(rows[:1], []).indexed)
    assert told(traced(rows, [], stations), "indexed", "lost_at", "coverage") == {
        "c1": (True, None, "excluded"),
        "c2": (False, "indexed", "excluded"),
    }


def test_an_index_that_links_the_recording_to_another_leg_does_not_have_it() -> None:
    rows = [call("c1", leg="1", recording_path="1.wav"), call("c1", leg="2", expects_recording=False)]
    files = [recording("1.wav")]
    wrong = pl.LazyFrame({"call_uid": [call_uid("c1", "2")], "recording_id": [recording_id("1.wav")]})
    stations = dataclasses.replace(all_stations(rows, files), indexed=wrong)
    assert told(traced(rows, files, stations), "indexed", "lost_at") == {"1.wav": (False, "indexed")}


@pytest.mark.parametrize("station", BEHIND)
def test_a_station_that_was_not_looked_at_is_unknown_and_loses_nothing(station: str) -> None:
    rows, files = pairs(1, 2)
    stations = all_stations(rows, files)
    for name in BEHIND:
        stations = lost(stations, name, files[0])
    only = dataclasses.replace(Stations(), **{BEHIND[station]: getattr(stations, BEHIND[station])})
    found = traced(rows, files, only)
    assert told(found, "lost_at") == {"1.wav": station, "2.wav": None}
    assert told(found, *BEHIND)["2.wav"] == tuple(True if name == station else None for name in BEHIND)


def test_a_recording_without_a_call_is_traced_through_every_station_but_the_index() -> None:
    files = [recording("1.wav"), recording("2.wav")]
    found = traced([], files, lost(all_stations([], files), "published", files[1]))
    assert told(found, "called", "published", "indexed", "lost_at", "coverage", "call_id") == {
        "1.wav": (False, True, None, None, None, None),
        "2.wav": (False, False, None, "published", None, None),
    }


def test_only_an_older_version_in_the_snapshot_is_not_this_recording() -> None:
    rows, files = pairs(1)
    stations = all_stations(rows, files)
    older = pl.col("mtime") - timedelta(microseconds=1)
    held = dataclasses.replace(stations, snapshot_files=stations.snapshot_files.with_columns(older))
    assert told(traced(rows, files, held), "in_snapshot", "lost_at") == {"1.wav": (False, "in_snapshot")}


@pytest.mark.parametrize("column", ["size", "mtime"])
def test_a_file_that_grew_until_the_snapshot_is_still_moving_and_not_lost(column: str) -> None:
    rows, files = pairs(1)
    stations = lost(lost(all_stations(rows, files), "restored", *files), "published", *files)
    more = pl.col("size") + 1 if column == "size" else pl.col("mtime") + timedelta(microseconds=1)
    grown = dataclasses.replace(stations, snapshot_files=stations.snapshot_files.with_columns(more))
    said = told(traced(rows, files, grown), "state", "in_snapshot", "restored", "published", "lost_at", "coverage")
    assert said == {"1.wav": ("in_progress", None, None, None, None, "partial")}


def test_nothing_is_said_of_a_recording_that_is_still_written() -> None:
    rows, files = pairs(1)[0], [recording("1.wav", state="in_progress")]
    stations = all_stations(rows, files)
    for name in BEHIND:
        stations = lost(stations, name, *files)
    said = told(traced(rows, files, stations), "in_snapshot", "restored", "published", "content_ok", "lost_at")
    assert said == {"1.wav": (None, None, None, None, None)}


# content


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ({"size": 999}, False),
        ({"etag": "f" * 32}, False),
        ({"etag": "F" * 32}, False),
        ({"etag": "5d41402abc4b2a76b9719d911017c592-2"}, True),
        ({"etag": None}, True),
        ({"size": 999, "etag": None}, False),
    ],
)
def test_an_object_with_other_content_is_published_but_not_whole(other: Row, same: bool) -> None:
    rows, files = pairs(1)
    stations = all_stations(rows, files)
    changes = [
        pl.lit(value, TRACE.schema["size"] if name == "size" else pl.String).alias(name)
        for name, value in other.items()
    ]
    stations = dataclasses.replace(stations, listing=stations.listing.with_columns(changes))
    assert told(traced(rows, files, stations), "published", "content_ok", "lost_at", "coverage") == {
        "1.wav": (True, same, None, "complete" if same else "partial")
    }


def test_a_stores_tag_is_the_same_in_capitals() -> None:
    rows, files = pairs(1)
    stations = all_stations(rows, files)
    loud = dataclasses.replace(stations, listing=stations.listing.with_columns(pl.col("etag").str.to_uppercase()))
    assert told(traced(rows, files, loud), "content_ok") == {"1.wav": True}


def test_a_restored_copy_with_other_bytes_is_not_whole() -> None:
    rows, files = pairs(1, 2)
    stations = all_stations(rows, files)
    spoilt = pl.when(pl.col("path") == "1.wav").then(pl.lit("0" * 64)).otherwise("sha256").alias("sha256")
    stations = dataclasses.replace(stations, restored=stations.restored.with_columns(spoilt))
    assert told(traced(rows, files, stations), "restored", "content_ok", "lost_at", "coverage") == {
        "1.wav": (True, False, None, "partial"),
        "2.wav": (True, True, None, "complete"),
    }


def test_the_newest_restored_copy_counts() -> None:
    rows, files = pairs(1)
    stations = all_stations(rows, files)
    old = stations.restored.with_columns(pl.col("mtime") - timedelta(days=1), sha256=pl.lit("0" * 64))
    for copies in ([old, stations.restored], [stations.restored, old]):
        both = dataclasses.replace(stations, restored=pl.concat(copies))
        assert told(traced(rows, files, both), "content_ok") == {"1.wav": True}


def test_an_older_version_on_the_central_disk_is_not_this_recording_unless_it_has_its_bytes() -> None:
    rows, files = pairs(1, 2)
    stations = all_stations(rows, files)
    other = pl.when(pl.col("path") == "1.wav").then(pl.lit("0" * 64)).otherwise("sha256").alias("sha256")
    old = stations.restored.with_columns(pl.col("mtime") - timedelta(microseconds=1), other)
    behind = dataclasses.replace(stations, restored=old)
    assert told(traced(rows, files, behind), "restored", "content_ok", "lost_at", "coverage") == {
        "1.wav": (False, True, "restored", "partial"),
        "2.wav": (True, True, None, "complete"),
    }


@pytest.mark.parametrize("first", [0, 1])
def test_of_several_versions_of_an_object_the_newest_counts(first: int) -> None:
    rows, files = pairs(1)
    stations = all_stations(rows, files)
    old = stations.listing.with_columns(pl.col("last_modified") - timedelta(seconds=1), pl.col("size") + 1)
    versions = [[old, stations.listing], [stations.listing, old]][first]
    both = dataclasses.replace(stations, listing=pl.concat(versions))
    assert told(traced(rows, files, both), "published", "content_ok") == {"1.wav": (True, True)}


def test_a_recording_that_nobody_could_read_has_no_hash_no_key_and_nothing_to_compare() -> None:
    rows, _ = pairs(1)
    unread = [recording("1.wav", sha256=None, md5=None, state="unreadable")]
    stations = all_stations(rows, unread)
    held = stations.snapshot_files, stations.restored.with_columns(sha256=pl.lit("0" * 64), md5=pl.lit("0" * 32))
    for listing in (None, stations.listing, all_stations(*pairs(1)).listing):
        now = dataclasses.replace(stations, snapshot_files=held[0], restored=held[1], listing=listing)
        published = None if listing is None else False
        assert told(traced(rows, unread, now), "key", "restored", "published", "content_ok", "lost_at", "coverage") == {
            "1.wav": (None, True, published, None, None if listing is None else "published", "partial")
        }


def test_recordings_without_a_hash_or_a_byte_repeat_nothing() -> None:
    files = [recording(f"{n}.wav", sha256=None, md5=None) for n in (1, 2)]
    files += [recording(f"{n}.wav", content="", size=0, state="empty") for n in (3, 4)]
    assert told(traced([], files), "duplicate_of") == {"1.wav": None, "2.wav": None, "3.wav": None, "4.wav": None}


def test_the_one_that_has_a_call_is_the_original_and_its_copy_costs_no_coverage() -> None:
    rows, [file] = pairs(1)
    copy = recording("copy.wav", content="1.wav", mtime=at("11:00:00"))
    assert told(traced(rows, [copy, file]), "duplicate_of", "coverage") == {
        "1.wav": (None, "complete"),
        "copy.wav": (recording_id("1.wav"), None),
    }


def test_a_copy_that_is_lost_costs_its_call_nothing() -> None:
    rows, [file] = pairs(1)
    files = [file, recording("copy.wav", content="1.wav", call_id="c1", mtime=at("13:00:00"))]
    stations = lost(all_stations(rows, files), "restored", files[1])
    assert told(traced(rows, files, stations), "duplicate_of", "lost_at", "coverage") == {
        "1.wav": (None, None, "complete"),
        "copy.wav": (recording_id("1.wav"), "restored", "complete"),
    }


# coverage


def test_a_call_that_expects_no_recording_and_has_none_is_excluded() -> None:
    rows = [call("c1", expects_recording=False), call("c2", "10:00:00", expects_recording=True)]
    assert told(traced(rows, []), "lost_at", "coverage") == {"c1": (None, "excluded"), "c2": ("on_site", "missing")}


def test_a_call_that_expects_no_recording_but_has_one_counts() -> None:
    rows, files = [call("c1", recording_path="1.wav", expects_recording=False)], [recording("1.wav")]
    stations = all_stations(rows, files)
    assert told(traced(rows, files, stations), "coverage") == {"1.wav": "complete"}
    assert told(traced(rows, files, lost(stations, "restored", *files)), "coverage") == {"1.wav": "partial"}


@pytest.mark.parametrize(
    ("state", "coverage"),
    [("ok", "complete"), ("empty", "partial"), ("truncated", "partial"), ("undecodable", "partial")],
)
def test_a_recording_that_is_not_whole_makes_its_call_partial(state: str, coverage: str) -> None:
    rows, files = pairs(1)[0], [recording("1.wav", state=state)]
    assert told(traced(rows, files), "lost_at", "coverage") == {"1.wav": (None, coverage)}


def test_one_of_two_recordings_that_is_lost_makes_the_call_partial_and_both_make_it_missing() -> None:
    rows = [call("c1", leg=leg, recording_path=f"{leg}.wav") for leg in ("1", "2")]
    files = [recording("1.wav"), recording("2.wav")]
    stations = all_stations(rows, files)
    one, both = lost(stations, "in_snapshot", files[0]), lost(stations, "in_snapshot", *files)
    assert told(traced(rows, files, one), "lost_at", "coverage") == {
        "1.wav": ("in_snapshot", "partial"),
        "2.wav": (None, "partial"),
    }
    assert {*traced(rows, files, both)["coverage"]} == {"missing"}


def test_calls_that_a_tie_leaves_open_are_partial_and_lost_nowhere() -> None:
    rows, files = [call("c1"), call("c2")], [named("09:00:00", "1.wav")]
    found = traced(rows, files)
    assert told(found, "ambiguous", "lost_at", "coverage") == {
        "1.wav": (True, None, None),
        "c1": (True, None, "partial"),
        "c2": (True, None, "partial"),
    }
    assert told(found, "reason")["1.wav"] == "fits 2 calls equally well: c1, c2"


def test_a_trace_of_one_day_knows_the_rows_around_midnight() -> None:
    next_day = DAY + timedelta(days=1)
    rows = [
        call("c", "23:59:58", "1", recording_path="1.wav"),
        call("c", "23:59:59", "2", day=next_day, recording_path="2.wav"),
        call("late", "23:59:59", recording_path="late.wav"),
        call("next", day=next_day, recording_path="next.wav"),
    ]
    files = [recording("1.wav"), recording("late.wav", day=next_day), recording("next.wav", day=next_day)]
    of_day = trace(calls(*rows).lazy(), inventory(*files).lazy(), Stations(), Rules(), [DAY]).trace.collect()
    assert told(of_day, "coverage") == {"1.wav": "partial", "late.wav": "complete"}
    of_next = trace(calls(*rows).lazy(), inventory(*files).lazy(), Stations(), Rules(), [next_day]).trace.collect()
    assert told(of_next, "coverage") == {"c": "partial", "next.wav": "complete"}


# legs


def test_legs_that_name_no_file_share_what_their_call_has() -> None:
    rows = [call("c1", leg="1"), call("c1", "09:00:01", leg="2")]
    found = traced(rows, [recording("1.wav", call_id="c1")])
    assert told(found, "call_id", "call_uid", "legs", "coverage") == {
        "1.wav": ("c1", call_uid("c1", "1"), 2, "complete")
    }
    found = traced(rows, [])
    assert told(found, "call_uid", "legs", "coverage") == {"c1": (call_uid("c1", "1"), 2, "missing")}


def test_a_leg_that_names_a_file_must_have_it() -> None:
    rows = [call("c1", leg="1", recording_path="1.wav"), call("c1", leg="2", recording_path="2.wav")]
    found = traced(rows, [recording("1.wav")])
    assert found.select("path", "call_uid", "recording_id", "lost_at", "coverage").rows() == [
        ("1.wav", call_uid("c1", "1"), recording_id("1.wav"), None, "partial"),
        ("2.wav", call_uid("c1", "2"), None, "on_site", "partial"),
    ]


def test_a_leg_that_names_no_file_is_content_with_the_one_that_another_leg_must_have() -> None:
    rows = [call("c1", leg="1"), call("c1", leg="2", recording_path="2.wav")]
    found = traced(rows, [])
    assert found.select("path", "call_uid", "lost_at").rows() == [("2.wav", call_uid("c1", "2"), "on_site")]


def test_a_leg_that_expects_no_recording_lacks_none() -> None:
    rows = [
        call("c1", leg="1", recording_path="1.wav"),
        call("c1", leg="2", recording_path="2.wav", expects_recording=False),
        call("c1", leg="3"),
    ]
    assert told(traced(rows, [recording("1.wav")]), "legs", "coverage") == {"1.wav": (3, "complete")}


def test_the_leg_that_must_have_a_recording_stands_for_its_call() -> None:
    rows = [call("c1", "09:00:00", leg="1", expects_recording=False), call("c1", "09:00:05", leg="2")]
    assert told(traced(rows, []), "call_uid", "expects_recording", "lost_at") == {
        "c1": (call_uid("c1", "2"), True, "on_site")
    }


def test_repeated_rows_of_a_leg_count_once() -> None:
    rows, files = pairs(1)
    later = rows[0] | {"source_row": 3, "talk_seconds": 99.0}
    for repeated in ([*rows, later], [later, *rows]):
        assert told(traced(repeated, files), "legs", "talk_seconds") == {"1.wav": (1, 5.0)}


def test_of_several_versions_of_a_recording_the_newest_counts() -> None:
    rows, files = pairs(1)
    newer = files[0] | {"mtime": at("12:00:01"), "size": 2000}
    for versions in ([files[0], newer], [newer, files[0]]):
        assert told(traced(rows, versions), "size") == {"1.wav": 2000}


# what a row says


def test_a_row_tells_what_the_call_says_before_what_the_name_says() -> None:
    rows = [call("c1", "09:00:07", callee="0" + NUMBER), call("c2", None, extension=None, recording_path="2.wav")]
    files = [named("09:00:00", "1.wav"), named("10:00:00", "2.wav", number="+86" + NUMBER), named("11:00:00", "3.wav")]
    assert told(traced(rows, files), "started_at", "extension", "number", "match") == {
        "1.wav": (at("09:00:07"), "2049", NUMBER, "nearest"),
        "2.wav": (at("10:00:00"), "2049", NUMBER, "path"),
        "3.wav": (at("11:00:00"), "2049", NUMBER, None),
    }


@pytest.mark.parametrize(
    ("callee", "caller", "number"),
    [
        ("anonymous", NUMBER, NUMBER),
        ("2049", "0" + NUMBER, NUMBER),
        (NUMBER, "2049", NUMBER),
        ("2049", None, None),
        (None, "-", None),
    ],
)
def test_the_number_is_the_other_partys(callee: str | None, caller: str | None, number: str | None) -> None:
    assert told(traced([call("c1", callee=callee, caller=caller)], []), "number") == {"c1": number}


def test_the_name_gives_the_number_where_the_row_has_none_that_is_one() -> None:
    rows = [call("c1", callee="anonymous", recording_path="1.wav")]
    assert told(traced(rows, [recording("1.wav", number="0" + NUMBER)]), "number") == {"1.wav": NUMBER}


@pytest.mark.parametrize("looked", [True, False])
def test_a_trace_of_nothing_has_all_its_columns(looked: bool) -> None:
    found = traced([], [], all_stations([], []) if looked else None)
    assert found.is_empty()
    assert found.schema == TRACE.schema


# laws

SOME_CALLS = st.lists(
    st.builds(
        call,
        st.sampled_from(["c1", "c2", "c3", "c4"]),
        st.sampled_from([None, "09:00:00", "09:00:05", "09:00:20"]),
        st.sampled_from(["", "1", "2"]),
        recording_path=st.sampled_from([None, None, "a.wav", "1/a.wav", "b.wav", "x.wav"]),
        expects_recording=st.booleans(),
    ),
    max_size=8,
    unique_by=lambda row: row["call_uid"],
)
SOME_FILES = st.lists(
    st.builds(
        named,
        st.sampled_from(["09:00:00", "09:00:02", "09:00:12", "15:00:00"]),
        st.sampled_from(["1/a.wav", "2/a.wav", "b.wav", "c.wav", "d.wav", "e.wav"]),
        call_id=st.sampled_from([None, "c1", "c2"]),
        content=st.sampled_from(["", "1", "2"]),
        size=st.sampled_from([0, 1000]),
    ),
    max_size=6,
    unique_by=lambda row: row["recording_id"],
)
modestly = settings(max_examples=30)


@modestly
@given(SOME_CALLS, SOME_FILES)
def test_every_recording_has_one_row_and_every_call_without_one_has_one(rows: list[Row], files: list[Row]) -> None:
    found = traced(rows, files)
    assert found.schema == TRACE.schema
    assert sorted(found["recording_id"].drop_nulls()) == sorted(file["recording_id"] for file in files)
    assert {*found["call_id"].drop_nulls()} == {row["call_id"] for row in rows}
    alone = found.filter(pl.col("recording_id").is_null())
    assert alone.select("call_id", "path").is_unique().all()
    recorded = {*found.drop_nulls("recording_id")["call_id"].drop_nulls()}
    for row in alone.iter_rows(named=True):
        assert row["path"] is not None or row["call_id"] not in recorded
    no_call = found.filter(~pl.col("called"))
    assert no_call["call_id"].null_count() == no_call.height
    coverages = found.filter("called").group_by("call_id").agg(pl.col("coverage").n_unique())["coverage"]
    assert {*coverages} <= {1}


@modestly
@given(st.data(), SOME_CALLS, SOME_FILES)
def test_the_order_of_rows_does_not_matter(data: st.DataObject, rows: list[Row], files: list[Row]) -> None:
    stations = all_stations(rows, files)
    shuffled = traced(data.draw(st.permutations(rows)), data.draw(st.permutations(files)), stations)
    assert shuffled.equals(traced(rows, files, stations))


@modestly
@given(st.lists(st.sampled_from([None, *BEHIND]), min_size=1, max_size=6), st.booleans())
def test_each_recording_is_lost_where_it_was_lost_whatever_becomes_of_the_others(
    fates: list[str | None], for_good: bool
) -> None:
    rows, files = pairs(*range(len(fates)))
    stations, order = all_stations(rows, files), list(BEHIND)
    for file, fate in zip(files, fates, strict=True):
        for station in order[order.index(fate) :] if fate else []:
            stations = lost(stations, station, file) if for_good or station == fate else stations
    assert told(traced(rows, files, stations), "lost_at") == {f"{n}.wav": fate for n, fate in enumerate(fates)}
