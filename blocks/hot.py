"""The columns that searches look at, kept in this process's memory for as many partitions as fit.

A partition that was replaced, here or by another process, is read again; of too many, those that were used last stay.
"""

from collections.abc import Callable, Sequence
from itertools import count
from threading import Lock

import polars as pl

from blocks.catalog import Partition

# What a process may hold, roughly: a million calls with notes and a dozen attributes.
HELD_BYTES = 1 << 30

Read = Callable[[list[Partition]], list[pl.DataFrame]]


class Hot:
    """Frames by partition; used by several threads at a time."""

    def __init__(self, held_bytes: int = HELD_BYTES) -> None:
        self._most = held_bytes
        self._frames: dict[str, tuple[str, pl.DataFrame]] = {}
        self._used: dict[str, int] = {}
        self._clock = count()
        self._reading = Lock()

    def frames(self, partitions: Sequence[Partition], read: Read) -> list[pl.DataFrame]:
        """The frame of each partition, in order; `read` gives those that are not held as they are now."""
        found = {partition.path: self._held(partition) for partition in partitions}
        if any(frame is None for frame in found.values()):
            # One thread reads, for all who want the same at the same time.
            with self._reading:
                missing = [partition for partition in partitions if found[partition.path] is None]
                missing = [partition for partition in missing if self._held(partition) is None]
                read_now = dict(zip((one.path for one in missing), read(missing), strict=True)) if missing else {}
                for partition in missing:
                    self._keep(partition, read_now[partition.path])
                found |= {one.path: self._held(one) for one in partitions if found[one.path] is None} | read_now
                self._forget()
        return [frame for partition in partitions if (frame := found[partition.path]) is not None]

    def _held(self, partition: Partition) -> pl.DataFrame | None:
        version, frame = self._frames.get(partition.path, (None, None))
        if version != partition.version:
            return None
        self._used[partition.path] = next(self._clock)
        return frame

    def _keep(self, partition: Partition, frame: pl.DataFrame) -> None:
        self._frames[partition.path] = (partition.version, frame)
        self._used[partition.path] = next(self._clock)

    def _forget(self) -> None:
        """Let go of what was not used for longest, until the rest fits."""
        sizes = {path: int(frame.estimated_size()) for path, (_, frame) in self._frames.items()}
        total = sum(sizes.values())
        for path in sorted(sizes, key=lambda path: self._used[path]):
            if total <= self._most:
                return
            total -= sizes[path]
            del self._frames[path]
