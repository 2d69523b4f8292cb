"""The columns that searches look at, kept in this process's memory for as many partitions as fit.

A partition that was replaced, here or by another process, is read again; of too many, those that were used last stay.
"""

from collections.abc import Callable, Sequence
from itertools import count
from threading import Lock

from blocks.catalog import Partition
from blocks.narrow import Narrow

# What a process may hold, roughly: a million calls with notes and a dozen attributes.
HELD_BYTES = 1 << 30

Read = Callable[[Partition], Narrow]


class Hot:
    """What is held of each partition; used by several threads at a time."""

    def __init__(self, held_bytes: int = HELD_BYTES) -> None:
        self._most = held_bytes
        self._kept: dict[str, tuple[str, Narrow]] = {}
        self._used: dict[str, int] = {}
        self._clock = count()
        self._reading = Lock()

    def get(self, partitions: Sequence[Partition], read: Read) -> list[Narrow]:
        """What searches look at of each partition, in order; `read` gives what is not held as it is now."""
        held = [self._held(one) for one in partitions]
        if None not in held:
            return [one for one in held if one is not None]
        # One thread reads, for all who want the same at the same time.
        with self._reading:
            found = [self._held(one) or self._keep(one, read(one)) for one in partitions]
            self._forget()
        return found

    def _held(self, partition: Partition) -> Narrow | None:
        version, narrow = self._kept.get(partition.path, (None, None))
        if version != partition.version:
            return None
        self._used[partition.path] = next(self._clock)
        return narrow

    def _keep(self, partition: Partition, narrow: Narrow) -> Narrow:
        self._kept[partition.path] = (partition.version, narrow)
        self._used[partition.path] = next(self._clock)
        return narrow

    def _forget(self) -> None:
        """Let go of what was not used for longest, until the rest fits."""
        sizes = {path: narrow.size() for path, (_, narrow) in self._kept.items()}
        total = sum(sizes.values())
        for path in sorted(sizes, key=lambda path: self._used[path]):
            if total <= self._most:
                return
            total -= sizes[path]
            del self._kept[path]
