"""Which recordings play, found out in a process of its own: FFmpeg may crash or hang over a file, and ends only that.

The process is told the files on stdin, and says on stdout which one it begins and how each ended. So it is known which
files it was at when it came to an end: each of them is tried once more, alone, and what ends the process again does
not play.
"""

import json
import os
import selectors
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV
from tempfile import TemporaryFile
from typing import BinaryIO, cast

from blocks.errors import PermanentError, TransientError
from blocks.hearing import plays

# A day of sound is decoded in some minutes.
_LONGEST_SECONDS = 600.0
# What a process ends with over a file; killed otherwise, it was somebody else.
_CRASHES = {-SIGABRT, -SIGBUS, -SIGFPE, -SIGILL, -SIGSEGV}
_BEGUN, _PLAYS, _SILENT = "begun", "plays", "silent"
_READ_BYTES = 65536


@dataclass
class _Told:
    """What the process said of the files, by their place."""

    begun: set[int] = field(default_factory=set)
    silent: set[int] = field(default_factory=set)
    ended: set[int] = field(default_factory=set)

    def hear(self, line: str) -> None:
        """Take in a line: a word and a file's place."""
        word, _, place = line.partition(" ")
        self.begun.add(int(place))
        if word != _BEGUN:
            self.ended.add(int(place))
        if word == _SILENT:
            self.silent.add(int(place))

    @property
    def suspects(self) -> list[int]:
        """The files that it had begun when it came to its end."""
        return sorted(self.begun - self.ended)


def unplayable(files: list[Path], longest_seconds: float = _LONGEST_SECONDS) -> list[Path]:
    """Those of the files that cannot be decoded to their end, or not within `longest_seconds`.

    Raises:
        TransientError: the process that decodes was killed by somebody.
        PermanentError: it cannot run here.
    """
    silent: set[Path] = set()
    waiting = files
    while waiting:
        told = _tried(waiting, longest_seconds)
        silent |= {waiting[place] for place in told.silent}
        for place in told.suspects:
            again = _tried([waiting[place]], longest_seconds)
            if again.silent or again.suspects:
                silent.add(waiting[place])
        waiting = [file for place, file in enumerate(waiting) if place not in told.begun]
    return [file for file in files if file in silent]


def _tried(files: list[Path], longest_seconds: float) -> _Told:
    """What one process says of these files, until it ends or says nothing for too long."""
    told = _Told()
    with TemporaryFile() as asked, TemporaryFile() as errors:
        asked.write(json.dumps([str(file) for file in files]).encode())
        asked.seek(0)
        ended, is_late = _heard(asked, errors, told, longest_seconds)
        if (not is_late and ended not in {0, *_CRASHES}) or not told.begun:
            errors.seek(0)
            raise _failed(ended, is_late, errors.read().decode(errors="replace"))
    return told


def _heard(asked: BinaryIO, errors: BinaryIO, told: _Told, longest_seconds: float) -> tuple[int, bool]:
    """Run the process; what it ended with, and whether that was for saying nothing for too long."""
    command = [sys.executable, "-m", "blocks.playing"]
    with subprocess.Popen(command, stdin=asked, stdout=subprocess.PIPE, stderr=errors) as process:
        try:
            for line in _lines(cast("BinaryIO", process.stdout), longest_seconds):
                if line is None:
                    return process.poll() or 0, True
                told.hear(line)
            return process.wait(), False
        finally:
            process.kill()


def _lines(said: BinaryIO, longest_seconds: float) -> Iterator[str | None]:
    """The lines that come; None, and no more, where none comes for too long."""
    rest = b""
    with selectors.DefaultSelector() as ready:
        ready.register(said, selectors.EVENT_READ)
        while ready.select(longest_seconds):
            read = os.read(said.fileno(), _READ_BYTES)
            if not read:
                return
            *whole, rest = (rest + read).split(b"\n")
            yield from (line.decode() for line in whole)
    yield None


def _failed(ended: int, is_late: bool, errors: str) -> TransientError | PermanentError:
    told = {"operation": "decode recordings", "subject": "the process that does it"}
    if ended < 0 and not is_late:
        return TransientError(
            **told,
            cause=f"it was ended by signal {-ended}, perhaps for want of memory",
            remedy="see whether the machine has memory left, and run it again",
        )
    last = (errors.strip().splitlines() or ["it said nothing"])[-1]
    return PermanentError(
        **told,
        cause=last if not is_late else "it did not begin",
        remedy="check that voxkeep is installed whole, for example with `voxkeep demo`",
    )


def _main() -> None:
    """What the process does."""
    files = json.load(sys.stdin)

    def say(word: str, place: int) -> None:
        # One call, whole however many threads there are.
        os.write(sys.stdout.fileno(), f"{word} {place}\n".encode())

    def hear(place: int) -> None:
        say(_BEGUN, place)
        file = Path(files[place])
        try:
            heard = plays(file, file.suffix) > 0
        except PermanentError:
            heard = False
        say(_PLAYS if heard else _SILENT, place)

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for hearing in [threads.submit(hear, place) for place in range(len(files))]:
            hearing.result()


if __name__ == "__main__":
    _main()
