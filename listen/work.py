"""What the page has done for it: flows, which it neither knows nor waits for."""

from typing import Any, Protocol

from blocks.progress import Progress


class Work(Protocol):
    """Whoever starts flows."""

    def start(self, flow: str, parameters: dict[str, Any], progress: Progress) -> None:
        """Have the flow of this name run soon, and return at once; it tells by `progress`. Twice is harmless.

        Raises:
            TransientError, PermanentError: it cannot be started.
        """
