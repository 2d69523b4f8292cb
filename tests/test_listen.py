"""The page over HTTP: searching, opening, logging in, and everything that an attacker would try."""

import csv
import io
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from page import DAY, NUMBER, PASSWORD, Client, Page, call_path, uid

from blocks.trail import AuditTrail, Entry
from blocks.vault import Vault
from listen import calls
from listen.app import make_app
from listen.hear import saved_as
from listen.lockout import FREE_FAILURES, Lockout
from listen.security import MOST_BYTES, Rate


@pytest.fixture
def listener(page: Page) -> Client:
    return page.enter("tingting", ("listener",))


@pytest.fixture
def supervisor(page: Page) -> Client:
    return page.enter("zhuguan", ("supervisor",), ("*",))


def recording_path(page: Page, name: str, business: str = "shop") -> str:
    return f"{call_path(business, name)}/{page.recordings[f'{business}/{name}'].document['recording_id']}"


# searching


def test_a_number_is_found_however_it_is_written_and_stands_in_no_address(page: Page, listener: Client) -> None:
    for written in (NUMBER, "+86 153-7238 8463", "0086015372388463"[0:4] + NUMBER, "8463"):
        answer = listener.post("/calls", {"number": written, "recording": "yes"})
        assert NUMBER not in answer.headers["location"]
        assert "8463" not in answer.headers["location"]
        assert "共 16 通" in listener.follow(answer).text


def test_a_search_is_written_down_without_the_number_and_can_be_found_by_it(page: Page, listener: Client) -> None:
    listener.search(number="+86 153 7238 8463")
    entry = page.rows(action="search", actor="tingting")[-1].entry
    assert NUMBER not in str(entry)
    assert page.house.hashes.of(NUMBER) in entry.numbers
    auditor = page.enter("shenji", ("auditor",), ())
    found = auditor.follow(auditor.post("/audit", {"number": "0153 7238 8463", "actor": "tingting"}))
    assert "tingting" in found.text
    assert NUMBER not in found.text
    assert (
        "没有符合条件的记录"
        in auditor.follow(auditor.post("/audit", {"number": "13900000000", "actor": "tingting"})).text
    )


def test_results_show_masked_numbers_even_to_a_supervisor(supervisor: Client) -> None:
    text = supervisor.search(number=NUMBER).text
    assert "153******63" in text
    assert re.sub(r'value="[^"]*"', "", text).count(NUMBER) == 0


def test_pages_follow_each_other_and_keep_what_was_asked(page: Page, listener: Client) -> None:
    before, calls.PAGE = calls.PAGE, 5
    try:
        seen: list[str] = []
        answer = listener.search(recording="yes")
        while True:
            seen += re.findall(r'href="/call/shop/[^/]+/(\w+)', answer.text)
            following = re.search(r'rel="next" href="([^"]+)"', answer.text)
            if not following:
                break
            answer = listener.get(following[1])
            assert 'value="yes" selected' in answer.text
            assert '<b class="count">1</b>' in answer.text
    finally:
        calls.PAGE = before
    assert len(seen) == len(set(seen)) == 16


def test_nothing_that_fits_is_said_in_words(listener: Client) -> None:
    assert "没有符合条件的通话" in listener.search(number="13900001111").text


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"call_id": "shop-alaw"}, 1),
        ({"extension": "2049", "recording": "yes"}, 16),
        ({"recording": "no"}, 1),
        ({"attribute": "案件编号", "value": "MT-3"}, 1),
        ({"words": "承诺 还款"}, 17),
        ({"since": f"{DAY}T10:00", "until": f"{DAY}T10:02"}, 3),
        ({"min_seconds": "4"}, 0),
        ({"max_seconds": "3"}, 17),
        ({"site": "cq"}, 17),
        ({"display_number": "0001"}, 17),
    ],
)
def test_every_field_of_the_form_narrows(listener: Client, fields: dict[str, str], expected: int) -> None:
    text = listener.search(**fields).text
    total = re.search(r'data-total="(\d+)"', text)
    assert int(total[1] if total else 0) == expected


