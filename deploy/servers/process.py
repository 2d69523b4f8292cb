"""Servers as plain processes: started in a folder, ready when they answer, ended by what the folder remembers.

A server outlives the command that started it. `<folder>/<name>.pid` names its process and when that began, so that
only what was started here is ever ended, even when the number has been given to another process since.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil


class ServerError(Exception):
    """A server could not be started; says which, why, and where its log lies."""


def free_port() -> int:
    """A TCP port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    """Whether somebody listens on this port of the loopback."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def start(
    name: str, command: list[str], folder: Path, *, environment: dict[str, str] | None = None, not_root: bool = False
) -> psutil.Process:
    """Start `command` in the background as `name`, its output in `<folder>/<name>.log`; one that runs is left alone.

    `not_root`: the program refuses to be run by root, so root gives it a user namespace in which it is not.
    """
    running = find(name, folder)
    if running:
        return running
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            [*(as_not_root() if not_root else []), *command],
            cwd=folder,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    started = psutil.Process(process.pid)
    part = folder / f".{name}.pid.part"
    part.write_text(f"{process.pid} {started.create_time()}")
    part.replace(folder / f"{name}.pid")
    return started


def wait_until(ready: Callable[[], bool], name: str, folder: Path, *, deadline_seconds: float = 120) -> None:
    """Wait until the server is ready.

    Raises:
        ServerError: it has ended, or is not ready in time; with the end of its log.
    """
    give_up = time.monotonic() + deadline_seconds
    while not ready():
        ended = find(name, folder) is None
        if ended or time.monotonic() > give_up:
            log = folder / f"{name}.log"
            last = log.read_text(errors="replace")[-2000:] if log.is_file() else ""
            cause = "it has ended" if ended else f"it is not ready after {deadline_seconds:.0f} s"
            raise ServerError(f"Cannot start {name}: {cause}. Its log is {log}:\n{last}")
        time.sleep(0.1)


def find(name: str, folder: Path) -> psutil.Process | None:
    """The process that runs under this name, started from this folder."""
    try:
        number, began = (folder / f"{name}.pid").read_text().split()
        process = psutil.Process(int(number))
        alive = abs(process.create_time() - float(began)) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
        return None
    return process if alive else None


def stop(name: str, folder: Path, *, how: signal.Signals = signal.SIGTERM, deadline_seconds: float = 30) -> None:
    """End the server and what it has started; nothing where it does not run. One that does not obey is killed."""
    process = find(name, folder)
    if process is None:
        return
    family = [process, *process.children(recursive=True)]
    process.send_signal(how)
    alive = _alive_after(family, deadline_seconds)
    for left in alive:
        left.kill()
    _alive_after(alive, 10)
    (folder / f"{name}.pid").unlink(missing_ok=True)


def _alive_after(family: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Those that still run after so long. One that has ended unknown to its parent does not."""
    give_up = time.monotonic() + seconds
    while True:
        _, there = psutil.wait_procs(family, timeout=0)
        alive = [process for process in there if not _is_zombie(process)]
        if not alive or time.monotonic() > give_up:
            return alive
        time.sleep(0.05)


def _is_zombie(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def as_not_root() -> list[str]:
    """What stands before a command that root may not run: a user namespace where root has another number.

    Files stay those of root, so folders that only root may enter work. Nothing for other users.

    Raises:
        ServerError: this machine has no user namespaces.
    """
    if os.geteuid() != 0:
        return []
    prefix = [shutil.which("unshare") or "unshare", "--user", "--map-user=1000", "--map-group=1000"]
    try:
        subprocess.run([*prefix, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        raise ServerError(
            "Cannot start a server that root may not run: this machine has no user namespaces (unshare --user fails). "
            "Run the same command as an ordinary user."
        ) from None
    return prefix


def remembered_port(folder: Path, port: int | None = None) -> int:
    """The port that the server in `folder` had before, else the one given, else a free one."""
    file = folder / "port"
    if not file.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(str(port or free_port()))
    return int(file.read_text())
