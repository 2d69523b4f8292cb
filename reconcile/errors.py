"""The engine's errors.

VoxkeepError        operation, subject, cause, remedy
├── ContractError   a frame does not have the columns and types it must have
├── RuleError       a rule, preset or name template that cannot mean anything
└── UnreadableError a file that cannot be read as a whole (single bad rows are set aside instead)
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