@pytest.mark.parametrize("fields", [{"since": "yesterday"}, {"min_seconds": "x"}, {"max_seconds": "1e400"}])
def test_what_cannot_be_read_is_said_and_harms_nothing(listener: Client, fields: dict[str, str]) -> None:
    answer = listener.follow(listener.post("/calls", fields))
    assert answer.status_code == 400
    assert "无法识别" in answer.text


def test_a_list_is_exported_with_formulas_made_harmless(page: Page, supervisor: Client) -> None:
    text = supervisor.search(business="shop", recording="yes").text
    token = re.search(r'name="q" value="([^"]+)"', text)
    assert token
    answer = supervisor.post("/calls/export", {"q": token[1]})
    assert answer.headers["content-disposition"].startswith("attachment")
    assert len(list(csv.reader(io.StringIO(answer.text)))) == 17
    assert NUMBER in answer.text
    assert page.rows(action="export")[-1].entry.actor == "zhuguan"


# a call


def test_a_call_shows_its_facts_notes_stations_and_checksum_masked(page: Page, listener: Client) -> None:
    text = listener.get(call_path("shop", "alaw")).text
    assert "153******63" in text
    assert NUMBER not in text
    assert page.recordings["shop/alaw"].document["sha256"] in text
    assert "回电153******63，承诺还款" in text
    assert text.count('<li class="yes">') == 6
    assert "&lt;b&gt;=1+1&lt;/b&gt;" in text


def test_whole_numbers_are_shown_once_they_are_written_down(page: Page, supervisor: Client) -> None:
    supervisor.get(call_path("shop", "alaw"))
    answer = supervisor.post(f"{call_path('shop', 'alaw')}/unmask")
    assert NUMBER in answer.text
    entry = page.rows(action="unmask")[-1].entry
    assert (entry.actor, entry.subject) == ("zhuguan", uid("shop", "alaw"))
    assert NUMBER not in str(entry)


@pytest.mark.parametrize(
    "path",
    [
        "/call/shop/2026-03-02/0000",
        "/call/nobody/2026-03-02/0000",
        f"/call/bank/2026-03-02/{uid('bank', 'alaw')}",
        f"/call/shop/2026-03-02/{uid('bank', 'alaw')}",
        f"/call/shop/not-a-day/{uid('shop', 'alaw')}",
        "/call/..%2f..%2fetc/2026-03-02/passwd",
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2f..%2fpyproject.toml",
        "/sound/..%2f..%2fetc%2fpasswd",
        "/nowhere",
        "/openapi.json",
        "/docs",
    ],
)
def test_what_is_not_there_and_what_is_not_ones_own_look_the_same(listener: Client, path: str) -> None:
    answer = listener.get(path)
    assert answer.status_code == 404
    assert "没有找到" in answer.text
    assert "Traceback" not in answer.text


def test_a_recording_of_another_call_or_business_is_not_given(page: Page, listener: Client) -> None:
    listener.get(call_path("shop", "alaw"))
    foreign = page.recordings["bank/alaw"].document["recording_id"]
    other = page.recordings["shop/ulaw"].document["recording_id"]
    for recording_id in (foreign, other, "..", "x" * 500):
        for verb in ("play", "download"):
            answer = listener.post(f"{call_path('shop', 'alaw')}/{recording_id}/{verb}")
            assert answer.status_code in (403, 404)
        assert listener.get(f"{call_path('shop', 'alaw')}/{recording_id}/peaks").status_code == 404


# logging in


def test_a_wrong_password_and_an_unknown_name_get_the_same_answer(page: Page) -> None:
    page.person("known", ("listener",))
    client = page.client()
    answers = [client.login(name, "wrong wrong wrong") for name in ("known", "unknown-name")]
    assert {answer.status_code for answer in answers} == {403}
    texts = {answer.text.replace("unknown-name", "known") for answer in answers}
    assert len({re.sub(r"[0-9a-f]{64}", "", text) for text in texts}) == 1
    last, before = page.rows(action="login_failed")[-1].entry, page.rows(action="login_failed")[-2].entry
    assert before.subject == "known"
    assert last.subject.startswith("unknown:")
    assert "unknown-name" not in str(last)
    assert "wrong wrong" not in str(last)


