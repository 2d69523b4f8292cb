"""Retrieval and packs over HTTP: what is asked for is on record first, done once, and an attacker gets nothing."""

import re
from pathlib import Path

import httpx
import pytest
from page import DAY, NUMBER, PACK, Client, Page, retrieved, sent

from blocks.exports import export_progress
from blocks.progress import Told
from blocks.retrievals import Retrievals
from blocks.trail import AuditTrail
from blocks.vault import Vault
from listen.security import MOST_BYTES, Rate
from reconcile.asked_list import MOST_BYTES as LIST_BYTES


@pytest.fixture
def supervisor(page: Page) -> Client:
    return page.enter("zhuguan", ("supervisor",))


@pytest.fixture
def liaison(page: Page) -> Client:
    return page.enter("duijie", ("liaison",))


def ask(client: Client, content: bytes = b"", file_name: str = "", **fields: str) -> httpx.Response:
    given = {"business": "shop", "field": "number", "entries": ""} | fields
    return client.post("/retrievals", given, files={"file": (file_name, content)})


def do(client: Client, what: str, **fields: str) -> httpx.Response:
    return client.post(f"/packs/shop/{PACK}", {"do": what, "since": str(DAY), "until": str(DAY)} | fields)


# retrieval


def test_what_is_asked_for_is_on_record_without_its_numbers_and_then_ordered(page: Page, supervisor: Client) -> None:
    answer = ask(supervisor, entries=f"+86 {NUMBER}\n13900000000", since=str(DAY))
    assert NUMBER not in answer.headers["location"]
    entry = page.rows(action="retrieve", actor="zhuguan")[-1].entry
    assert (entry.details["do"], entry.details["entries"], entry.details["since"]) == ("ask", 2, str(DAY))
    assert page.house.hashes.of(NUMBER) in entry.numbers
    assert NUMBER not in str(entry)
    flow, parameters = page.work.asked[-1]
    assert (flow, set(parameters)) == ("retrieve", {"business", "request"})
    assert NUMBER not in str(parameters)
    found = Retrievals(page.folder, "shop").get(parameters["request"])
    assert found
    assert found.request.entries == (f"+86 {NUMBER}", "13900000000")
    assert "等待开始" in supervisor.follow(answer).text


def test_the_same_list_twice_is_one_request_until_it_is_done(page: Page, supervisor: Client) -> None:
    first, second = (ask(supervisor, entries="13911110000").headers["location"] for _ in range(2))
    assert first == second


def test_a_file_counts_before_what_was_pasted(page: Page, supervisor: Client) -> None:
    ask(
        supervisor,
        "案件编号\nMT-1\n".encode("gb18030"),
        "案件.csv",
        entries="x",
        field="attribute",
        attribute="案件编号",
    )
    found = Retrievals(page.folder, "shop").get(page.work.asked[-1][1]["request"])
    assert found
    assert (found.request.entries, found.request.field) == (("MT-1",), "案件编号")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"entries": " "}, "清单是空的"),
        ({"entries": "\n".join(map(str, range(6000)))}, "超过 5,000 项"),
        ({"entries": "x", "field": "attribute", "attribute": ""}, "请填写字段名"),
        ({"entries": "x", "name": "{nothing}.wav"}, "命名规则不可用"),
        ({"entries": "x", "name": "<b>:{call_id}"}, "命名规则不可用"),
        ({"entries": "x", "since": "2026-03-02", "until": "2026-03-01"}, "日期无法识别"),
        ({"entries": "x", "since": "yesterday"}, "日期无法识别"),
    ],
)
def test_what_cannot_be_asked_is_said_and_nothing_is_ordered(
    page: Page, supervisor: Client, fields: dict[str, str], words: str
) -> None:
    before = len(page.work.asked)
    answer = ask(supervisor, **fields)
    assert answer.status_code == 400
    assert words in answer.text
    assert "<b>:" not in answer.text
    assert len(page.work.asked) == before


