"""One at a time: a lock that the operating system drops when its holder dies, however it dies."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
