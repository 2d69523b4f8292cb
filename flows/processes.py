"""Work done by a process of its own, which ends with it and whose result comes over a pipe."""

from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import TypeVar

from blocks.errors import TransientError
from flows.errors import OUR_ERRORS

Result = TypeVar("Result")
# A new interpreter: what a fork copies of this process's threads and locks, it copies broken.
_SPAWN = get_context("spawn")


def in_process(what: str, work: Callable[..., Result], *arguments: object) -> Result:
    """What the work returns for these arguments; all of it must be small, for it goes over a pipe.

    Raises:
        TransientError: the process ended before it had a result; `what` it did is named.
        VoxkeepError: the error of ours that the work raised.
    """
    ours, theirs = _SPAWN.Pipe(duplex=False)
    process = _SPAWN.Process(target=_send, args=(theirs, work, arguments), daemon=True)
    process.start()
    theirs.close()
    try:
        result, error = ours.recv()
    except EOFError:
        process.join()
        raise TransientError(
            operation="work in a process of its own",
            subject=what,
            cause=f"it was ended before it was done, with exit code {process.exitcode}",
            remedy="run this again; if the system was short of memory, with less of it (--memory)",
        ) from None
    finally:
        ours.close()
    process.join()
    if error is not None:
        kind, told = error
        raise kind(**told)
    return result  # type: ignore[no-any-return]


def _send(pipe: Connection, work: Callable[..., object], arguments: tuple[object, ...]) -> None:
    """Do the work, and send its result, or the fields of the error of ours that it raised."""
    try:
        pipe.send((work(*arguments), None))
    except OUR_ERRORS as error:
        pipe.send((None, (type(error), vars(error))))
