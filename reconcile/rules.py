"""The rules of a business: how its rows are read, its file names understood, its calls matched.

The same models stand in a business's YAML, in a Prefect block (as JSON) and in `voxkeep compare --rules`.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

_Text = Annotated[str, StringConstraints(min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Extracted(_Strict):
    """Part of a source column: what the first group of a regular expression matches."""

    column: _Text = Field(description="Source column.")
    pattern: _Text = Field(description="Regular expression with one group; no match gives no value.")


Source = _Text | Extracted


class ColumnMap(_Strict):
    """Which source column fills which column of the frame; a column not named here goes into `attributes`."""

    call_id: Source | None = Field(None, description="Id of the call; legs of one call share it.")
    leg: Source | None = Field(None, description="What tells the legs of one call apart.")
    started_at: Source | None = Field(None, description="Start of the call, or when a note was written.")
    talk_seconds: Source | None = Field(None, description="Time talked, in seconds.")
    extension: Source | None = Field(None, description="The agent's line.")
    caller: Source | None = Field(None, description="Calling number.")
    callee: Source | None = Field(None, description="Called number.")
    display_number: Source | None = Field(None, description="Number shown to the customer 外显号.")
    recording_path: Source | None = Field(None, description="The file that the row names.")


class ExpectsRecording(_Strict):
    """Which calls must have a recording: those that meet every condition given; all, where none is."""

    min_talk_seconds: float | None = Field(None, ge=0, description="Talked at least this long, in seconds.")
    where: dict[str, list[str]] = Field(
        default_factory=dict,
        description="Source column: the values of which it must have one (e.g. disposition: [ANSWERED]).",
    )


class DatasetRules(_Strict):
    """How the rows of one dataset are read."""

    kind: Literal["calls", "notes"] = Field("calls", description="calls 话单, or notes 催记 that belong to calls.")
    columns: ColumnMap = Field(default_factory=ColumnMap, description="Source column of each known column.")
    header: list[str] | list[list[str]] | None = Field(
        None,
        description="Column names of files without a header row, or several such lists for rows of several lengths.",
    )
    time_format: str | None = Field(
        None,
        description="strptime format of started_at; without it ISO 8601 and Unix seconds or milliseconds are read.",
    )
    time_zone: str | None = Field(None, description="Time zone of the source's clock; the business's where not given.")
    expects_recording: ExpectsRecording = Field(
        default_factory=ExpectsRecording, description="Which calls must have a recording."
    )
    path_prefix: str | None = Field(None, description="Prefix to take off recording_path, e.g. the root at the source.")


class NumberRules(_Strict):
    """How two spellings of one telephone number become equal."""

    country_codes: list[str] = Field(
        default=["+86", "0086", "86"], description="Prefixes of the own country, taken off once."
    )
    trunk_prefixes: list[str] = Field(default=["0"], description="Prefixes of long distance, taken off once.")
    access_codes: list[str] = Field(default_factory=list, description="Codes dialled for an outside line.")


class MatchingRules(_Strict):
    """How a recording finds its call; the rules are tried in this order."""

    order: list[Literal["path", "key", "nearest"]] = Field(
        default=["path", "key", "nearest"],
        min_length=1,
        description="Rules in the order in which they are tried.",
    )
    key: list[Literal["call_id", "extension", "number", "start"]] | None = Field(
        None,
        description=(
            "Fields of the file name that must all be equal; by default all that the template gives, or call_id alone."
        ),
    )
    tolerance_seconds: float = Field(
        30.0, gt=0, description="How far two starts may be apart for `nearest`, in seconds."
    )
    clock_skew_limit_seconds: float = Field(
        60.0, gt=0, description="A site's clock further off than this, in seconds, is a finding."
    )
    duration_tolerance_seconds: float = Field(
        5.0, ge=0, description="How far talk time and length of the recording may differ, in seconds."
    )
    duration_tolerance_ratio: float = Field(
        0.1, ge=0, description="The same as a share of the talk time; the larger holds."
    )


class Rules(_Strict):
    """Everything the engine must know about a business."""

    time_zone: str = Field("Asia/Shanghai", description="IANA time zone of the business days.")
    name_templates: list[str] = Field(
        default_factory=list,
        description=(
            "Patterns of the recordings' paths, the first that fits holds, e.g. "
            "'{month}/{day}/{extension}_{number}_{start:%Y%m%d%H%M%S}.wav3'. Fields: extension, number, call_id, "
            "start:<strptime>, year, month, day, and any for text that does not matter."
        ),
    )
    datasets: dict[str, DatasetRules] = Field(
        default_factory=lambda: {"calls": DatasetRules()}, description="Rules of each dataset by its name."
    )
    numbers: NumberRules = Field(default_factory=NumberRules, description="How telephone numbers are compared.")
    matching: MatchingRules = Field(default_factory=MatchingRules, description="How recordings find their calls.")
