"""Login by OpenID Connect, at a real provider (Canaille), in a real browser; and answers that no provider may give."""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from page import PASSWORD, Page, call_path
from playwright.sync_api import Browser, expect

from blocks.errors import PermanentError, TransientError
from deploy.servers.process import free_port
from listen.provider import Grant, Provider

PROGRAM = Path(__file__).resolve().parents[1] / ".tools" / "canaille" / "bin" / "python"
GRANTS = (Grant("listeners", ("listener",), ("shop",)),)


@pytest.fixture(scope="module")
def provider(page: Page) -> Iterator[Provider]:
    """A real provider that knows the page, which knows it."""
    if not PROGRAM.exists():
        pytest.skip("there is no OpenID provider: make servers")
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    words = [
        PROGRAM,
        Path(__file__).with_name("canaille_server.py"),
        str(port),
        f"{page.base}/oidc/back",
        PASSWORD,
        "s%c:t",
    ]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        provider = Provider(
            "公司登录", f"{address}/.well-known/openid-configuration", "voxkeep", "s%c:t", "groups", GRANTS,
            scope="openid profile groups",
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not _answers(provider.discovery):
            assert server.poll() is None, "the provider has ended"
        page.house.provider = provider
        yield provider
        page.house.provider = None
        server.terminate()


def _answers(address: str) -> bool:
    try:
        return httpx.get(address, timeout=1).is_success
    except httpx.TransportError:
        return False


def enter(browser: Browser, page: Page, name: str) -> Any:
    """Log in at the provider's own pages; returns the tab, wherever it has come to."""
    tab = browser.new_context().new_page()
    tab.goto(f"{page.base}/login")
    tab.click("text=公司登录")
    tab.fill("[name=login]", name)
    tab.locator("[type=submit]").first.click()
    tab.fill("[name=password]", PASSWORD)
    tab.locator("[type=submit]").first.click()
    accept = tab.locator("[name=answer][value=accept]")
    expect(accept.or_(tab.locator(".bar, .gate")).first).to_be_visible(timeout=20_000)
    if accept.count():
        accept.first.click()
    tab.wait_for_url(f"{page.base}/**")
    return tab


def test_who_is_in_a_group_that_is_granted_something_gets_in_and_no_further(
    page: Page, provider: Provider, browser: Browser
) -> None:
    tab = enter(browser, page, "li.na")
    assert tab.url == f"{page.base}/calls"
    tab.goto(page.base + call_path("shop", "alaw"))
    assert tab.locator(".player").count() == 1
    tab.goto(page.base + call_path("bank", "alaw"))
    assert "没有找到" in tab.inner_text("main")
    entry = page.rows(action="login")[-1].entry
    assert entry.details["via"] == "oidc"
    assert entry.actor.startswith("oidc:")


def test_who_is_in_no_such_group_stays_out_and_is_written_down(
    page: Page, provider: Provider, browser: Browser
) -> None:
    tab = enter(browser, page, "wang")
    assert "统一登录未成功" in tab.inner_text("main")
    assert "groups" in page.rows(action="login_failed")[-1].entry.details["reason"]


def test_a_code_is_of_no_use_without_the_login_that_has_begun_in_this_browser(page: Page, provider: Provider) -> None:
    client = page.client()
    assert client.get("/oidc/back?code=x&state=y").status_code == 403
    begun = client.get("/oidc")
    assert begun.headers["location"].startswith(provider.discovery.removesuffix(".well-known/openid-configuration"))
    assert "code_challenge_method=S256" in begun.headers["location"]
    assert client.get("/oidc/back?code=x&state=wrong").status_code == 403
    state = re.search(r"[?&]state=([^&]+)", begun.headers["location"])
    assert state
    assert "统一登录未成功" in client.get(f"/oidc/back?code=forged&state={state[1]}").text


class Signed:
    """ID tokens as a provider would sign them, for what a real one never says."""

    def __init__(self) -> None:
        self.key = RSAKey.generate_key(2048, auto_kid=True)
        self.provider = Provider("x", "http://127.0.0.1:9/d", "voxkeep", "secret", "groups", GRANTS)
        self.good = {
            "iss": "https://op", "aud": "voxkeep", "sub": "1", "nonce": "n", "exp": int(time.time()) + 60,
            "iat": int(time.time()), "groups": ["listeners"],
        }  # fmt: skip

    def read(self, monkeypatch: pytest.MonkeyPatch, header: dict[str, str] | None = None, **changes: object) -> Any:
        """The person of a token with these changes."""
        claims = {name: value for name, value in {**self.good, **changes}.items() if value is not None}
        token = jwt.encode({"alg": "RS256", "kid": self.key.kid, **(header or {})}, claims, self.key)
        known = json.loads(json.dumps(KeySet([self.key]).as_dict(private=False)))
        monkeypatch.setattr(Provider, "_fetch", lambda *_: known)
        monkeypatch.setattr(
            Provider, "_facts", lambda _: {"issuer": "https://op", "jwks_uri": "x", "token_endpoint": "x"}
        )
        monkeypatch.setattr(Provider, "_exchange", lambda *_: {"id_token": token, "access_token": "x"})
        return self.provider.finish({"nonce": "n", "back": "x", "verifier": "v"}, "code")


@pytest.fixture(scope="module")
def signed() -> Signed:
    return Signed()


def test_a_token_that_is_good_is_taken(signed: Signed, monkeypatch: pytest.MonkeyPatch) -> None:
    person = signed.read(monkeypatch, preferred_username="李娜")
    assert (person.name, person.title, person.roles, person.businesses) == ("oidc:1", "李娜", ("listener",), ("shop",))


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://other"}, {"aud": "another client"}, {"aud": ["another client"]},
        {"aud": ["another", "voxkeep"], "azp": "another"},
        {"nonce": "of another login"}, {"nonce": None},
        {"exp": int(time.time()) - 3600}, {"exp": None}, {"sub": None}, {"groups": []}, {"groups": "others"},
    ],
)  # fmt: skip
def test_a_token_for_somebody_or_something_else_is_refused(
    signed: Signed, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object]
) -> None:
    with pytest.raises(PermanentError):
        signed.read(monkeypatch, **changes)


def test_a_token_signed_with_another_key_or_not_at_all_is_refused(
    signed: Signed, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, signed.key = signed.key, RSAKey.generate_key(2048, auto_kid=True)
    known = KeySet([mine]).as_dict(private=False)
    forged = jwt.encode({"alg": "RS256", "kid": mine.kid}, signed.good, signed.key)
    signed.key = mine
    unsigned = "eyJhbGciOiJub25lIn0." + forged.split(".")[1] + "."
    monkeypatch.setattr(Provider, "_fetch", lambda *_: known)
    monkeypatch.setattr(Provider, "_facts", lambda _: {"issuer": "https://op", "jwks_uri": "x", "token_endpoint": "x"})
    for token in (forged, unsigned, ""):
        monkeypatch.setattr(Provider, "_exchange", lambda *_, token=token: {"id_token": token, "access_token": "x"})
        with pytest.raises(PermanentError):
            signed.provider.finish({"nonce": "n", "back": "x", "verifier": "v"}, "code")


def test_a_provider_that_does_not_answer_is_told(signed: Signed) -> None:
    with pytest.raises(TransientError):
        signed.provider.begin("http://127.0.0.1/oidc/back")
