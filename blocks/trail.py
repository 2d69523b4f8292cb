"""The audit trail: rows that are added and never changed, each sealed to the one before.

A row is one object, `audit/<thousands>/<sequence>.json`, created only where there is none. Whoever loses the race for
a number takes the next one and seals its row to the winner's: so several processes, on several machines, write one
chain without any lock. The number alone names the object, never a day: at midnight, or with two clocks, two writers
would else make the same number twice.

`hash` is SHA-256 over the row and holds the hash of the row before; `seal` is an HMAC of it under a key that does not
lie with the trail, so that nobody who can only write there can make a row, or make the chain anew from some row on.
Rows cut off at the end leave a sound chain: they are missed by those who remember the head (`Head`), which every
writer keeps outside the trail, and which an auditor writes down.
"""

import hmac
import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime, time
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from threading import Lock, RLock
from typing import Any

from blocks.errors import PermanentError, TransientError
from blocks.vault import Vault

_FOLDER = "audit"
_ROWS_A_FOLDER = 1000
_DIGITS = 12
# So many others may win the race for a number in a row before something else must be wrong.
_MOST_RACES = 200
_REMEMBERED_ROWS = 50_000
_READERS = 16
START = "0" * 64


@dataclass(frozen=True)
class Entry:
    """What somebody is about to do. No field ever holds a whole telephone number; see `listen.masking`.

    `numbers` are keyed hashes of the numbers concerned: one number can be searched for, none can be read.
    """

    actor: str
    action: str
    business: str = ""
    subject: str = ""
    address: str = ""
    numbers: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """An entry as it stands in the trail; `at` is UTC and never before that of the row before."""

    sequence: int
    at: datetime
    entry: Entry
    previous: str
    hash: str
    seal: str


@dataclass(frozen=True)
class Head:
    """The last row: its number and its hash. 0 and zeros: there is none."""

    sequence: int
    hash: str

    def __str__(self) -> str:
        return f"{self.sequence}:{self.hash}"

    @staticmethod
    def parse(text: str) -> "Head":
        """The head that was written down as `12:3f1c…`.

        Raises:
            ValueError: this is none.
        """
        number, _, digest = text.strip().partition(":")
        if len(digest) != len(START):
            raise ValueError(f"{text} is no head of an audit trail, such as 12:3f1c… with 64 hex digits")
        return Head(int(number), digest)


@dataclass(frozen=True)
class Problem:
    """Something that was done to the trail, and at which number."""

    sequence: int
    kind: str


@dataclass(frozen=True)
class Verified:
    """What came of walking the whole trail."""

    rows: int
    head: Head
    problems: tuple[Problem, ...]


@dataclass(frozen=True, eq=False)
class _Waiter:
    """Who waits for a row to be written, and is told whether to write it, with all others that wait."""

    entry: Entry
    row: "Future[Row]" = field(default_factory=Future)
    leads: "Future[bool]" = field(default_factory=Future)


