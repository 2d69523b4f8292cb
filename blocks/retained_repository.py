"""The repositories as retention has them: the only ones that can lose anything, and never without the guard."""

import os
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import polars as pl
from pydantic import Field

from blocks.errors import SettingsError
from blocks.guard import Guard, Permit
from blocks.paths import unescape_path
from blocks.repository import LOCKED, Repository
from blocks.versions import Versions

# Another program may hold the repository for a moment; restic asks again for so long.
_PATIENCE = "2m"
_DROPPED = ".dropped"
# Tag of a copy of what people decided: no backup, so the newest is enough.
DECISIONS = "decisions"
_BACKUP = "day="
# What is packed anew would be compressed by the way.
_AS_IT_IS = ("--compression", "off")


@dataclass(frozen=True)
class Excluded:
    """What is to go out of a snapshot: recordings by their paths below `root`, files of the staging folder."""

    root: str
    paths: tuple[str, ...]
    staging: str = ""
    staged: tuple[str, ...] = ()


class RetainedRepository(Repository):
    """The repositories of one site, with the key of retention: exclusive access, and leave to delete.

    Attributes:
        site: The site.
        guard: What keeps snapshots and recordings from being removed before their time.
    """

    _block_type_name = "Voxkeep retained restic repository"
    _block_type_slug = "voxkeep-retained-repository"

    site: str = Field(description="The site.")
    guard: Guard = Field(description="What keeps snapshots and recordings from being removed before their time.")

    def drop(self, year: int, permit: Permit) -> bool:
        """Remove the year's repository as a whole; False when it was gone already.

        Raises:
            KeptError: it must stay.
        """
        self.guard.check_repository(self.site, year, self._backups(year), permit)
        versions = self._versions(year)
        if versions is not None:
            # Without its config it is no repository any more, for whoever looks meanwhile.
            versions.remove("config")
            return versions.remove("")[0] > 0
        place = self._of(year)
        place._check_folder()  # noqa: SLF001  # one of its own kind
        folder = Path(f"{place.location}/{year}")
        dropped = folder.with_name(f"{year}{_DROPPED}")
        was_there = folder.exists() or dropped.exists()
        if folder.exists():
            shutil.rmtree(dropped, ignore_errors=True)
            folder.rename(dropped)
        shutil.rmtree(dropped, ignore_errors=True)
        return was_there

    def forget(self, year: int, snapshot_ids: Collection[str], permit: Permit) -> None:
        """Forget these snapshots, and prune what no other one holds.

        Raises:
            KeptError: the catalog says that something is only in one of them.
        """
        self.guard.check_snapshots(self.site, year, snapshot_ids, self._backups(year), permit)
        there = set(self.snapshots(year)["snapshot_id"])
        wanted = sorted(there.intersection(snapshot_ids))
        if wanted:
            self._run(year, ["forget", "--retry-lock", _PATIENCE, "--", *wanted])
        self.prune(year)

    def exclude(self, year: int, snapshot_ids: Collection[str], wanted: Excluded, permit: Permit) -> None:
        """Take these files out of the snapshots, which are written anew under new ids; those without them stay.

        Raises:
            KeptError: one of the recordings must stay.
        """
        self.guard.check_paths(self.site, wanted.paths, permit)
        files = [os.fsencode(wanted.root) + b"/" + unescape_path(path) for path in wanted.paths]
        files += [os.fsencode(f"{wanted.staging}/{name}") for name in wanted.staged]
        # Paths hold telephone numbers: they must not be seen in the list of this machine's processes.
        with TemporaryDirectory(prefix="voxkeep-") as folder:
            patterns = Path(folder) / "patterns"
            patterns.write_bytes(b"".join(_pattern(file) + b"/\n" for file in sorted(files)))
            arguments: list[str | bytes] = ["rewrite", *_AS_IT_IS, "--retry-lock", _PATIENCE, "--forget"]
            arguments += ["--exclude-file", str(patterns), "--", *sorted(snapshot_ids)]
            if files and snapshot_ids:
                self._run(year, arguments, on_line=lambda _line: None)

    def add_beside(self, year: int, source: Path, *, host: str, tags: list[str]) -> None:
        """Take a snapshot of this folder with these tags."""
        arguments: list[str | bytes] = ["backup", "--json", "--compression", "off", "--host", host, "--force"]
        arguments += [part for tag in tags for part in ("--tag", tag)]
        self._run(year, [*arguments, "--", bytes(source)], on_line=lambda _line: None)

    def add_decisions(self, year: int, source: Path, *, host: str, tags: list[str]) -> None:
        """Take a copy of this folder, with these tags and that of decisions."""
        self.add_beside(year, source, host=host, tags=[DECISIONS, *tags])

    def forget_decisions(self, year: int, snapshot_id: str) -> None:
        """Forget a copy of decisions, and nothing else; not now, where a backup is at work."""
        is_one = pl.col("tags").list.contains(DECISIONS) & ~self._is_backup()
        if snapshot_id in self.snapshots(year).filter(is_one)["snapshot_id"]:
            self._run(year, ["forget", "--", snapshot_id], allowed=(0, LOCKED), on_line=lambda _line: None)

    def _backups(self, year: int) -> frozenset[str]:
        """The ids of the year's snapshots that a backup has taken: not what lies beside them."""
        return frozenset(self.snapshots(year).filter(self._is_backup())["snapshot_id"])

    @staticmethod
    def _is_backup() -> pl.Expr:
        return pl.col("tags").list.eval(pl.element().str.starts_with(_BACKUP)).list.any()

    def prune(self, year: int, *, leave_nothing: bool = False) -> None:
        """Remove what no snapshot holds; restic leaves a little of it in packs that are mostly used, unless told."""
        arguments: list[str | bytes] = ["prune", *_AS_IT_IS, "--retry-lock", _PATIENCE]
        self._run(year, [*arguments, "--max-unused", "0"] if leave_nothing else arguments, on_line=lambda _line: None)
        versions = self._versions(year)
        if versions is not None:
            versions.remove_hidden("")

    def _versions(self, year: int) -> Versions | None:
        place = self._of(year)
        if place.location.startswith("/"):
            return None
        address = urlsplit(place.location.removeprefix("s3:"))
        bucket, _, prefix = address.path.strip("/").partition("/")
        if not (place.access_key and place.secret_key):
            raise SettingsError(
                operation="use the repositories",
                subject=place.location,
                cause="the keys of S3 are not given",
                remedy="give both keys",
            )
        return Versions(
            endpoint=f"{address.scheme}://{address.netloc}",
            bucket=bucket,
            access_key=place.access_key.get_secret_value(),
            secret_key=place.secret_key,
            region=place.region,
            prefix=f"{prefix}/{year}/",
        )


def _pattern(file: bytes) -> bytes:
    r"""The file as restic's patterns name it: `*?[\` are escaped, and `$`, by which it would name a variable.

    A `/` behind it, which restic ignores, keeps blanks of any kind at its end, which restic would take away.

    Raises:
        SettingsError: a line of a file of patterns cannot hold its name.
    """
    if b"\n" in file:
        raise SettingsError(
            operation="take a recording out of a snapshot",
            subject="a file whose name has a line feed",
            cause="restic reads its patterns line by line",
            remedy="drop the whole repository when its time is over",
        )
    for special in (b"\\", b"*", b"?", b"["):
        file = file.replace(special, b"\\" + special)
    return file.replace(b"$", b"$$")