def test_an_upload_that_is_too_large_is_cut_off(page: Page, supervisor: Client) -> None:
    assert ask(supervisor, b"1" * (LIST_BYTES + 10), "a.txt").status_code == 400
    assert ask(supervisor, b"1" * (LIST_BYTES + 2 * MOST_BYTES), "a.txt").status_code == 413
    begins = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    endless = (begins if place == 0 else b"x" * 65536 for place in range(200))
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    assert supervisor.http.post("/retrievals", content=endless, headers=kind).status_code == 413
    # Anywhere else a form with a file is not even looked at.
    assert supervisor.post("/calls", {"number": "1"}, files={"file": ("a", b"x")}).status_code == 403


@pytest.mark.parametrize("body", [b"", b"--x\r\n", b"--x\r\nContent-Disposition: form-data; name=csrf\r\n\r\n"])
def test_a_form_that_is_broken_or_not_from_our_page_does_nothing(page: Page, supervisor: Client, body: bytes) -> None:
    before = len(page.work.asked)
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    assert supervisor.http.post("/retrievals", content=body, headers=kind).status_code == 403
    supervisor.csrf = "0" * 64
    assert ask(supervisor, entries="1234567").status_code == 403
    assert do(supervisor, "send").status_code == 403
    assert len(page.work.asked) == before


def test_a_result_shows_masked_numbers_and_is_saved_once_that_is_on_record(page: Page, supervisor: Client) -> None:
    found = retrieved(page, "shop")
    text = supervisor.get(f"/retrievals/shop/{found.name}").text
    assert "139******00" in text
    assert "13900000000" not in text
    assert "没有符合的通话" in text
    saved = supervisor.post(f"/retrievals/shop/{found.name}/download")
    assert saved.content == b"shop-result"
    assert re.fullmatch(
        r'attachment; filename="recordings-[\d-]+-[0-9a-f]{6}\.zip"', saved.headers["content-disposition"]
    )
    assert page.rows(action="retrieve", subject=found.name)[-1].entry.details["do"] == "download"


@pytest.mark.parametrize(
    "path",
    [
        "/retrievals/shop/nothing",
        "/retrievals/shop/..%2f..%2flisten",
        "/retrievals/..%2f..%2f/000000000000-000",
        "/retrievals/nobody/000000000000-000",
        "/packs/shop/nothing",
        "/packs/shop/..%2f..%2flisten",
        "/packs/nobody/monthly",
    ],
)
def test_what_is_not_there_is_not_there(page: Page, path: str) -> None:
    client = page.enter("both", ("supervisor", "liaison"))
    for answer in (client.get(path), client.get(f"{path}/state?since=x&until=y"), client.post(f"{path}/download")):
        assert answer.status_code == 404
        assert "没有找到" in answer.text


def test_a_request_of_another_business_is_not_reached_by_way_of_ones_own(page: Page, supervisor: Client) -> None:
    foreign = retrieved(page, "bank").name
    for answer in (
        supervisor.get(f"/retrievals/shop/{foreign}"),
        supervisor.get(f"/retrievals/bank/{foreign}"),
        supervisor.post(f"/retrievals/shop/{foreign}/download"),
        supervisor.post(f"/retrievals/bank/{foreign}/again"),
    ):
        assert answer.status_code == 404
    assert foreign not in supervisor.get("/retrievals").text


# packs


def test_a_pack_is_checked_sent_and_sent_again_each_on_record_before(page: Page, liaison: Client) -> None:
    for what, given in (("check", (True, False)), ("send", (False, False)), ("again", (False, True))):
        answer = do(liaison, what)
        assert answer.headers["location"] == f"/packs/shop/{PACK}?since={DAY}&until={DAY}"
        entry = page.rows(action="packs", actor="duijie")[-1].entry
        assert (entry.subject, entry.details["do"], entry.details["since"]) == (PACK, what, str(DAY))
        flow, parameters = page.work.asked[-1]
        assert (flow, parameters["pack"], parameters["dry_run"], parameters["resend"]) == ("export", PACK, *given)


