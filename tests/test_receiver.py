"""The web hook: whom it believes, what it understands, and what it makes of it."""

import asyncio
from typing import Any

import httpx
import pytest

from voxkeep.receiver import MOST_BYTES, Snapshot, make_receiver

TOKEN = "the-token-of-the-tests"
SNAPSHOT = "ab" * 32
KEY = f"restic/cq/2021/snapshots/{SNAPSHOT}"


class Heard:
    """A receiver, and what it has told."""

    def __init__(self) -> None:
        self.snapshots: list[Snapshot] = []
        self.app = make_receiver(TOKEN, self.snapshots.append)

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """The answer to this request."""

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://receiver") as client:
                return await client.request(method, path, **more)

        return asyncio.run(ask())

    def post(self, token: str = f"Bearer {TOKEN}", **body: Any) -> int:
        """The status of the answer to this body."""
        return self.ask("POST", "/snapshots", headers={"Authorization": token.encode()}, **body).status_code


@pytest.fixture
def heard() -> Heard:
    return Heard()


def notification(key: str = KEY, *, bucket: str = "meituan", event: str = "s3:ObjectCreated:Put") -> dict[str, Any]:
    """As MinIO sends it, shortened."""
    record = {"eventName": event, "s3": {"bucket": {"name": bucket}, "object": {"key": key, "versionId": "v1"}}}
    return {"EventName": event, "Key": f"{bucket}/{key}", "Records": [record]}


def test_a_new_snapshot_is_told_with_its_business_site_and_id(heard: Heard) -> None:
    assert heard.post(json=notification()) == 202
    (found,) = heard.snapshots
    assert (found.business, found.site, found.year, found.snapshot_id) == ("meituan", "cq", 2021, SNAPSHOT)


def test_a_key_comes_percent_encoded(heard: Heard) -> None:
    heard.post(json=notification(KEY.replace("/", "%2F")))
    assert heard.snapshots[0].site == "cq"


def test_the_same_notification_twice_is_the_same_event(heard: Heard) -> None:
    heard.post(json=notification())
    heard.post(json=notification())
    assert len({found.event_id for found in heard.snapshots}) == 1


@pytest.mark.parametrize("token", ["", "Bearer ", "Bearer wrong", f"Basic {TOKEN}x", "Bearer ü"])
def test_without_the_token_nothing_is_told(heard: Heard, token: str) -> None:
    assert heard.post(token, json=notification()) == 401
    assert heard.snapshots == []


@pytest.mark.parametrize(
    "content",
    [
        notification(f"restic/cq/2021/locks/{SNAPSHOT}"),
        notification(f"restic/../x/2021/snapshots/{SNAPSHOT}"),
        notification("restic/cq/2021/snapshots/../../other"),
        notification(f"{KEY}\n"),
        notification(bucket="Meituan/../x"),
        notification(event="s3:ObjectRemoved:Delete"),
        {"Records": []},
    ],
)
def test_what_is_no_new_snapshot_is_passed_over(heard: Heard, content: dict[str, Any]) -> None:
    assert heard.post(json=content) == 202
    assert heard.snapshots == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"Records": [{}]}', b"\xff\xfe", b'{"Records": null}'])
def test_what_is_no_notification_is_refused(heard: Heard, body: bytes) -> None:
    assert heard.post(content=body) == 422
    assert heard.snapshots == []


def test_a_body_that_is_too_large_is_refused_before_it_is_read(heard: Heard) -> None:
    assert heard.post(content=b"x" * (MOST_BYTES + 1)) == 413


def test_health_needs_no_token(heard: Heard) -> None:
    assert heard.ask("GET", "/health").json() == {"status": "ok"}
