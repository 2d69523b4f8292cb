"""Links to a real MinIO by which a browser saves a recording: after the audit row, for one object, for a minute."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from page import DAY, NUMBER, Page, call_path, published
from s3_servers import Service

from blocks import store as store_module
from blocks.store import ObjectStore
from blocks.trail import AuditTrail
from blocks.vault import Vault
from deploy.servers.minio import Minio

LONGEST_SECONDS = 300


@pytest.fixture
def bucket(page: Page, minio: Minio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """The shop's recordings in MinIO, two of them."""
    store = Service(minio.endpoint).store()
    store.create()
    for name, extension in (("alaw", "wav3"), ("ulaw", "wav")):
        published(store, "shop", name, extension, page.recordings[f"shop/{name}"].content, tmp_path)
    monkeypatch.setitem(page.house.offices, "shop", replace(page.house.offices["shop"], store=store))
    return store


def path_of(page: Page, name: str, verb: str) -> str:
    return f"{call_path('shop', name)}/{page.recordings[f'shop/{name}'].document['recording_id']}/{verb}"


def link(page: Page, name: str = "alaw") -> str:
    """Where the page leads a supervisor who saves a recording."""
    answer = page.enter("saver", ("supervisor",)).post(path_of(page, name, "download"))
    assert answer.status_code == 303
    return str(answer.headers["location"])


def test_a_link_gives_the_very_bytes_under_the_recordings_own_name_and_is_on_record(
    page: Page, bucket: ObjectStore
) -> None:
    before = len(page.rows())
    address = link(page)
    [row] = page.rows()[before:]
    recorded = page.recordings["shop/alaw"]
    assert (row.entry.action, row.entry.subject) == ("download", recorded.document["recording_id"])
    signed = datetime.strptime(parse_qs(urlsplit(address).query)["X-Amz-Date"][0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    assert row.at <= signed + timedelta(seconds=1)
    assert int(parse_qs(urlsplit(address).query)["X-Amz-Expires"][0]) <= LONGEST_SECONDS
    saved = httpx.get(address)
    assert saved.content == recorded.content
    assert NUMBER in saved.headers["content-disposition"]
    assert saved.headers["content-disposition"].startswith("attachment")


def test_a_link_is_for_one_object_and_for_reading_alone(page: Page, bucket: ObjectStore) -> None:
    address = link(page)
    parts = urlsplit(address)
    other = page.recordings["shop/ulaw"].document["key"]
    mine = page.recordings["shop/alaw"].document["key"]
    name = bucket.url.removeprefix("s3://")
    tries = [
        httpx.get(address.replace(mine, other)),
        httpx.get(parts._replace(path=f"/{name}").geturl()),
        httpx.get(address.replace("X-Amz-Expires=60", "X-Amz-Expires=604800")),
        httpx.put(address, content=b"x"),
        httpx.delete(address),
    ]
    assert [answer.status_code for answer in tries] == [403] * len(tries)
    assert b"".join(bucket.get(mine)) == page.recordings["shop/alaw"].content
    assert httpx.get(parts._replace(query="").geturl()).status_code == 403


def test_a_link_is_dead_when_its_time_is_over(page: Page, bucket: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    class Earlier(datetime):
        """A clock that is five minutes and a second behind."""

        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]  # noqa: ARG003
            return datetime.now(UTC) - timedelta(seconds=LONGEST_SECONDS + 1)

    key = page.recordings["shop/alaw"].document["key"]
    monkeypatch.setattr(store_module, "datetime", Earlier)
    late = bucket.link(key, LONGEST_SECONDS)
    monkeypatch.undo()
    assert httpx.get(late).status_code == 403
    assert httpx.get(bucket.link(key, LONGEST_SECONDS)).status_code == 200


def test_there_is_no_link_without_the_right_or_without_a_row(
    page: Page, bucket: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = page.enter("hearer", ("listener",))
    refused = listener.post(path_of(page, "alaw", "download"))
    supervisor = page.enter("saver", ("supervisor",))
    monkeypatch.setattr(page.house, "trail", AuditTrail(Vault(url="/proc/nowhere"), b"k" * 32))
    unwritten = supervisor.post(path_of(page, "alaw", "download"))
    assert (refused.status_code, unwritten.status_code) == (403, 503)
    for answer in (refused, unwritten):
        assert "location" not in answer.headers
        assert "X-Amz" not in answer.text


def test_a_recording_in_s3_is_heard_by_way_of_the_page_which_links_to_nothing(page: Page, bucket: ObjectStore) -> None:
    listener = page.enter("hearer", ("listener",))
    source = listener.post(path_of(page, "alaw", "play"))
    assert listener.get(source.json()["source"]).content[:4] == b"RIFF"
    assert "X-Amz" not in listener.get(f"/call/shop/{DAY}/{path_of(page, 'alaw', '').split('/')[4]}").text
