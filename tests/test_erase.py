"""One person's data is erased everywhere, stays away, and everybody else's stays provable."""

import json
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest
from kept import CASE, DAY, NEXT, OTHER, PERSON, KeptShop, Stock

from blocks.retained_repository import RetainedRepository
from blocks.saved import load
from flows.erase import erase
from flows.hold import Asked, hold
from flows.ingest import ingest
from flows.reconciliation import reconcile
from reconcile.erasure import digest
from reconcile.frames import (
    CALLS,
    ERASED,
    FINDINGS,
    INVENTORY,
    NOTES,
    REMOVALS,
    SNAPSHOT_FILES,
    SNAPSHOTS,
    SUMMARY,
    TRACE,
)

# What no file may hold after the erasure: the number, and the person's recordings.
CONTENT = bytes(range(40, 60))


@pytest.fixture(scope="module")
def erased(prefect: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[KeptShop, dict[str, Any], set[str]]:
    """The shop after the person was erased, what the flow said, and the snapshots that were there before."""
    shop = Stock(tmp_path_factory.mktemp("erased")).shop
    before = set(shop.frame(SNAPSHOTS)["snapshot_id"])
    return shop, erase("shop", "wang", "request 17", Asked(number=PERSON)), before


def restored(shop: KeptShop, target: Path) -> Path:
    """Everything that the repository holds, of every snapshot."""
    repository = load(RetainedRepository, "shop--one")
    for number, row in enumerate(repository.snapshots(2021).iter_rows(named=True)):
        for folder in row["paths"]:
            repository.restore(2021, row["snapshot_id"], Path(folder), target / str(number))
    return target


def files_with(folder: Path, text: str) -> list[str]:
    found = [file for file in folder.rglob("*") if file.is_file()]
    return [str(file) for file in found if text in file.name or text.encode() in file.read_bytes()]


def test_it_goes_from_every_station(erased: tuple[KeptShop, dict[str, Any], set[str]]) -> None:
    shop, done, _ = erased
    assert {name: done[name] for name in ("calls", "notes", "recordings", "objects", "snapshots")} == {
        "calls": 2, "notes": 1, "recordings": 2, "objects": 2, "snapshots": 1,
    }  # fmt: skip
    assert shop.frame(CALLS)["call_id"].to_list() == ["o1"]
    assert shop.frame(NOTES)["call_id"].to_list() == ["o1"]
    assert shop.store.listing().height == 1
    assert shop.index.documents("shop", "one", NEXT).is_empty()
    for folder in ("catalog", "index", "bucket", "restored", "work"):
        assert files_with(shop.storage / folder, PERSON) == []
        assert files_with(shop.storage / folder, CASE) == []


def test_the_snapshots_hold_everybody_else_s_files_and_rows(
    erased: tuple[KeptShop, dict[str, Any], set[str]], tmp_path: Path
) -> None:
    shop, _, _ = erased
    everything = restored(shop, tmp_path)
    assert files_with(everything, PERSON) == []
    assert files_with(everything, CASE) == []
    assert len([file for file in everything.rglob("*.wav3") if OTHER in file.name]) == 1
    (extract,) = everything.rglob(f"calls/{DAY}.csv")
    assert [line.split(",")[0] for line in extract.read_text().splitlines()] == ["id", "o1"]
    (package,) = everything.rglob("datapackage.json")
    told = {one["path"]: one["rows"] for one in json.loads(package.read_bytes())["resources"]}
    assert (told[f"extracts/calls/{DAY}.csv"], told[f"extracts/notes/{NEXT}.csv"]) == (1, 1)


def test_nothing_is_left_of_its_bytes_in_the_repository(erased: tuple[KeptShop, dict[str, Any], set[str]]) -> None:
    shop, _, _ = erased
    repository = load(RetainedRepository, "shop--one")
    said = repository._run(2021, ["stats", "--mode", "raw-data", "--json", "--no-lock"]).output
    # One recording of 80 kB is left of three, and some kilobytes of lists beside it.
    assert 80_044 < json.loads(said)["total_size"] < 150_000
    packs = sum(file.stat().st_size for file in (shop.repositories / "2021" / "data").rglob("*") if file.is_file())
    assert packs < 150_000


def test_the_catalog_follows_and_nothing_is_ingested_again_or_reported_as_lost(
    erased: tuple[KeptShop, dict[str, Any], set[str]],
) -> None:
    shop, _, before = erased
    now = shop.frame(SNAPSHOTS)["snapshot_id"].to_list()
    assert before.isdisjoint(now)
    assert set(shop.frame(SNAPSHOT_FILES)["snapshot_id"]) == set(now)
    assert ingest("shop")["snapshots"] == []
    done = reconcile("shop", since=DAY, day=NEXT)
    assert (done["open_critical"], done["open_major"]) == (0, 0)
    assert shop.frame(FINDINGS).filter(status="open").is_empty()
    assert shop.frame(TRACE)["coverage"].to_list() == ["complete"]
    assert shop.frame(SUMMARY)["recordings"].to_list() == [1, 0]


def test_the_protocol_is_signed_and_names_nobody_but_can_be_proved(
    erased: tuple[KeptShop, dict[str, Any], set[str]],
) -> None:
    shop, done, _ = erased
    (folder,) = [Path(path) for path in done["protocols"]]
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "public-key.pem", "-rawin"]
    subprocess.run(
        [*command, "-in", "protocol.json", "-sigfile", "protocol.json.sig"], cwd=folder, check=True, capture_output=True
    )
    text = (folder / "protocol.json").read_text()
    said = json.loads(text)
    assert PERSON not in text
    assert (said["purpose"], said["author"], said["reason"]) == ("erasure", "wang", "request 17")
    assert {row["what"]: row["count"] for row in said["removed"]} == {"objects": 2, "rows": 13, "snapshots": 1}
    salt, _, hashed = said["removed"][0]["subject"].partition(".")
    assert digest(salt, "subject", "number", "", PERSON) == hashed
    assert shop.frame(REMOVALS)["done_at"].null_count() == 0
    assert not shop.frame(ERASED)["digest"].is_in(shop.frame(INVENTORY)["recording_id"].implode()).any()


