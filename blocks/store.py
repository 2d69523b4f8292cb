"""The object store: one object per recording, created once and never overwritten."""

import errno
import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from ctypes import CDLL
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from io import FileIO
from itertools import islice
from pathlib import Path
from secrets import token_hex
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import httpx
import obstore
import polars as pl
from minio.credentials.credentials import Credentials
from minio.signer import presign_v4
from obstore import exceptions as refusal
from obstore.store import S3Store
from prefect.blocks.core import Block
from pydantic import Field, SecretStr

from blocks.errors import PermanentError, SettingsError, TransientError

LISTING_SCHEMA = pl.Schema(
    [
        ("key", pl.String()),
        ("size", pl.Int64()),
        ("etag", pl.String()),
        ("last_modified", pl.Datetime("us", "UTC")),
    ]
)
_CHUNK = 1 << 20
# As many items as a thread takes from the common iterator at a time.
_HANDFUL = 32
# Bytes: below, a file takes less time than handing over the interpreter's lock.
_SMALL = 256 * 1024
_EXISTS = 409  # HTTP: Conflict
_LINK_SECONDS = 300
# How long an S3 service may be silent before it is given up.
_SILENCE_SECONDS = 20
# Bytes a second: the slowest network to a store on which recordings can be published.
_SLOWEST = 1_000_000

# key, size, etag, last_modified
_Row = tuple[str, int, str | None, datetime]


@dataclass(frozen=True)
class Publication:
    """One object to publish: its key, the file with its bytes, their size and hash, and what to remember."""

    key: str
    source: Path | bytes
    size: int
    sha256: str
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Refused:
    """One object that was not published, and why; no file name, which may hold a number."""

    key: str
    cause: str


@dataclass(frozen=True)
class Published:
    """What a publication did: objects made, those that were there before, bytes, and what was refused."""

    published: int
    already: int
    bytes: int
    refused: tuple[Refused, ...]


class _RefusedError(Exception):
    """This object cannot be published; the others can."""


