"""What a snapshot brings is taken in once, however often it arrives."""

from datetime import date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import BUSINESS, DAY, SITE, Row, at, call, calls, in_snapshot, inventory, recording, restored, rows_of

from reconcile import arrivals
from reconcile.frames import EXTRACTS, GONE, INSTANT, INVENTORY, RESTORED, SNAPSHOT_FILES, SNAPSHOTS, conform

LATER = at("13:00:00")
DISK = pl.Schema({"path": pl.String(), "size": pl.Int64(), "mtime": INSTANT})
TAKEN = pl.Schema({"snapshot_id": pl.String(), "taken_at": INSTANT})


def paths(frame: pl.DataFrame) -> list[str]:
    return frame["path"].to_list()


def snapshot(name: str, taken_at: datetime, files: int = 1) -> Row:
    """A row of SNAPSHOTS."""
    return {
        "business": BUSINESS, "site": SITE, "day": DAY, "snapshot_id": name, "repository_year": 2021,
        "taken_at": taken_at, "first_day": DAY, "files": files, "bytes": 1000,
    }  # fmt: skip


def snapshots(*rows: Row) -> pl.DataFrame:
    """The frame SNAPSHOTS."""
    return rows_of(SNAPSHOTS, *rows)


def taken(*rows: tuple[str, datetime]) -> pl.DataFrame:
    """Snapshots as a repository lists them."""
    return pl.DataFrame(list(rows), schema=TAKEN, orient="row")


def on_disk(*names: str) -> pl.DataFrame:
    """Files as a snapshot or a disk lists them."""
    return pl.DataFrame([(name, 1000, at("12:00:00")) for name in names], schema=DISK, orient="row")


def extract(source_file: str, dataset: str = "calls", rows_in: int = 1) -> Row:
    """A row of EXTRACTS."""
    return {
        "business": BUSINESS, "site": SITE, "day": DAY, "dataset": dataset, "source_file": source_file,
        "expected_rows": None, "expected_bytes": None, "expected_sha256": None, "rows_in": rows_in, "rows_ok": rows_in,
        "rows_quarantined": 0, "bytes": 10, "sha256": "a",
    }  # fmt: skip


# snapshots


@pytest.mark.parametrize(
    ("tags", "day"),
    [
        (["day=2021-01-31"], DAY),
        (["voxkeep", "site=cq", "day=2021-01-31"], DAY),
        (["voxkeep"], None),
        ([], None),
        (["day=yesterday"], None),
        (["today=2021-01-31"], None),
    ],
)
def test_a_snapshot_is_of_the_day_that_its_tag_names_or_none_of_ours(tags: list[str], day: date | None) -> None:
    listed = pl.DataFrame({"snapshot_id": ["a"], "tags": [tags]}, schema_overrides={"tags": pl.List(pl.String)})
    assert arrivals.with_day(listed)["day"].to_list() == ([day] if day else [])


def test_the_snapshots_to_ingest_are_those_not_known_the_oldest_first() -> None:
    listed = taken(("c", at("12:00:00")), ("b", at("11:00:00")), ("a", at("12:00:00")), ("d", at("10:00:00")))
    fresh = arrivals.not_ingested(listed, snapshots(snapshot("d", at("10:00:00"))))
    assert fresh["snapshot_id"].to_list() == ["b", "a", "c"]


def test_a_snapshot_that_was_ingested_is_never_fresh_again() -> None:
    known = arrivals.with_snapshot(snapshots(), snapshots(snapshot("a", at("12:00:00"))))
    assert arrivals.not_ingested(taken(("a", at("12:00:00"))), known).is_empty()


def test_a_snapshot_that_is_known_is_told_anew() -> None:
    known = snapshots(snapshot("a", at("12:00:00"), files=1), snapshot("b", at("11:00:00"), files=2))
    both = arrivals.with_snapshot(known, snapshots(snapshot("a", at("12:00:00"), files=3)))
    assert both.select("snapshot_id", "files").rows() == [("b", 2), ("a", 3)]
    assert conform(both, SNAPSHOTS).equals(both)


# what to restore


def test_all_is_restored_that_is_not_there_yet() -> None:
    files = inventory(recording("a.wav"), recording("b.wav"))
    assert paths(arrivals.still_to_restore(files, RESTORED.empty())) == ["a.wav", "b.wav"]
    assert paths(arrivals.still_to_restore(files, restored(files))) == []


