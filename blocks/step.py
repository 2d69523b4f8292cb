"""One thing that `voxkeep apply` makes or changes in the outside world: first told, then done."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Action = Literal["create", "change", "unchanged"]


@dataclass(frozen=True)
class Step:
    """What it is about (no secrets), what is to be done, and the doing of it; harmless when done twice."""

    what: str
    action: Action
    do: Callable[[], None]
