"""Dead-man pings: a real server hears start, success and failure of each run, and its absence breaks none."""

import logging
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from prefect import flow
from shop import Shop

from blocks.business import Business
from blocks.errors import TransientError
from blocks.pings import Pings
from blocks.saved import load
from flows.backup import backup
from flows.ingest import ingest
from flows.pings import pinged

TOKEN = "t0ken-0b3c1f"


class Checks:
    """A small Healthchecks: what it was told, and with what it answers."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []
        self.answer = 200
        checks = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                words = self.rfile.read(int(self.headers["Content-Length"])).decode()
                checks.heard.append((self.path, words))
                self.send_response(checks.answer)
                self.end_headers()

            def log_message(self, *_arguments: object) -> None:
                """Nobody wants to see it."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = Thread(target=self.server.serve_forever)
        self.thread.start()

    def url(self, check: str) -> str:
        """The URL of a check, with its token."""
        return f"http://127.0.0.1:{self.server.server_port}/{TOKEN}/{check}"

    def close(self) -> None:
        """End it."""
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def checks() -> Iterator[Checks]:
    made = Checks()
    yield made
    made.close()


def watched(shop: Shop, checks: Checks) -> None:
    """Have the shop's site ping these checks."""
    for stage in ("backup", "ingest"):
        (shop.folder / f"{stage}-check").write_text(checks.url(stage))
    sites = shop.content()["sites"]
    sites["one"]["pings"] = {stage: {"file": f"{stage}-check"} for stage in ("backup", "ingest")}
    shop.apply(sites=sites)


def test_each_run_tells_its_check_that_it_began_and_how_it_ended(shop: Shop, checks: Checks) -> None:
    watched(shop, checks)
    backup(shop.business, "one")
    ingest(shop.business)
    shop.database.unlink()
    with pytest.raises(Exception, match=r"calls\.db"):
        backup(shop.business, "one")
    told = [path.removeprefix(f"/{TOKEN}") for path, _ in checks.heard]
    assert told == ["/backup/start", "/backup", "/ingest/start", "/ingest", "/backup/start", "/backup/fail"]
    assert "calls.db" in checks.heard[-1][1]


@pytest.mark.parametrize("trouble", ["it answers 500", "ConnectionError"])
def test_a_check_that_does_not_take_the_ping_breaks_no_run_and_no_secret_is_told(
    shop: Shop, checks: Checks, caplog: pytest.LogCaptureFixture, trouble: str
) -> None:
    watched(shop, checks)
    checks.answer = 500
    if trouble == "ConnectionError":
        checks.server.server_close()
    done: list[str] = []

    @flow
    def run() -> None:
        with pinged(load(Business, shop.business), "one", "backup"):
            done.append("work")

    with caplog.at_level(logging.DEBUG):
        run()
    assert done == ["work"]
    assert caplog.text.count(f"the check of backup: {trouble}") == 2
    assert TOKEN not in caplog.text


def test_a_stage_without_a_check_tells_nobody(checks: Checks) -> None:
    pings = Pings(urls={"backup": checks.url("backup")})
    pings.ping("reconcile", "/start")
    assert checks.heard == []


def test_a_url_that_is_none_is_an_error_without_the_url() -> None:
    with pytest.raises(TransientError) as error:
        Pings(urls={"backup": f"no-url-{TOKEN}"}).ping("backup", "")
    assert TOKEN not in str(error.value)