class ObjectStore(Block):
    """Recordings as objects, in a folder or an S3 bucket.

    Objects are created and read; no verb changes or deletes one. Every verb may be called twice,
    at the same time and after kill -9: an object is there whole or not at all, and its bytes were proved
    against their SHA-256 on the way in.

    Attributes:
        url: Folder, `file:///…`, or `s3://bucket/prefix`.
        endpoint: URL of the S3 service, where it is not Amazon's.
        access_key: Access key of S3.
        secret_key: Secret key of S3.
        region: Region of S3.

    Example:
        >>> store = ObjectStore(url="file:///srv/voxkeep/meituan-audio")
        >>> store.create()
        >>> store.publish([Publication(key, file, size, sha256, {"name": "01/31/2049.wav3"})]).published
        1
    """

    _block_type_name = "Voxkeep object store"
    _block_type_slug = "voxkeep-object-store"

    url: str = Field(description="Folder, file:///… or s3://bucket/prefix that holds the recordings.")
    endpoint: str | None = Field(default=None, description="URL of the S3 service, e.g. http://minio:9000.")
    access_key: SecretStr | None = Field(default=None, description="Access key of S3.")
    secret_key: SecretStr | None = Field(default=None, description="Secret key of S3.")
    region: str = Field(default="us-east-1", description="Region of S3.")

    def is_folder(self) -> bool:
        """Whether the objects are files of this machine."""
        return not self.url.startswith("s3:")

    def create(self) -> None:
        """Make the folder or the bucket, where it is not there yet."""
        with _told("create the object store", self.url):
            self._shelf().create()

    def publish(self, items: Iterable[Publication], workers: int | None = None) -> Published:
        """Create the objects that are not there yet; the others stay as they are and count as `already`.

        An item whose source is not there, or has other bytes than told, is refused and named; others go on.
        What was published is on the disk when this returns. `workers` None: as many threads as measured best.

        Raises:
            TransientError, PermanentError: the store takes nothing: unreachable, full, not allowed.
        """
        shelf, wanted = self._shelf(), list(items)
        workers = workers or shelf.workers(wanted)
        shelf.expect(wanted, workers)
        with _told("publish to", self.url), ThreadPoolExecutor(workers) as threads:
            runs = [threads.submit(_publish_some, shelf, some) for some in _handfuls(wanted)]
            try:
                done = [run.result() for run in runs]
            except BaseException:
                threads.shutdown(cancel_futures=True)
                raise
            published = sum(part.published for part in done)
            if published:
                shelf.settle()
        return Published(
            published,
            sum(part.already for part in done),
            sum(part.bytes for part in done),
            tuple(refused for part in done for refused in part.refused),
        )

    def listing(self, prefix: str = "") -> pl.DataFrame:
        """The objects below the folder `prefix` of the keys (`LISTING_SCHEMA`), in order of key.

        `etag` is null for a folder, which keeps none.
        """
        with _told("list the objects of", self.url):
            rows = list(self._shelf().listing(prefix.strip("/")))
        return pl.DataFrame(rows, schema=LISTING_SCHEMA, orient="row").sort("key")

    def get(self, key: str) -> Iterator[bytes]:
        """The object's bytes, a piece at a time.

        Raises:
            PermanentError: there is no such object.
        """
        with _told("read from", f"{self.url}: {key}"):
            yield from self._shelf().get(_checked(key))

    def download(self, key: str, target: Path) -> None:
        """Make `target` a copy of the object; it is there whole or not at all."""
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.{token_hex(4)}.part")
        try:
            with part.open("wb") as file:
                file.writelines(self.get(key))
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)

    def link(self, key: str, seconds: int = _LINK_SECONDS, name: str | None = None) -> str:
        """An address at which anybody can read this one object of S3, for `seconds` (at most 300).

        `name` is what a browser calls the file when it saves it. The address is a secret while it lives.

        Raises:
            SettingsError: the store is a folder, or the time is not between 1 and 300 seconds.
        """
        address = urlsplit(self.url)
        if address.scheme != "s3":
            raise self._useless("a folder has no addresses for its objects", "read the object and hand on its bytes")
        if not 1 <= seconds <= _LINK_SECONDS:
            raise self._useless(f"a link cannot live for {seconds} s", f"choose 1 to {_LINK_SECONDS} seconds")
        access_key, secret_key = self._keys()
        path = quote("/".join(filter(None, (address.netloc, address.path.strip("/"), _checked(key)))))
        service = (self.endpoint or f"https://s3.{self.region}.amazonaws.com").rstrip("/")
        # obstore signs no parameters, so the name of the file would have no place.
        signed = presign_v4(
            method="GET",
            url=urlsplit(f"{service}/{path}" + (f"?response-content-disposition={_saved_as(name)}" if name else "")),
            region=self.region,
            credentials=Credentials(access_key, secret_key),
            date=datetime.now(UTC),
            expires=seconds,
        )
        return urlunsplit(signed)

    def _shelf(self) -> "_Folder | _Bucket":
        address = urlsplit(self.url)
        if address.scheme == "s3":
            return _Bucket(self._s3(address.netloc, address.path.strip("/")), self._s3(address.netloc, ""))
        if address.scheme == "file" or self.url.startswith("/"):
            return _Folder(Path(unquote(address.path) if address.scheme else self.url))
        raise self._useless("it is neither a folder nor S3", "write /folder, file:///folder or s3://bucket")

    def _s3(self, bucket: str, prefix: str) -> S3Store:
        access_key, secret_key = self._keys()
        return S3Store(
            bucket,
            prefix=prefix or None,
            endpoint=self.endpoint,
            access_key_id=access_key,
            secret_access_key=secret_key,
            region=self.region,
            # Kept with the object: the service refuses other bytes, and can prove them later.
            checksum_algorithm="sha256",
            virtual_hosted_style_request=False,
            # A service that has lost too many drives takes a request and never answers.
            client_options={
                "allow_http": True,
                "connect_timeout": "5s",
                "read_timeout": f"{_SILENCE_SECONDS}s",
                "timeout": "1h",
            },
            # Another attempt where less than this has passed: two of them at a service that is silent.
            retry_config={"max_retries": 5, "retry_timeout": timedelta(seconds=_SILENCE_SECONDS - 1)},
        )

    def _keys(self) -> tuple[str, str]:
        if not (self.access_key and self.secret_key):
            raise self._useless("the access key or the secret key is not given", "give both")
        return self.access_key.get_secret_value(), self.secret_key.get_secret_value()

    def _useless(self, cause: str, remedy: str) -> SettingsError:
        return SettingsError(operation="reach the object store", subject=self.url, cause=cause, remedy=remedy)


