"""New years on new storage, old ones moved: every repository stays readable, and nothing is taken in twice."""

import shutil
from datetime import date

import pytest
from repositories import make_repository
from shop import PASSWORD, Shop

from blocks.errors import PermanentError
from flows.backup import backup
from flows.ingest import ingest
from flows.maintain import maintain
from reconcile.frames import CHECKS, SNAPSHOTS

OLD, NEW = date(2020, 12, 31), date(2021, 1, 1)


def test_a_moved_year_and_a_new_year_on_new_storage_are_read_with_the_others(shop: Shop) -> None:
    site = shop.content()["sites"]["one"] | {"since": OLD}
    shop.apply(sites={"one": site})
    make_repository(shop.repositories / "2020", PASSWORD)
    shutil.rmtree(shop.repositories / "2021")
    shop.call("a", "10:00:00", day=OLD)
    shop.recording("10:00:00", day=OLD)
    backup("shop", "one", OLD)
    ingest("shop")

    archive, cluster = shop.folder / "archive", shop.folder / "cluster"
    archive.mkdir()
    (shop.repositories / "2020").rename(archive / "2020")
    places = {"2020": {"location": str(archive)}, "2021": {"location": str(cluster)}}
    shop.apply(sites={"one": site | {"elsewhere": places}})
    shop.call("b", "10:00:00", day=NEW)
    shop.recording("10:00:00", day=NEW)
    with pytest.raises(PermanentError, match="no such folder"):
        backup("shop", "one", NEW)
    cluster.mkdir()
    make_repository(cluster / "2021", PASSWORD)
    backup("shop", "one", NEW)

    done = ingest("shop")
    assert (len(done["snapshots"]), done["published"]) == (1, 1)
    assert shop.frame(SNAPSHOTS)["repository_year"].to_list() == [2020, 2021]
    assert sorted(file.name for file in shop.repositories.iterdir()) == []
    assert len(list((cluster / "2021" / "snapshots").iterdir())) == 1
    assert maintain("shop", day=NEW)["damaged"] == 0
    assert set(shop.frame(CHECKS)["repository_year"].drop_nulls()) == {2020, 2021}


def test_a_year_that_lies_elsewhere_is_not_looked_for_with_the_others(shop: Shop) -> None:
    site = shop.content()["sites"]["one"]
    elsewhere = shop.folder / "elsewhere"
    elsewhere.mkdir()
    shutil.copytree(shop.repositories / "2021", elsewhere / "2021")
    (shop.repositories / "2021" / "config").write_bytes(b"an old copy that nobody may read any more")
    shop.apply(sites={"one": site | {"elsewhere": {"2021": {"location": str(elsewhere)}}}})
    shop.recording("10:00:00")
    assert backup("shop", "one", date(2021, 1, 31))["recordings"] == 1
    assert len(list((elsewhere / "2021" / "snapshots").iterdir())) == 1
