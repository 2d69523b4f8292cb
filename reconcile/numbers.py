"""Telephone numbers, made comparable: the same line written in two ways becomes the same text."""

import re

import polars as pl

from reconcile.rules import NumberRules


def normalised(number: pl.Expr, rules: NumberRules) -> pl.Expr:
    """The number as digits only, without access code, own country's code and trunk prefix; null where it has none.

    `+86 153-7238 8463`, `0086…`, `015372388463` and `15372388463` all become `15372388463`. A mask (`*`, `x`)
    stays, as `*`. A prefix is taken off only where at least seven digits remain, so that short numbers survive.
    """
    text = number.str.replace_all(r"[\s\-().]", "").str.replace_all(r"[xX*＊]", "*")
    for prefixes in (rules.access_codes, rules.country_codes, rules.trunk_prefixes):
        if prefixes:
            text = _without_prefix(text, prefixes)
    digits = text.str.replace_all(r"[^0-9*]", "")
    return pl.when(digits.str.contains("[0-9]")).then(digits)


def _without_prefix(text: pl.Expr, prefixes: list[str]) -> pl.Expr:
    escaped = "|".join(re.escape(prefix) for prefix in sorted(prefixes, key=len, reverse=True))
    return text.str.replace(f"^(?:{escaped})([0-9*]{{7,}})$", "${1}")
