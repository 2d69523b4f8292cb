"""What may be removed when, and by whom: by the settings, by hand, and by calls that go past both."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import rmtree
from typing import Any

import polars as pl
import pytest
from kept import BETWEEN, BEYOND, CASE, DAY, NEXT, OTHER, PERSON, SHORT, UNDER, KeptShop, Stock
from repositories import make_repository
from shop import PASSWORD

from blocks.errors import KeptError, PermanentError, SettingsError
from blocks.retained_catalog import RetainedCatalog
from blocks.retained_repository import Excluded, RetainedRepository
from blocks.retained_store import RetainedStore
from blocks.saved import load
from blocks.signing import is_signed
from flows.backup import backup
from flows.days import today
from flows.decisions import _digest
from flows.erase import erase
from flows.hold import Asked, hold
from flows.ingest import ingest
from flows.rebuild import rebuild
from flows.reconciliation import reconcile
from flows.retention import preview, retain
from reconcile.errors import RuleError
from reconcile.frames import (
    CALLS,
    ERASED,
    HELD,
    HOLDS,
    INVENTORY,
    NOTES,
    REMOVALS,
    RESTORED,
    SNAPSHOTS,
    SUMMARY,
    TRACE,
)
from reconcile.retention import Permit
from voxkeep.main import run

PARTS = ("objects", "rows", "repository", "snapshots", "from snapshots")


@pytest.fixture(scope="module")
def stock(prefect: None, tmp_path_factory: pytest.TempPathFactory) -> Stock:
    return Stock(tmp_path_factory.mktemp("stock"))


def command(monkeypatch: pytest.MonkeyPatch, shop: KeptShop, *words: str) -> object:
    """The exit code of this command."""
    monkeypatch.setattr("sys.argv", ["voxkeep", *words, "--home", str(shop.folder / "home")])
    with pytest.raises(SystemExit) as ended:
        run()
    return ended.value.code


def keys(shop: KeptShop) -> list[str]:
    return shop.store.listing()["key"].to_list()


class Everything(frozenset[str]):
    """Names of which every other name is one."""

    def issuperset(self, _other: object) -> bool:
        """Always."""
        return True


@dataclass(frozen=True)
class Forged:
    """A permit that somebody has written by hand: it covers everything."""

    purpose: str = "retention"
    business: str = "shop"
    names: Any = field(default_factory=Everything)

    def covers(self, *_: str) -> bool:
        """Always."""
        return True


def direct_calls(shop: KeptShop, permit: Any) -> dict[str, Callable[[], object]]:
    """Every verb that removes for good, called past all flows."""
    store, catalog = load(RetainedStore, "shop"), load(RetainedCatalog, "shop")
    repository = load(RetainedRepository, "shop--one")
    rows, paths = shop.frame(CALLS).filter(day=DAY), tuple(shop.frame(INVENTORY).filter(day=DAY)["path"])
    ids = repository.snapshots(DAY.year)["snapshot_id"].to_list()
    return {
        "objects": lambda: store.remove([key for key in keys(shop) if key.startswith(str(DAY))], permit),
        "rows": lambda: catalog.remove("calls", "one", DAY, rows.clear(), permit),
        "repository": lambda: repository.drop(DAY.year, permit),
        "snapshots": lambda: repository.forget(DAY.year, ids, permit),
        "from snapshots": lambda: repository.exclude(DAY.year, ids, Excluded(str(shop.root), paths), permit),
    }


def refuse(shop: KeptShop, permit: Any, parts: tuple[str, ...] = PARTS) -> None:
    calls = direct_calls(shop, permit)
    for part in parts:
        with pytest.raises(KeptError):
            calls[part]()


# How long is kept, what is held: whether retention takes it, whether a person may be erased, what a direct call is
# answered even with a forged permit for retention or for erasure.
TABLE = {
    "under the floor": (UNDER, None, False, False),
    "between floor and ceiling": (BETWEEN, None, False, True),
    "under the floor, where the law beats it": (UNDER | {"erasure_beats_floor": True}, None, False, True),
    "beyond the ceiling": (BEYOND, None, True, True),
    "held by number": (BEYOND | {"erasure_beats_floor": True}, {"number": f"+86 {PERSON}"}, False, False),
    "held by call": (BEYOND, {"call": "p1"}, False, False),
    "held by case": (BEYOND, {"attribute": f"customer={CASE}"}, False, False),
    "held by days": (BEYOND, {"since": DAY, "until": DAY, "site": "one"}, False, False),
}


# The others take the same ways: `make test-long` has them, too.
ORDINARY = ("under the floor", "beyond the ceiling", "held by case", "held by days")


@pytest.mark.parametrize(
    "state", [pytest.param(state, marks=() if state in ORDINARY else pytest.mark.long) for state in TABLE]
)
def test_who_may_remove_what_when(stock: Stock, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spans, held, retention_takes, erasure_takes = TABLE[state]
    shop = stock.fresh(retention=spans)
    if held:
        hold("shop", "wang", "court", Asked(**held))
    of_person = [key for key in keys(shop) if key.startswith(str(DAY))]
    before = (keys(shop), shop.frame(CALLS).rows(), shop.frame(NOTES).rows())
    # A call past everything.
    refuse(shop, Permit("retention", "shop", frozenset()))
    if not retention_takes:
        floor_only = state == "between floor and ceiling"
        refuse(shop, Forged(), ("snapshots",) if floor_only else PARTS)
    if not erasure_takes:
        refuse(shop, Forged("erasure"))
        # The flow and the command.
        with pytest.raises(RuleError, match=r"floor|hold"):
            erase("shop", "wang", "asked", Asked(number=PERSON))
        assert command(monkeypatch, shop, "erase", "shop", "--call", "p1", "--reason", "asked") == 2
        assert (keys(shop), shop.frame(CALLS).rows(), shop.frame(NOTES).rows()) == before
    # By the settings.
    if state == "held by case":
        assert command(monkeypatch, shop, "retention", "apply", "shop") == 0
    else:
        retain("shop")
    assert (shop.repositories / "2021").exists() is not retention_takes
    left = [key for key in of_person if key in keys(shop)]
    assert bool(left) is not retention_takes
    assert ("p1" in shop.frame(CALLS)["call_id"].to_list()) is not retention_takes


def test_all_that_is_beyond_its_ceiling_goes_everywhere_and_stays_away(stock: Stock) -> None:
    shop = stock.fresh(retention=BEYOND)
    before, told = shop.files(), preview("shop")
    assert shop.files() == before
    assert {row["what"]: row for row in told["goes"] if row["of"] in (str(DAY), "2021")} == {
        "day": {
            "site": "one", "what": "day", "of": "2021-01-31", "objects": 2, "bytes": 160_088, "rows": 14,
            "documents": 2, "partitions": 7, "held": 0,
        },
        "repository": {"site": "one", "what": "repository", "of": "2021", "snapshots": 1, "bytes": 240_132},
    }  # fmt: skip
    done = retain("shop")
    assert (done["objects"], done["repositories"]) == (3, ["one: 2021"])
    assert (keys(shop), (shop.repositories / "2021").exists()) == ([], False)
    assert all(shop.frame(frame).is_empty() for frame in (CALLS, NOTES, INVENTORY, RESTORED, TRACE))
    assert [file for file in (shop.storage / "restored").rglob("*") if file.is_file()] == []
    assert shop.index.documents("shop", "one", DAY).is_empty()
    assert shop.frame(SUMMARY)["recordings"].sum() == 3  # figures name nobody, and stay
    assert preview("shop")["goes"] == []
    # The source still has everything, and its next backup brings nothing back.
    shop.backup(NEXT)
    assert ingest("shop")["suppressed"] == 3
    assert (keys(shop), shop.frame(CALLS).height, shop.frame(NOTES).height) == ([], 0, 0)


def test_what_is_held_stays_with_all_that_belongs_to_it_until_the_hold_is_withdrawn(stock: Stock) -> None:
    shop = stock.fresh(retention=BEYOND)
    placed = hold("shop", "wang", "court", Asked(number=PERSON))
    assert hold("shop", "wang", "court", Asked(number=PERSON))["hold"] == placed["hold"]
    assert preview("shop")["holds"][0]["hold"] == placed["hold"]
    retain("shop")
    assert sorted(shop.frame(CALLS)["call_id"]) == ["p1", "p2"]
    assert shop.frame(NOTES)["call_id"].to_list() == ["p1"]
    assert [OTHER in path for path in shop.frame(INVENTORY)["path"]] == [False, False]
    assert len(keys(shop)) == 2
    assert shop.index.documents("shop", "one", DAY)["call_id"].to_list() == ["p1"]
    # What stays is whole: a later reconciliation of the day finds nothing to complain of.
    shop.apply(retention=BETWEEN)
    assert reconcile("shop", since=DAY, day=NEXT)["open_critical"] == 0
    shop.apply(retention=BEYOND)
    hold("shop", "li", "settled", withdraw=str(placed["hold"]))
    assert shop.frame(HELD).is_empty()
    retain("shop")
    assert (keys(shop), (shop.repositories / "2021").exists()) == ([], False)
    assert shop.frame(HOLDS)["author"].to_list() == ["wang", "wang", "li"]


def test_a_permit_from_before_a_hold_opens_nothing(stock: Stock) -> None:
    shop = stock.fresh(retention=BEYOND)
    rows = frozenset(("rows", "one", str(day)) for day in (DAY, NEXT))
    real = Permit("retention", "shop", rows | {("repository", "one", "2021")}, frozenset(keys(shop)))
    hold("shop", "wang", "court", Asked(call="p1"))
    refuse(shop, real, ("objects", "rows", "repository"))
    assert len(keys(shop)) == 3


@pytest.mark.long
def test_rows_of_one_dataset_may_go_earlier_than_the_rest(stock: Stock) -> None:
    shop = stock.fresh(retention=BETWEEN | {"datasets": {"notes": {"ceiling": "4y"}}})
    retain("shop")
    assert (shop.frame(NOTES).height, shop.frame(CALLS).height, len(keys(shop))) == (0, 3, 3)
    assert set(shop.index.documents("shop", "one", DAY)["notes"]) == {"[]"}


def test_what_was_removed_is_told_in_a_signed_protocol_once(stock: Stock) -> None:
    shop = stock.fresh(retention=BEYOND)
    (folder,) = [shop.folder / path for path in retain("shop", "wang")["protocols"]]
    content = (folder / "protocol.json").read_bytes()
    key = (folder / "public-key.pem").read_bytes()
    assert is_signed(content, (folder / "protocol.json.sig").read_bytes(), key)
    said = json.loads(content)
    assert (said["author"], said["purpose"]) == ("wang", "retention")
    assert {(row["what"], row["subject"]): row["count"] for row in said["removed"] if row["what"] != "rows"} == {
        ("objects", "2021-01-31"): 2, ("objects", "2021-02-01"): 1, ("repository", "2021"): 1,
    }  # fmt: skip
    assert PERSON.encode() not in content
    assert shop.frame(REMOVALS)["done_at"].null_count() == 0
    assert retain("shop")["protocols"] == []


def test_without_a_key_to_sign_with_nothing_is_removed(stock: Stock) -> None:
    shop = stock.fresh(retention=BEYOND)
    with pytest.raises(SettingsError, match="signed protocol"):
        shop.apply(retention=BEYOND, certificate_key=None)


@pytest.mark.parametrize(
    ("retention", "said"),
    [
        ({"floor": "2y"}, "shorter than 3y"),
        ({"floor": "1094d"}, "shorter than 3y"),
        ({"floor": "3y", "ceiling": "2y"}, "shorter than the floor"),
        ({"floor": "3 years"}, "expected"),
        ({"datasets": {"note": {"ceiling": "5y"}}}, "the nearest is notes"),
        ({"ceiling": "5y", "datasets": {"calls": {"ceiling": "4y"}}}, "as long as their recordings"),
    ],
)
def test_settings_that_would_lose_something_are_refused(stock: Stock, retention: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        stock.shop.settings_with(retention=retention)
    stock.shop.settings_with(retention={"floor": "30d", "ceiling": "60d", "short_floor_reason": "a demo"})


@pytest.mark.parametrize(
    ("author", "reason", "asked", "said"),
    [
        ("", "court", {"call": "p1"}, "who decides and why"),
        ("wang", " ", {"call": "p1"}, "who decides and why"),
        ("wang", "court", {}, "only one"),
        ("wang", "court", {"call": "p1", "number": PERSON}, "only one"),
        ("wang", "court", {"call": "p1", "site": "two"}, "has the sites one"),
        ("wang", "court", {"number": "153****8463"}, "give the whole number"),
        ("wang", "court", {"since": DAY}, "first and a last day"),
    ],
)
def test_a_hold_by_nobody_or_of_nothing_is_refused(
    stock: Stock, author: str, reason: str, asked: dict[str, Any], said: str
) -> None:
    with pytest.raises((SettingsError, RuleError), match=said):
        hold("shop", author, reason, Asked(**asked))


def test_a_hold_that_cannot_be_copied_beside_the_backups_is_in_force_and_says_so(stock: Stock) -> None:
    shop = stock.fresh(retention=BEYOND)
    config = shop.repositories / "2021" / "config"
    whole = config.read_bytes()
    config.chmod(0o600)
    config.write_bytes(b"damaged")
    with pytest.raises(PermanentError, match=r"shop/one: hold .* that it is placed is in force, but there only"):
        hold("shop", "wang", "court", Asked(number=PERSON))
    config.write_bytes(whole)
    retain("shop")
    assert len(keys(shop)) == 2
    config.write_bytes(b"damaged")
    with pytest.raises(PermanentError, match="that it is withdrawn is in force"):
        hold("shop", "li", "settled", withdraw=shop.frame(HOLDS)["hold_id"].item())
    config.write_bytes(whole)
    assert hold("shop", "wang", "court", Asked(number=PERSON))["held"]


def test_a_lost_catalog_does_not_lose_what_is_held(stock: Stock) -> None:
    shop = stock.fresh(retention=BEYOND)
    hold("shop", "wang", "court", Asked(number=PERSON))
    retain("shop")
    before = kept_now(shop)
    assert (len(keys(shop)), before[HOLDS.name].height) == (2, 1)
    rmtree(shop.storage / "catalog")
    for run_by_schedule in (ingest, retain, lambda name: erase(name, "wang", "asked", Asked(number=OTHER))):
        with pytest.raises(SettingsError, match="voxkeep rebuild shop"):
            run_by_schedule("shop")
    assert len(keys(shop)) == 2
    assert rebuild("shop")["decisions"] == before[HOLDS.name].height + before[REMOVALS.name].height
    retain("shop")
    after = kept_now(shop)
    assert (shop.repositories / "2021").exists()
    for name, rows in before.items():
        assert (
            after[name].drop("done_at", "begun_at", strict=False).equals(rows.drop("done_at", "begun_at", strict=False))
        ), name


def test_a_hold_on_all_sites_keeps_at_each_of_them_what_a_lost_catalog_did_not_take_in(
    prefect: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = KeptShop(tmp_path)
    sites = dict.fromkeys(("one", "two"), shop.content()["sites"]["one"])
    shop.apply(sites=sites)
    make_repository(shop.repositories.with_name("two") / "2021", PASSWORD)
    shop.call("p1", "09:00:00", number=PERSON)
    shop.recording("09:00:00", number=PERSON)
    for name in sites:
        backup("shop", name, DAY)
    ingest("shop")
    hold("shop", "wang", "court", Asked(number=PERSON))
    shop.apply(sites=sites, retention=BEYOND)
    rmtree(shop.storage / "catalog")
    with monkeypatch.context() as patched:  # as if it had been lost in between
        patched.setattr("flows.ingest.refuse_forgotten", lambda _centre: None)
        ingest("shop")
    assert shop.frame(CALLS).is_empty()
    rebuild("shop")
    retain("shop")
    assert sorted(shop.frame(CALLS)["site"]) == sorted(shop.frame(RESTORED)["site"]) == ["one", "two"]
    assert len(keys(shop)) == 2
    assert all((shop.repositories.with_name(name) / "2021").exists() for name in sites)


def test_a_copy_of_decisions_that_the_business_has_not_signed_decides_nothing(stock: Stock, tmp_path: Path) -> None:
    shop = stock.fresh(retention=BEYOND)
    hold("shop", "wang", "court", Asked(number=PERSON))
    later = pl.col("decided_at") + timedelta(hours=1)
    withdrawn = shop.frame(HOLDS).with_columns(later, decision=pl.lit("withdrawn"))
    withdrawn.write_parquet(tmp_path / "holds.parquet")
    tags = [f"digest={_digest({'holds': withdrawn})}", "signature=" + "00" * 64]
    load(RetainedRepository, "shop--one").add_decisions(2021, tmp_path, host="one", tags=tags)
    rmtree(shop.storage / "catalog")
    rebuild("shop")
    assert shop.frame(HOLDS)["decision"].to_list() == ["placed"]


def test_a_repository_that_was_half_dropped_is_dropped_and_told_of(
    stock: Stock, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = stock.fresh(retention=BEYOND)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("flows.thinning.take_out", killed)
        with pytest.raises(KeyboardInterrupt):
            retain("shop")
    assert (shop.frame(SNAPSHOTS).height, (shop.repositories / "2021").exists()) == (1, False)
    done = retain("shop")
    assert (done["repositories"], len(done["protocols"])) == (["one: 2021"], 1)
    assert (shop.frame(SNAPSHOTS).height, shop.frame(REMOVALS)["done_at"].null_count()) == (0, 0)


def test_nobody_is_erased_from_a_backup_that_was_not_ingested(stock: Stock) -> None:
    shop = stock.fresh(retention=BETWEEN)
    shop.call("p3", "12:00:00", number=PERSON, day=NEXT)
    shop.backup(NEXT)
    with pytest.raises(SettingsError, match="voxkeep ingest shop"):
        erase("shop", "wang", "asked", Asked(number=PERSON))
    assert shop.frame(ERASED).is_empty()


def kept_now(shop: KeptShop) -> dict[str, pl.DataFrame]:
    """What is kept of calls and recordings, and what was decided; removals of one order alone."""
    frames = (CALLS, NOTES, INVENTORY, HOLDS, HELD)
    removals = shop.frame(REMOVALS)
    first = removals.filter(pl.col("removal_id") == removals.sort("begun_at")["removal_id"].first())
    objects = pl.DataFrame({"key": keys(shop)})
    return {**{frame.name: shop.frame(frame) for frame in frames}, REMOVALS.name: first, "objects": objects}


def test_a_repository_with_a_backup_that_the_catalog_does_not_know_stays(stock: Stock) -> None:
    shop = stock.fresh(retention=BEYOND)
    shop.backup(NEXT)
    repository = load(RetainedRepository, "shop--one")
    (unknown,) = set(repository.snapshots(2021)["snapshot_id"]) - set(shop.frame(SNAPSHOTS)["snapshot_id"])
    with pytest.raises(KeptError, match="not ingested"):
        repository.drop(2021, Forged())
    with pytest.raises(KeptError, match="not ingested"):
        repository.forget(2021, [unknown], Forged())
    assert retain("shop")["repositories"] == []
    ingest("shop")
    assert retain("shop")["repositories"] == ["one: 2021"]


def test_a_hold_on_a_case_keeps_the_call_that_only_a_later_note_names(stock: Stock) -> None:
    still_kept = (today(datetime.now(UTC), "Asia/Shanghai") - NEXT).days
    shop = stock.fresh(retention={"floor": SHORT, "ceiling": f"{still_kept}d"})
    hold("shop", "wang", "court", Asked(attribute="customer=a-case-of-later"))
    shop.note("p1", f"{NEXT} 13:00:00", "a-case-of-later")
    shop.backup(NEXT)
    ingest("shop")
    retain("shop")
    assert [row["subject"] for row in shop.frame(REMOVALS).filter(what="rows").to_dicts()] == [str(DAY)]
    assert sorted(shop.frame(CALLS)["call_id"]) == ["p1", "p2"]
    assert len(keys(shop)) == 2


def test_rows_go_by_what_the_partition_has_not_by_what_a_caller_says(stock: Stock) -> None:
    shop = stock.fresh(retention=BEYOND)
    hold("shop", "wang", "court", Asked(call="p1"))
    of_another = shop.frame(CALLS).filter(day=DAY, call_id="o1")
    with pytest.raises(KeptError, match="hold keeps some"):
        load(RetainedCatalog, "shop").remove("calls", "one", DAY, of_another, Forged())
    assert shop.frame(CALLS).filter(day=DAY).height == 2


@pytest.mark.long
def test_snapshots_that_others_outlive_are_forgotten_and_nothing_is_ingested_again(stock: Stock) -> None:
    shop = stock.fresh(retention=BETWEEN)
    for clock in ("12:00:00", "13:00:00"):
        shop.call(clock, clock, day=NEXT)
        shop.recording(clock, day=NEXT)
        shop.backup(NEXT)
        ingest("shop")
    repository = load(RetainedRepository, "shop--one")
    before = repository.snapshots(2021)["snapshot_id"].to_list()
    # The backups of the tests were all taken today.
    assert retain("shop")["snapshots"] == 0
    shop.apply(retention=BETWEEN | {"snapshots_within": "1d"})
    assert preview("shop")["goes"] == []
    assert (len(before), repository.snapshots(2021)["snapshot_id"].to_list()) == (3, before)
