"""Ids that stay the same for ever, whoever computes them, wherever.

`recording_id` = first 32 hex digits of SHA-256 over `business NUL site NUL path`;
`call_uid` likewise over `business NUL site NUL dataset NUL call_id NUL leg`.
"""

import hashlib

import polars as pl
import polars_hash as plh

from reconcile.errors import ContractError


def stable_id(*parts: str, digits: int = 32) -> str:
    """First `digits` hex digits of SHA-256 over the UTF-8 parts, joined by NUL."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:digits]


def stable_ids(prefix: tuple[str, ...], columns: list[pl.Series], digits: int = 32) -> pl.Series:
    """`stable_id` (String) of the prefix and each row's values; the columns are String, of one length.

    Raises:
        ContractError: a row lacks a value, so that it could never be known again.
    """
    lacking = [column.name for column in columns if column.null_count()]
    if lacking:
        raise ContractError(
            operation="give rows their ids",
            subject=", ".join(lacking),
            cause="there are rows without a value",
            remedy="set these rows aside, or give them one",
        )
    frame = pl.DataFrame([column.alias(str(place)) for place, column in enumerate(columns)])
    parts = [*(pl.lit(part, pl.String) for part in prefix), *(pl.col(name) for name in frame.columns)]
    return frame.select(plh.concat_str(parts, separator="\0").chash.sha2_256().str.head(digits).alias("")).to_series()
