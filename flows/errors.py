"""Errors of the rooms below, told with the business and site they happened at."""

from collections.abc import Iterator
from contextlib import contextmanager

from blocks.errors import VoxkeepError as OutsideError
from reconcile.errors import VoxkeepError as EngineError

OUR_ERRORS = (OutsideError, EngineError)


@contextmanager
def at(place: str) -> Iterator[None]:
    """Add `place` (business/site) to the operation of any error of ours, once."""
    try:
        yield
    except OUR_ERRORS as error:
        if f"({place})" in error.operation:
            raise
        raise type(error)(
            operation=f"{error.operation} ({place})",
            subject=error.subject,
            cause=error.cause,
            remedy=error.remedy,
        ) from None