def _publish_some(shelf: "_Folder | _Bucket", items: list[Publication]) -> Published:
    published, size, refused = 0, 0, []
    for item in items:
        try:
            if shelf.put(item):
                published, size = published + 1, size + item.size
        except _RefusedError as error:
            refused.append(Refused(item.key, str(error)))
    return Published(published, len(items) - published - len(refused), size, tuple(refused))


def _handfuls(items: Iterable[Publication]) -> Iterator[list[Publication]]:
    iterator = iter(items)
    while handful := list(islice(iterator, _HANDFUL)):
        yield handful


class _Folder:
    """Objects as files. No hard link to a source: restic may rewrite that in place."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folders: set[str] = set()

    def workers(self, items: list[Publication]) -> int:
        """The kernel does the work of large files; of small ones, threads spend more time waiting for each other."""
        mean = sum(item.size for item in items) / max(len(items), 1)
        return 1 if mean < _SMALL else os.cpu_count() or 1

    def expect(self, _items: list[Publication], _workers: int) -> None:
        """Nothing to do: a disk answers or fails."""

    def create(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)

    def put(self, item: Publication) -> bool:
        target = f"{self.root}/{_checked(item.key)}"
        folder = target.rpartition("/")[0]
        if folder not in self._folders:
            self.root.stat()  # a disk that is not mounted must not be replaced by a folder of its name
            Path(folder).mkdir(parents=True, exist_ok=True)
            self._folders.add(folder)
        if os.path.exists(target):  # noqa: PTH110  # twice as fast, for every object
            return _same(target, item)
        with _nameless(folder) as (handle, name):
            _copy(item, handle)
            _remember(handle, item.metadata)
            try:
                # A link is made or refused in one step, so it never replaces what another publisher made.
                os.link(name, target, src_dir_fd=handle, follow_symlinks=True)
            except FileExistsError:
                return _same(target, item)
        return True

    def settle(self) -> None:
        """Have the disk hold what was written: after a power cut, an empty file could never be replaced."""
        handle = os.open(self.root, os.O_RDONLY)
        try:
            CDLL(None).syncfs(handle)
        finally:
            os.close(handle)

    def listing(self, prefix: str) -> Iterator[_Row]:
        self.root.stat()
        folders = [f"{self.root}/{prefix}".rstrip("/")]
        while folders:
            with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folders.pop()) as found:
                for entry in found:
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                        continue
                    status = entry.stat(follow_symlinks=False)
                    key = os.fsencode(entry.path).decode(errors="replace")[len(str(self.root)) + 1 :]
                    yield key, status.st_size, None, datetime.fromtimestamp(status.st_mtime, UTC)

    def get(self, key: str) -> Iterator[bytes]:
        with (self.root / key).open("rb", buffering=0) as file:
            while piece := file.read(_CHUNK):
                yield piece


@contextmanager
def _nameless(folder: str) -> Iterator[tuple[int, str]]:
    """A file in `folder` that vanishes with its writer, and the name by which it can be linked."""
    part = None
    try:
        handle = os.open(folder, os.O_TMPFILE | os.O_WRONLY, 0o644)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOTSUP):
            raise
        # NFS and some others have no nameless files; a hidden one is in no listing.
        part = f"{folder}/.{token_hex(8)}.part"
        handle = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    try:
        yield handle, str(part or f"/proc/self/fd/{handle}")
    finally:
        os.close(handle)
        if part:
            Path(part).unlink()


def _copy(item: Publication, handle: int) -> None:
    """Write the item's bytes, proved to be the ones that were told."""
    digest = hashlib.sha256()
    with _source(item) as file:
        while piece := file.read(_CHUNK):
            digest.update(piece)
            while piece:
                piece = piece[os.write(handle, piece) :]
    if digest.hexdigest() != item.sha256:
        raise _RefusedError("the source has other bytes than when it was hashed")


@contextmanager
def _source(item: Publication) -> Iterator[FileIO]:
    try:
        file = FileIO(item.source)
    except OSError as error:
        raise _RefusedError(f"the source cannot be read: {error.strerror}") from None
    with file:
        yield file


def _same(target: str, item: Publication) -> bool:
    """False: it was there already. One of another size is damaged, which a person must see."""
    size = Path(target).stat().st_size
    if size != item.size:
        raise _RefusedError(f"the object is there, but has {size} bytes instead of {item.size}")
    return False


def _remember(handle: int, metadata: dict[str, str]) -> None:
    for name, value in metadata.items():
        try:
            os.setxattr(handle, f"user.voxkeep.{name}", value.encode())
        except OSError as error:
            # A filesystem without attributes is good enough: the catalog has the names too.
            if error.errno != errno.ENOTSUP:
                raise
            return


