"""One at a time: on one machine by a lock that dies with its holder, over several by a limit that Prefect keeps."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError
from prefect.concurrency.sync import concurrency

from blocks.errors import TransientError

_POLL_SECONDS = 0.2


@contextmanager
def exclusive(file: Path, what: str, deadline_seconds: float = 600.0) -> Iterator[None]:
    """Hold the lock `file` while the body runs; waits for another holder, but not for ever.

    Raises:
        TransientError: another process held it for the whole of `deadline_seconds`.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as handle:
        give_up = time.monotonic() + deadline_seconds
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > give_up:
                    raise TransientError(
                        operation=what,
                        subject=str(file),
                        cause=f"another run has been at it for {deadline_seconds:.0f} s",
                        remedy="wait for it to end, or stop it, and run this again",
                    ) from None
                time.sleep(_POLL_SECONDS)
        yield


def is_held(file: Path) -> bool:
    """Whether somebody holds the lock `file` right now."""
    try:
        with file.open() as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


@contextmanager
def in_turn(limit: str | None, what: str, deadline_seconds: float = 600.0) -> Iterator[None]:
    """Hold the one slot of Prefect's concurrency limit `limit` while the body runs; None: nothing to wait for.

    The slot is a lease: that of a holder that died is free again after some minutes.

    Raises:
        TransientError: other runs held it for the whole of `deadline_seconds`, or there is no such limit.
    """
    with ExitStack() as held:
        if limit:
            try:
                held.enter_context(concurrency(limit, occupy=1, timeout_seconds=deadline_seconds, strict=True))
            except (ConcurrencySlotAcquisitionError, TimeoutError) as error:
                raise TransientError(
                    operation=what,
                    subject=f"Prefect's concurrency limit {limit}",
                    cause=str(error) or f"another run has been at it for {deadline_seconds:.0f} s",
                    remedy="wait for the other run to end, or run `voxkeep apply` again, which makes the limit",
                ) from None
        yield
