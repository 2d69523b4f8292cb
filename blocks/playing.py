"""Which recordings play, found out in a process of its own: FFmpeg may crash or hang over a file, and ends only that.

The process is told the files on stdin, and says on stdout which one it begins and how each ended. So it is known which
files it was at when it came to an end: each of them is tried once more, alone, and what ends the process again does
not play.
"""

import json
import os
import re
import selectors
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGKILL, SIGSEGV
from tempfile import TemporaryFile
from threading import Thread
from typing import BinaryIO, cast

from blocks.errors import PermanentError
from blocks.hearing import load_decoders, plays

# A day of sound is decoded in some minutes; to load the decoders takes a second.
_LONGEST_SECONDS = 600.0
_START_SECONDS = 120.0
# What may end a process over a file; the last also where there was no memory left for it.
_CRASHES = {-SIGABRT, -SIGBUS, -SIGFPE, -SIGILL, -SIGSEGV, -SIGKILL}
_READY, _BEGUN, _PLAYS, _SILENT = "ready", "begun", "plays", "silent"
# What a library may print is no word of ours.
_LINE = re.compile(rf"({_READY}|{_BEGUN}|{_PLAYS}|{_SILENT}) (\d+)")
_READ_BYTES = 65536


@dataclass
class _Told:
    """What the process said of the files, by their place, and what it ended with (None: killed, for it was late)."""

    is_ready: bool = False
    is_late: bool = False
    begun: set[int] = field(default_factory=set)
    silent: set[int] = field(default_factory=set)
    ended: set[int] = field(default_factory=set)
    code: int | None = None

    def hear(self, line: str) -> None:
        """Take in a line: a word and a file's place."""
        said = _LINE.fullmatch(line)
        if not said:
            return
        word, place = said[1], int(said[2])
        if word == _READY:
            self.is_ready = True
            return
        self.begun.add(place)
        if word != _BEGUN:
            self.ended.add(place)
        if word == _SILENT:
            self.silent.add(place)

    @property
    def suspects(self) -> list[int]:
        """The files that it had begun when it came to its end."""
        return sorted(self.begun - self.ended)


def unplayable(files: list[Path], longest_seconds: float = _LONGEST_SECONDS) -> list[Path]:
    """Those of the files that cannot be decoded to their end, or not within `longest_seconds`.

    Raises:
        PermanentError: the process that decodes cannot run here, or was killed over one file alone.
    """
    silent: set[Path] = set()
    waiting = files
    while waiting:
        told = _tried(waiting, longest_seconds)
        silent |= {waiting[place] for place in told.silent}
        for place in told.suspects:
            again = _tried([waiting[place]], longest_seconds)
            if again.suspects and again.code == -SIGKILL:
                # Not by its name, which may hold a number.
                raise _failed("a recording", "the process was killed over it, perhaps for want of memory")
            if again.silent or again.suspects:
                silent.add(waiting[place])
        waiting = [file for place, file in enumerate(waiting) if place not in told.begun]
    return [file for file in files if file in silent]


def _tried(files: list[Path], longest_seconds: float) -> _Told:
    """What one process says of these files, until it ends or says nothing for too long."""
    told = _Told()
    try:
        with TemporaryFile() as errors:
            _listen(files, errors, told, longest_seconds)
            errors.seek(0)
            last = (errors.read().decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
    except OSError as error:
        raise _failed("the process that does it", str(error)) from None
    if not told.begun:
        ended = "it did not begin in time" if told.code is None else f"it ended with {told.code} before it began"
        raise _failed("the process that does it", f"{ended}: {last}")
    if told.code not in {None, 0, *_CRASHES}:
        raise _failed("the process that does it", f"it ended with {told.code}: {last}")
    return told


def _listen(files: list[Path], errors: BinaryIO, told: _Told, longest_seconds: float) -> None:
    """Run the process, and take in what it says."""
    # Nothing is ever written to this pipe: it ends with us, and so the process knows that nobody waits for it.
    theirs, ours = os.pipe()
    with TemporaryFile() as asked, os.fdopen(theirs, "rb"), os.fdopen(ours, "wb"):
        asked.write(json.dumps([str(file) for file in files]).encode())
        asked.seek(0)
        # Without the current folder, where anybody may have put a module.
        command = [sys.executable, "-P", "-m", "blocks.playing", str(theirs)]
        with subprocess.Popen(
            command, stdin=asked, stdout=subprocess.PIPE, stderr=errors, pass_fds=[theirs]
        ) as process:
            try:
                for line in _lines(cast("BinaryIO", process.stdout), told, longest_seconds):
                    told.hear(line)
                told.code = None if told.is_late else process.wait()
            finally:
                process.kill()


def _lines(said: BinaryIO, told: _Told, longest_seconds: float) -> Iterator[str]:
    """The lines that come, until its output ends, or none comes for too long."""
    rest = b""
    with selectors.DefaultSelector() as ready:
        ready.register(said, selectors.EVENT_READ)
        while True:
            if not ready.select(longest_seconds if told.is_ready else _START_SECONDS):
                told.is_late = True
                return
            read = os.read(said.fileno(), _READ_BYTES)
            if not read:
                return
            *whole, rest = (rest + read).split(b"\n")
            yield from (line.decode(errors="replace") for line in whole)


def _failed(subject: str, cause: str) -> PermanentError:
    return PermanentError(
        operation="decode recordings",
        subject=subject,
        cause=cause,
        remedy="see that the machine has memory and disk left and that voxkeep is installed whole; then run it again",
    )


def _say(word: str, place: int) -> None:
    # One call, whole however many threads there are.
    os.write(sys.stdout.fileno(), f"{word} {place}\n".encode())


def _hear(file: Path, place: int) -> None:
    _say(_BEGUN, place)
    try:
        heard = plays(file, file.suffix) > 0
    except PermanentError:
        heard = False
    _say(_PLAYS if heard else _SILENT, place)


def _main() -> None:
    """What the process does."""
    Thread(target=_end_with_the_asker, args=(int(sys.argv[1]),), daemon=True).start()
    files = json.load(sys.stdin)
    # Before any file: decoders that cannot be loaded say nothing about one.
    load_decoders()
    _say(_READY, len(files))
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        try:
            for hearing in [threads.submit(_hear, Path(file), place) for place, file in enumerate(files)]:
                hearing.result()
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            raise


def _end_with_the_asker(pipe: int) -> None:
    os.read(pipe, 1)
    os._exit(0)


if __name__ == "__main__":
    _main()
