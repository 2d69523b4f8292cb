"""The audit trail: rows are added, never lost, and whatever is done to them is seen."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from pydantic import SecretStr
from s3_servers import Service

from blocks import trail as trail_module
from blocks.errors import PermanentError, TransientError
from blocks.store_objects import Publication
from blocks.trail import AuditTrail, Entry, Head, Row
from blocks.vault import Vault

KEY = b"the key of the tests, 32 letters"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        """The instant that was set."""
        return self.now


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "listen"


def trail_in(folder: Path, **more: Any) -> AuditTrail:
    return AuditTrail(Vault(url=str(folder)), KEY, **more)


def filled(folder: Path, rows: int = 5, **more: Any) -> AuditTrail:
    trail = trail_in(folder, **more)
    for number in range(rows):
        trail.append(Entry("li.na", "play", "meituan", f"recording-{number}"))
    return trail


def problems(trail: AuditTrail, head: Head | None = None) -> list[tuple[int, str]]:
    return [(problem.sequence, problem.kind) for problem in trail.verify(head).problems]


def file_of(folder: Path, sequence: int) -> Path:
    return folder / "audit" / "000000000" / f"{sequence:012}.json"


def test_a_row_is_there_when_append_returns_and_holds_the_hash_of_the_row_before(folder: Path) -> None:
    trail = filled(folder, 2)
    first, second = (json.loads(file_of(folder, number).read_text()) for number in (1, 2))
    assert second["previous"] == first["hash"]
    assert (first["actor"], first["action"], first["subject"]) == ("li.na", "play", "recording-0")
    assert trail.head() == Head(2, second["hash"])


def test_a_whole_trail_has_no_problem(folder: Path) -> None:
    verified = filled(folder).verify()
    assert (verified.rows, verified.problems) == (5, ())


def test_another_process_goes_on_where_the_first_one_was(folder: Path) -> None:
    filled(folder)
    assert trail_in(folder).append(Entry("wang", "open")).sequence == 6
    assert problems(trail_in(folder)) == []


def test_writers_at_the_same_time_make_one_chain_without_a_gap(folder: Path) -> None:
    trails = [trail_in(folder) for _ in range(4)]
    with ThreadPoolExecutor(8) as pool:
        rows = list(pool.map(lambda n: trails[n % 4].append(Entry(f"p{n}", "search")).sequence, range(60)))
    assert sorted(rows) == list(range(1, 61))
    verified = trail_in(folder).verify()
    assert (verified.rows, verified.problems) == (60, ())


def test_rows_that_are_written_together_go_back_to_their_own_writers(folder: Path) -> None:
    trails = [trail_in(folder) for _ in range(2)]
    with ThreadPoolExecutor(16) as pool:
        rows = list(pool.map(lambda n: trails[n % 2].append(Entry(f"p{n}", "search")), range(80)))
    assert [row.entry.actor for row in rows] == [f"p{n}" for n in range(80)]
    assert sorted(trail_in(folder).rows(80), key=lambda row: row.sequence) == sorted(rows, key=lambda row: row.sequence)


def test_nobody_waits_longer_than_others_for_a_row_that_is_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trail, written = trail_in(folder), 0
    real = Vault.create_in_order

    def create_in_order(vault: Vault, objects: list[tuple[str, bytes]]) -> int:
        nonlocal written
        made = real(vault, objects)
        written += 1
        return made

    def append(number: int) -> int:
        before = written
        trail.append(Entry("li.na", "play", "meituan", f"recording-{number}"))
        return written - before

    monkeypatch.setattr(Vault, "create_in_order", create_in_order)
    with ThreadPoolExecutor(16) as pool:
        waited = sorted(pool.map(append, range(800)))
    assert waited[-20] <= 3  # the batch that is being written, one's own, and one until the thread wakes up
    assert problems(trail) == []


def test_who_is_interrupted_while_waiting_leaves_nobody_waiting(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trail, writes, go = trail_in(folder), Event(), Event()
    real, waiter = Vault.create_in_order, trail_module._Waiter

    def create_in_order(vault: Vault, objects: list[tuple[str, bytes]]) -> int:
        writes.set()
        assert go.wait(30)
        return real(vault, objects)

    monkeypatch.setattr(Vault, "create_in_order", create_in_order)
    interrupted = waiter(Entry("li.na", "play"))
    interrupted.leads.set_exception(KeyboardInterrupt())
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(trail.append, Entry("wang.lei", "play"))
        assert writes.wait(30)
        with monkeypatch.context() as patched:
            patched.setattr(trail_module, "_Waiter", lambda _: interrupted)
            with pytest.raises(KeyboardInterrupt):
                trail.append(Entry("li.na", "play"))
        go.set()
        assert first.result(30).sequence == 1
        assert pool.submit(trail.append, Entry("wang.lei", "play")).result(30).sequence == 2


def test_of_objects_in_order_those_before_the_first_that_is_there_are_made(folder: Path) -> None:
    vault = Vault(url=str(folder))
    vault.create("audit/3", b"theirs")
    assert vault.create_in_order([(f"audit/{number}", b"ours") for number in range(1, 6)]) == 2
    assert vault.names("audit") == ["1", "2", "3"]
    assert vault.get("audit/3") == b"theirs"
    assert vault.create_in_order([]) == 0


def test_two_writers_on_both_sides_of_midnight_make_one_chain(folder: Path) -> None:
    """A number is taken once, whatever day its row is of; and time never goes back."""
    before, after = Clock(), Clock()
    before.now, after.now = NOON.replace(hour=23, minute=59), NOON + timedelta(hours=13)
    first, second = trail_in(folder, clock=before), trail_in(folder, clock=after)
    rows = [trail.append(Entry("x", "open")) for trail in (first, second, first, second)]
    assert [row.sequence for row in rows] == [1, 2, 3, 4]
    assert [row.at for row in rows] == sorted(row.at for row in rows)


@pytest.mark.parametrize(
    "change",
    [
        lambda row: row | {"actor": "nobody"},
        lambda row: row | {"at": "2026-03-01T11:00:00+00:00"},
        lambda row: row | {"details": {}},
        lambda row: row | {"sequence": 4},
        lambda row: row | {"more": 1},
        lambda row: {name: value for name, value in row.items() if name != "address"},
    ],
)
def test_a_changed_row_is_seen(folder: Path, change: Any) -> None:
    trail = filled(folder)
    file = file_of(folder, 3)
    file.write_text(json.dumps(change(json.loads(file.read_text()))))
    assert problems(trail) == [(3, "changed")]


def test_a_row_that_is_written_in_another_way_is_changed(folder: Path) -> None:
    trail = filled(folder)
    file = file_of(folder, 3)
    file.write_text(file.read_text() + "\n")
    assert problems(trail) == [(3, "changed")]


def rechained(folder: Path, sequence: int, actor: str) -> None:
    """Do as somebody would who can write to the storage but has no key: change a row, and chain the rest to it."""
    previous = json.loads(file_of(folder, sequence).read_text())["previous"]
    forger = AuditTrail(Vault(url=str(folder)), b"another key")
    for file in sorted((folder / "audit" / "000000000").iterdir())[sequence - 1 :]:
        row = json.loads(file.read_text())
        entry = Entry(
            actor if row["sequence"] == sequence else row["actor"], row["action"], row["business"], row["subject"],
            row["address"], tuple(row["numbers"]), row["details"],
        )  # fmt: skip
        bare = Row(row["sequence"], datetime.fromisoformat(row["at"]), entry, previous, "", "")
        digest = trail_module._hash(bare)
        sealed = Row(bare.sequence, bare.at, entry, previous, digest, forger._seal(digest))
        file.write_bytes(trail_module._written(sealed))
        previous = digest


def test_a_chain_made_anew_without_the_key_is_seen(folder: Path) -> None:
    trail = filled(folder)
    rechained(folder, 3, "nobody")
    assert problems(trail) == [(3, "unsealed"), (4, "unsealed"), (5, "unsealed")]


def test_a_removed_row_is_seen_in_the_middle_and_at_the_start(folder: Path) -> None:
    trail = filled(folder)
    file_of(folder, 3).unlink()
    assert problems(trail) == [(3, "removed")]
    file_of(folder, 1).unlink()
    assert problems(trail) == [(1, "removed"), (3, "removed")]


def test_a_row_put_in_from_elsewhere_is_seen(folder: Path, tmp_path: Path) -> None:
    trail = filled(folder)
    filled(tmp_path / "other", 3)
    file_of(folder, 3).write_bytes(file_of(tmp_path / "other", 3).read_bytes())
    assert problems(trail) == [(3, "broken"), (4, "broken")]


def test_an_object_that_is_no_row_is_seen(folder: Path) -> None:
    trail = filled(folder)
    (folder / "audit" / "000000000" / "000000000003-copy.json").write_text("{}")
    assert [kind for _, kind in problems(trail)] == ["stray"]


def test_rows_cut_off_at_the_end_are_missed_by_what_is_remembered_elsewhere(folder: Path, tmp_path: Path) -> None:
    trail = filled(folder, memory=tmp_path / "head")
    for number in (4, 5):
        file_of(folder, number).unlink()
    assert problems(trail) == [(5, "cut_off")]


def test_rows_cut_off_at_the_end_are_missed_by_the_head_that_somebody_wrote_down(folder: Path) -> None:
    head = filled(folder).head()
    for number in (4, 5):
        file_of(folder, number).unlink()
    assert problems(trail_in(folder)) == []
    assert problems(trail_in(folder), Head.parse(str(head))) == [(5, "cut_off")]
    filled(folder, 4)
    assert problems(trail_in(folder), Head.parse(str(head))) == [(5, "other_chain")]


def test_a_trail_that_is_all_gone_is_missed(folder: Path, tmp_path: Path) -> None:
    trail = filled(folder, memory=tmp_path / "head")
    for file in (folder / "audit" / "000000000").iterdir():
        file.unlink()
    assert problems(trail) == [(5, "cut_off")]


def test_a_damaged_last_row_is_told_and_does_not_keep_people_from_working(folder: Path) -> None:
    filled(folder, 2)
    file_of(folder, 2).write_text("{")
    trail = trail_in(folder)
    assert trail.append(Entry("li.na", "open")).sequence == 3
    assert problems(trail) == [(2, "changed")]


def test_what_cannot_be_written_raises(folder: Path) -> None:
    (folder.parent / "listen").write_text("a file where the folder should be")
    with pytest.raises(PermanentError, match="Cannot"):
        trail_in(folder).append(Entry("li.na", "play"))


def test_who_waits_while_nothing_can_be_written_is_told_too(folder: Path) -> None:
    (folder.parent / "listen").write_text("a file where the folder should be")
    trail = trail_in(folder)
    with ThreadPoolExecutor(8) as pool:
        errors = [pool.submit(trail.append, Entry(f"p{n}", "play")).exception(60) for n in range(24)]
    assert {type(error) for error in errors} == {PermanentError}


def test_rows_come_newest_first_and_a_day_is_found_without_reading_all(folder: Path) -> None:
    clock = Clock()
    trail = trail_in(folder, clock=clock)
    for day in range(4):
        clock.now = NOON + timedelta(days=day)
        for _ in range(3):
            trail.append(Entry("li.na", "open", details={"day": day}))
    assert [row.sequence for row in trail.rows(12, 9)] == [12, 11, 10, 9]
    assert trail.first_since(NOON + timedelta(days=2)) == 7
    assert trail.first_since(NOON + timedelta(days=9)) == 13
    assert trail.first_since(NOON - timedelta(days=9)) == 1


def test_who_watches_sees_old_rows_new_ones_and_those_of_others(folder: Path) -> None:
    filled(folder, 2)
    seen: list[str] = []
    trail = trail_in(folder)
    trail.watch(lambda row: seen.append(row.entry.subject), datetime(2000, 1, 1, tzinfo=UTC))
    trail_in(folder).append(Entry("other", "play", subject="of another process"))
    trail.append(Entry("li.na", "play", subject="mine"))
    assert seen == ["recording-0", "recording-1", "of another process", "mine"]


@pytest.mark.parametrize("text", ["", "12", "12:abc", "x:" + "0" * 64])
def test_what_is_no_head_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Head.parse(text)


def test_in_s3_a_trail_is_one_chain_too(service: Service, tmp_path: Path) -> None:
    store = service.store()
    store.create()
    file = tmp_path / "first"
    file.write_bytes(b"first")
    # A bucket's first object takes SeaweedFS long on a busy machine, for it lays out volumes then; a row may not wait.
    assert store.publish([Publication("first", file, 5, sha256(b"first").hexdigest())]).published == 1
    vault = Vault(
        url=f"{store.url}/listen", endpoint=store.endpoint, access_key=store.access_key, secret_key=store.secret_key
    )
    trails = [AuditTrail(vault, KEY) for _ in range(3)]
    with ThreadPoolExecutor(6) as pool:
        rows = list(pool.map(lambda n: trails[n % 3].append(Entry(f"p{n}", "search")).sequence, range(24)))
    assert sorted(rows) == list(range(1, 25))
    verified = AuditTrail(vault, KEY).verify()
    assert (verified.rows, verified.problems) == (24, ())
    assert [row.sequence for row in AuditTrail(vault, KEY).rows(3)] == [3, 2, 1]


def test_an_s3_that_does_not_answer_refuses_the_row_within_seconds() -> None:
    vault = Vault(
        url="s3://nobody/listen", endpoint="http://127.0.0.1:9", access_key=SecretStr("a"), secret_key=SecretStr("b")
    )
    with pytest.raises(TransientError):
        AuditTrail(vault, KEY).append(Entry("li.na", "play"))