def test_an_account_is_locked_after_some_wrong_passwords_for_longer_and_longer(page: Page) -> None:
    page.person("forgetful", ("listener",))
    client = page.client()
    for _ in range(FREE_FAILURES):
        assert client.login("forgetful", "wrong wrong wrong").status_code == 403
    first = page.house.lockout.locked_until("forgetful")
    locked = client.login("forgetful")
    assert locked.status_code == 403
    assert "锁定" in locked.text
    assert first
    assert timedelta(seconds=20) < first - datetime.now(UTC) <= timedelta(seconds=30)
    page.trail.append(Entry("", "login_failed", subject="forgetful", details={"counts": True}))
    second = page.house.lockout.locked_until("forgetful")
    assert second
    assert second - datetime.now(UTC) > timedelta(seconds=45)


def test_another_process_locks_alike_and_a_reset_unlocks(page: Page) -> None:
    page.person("also-locked", ("listener",))
    for _ in range(FREE_FAILURES):
        page.trail.append(Entry("", "login_failed", subject="also-locked", details={"counts": True}))
    elsewhere = Lockout()
    AuditTrail(page.vault, b"k" * 32).watch(elsewhere.see, datetime.now(UTC) - timedelta(hours=1))
    assert elsewhere.locked_until("also-locked")
    page.trail.append(Entry("admin", "account_reset", subject="also-locked"))
    assert page.house.lockout.locked_until("also-locked") is None


def test_the_first_password_must_be_changed_before_anything_else(page: Page) -> None:
    page.person("new", ("listener",), must_change=True)
    client = page.client()
    client.login("new")
    assert client.get("/calls").headers["location"] == "/password"
    assert client.get(call_path("shop", "alaw")).headers["location"] == "/password"
    client.get("/password")
    for new, again in (
        ("short", "short"),
        (PASSWORD, PASSWORD),
        ("another good one", "a different one"),
        ("new" * 6,) * 2,
    ):
        assert client.post("/password", {"old": PASSWORD, "new": new, "again": again}).status_code == 400
    assert client.post("/password", {"old": "wrong", "new": "x" * 20, "again": "x" * 20}).status_code == 403
    done = client.post("/password", {"old": PASSWORD, "new": "another good one", "again": "another good one"})
    assert done.headers["location"] == "/calls"
    assert client.get("/calls").status_code == 200
    assert page.client().login("new", "another good one").status_code == 303
    assert page.client().login("new").status_code == 403


def test_a_new_password_ends_the_other_sessions(page: Page) -> None:
    page.person("twice", ("listener",))
    one, two = page.client(), page.client()
    one.login("twice")
    two.login("twice")
    one.post("/password", {"old": PASSWORD, "new": "another good one", "again": "another good one"})
    assert one.get("/calls").status_code == 200
    assert two.get("/calls").headers["location"] == "/login"


def test_a_session_that_was_logged_out_stays_out_with_its_old_cookie(page: Page, listener: Client) -> None:
    cookies = dict(listener.http.cookies)
    listener.post("/logout")
    assert listener.get("/calls").headers["location"] == "/login"
    thief = page.client()
    thief.http.cookies.update(cookies)
    assert thief.get("/calls").headers["location"] == "/login"


def test_a_disabled_account_is_out_at_once(page: Page, listener: Client) -> None:
    page.person("tingting", ("listener",), disabled=True)
    assert listener.get("/calls").headers["location"] == "/login"
    assert page.client().login("tingting").status_code == 403


def test_the_session_begins_anew_at_login(page: Page) -> None:
    client = page.client()
    client.get("/login")
    before = client.http.cookies["voxkeep"]
    page.person("fresh", ("listener",))
    client.login("fresh")
    after = page.house.tokens.read("session", client.http.cookies["voxkeep"].strip('"'), 60)
    earlier = page.house.tokens.read("session", before.strip('"'), 60)
    assert after
    assert earlier
    assert after["sid"] != earlier["sid"]


@pytest.mark.parametrize("cookie", ["", "x", "gAAAAABm", "ü".encode("latin-1").decode("latin-1")])
def test_a_cookie_that_is_not_ours_is_nobody(page: Page, cookie: str) -> None:
    client = page.client()
    answer = client.get("/calls", headers={"Cookie": f"voxkeep={cookie}".encode("latin-1")})  # type: ignore[dict-item]
    assert answer.headers["location"] == "/login"


