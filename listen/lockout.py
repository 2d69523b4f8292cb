"""Accounts that are locked for a while after wrong passwords, by what the audit trail says of them.

The trail is the only memory: so a restart forgets nothing, and all processes lock alike.
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta

from blocks.trail import Row

# So many wrong passwords are free; each further one doubles the delay, up to the longest.
FREE_FAILURES = 5
_FIRST_DELAY, _LONGEST_DELAY = timedelta(seconds=30), timedelta(minutes=30)
# What was longer ago does not count.
MEMORY = timedelta(hours=24)


@dataclass(frozen=True)
class _Failures:
    count: int = 0
    last: datetime | None = None


class Lockout:
    """What is known of each account's wrong passwords, and of the sessions that have ended."""

    def __init__(self) -> None:
        self._failures: dict[str, _Failures] = defaultdict(_Failures)
        self._ended: set[str] = set()

    def see(self, row: Row) -> None:
        """Take note of a row of the audit trail."""
        entry = row.entry
        if entry.action == "login_failed" and entry.details.get("counts"):
            before = self._failures[entry.subject]
            fresh = before.last is not None and row.at - before.last < MEMORY
            self._failures[entry.subject] = _Failures(before.count + 1 if fresh else 1, row.at)
        elif entry.action in ("login", "account_reset"):
            self._failures.pop(entry.subject, None)
        elif entry.action == "logout":
            self._ended.add(entry.subject)

    def locked_until(self, account: str) -> datetime | None:
        """Until when no password of this account is looked at; None: it is not locked."""
        found = self._failures.get(account)
        if found is None or found.last is None or found.count < FREE_FAILURES:
            return None
        doublings = min(found.count - FREE_FAILURES, 16)
        return found.last + min(_FIRST_DELAY * (1 << doublings), _LONGEST_DELAY)

    def has_ended(self, session: str) -> bool:
        """Whether somebody has logged out of this session."""
        return session in self._ended
