"""What a bank asks for: which calls, which columns in which form, how recordings are named, how it is cut and checked.

A pack is plain data: `pack_rows` makes its rows, `pack_files` its files.
"""

import re
from collections.abc import Iterator
from string import Formatter
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

# What a row is made of; a pack adds attributes of the call (`attribute.<name>`) and of the note (`note.<name>`).
CALL_FIELDS = (
    "business", "site", "dataset", "day", "call_uid", "call_id", "leg", "started_at", "ended_at", "talk_seconds",
    "extension", "caller", "callee", "number", "display_number",
)  # fmt: skip
RECORDING_FIELDS = (
    "recording_id",
    "path",
    "suffix",
    "container",
    "codec",
    "duration_ms",
    "size",
    "sha256",
    "published",
    "file",
)
NOTE_FIELDS = ("note_uid", "written_at")
SUMMARY_FIELDS = (
    "business", "site", "day", "month", "calls", "legs", "notes", "recordings", "bytes", "seconds", "complete",
    "partial", "missing", "excluded", "coverage",
)  # fmt: skip
FIELDS: dict[str, tuple[str, ...]] = {
    "calls": ("row", *CALL_FIELDS),
    "recordings": ("row", *CALL_FIELDS, *RECORDING_FIELDS),
    "notes": ("row", *CALL_FIELDS, *NOTE_FIELDS),
    "summary": ("row", *SUMMARY_FIELDS),
}
# What a name of a file may tell, beside literal text.
NAME_FIELDS = ("business", "pack", "since", "until", "part")
_OWN = re.compile(r"^(attribute|note)\..+$")
_IN_TEMPLATE = re.compile(r"\{([^{}:]+)(?::([^{}]*))?\}")
_QUOTED = re.compile(r'"((?:attribute|note)\.[^"]+)"')

