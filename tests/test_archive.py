"""A part of a pack as a bag and as a ZIP file, read back by other programs than the one that wrote it."""

import zipfile
from datetime import date
from pathlib import Path

import bagit
import pytest
import pyzipper
from pydantic import SecretStr

from blocks.archive import hashes, make_bag, zip_folder

DAY = date(2021, 1, 31)
FILES = {"index.csv": b"a,b\r\n" * 500, "20210131/\xe6\xa1\x88.wav".encode("latin-1").decode(): b"RIFF" * 900}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        file = tmp_path / "part" / "data" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return tmp_path / "part"


def test_a_bag_is_one_to_the_library_of_congress_and_a_changed_byte_is_seen(folder: Path) -> None:
    make_bag(folder, {"Source-Organization": "meituan", "External-Identifier": "报送 1"})
    bag = bagit.Bag(str(folder))
    assert bag.is_valid()
    assert bag.info["External-Identifier"] == "报送 1"
    (folder / "data" / "index.csv").write_bytes(b"a,c\r\n" * 500)
    assert not bagit.Bag(str(folder)).is_valid()


def test_a_name_with_a_line_end_stands_in_the_manifest_as_the_standard_says(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "100%\n.wav").write_bytes(b"x")
    make_bag(tmp_path, {})
    assert "data/100%25%0A.wav" in (tmp_path / "manifest-sha256.txt").read_text()


def test_a_zip_is_read_by_any_program_and_the_same_files_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    zip_folder(folder, tmp_path / "a.zip", DAY)
    zip_folder(folder, tmp_path / "b.zip", DAY)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.testzip() is None
        assert {name.removeprefix("data/"): archive.read(name) for name in archive.namelist()} == FILES
        stored = {member.filename[-3:]: member.compress_type for member in archive.infolist()}
    assert stored == {"csv": zipfile.ZIP_DEFLATED, "wav": zipfile.ZIP_STORED}
    assert not list(tmp_path.glob(".*.part"))


def test_a_zip_with_a_password_is_read_with_it_alone(folder: Path, tmp_path: Path) -> None:
    zip_folder(folder, tmp_path / "a.zip", DAY, SecretStr("hunter2"))
    assert b"RIFFRIFF" not in (tmp_path / "a.zip").read_bytes()
    with pyzipper.AESZipFile(tmp_path / "a.zip") as archive:
        with pytest.raises(RuntimeError, match="password"):
            archive.read("data/index.csv")
        archive.setpassword(b"hunter2")
        assert archive.read("data/index.csv") == FILES["index.csv"]
        assert all(member.flag_bits & 1 for member in archive.infolist())


def test_hashes_are_told_of_every_file_in_order(folder: Path) -> None:
    told = hashes(folder)
    assert [(file.name, size) for file, size, _ in told] == [("案.wav", 3600), ("index.csv", 2500)]
    assert all(len(sha256) == 64 for *_, sha256 in told)
