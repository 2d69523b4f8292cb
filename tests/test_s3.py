"""The store on real S3 services, MinIO as a cluster and SeaweedFS; and what a cluster that loses nodes does to it."""

import hashlib
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from signal import SIGKILL
from threading import Thread

import httpx
import pytest
from s3_servers import Service

from blocks.errors import PermanentError, SettingsError, TransientError, VoxkeepError
from blocks.store import ObjectStore, Publication, Published
from deploy.servers import process
from deploy.servers.minio import Minio


def recordings(folder: Path, count: int, size: int = 1_000) -> list[Publication]:
    items = []
    for number in range(count):
        file = folder / f"{number:05}.wav"
        content = os.urandom(size)
        file.write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        key = f"2021-01-{1 + number % 28:02}/{sha256[:2]}/{sha256[:32]}.wav"
        items.append(Publication(key, file, size, sha256, {"name": f"01/31/{file.name}"}))
    return items


def etags(items: list[Publication]) -> dict[str, str]:
    return {
        item.key: hashlib.md5(Path(os.fsdecode(item.source)).read_bytes(), usedforsecurity=False).hexdigest()
        for item in items
    }


def listed(store: ObjectStore, prefix: str = "") -> dict[str, str]:
    return dict(store.listing(prefix).select("key", "etag").rows())


@pytest.fixture
def store(service: Service) -> ObjectStore:
    store = service.store()
    store.create()
    return store


def test_the_etags_of_a_listing_are_the_md5_of_what_was_published(store: ObjectStore, tmp_path: Path) -> None:
    items = recordings(tmp_path, 60)
    assert store.publish(items) == Published(60, 0, 60_000, ())
    assert listed(store) == etags(items)
    day = items[0].key.partition("/")[0]
    assert listed(store, day) == {key: etag for key, etag in etags(items).items() if key.startswith(f"{day}/")}


def test_publishing_twice_makes_nothing_twice(store: ObjectStore, tmp_path: Path) -> None:
    items = recordings(tmp_path, 20)
    store.publish(items)
    before = store.listing()
    assert store.publish(items) == Published(0, 20, 0, ())
    assert store.listing().equals(before)


def test_publishers_of_one_key_at_the_same_time_make_one_object(store: ObjectStore, tmp_path: Path) -> None:
    items = recordings(tmp_path, 40)
    with ThreadPoolExecutor(4) as threads:
        done = list(threads.map(lambda _: store.publish(items, workers=8), range(4)))
    assert sum(one.published for one in done) == 40
    assert sum(one.already for one in done) == 120
    assert listed(store) == etags(items)


def test_other_content_than_told_is_refused_and_the_others_go_on(store: ObjectStore, tmp_path: Path) -> None:
    items = recordings(tmp_path, 3)
    items[1] = Publication(items[1].key, items[1].source, items[1].size, "0" * 64)
    done = store.publish(items)
    assert [refused.key for refused in done.refused] == [items[1].key]
    assert listed(store).keys() == {items[0].key, items[2].key}


def test_other_content_under_a_key_that_is_there_never_overwrites(store: ObjectStore, tmp_path: Path) -> None:
    first, second = recordings(tmp_path, 2)
    store.publish([first])
    other = Publication(first.key, second.source, second.size, second.sha256)
    assert store.publish([other]).published == 0
    assert listed(store) == etags([first])


def test_the_service_keeps_the_checksum_and_the_original_name(minio: Minio, tmp_path: Path) -> None:
    store = Service(minio.endpoint).store()
    store.create()
    [item] = recordings(tmp_path, 1)
    store.publish([item])
    answer = httpx.get(store.link(item.key), headers={"x-amz-checksum-mode": "ENABLED"})
    assert answer.headers["x-amz-meta-voxkeep-name"] == "01/31/00000.wav"
    assert "x-amz-checksum-sha256" in answer.headers


def test_downloading_gives_the_whole_object_or_a_clear_error(store: ObjectStore, tmp_path: Path) -> None:
    [item] = recordings(tmp_path, 1, 3_000_001)
    store.publish([item])
    store.download(item.key, tmp_path / "copy.wav")
    assert (tmp_path / "copy.wav").read_bytes() == Path(os.fsdecode(item.source)).read_bytes()
    with pytest.raises(PermanentError, match="2021-01-31/gone"):
        store.download("2021-01-31/gone", tmp_path / "gone.wav")


