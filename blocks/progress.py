"""How far a piece of work is: a file that the work replaces as it goes, and that others read.

It is for people's eyes only: what is done stands in the work's own files, and whoever goes on looks there.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Any, Literal

from blocks.lock import is_held

State = Literal["asked", "running", "done", "failed", "interrupted"]
Tell = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Told:
    """What was told last.

    Attributes:
        state: `asked`: it waits to begin; `interrupted`: it was running, and nobody is at it any more.
        what: Which work it is.
        step: What is being done.
        done: So many things of this step are done.
        of: So many things there are.
        outcome: What came of it, in figures.
        error: Why it failed.
        at: When this was told.
    """

    state: State
    what: str
    step: str = ""
    done: int = 0
    of: int = 0
    outcome: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    at: datetime = datetime(1970, 1, 1, tzinfo=UTC)

    @property
    def goes_on(self) -> bool:
        """Whether more is to be told without anybody doing anything."""
        return self.state in ("asked", "running")


class Progress:
    """The file, and the lock that the work holds while it runs (blocks.lock)."""

    def __init__(self, file: Path, lock: Path) -> None:
        self.file = file
        self.lock = lock

    def tell(self, told: Told) -> None:
        """Tell this from now on."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        part = self.file.with_name(f".{self.file.name}.{token_hex(4)}.part")
        part.write_text(json.dumps(asdict(replace(told, at=datetime.now(UTC))), ensure_ascii=False, default=str))
        part.replace(self.file)

    def read(self) -> Told | None:
        """What was told last; None where nobody has told anything."""
        told = self._read()
        if told is None or told.state != "running" or is_held(self.lock):
            return told
        told = self._read()  # it may have ended since
        return replace(told, state="interrupted") if told and told.state == "running" else told

    def _read(self) -> Told | None:
        try:
            content = json.loads(self.file.read_text())
        except FileNotFoundError:
            return None
        return Told(**content | {"at": datetime.fromisoformat(content["at"])})

    @contextmanager
    def telling(self, what: str) -> Iterator[tuple[Tell, dict[str, Any]]]:
        """Tell of the work in the body, which holds the lock: that it runs, by the function how far, how it ended.

        The body writes what came of it into the dict.
        """
        outcome: dict[str, Any] = {}
        self.tell(Told("running", what))
        try:
            yield lambda step, done, of: self.tell(Told("running", what, step, done, of)), outcome
        except Exception as error:
            self.tell(Told("failed", what, error=str(error)))
            raise
        self.tell(Told("done", what, outcome=outcome))
