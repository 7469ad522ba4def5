"""A version, written down for other programs: what is asked for, and what came of it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from app.domain.contract.kinds import JobKind, JobRequest
from app.domain.contract.values import Reply


class ExportFormat(StrEnum):
    """What others can load a version from: a whole model, an adapter for the base model, or the bare updates."""

    MERGED = "merged"
    PEFT = "peft"
    UPDATES = "updates"


class Export(JobRequest):
    """Write a version of a model down for others to load."""

    kind: ClassVar[JobKind] = JobKind.EXPORT

    format: ExportFormat
    version: Annotated[int, Field(ge=0)] | None = Field(
        None, description="None: the one in service when the job's turn comes."
    )


class ExportReport(Reply):
    """What was written, and how it compares with the version when it is loaded again."""

    format: ExportFormat
    version: int
    path: str = Field(description="The folder, relative to where the worker keeps exports.")
    bytes: int = Field(description="Size of its files together.")
    rank: int | None = Field(None, description="Of the factors; None of a whole model.")
    error: float | None = Field(
        None,
        description="Frobenius norm of what the factors leave out of the change, relative to the change; the worst "
        "layer's. None of a whole model.",
    )
    adapter: str | None = Field(None, description="The name to load an adapter under: one a version.")
    max_lora_rank: int | None = Field(
        None, description="What vLLM needs as `--max-lora-rank` for it; None where vLLM takes it as it is."
    )
    max_logit_difference: float = Field(description="From the version's own logits, over a few prompts.")
    tolerance: float | None = Field(
        None, description="Largest difference that is allowed; None where the rank was cut: `error` says what is lost."
    )
