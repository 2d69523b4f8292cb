"""Retrieval and packs in a real Chromium with the real flows behind: from list to ZIP, from check to receipt."""

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openpyxl
import pytest
import uvicorn
import yaml
from page import PASSWORD, served
from playwright.sync_api import Browser, BrowserContext
from playwright.sync_api import Page as Tab
from shop import DAY, Shop

from blocks.progress import Told
from blocks.retrievals import Request, Retrievals
from blocks.trail import Entry
from flows.backup import backup
from flows.ingest import ingest
from listen.accounts import Account, hashed
from listen.house import House
from voxkeep.listening import house_of

DESK, NUMBER = "desks", "15372388463"
PACK = {
    "pack": "monthly",
    "title": "工商银行通话清单",
    "rows": "calls",
    "columns": [{"name": "通话", "field": "call_id"}, {"name": "号码", "field": "number", "pattern": "[0-9]{7,15}"}],
    "file": {"name": "calls_{since:%Y%m%d}.csv", "encoding": "gb18030"},
}


class Desk:
    """A shop with a pack, its page served by `voxkeep listen`'s own parts, and the bank's folder."""

    def __init__(self, folder: Path) -> None:
        self.shop = Shop(folder, DESK)
        self.bank = folder / "bank"
        self.bank.mkdir()
        (folder / "pack.yaml").write_text(yaml.safe_dump(PACK | {"deliver": {"url": str(self.bank)}}))
        for place, clock in enumerate(("09:00:00", "10:00:00")):
            self.shop.call(f"c{place}", clock)
            self.shop.recording(clock)
        self.shop.call("unanswered", "11:00:00", talk=0, number="13900000001")
        self.shop.apply(packs=["pack.yaml"])
        backup(DESK, "one", DAY)
        ingest(DESK)
        self.house: House = house_of(folder / "home", folder / "sounds")
        self.server: uvicorn.Server
        self.server, self.base = served(self.house)

    def person(self, name: str, role: str) -> None:
        """Make an account."""
        account = Account(
            name=name, title=name, roles=(role,), businesses=("*",), password=hashed(PASSWORD, name), must_change=False
        )
        self.house.accounts.change(name, lambda _: account)

    def entries(self, action: str) -> list[Entry]:
        """What the trail says of this action, oldest first."""
        self.house.trail.catch_up()
        rows = list(self.house.trail.rows(self.house.trail.head().sequence))[::-1]
        return [row.entry for row in rows if row.entry.action == action]


