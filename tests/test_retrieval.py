"""A list goes in, one ZIP file comes out: the very bytes, named as wanted, an index, and the reason for the rest."""

import io
import zipfile
from datetime import UTC, datetime, timedelta
from typing import Any

import openpyxl
import pytest
from shop import DAY, Shop
from test_faults import run_and_die

from blocks.audit_log import AuditLog
from blocks.errors import PermanentError
from blocks.retrievals import KEPT_DAYS, Request, Retrieval, Retrievals
from blocks.trail import Row
from flows.backup import backup
from flows.ingest import ingest
from flows.retrieve import retrieve

LISTS = "lists"
NAME = "{number}/{call_id}.{suffix}"
OTHER = "13800138000"


@pytest.fixture(scope="module")
def day(prefect: None, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Three calls with a recording, one unanswered, one whose recording is missing, one of a day not reconciled."""
    shop = Shop(tmp_path_factory.mktemp("lists"), LISTS)
    for call_id, clock, number in (
        ("c1", "09:00:00", OTHER),
        ("c2", "10:00:00", OTHER),
        ("c3", "11:00:00", "15372388463"),
    ):
        shop.call(call_id, clock, number=number)
        shop.recording(clock, number=number)
    shop.call("unanswered", "12:00:00", talk=0, number="13900000001")
    shop.call("missing", "13:00:00", number="13900000002")
    shop.run()
    shop.call("later", "14:00:00", number="13900000003")
    backup(LISTS, "one", DAY)
    ingest(LISTS)
    return shop


def ask(shop: Shop, *entries: str, **more: Any) -> Retrieval:
    given = {"field": "number", "name": NAME, "language": "en"} | more
    return Retrievals(shop.storage, LISTS).ask(Request(business=LISTS, by="zhuguan", entries=entries, **given))


def got(retrieval: Retrieval) -> dict[str, bytes]:
    with zipfile.ZipFile(retrieval.result) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def sheets(content: bytes) -> dict[str, list[list[Any]]]:
    book = openpyxl.load_workbook(io.BytesIO(content))
    return {sheet.title: [[cell.value for cell in row] for row in sheet.iter_rows()] for sheet in book}


def source(shop: Shop, clock: str, number: str) -> bytes:
    return (shop.root / "01" / "31" / f"2049_{number}_20210131{clock}.wav3").read_bytes()


def rows(retrieval: Retrieval) -> list[Row]:
    """What the trail says of the recordings that this one has taken out."""
    trail = AuditLog.load(LISTS).trail
    trail.catch_up()
    found = trail.rows(trail.head().sequence)
    return [row for row in found if row.entry.details.get("request") == retrieval.name]


def test_a_list_of_numbers_becomes_a_zip_with_the_very_bytes_and_the_reason_for_the_rest(day: Shop) -> None:
    retrieval = ask(
        day, "+86 138-0013 8000", "13900000001", "13900000002", "13911112222", "someone", "8463", "13900000003"
    )
    told = retrieve(LISTS, retrieval.name)
    files = got(retrieval)
    assert set(files) == {"index.xlsx", f"recordings/{OTHER}/c1.wav3", f"recordings/{OTHER}/c2.wav3"}
    assert files[f"recordings/{OTHER}/c1.wav3"] == source(day, "090000", OTHER)
    found = sheets(files["index.xlsx"])
    assert [row[:2] for row in found["recordings"]] == [
        ["asked for", "file"],
        ["+86 138-0013 8000", f"recordings/{OTHER}/c1.wav3"],
        ["+86 138-0013 8000", f"recordings/{OTHER}/c2.wav3"],
    ]
    assert [(row[1], row[2], row[4]) for row in found["not found"][1:]] == [
        ("13900000001", "the call has no recording, and none is expected (not answered, …)", "unanswered"),
        ("13900000002", "a recording is expected, and the source disk has none", "missing"),
        ("13911112222", "no call of this business fits", None),
        ("someone", "it is no telephone number", None),
        ("8463", "no call of this business fits", None),
        ("13900000003", "it has no recording, and its day has not been reconciled yet", "later"),
    ]
    assert (told["entries"], told["entries_found"], told["recordings"], told["not_found"]) == (7, 1, 2, 6)
    assert retrieval.progress.read().outcome == told  # type: ignore[union-attr]


def test_each_recording_is_on_record_before_it_leaves_and_can_be_found_by_its_number(day: Shop) -> None:
    retrieval = ask(day, OTHER)
    retrieve(LISTS, retrieval.name)
    taken = rows(retrieval)
    assert len(taken) == 2
    assert {row.entry.actor for row in taken} == {"zhuguan"}
    assert {row.entry.numbers for row in taken} == {AuditLog.load(LISTS).hashes([OTHER])}
    assert OTHER not in str(taken)


def test_calls_and_cases_are_found_and_an_entry_that_means_the_same_gives_no_file_twice(day: Shop) -> None:
    calls = ask(day, "c1", "c3", "nobody", field="call", index="csv")
    retrieve(LISTS, calls.name)
    files = got(calls)
    assert set(files) == {"index.csv", "not-found.csv", f"recordings/{OTHER}/c1.wav3", "recordings/15372388463/c3.wav3"}
    assert files["not-found.csv"].decode("utf-8-sig").splitlines()[1].startswith("3,nobody,no call")
    cases = ask(day, "备注", field="备注", name="{attribute.备注}/{call_id}.{suffix}")
    assert retrieve(LISTS, cases.name)["recordings"] == 3
    both = ask(day, OTHER, "0" + OTHER)
    assert retrieve(LISTS, both.name)["recordings"] == 2
    assert len(sheets(got(both)["index.xlsx"])["recordings"]) == 1 + 4


def test_only_the_days_that_are_wanted(day: Shop) -> None:
    later = ask(day, OTHER, since=DAY + timedelta(days=1))
    assert retrieve(LISTS, later.name)["reasons"] == {"no_call": 1}
    that = ask(day, OTHER, since=DAY, until=DAY)
    assert retrieve(LISTS, that.name)["recordings"] == 2


def test_a_recording_that_is_lost_or_damaged_is_told_and_the_others_come(day: Shop) -> None:
    keys = day.store.listing()["key"].to_list()
    lost, damaged = (day.storage / "bucket" / "lists-audio" / key for key in keys[:2])
    aside, content = lost.rename(day.folder / "aside"), damaged.read_bytes()
    damaged.chmod(0o644)
    damaged.write_bytes(b"x" + content[1:])
    told = retrieve(LISTS, ask(day, OTHER, "15372388463", language="zh").name)
    aside.rename(lost)
    damaged.write_bytes(content)
    assert told["reasons"] == {"lost": 1, "damaged": 1}
    assert told["recordings"] == 1


def test_what_cannot_be_written_down_does_not_leave(day: Shop) -> None:
    log = AuditLog.load(LISTS)
    AuditLog(**dict(log) | {"url": "/proc/nowhere"}).save(LISTS, overwrite=True)
    retrieval = ask(day, OTHER, index="csv")
    with pytest.raises(PermanentError):
        retrieve(LISTS, retrieval.name)
    log.save(LISTS, overwrite=True)
    assert not list(retrieval.folder.rglob("*.wav3"))
    assert not retrieval.result.exists()
    assert retrieval.progress.read().state == "failed"  # type: ignore[union-attr]


POINTS = [
    pytest.param(("flows.retrieve", "_fix", 1), marks=pytest.mark.long),
    pytest.param(("pathlib", "Path.replace", 2), marks=pytest.mark.long),
    ("flows.retrieve", "_fetch", 2),
    pytest.param(("flows.retrieve", "zip_folder", 1), marks=pytest.mark.long),
]


@pytest.mark.parametrize("point", POINTS, ids=lambda point: f"{point[1]}-{point[2]}")
def test_one_that_was_killed_goes_on_with_what_it_has(point: tuple[str, str, int], day: Shop) -> None:
    retrieval = ask(day, OTHER, "15372388463")
    run_and_die(point, "retrieve", retrieval.name, business=LISTS)
    assert retrieval.progress.read().state == "interrupted"  # type: ignore[union-attr]
    assert not retrieval.result.exists()
    assert ask(day, OTHER, "15372388463").name == retrieval.name
    assert retrieve(LISTS, retrieval.name)["recordings"] == 3
    assert len(got(retrieval)) == 4
    taken = [row.entry.subject for row in rows(retrieval)]
    assert len(set(taken)) == 3
    assert len(taken) <= 3 + 4  # those that were being fetched when it died
    before = retrieval.result.read_bytes()
    assert retrieve(LISTS, retrieval.name)["recordings"] == 3
    assert retrieval.result.read_bytes() == before
    assert ask(day, OTHER, "15372388463").name != retrieval.name


def test_a_result_is_kept_for_some_days_and_its_figures_stay(day: Shop) -> None:
    retrieval = ask(day, OTHER)
    retrieve(LISTS, retrieval.name)
    all_of_them = Retrievals(day.storage, LISTS)
    all_of_them.let_go(datetime.now(UTC) + timedelta(days=KEPT_DAYS - 1))
    assert retrieval.result.exists()
    all_of_them.let_go(datetime.now(UTC) + timedelta(days=KEPT_DAYS + 1))
    assert not retrieval.result.exists()
    assert retrieve(LISTS, retrieval.name)["recordings"] == 2
    assert not retrieval.result.exists()


def test_a_request_that_there_is_not_is_told(day: Shop) -> None:
    for name in ("0" * 12 + "-000", "../../etc", ""):
        with pytest.raises(PermanentError, match="no such request"):
            retrieve(LISTS, name)
