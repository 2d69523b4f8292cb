"""Words of notes, made comparable: what is looked for and what was written become the same text.

Compatible forms of a character are one (`ＡＢＣ` is `abc`), case does not count, and what is neither letter nor
digit only separates. Words are surrounded by blanks, Chinese characters are not: ` 客户说 pay 明天 `. So a Chinese
phrase is a part of the text, a word is a part only as a whole, and the same text with every Chinese character set
apart is what an analyzer that cuts at blanks needs to find the same phrases.
"""

import json
from collections.abc import Callable

import polars as pl

# What stands between two values of a note, and in no value: no phrase is found across it.
_BETWEEN = " | "
# A Chinese character, or letters and digits of other scripts. A radical (⻱) belongs to the script, but is no letter.
_WORD = r"[\p{Han}&&[\p{L}\p{N}\p{M}]]|[[\p{L}\p{N}\p{M}]--\p{Han}]+"
# A string of JSON (with the colon that makes it a name), or a number, true, false, null.
_LEXEME = r'"(?:[^"\\]|\\.)*"\s*:?|[^\s"{}\[\],:]+'


def words_of(notes: pl.Series) -> pl.Series:
    """The words of every value in each text of JSON, whatever its name; null where there is none."""
    words = _of_values(notes, _compared)
    return words.to_frame("words").select(pl.concat_str(pl.lit(" "), "words", pl.lit(" ")).alias("words"))["words"]


def words_apart(notes: pl.Series) -> pl.Series:
    """The same with every Chinese character a word of its own, and one blank between two words."""
    return _of_values(notes, lambda text: set_apart(_folded(text)))


def _of_values(notes: pl.Series, form: Callable[[pl.Expr], pl.Expr]) -> pl.Series:
    """The values of each text of JSON in this form, with a bar between two; null where nothing is left of them."""
    rows = notes.alias("value").to_frame().with_row_index("row")
    values = (
        rows.filter(pl.col("value") != "[]")
        .select("row", plain_values(pl.col("value")))
        .explode("value", empty_as_null=True)
        .filter(pl.col("value").str.ends_with(":").not_(), pl.col("value") != "null")
        .select("row", form(unquoted(pl.col("value"))))
        .filter(pl.col("value") != "")
        .group_by("row", maintain_order=True)
        # Joined afterwards: text by text within the groups takes five times as long.
        .agg(pl.col("value").alias("words"))
        .with_columns(pl.col("words").list.join(_BETWEEN))
    )
    return rows.join(values, on="row", how="left", maintain_order="left")["words"]


def plain_values(text: pl.Expr) -> pl.Expr:
    """The names (which end in a colon) and values of JSON in order, as List(String), still as JSON writes them."""
    return text.str.extract_all(_LEXEME)


def unquoted(token: pl.Expr) -> pl.Expr:
    """The text that a name or value of `plain_values` means."""
    inner = token.str.strip_suffix(":").str.strip_chars_end().str.strip_prefix('"').str.strip_suffix('"')
    escaped = token.str.contains("\\", literal=True) & token.str.starts_with('"')
    return pl.when(escaped).then(inner.map_batches(_unescaped, return_dtype=pl.String)).otherwise(inner)


def phrases(words: str) -> list[str] | None:
    """What must be a part of the words of notes, for each of these words; None where nothing can be."""
    pieces = pl.Series("value", words.split(), dtype=pl.String).to_frame()
    compared = pieces.select(_compared(pl.col("value")))["value"]
    found = [f" {text} " for text in compared if text]
    if words.strip() and not found:
        return None
    # A Chinese phrase may stand beside anything, a word only beside its blanks.
    at_ends = pl.Series("value", found, dtype=pl.String).str.replace(r"^ (\p{Han})", "$1")
    return at_ends.str.replace(r"(\p{Han}) $", "$1").to_list()


def set_apart(text: pl.Expr) -> pl.Expr:
    """The words of a folded text, every Chinese character one of its own, with a blank between two."""
    return text.str.extract_all(_WORD).list.join(" ")


def _compared(text: pl.Expr) -> pl.Expr:
    """The text as it is compared, without the blanks at its ends."""
    plain = _folded(text).str.replace_all(r"[^\p{L}\p{N}\p{M}]+", " ")
    parted = plain.str.replace_all(r"(\p{Han})([^\p{Han} ])", "$1 $2").str.replace_all(
        r"([^\p{Han} ])(\p{Han})", "$1 $2"
    )
    # Twice, for what one match ends with cannot begin the next.
    joined = parted.str.replace_all(r"(\p{Han}) (\p{Han})", "$1$2").str.replace_all(r"(\p{Han}) (\p{Han})", "$1$2")
    return joined.str.strip_chars()


def _folded(text: pl.Expr) -> pl.Expr:
    """The text with one form for what are compatible characters, and without capitals."""
    return text.str.normalize("NFKC").str.to_lowercase()


def _unescaped(texts: pl.Series) -> pl.Series:
    if not texts.str.contains("\\", literal=True).any():
        return texts
    return pl.Series(texts.name, [_plain(text) if text and "\\" in text else text for text in texts], dtype=pl.String)


def _plain(text: str) -> str:
    try:
        plain = json.loads(f'"{text}"', strict=False)
    except ValueError:
        return text
    return str(plain).encode("utf-8", "replace").decode()
