"""What a search looks at: narrow columns that follow from a document, and the conditions on them.

They stand beside the documents in the Parquet files of the call index, so that a search reads little and
parses nothing.
"""

import polars as pl

from blocks.query import CallQuery
from blocks.words import phrases, plain_values, unquoted, words_of

# The columns that follow from a document: its numbers and its recordings' states, each on a line of its own, the number
# shown without separators, name NUL value of each attribute, and the words of its notes.
DERIVED_SCHEMA = pl.Schema(
    {
        "number_lines": pl.String(),
        "display_digits": pl.String(),
        "attribute_values": pl.List(pl.String()),
        "note_words": pl.String(),
        "state_lines": pl.String(),
    }
)
# Those of the document itself that a search looks at, or sorts by.
OWN = ("call_uid", "call_id", "started_at", "talk_seconds", "extension")
# Texts of which a search knows a part, and kinds of value that it knows whole.
TEXTS = ("number_lines", "display_digits", "note_words")
_KINDS = ("call_uid", "call_id", "extension", "state", "attribute")


def derived(documents: pl.DataFrame) -> pl.DataFrame:
    """The columns of `DERIVED_SCHEMA` of each document (`DOCUMENT_SCHEMA`), in their order."""
    states = pl.col("recordings").list.eval(pl.element().struct.field("state").fill_null("")).list.unique()
    return documents.select(
        # No number has a line end, so no part of one is found across two.
        pl.col("numbers").list.join("\n").alias("number_lines"),
        display_digits().alias("display_digits"),
        attribute_values(documents["attributes"]).alias("attribute_values"),
        words_of(documents["notes"]).alias("note_words"),
        pl.when(pl.col("recordings").list.len() > 0)
        .then(pl.concat_str(pl.lit("\n"), states.list.sort().list.join("\n"), pl.lit("\n")))
        .alias("state_lines"),
    ).match_to_schema(DERIVED_SCHEMA)


def display_digits() -> pl.Expr:
    """The number shown, without separators and with one sign for what is masked.

    It keeps its prefixes: taking prefixes off leaves an ending, so a normalised number is a part of it.
    """
    return pl.col("display_number").str.replace_all(r"[\s\-().]", "").str.replace_all(r"[xX*＊]", "*")


def attribute_values(attributes: pl.Series) -> pl.Series:
    """Name, NUL and value of each attribute in a JSON object, as List(String); of an array, of each of its values."""
    rows = attributes.alias("token").to_frame().with_row_index("row")
    is_name = pl.col("token").str.ends_with(":")
    pairs = (
        rows.lazy()
        .select("row", plain_values(pl.col("token")))
        .explode("token", empty_as_null=True)
        .drop_nulls()
        .with_columns(pl.when(is_name).then("token").forward_fill().over("row").alias("name"))
        .filter(is_name.not_(), pl.col("token") != "null")
        .select("row", pl.concat_str(unquoted(pl.col("name")), pl.lit("\0"), unquoted(pl.col("token"))).alias("pair"))
        .drop_nulls()
        .group_by("row", maintain_order=True)
        .agg(pl.col("pair"))
    )
    return rows.lazy().join(pairs, on="row", how="left", maintain_order="left").collect()["pair"]


def values(columns: pl.DataFrame) -> pl.DataFrame:
    """The row and hash of each value of `OWN` and `DERIVED_SCHEMA` that a search knows whole, in order.

    The hash has 64 bits, and is of this process only.
    """
    rows = columns.with_row_index("row").lazy()
    states = pl.col("state_lines").str.strip_chars("\n").str.split("\n")
    found = [
        *(rows.select("row", _hashed(pl.col(name), name)) for name in ("call_uid", "call_id", "extension")),
        rows.select("row", states).explode("state_lines").select("row", _hashed(pl.col("state_lines"), "state")),
        rows.select("row", "attribute_values")
        .explode("attribute_values", empty_as_null=True)
        .select("row", _hashed(pl.col("attribute_values"), "attribute")),
    ]
    return pl.concat(found).drop_nulls().sort("hash", maintain_order=True).collect()


def _hashed(values: pl.Expr, kind: str) -> pl.Expr:
    """The values' hashes: equal texts of two kinds have two."""
    return pl.when(values.is_not_null()).then(values.hash(seed=_KINDS.index(kind))).alias("hash")


def wanted_values(query: CallQuery) -> list[list[int]]:
    """What `values` a call must have: of each of these lists, one."""
    exact: dict[str, list[str] | None] = {
        "call_uid": None if query.call_uids is None else list(query.call_uids),
        "call_id": None if query.call_id is None else [query.call_id],
        "extension": None if query.extension is None else [query.extension],
        "state": None if query.recording_state is None else [query.recording_state],
    }
    asked = [(kind, texts) for kind, texts in exact.items() if texts is not None]
    asked += [("attribute", [f"{name}\0{value}"]) for name, value in query.attributes]
    return [
        pl.Series("value", texts, dtype=pl.String).to_frame().select(_hashed(pl.col("value"), kind))["hash"].to_list()
        for kind, texts in asked
    ]


def conditions(query: CallQuery) -> list[pl.Expr]:
    """What the texts of a document (`TEXTS`) must fulfil; nothing where the query does not say."""
    found = []
    if query.number is not None:
        found.append(pl.col("number_lines").str.contains(query.number, literal=True))
    if query.display_number is not None:
        found.append(pl.col("display_digits").str.contains(query.display_number, literal=True))
    if query.words is not None:
        looked_for = phrases(query.words)
        if looked_for is None:
            return [pl.lit(False)]
        found += [pl.col("note_words").str.contains(phrase, literal=True) for phrase in looked_for]
    return found