class AuditTrail:
    """The trail in a vault, sealed with a key.

    Args:
        vault: where the rows lie.
        key: the installation's key, which does not lie there.
        memory: a file elsewhere that remembers the head; None remembers nothing.
        clock: the instant, UTC.
    """

    def __init__(
        self,
        vault: Vault,
        key: bytes,
        memory: Path | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._vault = vault
        self._key = key
        self._memory = memory
        self._clock = clock
        self._lock = RLock()
        # Who waits for a row, in order, and whether one of them is writing; under a lock that is held for a moment.
        self._queue = Lock()
        self._waiting: list[_Waiter] = []
        self._is_led = False
        self._last: Row | None = None
        self._begun = False
        self._observers: list[Callable[[Row], None]] = []
        self._cached = lru_cache(_REMEMBERED_ROWS)(self._row)

    def watch(self, observer: Callable[[Row], None], since: datetime) -> None:
        """Have `observer` called with each row since then: those that are there now, and each one as it is seen."""
        with self._lock:
            self.catch_up()
            for sequence in range(self.first_since(since), self.head().sequence + 1):
                if row := self._or_none(sequence):
                    observer(row)
            self._observers.append(observer)

    def append(self, entry: Entry) -> Row:
        """Write the row, durably, before whatever it tells of is done.

        Raises:
            TransientError, PermanentError: it could not be written: what it tells of must not be done.
        """
        mine = _Waiter(entry)
        with self._queue:
            self._waiting.append(mine)
            leads, self._is_led = not self._is_led, True
        try:
            if leads or mine.leads.result():
                self._lead()
        except BaseException:
            self._leave(mine, leads=leads)
            raise
        return mine.row.result()

    def _lead(self) -> None:
        """Write for all who wait by now, as the disk takes as long for many rows as for one; then another leads.

        Nobody waits for more than the batch that is being written and the next one.
        """
        batch: list[_Waiter] = []
        try:
            with self._queue:
                batch, self._waiting = self._waiting, []
            with self._lock:
                self._write_all([(waiter.entry, waiter.row) for waiter in batch])
        except BaseException as error:
            for waiter in batch:
                if not waiter.row.done():
                    waiter.row.set_exception(error)
            if not isinstance(error, Exception):
                raise
        finally:
            for waiter in batch:
                if not waiter.leads.done():
                    waiter.leads.set_result(False)
            with self._queue:
                self._hand_over()

    def _leave(self, mine: "_Waiter", *, leads: bool) -> None:
        """Take out who was interrupted while it waited; if it was to lead, another does."""
        with self._queue:
            if mine in self._waiting:
                self._waiting.remove(mine)
                if leads or (mine.leads.done() and mine.leads.exception() is None):
                    self._hand_over()

    def _hand_over(self) -> None:
        """Have the first who waits lead, if somebody does; the queue is held."""
        self._is_led = bool(self._waiting)
        if self._waiting:
            self._waiting[0].leads.set_result(True)

    def _write_all(self, waiting: list[tuple[Entry, Future[Row]]]) -> None:
        races = 0
        while waiting and races < _MOST_RACES:
            self.catch_up()
            rows = self._next([entry for entry, _ in waiting])
            made = self._vault.create_in_order([(_key(row.sequence), _written(row)) for row in rows])
            if made < len(rows) and self._is_mine(rows[made]):
                made += 1
            for row in rows[:made]:
                self._seen(row)
            if made:
                self._remember(rows[made - 1])
            for row, (_, told) in zip(rows[:made], waiting, strict=False):
                told.set_result(row)
            waiting, races = waiting[made:], 0 if made else races + 1
        if waiting:
            raise TransientError(
                operation="write the audit trail",
                subject=waiting[0][0].action,
                cause=f"others took the next number {_MOST_RACES} times",
                remedy="try again; if it stays, look for a process that writes without end",
            )

    def catch_up(self) -> None:
        """See the rows that others have written since."""
        with self._lock:
            if not self._begun:
                last = self._find_last()
                self._last = self._found(self._vault.get(_key(last)) or b"", last) if last else None
                self._begun = True
            while (content := self._vault.get(_key(self.head().sequence + 1))) is not None:
                self._seen(self._found(content, self.head().sequence + 1))

    def head(self) -> Head:
        """The last row that was seen."""
        return Head(self._last.sequence, self._last.hash) if self._last else Head(0, START)

    def rows(self, newest: int, oldest: int = 1) -> Iterator[Row]:
        """The rows of these numbers, newest first; a row that cannot be read is passed over."""
        with ThreadPoolExecutor(_READERS) as threads:
            for top in range(newest, oldest - 1, -_ROWS_A_FOLDER):
                numbers = range(top, max(oldest, top - _ROWS_A_FOLDER + 1) - 1, -1)
                yield from filter(None, threads.map(self._or_none, numbers))

    def first_since(self, instant: datetime) -> int:
        """The number of the first row at or after this instant; one more than the head's where there is none."""
        low, high = 1, self.head().sequence + 1
        while low < high:
            middle = (low + high) // 2
            row = self._or_none(middle)
            if row is not None and row.at >= instant:
                high = middle
            else:
                low = middle + 1
        return low

    def verify(self, remembered: Head | None = None) -> Verified:
        """Walk the chain from its first row, and hold it against a head that somebody remembers.

        Kinds of problem: `changed` (its hash is another), `unsealed` (not written with this installation's key),
        `removed`, `broken` (it does not hold the hash of the row before), `stray` (no row of the chain),
        `cut_off` (the trail ends before a head that is remembered), `other_chain` (it has another row there).
        """
        problems, numbers = self._strays()
        last = max(numbers, default=0)
        problems += [Problem(sequence, "removed") for sequence in range(1, last) if sequence not in numbers]
        before = Head(0, START)
        hashes = {0: START}
        for sequence in sorted(numbers):
            content = self._vault.get(_key(sequence)) or b""
            kind, row = self._judged(content, sequence, before)
            problems += [Problem(sequence, kind)] if kind else []
            before = Head(sequence, row.hash if row else "")
            hashes[sequence] = before.hash
        for head in filter(None, (remembered, self._recall())):
            if head.sequence > last:
                problems.append(Problem(head.sequence, "cut_off"))
            elif hashes.get(head.sequence) != head.hash:
                problems.append(Problem(head.sequence, "other_chain"))
        ordered = sorted(set(problems), key=lambda problem: (problem.sequence, problem.kind))
        return Verified(len(numbers), before, tuple(ordered))

    def _judged(self, content: bytes, sequence: int, before: Head) -> tuple[str | None, Row | None]:
        """What is wrong with this row, if anything, and the row as it stands there."""
        try:
            row = _read(content, sequence)
        except PermanentError:
            return "changed", None
        if row.hash != _hash(row) or row.sequence != sequence:
            return "changed", row
        if not hmac.compare_digest(row.seal, self._seal(row.hash)):
            return "unsealed", row
        if before.sequence == sequence - 1 and before.hash and row.previous != before.hash:
            return "broken", row
        return None, row

    def _strays(self) -> tuple[list[Problem], set[int]]:
        """Objects that are no rows, by the number after which they stand; and the numbers of the rows."""
        problems, numbers = [], set()
        for folder in self._vault.names(_FOLDER):
            for name in self._vault.names(f"{_FOLDER}/{folder}"):
                digits = name.removesuffix(".json")
                number = int(digits) if digits.isdecimal() else 0
                if number and _key(number) == f"{_FOLDER}/{folder}/{name}":
                    numbers.add(number)
                else:
                    problems.append(Problem(max(numbers, default=0), "stray"))
        return problems, numbers

    def _find_last(self) -> int:
        for folder in reversed(self._vault.names(_FOLDER)):
            names = [name.removesuffix(".json") for name in self._vault.names(f"{_FOLDER}/{folder}")]
            numbers = [int(name) for name in names if name.isdecimal()]
            if numbers:
                return max(numbers)
        return 0

    def _next(self, entries: list[Entry]) -> list[Row]:
        """The rows that these entries would be, each sealed to the one before."""
        now = self._clock().astimezone(UTC)
        at = max(now, self._last.at) if self._last else now
        head, rows = self.head(), []
        for entry in entries:
            # Two writers of the same entry at the same instant must not both take the one object for theirs.
            told = replace(entry, details={**entry.details, "id": token_hex(8)})
            bare = Row(head.sequence + 1, at, told, head.hash, "", "")
            digest = _hash(bare)
            rows.append(replace(bare, hash=digest, seal=self._seal(digest)))
            head = Head(bare.sequence, digest)
        return rows

    def _seal(self, digest: str) -> str:
        return hmac.new(self._key, digest.encode(), sha256).hexdigest()

    def _is_mine(self, row: Row) -> bool:
        """Whether the object that is there is this very row: an answer of S3 was lost, and the request sent again."""
        return self._vault.get(_key(row.sequence)) == _written(row)

    def _seen(self, row: Row) -> None:
        self._last = row
        for observer in self._observers:
            observer(row)

    def _found(self, content: bytes, sequence: int) -> Row:
        """The row in these bytes; a damaged one by the hash of its bytes, so that the trail goes on behind it."""
        try:
            return _read(content, sequence)
        except PermanentError:
            at = self._last.at if self._last else self._clock().astimezone(UTC)
            return Row(sequence, at, Entry("", "damaged"), "", sha256(content).hexdigest(), "")

    def _or_none(self, sequence: int) -> Row | None:
        try:
            return self._cached(sequence)
        except PermanentError:
            return None

    def _row(self, sequence: int) -> Row:
        return _read(self._vault.get(_key(sequence)) or b"", sequence)

    def _remember(self, row: Row) -> None:
        if self._memory is None:
            return
        part = self._memory.with_name(f".{self._memory.name}.{token_hex(4)}.part")
        self._memory.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(str(Head(row.sequence, row.hash)))
        part.replace(self._memory)

    def _recall(self) -> Head | None:
        if self._memory is None or not self._memory.is_file():
            return None
        return Head.parse(self._memory.read_text())


def day_begins(day: date) -> datetime:
    """The first instant of a day in UTC, as the trail counts days."""
    return datetime.combine(day, time(), UTC)


def _key(sequence: int) -> str:
    digits = f"{sequence:0{_DIGITS}}"
    return f"{_FOLDER}/{digits[:-3]}/{digits}.json"


def _plain(row: Row) -> dict[str, Any]:
    return {"sequence": row.sequence, "at": row.at.isoformat(), **asdict(row.entry), "previous": row.previous}


def _hash(row: Row) -> str:
    return sha256(_json(_plain(row))).hexdigest()


def _written(row: Row) -> bytes:
    return _json({**_plain(row), "hash": row.hash, "seal": row.seal})


def _json(content: dict[str, Any]) -> bytes:
    """The same content always gives the same bytes."""
    return json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def _read(content: bytes, sequence: int) -> Row:
    """The row in these bytes.

    Raises:
        PermanentError: there is none, or it is no row.
    """
    try:
        fields = json.loads(content)
        entry = Entry(
            **{name: fields.pop(name) for name in ("actor", "action", "business", "subject", "address", "details")},
            numbers=tuple(fields.pop("numbers")),
        )
        at = datetime.fromisoformat(fields.pop("at"))
        row = Row(at=at, entry=entry, **fields)
    except (ValueError, TypeError, KeyError, AttributeError):
        row = None
    # What stands there must be what we would write: no second spelling of a row is a row.
    if row is None or _written(row) != content:
        raise PermanentError(
            operation="read the audit trail",
            subject=f"row {sequence}",
            cause="it is missing or was changed",
            remedy="run `voxkeep audit verify`, and find out who can write where the trail lies",
        )
    return row
