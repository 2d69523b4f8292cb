"""Snapshots that others outlive: when they are forgotten, and what comes of it where a run is killed or one is lost."""

from datetime import timedelta

import polars as pl
import pytest
from kept import BETWEEN, DAY, NEXT, KeptShop, Stock

from blocks.business import Business
from blocks.retained_repository import RetainedRepository
from blocks.saved import load
from flows import thinning
from flows.centre import load_centre
from flows.ingest import ingest
from flows.maintain import maintain
from flows.reconciliation import reconcile
from flows.retention import retain
from reconcile.arrivals import with_day
from reconcile.frames import CHECKS, REMOVALS, SNAPSHOT_FILES, SNAPSHOTS
from reconcile.retention import Permit


def three_snapshots(shop: KeptShop) -> None:
    """Three backups of days that overlap, as if they were taken ten days ago."""
    for clock in ("12:00:00", "13:00:00"):
        shop.call(clock, clock, day=NEXT)
        shop.recording(clock, day=NEXT)
        shop.backup(NEXT)
        ingest("shop")
    taken = shop.frame(SNAPSHOTS).with_columns(pl.col("taken_at") - timedelta(days=10))
    shop.catalog.write(SNAPSHOTS.name, "shop", "one", NEXT, taken)


def ids_of(shop: KeptShop) -> list[str]:
    """The snapshots that the catalog lists, oldest first."""
    return shop.frame(SNAPSHOTS).sort("taken_at")["snapshot_id"].to_list()


@pytest.fixture(scope="module")
def stock(prefect: None, tmp_path_factory: pytest.TempPathFactory) -> Stock:
    return Stock(tmp_path_factory.mktemp("stock"), three_snapshots)


def test_a_snapshot_is_forgotten_when_a_newer_one_is_seen_to_hold_all_of_it(stock: Stock) -> None:
    shop = stock.fresh(retention=BETWEEN | {"snapshots_within": "1d"})
    *old, newest = ids_of(shop)
    # The newest is told to hold what it does not: for its sake nothing may go.
    told = shop.frame(SNAPSHOT_FILES).filter(day=NEXT)
    shop.catalog.write(SNAPSHOT_FILES.name, "shop", "one", NEXT, told.with_columns(pl.col("size") + 1))
    assert retain("shop")["snapshots"] == 0
    shop.catalog.write(SNAPSHOT_FILES.name, "shop", "one", NEXT, told)
    assert (retain("shop")["snapshots"], len(old)) == (2, 2)
    left = load(RetainedRepository, "shop--one").snapshots(2021)
    assert with_day(left)["snapshot_id"].to_list() == [newest]
    assert left.height == 2  # and what was decided
    assert set(shop.frame(SNAPSHOT_FILES)["snapshot_id"]) == {newest}
    assert ingest("shop")["snapshots"] == []
    assert reconcile("shop", since=DAY, day=NEXT)["open_critical"] == 0