@pytest.fixture(scope="module")
def desk(prefect: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Made before the browser, whose event loop would be in the way of the flows that it runs."""
    desk = Desk(tmp_path_factory.mktemp("desk"))
    yield desk
    desk.server.should_exit = True


Enter = Callable[[str, str], Tab]


@pytest.fixture
def enter(desk: Desk, browser: Browser) -> Iterator[Enter]:
    """Log in by the form; a script that fails, or that the page's own policy refuses, fails the test."""
    complaints: list[str] = []
    context: BrowserContext = browser.new_context()
    context.set_default_timeout(120_000)

    def entered(name: str, role: str) -> Tab:
        desk.person(name, role)
        tab = context.new_page()
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("console", lambda said: complaints.append(said.text) if "Content Security" in said.text else None)
        tab.goto(f"{desk.base}/login")
        tab.fill("[name=name]", name)
        tab.fill("[name=password]", PASSWORD)
        tab.click("button.primary")
        tab.wait_for_selector(".bar")
        return tab

    yield entered
    context.close()
    assert complaints == []


def test_a_list_is_uploaded_fetched_and_saved_as_one_zip(desk: Desk, enter: Enter, tmp_path: Path) -> None:
    tab = enter("supervisor", "supervisor")
    tab.click("nav a[href='/retrievals']")
    file = tmp_path / "list.csv"
    file.write_text(f"客户号码\n+86 {NUMBER}\n13900000001\n13911112222\n", encoding="gb18030")
    tab.set_input_files("[name=file]", file)
    tab.fill("[name=name]", "{number}/{call_id}.{suffix}")
    tab.click("#retrieve button.primary")
    tab.wait_for_selector("form[action$=download]")
    assert NUMBER not in tab.url
    assert "139******01" in tab.inner_text(".absent")
    with tab.expect_download() as saved:
        tab.click("form[action$=download] button")
    with zipfile.ZipFile(saved.value.path()) as archive:
        names = [name for name in archive.namelist() if name != "index.xlsx"]
        assert names == [f"recordings/{NUMBER}/c0.wav3", f"recordings/{NUMBER}/c1.wav3"]
        sources = sorted(desk.shop.root.rglob("*.wav3"))
        assert [hashlib.sha256(archive.read(name)).digest() for name in names] == [
            hashlib.sha256(source.read_bytes()).digest() for source in sources
        ]
        book = openpyxl.load_workbook(io.BytesIO(archive.read("index.xlsx")))
        assert [sheet.max_row for sheet in book] == [3, 3]
    said = desk.entries("retrieve")
    assert {entry.actor for entry in said} == {"supervisor"}
    ordered = [entry.details.get("do", "take") for entry in said]
    assert [what for what in ordered if what != "look"] == ["ask", "take", "take", "download"]


def test_a_pack_is_checked_sent_receipted_and_sent_again(desk: Desk, enter: Enter) -> None:
    tab = enter("liaison", "liaison")
    assert tab.url.endswith("/packs")
    tab.click("a.parcel")
    tab.fill("[name=since] >> nth=0", str(DAY))
    tab.fill("[name=until] >> nth=0", str(DAY))
    tab.click("#check button")
    tab.wait_for_selector(".verdict.good")
    assert not list(desk.bank.iterdir())
    tab.click("text=发送 3 行")
    tab.wait_for_selector("text=已送达并逐一核对")
    sent = (desk.bank / "calls_20210131.csv").read_bytes()
    assert sent.decode("gb18030").splitlines()[1] == f"c0,{NUMBER}"
    with tab.expect_download() as saved:
        tab.click("form[action$=receipt] button")
    receipt: dict[str, Any] = json.loads(saved.value.path().read_text())
    assert receipt["parts"][0]["files"][0]["sha256"] == hashlib.sha256(sent).hexdigest()
    (desk.bank / "calls_20210131.csv").unlink()
    tab.click(".ledger button:has-text('再次发送')")
    tab.wait_for_selector("text=已重发 1 次")
    assert (desk.bank / "calls_20210131.csv").read_bytes() == sent
    said = [(entry.actor, entry.details["do"]) for entry in desk.entries("packs") if entry.details["do"] != "look"]
    both = [(who, what) for what in ("check", "send", "again") for who in ("liaison", "prefect")]
    assert [one for one in said if one[1] != "receipt"] == both
    assert ("liaison", "receipt") in said


def test_a_rule_that_is_broken_is_shown_by_row_and_nothing_can_be_sent(desk: Desk, enter: Enter) -> None:
    tab = enter("liaison2", "liaison")
    tab.goto(f"{desk.base}/packs/{DESK}/monthly?since=2020-01-01&until=2020-01-31")
    tab.click("#check button")
    tab.wait_for_selector("text=没有尚未发送的内容")
    assert tab.locator("form [value=send]").count() == 0


@pytest.mark.parametrize("language", [pytest.param("zh", marks=pytest.mark.long), "en"])
def test_the_pages_fit_a_telephone_and_every_field_has_a_name(desk: Desk, enter: Enter, language: str) -> None:
    tab = enter(f"both-{language}", "supervisor")
    account = desk.house.accounts.get(f"both-{language}")
    assert account
    desk.house.accounts.change(account.name, lambda _: account.model_copy(update={"roles": ("supervisor", "liaison")}))
    if language == "en":
        tab.click(".language button")
        tab.wait_for_selector("html[lang=en]")
    tab.set_viewport_size({"width": 400, "height": 800})
    asked = Request(business=DESK, by="somebody", entries=("c0", "c1"), field="call", name="{call_id}")
    result = Retrievals(desk.shop.storage, DESK).ask(asked)
    figures = {"entries": 2, "entries_found": 2, "recordings": 2, "bytes": 1, "not_found": 0}
    result.progress.tell(Told("done", "retrieve", outcome=figures))
    for path in ("/retrievals", f"/retrievals/{DESK}/{result.name}", "/packs", f"/packs/{DESK}/monthly"):
        tab.goto(desk.base + path)
        widths: Any = tab.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert widths[0] <= widths[1], path
        unnamed = tab.evaluate(
            "[...document.querySelectorAll('button, input:not([type=hidden]), select, textarea, a')].filter((one) => "
            "one.checkVisibility() && !(one.ariaLabel || one.innerText || one.labels?.length || one.title))"
            ".map((one) => one.outerHTML)"
        )
        assert unnamed == [], path
