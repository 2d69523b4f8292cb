"""Backups in their hours and at their speed, and what it means that one has to go on another time.

Where the speed changes while restic is at work it is stopped and started anew with the other one: what was sent stays,
and the new files are read once more.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

from prefect import get_run_logger

from blocks.errors import OutOfTimeError, TransientError
from blocks.repository import Backup, Pace
from flows.days import start_of
from reconcile.hours import Permit, Timetable, permit


def now() -> datetime:
    """The instant; a function of its own, so that a test can have another."""
    return datetime.now(UTC)


def allowed(name: str, timetable: Timetable, time_zone: str) -> Permit:
    """What the timetable allows now.

    Raises:
        OutOfTimeError: no backup may run now.
    """
    found = permit(timetable, now(), time_zone)
    if found.may_run:
        return found
    raise OutOfTimeError(
        operation=f"back up {name}",
        subject="its timetable",
        cause="no backup may run at this hour",
        remedy=f"run it again in its hours, from {found.until or 'whenever the settings have some'} on",
    )


def paced(name: str, timetable: Timetable, time_zone: str, back_up: Callable[[Pace], Backup]) -> Backup:
    """The backup, at whatever speed is allowed while it runs.

    Raises:
        OutOfTimeError: the hours ended first; what was sent is not sent again.
    """
    while True:
        found = allowed(name, timetable, time_zone)
        speed = f"{found.kib_per_second:,} KiB a second" if found.kib_per_second else "as fast as it can"
        if found.until:
            get_run_logger().info("%s: restic may send %s until %s", name, speed, found.until)
        try:
            return back_up(Pace(found.kib_per_second, (found.until - now()).total_seconds() if found.until else None))
        except OutOfTimeError as error:
            get_run_logger().info("%s: %s", name, error.cause)


def refuse_overdue(error: OutOfTimeError, waiting_since: date, time_zone: str, due_hours: float) -> None:
    """A backup that goes on another time is a failure once the first day that waits for it is overdue.

    Raises:
        TransientError: that day is overdue.
    """
    if now() < start_of(waiting_since, time_zone) + timedelta(days=1, hours=due_hours):
        return
    raise TransientError(
        operation=error.operation,
        subject=error.subject,
        cause=f"{error.cause}, and the backup of {waiting_since} is overdue",
        remedy="give backups more hours or more KiB a second in the timetable",
    ) from None