@pytest.mark.parametrize("change", [{"size": 1001}, {"mtime": LATER}, {"content": "other bytes"}])
def test_a_new_version_of_a_recording_is_restored_again(change: Row) -> None:
    before = restored(inventory(recording("a.wav"), recording("b.wav")))
    assert paths(arrivals.still_to_restore(inventory(recording("a.wav", **change), recording("b.wav")), before)) == [
        "a.wav"
    ]


def test_what_still_grows_or_could_not_be_read_is_not_restored() -> None:
    files = inventory(
        recording("a.wav", state="in_progress"),
        recording("b.wav", state="unreadable", sha256=None, md5=None),
        recording("c.wav", state="truncated"),
    )
    assert paths(arrivals.still_to_restore(files, RESTORED.empty())) == ["c.wav"]
    assert paths(arrivals.moving(files)) == ["a.wav"]


def test_what_still_grows_is_carried_on_as_inventory_and_nothing_more() -> None:
    files = inventory(recording("a.wav", state="in_progress")).with_columns(key=pl.lit("k"))
    assert arrivals.moving(files).schema == INVENTORY.schema


# what a snapshot or the central disk holds


def test_a_recording_vanished_that_the_snapshot_does_not_hold_at_all() -> None:
    files = inventory(recording("a.wav"), recording("b.wav", size=5), recording("B.wav"))
    assert paths(arrivals.vanished(files, on_disk("a.wav", "b.wav", "c.wav"))) == ["B.wav"]


def test_held_is_what_the_snapshot_says_of_the_recordings_and_of_no_other_file() -> None:
    files = inventory(recording("b.wav", size=7), recording("a.wav"), recording("c.wav"))
    held = arrivals.held_recordings(files, on_disk("a.wav", "b.wav", "staging/run.json"), "s1")
    assert conform(held, SNAPSHOT_FILES).equals(held)
    assert sorted(held.select("path", "size", "snapshot_id").rows()) == [("a.wav", 1000, "s1"), ("b.wav", 1000, "s1")]
    assert held["recording_id"].is_sorted()


def test_restored_is_what_the_disk_holds_of_the_recordings_and_could_be_read() -> None:
    files = inventory(recording("a.wav", content="x"), recording("b.wav"), recording("c.wav"))
    hashed = on_disk("a.wav", "b.wav", "d.wav").with_columns(
        sha256=pl.Series(["1" * 64, None, "2" * 64], dtype=pl.String)
    )
    found = arrivals.restored_recordings(files, hashed, "s1")
    assert conform(found, RESTORED).equals(found)
    assert found.select("path", "sha256", "snapshot_id").rows() == [("a.wav", "1" * 64, "s1")]


def test_only_the_rows_of_that_snapshot_are_of_it() -> None:
    both = restored(inventory(recording("a.wav"), recording("b.wav"))).with_columns(snapshot_id=pl.Series(["s1", "s2"]))
    assert paths(arrivals.of_snapshot(both, "s2")) == ["b.wav"]
    assert paths(arrivals.of_snapshot(both, "s3")) == []


# proof


def test_a_copy_with_other_bytes_is_damaged_and_not_published() -> None:
    files = inventory(recording("a.wav"), recording("b.wav"), recording("c.wav"))
    copies = restored(inventory(recording("a.wav"), recording("b.wav", content="rotten")))
    assert paths(arrivals.damaged(files, copies)) == ["b.wav"]
    assert paths(arrivals.ready_to_publish(files, copies)) == ["a.wav"]


@pytest.mark.parametrize("change", [{"size": 1001}, {"mtime": LATER}])
def test_a_copy_of_another_version_is_not_damaged_but_is_not_published_either(change: Row) -> None:
    files = inventory(recording("a.wav"))
    copies = restored(inventory(recording("a.wav", content="another version", **change)))
    assert paths(arrivals.damaged(files, copies)) == []
    assert paths(arrivals.ready_to_publish(files, copies)) == []


def test_the_bytes_of_another_recording_prove_nothing() -> None:
    files = inventory(recording("a.wav", content="same"), recording("b.wav", content="same"))
    copies = restored(files.filter(pl.col("path") == "a.wav"))
    assert paths(arrivals.ready_to_publish(files, copies)) == ["a.wav"]


