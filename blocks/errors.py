"""The errors of the outside world.

VoxkeepError            operation, subject, cause, remedy
├── SettingsError       what the user configured cannot work
├── TransientError      the same call may succeed later: network, lock, timeout
│   ├── AbsentDiskError the disk of a site without network is not there, or another one is
│   └── OutOfTimeError  the hours of the work are over; it goes on in the next
├── PermanentError      the same call fails again: wrong password, no such path, no space
│   └── KeptError       it must not be removed: under the floor, held, or without a permit
└── NotificationError   an alert could not be delivered
"""

from collections.abc import Callable
from functools import partial


class VoxkeepError(Exception):
    """What failed, on what, why, and what to do about it."""

    def __init__(self, *, operation: str, subject: str, cause: str, remedy: str) -> None:
        self.operation = operation
        self.subject = subject
        self.cause = cause
        self.remedy = remedy
        super().__init__(f"Cannot {operation}: {subject}: {cause}. To mend it: {remedy}.")

    def __reduce__(self) -> tuple[Callable[[], "VoxkeepError"], tuple[()]]:
        """How it comes over from another process."""
        return partial(type(self), **vars(self)), ()


class SettingsError(VoxkeepError):
    """What the user configured cannot work."""


class TransientError(VoxkeepError):
    """The same call may succeed later."""


class AbsentDiskError(TransientError):
    """The disk of a site without network is not there, or another one is."""


class OutOfTimeError(TransientError):
    """The hours in which the work may be done are over; what was done stays done."""


class PermanentError(VoxkeepError):
    """The same call fails again until somebody mends the cause."""


class KeptError(PermanentError):
    """It must not be removed, whoever asks."""


class NotificationError(VoxkeepError):
    """An alert could not be delivered."""
