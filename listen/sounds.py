"""Recordings made ready to be heard: fetched, proved, turned into WAV, and kept for a while in a private folder."""

import hashlib
import json
import os
import threading
from collections import defaultdict
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from secrets import token_hex
from typing import Any

from blocks.errors import PermanentError
from blocks.hearing import decoders, in_time, make_ready
from blocks.store import ObjectStore

# What is kept ready, in bytes: some days of calls that people hear; and how fine a waveform is.
MOST_BYTES = 2_000_000_000
BUCKETS = 600
# So long, and a second for each MB, may decoding take: an hour of sound takes a few seconds.
DECODING_SECONDS = 120
_MEGABYTE = 1_000_000
# A full folder is emptied to this part, so that it need not be looked through for each recording.
_ROOM = 0.9


@dataclass(frozen=True)
class Sound:
    """A recording that can be heard: its WAV file, how long it plays, and its waveform a channel."""

    wav: Path
    seconds: float
    peaks: list[list[int]]


class DamagedError(PermanentError):
    """What the store holds is not what the source had."""


class _HopelessError(PermanentError):
    """What the decoders cannot do, however often they are asked."""


class Sounds:
    """The folder of what is ready; it is private, may be emptied at any time, and never grows beyond its bound."""

    def __init__(self, folder: Path, most_bytes: int = MOST_BYTES) -> None:
        self._folder = folder
        self._most = most_bytes
        # Bytes in the folder, counted when it is full and else added up: it may hold tens of thousands of files.
        self._size: int | None = None
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._counting = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._decoders = decoders()
        # What the decoders cannot do, so that not everyone who asks for it waits for the end of its time.
        self._hopeless: dict[str, _HopelessError] = {}

    def ready(self, store: ObjectStore, recording: dict[str, Any]) -> Sound:
        """The recording, ready to be heard.

        Raises:
            DamagedError: the store's object does not have the source's bytes.
            PermanentError, TransientError: it cannot be fetched or decoded.
        """
        name = hashlib.sha256(f"{store.url}\0{recording['key']}".encode()).hexdigest()[:40]
        wav, told = self._folder / f"{name}.wav", self._folder / f"{name}.json"
        with self._locks[name]:
            if name in self._hopeless:
                raise self._hopeless[name].with_traceback(None)
            try:
                os.utime(wav)
                content = json.loads(told.read_text())
            except FileNotFoundError:
                try:
                    content = self._make(store, recording, wav, told)
                except _HopelessError as error:
                    self._hopeless[name] = error
                    raise
        return Sound(wav, content["seconds"], content["peaks"])

    def original(self, store: ObjectStore, recording: dict[str, Any]) -> Path:
        """A file with the recording's original bytes, proved; the caller removes it.

        Raises:
            DamagedError: the store's object does not have the source's bytes.
        """
        file = self._folder / f"{token_hex(16)}.original"
        digest = hashlib.sha256()
        try:
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
                for piece in store.get(recording["key"]):
                    digest.update(piece)
                    out.write(piece)
            _prove(recording, digest.hexdigest())
        except BaseException:
            file.unlink(missing_ok=True)
            raise
        return file

    def _make(self, store: ObjectStore, recording: dict[str, Any], wav: Path, told: Path) -> dict[str, Any]:
        """Make both files, the WAV first; what is told of it."""
        source, part = self.original(store, recording), wav.with_suffix(f".{token_hex(4)}.part")
        try:
            seconds, peaks = self._decode(source, PurePosixPath(recording["key"]).suffix.lstrip(".").lower(), part)
            part.replace(wav)
        finally:
            source.unlink()
            part.unlink(missing_ok=True)
        content = {"seconds": seconds, "peaks": peaks}
        part = told.with_suffix(f".{token_hex(4)}.part")
        part.write_text(json.dumps(content))
        part.replace(told)
        self._bound(wav.stat().st_size)
        return content

    def _decode(self, source: Path, extension: str, part: Path) -> tuple[float, list[list[int]]]:
        """As `make_ready`. What a crash or the end of its time takes along is decoded again, by a process each."""
        pool, seconds = self._decoders, DECODING_SECONDS + source.stat().st_size // _MEGABYTE
        work = partial(in_time, seconds, make_ready, source, extension, part, BUCKETS)
        with suppress(BrokenProcessPool):
            return pool.submit(work).result()
        with self._counting:
            if self._decoders is pool:
                self._decoders = decoders()
        try:
            with decoders(1) as alone:
                return alone.submit(work).result()
        except BrokenProcessPool:
            raise _HopelessError(
                operation="hear a recording",
                subject=extension or "without extension",
                cause=f"the decoder crashed over it, or had no end after {seconds} s",
                remedy="download the original, and tell what format it has",
            ) from None

    def _bound(self, more: int) -> None:
        """Let go of what nobody has heard for longest; an open file is read to its end by whoever has it open."""
        with self._counting:
            self._size = self._size + more if self._size is not None else None
            if self._size is not None and self._size <= self._most:
                return
            files = []
            for file in self._folder.glob("*.wav"):
                with suppress(FileNotFoundError):
                    files.append((file, file.stat()))
            self._size = sum(status.st_size for _, status in files)
            for file, status in sorted(files, key=lambda found: found[1].st_mtime):
                if self._size <= self._most * _ROOM:
                    return
                file.with_suffix(".json").unlink(missing_ok=True)
                file.unlink(missing_ok=True)
                self._size -= status.st_size


def _prove(recording: dict[str, Any], sha256: str) -> None:
    if sha256 != recording["sha256"]:
        raise DamagedError(
            operation="read a recording",
            subject=recording["recording_id"],
            cause="the stored object does not have the source's bytes",
            remedy="have it restored from its snapshot; the daily report shows the finding",
        )
