"""What searches look at of one partition, as it lies in memory."""

from dataclasses import dataclass

import numpy as np
import polars as pl


@dataclass(frozen=True)
class Narrow:
    """The calls of a partition, and which of them have which value of an attribute.

    A value is known by a hash of 64 bits, in order; a hash is of this process only.
    """

    calls: pl.DataFrame
    hashes: np.ndarray
    rows: np.ndarray

    def having(self, wanted: np.ndarray) -> pl.DataFrame:
        """The calls that have all of these values (`hashes_of`)."""
        if not wanted.size:
            return self.calls
        starts, ends = (np.searchsorted(self.hashes, wanted, side) for side in ("left", "right"))
        found = [self.rows[start:end] for start, end in zip(starts, ends, strict=True)]
        rows = found[0]
        for others in found[1:]:
            rows = np.intersect1d(rows, others)
        return self.calls[np.unique(rows)] if rows.size else self.calls.head(0)

    def size(self) -> int:
        """Bytes in memory, roughly."""
        return int(self.calls.estimated_size()) + self.hashes.nbytes + self.rows.nbytes


def hashes_of(attributes: tuple[tuple[str, str], ...]) -> np.ndarray:
    """What each name and value is known by."""
    return pl.Series([f"{name}\0{value}" for name, value in attributes], dtype=pl.String).hash().to_numpy()


def narrow(columns: pl.DataFrame) -> Narrow:
    """What a search looks at, of its columns (`OWN` and `DERIVED_SCHEMA` of blocks.searchable)."""
    values = (
        columns.select("attribute_values")
        .with_row_index("row")
        .explode("attribute_values", empty_as_null=True)
        .drop_nulls()
        .select("row", pl.col("attribute_values").hash().alias("hash"))
        .sort("hash", "row")
    )
    return Narrow(columns.drop("attribute_values"), values["hash"].to_numpy(), values["row"].to_numpy())
