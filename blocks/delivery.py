"""Where a pack goes: a folder, S3, or a bank's SFTP server; each file is read back and compared when it is there."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import StringIO
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError as StoreError
from obstore.store import S3Store
from paramiko import (
    AuthenticationException,
    BadHostKeyException,
    ECDSAKey,
    Ed25519Key,
    PKey,
    RejectPolicy,
    RSAKey,
    SFTPClient,
    SSHClient,
    SSHException,
)
from paramiko.hostkeys import HostKeyEntry
from pydantic import Field, SecretStr

from blocks.errors import PermanentError, SettingsError, TransientError, VoxkeepError
from blocks.saved_block import SavedBlock

_CHUNK = 1 << 20
_PATIENCE_SECONDS = 30
_SFTP_PORT = 22


class Delivery(SavedBlock):
    """Where the packs of one bank go, and the password of its ZIP files.

    Attributes:
        url: Folder, s3://bucket/prefix, or sftp://user@host:port/folder; none: packs stay where they are made.
        password: Password of the SFTP user.
        private_key: Private key of the SFTP user, OpenSSH or PEM.
        host_key: Public key of the SFTP server, as `ssh-keyscan` prints it.
        zip_password: Password of the ZIP files.

    Example:
        >>> Delivery(url="/mnt/icbc").put(Path("icbc_20210131.zip"), "icbc_20210131.zip")
        'file:///mnt/icbc/icbc_20210131.zip'
    """

    _block_type_name = "Voxkeep delivery"
    _block_type_slug = "voxkeep-delivery"

    url: str | None = Field(default=None, description="Folder, s3://bucket/prefix, or sftp://user@host:port/folder.")
    endpoint: str | None = Field(default=None, description="URL of the S3 service.")
    access_key: SecretStr | None = Field(default=None, description="Access key of S3.")
    secret_key: SecretStr | None = Field(default=None, description="Secret key of S3.")
    password: SecretStr | None = Field(default=None, description="Password of the SFTP user.")
    private_key: SecretStr | None = Field(default=None, description="Private key of the SFTP user, OpenSSH or PEM.")
    host_key: str | None = Field(default=None, description="Public key of the SFTP server, a line of known_hosts.")
    zip_password: SecretStr | None = Field(default=None, description="Password of the ZIP files.")

    def put(self, file: Path, name: str) -> str:
        """Make the file's content stand at the place under this name, proved by reading it back; returns where.

        It is there whole or not at all; the same again replaces it by the same.

        Raises:
            SettingsError: the place cannot be reached with what is configured.
            TransientError: it does not answer, or what was read back differs.
            PermanentError: it refuses.
        """
        if self.url is None:
            return file.as_uri()
        where = urlsplit(self.url)
        deliver = {"": _to_folder, "file": _to_folder, "s3": _to_s3, "sftp": _to_sftp}.get(where.scheme)
        if deliver is None:
            raise SettingsError(
                operation="deliver a pack", subject=self.shown(), cause="it is neither a folder nor S3 nor SFTP",
                remedy="write /folder, s3://bucket/prefix or sftp://user@host:port/folder",
            )  # fmt: skip
        with _told(self.shown()):
            deliver(self, file, name)
        return f"{self.shown()}/{name}"

    def shown(self) -> str:
        """The place in words: no password can stand in it."""
        where = urlsplit(self.url or "")
        user = f"{where.username}@" if where.username else ""
        port = f":{where.port}" if where.port else ""
        return f"{where.scheme or 'file'}://{user}{where.hostname or ''}{port}{where.path}".rstrip("/")


def _to_folder(delivery: Delivery, file: Path, name: str) -> None:
    target = Path(urlsplit(delivery.url or "").path) / name
    if not target.parents[name.count("/")].is_dir():
        raise FileNotFoundError("there is no such folder; is a disk not mounted?")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    with file.open("rb") as source, part.open("wb") as copy:
        shutil.copyfileobj(source, copy, _CHUNK)
        copy.flush()
        os.fsync(copy.fileno())
    with part.open("rb") as copy:
        _compare(file, iter(lambda: copy.read(_CHUNK), b""), part)
    part.replace(target)


def _to_s3(delivery: Delivery, file: Path, name: str) -> None:
    where = urlsplit(delivery.url or "")
    if not (delivery.access_key and delivery.secret_key):
        raise SettingsError(
            operation="deliver a pack", subject=delivery.shown(), cause="S3 has no keys",
            remedy="give `access_key` and `secret_key`",
        )  # fmt: skip
    store = S3Store(
        where.netloc, prefix=where.path.strip("/") or None, endpoint=delivery.endpoint,
        access_key_id=delivery.access_key.get_secret_value(),
        secret_access_key=delivery.secret_key.get_secret_value(),
        region="us-east-1", checksum_algorithm="sha256", virtual_hosted_style_request=False,
        client_options={"allow_http": True, "connect_timeout": "5s", "read_timeout": f"{_PATIENCE_SECONDS}s"},
    )  # fmt: skip
    obstore.put(store, name, file)
    _compare(file, (bytes(piece) for piece in obstore.get(store, name).stream()), PurePosixPath(name))


def _to_sftp(delivery: Delivery, file: Path, name: str) -> None:
    """Under another name first: a bank's program that looks for new files never takes half of one."""
    target = PurePosixPath(urlsplit(delivery.url or "").path or ".") / name
    part = str(target.with_name(f".{target.name}.part"))
    with _sftp(delivery) as server:
        for folder in reversed(target.parents):
            with suppress(OSError):
                server.mkdir(str(folder))
        server.put(str(file), part)
        with server.open(part, "rb") as back:
            back.prefetch(file.stat().st_size)
            _compare(file, iter(lambda: back.read(_CHUNK), b""), target)
        server.posix_rename(part, str(target))