def test_a_store_below_a_prefix_sees_only_that(store: ObjectStore, service: Service, tmp_path: Path) -> None:
    items = recordings(tmp_path, 2)
    below = service.store(store.url.removeprefix("s3://") + "/one")
    below.publish(items[:1])
    store.publish(items[1:])
    assert listed(below).keys() == {items[0].key}
    assert listed(store).keys() == {f"one/{items[0].key}", items[1].key}
    assert httpx.get(below.link(items[0].key)).status_code == 200


def test_a_link_gives_one_object_under_its_name_for_a_while(store: ObjectStore, tmp_path: Path) -> None:
    first, second = recordings(tmp_path, 2)
    store.publish([first, second])
    link = store.link(first.key, name='01/31/录音 "1".wav')
    answer = httpx.get(link)
    assert answer.content == Path(os.fsdecode(first.source)).read_bytes()
    assert "filename*=UTF-8''%E5%BD%95%E9%9F%B3%20%221%22.wav" in answer.headers["content-disposition"]
    assert httpx.get(store.link(first.key)).status_code == 200
    assert httpx.get(link.replace(first.key, second.key)).status_code == 403
    assert httpx.put(link, content=b"x").status_code == 403
    short = store.link(first.key, seconds=1)
    time.sleep(2.5)
    assert httpx.get(short).status_code == 403


@pytest.mark.parametrize("seconds", [0, -1, 301])
def test_a_link_lives_five_minutes_at_most(seconds: int) -> None:
    with pytest.raises(SettingsError, match=r"1 to 300"):
        Service("http://127.0.0.1:1").store().link("a/b", seconds)


def test_a_folder_has_no_links(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="folder"):
        ObjectStore(url=str(tmp_path)).link("a/b")


@pytest.mark.parametrize(
    ("wrong", "kind", "cause"),
    [
        ({"secret_key": "wrongwrong"}, PermanentError, "SignatureDoesNotMatch"),
        ({"access_key": "nobody"}, PermanentError, "InvalidAccessKeyId"),
        ({"bucket": "no-such-bucket"}, PermanentError, "NoSuchBucket|NoSuchKey"),
        ({"endpoint": "http://127.0.0.1:1"}, TransientError, "error sending request"),
    ],
)
def test_what_cannot_work_is_told_within_seconds(
    store: ObjectStore, service: Service, tmp_path: Path, wrong: dict[str, str], kind: type[VoxkeepError], cause: str
) -> None:
    items = recordings(tmp_path, 100)
    other = service.store(**{"bucket": store.url.removeprefix("s3://"), **wrong})
    for verb in (lambda: other.publish(items), other.listing, lambda: list(other.get("a/b"))):
        began = time.monotonic()
        with pytest.raises(kind, match=cause) as error:
            verb()
        assert time.monotonic() - began < 10
        assert "wrongwrong" not in str(error.value)


def kill_when_some_are_published(store: ObjectStore, cluster: Minio, *nodes: int) -> Thread:
    """Kill the nodes once the first objects are there, while the others are on their way."""

    def kill() -> None:
        while store.listing().height < 20:
            time.sleep(0.02)
        for node in nodes:
            cluster.stop_node(node, SIGKILL)

    thread = Thread(target=kill)
    thread.start()
    return thread


def test_a_node_that_is_killed_stops_no_publication(breakable_minio: Minio, tmp_path: Path) -> None:
    store = Service(breakable_minio.endpoint).store()
    store.create()
    items = recordings(tmp_path, 1_500)
    killer = kill_when_some_are_published(store, breakable_minio, 4)
    done = store.publish(items)
    killer.join()
    assert process.find("minio-4", breakable_minio.folder / "minio-4") is None
    assert (done.published + done.already, done.refused) == (1_500, ())
    assert listed(store) == etags(items)


@pytest.mark.long  # as test_cluster has it, of whole flows
def test_two_nodes_that_are_killed_are_an_error_and_nothing_is_lost_when_they_return(
    breakable_minio: Minio, tmp_path: Path
) -> None:
    store = Service(breakable_minio.endpoint).store()
    store.create()
    items = recordings(tmp_path, 1_500)
    killer = kill_when_some_are_published(store, breakable_minio, 3, 4)
    began = time.monotonic()
    with pytest.raises(TransientError, match="publish"):
        store.publish(items)
    assert time.monotonic() - began < 90
    killer.join()
    # What was published can still be read.
    there = listed(store)
    assert 0 < len(there) < 1_500
    assert there.items() <= etags(items).items()
    breakable_minio.start()
    done = store.publish(items)
    assert done.published + done.already == 1_500
    assert done.already >= len(there)
    assert listed(store) == etags(items)
