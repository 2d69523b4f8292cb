"""The object store: one object per recording, created once and never overwritten."""

import hashlib
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from secrets import token_hex
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import polars as pl
from minio.credentials.credentials import Credentials
from minio.signer import presign_v4
from obstore import exceptions as refusal
from obstore.store import S3Store
from pydantic import Field, SecretStr

from blocks.errors import PermanentError, SettingsError, TransientError
from blocks.saved_block import SavedBlock
from blocks.store_bucket import SILENCE_SECONDS, BucketShelf
from blocks.store_folder import FolderShelf
from blocks.store_objects import Proof, Publication, Published, Refused, RefusedError, checked

__all__ = ["LISTING_SCHEMA", "ObjectStore", "Proof", "Publication", "Published", "Refused"]

LISTING_SCHEMA = pl.Schema(
    [
        ("key", pl.String()),
        ("size", pl.Int64()),
        ("etag", pl.String()),
        ("last_modified", pl.Datetime("us", "UTC")),
    ]
)
# As many items as a thread takes from the common iterator at a time.
_HANDFUL = 32
_LINK_SECONDS = 300


class ObjectStore(SavedBlock):
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
        with told("create the object store", self.url):
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
        with told("publish to", self.url), ThreadPoolExecutor(workers) as threads:
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
        with told("list the objects of", self.url):
            rows = list(self._shelf().listing(prefix.strip("/")))
        return pl.DataFrame(rows, schema=LISTING_SCHEMA, orient="row").sort("key")

    def get(self, key: str) -> Iterator[bytes]:
        """The object's bytes, a piece at a time.

        Raises:
            PermanentError: there is no such object.
        """
        with told("read from", f"{self.url}: {key}"):
            yield from self._shelf().get(checked(key))

    def digests(self, keys: Iterable[str], workers: int = 8) -> Iterator[tuple[str, str | None, int]]:
        """Key, SHA-256 and bytes of each object, read whole; None where the store does not give all its bytes.

        Raises:
            TransientError: the store does not answer.
        """
        with ThreadPoolExecutor(workers) as threads:
            yield from threads.map(self._digest, keys)

    def _digest(self, key: str) -> tuple[str, str | None, int]:
        digest, size = hashlib.sha256(), 0
        try:
            for piece in self.get(key):
                digest.update(piece)
                size += len(piece)
        except PermanentError:
            return key, None, size
        return key, digest.hexdigest(), size

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
        path = quote("/".join(filter(None, (address.netloc, address.path.strip("/"), checked(key)))))
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

    def _shelf(self) -> FolderShelf | BucketShelf:
        address = urlsplit(self.url)
        if address.scheme == "s3":
            return BucketShelf(self._s3(address.netloc, address.path.strip("/")), self._s3(address.netloc, ""))
        if address.scheme == "file" or self.url.startswith("/"):
            return FolderShelf(Path(unquote(address.path) if address.scheme else self.url))
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
                "read_timeout": f"{SILENCE_SECONDS}s",
                "timeout": "1h",
            },
            # Another attempt where less than this has passed: two of them at a service that is silent.
            retry_config={"max_retries": 5, "retry_timeout": timedelta(seconds=SILENCE_SECONDS - 1)},
        )

    def _keys(self) -> tuple[str, str]:
        if not (self.access_key and self.secret_key):
            raise self._useless("the access key or the secret key is not given", "give both")
        return self.access_key.get_secret_value(), self.secret_key.get_secret_value()

    def _useless(self, cause: str, remedy: str) -> SettingsError:
        return SettingsError(operation="reach the object store", subject=self.url, cause=cause, remedy=remedy)


def _publish_some(shelf: FolderShelf | BucketShelf, items: list[Publication]) -> Published:
    published, size, refused = 0, 0, []
    for item in items:
        try:
            if shelf.put(item):
                published, size = published + 1, size + item.size
        except RefusedError as error:
            refused.append(Refused(item.key, str(error)))
    return Published(published, len(items) - published - len(refused), size, tuple(refused))


def _handfuls(items: Iterable[Publication]) -> Iterator[list[Publication]]:
    iterator = iter(items)
    while handful := list(islice(iterator, _HANDFUL)):
        yield handful


def _saved_as(name: str) -> str:
    """The header that names a download, for browsers that know only ASCII too; quoted for an address."""
    name = name.rpartition("/")[2]
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    return quote(f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}", safe="")


_FOR_EVER = (refusal.PermissionDeniedError, refusal.UnauthenticatedError, OSError)


@contextmanager
def told(operation: str, subject: str) -> Iterator[None]:
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
