"""The catalog as retention has it: rows can be taken out of a partition, and never without the guard."""

from contextlib import suppress
from datetime import date
from pathlib import Path

import polars as pl
from fsspec.implementations.local import LocalFileSystem
from pydantic import Field, SecretStr

from blocks.catalog import Catalog, told
from blocks.guard import Guard, Permit
from blocks.versions import Versions


class RetainedCatalog(Catalog):
    """The catalog with the key of retention.

    Attributes:
        guard: What keeps rows from being removed before their time.
    """

    _block_type_name = "Voxkeep retained catalog"
    _block_type_slug = "voxkeep-retained-catalog"

    guard: Guard = Field(description="What keeps rows from being removed before their time.")

    def remove(self, frame: str, site: str, day: date, kept: pl.DataFrame, permit: Permit) -> None:
        """Leave only the rows `kept` of the partition; older versions of it go, too.

        A partition of which nothing is kept is removed.

        Raises:
            KeptError: one of the other rows must stay; then all of them do.
        """
        there = self.read(frame, self.guard.business, site, [day], kept.schema)
        gone = there.join(kept, on=there.columns, how="anti", nulls_equal=True)
        self.guard.check_rows(site, day, gone, permit)
        name = self._partition(frame, self.guard.business, day, site)
        if kept.height:
            self.write(frame, self.guard.business, site, day, kept)
        else:
            self._delete(name)
        versions = self._versions()
        if versions is not None:
            versions.remove_replaced(name)

    def forget_older(self, frame: str, site: str, month: date) -> None:
        """Clear away older versions of what was gathered of a month."""
        versions = self._versions()
        if versions is not None:
            name = f"summaries/{frame}/business={self.guard.business}/month={month:%Y-%m}/{site}.parquet"
            versions.remove_replaced(name)

    def _delete(self, name: str) -> None:
        system, root = self._reach()
        with told("remove from the catalog", name), suppress(FileNotFoundError):
            system.rm_file(f"{root}/{name}")
            if isinstance(system, LocalFileSystem):
                with suppress(OSError):  # another site's partition is there
                    Path(f"{root}/{name}").parent.rmdir()

    def _versions(self) -> Versions | None:
        system, root = self._reach()
        if isinstance(system, LocalFileSystem) or self.storage_options is None:
            return None
        options = self.storage_options.get_secret_value()
        bucket, _, prefix = root.partition("/")
        return Versions(
            endpoint=options["client_kwargs"]["endpoint_url"],
            bucket=bucket,
            access_key=options["key"],
            secret_key=SecretStr(options["secret"]),
            region=options["client_kwargs"].get("region_name", "us-east-1"),
            prefix=f"{prefix}/",
        )
