"""Running the restic program: which one, with what, for how long, and what its exit codes mean.

restic gets its own pipes and process group, so that a killed flow run does not hang on a child that holds its
output, and a deadline, because restic retries an unreachable store for a quarter of an hour.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from math import inf
from pathlib import Path
from tempfile import TemporaryFile
from threading import Event, Thread
from typing import Any

from blocks.errors import OutOfTimeError, PermanentError, SettingsError, TransientError, VoxkeepError

OLDEST_VERSION = (0, 19, 1)
# restic itself goes on for a quarter of an hour with a store that takes nothing.
PATIENCE_SECONDS = 90.0
# How often restic tells how far it is, a second; by itself it does so sixty times, and each has to be read.
PROGRESS_A_SECOND = "2"

# https://restic.readthedocs.io/en/stable/075_scripting.html#exit-codes; anything that is not here is a failure.
EXIT_CODES: dict[int, tuple[type[VoxkeepError], str]] = {
    10: (PermanentError, "create it with a first backup, or correct its location"),
    11: (TransientError, "wait for the other program to end; locks of dead ones are stale after 30 minutes"),
    12: (PermanentError, "give the password with which the repository was made"),
    130: (TransientError, "run it again"),
}
OUT_OF_SPACE = "no space left on device"


@dataclass(frozen=True)
class Call:
    """One finished call: exit code, its JSON lines or raw output, and the last words on stderr."""

    code: int
    output: bytes
    complaint: str

    def messages(self) -> Iterator[dict[str, Any]]:
        """The JSON objects that restic printed, a line each."""
        for line in self.output.splitlines():
            if line.startswith(b"{"):
                yield json.loads(line)


@cache
def find_restic() -> str:
    """Path of the restic to use: `VOXKEEP_RESTIC`, the one on PATH, or the project's own in `.tools`.

    Raises:
        SettingsError: there is none, or only one older than 0.19.1.
    """
    beside = Path(__file__).resolve().parents[1] / ".tools" / "restic"
    candidates = [os.environ.get("VOXKEEP_RESTIC"), shutil.which("restic"), str(beside)]
    found = []
    for program in candidates:
        if program and Path(program).exists():
            version = _version(program)
            if version >= OLDEST_VERSION:
                return program
            found.append(f"{program} is {'.'.join(map(str, version))}")
    raise SettingsError(
        operation="find restic",
        subject="restic 0.19.1 or newer",
        cause="; ".join(found) or "there is none on PATH",
        remedy="run `make tools`, or set VOXKEEP_RESTIC to a newer one (older ones hide missing files)",
    )


def _version(program: str) -> tuple[int, ...]:
    text = subprocess.run([program, "version"], capture_output=True, text=True, check=False, timeout=30).stdout
    match = re.match(r"restic (\d+)\.(\d+)\.(\d+)", text)
    return tuple(int(part) for part in match.groups()) if match else (0, 0, 0)


def run_restic(
    arguments: list[str | bytes],
    *,
    environment: dict[str, str],
    deadline_seconds: float,
    allowed: tuple[int, ...] = (0,),
    on_line: Callable[[bytes], None] | None = None,
    stop_after_seconds: float | None = None,
) -> Call:
    """The finished call of `restic <arguments>`.

    `on_line` gets each line of output as it comes (it is then not kept). Secrets go by `environment`, never by
    `arguments`.

    Raises:
        OutOfTimeError: it had not ended after `stop_after_seconds`, and was stopped cleanly.
        PermanentError, TransientError: restic ended with a code that is not in `allowed`, or ran too long.
    """
    repository = environment.get("RESTIC_REPOSITORY", "the repository")
    with TemporaryFile() as output:
        process = subprocess.Popen(
            [find_restic(), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if on_line else output,
            stderr=subprocess.PIPE,
            env=_base_environment() | {"RESTIC_PROGRESS_FPS": PROGRESS_A_SECOND} | environment,
            start_new_session=True,
        )
        watch = _Watch(process, deadline_seconds, stop_after_seconds)
        try:
            if on_line and process.stdout:
                for line in process.stdout:
                    on_line(line)
            code = process.wait()
        finally:
            _end(process)
            watch.join()
            for pipe in (process.stdout, process.stderr):
                if pipe:
                    pipe.close()
        if watch.is_out_of_time and code not in allowed:
            raise OutOfTimeError(
                operation=f"run restic {os.fsdecode(arguments[0])}",
                subject=repository,
                cause=f"its time of {stop_after_seconds:.0f} s is over and it was stopped",
                remedy="run it again when there is time: what is already there is not sent again",
            )
        if watch.gave_up:
            raise TransientError(
                operation=f"run restic {os.fsdecode(arguments[0])}",
                subject=repository,
                cause=watch.gave_up,
                remedy="check that the store answers, then run it again: nothing is left half-written",
            )
        output.seek(0)
        call = Call(code, output.read(), _last_words(watch.complaints))
    if code not in allowed:
        raise _failure(os.fsdecode(arguments[0]), repository, call)
    return call


class _Watch:
    """What watches a running restic: its complaints, its deadline, and how long a store has refused it."""

    def __init__(
        self, process: subprocess.Popen[bytes], deadline_seconds: float, stop_after_seconds: float | None
    ) -> None:
        self.complaints: deque[str] = deque(maxlen=200)
        self.gave_up = ""
        self.is_out_of_time = False
        self._process = process
        self._deadline_seconds = deadline_seconds
        self._stop_after_seconds = inf if stop_after_seconds is None else stop_after_seconds
        self._refused: dict[str, float] = {}
        self._over = Event()
        self._threads = [Thread(target=self._hear, daemon=True), Thread(target=self._look, daemon=True)]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Wait until all complaints are heard; the process has ended."""
        self._over.set()
        for thread in self._threads:
            thread.join(timeout=10)

    def _hear(self) -> None:
        for line in self._process.stderr or []:
            text = _words(line)
            self.complaints.append(text)
            # restic/internal/global: `<operation> returned error, retrying after <time>: <error>`
            operation, refused, _ = text.partition(" returned error, retrying after ")
            if refused:
                self._refused.setdefault(operation, time.monotonic())
            else:
                self._refused.pop(text.partition(" operation successful after ")[0], None)

    def _look(self) -> None:
        began = time.monotonic()
        while not self._over.wait(0.5):
            now = time.monotonic()
            self.is_out_of_time = now - began > self._stop_after_seconds
            if now - began > self._deadline_seconds:
                self.gave_up = f"it did not end within {self._deadline_seconds:.0f} s and was stopped"
            elif self._refused and now - min(list(self._refused.values()), default=now) > PATIENCE_SECONDS:
                last = next((text for text in reversed(self.complaints) if text), "")
                self.gave_up = f"the store has refused it for {PATIENCE_SECONDS:.0f} s, and it was stopped: {last}"
            if self.gave_up or self.is_out_of_time:
                _end(self._process)
                return


