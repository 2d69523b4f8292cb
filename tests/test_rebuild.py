"""What was lost at the centre comes back from the repositories alone."""

import shutil
from datetime import date, timedelta
from typing import Any

import pytest
from repositories import make_repository
from shop import PASSWORD, Shop

from flows.backup import backup
from flows.hold import Asked, hold
from flows.ingest import ingest
from flows.rebuild import rebuild
from flows.reconciliation import reconcile
from flows.retention import retain
from flows.waive import waive
from reconcile.frames import FINDINGS, FRAMES, LISTENABLE, RESTORED, RUNS, SNAPSHOTS

FIRST = date(2020, 12, 30)
DAYS = [FIRST + timedelta(days=number) for number in range(4)]
# When flows ran at the centre, and how soon after a call: of that no repository tells.
OF_RUNS = (RUNS.name, LISTENABLE.name)
LOST = ("catalog", "index", "restored", "bucket/shop-audio")


@pytest.fixture(scope="module")
def shop(prefect: None, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Four days over a new year, with what was lost, came late, was purged, and belongs to nobody; one day missed."""
    shop = Shop(tmp_path_factory.mktemp("shop"))
    site = shop.content()["sites"]["one"] | {"since": FIRST}
    shop.apply(sites={"one": site})
    make_repository(shop.repositories / "2020", PASSWORD)
    for number, day in enumerate(DAYS):
        shop.call(f"{number}a", "10:00:00", day=day)
        shop.call(f"{number}b", "11:00:00", day=day)
        kept = shop.recording("10:00:00", day=day)
        shop.recording("12:00:00", day=day, number="13800000000")
        if number == 1:
            shop.recording("11:00:00", day=FIRST)
        if number == 3:
            kept.unlink()
        if number != 2:
            backup("shop", "one", day)
        ingest("shop")
        reconcile("shop", day=day)
    hold("shop", "wang", "court", Asked(call="0a"))
    waive("shop", shop.frame(FINDINGS).filter(status="open")["finding_id"][0], "li", "known", date(2100, 1, 1))
    retain("shop")  # which keeps what was decided
    return shop


def everything(shop: Shop) -> dict[str, Any]:
    """Catalog, call index and listing, as they can be read."""
    frames = {frame.name: shop.frame(frame).rows() for frame in FRAMES if frame.name not in OF_RUNS}
    listing = shop.store.listing().rows()
    index = {day: shop.index.documents("shop", "one", day).rows() for day in DAYS}
    return {**frames, "objects": listing, "documents": index}


def test_a_rebuild_gives_the_same_catalog_index_and_listing_as_before(shop: Shop) -> None:
    before = everything(shop)
    assert shop.frame(SNAPSHOTS)["repository_year"].to_list() == [2020, 2020, 2021]
    assert set(shop.frame(FINDINGS)["status"]) == {"open", "resolved", "waived"}
    for name in LOST:
        shutil.rmtree(shop.storage / name)
    (shop.storage / "bucket" / "shop-audio").mkdir()  # as on a new disk that was mounted there
    done = rebuild("shop")
    assert (done["snapshots"], done["published"]) == (3, shop.frame(RESTORED).height)
    assert done["decisions"] == 2
    after = everything(shop)
    for name, content in before.items():
        assert after[name] == content, name
    assert rebuild("shop")["days"] == 0
    assert everything(shop) == after


def test_a_lost_catalog_alone_comes_back_and_nothing_is_published_twice(shop: Shop) -> None:
    before, files = everything(shop), shop.files()
    shutil.rmtree(shop.storage / "catalog")
    done = rebuild("shop")
    assert done["published"] == 0
    assert everything(shop) == before
    others = {name for name in files if not name.startswith(tuple(f"catalog/{frame}" for frame in OF_RUNS))}
    assert {name: shop.files().get(name) for name in others} == {name: files[name] for name in others}
