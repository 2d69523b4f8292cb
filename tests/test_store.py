"""Objects are created once, whole and proved, and never overwritten."""

import errno
import hashlib
import os
import signal
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

import pytest
from obstore.store import MemoryStore

from blocks.errors import PermanentError, SettingsError, TransientError, VoxkeepError
from blocks.store import LISTING_SCHEMA, ObjectStore, Proof, Publication, Published

MEMORY_DISK = "/dev/shm"  # noqa: S108  # the one other filesystem that is everywhere
KEY = "2021-01-31/ab/abcdef.wav"


def publication(source: Path | bytes, key: str = KEY, **metadata: str) -> Publication:
    content = Path(os.fsdecode(source)).read_bytes()
    return Publication(key, source, len(content), hashlib.sha256(content).hexdigest(), metadata)


class StoreInMemory(ObjectStore):
    """The code for buckets, over obstore's own store in memory: a bucket that needs no server."""

    _block_type_name = "Voxkeep object store in memory"
    _block_type_slug = "voxkeep-object-store-in-memory"

    def _s3(self, bucket: str, prefix: str) -> MemoryStore:  # type: ignore[override]
        del bucket, prefix
        return MEMORY.setdefault(self.url, MemoryStore())


MEMORY: dict[str, MemoryStore] = {}


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "bucket":
        return StoreInMemory(url=f"s3://{tmp_path.name}")
    store = ObjectStore(url=f"file://{tmp_path}/au%20dio")
    store.create()
    return store


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    file = tmp_path / "2049_15372388463.wav3"
    file.write_bytes(os.urandom(3_000_001))
    return file


def test_a_published_recording_has_the_bytes_of_its_source(store: ObjectStore, recording: Path) -> None:
    assert store.publish([publication(recording)]) == Published(1, 0, 3_000_001, ())
    assert b"".join(store.get(KEY)) == recording.read_bytes()
    listing = store.listing("2021-01-31")
    assert listing.schema == LISTING_SCHEMA
    assert listing.select("key", "size").rows() == [(KEY, 3_000_001)]


def test_publishing_again_changes_nothing_and_is_counted(store: ObjectStore, recording: Path) -> None:
    store.publish([publication(recording)])
    before = store.listing()
    assert store.publish([publication(recording)]) == Published(0, 1, 0, ())
    assert store.listing().equals(before)