def test_a_copy_proves_its_recording_by_its_path_and_hash_only() -> None:
    files = inventory(recording("a.wav", content="a"), recording("b.wav", content="b"), recording("c.wav"))
    first = files["sha256"][0]
    rows = [("a.wav", "f" * 64, 1, 10), ("a.wav", first, 2, 20), ("b.wav", first, 3, 30)]
    hashed = pl.DataFrame(rows, schema=["path", "sha256", "inode", "ctime_ns"], orient="row")
    proved = arrivals.with_proof(files, hashed)
    assert proved.select("path", "inode", "ctime_ns").rows() == [
        ("a.wav", 2, 20), ("b.wav", None, None), ("c.wav", None, None),
    ]  # fmt: skip


def test_what_was_fetched_again_stands_instead_and_the_rest_stays() -> None:
    first = restored(inventory(recording("a.wav"), recording("b.wav", content="rotten")))
    again = restored(inventory(recording("b.wav", content="mended")))
    mended = arrivals.instead(first, again)
    expected = restored(inventory(recording("a.wav"), recording("b.wav", content="mended")))
    assert mended.equals(expected.sort("recording_id"))


# partitions


def test_the_newest_version_of_a_recording_stays_whichever_arrives_last() -> None:
    old, new = inventory(recording("a.wav")), inventory(recording("a.wav", size=2000, mtime=LATER))
    assert arrivals.newest_versions(old, new).equals(new)
    assert arrivals.newest_versions(new, old).equals(new)


def test_of_equally_old_versions_the_one_that_arrived_stays() -> None:
    known, arrived = inventory(recording("a.wav", state="in_progress")), inventory(recording("a.wav"))
    assert arrivals.newest_versions(known, arrived)["state"].to_list() == ["ok"]


def test_recordings_that_did_not_arrive_again_stay() -> None:
    known, arrived = inventory(recording("c.wav"), recording("a.wav")), inventory(recording("b.wav"))
    assert paths(arrivals.newest_versions(known, arrived)) == ["a.wav", "b.wav", "c.wav"]


def test_a_file_that_is_told_anew_leaves_none_of_its_old_rows() -> None:
    known = calls(
        call("c1", source_file="1.csv", source_row=2),
        call("c2", source_file="1.csv", source_row=3),
        call("c3", source_file="2.csv", source_row=2),
        call("c4", source_file="1.csv", source_row=2, dataset="others"),
    )
    arrived = calls(call("c5", source_file="1.csv", source_row=3), call("c1", source_file="1.csv", source_row=2))
    files = pl.DataFrame({"dataset": ["calls"], "source_file": ["1.csv"]})
    assert arrivals.replace_files(known, arrived, files)["call_id"].to_list() == ["c1", "c5", "c3", "c4"]


def test_a_file_that_is_empty_now_takes_its_rows_with_it() -> None:
    files = pl.DataFrame({"dataset": ["calls"], "source_file": ["1.csv"]})
    assert arrivals.replace_files(calls(call("c1", source_file="1.csv")), calls(), files).is_empty()


def test_extracts_are_told_anew_by_their_file_too() -> None:
    known = rows_of(EXTRACTS, extract("b.csv"), extract("a.csv"), extract("a.csv", dataset="notes"))
    arrived = rows_of(EXTRACTS, extract("a.csv", rows_in=9))
    told = arrivals.replace_files(known, arrived, arrived.select("dataset", "source_file"))
    assert told.select("dataset", "source_file", "rows_in").rows() == [
        ("calls", "a.csv", 9), ("calls", "b.csv", 1), ("notes", "a.csv", 1),
    ]  # fmt: skip


VERSIONS = st.dictionaries(st.sampled_from(["a.wav", "b.wav", "c.wav"]), st.integers(0, 3))


def versions(given_ages: dict[str, int]) -> pl.DataFrame:
    """Each of these recordings, in the version of this age."""
    return inventory(
        *(
            recording(path, size=100 + age, mtime=at("12:00:00") + timedelta(hours=age), content=f"{path} {age}")
            for path, age in given_ages.items()
        )
    )