def _base_environment() -> dict[str, str]:
    kept = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "SSL_CERT_FILE", "SSL_CERT_DIR", "XDG_CACHE_HOME")
    return {name: os.environ[name] for name in kept if name in os.environ}


def _end(process: subprocess.Popen[bytes]) -> None:
    """End restic and whatever it started; a clean stop first, so that it removes its lock."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _words(line: bytes) -> str:
    """A line that restic said on stderr, where with --json its errors are objects."""
    text = line.decode(errors="replace").strip()
    if text.startswith("{"):
        message = json.loads(text)
        text = str(message.get("message") or message.get("error", {}).get("message") or "")
    return text.removeprefix("Fatal: ").split("\n")[0]


def _last_words(complaints: Iterable[str]) -> str:
    """The last different things that restic said, as one line."""
    return "; ".join(list(dict.fromkeys(filter(None, complaints)))[-3:])


def _failure(verb: str, repository: str, call: Call) -> VoxkeepError:
    kind, remedy = EXIT_CODES.get(
        call.code,
        (PermanentError, "read restic's words above; `restic check` tells whether the repository is sound"),
    )
    if OUT_OF_SPACE in call.complaint.lower():
        kind, remedy = (
            PermanentError,
            "free some space there, then run it again: nothing is left half-written",
        )
    return kind(
        operation=f"run restic {verb}",
        subject=f"repository {repository}",
        cause=f"{call.complaint or 'it gave no reason'} (exit code {call.code})",
        remedy=remedy,
    )
