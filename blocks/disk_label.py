"""The label of a disk that is carried to the centre: a small file that says whose disk it is.

The folder of a disk that is not mounted looks like an empty disk; the label tells the two apart. It is beside the
repositories, so that a disk keeps it wherever it is mounted.
"""

import os
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from blocks.errors import AbsentDiskError, PermanentError

LABEL = "voxkeep-disk.json"
_REFUSED = "take the right disk, or prepare this one for voxkeep after looking what is on it"


class DiskLabel(BaseModel):
    """Whose disk this is."""

    model_config = ConfigDict(frozen=True)

    disk_id: str = Field(pattern="^[0-9a-f]{32}$", description="Names the disk for ever.")
    label: str = Field(min_length=1, description="What people call the disk, as it stands on its sticker.")
    serial: str = Field(description="Serial number of the device; the disk's id, where it could not be known.")
    business: str = Field(description="The business.")
    site: str = Field(description="The site.")
    prepared_at: datetime = Field(description="When it was prepared.")


def label_of(folder: Path) -> DiskLabel | None:
    """The label of the disk whose repositories lie in this folder; None where there is none.

    Raises:
        PermanentError: it cannot be read.
    """
    try:
        return DiskLabel.model_validate_json((folder / LABEL).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValidationError) as error:
        cause = error.strerror or str(error) if isinstance(error, OSError) else "it is no label of voxkeep"
        raise PermanentError(
            operation="read the label of a disk", subject=str(folder / LABEL), cause=cause, remedy=_REFUSED
        ) from None


def find_disk(folder: Path) -> tuple[Path, DiskLabel]:
    """The folder of the repositories and the label of the disk that is mounted at `folder`, or whose folder it is.

    Raises:
        PermanentError: there is no label, or there are several.
    """
    found = [(place, label) for place in (folder, *sorted(folder.glob("*/"))) if (label := label_of(place))]
    if len(found) == 1:
        return found[0]
    raise PermanentError(
        operation="find a disk",
        subject=str(folder),
        cause=f"there are {len(found)} labels ({LABEL}) there" if found else f"there is no label ({LABEL}) there",
        remedy="mount the disk and name the folder of its repositories; `voxkeep carry prepare` makes a label",
    )


def require_disk(folder: Path, business: str, site: str) -> DiskLabel:
    """The label of a disk of this site that is there.

    Raises:
        AbsentDiskError: no disk is there, or another one.
    """
    label = label_of(folder)
    if label and (label.business, label.site) == (business, site):
        return label
    if label:
        cause = f"the disk {label.label} that is there is of {label.business}/{label.site}"
    else:
        cause = f"there is no label ({LABEL}): the disk is not mounted, or was never prepared"
    raise AbsentDiskError(
        operation=f"back up {business}/{site}",
        subject=str(folder),
        cause=cause,
        remedy=f"mount the site's disk, or prepare it with `voxkeep carry prepare {folder}`",
    )


def label_disk(folder: Path, business: str, site: str, label: str) -> DiskLabel:
    """Make this folder a disk of the site; one that has its label keeps it.

    Raises:
        PermanentError: it has another label, or cannot be written to.
    """
    known = label_of(folder)
    if known and (known.business, known.site, known.label) == (business, site, label):
        return known
    if known:
        raise PermanentError(
            operation=f"prepare a disk of {business}/{site}",
            subject=str(folder),
            cause=f"it is the disk {known.label} of {known.business}/{known.site} already",
            remedy=_REFUSED,
        )
    try:
        if not folder.parent.is_dir():
            raise FileNotFoundError(0, "the folder above it is not there")
        folder.mkdir(exist_ok=True)
        disk_id = uuid4().hex
        made = DiskLabel(
            disk_id=disk_id, label=label, serial=serial_of(folder) or disk_id, business=business, site=site,
            prepared_at=datetime.now(UTC),
        )  # fmt: skip
        _write(folder / LABEL, made.model_dump_json(indent=1))
    except OSError as error:
        raise PermanentError(
            operation=f"prepare a disk of {business}/{site}",
            subject=str(folder),
            cause=error.strerror or str(error),
            remedy="mount the disk, and let the user who runs voxkeep write to it",
        ) from None
    return made


def _write(file: Path, text: str) -> None:
    part = file.with_name(f".{file.name}.part")
    with part.open("w", encoding="utf-8") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    part.replace(file)


def serial_of(folder: Path) -> str | None:
    """The serial number of the device on which the folder lies, as Linux knows it; None where it does not.

    https://www.kernel.org/doc/Documentation/ABI/stable/sysfs-block, and the database of udev. That of a disk in a case
    for USB is often the case's.
    """
    number = folder.stat().st_dev
    name = f"{os.major(number)}:{os.minor(number)}"
    known = _text(Path(f"/run/udev/data/b{name}"))
    told = [line.partition("=")[2] for line in known.splitlines() if line.startswith("E:ID_SERIAL_SHORT=")]
    device = Path(f"/sys/dev/block/{name}").resolve()
    places = [above / file for above in (device, device.parent) for file in ("serial", "device/serial")]
    return next(filter(None, (*told, *(_text(place).strip() for place in places))), None)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
