"""What a search looks at: narrow columns that follow from a document, and the conditions on them.

They stand beside the documents in the Parquet files of the call index, so that a search reads little and
parses nothing.
"""

from datetime import UTC

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
OWN = ("call_uid", "business", "site", "day", "call_id", "started_at", "talk_seconds", "extension")
_EXACT = ("call_id", "extension")


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


def conditions(query: CallQuery) -> list[pl.Expr]:
    """What the columns of a document (`OWN` and `DERIVED_SCHEMA`) must fulfil; nothing where the query does not say.

    Its business and site are those of its partition, its attributes are looked for apart (blocks.narrow).
    """
    return [*_of_the_call(query), *_of_its_texts(query), *_of_its_recordings(query)]


def _of_the_call(query: CallQuery) -> list[pl.Expr]:
    found = [] if query.call_uids is None else [pl.col("call_uid").is_in(list(query.call_uids))]
    found += [pl.col(name) == value for name in _EXACT if (value := getattr(query, name)) is not None]
    if query.start is not None:
        found.append(pl.col("started_at") >= query.start.astimezone(UTC))
    if query.end is not None:
        found.append(pl.col("started_at") < query.end.astimezone(UTC))
    if query.min_seconds is not None:
        found.append(pl.col("talk_seconds") >= query.min_seconds)
    if query.max_seconds is not None:
        found.append(pl.col("talk_seconds") <= query.max_seconds)
    return found


def _of_its_texts(query: CallQuery) -> list[pl.Expr]:
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


def _of_its_recordings(query: CallQuery) -> list[pl.Expr]:
    found = []
    if query.has_recording is not None:
        found.append(pl.col("state_lines").is_not_null() == query.has_recording)
    if query.recording_state is not None:
        found.append(pl.col("state_lines").str.contains(f"\n{query.recording_state}\n", literal=True))
    return found


def after(query: CallQuery) -> pl.Expr:
    """Whether a call comes after the place where the page before ended."""
    if query.after is None:
        return pl.lit(True)
    started_at, call_uid = query.after
    is_later_id = pl.col("call_uid") > call_uid
    if started_at is None:
        return pl.col("started_at").is_null() & is_later_id
    start, instant = pl.col("started_at"), started_at.astimezone(UTC)
    return start.is_null() | (start < instant) | ((start == instant) & is_later_id)
