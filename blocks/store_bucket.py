"""The object store in a bucket of S3."""

import hashlib
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import quote

import httpx
import obstore
from obstore import exceptions as refusal
from obstore.store import S3Store

from blocks.store_objects import CHUNK, LISTED, Publication, checked, opened, other_bytes

# How long an S3 service may be silent before it is given up.
SILENCE_SECONDS = 20
_EXISTS = 409  # HTTP: Conflict
# Bytes a second: the slowest network to a store on which recordings can be published.
_SLOWEST = 1_000_000


class BucketShelf:
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
            seconds = SILENCE_SECONDS + workers * largest // _SLOWEST
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
        """Make the object; False where it is there already."""
        checked(item.key)
        with opened(item) as file:
            content = file.readall()
        if hashlib.sha256(content).hexdigest() != item.sha256:
            raise other_bytes()
        attributes = {f"voxkeep-{name}": quote(value) for name, value in item.metadata.items()}
        try:
            obstore.put(
                self.store,
                checked(item.key),
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

    def listing(self, prefix: str) -> Iterator[LISTED]:
        """The objects below this folder of the keys."""
        for page in obstore.list(self.store, prefix or None, chunk_size=1000):
            for found in page:
                yield (
                    found["path"],
                    found["size"],
                    (found["e_tag"] or "").strip('"') or None,
                    found["last_modified"],
                )

    def get(self, key: str) -> Iterator[bytes]:
        """The object's bytes."""
        for piece in obstore.get(self.store, key).stream(min_chunk_size=CHUNK):
            yield bytes(piece)