def test_a_token_of_one_kind_is_no_token_of_another(page: Page, listener: Client) -> None:
    query = page.house.tokens.make("query", {"sid": "x", "business": "shop", "asked": {}})
    assert listener.get(f"/sound/{query}").status_code == 404
    assert page.house.tokens.read("session", query, 60) is None


# accounts


def test_an_administrator_adds_changes_disables_and_resets_but_not_his_own_account(page: Page) -> None:
    page.person("root", ("administrator",), ())
    page.person("root2", ("administrator",), ())
    client = page.client()
    client.login("root")
    client.get("/accounts")
    shown = client.post("/accounts", {"name": "li.na", "title": "李娜", "roles": "listener", "businesses": "shop"}).text
    password = re.search(r'class="secret">([^<]+)<', shown)
    assert password
    person = page.client()
    assert person.login("li.na", password[1]).status_code == 303
    assert person.get("/calls").headers["location"] == "/password"
    assert client.post("/accounts", {"name": "li.na", "roles": "listener"}).status_code == 409
    for bad in ({"name": "Li Na<script>", "roles": "listener"}, {"name": "x", "roles": "god"}, {"name": "x"}):
        assert client.post("/accounts", bad).status_code == 400
    client.post("/accounts/li.na", {"verb": "edit", "roles": "auditor", "businesses": ""})
    account = page.accounts.get("li.na")
    assert account
    assert (account.roles, account.businesses) == (("auditor",), ())
    assert client.post("/accounts/root", {"verb": "edit", "roles": "supervisor", "businesses": "*"}).status_code == 403
    assert client.post("/accounts/root2", {"verb": "disable"}).status_code == 200
    assert client.post("/accounts/nobody", {"verb": "disable"}).status_code == 404
    again = re.search(r'class="secret">([^<]+)<', client.post("/accounts/li.na", {"verb": "reset"}).text)
    assert again
    assert again[1] != password[1]
    actions = [row.entry.action for row in page.rows(actor="root") if row.entry.action.startswith("account_")]
    assert actions == ["account_added", "account_changed", "account_changed", "account_reset"]
    assert password[1] not in "".join(str(row) for row in page.rows())


# headers, forgery, size


PAGES = ("/login", "/calls", "/static/listen.css", "/nowhere", "/sound/x")


@pytest.mark.parametrize("path", PAGES)
def test_every_answer_has_the_headers_that_keep_it_safe(listener: Client, path: str) -> None:
    headers = listener.get(path).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert "server" not in headers
    if not path.startswith("/static/"):
        assert headers["cache-control"] == "no-store"


def test_no_page_holds_a_script_or_a_style_of_its_own_or_anything_from_elsewhere(supervisor: Client) -> None:
    for path in ("/login", "/calls", call_path("shop", "stereo")):
        text = supervisor.get(path).text
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:", text)
        assert not re.search(r'(?:src|href|action)="(?:https?:)?//', text)


def test_the_cookie_is_for_this_server_alone_and_for_no_script(page: Page) -> None:
    cookie = page.client().get("/login").headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Secure" not in cookie


def test_behind_https_the_cookie_is_secure_and_the_browser_is_told_to_stay(page: Page) -> None:
    answer = page.client().get("/login", headers={"X-Forwarded-Proto": "https", "X-Forwarded-For": "10.1.2.3"})
    assert "Secure" in answer.headers["set-cookie"]
    assert "max-age" in answer.headers["strict-transport-security"]


POSTS = (
    "/login", "/logout", "/password", "/language", "/calls", "/calls/export", "/audit", "/accounts", "/accounts/x",
    f"{call_path('shop', 'alaw')}/unmask", f"{call_path('shop', 'alaw')}/x/play",
    f"{call_path('shop', 'alaw')}/x/download", "/retrievals", "/retrievals/x/x/again", "/retrievals/x/x/download",
    "/packs/x/x", "/packs/x/x/x/receipt",
)  # fmt: skip


