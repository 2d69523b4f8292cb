"""Small objects that are created once and never changed, in a folder or an S3 bucket: audit rows, accounts.

One promise carries everything above: of two writers of a key, exactly one is told that it made the object. It holds
between processes and between machines.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from secrets import token_hex
from urllib.parse import unquote, urlsplit

import obstore
from obstore import exceptions as refusal
from obstore.store import S3Store
from pydantic import Field, SecretStr

from blocks.errors import PermanentError, SettingsError, TransientError
from blocks.saved_block import SavedBlock

# Files of a folder that are written at the same time.
_WRITERS = 16


class Vault(SavedBlock):
    """Small objects by key; every verb may be called twice, at the same time and after kill -9.

    Attributes:
        url: Folder, `file:///…`, or `s3://bucket/prefix`.
        endpoint: URL of the S3 service, where it is not Amazon's.
        access_key: Access key of S3; it needs to list, get and put, never to delete.
        secret_key: Secret key of S3.
        region: Region of S3.

    Example:
        >>> Vault(url="/srv/voxkeep/listen").create("audit/000000000/000000000001.json", b"{}")
        True
    """

    _block_type_name = "Voxkeep vault"
    _block_type_slug = "voxkeep-vault"

    url: str = Field(description="Folder, file:///… or s3://bucket/prefix.")
    endpoint: str | None = Field(default=None, description="URL of the S3 service, e.g. http://minio:9000.")
    access_key: SecretStr | None = Field(default=None, description="Access key of S3.")
    secret_key: SecretStr | None = Field(default=None, description="Secret key of S3.")
    region: str = Field(default="us-east-1", description="Region of S3.")

    def create(self, key: str, content: bytes) -> bool:
        """Make the object; False, and nothing changes, where there is one of this key. It is durable on return.

        Raises:
            TransientError, PermanentError: nobody knows whether it was made; `get` tells.
        """
        with _told("write", f"{self.url}: {key}"):
            return self._drawer.create(key, content)

    def create_in_order(self, objects: Sequence[tuple[str, bytes]]) -> int:
        """Make these objects, one after the other, until there is one of the key already; how many were made.

        They are durable on return. Of two of them, the later one is never there without the earlier one.

        Raises:
            TransientError, PermanentError: nobody knows how many were made; `get` tells.
        """
        with _told("write", f"{self.url}: {objects[0][0]}" if objects else self.url):
            return self._drawer.create_in_order(objects)

    def get(self, key: str) -> bytes | None:
        """The object's bytes; None where there is no such object."""
        with _told("read", f"{self.url}: {key}"):
            return self._drawer.get(key)

    def names(self, folder: str) -> list[str]:
        """The names directly below this folder of the keys, of objects and of folders, in order."""
        with _told("list", f"{self.url}: {folder}"):
            return sorted(self._drawer.names(folder.strip("/")))

    @cached_property
    def _drawer(self) -> "_Folder | _Bucket":
        address = urlsplit(self.url)
        if address.scheme == "s3":
            return _Bucket(self._s3(address.netloc, address.path.strip("/")))
        if address.scheme == "file" or self.url.startswith("/"):
            return _Folder(Path(unquote(address.path) if address.scheme else self.url))
        raise SettingsError(
            operation="reach the vault",
            subject=self.url,
            cause="it is neither a folder nor S3",
            remedy="write /folder, file:///folder or s3://bucket/prefix",
        )

    def _s3(self, bucket: str, prefix: str) -> S3Store:
        return S3Store(
            bucket,
            prefix=prefix or None,
            endpoint=self.endpoint,
            access_key_id=self.access_key.get_secret_value() if self.access_key else None,
            secret_access_key=self.secret_key.get_secret_value() if self.secret_key else None,
            region=self.region,
            virtual_hosted_style_request=False,
            # Somebody waits in front of a page: an answer within seconds, or none.
            client_options={"allow_http": True, "connect_timeout": "3s", "timeout": "8s"},
            retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=8)},
        )


class _Folder:
    """Objects as files."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def create(self, key: str, content: bytes) -> bool:
        return self.create_in_order([(key, content)]) == 1

    def create_in_order(self, objects: Sequence[tuple[str, bytes]]) -> int:
        targets = [self.root / key for key, _ in objects]
        for folder in {target.parent for target in targets}:
            folder.mkdir(parents=True, exist_ok=True)
        parts = [target.with_name(f".{target.name}.{token_hex(8)}.part") for target in targets]
        made = 0
        try:
            # The disk writes what several threads wait for at the same time in one go.
            _written(parts, [content for _, content in objects])
            for part, target in zip(parts, targets, strict=True):
                # A link is made or refused in one step.
                os.link(part, target)
                made += 1
        except FileExistsError:
            pass
        finally:
            for part in parts:
                part.unlink(missing_ok=True)
        for folder in dict.fromkeys(target.parent for target in targets[:made]):
            _settle(folder)
        return made

    def get(self, key: str) -> bytes | None:
        try:
            return (self.root / key).read_bytes()
        except FileNotFoundError:
            return None

    def names(self, folder: str) -> list[str]:
        with suppress(FileNotFoundError):
            return [name for name in os.listdir(self.root / folder) if not name.startswith(".")]  # noqa: PTH208  # names only
        return []


def _written(files: list[Path], contents: list[bytes]) -> None:
    """Write new files, durably."""
    if len(files) <= 1:
        list(map(_write, files, contents))
        return
    with ThreadPoolExecutor(min(len(files), _WRITERS)) as threads:
        list(threads.map(_write, files, contents))


def _write(file: Path, content: bytes) -> None:
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        while content:
            content = content[os.write(handle, content) :]
        os.fsync(handle)
    finally:
        os.close(handle)


def _settle(folder: Path) -> None:
    """Have the disk know the folder's new name, too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class _Bucket:
    """Objects in S3, below a prefix."""

    def __init__(self, store: S3Store) -> None:
        self.store = store

    def create(self, key: str, content: bytes) -> bool:
        try:
            obstore.put(self.store, key, content, mode="create", use_multipart=False)
        except refusal.AlreadyExistsError:
            return False
        return True

    def create_in_order(self, objects: Sequence[tuple[str, bytes]]) -> int:
        for made, (key, content) in enumerate(objects):
            if not self.create(key, content):
                return made
        return len(objects)

    def get(self, key: str) -> bytes | None:
        try:
            return bytes(obstore.get(self.store, key).bytes())
        except (refusal.NotFoundError, FileNotFoundError):
            return None

    def names(self, folder: str) -> list[str]:
        found = obstore.list_with_delimiter(self.store, f"{folder}/" if folder else None)
        paths = [*found["common_prefixes"], *(entry["path"] for entry in found["objects"])]
        return [path.rstrip("/").rpartition("/")[2] for path in paths]


@contextmanager
def _told(operation: str, subject: str) -> Iterator[None]:
    """Errors of files and of S3, told as errors of voxkeep."""
    try:
        yield
    except (refusal.BaseError, OSError) as error:
        stays = isinstance(error, refusal.PermissionDeniedError | refusal.UnauthenticatedError | OSError)
        raise (PermanentError if stays else TransientError)(
            operation=operation,
            subject=subject,
            cause=str(error).partition("\n")[0],
            remedy="check that it is there, answers, has space and allows this",
        ) from None
