"""One real server of a kind for all workers of a test run: whoever comes first starts it, the last one stops it."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_SH, flock
from pathlib import Path
from typing import Protocol, TypeVar

import psutil
import pytest

from deploy.servers.process import ServerError


class Server(Protocol):
    """What can be started, twice too."""

    def start(self) -> None:
        """Returns when it is ready."""


S = TypeVar("S", bound=Server)


def server_of_all_workers(
    factory: pytest.TempPathFactory, name: str, make: Callable[[Path], S], stop: Callable[[S], None]
) -> Iterator[S]:
    """The server that `make` finds in its folder; the tests are skipped, with the reason, where it cannot be had."""
    folder = folder_of_all_workers(factory, name)
    users = folder / "users"
    users.mkdir(exist_ok=True)
    me = users / str(os.getpid())
    with held(folder / "start.lock"):
        try:
            server = make(folder)
            server.start()
        except ServerError as error:
            pytest.skip(str(error))
        me.touch()
    yield server
    with held(folder / "start.lock"):
        me.unlink()
        if not any(psutil.pid_exists(int(user.name)) for user in users.iterdir()):
            stop(server)


def folder_of_all_workers(factory: pytest.TempPathFactory, name: str) -> Path:
    """The folder of this name that all workers of a test run share."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    folder.mkdir(exist_ok=True)
    return folder


@contextmanager
def held(file: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold a lock that dies with its process; `shared`: beside others that share it."""
    with file.open("a") as handle:
        flock(handle, LOCK_SH if shared else LOCK_EX)
        yield
