"""One part of a pack on the disk: a bag (RFC 8493) or plain files, as a folder or as a ZIP file."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pyzipper
from pydantic import SecretStr
from pyzipper.zipfile_aes import AESZipInfo

_CHUNK = 1 << 20
# Sound does not shrink, and a bank's program reads what is stored faster.
_SHRINKS = {".csv", ".txt", ".xlsx", ".json"}
_BAG = "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
_NOON = (12, 0, 0)


def make_bag(folder: Path, info: dict[str, str]) -> None:
    """Make a bag of a folder that has its files below `data/`; `info` goes into bag-info.txt.

    The library bagit would move the whole process into the folder while it works.
    """
    listed = [f"{_hash(file)}  {_in_manifest(file, folder)}\n" for file in _files(folder / "data")]
    (folder / "bagit.txt").write_text(_BAG)
    (folder / "bag-info.txt").write_text("".join(f"{name}: {value}\n" for name, value in info.items()))
    (folder / "manifest-sha256.txt").write_text("".join(listed))
    tags = ("bag-info.txt", "bagit.txt", "manifest-sha256.txt")
    (folder / "tagmanifest-sha256.txt").write_text("".join(f"{_hash(folder / tag)}  {tag}\n" for tag in tags))


def zip_folder(folder: Path, target: Path, day: date, password: SecretStr | None = None) -> None:
    """Make `target` a ZIP file of what is below the folder; it is there whole or not at all.

    With a password every file is encrypted (AES-256, as WinZip and 7-Zip do); names are not. Without one the same
    files give the same bytes.
    """
    part = target.with_name(f".{target.name}.part")
    with pyzipper.AESZipFile(part, "w", allowZip64=True) as archive:
        if password:
            archive.setpassword(password.get_secret_value().encode())
            archive.setencryption(pyzipper.WZ_AES, nbits=256)
        for file in _files(folder):
            member = AESZipInfo(str(file.relative_to(folder)), (day.year, day.month, day.day, *_NOON))
            shrinks = file.suffix.lower() in _SHRINKS
            member.compress_type = pyzipper.ZIP_DEFLATED if shrinks else pyzipper.ZIP_STORED
            member.external_attr = 0o644 << 16
            member.file_size = file.stat().st_size
            with file.open("rb") as content, archive.open(member, "w") as into:
                shutil.copyfileobj(content, into, _CHUNK)
    with part.open("rb") as written:
        os.fsync(written.fileno())
    part.replace(target)


def hashes(part: Path) -> list[tuple[Path, int, str]]:
    """Each file below the folder with its bytes and SHA-256, in order of name; of a file, the file itself."""
    return [(file, file.stat().st_size, _hash(file)) for file in (_files(part) if part.is_dir() else [part])]


def _files(folder: Path) -> Iterator[Path]:
    yield from sorted(file for file in folder.rglob("*") if file.is_file())


def _hash(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _in_manifest(file: Path, folder: Path) -> str:
    """The path as RFC 8493 (2.1.3) writes it."""
    name = str(file.relative_to(folder))
    return name.replace("%", "%25").replace("\n", "%0A").replace("\r", "%0D")
