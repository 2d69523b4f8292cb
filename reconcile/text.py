"""Texts made of columns."""

from itertools import chain, zip_longest

import polars as pl


def tenths(name: str) -> pl.Expr:
    """The column's number to one place behind the point; a zero has no sign."""
    rounded = pl.col(name).round(1)
    # To add 0.0 would do, if Polars did not leave that out.
    return pl.when(rounded == 0).then(0.0).otherwise(rounded)


def filled(template: str, *values: str | pl.Expr) -> pl.Expr:
    """The template with a value in place of each `{}`: a column's name, or an expression; null where one is null.

    As `pl.format` should do, which fails now and then on a large frame: "assertion failed: i < self.len()"
    (https://github.com/pola-rs/polars/issues/25525).
    """
    between = [pl.lit(text) for text in template.split("{}")]
    given = [pl.col(value) if isinstance(value, str) else value for value in values]
    return pl.concat_str(part for part in chain(*zip_longest(between, given)) if part is not None)
