"""What all that crosses HTTP and the queue is made of: names, shares, and the two kinds of message."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Text = Annotated[str, StringConstraints(min_length=1, max_length=4000)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,119}$")]
JobId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Request(BaseModel):
    """Base of what callers send: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Reply(BaseModel):
    """Base of what the service says."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Record(BaseModel):
    """Base of what the log writes: it reads back exactly what it wrote, or refuses."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FactKey(Record):
    """Which fact: the version that wrote it, and its index among that version's facts."""

    version: Annotated[int, Field(ge=1)]
    index: Annotated[int, Field(ge=0)]

    def __str__(self) -> str:
        return f"fact {self.index} of version {self.version}"