def test_other_bytes_under_a_key_that_is_there_never_overwrite(store: ObjectStore, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(b"one")
    second.write_bytes(b"two")
    store.publish([publication(first)])
    assert store.publish([publication(second)]).published == 0
    assert b"".join(store.get(KEY)) == b"one"


def test_a_source_that_changed_or_vanished_is_refused_and_the_others_go_on(store: ObjectStore, tmp_path: Path) -> None:
    names = ("changed", "vanished", "good")
    for name in names:
        (tmp_path / name).write_bytes(name.encode())
    items = [publication(tmp_path / name, f"day/{name}") for name in names]
    (tmp_path / "changed").write_bytes(b"CHANGED")
    (tmp_path / "vanished").unlink()
    done = store.publish(items)
    assert (done.published, done.already) == (1, 0)
    assert [(refused.key, refused.cause[-30:]) for refused in done.refused] == [
        ("day/changed", " bytes than when it was hashed"),
        ("day/vanished", "ead: No such file or directory"),
    ]
    assert store.listing()["key"].to_list() == ["day/good"]


def test_many_publishers_of_the_same_keys_make_each_object_once(store: ObjectStore, tmp_path: Path) -> None:
    items = []
    for number in range(200):
        file = tmp_path / f"{number}.wav"
        file.write_bytes(str(number).encode())
        items.append(publication(file, f"day/{number}"))
    with ThreadPoolExecutor(4) as threads:
        done = list(threads.map(lambda _: store.publish(iter(items)), range(4)))
    assert sum(one.published for one in done) == 200
    assert sum(one.already for one in done) == 600
    assert store.listing().height == 200


def test_a_file_whose_name_is_not_utf8_is_published(store: ObjectStore, tmp_path: Path) -> None:
    file = bytes(tmp_path) + b"/tet\xe9.wav"
    with open(file, "wb") as handle:
        handle.write(b"audio")
    assert store.publish([publication(file, name="tet%E9.wav")]).published == 1


def test_downloading_gives_the_whole_object_or_nothing(store: ObjectStore, recording: Path, tmp_path: Path) -> None:
    store.publish([publication(recording)])
    target = tmp_path / "downloads" / "a.wav"
    store.download(KEY, target)
    assert target.read_bytes() == recording.read_bytes()
    with pytest.raises(PermanentError, match="gone"):
        store.download("day/gone", tmp_path / "downloads" / "b.wav")
    assert [file.name for file in target.parent.iterdir()] == ["a.wav"]


def test_the_listing_of_a_folder_of_keys_holds_no_neighbour(store: ObjectStore, recording: Path) -> None:
    keys = ["2021-01-31/a", "2021-01-31b/a", "2021-02-01/a"]
    store.publish([publication(recording, key) for key in keys])
    assert store.listing("2021-01-31")["key"].to_list() == ["2021-01-31/a"]
    assert store.listing("2021-01-31/")["key"].to_list() == ["2021-01-31/a"]
    assert store.listing()["key"].to_list() == keys
    assert store.listing("2020-01-01").is_empty()


@pytest.mark.parametrize("key", ["", "/a", "a//b", "../a", "a/../b", ".hidden", "a/", "a\0b"])
def test_a_key_that_leads_elsewhere_is_refused(store: ObjectStore, recording: Path, key: str) -> None:
    with pytest.raises(SettingsError):
        store.publish([publication(recording, key)])
    with pytest.raises(SettingsError):
        list(store.get(key))


def test_creating_a_folder_twice_is_harmless(tmp_path: Path, recording: Path) -> None:
    store = ObjectStore(url=str(tmp_path / "store"))
    store.create()
    store.publish([publication(recording)])
    store.create()
    assert store.listing().height == 1


def test_a_folder_that_is_not_there_takes_nothing_and_is_not_made_in_passing(tmp_path: Path, recording: Path) -> None:
    store = ObjectStore(url=str(tmp_path / "unmounted"))
    with pytest.raises(PermanentError, match="unmounted"):
        store.publish([publication(recording)])
    with pytest.raises(PermanentError, match="unmounted"):
        store.listing()
    assert not (tmp_path / "unmounted").exists()


def test_a_folder_remembers_the_original_name(tmp_path: Path, recording: Path) -> None:
    store = ObjectStore(url=str(tmp_path / "store"))
    store.create()
    try:
        os.setxattr(tmp_path / "store", "user.voxkeep.test", b"")
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            pytest.skip("this filesystem has no extended attributes")
        raise
    store.publish([publication(recording, name="01/31/录音.wav3")])
    assert os.getxattr(tmp_path / "store" / KEY, "user.voxkeep.name").decode() == "01/31/录音.wav3"


def test_a_bucket_remembers_the_original_name_in_ascii(tmp_path: Path, recording: Path) -> None:
    store = StoreInMemory(url=f"s3://{tmp_path.name}")
    store.publish([publication(recording, name="01/31/录音.wav3")])
    assert MEMORY[store.url].get(KEY).attributes["voxkeep-name"] == "01/31/%E5%BD%95%E9%9F%B3.wav3"


@pytest.fixture
def folder(tmp_path: Path) -> ObjectStore:
    store = ObjectStore(url=str(tmp_path / "store"))
    store.create()
    return store


def test_an_object_in_a_folder_is_a_second_name_of_its_source(
    folder: ObjectStore, tmp_path: Path, recording: Path
) -> None:
    folder.publish([publication(recording, name="01/a.wav")])
    found = (tmp_path / "store" / KEY).stat()
    assert (found.st_ino, found.st_nlink) == (recording.stat().st_ino, 2)


def test_an_object_outlives_its_source(folder: ObjectStore, recording: Path) -> None:
    content = recording.read_bytes()
    folder.publish([publication(recording)])
    recording.unlink()
    recording.write_bytes(b"another recording of this name")
    assert b"".join(folder.get(KEY)) == content


@pytest.mark.parametrize("mode", [0o644, 0o666, 0o400])
def test_nobody_can_write_to_an_object_and_everybody_who_comes_there_can_read_it(
    folder: ObjectStore, tmp_path: Path, recording: Path, mode: int
) -> None:
    recording.chmod(mode)
    folder.publish([publication(recording, name="01/a.wav")])
    assert (tmp_path / "store" / KEY).stat().st_mode & 0o777 == 0o444
    assert os.getxattr(tmp_path / "store" / KEY, "user.voxkeep.name") == b"01/a.wav"


def test_what_was_not_changed_since_it_was_hashed_is_not_hashed_again(folder: ObjectStore, recording: Path) -> None:
    status = recording.stat()
    told = replace(publication(recording), sha256="0" * 64, proof=Proof(status.st_ino, status.st_ctime_ns))
    assert folder.publish([told]).published == 1


def test_what_was_changed_since_it_was_hashed_is_refused_though_its_size_and_mtime_are_the_same(
    folder: ObjectStore, recording: Path
) -> None:
    status = recording.stat()
    told = replace(publication(recording), proof=Proof(status.st_ino, status.st_ctime_ns))
    recording.write_bytes(bytes(status.st_size))
    os.utime(recording, ns=(status.st_atime_ns, status.st_mtime_ns))
    done = folder.publish([told])
    assert [refused.cause for refused in done.refused] == ["the source has other bytes than when it was hashed"]
    assert folder.listing().is_empty()


def test_a_link_is_not_published_in_place_of_a_file(folder: ObjectStore, tmp_path: Path, recording: Path) -> None:
    link = tmp_path / "link.wav"
    link.symlink_to(recording)
    told = replace(publication(recording), source=link)
    assert folder.publish([told]).published == 0
    assert recording.stat().st_mode & stat.S_IWUSR


def test_a_file_on_another_disk_is_copied(folder: ObjectStore, tmp_path: Path) -> None:
    with TemporaryDirectory(dir=MEMORY_DISK) as other:
        if Path(other).stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip(f"{MEMORY_DISK} is no disk of its own here")
        source = Path(other) / "a.wav"
        source.write_bytes(b"audio")
        assert folder.publish([publication(source)]).published == 1
        assert source.stat().st_nlink == 1
    assert b"".join(folder.get(KEY)) == b"audio"
    assert (tmp_path / "store" / KEY).stat().st_mode & 0o777 == 0o444


def test_a_file_that_has_all_the_names_it_can_have_is_copied(
    folder: ObjectStore, tmp_path: Path, recording: Path
) -> None:
    names = tmp_path / "names"
    names.mkdir()
    try:
        for number in range(70_000):
            (names / str(number)).hardlink_to(recording)
    except OSError as error:
        if error.errno != errno.EMLINK:
            raise
    else:
        pytest.skip("this filesystem gives a file as many names as one likes")
    assert folder.publish([publication(recording)]).published == 1
    assert (tmp_path / "store" / KEY).stat().st_ino != recording.stat().st_ino
    assert b"".join(folder.get(KEY)) == recording.read_bytes()


def test_an_object_cut_short_by_the_machine_is_shown_and_left_to_people(tmp_path: Path, recording: Path) -> None:
    store = ObjectStore(url=str(tmp_path / "store"))
    store.create()
    item = publication(recording)
    store.publish([item])
    os.truncate(tmp_path / "store" / KEY, 0)
    done = store.publish([item])
    assert (done.published, done.already) == (0, 0)
    assert done.refused[0].cause == "the object is there, but has 0 bytes instead of 3000001"


def test_leftovers_of_other_writers_are_in_no_listing(tmp_path: Path, recording: Path) -> None:
    store = ObjectStore(url=str(tmp_path / "store"))
    store.create()
    store.publish([publication(recording)])
    (tmp_path / "store" / KEY).with_name(".0123.part").write_bytes(b"half")
    assert store.listing()["key"].to_list() == [KEY]


def test_s3_without_keys_is_a_mistake_in_the_settings() -> None:
    with pytest.raises(SettingsError, match="key"):
        ObjectStore(url="s3://bucket", endpoint="http://127.0.0.1:1").listing()
    with pytest.raises(SettingsError, match="neither"):
        ObjectStore(url="ftp://host/folder").listing()


@pytest.mark.parametrize(("status", "kind"), [(403, PermanentError), (404, PermanentError), (429, TransientError)])
def test_a_bucket_that_refuses_is_told_as_what_it_is(status: int, kind: type[VoxkeepError]) -> None:
    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(status)

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        store = ObjectStore(
            url="s3://bucket",
            endpoint=f"http://127.0.0.1:{server.server_address[1]}",
            access_key="AKIDEXAMPLE",
            secret_key="verysecret",
        )
        with pytest.raises(kind, match=str(status)):
            store.listing()
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("verb", ["listing", "create"])
def test_an_s3_service_that_does_not_answer_is_told_without_the_keys(verb: str) -> None:
    store = ObjectStore(
        url="s3://bucket", endpoint="http://127.0.0.1:1", access_key="AKIDEXAMPLE", secret_key="verysecret"
    )
    with pytest.raises(TransientError) as error:
        getattr(store, verb)()
    assert "verysecret" not in f"{error.value}{store!r}"
    assert "AKIDEXAMPLE" not in f"{error.value}{store!r}"


PUBLISHER = """
import hashlib, sys
from pathlib import Path
from blocks.store import ObjectStore, Publication
folder = Path(sys.argv[1])
content = (folder / "source").read_bytes()
sha256 = hashlib.sha256(content).hexdigest()
print("ready", flush=True)
ObjectStore(url=str(folder / "store")).publish(
    Publication(f"day/{number}", folder / "source", len(content), sha256) for number in range(1_000)
)
"""


def test_a_publisher_that_is_killed_leaves_only_whole_objects(tmp_path: Path) -> None:
    content = os.urandom(1_000_003)
    (tmp_path / "source").write_bytes(content)
    store = ObjectStore(url=str(tmp_path / "store"))
    store.create()
    with subprocess.Popen(
        [sys.executable, "-c", PUBLISHER, str(tmp_path)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[1],
    ) as publisher:
        assert publisher.stdout
        assert publisher.stdout.readline() == b"ready\n"
        # Killed in the middle: some objects are there, most are not.
        while store.listing().height < 5:
            assert publisher.poll() is None
        publisher.send_signal(signal.SIGKILL)
    files = [file for file in (tmp_path / "store").rglob("*") if file.is_file()]
    assert 5 <= len(files) < 1_000
    assert all(file.read_bytes() == content for file in files)
    items = [publication(tmp_path / "source", f"day/{number}") for number in range(1_000)]
    done = store.publish(items)
    assert done.published + done.already == 1_000
    assert done.already == len(files)
