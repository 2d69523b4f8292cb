"""A finding that people have decided about is quiet as long as their decision holds."""

from datetime import UTC, date, datetime, timedelta
from shutil import copytree, rmtree

import polars as pl
import pytest
from shop import DAY, ZONE, Shop
from test_certificate import certified, make_key

from blocks.errors import SettingsError
from flows.certify import certify
from flows.reconciliation import reconcile
from flows.waive import waive
from reconcile.frames import FINDINGS, SUMMARY, WAIVERS
from voxkeep.main import run

FAR = date(2999, 12, 31)


@pytest.fixture(scope="module")
def reconciled(prefect: None, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A day with two calls, of which one has no recording, and beside its folder a copy of it."""
    shop = Shop(tmp_path_factory.mktemp("reconciled") / "shop")
    shop.call("c1", "09:00:00")
    shop.recording("09:00:00")
    shop.call("c2", "10:00:00")
    shop.run()
    copytree(shop.folder, shop.folder.with_name("copy"))
    return shop


@pytest.fixture
def lossy(reconciled: Shop) -> Shop:
    """That day as it was before any test."""
    rmtree(reconciled.folder)
    copytree(reconciled.folder.with_name("copy"), reconciled.folder)
    reconciled.apply()
    return reconciled


def the_finding(shop: Shop) -> dict[str, object]:
    return shop.frame(FINDINGS).row(0, named=True)


def waive_it(shop: Shop, until: date = FAR, reason: str = "the tape burnt") -> dict[str, object]:
    done: dict[str, object] = waive(shop.business, str(the_finding(shop)["finding_id"]), "wang", reason, until)
    return done


def of_today() -> date:
    return datetime.now(UTC).astimezone(ZONE).date()


def test_it_is_quiet_at_once_and_in_every_later_report(lossy: Shop) -> None:
    assert lossy.open_findings() == {"recording_missing": 1}
    assert waive_it(lossy)["status"] == "waived"
    for _ in range(2):
        assert lossy.open_findings() == {}
        assert lossy.frame(SUMMARY)["open_major"].to_list() == [0]
        assert lossy.frame(SUMMARY)["coverage"].to_list() == [0.5]  # what is lost is lost
        assert reconcile(lossy.business, day=DAY)["open_major"] == 0
    decided = lossy.frame(WAIVERS).row(0, named=True)
    assert (decided["author"], decided["reason"], decided["until"]) == ("wang", "the tape burnt", FAR)


def test_it_opens_again_behind_its_last_day_though_that_day_is_reconciled_no_more(lossy: Shop) -> None:
    last = of_today()
    waive_it(lossy, until=last)
    reconcile(lossy.business, day=last)
    assert the_finding(lossy)["status"] == "waived"
    reconcile(lossy.business, day=last + timedelta(days=1))
    assert the_finding(lossy)["status"] == "open"
    assert lossy.frame(SUMMARY).filter(day=DAY)["open_major"].to_list() == [1]
    assert the_finding(lossy)["status_since"] == last + timedelta(days=1)


def test_it_can_be_withdrawn_and_both_decisions_stay(lossy: Shop) -> None:
    waive_it(lossy)
    assert waive_it(lossy, until=DAY, reason="found the tape")["status"] == "open"
    assert lossy.open_findings() == {"recording_missing": 1}
    assert lossy.frame(WAIVERS)["reason"].to_list() == ["the tape burnt", "found the tape"]


def test_a_waived_finding_that_heals_is_resolved(lossy: Shop) -> None:
    waive_it(lossy)
    lossy.recording("10:00:00")
    lossy.run()
    assert the_finding(lossy)["status"] == "resolved"


@pytest.mark.parametrize(("author", "reason"), [("", "why"), ("wang", " ")])
def test_nobody_and_no_reason_are_refused(lossy: Shop, author: str, reason: str) -> None:
    with pytest.raises(SettingsError, match="who waives it and why"):
        waive(lossy.business, str(the_finding(lossy)["finding_id"]), author, reason, FAR)
    assert lossy.frame(WAIVERS).is_empty()


def test_an_unknown_finding_is_told(lossy: Shop) -> None:
    with pytest.raises(SettingsError, match=r"no finding of this id.*findings\.xlsx"):
        waive(lossy.business, "0000000000000000", "wang", "why", FAR)


def test_a_certificate_names_who_decided_what(lossy: Shop) -> None:
    make_key(lossy.folder / "key.pem")
    lossy.apply(certificate_key={"file": "key.pem"})
    waive_it(lossy)
    done = certify(lossy.business, DAY, DAY)
    said = certified(lossy.folder / done["folder"])["waived_findings"]
    assert (said["total"], said["decisions"][0]["author"], said["decisions"][0]["until"]) == (1, "wang", str(FAR))


def test_on_the_command_line(lossy: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    finding = str(the_finding(lossy)["finding_id"])
    said = ["voxkeep", "waive", lossy.business, finding, "--reason", "the tape burnt", "--author", "wang"]
    home = ["--home", str(lossy.folder / "home")]
    monkeypatch.setattr("sys.argv", [*said, "--until", str(FAR), *home, "--json"])
    with pytest.raises(SystemExit) as ended:
        run()
    assert ended.value.code == 0
    assert '"status": "waived"' in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", [*said, *home])
    with pytest.raises(SystemExit) as ended:
        run()
    assert ended.value.code == 2
    assert "either --until or --withdraw" in capsys.readouterr().err
    assert pl.Series(lossy.frame(WAIVERS)["author"]).to_list() == ["wang"]
