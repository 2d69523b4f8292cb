"""Packs arrive whole, at a folder, at S3 and at a bank's real SFTP server."""

import getpass
from pathlib import Path

import pytest
from pydantic import SecretStr
from s3_servers import Service

from blocks.delivery import Delivery
from blocks.errors import PermanentError, SettingsError, TransientError
from deploy.servers.process import free_port
from deploy.servers.sftp import Sftp

CONTENT = bytes(range(256)) * 20_000


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    file = tmp_path / "made.zip"
    file.write_bytes(CONTENT)
    return file


def to(server: Sftp, folder: Path, **changes: object) -> Delivery:
    given = {"private_key": SecretStr(server.private_key.read_text()), "host_key": server.host_key} | changes
    return Delivery(url=f"{server.url}{folder}", **given)


def test_a_file_arrives_at_sftp_in_a_new_folder_and_twice_is_harmless(sftp: Sftp, tmp_path: Path, pack: Path) -> None:
    bank = tmp_path / "bank"
    delivery = to(sftp, bank)
    for _ in range(2):
        assert delivery.put(pack, "2021/a 报送.zip") == f"{sftp.url}{bank}/2021/a 报送.zip"
        assert [file.name for file in (bank / "2021").iterdir()] == ["a 报送.zip"]
        assert (bank / "2021" / "a 报送.zip").read_bytes() == CONTENT


def test_a_server_with_another_key_is_refused_and_gets_nothing(sftp: Sftp, tmp_path: Path, pack: Path) -> None:
    other = (sftp.folder / "user.pub").read_text()
    stranger = f"[127.0.0.1]:{sftp.host_key.split(':')[1].split()[0]} {' '.join(other.split()[:2])}"
    with pytest.raises(PermanentError, match="another key"):
        to(sftp, tmp_path / "bank", host_key=stranger).put(pack, "a.zip")
    assert not (tmp_path / "bank").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"host_key": None}, "public key is not known"),
        ({"private_key": SecretStr("hunter2")}, "no private key"),
        ({"private_key": None, "password": SecretStr("hunter2")}, "refuses the user"),
    ],
)
def test_what_cannot_let_us_in_is_told_without_the_secret(
    sftp: Sftp, tmp_path: Path, pack: Path, changes: dict[str, object], words: str
) -> None:
    with pytest.raises(SettingsError, match=words) as told:
        to(sftp, tmp_path / "bank", **changes).put(pack, "a.zip")
    assert "hunter2" not in str(told.value)


def test_a_server_that_is_gone_may_come_back(sftp: Sftp, pack: Path) -> None:
    url = f"sftp://{getpass.getuser()}@127.0.0.1:{free_port()}/x"
    with pytest.raises(TransientError, match="goes on where it stopped"):
        Delivery(url=url, host_key=sftp.host_key, password=SecretStr("x")).put(pack, "a.zip")


def test_a_folder_gets_the_file_whole_and_a_disk_that_is_gone_is_told(tmp_path: Path, pack: Path) -> None:
    with pytest.raises(PermanentError, match="no such folder"):
        Delivery(url=str(tmp_path / "bank")).put(pack, "a.zip")
    (tmp_path / "bank").mkdir()
    assert Delivery(url=str(tmp_path / "bank")).put(pack, "b/a.zip").endswith("/bank/b/a.zip")
    assert (tmp_path / "bank" / "b" / "a.zip").read_bytes() == CONTENT
    assert not list((tmp_path / "bank" / "b").glob(".*"))


def test_s3_gets_the_file_and_no_key_is_told(service: Service, pack: Path) -> None:
    store = service.store()
    store.create()
    keys = {"access_key": store.access_key, "secret_key": store.secret_key}
    Delivery(url=f"{store.url}/bank", endpoint=service.endpoint, **keys).put(pack, "a.zip")
    assert b"".join(store.get("bank/a.zip")) == CONTENT
    with pytest.raises(SettingsError, match="no keys"):
        Delivery(url="s3://x/bank").put(pack, "a.zip")


def test_a_delivery_without_a_place_leaves_the_file_where_it_is(pack: Path) -> None:
    assert Delivery().put(pack, "a.zip") == pack.as_uri()


def test_a_place_in_words_holds_no_password() -> None:
    assert Delivery(url="sftp://bank:hunter2@host:22/in").shown() == "sftp://bank@host:22/in"
