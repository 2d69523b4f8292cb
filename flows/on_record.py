"""What a flow puts on record in the audit trail, before it does it: also when somebody started it in Prefect's UI."""

from typing import Any

from prefect.runtime import flow_run

from blocks.audit_log import AuditLog
from blocks.errors import SettingsError
from blocks.saved import load
from blocks.trail import Entry

# Prefect does not tell who started a run: whoever did so by the page or the command line has a row of their own.
ACTOR = "prefect"


def audit_log(business: str) -> AuditLog:
    """The audit trail of the business.

    Raises:
        SettingsError: nobody has said yet where it lies.
    """
    try:
        return load(AuditLog, business)
    except SettingsError as error:
        raise SettingsError(
            operation="reach the audit trail", subject=error.subject, cause=error.cause,
            remedy="run `voxkeep apply FILE`; where businesses have several storages, first name one in listen.yaml",
        ) from None  # fmt: skip


def on_record(business: str, action: str, subject: str, **details: Any) -> None:  # noqa: ANN401  # any plain value
    """Write that this run is about to do this.

    Raises:
        SettingsError, TransientError, PermanentError: it could not be written: it must not be done.
    """
    run = str(flow_run.id or "")
    audit_log(business).append(Entry(ACTOR, action, business, subject, details={**details, "run": run}))
