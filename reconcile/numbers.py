"""Telephone numbers, made comparable: the same line written in two ways becomes the same text."""

import unicodedata
from collections.abc import Iterable

import polars as pl

from reconcile.rules import NumberRules

# So many digits remain of a number that a prefix is taken off, and of a part of one that somebody looks for.
_REMAIN, _REMAIN_OF_PART = 7, 4
_NO_DIGIT_OR_MASK = r"[^0-9*]"


def normalised(number: pl.Expr, rules: NumberRules, remain: int = _REMAIN) -> pl.Expr:
    """The number as digits only, without access code, own country's code and trunk prefix; null where it has none.

    `+86 153-7238 8463`, `0086…`, `015372388463` and `15372388463` all become `15372388463`. A mask (`*`, `x`)
    stays, as `*`. A prefix is taken off only where at least `remain` digits do, so that short numbers survive.
    """

    def of(texts: pl.Series) -> pl.Series:
        return _normalised(texts, rules, remain)

    return number.map_batches(of, return_dtype=pl.String, is_elementwise=True)


def _normalised(texts: pl.Series, rules: NumberRules, remain: int) -> pl.Series:
    """Step by step, each only where a number asks for it: most are digits alone, and regular expressions take time."""
    has_others = bool(texts.str.contains(_NO_DIGIT_OR_MASK).any())
    if has_others:
        texts = texts.str.replace_all(r"[\s\-().]", "").str.replace_all(r"[xX*＊]", "*")
    for prefixes in (rules.access_codes, rules.country_codes, rules.trunk_prefixes):
        texts = _without_prefix(texts, prefixes, remain)
    if has_others:
        texts = texts.str.replace_all(_NO_DIGIT_OR_MASK, "")
    return texts.set(~texts.str.contains("[0-9]"), None)


def searched(typed: str, rules: Iterable[NumberRules]) -> str:
    """What to look for in normalised numbers, of a number or a part of one however it was typed: digits, or `typed`.

    Taking prefixes off leaves an ending. So of the forms that the businesses' rules give, the shortest is a part of all
    others, and finds in each business whatever its own form would find. Of a part, a prefix is taken off already where
    four digits remain: `0216123` finds `02161234567`, which is kept as `2161234567`. It may find more, never less.
    """
    plain = unicodedata.normalize("NFKC", typed).strip()
    forms = [pl.select(normalised(pl.lit(plain), each, _REMAIN_OF_PART)).item() for each in rules]
    return min((form for form in forms if form), key=len, default=plain)


def _without_prefix(texts: pl.Series, prefixes: list[str], remain: int) -> pl.Series:
    """The numbers without the longest of the prefixes behind which enough remains."""
    shortened, is_open = texts, pl.repeat(value=True, n=len(texts), eager=True)
    for prefix in sorted(prefixes, key=len, reverse=True):
        starts = texts.str.starts_with(prefix) & is_open
        if starts.any():
            rest = texts.str.strip_prefix(prefix)
            fits = starts & rest.str.contains(f"^[0-9*]{{{remain},}}$")
            shortened, is_open = rest.zip_with(fits, shortened), is_open & ~fits
    return shortened