def test_what_the_source_still_has_does_not_come_back_and_is_cleaned_once_more(
    erased: tuple[KeptShop, dict[str, Any], set[str]], tmp_path: Path
) -> None:
    shop, _, _ = erased
    shop.call("o2", "13:00:00", number=OTHER, day=NEXT)
    shop.recording("13:00:00", number=OTHER, day=NEXT)
    shop.backup(NEXT)
    done = ingest("shop")
    assert (done["suppressed"], done["published"]) == (2, 1)
    assert sorted(shop.frame(CALLS)["call_id"]) == ["o1", "o2"]
    assert shop.frame(NOTES)["call_id"].to_list() == ["o1"]
    assert files_with(shop.storage / "catalog", PERSON) == []
    # The new snapshot has it again, until the person is erased there, too.
    for file in shop.root.rglob(f"*{PERSON}*"):
        file.unlink()
    with sqlite3.connect(shop.database) as connection:
        connection.execute("DELETE FROM cdr WHERE number = ?", (PERSON,))
        connection.execute("DELETE FROM notes WHERE customer = ?", (CASE,))
    assert erase("shop", "wang", "request 17", Asked(number=PERSON))["snapshots"] == 1
    assert files_with(restored(shop, tmp_path), PERSON) == []
    assert ingest("shop")["snapshots"] == []
    assert reconcile("shop", since=DAY, day=NEXT)["open_critical"] == 0


def test_a_hold_on_one_call_keeps_all_of_the_person(erased: tuple[KeptShop, dict[str, Any], set[str]]) -> None:
    shop, _, _ = erased
    hold("shop", "wang", "court", Asked(call="o1"))
    with pytest.raises(Exception, match="a legal hold keeps it"):
        erase("shop", "wang", "request 18", Asked(number=OTHER))
    assert "o1" in shop.frame(CALLS)["call_id"].to_list()