def test_the_ledger_shows_what_was_sent_when_and_gives_its_receipt(page: Page, liaison: Client) -> None:
    name = sent(page, "shop")
    text = liaison.get(f"/packs/shop/{PACK}").text
    assert f"{DAY} – {DAY}" in text
    assert "2026-03-03 10:00:00" in text
    saved = liaison.post(f"/packs/shop/{PACK}/{name}/receipt")
    assert saved.json()["rows"] == 7
    assert f'filename="receipt-shop-{PACK}-{name}.json"' in saved.headers["content-disposition"]
    for wrong in ("..", "..%2f..", f"{name}x", "x" * 300):
        assert liaison.post(f"/packs/shop/{PACK}/{wrong}/receipt").status_code == 404


def test_what_a_check_found_is_shown_and_only_what_is_right_can_be_sent(page: Page, liaison: Client) -> None:
    progress = export_progress(page.folder, "shop", PACK, (DAY, DAY))
    outcome = {"rows": 3, "recordings": 0, "bytes": 0, "parts": 1, "problems": 0, "broken_rules": []}
    address = f"/packs/shop/{PACK}?since={DAY}&until={DAY}"
    progress.tell(Told("done", "check", outcome=outcome))
    assert "发送 3 行" in liaison.get(address).text
    broken = {"problems": 1, "broken_rules": ["row 1, call c1, 号码: it does not fit <b>"]}
    progress.tell(Told("done", "check", outcome=outcome | broken))
    text = liaison.get(address).text
    assert "1 处不符合银行规则" in text
    assert "call c1, 号码: it does not fit &lt;b&gt;" in text
    assert "发送 3 行" not in text


def test_one_that_was_stopped_midway_can_go_on(page: Page, liaison: Client) -> None:
    progress = export_progress(page.folder, "shop", PACK, (DAY, DAY))
    progress.tell(Told("running", "send", "send", 1, 4))
    state = liaison.get(f"/packs/shop/{PACK}/state?since={DAY}&until={DAY}", headers={"Accept": "application/json"})
    assert state.json()["state"] == "interrupted"
    text = liaison.get(f"/packs/shop/{PACK}?since={DAY}&until={DAY}").text
    assert "已中断" in text
    assert 'name="do" value="send"' in text


@pytest.mark.parametrize("fields", [{"since": "x"}, {"until": "2020-01-01"}, {"since": "1900-01-01"}])
def test_a_period_that_is_none_is_said(page: Page, liaison: Client, fields: dict[str, str]) -> None:
    before = len(page.work.asked)
    answer = do(liaison, "send", **fields)
    assert answer.status_code == 400
    assert "日期无法识别" in answer.text
    assert liaison.post(f"/packs/shop/{PACK}", {"do": "delete"}).status_code == 404
    assert len(page.work.asked) == before


# both


def test_what_cannot_be_written_down_is_not_ordered(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    client = page.enter("both", ("supervisor", "liaison"))
    name, before = retrieved(page, "shop").name, len(page.work.asked)
    kept = {one.name for one in Retrievals(page.folder, "shop").newest()}
    nowhere = Path("/proc/nowhere")  # nothing can be made there, as on a full disk
    monkeypatch.setattr(page.house, "trail", AuditTrail(Vault(url=str(nowhere)), b"k" * 32))
    for answer in (
        ask(client, entries="13900009999"), do(client, "send"), client.post(f"/retrievals/shop/{name}/again"),
        client.post(f"/retrievals/shop/{name}/download"),
        client.post(f"/packs/shop/{PACK}/{sent(page, 'shop')}/receipt"),
    ):  # fmt: skip
        assert answer.status_code == 503
    assert len(page.work.asked) == before
    assert {one.name for one in Retrievals(page.folder, "shop").newest()} == kept


def test_too_many_orders_are_put_off(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    client = page.enter("hasty", ("supervisor", "liaison"))
    monkeypatch.setattr(page.house, "orders", Rate(1, 600))
    assert [do(client, "check").status_code, do(client, "check").status_code] == [303, 400]
    assert ask(client, entries="1234567").status_code == 429
