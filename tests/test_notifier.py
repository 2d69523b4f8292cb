"""An alert arrives, or is kept and told; no secret leaves."""

import base64
import hashlib
import hmac
import json
import logging
import socketserver
import threading
from collections.abc import Iterator
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from blocks.notifier import Delivery, DingTalk, Notifier

TOKEN, SECRET = "t0kenabcdef0123456789", "SECabcdef0123456789"


class Web:
    """An HTTP server that keeps what it gets and answers what it is told to."""

    def __init__(self) -> None:
        self.status, self.answer = 200, b'{"errcode": 0, "errmsg": "ok"}'
        self.requests: list[tuple[str, dict[str, object]]] = []
        self.bodies: list[bytes] = []
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                web.requests.append((self.path, json.loads(body)))
                web.bodies.append(body)
                self.send_response(web.status)
                self.end_headers()
                self.wfile.write(web.answer)

            def log_message(self, *_: object) -> None:
                """Keep quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    web = Web()
    # The service that cannot run here: only its address is another.
    monkeypatch.setattr(DingTalk, "notify_url", f"http://{web.address}/robot/send?access_token={{token}}")
    with web.server:
        thread = threading.Thread(target=web.server.serve_forever, args=(0.01,))
        thread.start()
        yield web
        web.server.shutdown()
        thread.join()


class Mailbox(socketserver.StreamRequestHandler):
    """As much of SMTP as a client needs to hand over one mail."""

    mails: list[bytes]

    def handle(self) -> None:
        """Take mails until the client leaves."""
        self.wfile.write(b"220 sink\r\n")
        while line := self.rfile.readline():
            command = line[:4].upper().strip()
            if command == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                self.mails.append(b"".join(iter(self.rfile.readline, b".\r\n")))
            self.wfile.write(b"221 bye\r\n" if command == b"QUIT" else b"250 ok\r\n")
            if command == b"QUIT":
                return


@pytest.fixture
def mailbox() -> Iterator[tuple[str, list[bytes]]]:
    mails: list[bytes] = []
    handler = type("Handler", (Mailbox,), {"mails": mails})
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}", mails
        server.shutdown()
        thread.join()


@pytest.fixture
def outbox(tmp_path: Path) -> Path:
    return tmp_path / "outbox"


def dingtalk(outbox: Path, **others: str) -> Notifier:
    return Notifier(routes={"ops": f"dingtalk://{SECRET}@{TOKEN}", **others}, outbox=outbox)


def test_dingtalk_gets_signed_markdown(web: Web, outbox: Path) -> None:
    assert dingtalk(outbox).send("备份逾期", "**cq** 没有备份", "critical") == [Delivery("ops", delivered=True)]
    path, message = web.requests[0]
    assert message["msgtype"] == "markdown"
    assert message["markdown"] == {"title": "备份逾期", "text": "**cq** 没有备份"}
    query = parse_qs(urlsplit(path).query)
    assert query["access_token"] == [TOKEN]
    expected = hmac.new(SECRET.encode(), f"{query['timestamp'][0]}\n{SECRET}".encode(), hashlib.sha256)
    assert query["sign"] == [base64.b64encode(expected.digest()).decode()]
    assert list(outbox.glob("*")) == []


@pytest.mark.parametrize(
    ("status", "answer", "cause"),
    [
        (200, b'{"errcode": 310000, "errmsg": "keywords not in content"}', "keywords not in content"),
        (500, b"", "500"),
        (200, b"<html>a proxy's page</html>", "no answer that can be understood"),
        (200, b"[1]", "no answer that can be understood"),
        (200, b"{}", "errcode"),
    ],
)
def test_what_dingtalk_refuses_is_a_failure_and_is_kept(
    web: Web, outbox: Path, status: int, answer: bytes, cause: str
) -> None:
    web.status, web.answer = status, answer
    (delivery,) = dingtalk(outbox).send("title", "text", "major")
    assert not delivery.delivered
    assert cause in delivery.cause
    assert len(list(outbox.glob("*.json"))) == 1


def test_a_kept_alert_is_delivered_once_by_the_next_resend(web: Web, outbox: Path) -> None:
    notifier = dingtalk(outbox)
    web.answer = b'{"errcode": 1, "errmsg": "busy"}'
    notifier.send("title", "text", "major")
    assert notifier.resend() == [Delivery("ops", delivered=False, cause="DingTalk: busy (errcode 1)")]
    web.answer = b'{"errcode": 0}'
    assert notifier.resend() == [Delivery("ops", delivered=True)]
    assert notifier.resend() == []
    assert len(web.requests) == 3
    assert web.requests[2][1]["markdown"] == {"title": "title", "text": "text"}


def test_the_same_alert_that_fails_twice_is_kept_once(web: Web, outbox: Path) -> None:
    web.status = 503
    for _ in range(2):
        dingtalk(outbox).send("title", "text", "major")
    assert len(list(outbox.iterdir())) == 1


def test_two_that_resend_at_once_deliver_once(web: Web, outbox: Path) -> None:
    notifier = dingtalk(outbox)
    web.status = 503
    notifier.send("title", "text", "major")
    web.status = 200
    web.requests.clear()
    start = threading.Barrier(4)

    def resend() -> None:
        start.wait()
        notifier.resend()

    threads = [threading.Thread(target=resend) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(web.requests) == 1
    assert list(outbox.iterdir()) == []


def test_one_route_that_fails_hinders_no_other(web: Web, outbox: Path) -> None:
    notifier = dingtalk(
        outbox,
        bad="dingtalk://!!",
        closed="json://127.0.0.1:1/s3cretpath",
        nosuch="nosuch://s3cret",
        nothing="",
        web=f"json://{web.address}",
    )
    delivered = {delivery.route: delivery.delivered for delivery in notifier.send("title", "text", "info")}
    expected = {"ops": True, "web": True, "bad": False, "closed": False, "nosuch": False, "nothing": False}
    assert delivered == expected
    assert len(list(outbox.glob("*.json"))) == 4
    assert sorted(path.partition("?")[0] for path, _ in web.requests) == ["/", "/robot/send"]


def test_a_mail_arrives_with_its_attachment(mailbox: tuple[str, list[bytes]], outbox: Path, tmp_path: Path) -> None:
    address, mails = mailbox
    host, port = address.split(":")
    report = tmp_path / "report.html"
    report.write_text("<p>每日报告</p>", encoding="utf-8")
    url = f"mailto://{host}:{port}?smtp={host}&mode=insecure&from=a@example.com&to=b@example.com"
    (delivery,) = Notifier(routes={"mail": url}, outbox=outbox).send("每日报告", "# 完整", "info", [report])
    assert delivery == Delivery("mail", delivered=True)
    mail = message_from_bytes(mails[0], policy=policy.default)
    assert mail["Subject"] == "每日报告"
    assert "完整" in mail.get_body().get_content()  # type: ignore[union-attr]
    (attachment,) = mail.iter_attachments()  # type: ignore[attr-defined]
    assert attachment.get_filename() == "report.html"
    assert attachment.get_payload(decode=True) == report.read_bytes()


def test_an_alert_goes_without_what_cannot_be_attached_and_says_so(web: Web, outbox: Path, tmp_path: Path) -> None:
    notifier = dingtalk(outbox, web=f"json://{web.address}")
    (tmp_path / "report.html").write_text("report")
    deliveries = notifier.send("title", "text", "info", [tmp_path / "report.html", tmp_path / "gone.html"])
    assert deliveries == [
        Delivery("ops", delivered=True, cause="delivered without report.html, gone.html"),
        Delivery("web", delivered=True, cause="delivered without gone.html"),
    ]


def test_no_secret_is_in_any_log_message_repr_or_kept_alert(
    web: Web, outbox: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(1)
    root_handler = logging.StreamHandler()
    logging.getLogger().addHandler(root_handler)
    notifier = dingtalk(
        outbox,
        closed="json://user:s3cretpass@127.0.0.1:1/s3cretpath?+X-Token=s3crethead",
        invalid="dingtalk://s3cret@s3cret!!/",
        mail="mailto://user:s3cretpass@127.0.0.1:1?smtp=127.0.0.1&mode=insecure&to=b@example.com",
        nosuch="nosuch://s3cret",
    )
    deliveries = [*notifier.send("title", "text", "info"), *notifier.resend()]
    web.answer = f'{{"errcode": 1, "errmsg": "token {TOKEN} is not known"}}'.encode()
    deliveries += notifier.send("title", "text", "info")
    logging.getLogger().removeHandler(root_handler)
    kept = "".join(file.read_text() for file in outbox.iterdir())
    printed = "".join(capfd.readouterr())
    everything = f"{deliveries}{notifier!r}{notifier}{caplog.text}{kept}{printed}{notifier.model_dump_json()}"
    assert deliveries[-1].route == "ops"
    assert "is not known" in deliveries[-1].cause
    for secret in (TOKEN, SECRET, "s3cret"):
        assert secret not in everything


def test_a_route_that_was_taken_away_keeps_its_alert_and_says_why(web: Web, outbox: Path) -> None:
    web.status = 503
    dingtalk(outbox).send("title", "text", "info")
    (delivery,) = Notifier(routes={}, outbox=outbox).resend()
    assert delivery == Delivery("ops", delivered=False, cause="there is no such route any more")
    assert len(list(outbox.glob("*.json"))) == 1


def test_an_outbox_that_cannot_be_written_keeps_no_alert_from_leaving(web: Web, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    notifier = dingtalk(tmp_path / "file" / "outbox")
    assert notifier.send("title", "text", "info") == [Delivery("ops", delivered=True)]
    web.status = 503
    (delivery,) = notifier.send("title", "text", "info")
    assert not delivery.delivered
    assert "nor could it be kept" in delivery.cause


def test_a_damaged_file_in_the_outbox_is_told_and_hinders_no_other(web: Web, outbox: Path) -> None:
    web.status = 503
    dingtalk(outbox).send("title", "text", "info")
    web.status = 200
    (outbox / "0.json").write_text("{")
    first, second = dingtalk(outbox).resend()
    assert not first.delivered
    assert "0.json" in first.cause
    assert second == Delivery("ops", delivered=True)


@pytest.mark.parametrize("character", ["缺", "x", "𠮷", '"', "\n缺"])
def test_a_long_text_reaches_dingtalk_in_requests_that_it_takes(web: Web, outbox: Path, character: str) -> None:
    assert dingtalk(outbox).send("每日报告" * 20, character * 15_000, "info")[0].delivered
    # https://open.dingtalk.com: errcode 460101, the body of a request has at most 20,000 bytes.
    assert max(map(len, web.bodies)) <= 20_000
    texts = [str(message["markdown"]["text"]) for _, message in web.requests]  # type: ignore[index]
    assert sum(text.count(character.strip()) for text in texts) == 15_000


def test_mail_shows_the_page_made_for_mail_and_others_the_markdown(
    web: Web, mailbox: tuple[str, list[bytes]], outbox: Path
) -> None:
    address, mails = mailbox
    host, port = address.split(":")
    url = f"mailto://{host}:{port}?smtp={host}&mode=insecure&from=a@example.com&to=b@example.com"
    notifier = dingtalk(outbox, mail=url, text=f"{url}&format=text")
    html = "<!doctype html><html><body><h1>每日报告</h1><table><tr><td>96</td><td>83</td></tr></table></body></html>"
    assert all(delivery.delivered for delivery in notifier.send("每日报告", "**完整**", "info", html=html))
    assert web.requests[0][1]["markdown"] == {"title": "每日报告", "text": "**完整**"}
    first, second = (message_from_bytes(mail, policy=policy.default) for mail in mails)
    assert first.get_content_type() == "multipart/alternative"
    words, shown = first.iter_parts()  # type: ignore[attr-defined]
    assert (words.get_content_type(), shown.get_content_type()) == ("text/plain", "text/html")
    assert shown.get_content().strip() == html
    assert {"每日报告", "96", "83"} <= set(words.get_content().split())
    assert second.get_content_type() == "text/plain"
    assert "完整" in second.get_content()  # type: ignore[attr-defined]


def test_what_is_sent_again_is_the_page_made_for_mail(mailbox: tuple[str, list[bytes]], outbox: Path) -> None:
    address, mails = mailbox
    host, port = address.split(":")
    url = "mailto://{}?smtp={}&mode=insecure&from=a@example.com&to=b@example.com"
    Notifier(routes={"mail": url.format("127.0.0.1:1", "127.0.0.1")}, outbox=outbox).send(
        "title", "text", "info", html="<p>made for mail</p>"
    )
    (delivery,) = Notifier(routes={"mail": url.format(f"{host}:{port}", host)}, outbox=outbox).resend()
    assert delivery == Delivery("mail", delivered=True)
    assert b"text/html" in mails[0]
    (shown,) = [
        part for part in message_from_bytes(mails[0], policy=policy.default).walk()
        if part.get_content_type() == "text/html"
    ]  # fmt: skip
    assert "made for mail" in shown.get_content()  # type: ignore[attr-defined]
