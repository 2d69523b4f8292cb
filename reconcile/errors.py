"""The engine's errors.

VoxkeepError        operation, subject, cause, remedy
├── ContractError   a frame does not have the columns and types it must have
├── RuleError       a rule, preset or name template that cannot mean anything
├── UnreadableError a file that cannot be read as a whole (single bad rows are set aside instead)
└── ListError       a list of what to look for that cannot be used, and in which way
"""


class VoxkeepError(Exception):
    """What failed, on what, why, and what to do about it."""

    def __init__(self, *, operation: str, subject: str, cause: str, remedy: str) -> None:
        self.operation = operation
        self.subject = subject
        self.cause = cause
        self.remedy = remedy
        super().__init__(f"Cannot {operation}: {subject}: {cause}. To mend it: {remedy}.")


class ContractError(VoxkeepError):
    """A frame does not have the columns and types it must have."""


class RuleError(VoxkeepError):
    """A rule, preset or name template cannot mean anything."""


class UnreadableError(VoxkeepError):
    """A file cannot be read as a whole."""


class ListError(VoxkeepError):
    """A list of what to look for cannot be used: it is `too_large`, `too_many`, `too_long`, `empty`, `unreadable`."""

    def __init__(self, why: str, cause: str) -> None:
        self.why = why
        super().__init__(
            operation="read the list", subject="what to look for", cause=cause,
            remedy="give text with an entry a line, CSV, or XLSX with the entries in its first column",
        )  # fmt: skip
