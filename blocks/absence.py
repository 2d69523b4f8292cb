"""Since when a site without network has no disk: a small file in its staging folder, lost with no harm but time."""

import json
from datetime import datetime
from pathlib import Path

_FILE = "disk-absent.json"


def absent_since(staging: Path) -> datetime | None:
    """Since when the disk of the site with this staging folder is absent; None where it was there at the last look."""
    try:
        return datetime.fromisoformat(json.loads((staging / _FILE).read_text())["since"])
    except (OSError, ValueError, KeyError):
        return None


def remember_absence(staging: Path, now: datetime) -> datetime:
    """Remember that there is no disk; returns since when."""
    known = absent_since(staging)
    if known is None:
        staging.mkdir(parents=True, exist_ok=True)
        part = staging / f".{_FILE}.part"
        part.write_text(json.dumps({"since": now.isoformat()}))
        part.replace(staging / _FILE)
    return known or now


def forget_absence(staging: Path) -> None:
    """The disk is there."""
    (staging / _FILE).unlink(missing_ok=True)
