"""`voxkeep certificate verify`: whether a certificate and its files are as they were issued, and hold a recording."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blocks.errors import SettingsError
from blocks.signing import is_signed
from reconcile import merkle
from reconcile.certificate import FORMAT, disagreements, hashes
from voxkeep.console import out, table


@dataclass(frozen=True)
class Verified:
    """What a certificate says, what is wrong with it, and where the recordings asked about stand in it."""

    certified: dict[str, Any]
    wrong: list[str]
    recordings: list[dict[str, Any]]

    def good(self) -> bool:
        """Whether nothing is wrong and every recording is in it."""
        return not self.wrong and all(row["line"] for row in self.recordings)

    def plain(self) -> dict[str, Any]:
        """All of it as one plain object."""
        keys = ("business", "since", "until", "complete", "coverage", "issued_at")
        return {
            "good": self.good(),
            "wrong": self.wrong,
            **{key: self.certified.get(key) for key in keys},
            "recordings": self.recordings,
        }


def verify(folder: Path, key: Path | None, recordings: list[Path]) -> Verified:
    """Check signature, list and root of the certificate in this folder, and look up these files by their content.

    `key`: the public key that the issuer gave out; the one in the folder proves only that the files belong together.

    Raises:
        SettingsError: there is no certificate in the folder, or a file cannot be read.
    """
    content, listed = _read(folder / "certificate.json"), _read(folder / "recordings.csv")
    certified = _parsed(content, folder)
    wrong = []
    if not is_signed(content, _read(folder / "certificate.json.sig"), _read(key or folder / "public-key.pem")):
        wrong.append("the signature is not that of this certificate and key")
    wrong += disagreements(certified, listed)
    entries = hashes(listed)
    return Verified(certified, wrong, [_looked_up(file, entries) for file in recordings])


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise SettingsError(
            operation="read a certificate",
            subject=str(file),
            cause=error.strerror or str(error),
            remedy="name the folder that holds certificate.json and what was issued with it",
        ) from None


def _parsed(content: bytes, folder: Path) -> dict[str, Any]:
    try:
        certified: dict[str, Any] = json.loads(content)
        known = certified["format"] == FORMAT
    except (ValueError, KeyError, TypeError):
        known = False
    if not known:
        raise SettingsError(
            operation="read a certificate",
            subject=str(folder / "certificate.json"),
            cause=f"it is no {FORMAT}",
            remedy="take the file as it was issued",
        )
    return certified


def _looked_up(file: Path, entries: list[bytes]) -> dict[str, Any]:
    """The line of the list that has the file's content (None where none has), and the proof that it is in the tree."""
    entry = hashlib.sha256(_read(file)).digest()
    found: dict[str, Any] = {"file": str(file), "sha256": entry.hex(), "line": None, "proof": []}
    if entry in entries:
        place = entries.index(entry)
        steps = [{"side": step.side, "node": step.node.hex()} for step in merkle.proof(entries, place)]
        # The first line names the columns.
        found |= {"line": place + 2, "proof": steps}
    return found


def show(verified: Verified) -> None:
    """What was found, for people."""
    said = verified.certified
    out.print(f"{said['title']}, {said['since']} to {said['until']}: ", end="", markup=False)
    out.print("as it was issued" if not verified.wrong else "[bold red]not as it was issued[/]")
    for cause in verified.wrong:
        out.print(f"  {cause}", markup=False)
    complete = "complete" if said["complete"] else "not complete"
    out.print(f"it says: {complete}, coverage {said['coverage']:.2%}, {said['hashes']['count']:,} recordings")
    rows = [[row["file"], f"line {row['line']}" if row["line"] else "not in it"] for row in verified.recordings]
    if rows:
        out.print(table("", ["recording", "recordings.csv"], rows, numbers_from=9))
