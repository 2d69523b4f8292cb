"""What a versioned bucket keeps of objects that were deleted or replaced, and the locks on them.

In such a bucket a deletion only hides an object; what must be gone is removed version by version, with a key that
may do so. Object lock keeps a version whatever a key may do.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from urllib.parse import urlsplit

import urllib3
from minio import Minio
from minio.commonconfig import COMPLIANCE
from minio.datatypes import Object
from minio.deleteobjects import DeleteObject
from minio.error import MinioException, S3Error
from minio.retention import Retention
from pydantic import SecretStr

from blocks.errors import PermanentError, TransientError

_A_REQUEST = 1000


@dataclass(frozen=True)
class Versions:
    """A bucket with versions; keys count from `prefix`. Every verb may be called twice, and after kill -9.

    Raises (each verb):
        TransientError: the service does not answer.
        PermanentError: it refuses the key.
    """

    endpoint: str
    bucket: str
    access_key: str
    secret_key: SecretStr = field(repr=False)
    region: str = "us-east-1"
    prefix: str = ""

    def remove(self, below: str, wanted: Callable[[str], bool] | None = None) -> tuple[int, int, set[str]]:
        """Remove every version of the objects below this folder (of those `wanted`, by their key).

        Returns how many objects there were and are no more, their bytes, and the keys that a lock keeps.
        """
        with self._told("remove what lies", below):
            found = [one for one in self._list(below) if wanted is None or wanted(self._key(one))]
            sizes = {self._key(one): one.size or 0 for one in found if _is_newest(one) and not one.is_delete_marker}
            kept = self._remove(found)
        gone = {key: size for key, size in sizes.items() if key not in kept}
        return len(gone), sum(gone.values()), kept

    def remove_hidden(self, below: str) -> int:
        """Remove the versions of objects that are deleted already, and no others; returns how many versions."""
        with self._told("clear away deleted objects", below):
            everything = list(self._list(below))
            deleted = {one.object_name for one in everything if _is_newest(one) and one.is_delete_marker}
            hidden = [one for one in everything if one.object_name in deleted]
            self._remove(hidden)
        return len(hidden)

    def remove_replaced(self, key: str) -> None:
        """Remove all but the newest version of this one object; all, where that is a deletion."""
        with self._told("clear away old versions", key):
            versions = [one for one in self._list(key) if self._key(one) == key]
            is_deleted = any(_is_newest(one) and one.is_delete_marker for one in versions)
            self._remove([one for one in versions if is_deleted or not _is_newest(one)])

    def lock(self, keys: Iterable[str], until: datetime) -> None:
        """Let nobody remove these objects before that instant; a lock is never made shorter."""
        client = self._client()
        with self._told("lock objects", f"until {until}"):
            for key in keys:
                with _already_longer():
                    client.set_object_retention(self.bucket, self.prefix + key, Retention(COMPLIANCE, until))

    def locked_until(self, key: str) -> datetime | None:
        """The instant before which nobody can remove this object."""
        with self._told("ask for the lock", key):
            found = self._client().get_object_retention(self.bucket, self.prefix + key)
        return found.retain_until_date if found else None

    def hold(self, keys: Iterable[str], *, on: bool) -> None:
        """Put these objects under the store's own legal hold, or take them out of it."""
        client = self._client()
        change = client.enable_object_legal_hold if on else client.disable_object_legal_hold
        with self._told("hold objects", self.bucket):
            for key in keys:
                change(self.bucket, self.prefix + key)

    def is_held(self, key: str) -> bool:
        """Whether the store's own legal hold is on this object."""
        with self._told("ask for the hold", key):
            return bool(self._client().is_object_legal_hold_enabled(self.bucket, self.prefix + key))

    def _remove(self, versions: Iterable[Object]) -> set[str]:
        """Remove these versions; the keys of those that the service keeps."""
        kept = set()
        client = self._client()
        rest = iter(versions)
        while some := list(islice(rest, _A_REQUEST)):
            asked = [DeleteObject(str(one.object_name), one.version_id) for one in some]
            for refused in client.remove_objects(self.bucket, asked):
                if "WORM" not in (refused.message or "") and refused.code != "ObjectLocked":
                    raise PermissionError(f"{refused.code}: {refused.message}")
                kept.add(str(refused.name).removeprefix(self.prefix))
        return kept

    def _list(self, below: str) -> Iterator[Object]:
        where = self.prefix + below
        yield from self._client().list_objects(self.bucket, where, recursive=True, include_version=True)

    def _key(self, found: Object) -> str:
        return str(found.object_name).removeprefix(self.prefix)

    def _client(self) -> Minio:
        address = urlsplit(self.endpoint)
        return Minio(
            address.netloc,
            self.access_key,
            self.secret_key.get_secret_value(),
            secure=address.scheme == "https",
            region=self.region,
            http_client=urllib3.PoolManager(
                timeout=urllib3.Timeout(connect=5, read=60), retries=urllib3.Retry(2, status_forcelist=[500, 502, 503])
            ),
        )

    @contextmanager
    def _told(self, operation: str, subject: str) -> Iterator[None]:
        try:
            yield
        except urllib3.exceptions.HTTPError as error:
            raise TransientError(
                operation=operation,
                subject=f"{subject} in {self.bucket} at {self.endpoint}",
                cause=f"the service does not answer ({type(error).__name__})",
                remedy="check that it runs, then run this again: it goes on where it was",
            ) from None
        except (MinioException, PermissionError) as error:
            raise PermanentError(
                operation=operation,
                subject=f"{subject} in {self.bucket} at {self.endpoint}",
                cause=str(error).partition(", resource:")[0],
                remedy="run `voxkeep apply` again, which makes the key for retention, then run this again",
            ) from None


def _is_newest(found: Object) -> bool:
    """Whether this is the version that readers see; the library tells it as a word."""
    return str(found.is_latest).lower() == "true"


@contextmanager
def _already_longer() -> Iterator[None]:
    """Nothing to do where the object is locked for longer already: the service refuses to shorten it."""
    try:
        yield
    except S3Error as error:
        if "WORM" not in (error.message or "") and error.code != "ObjectLocked":
            raise
