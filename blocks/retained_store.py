"""The object store as retention has it: the only one that can remove an object, and never without the guard."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, SecretStr

from blocks.guard import Guard, Permit
from blocks.store import ObjectStore, told
from blocks.store_folder import FolderShelf
from blocks.store_objects import checked
from blocks.versions import Versions


@dataclass(frozen=True)
class Removed:
    """What a removal did: objects that were there and are no more, their bytes, and the keys that a lock keeps."""

    count: int
    bytes: int
    locked: frozenset[str]


class RetainedStore(ObjectStore):
    """Recordings as objects, with the key of retention: it lists, removes and locks them, and puts none.

    Attributes:
        guard: What keeps objects from being removed before their time.
        lock_days: Days for which the bucket locks each object by itself; None: it has no object lock.
    """

    _block_type_name = "Voxkeep retained object store"
    _block_type_slug = "voxkeep-retained-store"

    guard: Guard = Field(description="What keeps objects from being removed before their time.")
    lock_days: int | None = Field(
        default=None, description="Days for which the bucket locks each object by itself; none: it has no object lock."
    )

    def remove(self, keys: Collection[str], permit: Permit) -> Removed:
        """Remove these objects with all their versions; what is not there is gone already.

        Raises:
            KeptError: one of them must stay; then all of them do.
        """
        self.guard.check_objects(keys, permit)
        versions = self._versions()
        if versions is None:
            return self._remove_files(keys)
        days = defaultdict(set)
        for key in keys:
            days[key.partition("/")[0]].add(key)
        done = [versions.remove(f"{day}/", wanted.__contains__) for day, wanted in sorted(days.items())]
        return Removed(
            sum(count for count, _, _ in done),
            sum(size for _, size, _ in done),
            frozenset(key for _, _, locked in done for key in locked),
        )

    def lock(self, keys: Iterable[str], until: datetime) -> bool:
        """Let nobody remove these objects before that instant; False where the store has no locks."""
        versions = self._versions()
        if versions is None or not self.lock_days:
            return False
        versions.lock(keys, until)
        return True

    def locked(self, keys: Iterable[str]) -> frozenset[str]:
        """Which of these objects the store's own lock or hold keeps now."""
        versions = self._versions()
        if versions is None or not self.lock_days:
            return frozenset()
        now = datetime.now(UTC)
        return frozenset(key for key in keys if versions.is_held(key) or (versions.locked_until(key) or now) > now)

    def hold(self, keys: Iterable[str], *, on: bool) -> bool:
        """Put the store's own legal hold on these objects, or take it off; False where the store has none."""
        versions = self._versions()
        if versions is None or not self.lock_days:
            return False
        versions.hold(keys, on=on)
        return True

    def _remove_files(self, keys: Iterable[str]) -> Removed:
        count = size = 0
        shelf = self._shelf()
        root = shelf.root if isinstance(shelf, FolderShelf) else Path()
        with told("remove objects of", self.url):
            root.stat()  # a disk that is not mounted has lost nothing
            for key in keys:
                file = root / checked(key)
                with suppress(FileNotFoundError):
                    size += file.stat(follow_symlinks=False).st_size
                    file.unlink()
                    count += 1
                for folder in list(file.parents)[: key.count("/")]:
                    with suppress(OSError):  # others are in it
                        folder.rmdir()
        return Removed(count, size, frozenset())

    def _versions(self) -> Versions | None:
        address = urlsplit(self.url)
        if address.scheme != "s3":
            return None
        access_key, secret_key = self._keys()
        prefix = address.path.strip("/")
        return Versions(
            endpoint=self.endpoint or f"https://s3.{self.region}.amazonaws.com",
            bucket=address.netloc,
            access_key=access_key,
            secret_key=SecretStr(secret_key),
            region=self.region,
            prefix=f"{prefix}/" if prefix else "",
        )
