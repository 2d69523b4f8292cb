"""Masked numbers: `153****8463` can be any line that has the digits it shows, in their places.

A masked digit equals any; numbers are of one length, and show the same digits in at least six places. Rows with a mask
are few: they are compared apart from the others, and only where no whole number fits.
"""

from collections.abc import Iterator

import polars as pl

# With fewer digits in common too many lines look alike.
FEWEST_CLEAR = 6
_MASK = "*"


def masked_alike(legs: pl.DataFrame, files: pl.DataFrame) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """Legs and files with a `number` each, in parts in which equal numbers can be one line: both under one mask.

    Only where one of them is masked; the parts together hold every such pair.
    """
    if not (_has_mask(legs) or _has_mask(files)):
        return
    legs_by, files_by = _by_mask(legs), _by_mask(files)
    for mine, some_legs in legs_by.items():
        for theirs, some_files in files_by.items():
            both = _together(mine, theirs)
            if both is not None:
                yield _under(both, some_legs), _under(both, some_files)


def _has_mask(frame: pl.DataFrame) -> bool:
    return bool(frame["number"].str.contains(_MASK, literal=True).any())


def _by_mask(frame: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """The rows by what their numbers hide: `000****0000`."""
    shape = pl.col("number").str.replace_all("[0-9]", "0").alias("shape")
    parts = frame.drop_nulls("number").with_columns(shape).partition_by("shape", as_dict=True, include_key=False)
    return {str(name): part for (name,), part in parts.items()}


def _together(mine: str, theirs: str) -> str | None:
    """What is hidden by either of two masks of one length; None where nothing is, or too little is left."""
    if len(mine) != len(theirs):
        return None
    both = "".join(_MASK if _MASK in pair else "0" for pair in zip(mine, theirs, strict=True))
    return both if _MASK in both and both.count("0") >= FEWEST_CLEAR else None


def _under(mask: str, frame: pl.DataFrame) -> pl.DataFrame:
    """The rows, their numbers with only the digits that the mask shows."""
    shown = [
        pl.lit(_MASK) if hidden == _MASK else pl.col("number").str.slice(place, 1) for place, hidden in enumerate(mask)
    ]
    return frame.with_columns(pl.concat_str(shown).alias("number"))
