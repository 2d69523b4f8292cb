"""How long the disks of a site without network may be away."""

from pydantic import BaseModel, ConfigDict, Field


class Carrying(BaseModel):
    """How long the disks of a site without network may be away."""

    model_config = ConfigDict(extra="forbid")

    absent_days: float = Field(
        3, strict=True, ge=0, description="Days without a disk at the site until people are told; disks are exchanged."
    )
    transit_days: float = Field(
        7, strict=True, gt=0, description="Days from a disk's departure until it is missing, if it has not arrived."
    )
    every_days: float = Field(
        31, strict=True, gt=0, description="Days, beside `backup_due_hours`, until a day's backup is due at the centre."
    )
