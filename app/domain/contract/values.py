"""What the contract is built from: constrained types, and the base classes of requests, replies and records."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Text = Annotated[str, StringConstraints(min_length=1, max_length=4000)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,119}$")]
JobId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def prompt_alone(given: Any) -> Any:
    """What is given as a text is an object with that prompt and nothing else."""
    return {"prompt": given} if isinstance(given, str) else given


class Request(BaseModel):
    """Base of what callers send: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Reply(BaseModel):
    """Base of what the service says."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Record(BaseModel):
    """Base of what is written to disk, in the edit log and the journal: unknown fields are refused when it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FactKey(Record):
    """Which fact: the version that wrote it, and its index among that version's facts."""

    version: Annotated[int, Field(ge=1)]
    index: Annotated[int, Field(ge=0)]

    def __str__(self) -> str:
        return f"fact {self.index} of version {self.version}"
