"""Near-real-time: what is new is taken in small batches, and the daily runs find nothing doubled, nothing missing."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import polars as pl
import pytest
from prefect.settings import PREFECT_API_URL
from shop import DAY, ZONE, Shop, at

from blocks.errors import SettingsError, TransientError
from blocks.index import CatalogIndex
from blocks.repository import Repository
from blocks.saved import load
from blocks.watcher import Looked, Watcher, is_shared, watching
from flows.backup import (
    BEGAN,
    LIVE,
    Last,
    Live,
    backup,
    growing_state,
    latest_snapshot,
    live_days,
    load_place,
    open_days,
)
from flows.ingest import ingest
from flows.reconciliation import reconcile
from flows.watch import rows_changed, watch_centre, watch_site
from reconcile.frames import CALLS, INVENTORY, LISTENABLE, SNAPSHOTS, UNINDEXED

PATIENCE_SECONDS = 240
QUICK = {"every_seconds": 1, "quiet_period_seconds": 0}


def wait_until(holds: Callable[[], Any], what: str) -> None:
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < give_up, what
        time.sleep(0.05)


@contextmanager
def running(target: Callable[..., None], *words: str) -> Iterator[None]:
    """The watcher, while the body runs."""
    stop, errors = Event(), []

    def run() -> None:
        try:
            target(*words, stop)
        except Exception as error:  # noqa: BLE001  # told in the test's own thread
            errors.append(error)

    thread = Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    assert errors == []


def today() -> tuple[str, Any]:
    """A time of today by the wall clock, as the shop wants it, and the day."""
    now = datetime.now(ZONE) - timedelta(seconds=10)
    return now.strftime("%H:%M:%S"), now.date()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[tuple[Path, Watcher]]:
    root = tmp_path / "disk"
    (root / "01").mkdir(parents=True)
    with watching(root, forget_seconds=60) as watcher:
        yield root, watcher


def test_a_file_grows_until_it_is_closed(disk: tuple[Path, Watcher]) -> None:
    root, watcher = disk
    assert watcher.since
    assert not watcher.changed()
    with (root / "01" / "a 100%.wav").open("wb") as file:
        file.write(b"half")
        file.flush()
        wait_until(lambda: watcher.growing() == ["01/a 100%25.wav"], "it is not seen to grow")
        assert not watcher.changed()
    wait_until(watcher.changed, "it is not seen to be closed")
    assert watcher.growing() == []
    assert not watcher.changed()


def test_a_file_that_is_renamed_or_removed_is_news_and_one_that_is_only_read_is_none(
    disk: tuple[Path, Watcher],
) -> None:
    root, watcher = disk
    (root / "a.part").write_bytes(b"whole")
    wait_until(watcher.changed, "it is not seen to be closed")
    (root / "a.part").rename(root / "a.wav")
    wait_until(watcher.changed, "it is not seen to be renamed")
    assert (root / "a.wav").read_bytes() == b"whole"
    os.utime(root / "a.wav", (0, 0))
    (root / "last").mkdir()
    (root / "a.wav").unlink()
    wait_until(watcher.changed, "it is not seen to be removed")
    assert watcher.growing() == []


def test_a_file_whose_writer_died_is_taken_after_a_while(tmp_path: Path) -> None:
    with watching(tmp_path, forget_seconds=0.2) as watcher, (tmp_path / "a.wav").open("wb") as file:
        file.write(b"half")
        file.flush()
        wait_until(watcher.changed, "it is waited for, for ever")
        assert watcher.growing() == []


def test_a_disk_that_tells_nothing_is_looked_through(tmp_path: Path) -> None:
    watcher = Looked(tmp_path)
    assert watcher.changed()
    assert not watcher.changed()
    (tmp_path / "a.wav").write_bytes(b"whole")
    assert watcher.changed()
    assert not watcher.changed()
    assert (watcher.since, watcher.growing()) == (None, [])


@pytest.mark.parametrize(("kind", "shared"), [("nfs4", True), ("cifs", True), ("fuse.sshfs", True), ("xfs", False)])
def test_a_network_share_is_known_by_its_kind(monkeypatch: pytest.MonkeyPatch, kind: str, shared: bool) -> None:
    class Part:
        def __init__(self, mountpoint: str, fstype: str) -> None:
            self.mountpoint, self.fstype = mountpoint, fstype

    parts = [Part("/", "ext4"), Part("/srv", kind), Part("/srv/else", "ext4")]
    monkeypatch.setattr("blocks.watcher.psutil.disk_partitions", lambda **_: parts)
    assert is_shared(Path("/srv/recordings")) == shared
    assert not is_shared(Path("/srvs"))


def test_what_is_seen_to_grow_and_what_was_not_seen_yet_is_not_finished(shop: Shop) -> None:
    started = at("12:00:00")
    clocks = {"a": "11:58:00", "b": "11:59:30", "c": "12:00:10", "d": "12:00:20"}
    files = pl.DataFrame(
        [(path, at(clock).astimezone(UTC), "ok") for path, clock in clocks.items()],
        schema={"path": pl.String, "mtime": pl.Datetime("us", "UTC"), "state": pl.String}, orient="row",
    )  # fmt: skip
    live = Live(growing=["d"], since=started)
    told = files.with_columns(growing_state(live, at("11:59:00").astimezone(UTC)))
    assert told["state"].to_list() == ["ok", "in_progress", "ok", "in_progress"]


def test_a_batch_takes_the_day_so_far_and_yesterday_while_its_last_calls_may_go_on(shop: Shop) -> None:
    place = load_place(shop.business, "one")
    assert live_days(place, DAY + timedelta(days=1), at("00:59:00", DAY + timedelta(days=1))) == [
        DAY, DAY + timedelta(days=1),
    ]  # fmt: skip
    assert live_days(place, DAY + timedelta(days=1), at("01:01:00", DAY + timedelta(days=1))) == [
        DAY + timedelta(days=1)
    ]


def test_the_daily_run_takes_every_day_since_the_last_daily_one_whatever_was_taken_live(shop: Shop) -> None:
    repository = load(Repository, "shop--one")
    for day, more in ((DAY, []), (DAY + timedelta(days=5), [LIVE])):
        tags = ["latest", f"day={day}", f"content={day}", f"{BEGAN}{datetime.now(UTC).isoformat()}", *more]
        repository.backup(DAY.year, [shop.root], host="one", tags=tags)
    until = DAY + timedelta(days=5)
    last = latest_snapshot(repository, DAY.year)
    assert last
    assert (last.content, last.day) == (str(until), DAY)
    assert open_days(load_place(shop.business, "one"), until, last)[0] == DAY
    assert open_days(load_place(shop.business, "one"), until, Last("id", 2021, None, None, ""))[0] == until - timedelta(
        days=1
    )


def test_a_business_that_is_only_taken_daily_is_not_watched(shop: Shop) -> None:
    for watch, words in ((watch_site, ("shop", "one")), (watch_centre, ("shop",))):
        with pytest.raises(SettingsError, match="have no `realtime`"):
            watch(*words, Event())


@pytest.mark.long
def test_a_call_is_listenable_without_any_daily_run_and_that_doubles_nothing(shop: Shop) -> None:
    clock, day = today()
    shop.apply(realtime=QUICK)
    shop.call("before", clock, day=day)
    shop.recording(clock, day=day)
    with running(watch_site, "shop", "one"), running(watch_centre, "shop"):
        wait_until(lambda: shop.frame(LISTENABLE).height == 1, "what was there before is not listenable")
        number = "13800000000"
        file = shop.recording(clock, number=number, day=day)
        wait_until(lambda: shop.frame(INVENTORY).height == 2, "a new recording is not taken")
        shop.call("after", clock, number=number, file=str(file.relative_to(shop.root)), day=day)
        wait_until(lambda: shop.frame(LISTENABLE).height == 2, "a new row is not taken")
    assert not rows_changed(load_place("shop", "one"), datetime.now(UTC))
    live = shop.frame(SNAPSHOTS).height
    assert live >= 3
    backup("shop", "one")
    ingest("shop")
    reconcile("shop")
    assert shop.frame(CALLS).height == 2
    assert shop.frame(INVENTORY).height == 2
    assert shop.open_findings() == {}
    assert shop.frame(LISTENABLE).height == 2


def test_a_batch_that_fails_is_told_and_tried_again(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    clock, day = today()
    shop.apply(realtime=QUICK)
    shop.call("1", clock, day=day)
    shop.recording(clock, day=day)
    aside = shop.database.rename(shop.folder / "aside.db")
    repository = load(Repository, "shop--one")
    with running(watch_site, "shop", "one"):
        wait_until(lambda: "calls.db" in caplog.text, "nothing is told")
        aside.rename(shop.database)
        wait_until(lambda: repository.marks(day.year), "it is not tried again")


def test_a_batch_indexes_only_the_calls_that_differ_and_what_the_index_refuses_waits(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock, day = today()
    shop.apply(realtime=QUICK, quiet_period_seconds=0)
    shop.call("1", clock, day=day)
    shop.recording(clock, day=day)
    backup("shop", "one")
    ingest("shop")

    def batch(number: str) -> None:
        shop.call(number, clock, number=number, day=day)
        shop.recording(clock, number=number, day=day)
        backup("shop", "one", live=Live())
        ingest("shop", since=day)

    def refuse(*_: object, **__: object) -> None:
        raise TransientError(operation="index", subject="calls", cause="it is away", remedy="wait")

    batch("13800000001")
    assert "1 calls of the day indexed anew" in caplog.text
    assert (shop.frame(LISTENABLE).height, shop.frame(UNINDEXED).height) == (2, 0)
    with monkeypatch.context() as away:
        away.setattr(CatalogIndex, "update", refuse)
        batch("13800000002")
    assert shop.frame(LISTENABLE).height == 2
    assert day in shop.frame(UNINDEXED)["day"].to_list()  # and, soon after midnight, the day before
    ingest("shop")
    assert (shop.frame(LISTENABLE).height, shop.frame(UNINDEXED).height) == (3, 0)


def watcher(shop: Shop, *words: str) -> subprocess.Popen[bytes]:
    """The program, as its unit starts it."""
    program = Path(sys.executable).with_name("voxkeep")
    command = [program, "watch", "shop", *words, "--home", shop.folder / "home"]
    return subprocess.Popen(command, env={**os.environ, "PREFECT_API_URL": PREFECT_API_URL.value() or ""})


@pytest.mark.long
def test_a_watcher_that_is_killed_at_work_is_made_good_by_the_next(shop: Shop) -> None:
    clock, day = today()
    shop.apply(realtime=QUICK)
    for number, (words, work) in enumerate(((("--site", "one"), "staging/shop/one"), ((), "work/shop/one"))):
        shop.call(f"{number}", clock, number=f"1380000000{number}", day=day)
        shop.recording(clock, number=f"1380000000{number}", day=day)
        if not words:
            backup("shop", "one", live=Live())
        with watcher(shop, *words) as killed:
            wait_until(lambda work=work: any((shop.storage / work).glob("*")), "it does nothing")
            killed.kill()
        with running(watch_site, "shop", "one"), running(watch_centre, "shop"):
            wait_until(lambda number=number: shop.frame(LISTENABLE).height == number + 1, "it is not made good")
    assert (shop.frame(CALLS).height, shop.frame(INVENTORY).height) == (2, 2)


@pytest.mark.long
def test_a_watcher_ends_when_it_is_told_to(shop: Shop) -> None:
    shop.apply(realtime=QUICK)
    with watcher(shop, "--site", "one") as told:
        wait_until(lambda: load(Repository, "shop--one").marks(datetime.now(ZONE).year), "it does nothing")
        told.terminate()
        assert told.wait(timeout=PATIENCE_SECONDS) == 0
