"""Prefect for the commands that run a flow themselves: a server of their own, unless the user has one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from blocks.errors import SettingsError


def use_home(home: Path) -> None:
    """Keep Prefect's own database in our home, unless the user has a server or a home of their own.

    Before anything imports Prefect, which reads this once.
    """
    prefect_home = home.resolve() / "prefect"
    prefect_home.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("PREFECT_HOME", str(prefect_home))
    os.environ.setdefault("PREFECT_SERVER_ALLOW_EPHEMERAL_MODE", "true")
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    # The console shows our own lines instead; Prefect keeps all of them for its UI.
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    os.environ.setdefault("DO_NOT_TRACK", "1")


def use_cluster(folder: Path) -> None:
    """Talk to the servers that `make cluster` has started: their addresses and keys are in `<folder>/env`.

    Raises:
        SettingsError: there is no such file.
    """
    try:
        lines = (folder / "env").read_text().splitlines()
    except OSError:
        raise SettingsError(
            operation="use the cluster",
            subject=str(folder / "env"),
            cause="there is no such file",
            remedy="start the servers with `make cluster`, or name their folder with --cluster",
        ) from None
    os.environ |= dict(line.split("=", 1) for line in lines if "=" in line)


@contextmanager
def no_heartbeat() -> Iterator[None]:
    """Flows without a heartbeat, where the server ends with this program and nobody listens for one.

    The thread that sends it makes every flow a second longer: it looks only once a second whether it may end.
    """
    from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings  # noqa: PLC0415

    if PREFECT_API_URL.value():
        yield
        return
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield


def start_server() -> None:
    """Have Prefect's server answer: a new one takes a quarter of a minute, in which other things can be done."""
    from prefect.client.orchestration import get_client  # noqa: PLC0415

    with get_client(sync_client=True) as client:
        client.hello().raise_for_status()
