"""The page over HTTP as people use it: `voxkeep listen` in a process of its own, and browsers that search and play.

A browser is a keep-alive connection and its cookies. It sends what the page's own forms and scripts send, and no more.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from urllib.parse import urlencode

import psutil
import yaml
from listening_data import BUSINESS, SITES

from blocks.vault import Vault
from deploy.servers import process
from listen.accounts import Account, Accounts, hashed

PROGRAM = Path(sys.executable).with_name("voxkeep")
PASSWORD = "a password of the measurement"  # noqa: S105  # of accounts made for it
_CSRF = re.compile(r'name="csrf" value="([0-9a-f]+)"')
_NEXT = re.compile(r'rel="next" href="([^"]+)"')
# The page closes a connection that is silent for longer.
_KEPT_SECONDS = 3.0
_OK, _SEE_OTHER, _PARTIAL = 200, 303, 206


def apply(home: Path, elasticsearch: str | None) -> None:
    """Apply the business whose calls are measured, with its storage in this home."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "calls.sql").write_text("SELECT * FROM cdr WHERE start >= :start AND start < :end")
    (home / "secret").write_text("sqlite:///nowhere.db")
    secret = {"file": "secret"}
    settings = {
        "business": BUSINESS,
        "title": "催收一部",
        "storage": "storage",
        "time_zone": "UTC",
        "sites": {site: {"recordings": "recordings", "password": secret, "database": secret} for site in SITES},
        "datasets": {"calls": {"sql": "calls.sql", "columns": {"call_id": "id", "started_at": "start"}}},
        "name_templates": ["{call_id}.wav"],
        **({"elasticsearch": {"url": elasticsearch}} if elasticsearch else {}),
    }
    file = home / "bench.yaml"
    file.write_text(yaml.safe_dump(settings, allow_unicode=True))
    subprocess.run([PROGRAM, "apply", file, "--home", home], check=True, stdout=subprocess.DEVNULL, timeout=300)


def make_accounts(home: Path, names: list[str]) -> None:
    """Accounts that may search and play; all have the password of the measurement."""
    accounts = Accounts(Vault(url=str((home / "storage" / "listen").resolve())))
    digest = hashed(PASSWORD, "anybody")
    for name in names:
        if accounts.get(name) is None:
            account = Account(
                name=name, title=name, roles=("listener",), businesses=("*",), password=digest, must_change=False
            )
            accounts.change(name, lambda known, account=account: known or account)


@contextmanager
def served(home: Path) -> Iterator[tuple[int, psutil.Process]]:
    """The page's port and process, while the body runs."""
    port = process.free_port()
    with (home / "listen.log").open("ab") as log:
        server = subprocess.Popen(
            [PROGRAM, "listen", "--home", home, "--port", str(port)], stdout=log, stderr=log, env=dict(os.environ)
        )
    try:
        give_up = time.monotonic() + 180
        while not process.answers(port):
            assert server.poll() is None, f"the page has ended: see {home / 'listen.log'}"
            assert time.monotonic() < give_up, "the page does not answer"
            time.sleep(0.1)
        yield port, psutil.Process(server.pid)
    finally:
        server.terminate()
        server.wait(30)


class Browser:
    """Somebody's browser, at an address of its own: the page is behind a proxy, as the operator's guide has it."""

    def __init__(self, port: int, name: str, number: int) -> None:
        self._http = HTTPConnection("127.0.0.1", port, timeout=120)
        self._name = name
        self._address = f"10.0.{number // 250}.{number % 250 + 1}"
        self._cookies: dict[str, str] = {}
        self._csrf = ""
        self._used = 0.0

    def login(self) -> None:
        """Log in by the form."""
        self._page("/login")
        answer = self._post("/login", name=self._name, password=PASSWORD)
        assert answer.status == _SEE_OTHER, f"login: {answer.status}"
        self._page("/calls")

    def search(self, fields: dict[str, str]) -> str:
        """Send the form, and follow to the results; their HTML."""
        answer = self._post("/calls", **fields)
        assert answer.status == _SEE_OTHER, f"search: {answer.status}"
        return self._page(answer.headers["location"])

    def next_page(self, html: str) -> str:
        """Follow the link to the next results."""
        link = _NEXT.search(html)
        assert link, "there is no next page"
        return self._page(link[1])

    def open(self, call: str) -> None:
        """See a call's page."""
        self._page(call)

    def show_waveform(self, recording: str) -> None:
        """What the page does by itself, as soon as a player is seen."""
        answer, content = self._ask("GET", f"{recording}/peaks")
        assert answer.status == _OK, f"peaks: {answer.status} {content[:80]!r}"

    def play(self, recording: str) -> float:
        """Press play; the milliseconds until the first byte of sound. The rest is then read to its end."""
        began = time.perf_counter()
        answer, content = self._ask("POST", f"{recording}/play")
        assert answer.status == _OK, f"play: {answer.status} {content[:80]!r}"
        source = re.search(rb'"source":"([^"]+)"', content)
        assert source, content[:80]
        self._send("GET", source[1].decode(), headers={"Range": "bytes=0-"})
        sound = self._http.getresponse()
        first = sound.read(1)
        took = (time.perf_counter() - began) * 1000
        assert sound.status in (_OK, _PARTIAL), f"sound: {sound.status}"
        assert first == b"R", "this is no WAV"
        sound.read()
        return took

    def _page(self, path: str) -> str:
        answer, content = self._ask("GET", path)
        assert answer.status == _OK, f"{path[:20]}: {answer.status}"
        html = content.decode()
        token = _CSRF.search(html)
        self._csrf = token[1] if token else self._csrf
        return html

    def _post(self, path: str, **fields: str) -> HTTPResponse:
        body = urlencode({"csrf": self._csrf, **fields})
        return self._ask("POST", path, body, {"Content-Type": "application/x-www-form-urlencoded"})[0]

    def _ask(
        self, method: str, path: str, body: str | None = None, headers: dict[str, str] | None = None
    ) -> tuple[HTTPResponse, bytes]:
        self._send(method, path, body, headers)
        answer = self._http.getresponse()
        for cookie in answer.headers.get_all("set-cookie") or ():
            name, _, value = cookie.partition(";")[0].partition("=")
            self._cookies[name] = value
        return answer, answer.read()

    def _send(self, method: str, path: str, body: str | None = None, headers: dict[str, str] | None = None) -> None:
        known = {
            "Cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items()),
            "X-Forwarded-For": self._address,
            "X-CSRF-Token": self._csrf,
        }
        if time.monotonic() - self._used > _KEPT_SECONDS:
            self._http.close()  # the next request connects anew
        self._used = time.monotonic()
        self._http.request(method, path, body, known | (headers or {}))