class _Bucket:
    """Objects in an S3 bucket, below a prefix."""

    def __init__(self, store: S3Store, bucket: S3Store) -> None:
        self.store = store
        self.bucket = bucket

    def workers(self, _items: list[Publication]) -> int:
        """So many requests at a time. Measured: one node is busy with 8, a cluster waits much and takes 64."""
        return 32

    def expect(self, items: list[Publication], workers: int) -> None:
        """Be patient enough for the largest item: the service is silent until it has the whole of it."""
        if isinstance(self.store, S3Store):
            largest = max((item.size for item in items), default=0)
            seconds = _SILENCE_SECONDS + workers * largest // _SLOWEST
            self.store = S3Store(
                prefix=self.store.prefix,
                config=self.store.config,
                client_options={**(self.store.client_options or {}), "read_timeout": f"{seconds}s"},
                retry_config=self.store.retry_config,
            )

    def create(self) -> None:
        """Make the bucket, for which obstore has no call: a signed PUT of its address."""
        address = obstore.sign(self.bucket, "PUT", "", timedelta(minutes=1))
        try:
            answer = httpx.put(address, timeout=10)
        except httpx.TransportError as error:
            raise ConnectionError(str(error)) from None
        if answer.is_error and answer.status_code != _EXISTS:
            raise PermissionError(f"the service answers {answer.status_code} {answer.reason_phrase} {answer.text}")

    def put(self, item: Publication) -> bool:
        _checked(item.key)
        with _source(item) as file:
            content = file.readall()
        if hashlib.sha256(content).hexdigest() != item.sha256:
            raise _RefusedError("the source has other bytes than when it was hashed")
        attributes = {f"voxkeep-{name}": quote(value) for name, value in item.metadata.items()}
        try:
            obstore.put(
                self.store,
                _checked(item.key),
                content,
                mode="create",
                attributes=attributes,
                use_multipart=False,
            )
        except refusal.AlreadyExistsError:
            return False
        return True

    def settle(self) -> None:
        """Nothing to do: S3 answers when it has the object."""

    def listing(self, prefix: str) -> Iterator[_Row]:
        for page in obstore.list(self.store, prefix or None, chunk_size=1000):
            for found in page:
                yield (
                    found["path"],
                    found["size"],
                    (found["e_tag"] or "").strip('"') or None,
                    found["last_modified"],
                )

    def get(self, key: str) -> Iterator[bytes]:
        for piece in obstore.get(self.store, key).stream(min_chunk_size=_CHUNK):
            yield bytes(piece)


def _saved_as(name: str) -> str:
    """The header that names a download, for browsers that know only ASCII too; quoted for an address."""
    name = name.rpartition("/")[2]
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    return quote(f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}", safe="")


def _checked(key: str) -> str:
    """`key`, which stays below the store.

    Raises:
        SettingsError: it would lead elsewhere, or to a hidden file.
    """
    if any(not part or part.startswith(".") for part in key.split("/")) or "\0" in key:
        raise SettingsError(
            operation="find an object",
            subject=repr(key),
            cause="this cannot be a key",
            remedy="make keys of folders and names that do not begin with a dot, with a slash between",
        )
    return key


_FOR_EVER = (refusal.PermissionDeniedError, refusal.UnauthenticatedError, OSError)


@contextmanager
def _told(operation: str, subject: str) -> Iterator[None]:
    """Errors of files, S3 and HTTP, told as errors of voxkeep."""
    try:
        yield
    except (refusal.BaseError, OSError) as error:
        # A listing that is refused comes without a class of its own.
        stays = isinstance(error, _FOR_EVER) or bool(re.search(r"status code: 4(?!08|29)\d\d", str(error)))
        stays = stays and not isinstance(error, TimeoutError | ConnectionError)
        raise (PermanentError if stays else TransientError)(
            operation=operation,
            subject=subject,
            cause=_cause(str(error)),
            remedy="check that it is there, answers, has space and allows this; then run it again",
        ) from None


def _cause(message: str) -> str:
    """What S3 says of a refusal, where it says something; the first line of it else."""
    said = re.search(r"<Code>(\w+)</Code>\s*<Message>([^<]*)</Message>", message)
    return f"the service answers {said[1]}: {said[2]}".rstrip(". ") if said else message.partition("\n")[0]