@settings(max_examples=50)
@given(VERSIONS, VERSIONS)
def test_taking_the_same_in_twice_gives_the_same_partition(known: dict[str, int], arrived: dict[str, int]) -> None:
    once = arrivals.newest_versions(versions(known), versions(arrived))
    assert arrivals.newest_versions(once, versions(arrived)).equals(once)
    assert arrivals.newest_versions(versions(arrived), versions(known)).equals(once)
    expected = {path: max(known.get(path, -1), arrived.get(path, -1)) for path in known | arrived}
    assert once.equals(versions(dict(sorted(expected.items()))))


@settings(max_examples=50)
@given(VERSIONS, VERSIONS)
def test_what_was_restored_is_wanted_no_more_whatever_was_there(before: dict[str, int], now: dict[str, int]) -> None:
    files, there = versions(now), restored(versions(before))
    wanted = arrivals.still_to_restore(files, there)
    assert set(paths(wanted)) == {path for path, age in now.items() if before.get(path) != age}
    after = arrivals.instead(there, restored(wanted))
    assert arrivals.still_to_restore(files, after).is_empty()
    assert arrivals.ready_to_publish(files, after).equals(files)
    assert in_snapshot(files).join(after, on=["recording_id", "size", "mtime"], how="anti").is_empty()


# what is gone from the source, and what the store did not take


def gone_of(*rows: Row) -> pl.DataFrame:
    """The frame GONE."""
    return rows_of(GONE, *rows)


def told(frame: pl.DataFrame) -> list[tuple[object, ...]]:
    return frame.select("recording_id", "last_on_site", "gone_since").rows()


A, B = recording("a.wav"), recording("b.wav")
NOON, EVENING, MIDNIGHT = at("12:00:00"), at("18:00:00"), at("23:59:00")


def test_a_recording_that_a_whole_inventory_misses_is_gone_since_then() -> None:
    earlier = snapshots(
        snapshot("s1", NOON) | {"inventory_whole": True}, snapshot("s2", EVENING) | {"inventory_whole": True}
    )
    found = arrivals.gone(inventory(A, B), inventory(B), GONE.empty(), earlier, MIDNIGHT)
    assert told(found) == [(A["recording_id"], EVENING, MIDNIGHT)]
    again = arrivals.gone(inventory(A, B), inventory(), found, earlier, MIDNIGHT + timedelta(days=1))
    assert sorted(told(again)) == sorted(
        [(A["recording_id"], EVENING, MIDNIGHT), (B["recording_id"], EVENING, MIDNIGHT + timedelta(days=1))]
    )


@pytest.mark.parametrize(
    "differs", [{"inventory_whole": None}, {"inventory_whole": False}, {"day": DAY - timedelta(1)}]
)
def test_an_inventory_that_did_not_look_everywhere_or_at_another_day_saw_nothing_last(differs: Row) -> None:
    first = DAY - timedelta(days=1)
    earlier = snapshots(snapshot("s1", NOON) | {"first_day": first, "inventory_whole": True} | differs)
    assert told(arrivals.gone(inventory(A), inventory(), GONE.empty(), earlier, EVENING)) == [
        (A["recording_id"], None, EVENING)
    ]


def test_a_recording_that_is_back_is_not_gone() -> None:
    known = gone_of(A | {"last_on_site": None, "gone_since": NOON}, B | {"last_on_site": None, "gone_since": NOON})
    assert told(arrivals.back(known, inventory(B))) == [(A["recording_id"], None, NOON)]


def test_what_the_store_did_not_take_is_told_and_restored_once_more() -> None:
    copies = restored(inventory(A, B)).with_columns(pl.lit(None, pl.Boolean).alias("published"))
    offered = inventory(A, B).select("recording_id", pl.col("path").alias("key"))
    outcome = arrivals.with_outcome(copies, offered, ["b.wav"])
    assert dict(outcome.select("path", "published").iter_rows()) == {"a.wav": True, "b.wav": False}
    assert conform(outcome, RESTORED).equals(outcome)
    assert paths(arrivals.still_to_restore(inventory(A, B), outcome)) == ["b.wav"]
    unoffered = arrivals.with_outcome(copies, offered.filter(pl.col("key") == "a.wav"), [])
    assert dict(unoffered.select("path", "published").iter_rows()) == {"a.wav": True, "b.wav": None}
    assert paths(arrivals.still_to_restore(inventory(A, B), unoffered)) == []