PackName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=40)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Column(_Strict):
    """One column: its heading, where its value comes from, how it is written, and what the bank demands of it."""

    name: str = Field(description="Its heading.")
    field: str | None = Field(None, description="The field it holds; `attribute.…` and `note.…` name one's own.")
    fixed: str | None = Field(None, description="The same text in every row.")
    template: str | None = Field(None, description="Text with fields, e.g. `{number}_{started_at:%Y%m%d}`.")
    computed: str | None = Field(None, description='SQL expression, e.g. `ceil(talk_seconds / 60)`; "attribute.a b".')
    format: str | None = Field(None, description="How an instant or a day is written, e.g. `%Y-%m-%d %H:%M:%S`.")
    decimals: int | None = Field(None, strict=True, ge=0, le=12, description="Digits behind a number's point.")
    codes: dict[str, str] | None = Field(None, description="Code table: value: what is written instead.")
    otherwise: str | None = Field(None, description="Written for a value that `codes` lack; else that is a mistake.")
    width: int | None = Field(None, strict=True, ge=1, description="Bytes, in a file of fixed width.")
    align: Literal["left", "right"] = Field("left", description="Side of a fixed width on which the text stands.")
    pad: Annotated[str, StringConstraints(pattern=r"^[ -~]$")] = Field(" ", description="What fills a fixed width.")
    required: bool = Field(False, strict=True, description="Whether it must not be empty.")
    unique: bool = Field(False, strict=True, description="Whether no two rows may have the same.")
    max_length: int | None = Field(None, strict=True, ge=1, description="Characters at most.")
    pattern: str | None = Field(None, description="Regular expression that the whole text fits.")

    @model_validator(mode="after")
    def _one_origin(self) -> "Column":
        given = [name for name in ("field", "fixed", "template", "computed") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("give one of field, fixed, template and computed")
        return self


class File(_Strict):
    """The file with the rows."""

    kind: Literal["csv", "fixed", "xlsx"] = Field("csv", description="Delimited text, fixed width, or a spreadsheet.")
    name: str = Field(description="Its name, with {business}, {pack}, {since:%Y%m%d}, {until:%Y%m%d}, {part:03}.")
    encoding: Literal["utf-8", "utf-8-sig", "gb18030", "gbk"] = Field("utf-8", description="Encoding of its text.")
    delimiter: Annotated[str, StringConstraints(pattern=r"^[\x01-\x7f]$")] = Field(
        ",", description="Between two values."
    )
    line_end: Literal["crlf", "lf"] = Field("crlf", description="Behind each row.")
    quotes: Literal["necessary", "always", "never"] = Field("necessary", description="Which values stand in quotes.")
    header: bool = Field(True, strict=True, description="Whether the headings stand in the first row.")


class Recordings(_Strict):
    """The recordings that go with the rows."""

    name: str = Field(
        description="Path of each in the pack, with fields, e.g. `{day:%Y%m%d}/{number}_{call_id}.{suffix}`."
    )
    format: Literal["original", "wav", "wav-alaw", "wav-mulaw", "mp3"] = Field(
        "original", description="As it is, or a copy transcoded to 8 kHz."
    )

    @property
    def suffix(self) -> str | None:
        """What names of transcoded copies end with; None where they stay as they are."""
        return None if self.format == "original" else self.format.split("-")[0]


class Split(_Strict):
    """Where a pack is cut into parts."""

    rows: int | None = Field(None, strict=True, ge=1, description="Rows of a part, at most.")
    bytes: int | None = Field(None, strict=True, ge=1, description="Bytes of recordings of a part, at most.")


class Pack(_Strict):
    """What one bank asks for."""

    pack: PackName = Field(description="Its name: lower case, digits, hyphens.")
    title: str = Field(description="What people call it.")
    rows: Literal["calls", "recordings", "notes", "summary"] = Field(description="What a row is.")
    by: list[Literal["day", "month", "site"]] = Field(
        default_factory=list, description="Rows of a summary: one for each."
    )
    sites: list[str] | None = Field(None, description="Only these sites.")
    where: str | None = Field(None, description="SQL condition on the fields, e.g. `\"attribute.银行\" = '工行'`.")
    columns: list[Column] = Field(min_length=1, description="The columns in their order.")
    file: File = Field(description="The file with the rows.")
    recordings: Recordings | None = Field(None, description="The recordings that go with them.")
    split: Split = Field(Split(), description="Where it is cut into parts.")
    zip: str | None = Field(None, description="Name of the ZIP file of a part; without it, files in a folder.")
    bagit: bool = Field(False, strict=True, description="Whether a part is a bag with manifest (RFC 8493).")

    @model_validator(mode="after")
    def _consistent(self) -> "Pack":
        for words in mistakes(self):
            raise ValueError(words)
        return self


def mistakes(pack: Pack) -> Iterator[str]:
    """What no single field can know to be wrong."""
    for name in sorted(set(used(pack)) - set(FIELDS[pack.rows])):
        if not (
            _OWN.match(name) and pack.rows != "summary" and (pack.rows == "notes" or name.startswith("attribute."))
        ):
            yield f"rows of {pack.rows} have no field {name}; they have {', '.join(FIELDS[pack.rows])}"
    if pack.recordings and pack.rows != "recordings":
        yield "recordings go with rows of recordings: write `rows: recordings`"
    if bool(pack.by) != (pack.rows == "summary"):
        yield "`by` says what a row of a summary is, and only of a summary"
    if pack.file.kind == "fixed" and any(column.width is None for column in pack.columns):
        yield "each column of a file of fixed width has a width"
    for column in pack.columns if pack.file.kind == "fixed" and pack.file.header else []:
        if len(column.name.encode(pack.file.encoding, "replace")) > (column.width or 0):
            yield f"the heading {column.name} is wider than its column: write `header: false`, or a shorter one"
    yield from _name_mistakes(pack.file.name, bool(pack.zip) or "{part" in pack.file.name or pack.split == Split())
    if pack.zip:
        yield from _name_mistakes(pack.zip, "{part" in pack.zip or pack.split == Split())


def _name_mistakes(name: str, tells_part: bool) -> Iterator[str]:
    try:
        wanted = {field for _, field, _, _ in Formatter().parse(name) if field is not None}
    except ValueError as error:
        yield f"{name} is no name: {error}"
        return
    for field in sorted(wanted - set(NAME_FIELDS)):
        yield f"a name of a file has no field {field}; it has {', '.join(NAME_FIELDS)}"
    if "/" in name or name.startswith("."):
        yield f"{name} is no plain name of a file"
    if not tells_part:
        yield f"{name} would name every part alike: put {{part:03}} into it"


def template_fields(template: str) -> list[tuple[str, str | None]]:
    """The fields of a template, each with its format."""
    return [(found.group(1), found.group(2)) for found in _IN_TEMPLATE.finditer(template)]


def template_literals(template: str) -> list[str]:
    """The text before, between and behind the fields of a template."""
    return _IN_TEMPLATE.sub("\0", template).split("\0")


def used(pack: Pack) -> list[str]:
    """The fields that columns and names of recordings use, and the attributes that SQL does, each once."""
    names = [column.field for column in pack.columns if column.field]
    templates = [column.template for column in pack.columns if column.template]
    templates += [pack.recordings.name] if pack.recordings else []
    names += [name for template in templates for name, _ in template_fields(template)]
    for sql in filter(None, [pack.where, *(column.computed for column in pack.columns)]):
        names += _QUOTED.findall(sql)
    return list(dict.fromkeys(names))