def killed(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def forget_the_first(self: RetainedRepository, year: int, snapshot_ids: list[str], permit: Permit) -> None:
    """What restic does that is killed behind the first of several."""
    self.guard.check_snapshots(self.site, year, snapshot_ids, self._backups(year), permit)
    self._run(year, ["forget", "--", snapshot_ids[0]])
    raise KeyboardInterrupt


PLACES = {
    "before the catalog tells of the others": ("flows.thinning.repoint", killed),
    "before restic": ("blocks.retained_repository.RetainedRepository.forget", killed),
    "amid restic": ("blocks.retained_repository.RetainedRepository.forget", forget_the_first),
    "before pruning": ("blocks.retained_repository.RetainedRepository.prune", killed),
    "before the list": ("flows.thinning.take_out", killed),
    "before the end": ("flows.thinning.end", killed),
}


@pytest.mark.parametrize(
    "place",
    [pytest.param(name, marks=() if name == "amid restic" else pytest.mark.long) for name in PLACES],
)
def test_what_a_killed_run_has_begun_to_forget_the_next_finishes_and_tells(
    stock: Stock, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    shop = stock.fresh(retention=BETWEEN | {"snapshots_within": "1d"})
    *old, newest = ids_of(shop)
    with monkeypatch.context() as patched:
        patched.setattr(*PLACES[place])
        with pytest.raises(KeyboardInterrupt):
            retain("shop")
    assert newest in shop.frame(SNAPSHOTS)["snapshot_id"]
    retain("shop")
    told = shop.frame(REMOVALS).filter(what="snapshots")
    assert sorted(told["subject"]) == sorted(f"2021/{one}" for one in old)
    assert (told["done_at"].null_count(), set(told["count"])) == (0, {1})
    assert shop.frame(SNAPSHOTS)["snapshot_id"].to_list() == [newest]
    assert set(shop.frame(SNAPSHOT_FILES)["snapshot_id"]) == {newest}
    left = load(RetainedRepository, "shop--one").snapshots(2021)
    assert with_day(left)["snapshot_id"].to_list() == [newest]
    assert ingest("shop")["snapshots"] == []
    maintain("shop", day=NEXT)
    assert shop.frame(CHECKS).filter(kind="snapshots")["verdict"].to_list() == ["sound"]


def test_what_was_begun_and_must_stay_since_then_is_told_only_where_it_is_gone(
    stock: Stock, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = stock.fresh(retention=BETWEEN | {"snapshots_within": "1d"})
    first, second, newest = ids_of(shop)
    with monkeypatch.context() as patched:
        patched.setattr(*PLACES["amid restic"])
        with pytest.raises(KeyboardInterrupt):
            retain("shop")
    shop.apply(retention=BETWEEN)
    retain("shop")
    told = shop.frame(REMOVALS).filter(what="snapshots")
    assert sorted(told.select("subject", "count", "kept").rows()) == sorted(
        [(f"2021/{first}", 1, 0), (f"2021/{second}", 0, 1)]
    )
    assert told["done_at"].null_count() == 0
    assert sorted(shop.frame(SNAPSHOTS)["snapshot_id"]) == sorted([second, newest])


def test_where_a_snapshot_is_lost_none_is_forgotten_and_nothing_pruned(
    stock: Stock, caplog: pytest.LogCaptureFixture
) -> None:
    shop = stock.fresh(retention=BETWEEN | {"snapshots_within": "1d"})
    _, lost, _ = ids = ids_of(shop)
    (shop.repositories / "2021" / "snapshots" / lost).unlink()
    packs = set((shop.repositories / "2021" / "data").rglob("*"))
    assert retain("shop")["snapshots"] == 0
    assert "shop/one: no snapshot of 2021 is forgotten while 1 are lost" in caplog.text
    assert sorted(shop.frame(SNAPSHOTS)["snapshot_id"]) == sorted(ids)
    assert packs <= set((shop.repositories / "2021" / "data").rglob("*"))


def test_what_was_begun_to_be_forgotten_and_is_lost_or_elsewhere_stays_on_the_list(
    stock: Stock, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = stock.fresh(retention=BETWEEN | {"snapshots_within": "1d"})
    first, *_ = ids = ids_of(shop)
    files = shop.frame(SNAPSHOT_FILES).filter(day=DAY)
    with monkeypatch.context() as patched:
        patched.setattr(*PLACES["before restic"])
        with pytest.raises(KeyboardInterrupt):
            retain("shop")
    centre = load_centre(load(Business, "shop"), "one")
    year, away = shop.repositories / "2021", shop.repositories / "away"
    year.rename(away)
    thinning.finish(centre)
    assert sorted(shop.frame(SNAPSHOTS)["snapshot_id"]) == sorted(ids)
    away.rename(year)
    (year / "snapshots" / first).unlink()
    shop.catalog.write(SNAPSHOT_FILES.name, "shop", "one", DAY, files)
    thinning.finish(centre)
    assert sorted(shop.frame(SNAPSHOTS)["snapshot_id"]) == sorted(ids)