def test_every_form_of_the_page_is_looked_at(page: Page) -> None:
    shapes = {
        re.sub(r"\{\w+\}", "x", path)
        for path, verbs in make_app(page.house).openapi()["paths"].items()
        if "post" in verbs
    }
    known = {re.sub(r"/call/[^/]+/[^/]+/[^/]+/", "/call/x/x/x/", path) for path in POSTS}
    assert shapes == known


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("token", ["", "0" * 64, "ü"])
def test_a_form_that_was_not_on_a_page_of_ours_is_refused(
    page: Page, supervisor: Client, path: str, token: str
) -> None:
    before = len(page.rows())
    answer = supervisor.http.post(path, data={"csrf": token, "name": "zhuguan", "password": PASSWORD})
    assert answer.status_code == 403
    assert len(page.rows()) == before
    assert supervisor.get("/calls").status_code == 200


def test_the_token_of_another_session_does_not_do(page: Page, supervisor: Client, listener: Client) -> None:
    supervisor.csrf = listener.csrf
    assert supervisor.http.post("/calls", data={"csrf": listener.csrf, "number": "1"}).status_code == 403


def test_a_body_that_is_too_large_is_refused(listener: Client) -> None:
    assert listener.post("/calls", {"number": "1" * (MOST_BYTES + 1)}).status_code == 413
    endless = (b"number=" + b"1" * 20_000 for _ in range(20))
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert listener.http.post("/calls", content=endless, headers=form).status_code == 413
    assert listener.get("/calls").status_code == 200


@pytest.mark.parametrize(
    "back", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", ""]
)
def test_the_switch_of_language_leads_nowhere_else(listener: Client, back: str) -> None:
    answer = listener.post("/language", {"to": "en", "back": back})
    assert answer.headers["location"] == "/"
    assert "Find calls" in listener.get("/calls").text


@pytest.mark.parametrize(
    "name",
    [
        'a"b.wav',
        "a\r\nSet-Cookie: x=1.wav",
        "催收录音.wav3",
        "../../etc/passwd",
        "a;filename=b.exe",
        "",
        "\x00\x7f",
        "x" * 999,
    ],
)
def test_no_name_of_a_file_breaks_the_header_of_a_download(name: str) -> None:
    header = saved_as(name)
    assert re.fullmatch(r"attachment; filename=\"[A-Za-z0-9._-]+\"; filename\*=UTF-8''[A-Za-z0-9._~%-]+", header)
    assert len(header) < 3000


def test_too_many_logins_from_one_address_are_put_off(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page.house, "logins", Rate(3, 600))
    client = page.client()
    client.get("/login")
    codes = [client.post("/login", {"name": "nobody", "password": "x"}).status_code for _ in range(5)]
    assert codes == [403, 403, 403, 429, 429]


def test_too_many_searches_are_put_off(page: Page, listener: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page.house, "searches", Rate(2, 600))
    codes = [listener.search(number="153").status_code for _ in range(3)]
    assert codes == [200, 200, 429]


def test_what_cannot_be_written_down_is_not_done(page: Page, listener: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    listener.get(call_path("shop", "alaw"))
    path = f"{recording_path(page, 'alaw')}/play"
    full = Path("/proc/nowhere")  # nothing can be made there, as on a full disk
    monkeypatch.setattr(page.house, "trail", AuditTrail(Vault(url=str(full)), b"k" * 32))
    for answer in (listener.post(path), listener.get(call_path("shop", "alaw")), listener.search(number=NUMBER)):
        assert answer.status_code == 503
        assert "shop-alaw" not in answer.text
        assert "/sound/" not in answer.text


def test_an_error_that_nobody_foresaw_shows_no_trace_and_no_number(
    page: Page, listener: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError(f"secret {NUMBER}")

    monkeypatch.setattr(page.house.hashes, "of", fails)
    answer = listener.search(number=NUMBER)
    assert answer.status_code == 500
    assert "Traceback" not in answer.text
    assert "secret" not in answer.text
    assert "编号" in answer.text
    assert answer.headers["content-security-policy"]


def test_the_trail_of_the_page_is_whole(page: Page, listener: Client) -> None:
    listener.search(number=NUMBER)
    assert page.trail.verify().problems == ()
    everything = "".join(file.read_text() for file in (page.folder / "listen" / "audit").rglob("*.json"))
    assert NUMBER not in everything
    assert PASSWORD not in everything
