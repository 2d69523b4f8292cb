"""`voxkeep purge`: at the site, delete what a signed list names, and report back with the next backup.

It needs the list, its signature beside it, and the public key that the centre has given out on another way.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import polars as pl

from blocks.business import STAGING
from blocks.errors import SettingsError
from blocks.lock import exclusive
from blocks.purge import DELETED, NOT_THERE, WOULD_GO, Named, purge
from blocks.signing import is_signed
from reconcile.purge import is_expired, purge_report, read_list

_TOLD = 20


@dataclass(frozen=True)
class Order:
    """A list that was found to be signed, in time, and for the machine that it is on."""

    said: dict[str, Any]
    entries: pl.DataFrame
    root: Path
    reports: Path

    @property
    def report(self) -> Path:
        """What was deleted, for the centre."""
        return self.reports / f"{self.said['list_id']}.json"

    @property
    def journal(self) -> Path:
        """What was begun to be deleted: a run that was killed is completed from it."""
        return self.reports / f".{self.said['list_id']}.journal"


def carry_out(file: Path, key: Path, staging: Path | None, *, really: bool) -> dict[str, Any]:
    """Delete what the list names, where `really`, and write the report; what was done, and what stays and why.

    Raises:
        SettingsError: the list is not the centre's, not this site's, too old, or was carried out before.
        TransientError: another purge or a backup of the site has been at work all the time.
    """
    order = read_order(file, key, staging, datetime.now(UTC))
    files = [Named(*row) for row in order.entries.select("path", "size", "mtime_us", "sha256").iter_rows()]
    with _journal(order, really=really) as journal:
        begun = _begun(order)
        before = _writer(journal) if journal else None
        outcomes = [(named, _outcome(named, what, begun)) for named, what in purge(order.root, files, before)]
        if journal:
            _report(order, [named.path for named, what in outcomes if what == DELETED])
    stays = [(named, what) for named, what in outcomes if what not in (DELETED, WOULD_GO)]
    return {
        "business": order.said["business"],
        "site": order.said["site"],
        "list_id": order.said["list_id"],
        "root": str(order.root),
        "named": len(files),
        "deleted" if really else "would be deleted": len(outcomes) - len(stays),
        "bytes": sum(named.size for named, what in outcomes if what in (DELETED, WOULD_GO)),
        "stays": len(stays),
        "why": [f"{named.path}: {what}" for named, what in stays[:_TOLD]],
        "report": str(order.report) if really else "a dry run: nothing was deleted; --really deletes",
    }


def read_order(file: Path, key: Path, staging: Path | None, now: datetime) -> Order:
    """The list, once everything about it is right."""
    content, signature = _read(file), _read(file.with_name(f"{file.name}.sig"))
    if not is_signed(content, signature, _read(key)):
        raise _refused(file, "it is not signed by the owner of this key, or was altered", "take the list anew")
    said, entries = read_list(content)
    if is_expired(said, now):
        raise _refused(file, f"it was valid until {said['expires_at']}", "have the centre make a new one")
    folder = staging or Path(said["staging"])
    run = _run_of(folder)
    if (run.get("business"), run.get("site")) != (said["business"], said["site"]):
        raise _refused(
            file,
            f"it is for {said['business']}/{said['site']}, and {folder} is not that site's staging folder",
            "carry it to the right machine; --staging names the folder where it is another than the settings say",
        )
    order = Order(said, entries, Path(run["root"]), folder.resolve() / "purged")
    _refuse_done(order)
    return order


def _run_of(staging: Path) -> dict[str, Any]:
    """What the site's last backup says of itself; nothing where there was none."""
    try:
        found: dict[str, Any] = json.loads((staging / STAGING / "run.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return found


def _refused(file: Path, cause: str, remedy: str) -> SettingsError:
    return SettingsError(operation="carry out a purge list", subject=str(file), cause=cause, remedy=remedy)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise _refused(
            file, error.strerror or str(error), "bring list.json and list.json.sig, both, and the key"
        ) from None


@contextmanager
def _journal(order: Order, *, really: bool) -> Iterator[TextIO | None]:
    """The journal, while no other purge and no backup of the site is at work; None in a dry run."""
    if not really:
        yield None
        return
    order.reports.mkdir(parents=True, exist_ok=True)
    with exclusive(order.reports.parent / "backup.lock", f"purge {order.said['business']}/{order.said['site']}"):
        _refuse_done(order)
        with order.journal.open("a", encoding="utf-8") as journal:
            journal.write("\n")  # behind what may be half a line
            yield journal


def _refuse_done(order: Order) -> None:
    if order.report.exists() or (order.reports / "taken" / order.report.name).exists():
        raise _refused(order.report, "the list was carried out before", "have the centre make a new one")


def _writer(journal: TextIO) -> Callable[[Named], None]:
    """Writes down each file before it is deleted."""

    def write(named: Named) -> None:
        journal.write(json.dumps([named.path, datetime.now(UTC).isoformat(timespec="microseconds")]) + "\n")
        journal.flush()

    return write


def _begun(order: Order) -> dict[str, datetime]:
    """When the deletion of which path was begun; the last line of a killed run may be half a line."""
    begun = {}
    for line in order.journal.read_text(encoding="utf-8").splitlines() if order.journal.is_file() else []:
        try:
            path, at = json.loads(line)
        except ValueError:
            continue
        begun[path] = datetime.fromisoformat(at)
    return begun


def _outcome(named: Named, what: str, begun: dict[str, datetime]) -> str:
    """A file that is not there, and whose deletion a killed run had begun, was deleted."""
    return DELETED if what == NOT_THERE and named.path in begun else what


def _report(order: Order, deleted: list[str]) -> None:
    """Write what was deleted, whole or not at all; then the list is done with."""
    begun = _begun(order)
    times = pl.DataFrame(
        [(path, begun[path]) for path in deleted],
        schema={"path": pl.String, "purged_at": pl.Datetime("us", "UTC")}, orient="row",
    )  # fmt: skip
    content = purge_report(order.said, order.entries.join(times, on="path", how="inner", maintain_order="left"))
    part = order.report.with_suffix(".part")
    part.write_bytes(content)
    part.replace(order.report)
    order.journal.unlink()