@contextmanager
def _sftp(delivery: Delivery) -> Iterator[SFTPClient]:
    """The bank's server; one whose key is not the expected one is refused."""
    where = urlsplit(delivery.url or "")
    known = HostKeyEntry.from_line(delivery.host_key or "")
    if known is None or where.hostname is None:
        raise SettingsError(
            operation="deliver a pack", subject=delivery.shown(), cause="the server's public key is not known",
            remedy="ask the bank for it, compare it with `ssh-keyscan`, and give it as `host_key`",
        )  # fmt: skip
    with SSHClient() as client:
        port = where.port or _SFTP_PORT
        name = where.hostname if port == _SFTP_PORT else f"[{where.hostname}]:{port}"
        client.get_host_keys().add(name, known.key.get_name(), known.key)
        client.set_missing_host_key_policy(RejectPolicy())
        client.connect(
            where.hostname, port=port, username=where.username, password=_secret(delivery.password),
            pkey=_key(delivery), timeout=_PATIENCE_SECONDS, banner_timeout=_PATIENCE_SECONDS,
            auth_timeout=_PATIENCE_SECONDS, allow_agent=False, look_for_keys=False,
        )  # fmt: skip
        with client.open_sftp() as server:
            channel = server.get_channel()
            if channel:
                channel.settimeout(_PATIENCE_SECONDS)
            yield server


def _secret(value: SecretStr | None) -> str | None:
    return value.get_secret_value() if value else None


def _key(delivery: Delivery) -> PKey | None:
    text = _secret(delivery.private_key)
    return _read_key(text) if text else None


def _read_key(text: str) -> Any:  # noqa: ANN401  # whichever kind of key it is
    for kind in (Ed25519Key, ECDSAKey, RSAKey):
        with suppress(SSHException, ValueError):
            return kind.from_private_key(StringIO(text))
    raise SettingsError(
        operation="deliver a pack", subject="private_key", cause="it is no private key without a password",
        remedy="give one that `ssh-keygen -t ed25519` has made",
    )  # fmt: skip


def _compare(file: Path, back: Iterator[bytes], where: Path | PurePosixPath) -> None:
    digest = hashlib.sha256()
    for piece in back:
        digest.update(piece)
    with file.open("rb") as content:
        if hashlib.file_digest(content, "sha256").hexdigest() != digest.hexdigest():
            raise TransientError(
                operation="deliver a pack", subject=str(where), cause="what was read back has other bytes",
                remedy="run it again: it is sent anew; if it happens again, look at the network and that disk",
            )  # fmt: skip


@contextmanager
def _told(place: str) -> Iterator[None]:
    """Errors of disks, S3 and SSH, told as errors of voxkeep."""
    told: dict[str, str] = {"operation": "deliver a pack", "subject": place}
    try:
        yield
    except VoxkeepError:
        raise
    except BadHostKeyException:
        raise PermanentError(
            **told, cause="the server has another key than it should have",
            remedy="ask the bank whether it changed; until then somebody else may be answering",
        ) from None  # fmt: skip
    except AuthenticationException:
        raise SettingsError(
            **told, cause="the server refuses the user, or his password or key", remedy="ask the bank for the right one"
        ) from None
    except (PermissionError, FileNotFoundError) as error:
        raise PermanentError(
            **told, cause=error.strerror or str(error), remedy="look at the folder and the rights there"
        ) from None
    except (OSError, EOFError, SSHException, StoreError) as error:
        raise TransientError(
            **told, cause=" ".join(str(error).split()) or type(error).__name__,
            remedy="check that the place answers, then run it again: it goes on where it stopped",
        ) from None  # fmt: skip
