"""A version, written down for other programs: what is asked for, and what came of it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field, ValidationInfo, field_validator

from app.domain.contract.kinds import JobKind, JobRequest
from app.domain.contract.values import FactKey, Reply


class ExportFormat(StrEnum):
    """What others can load a version from: a whole model, an adapter for the base model, or the bare updates.

    Whole models and adapters are as transformers and PEFT have them, or as llama.cpp has them (GGUF).
    """

    MERGED = "merged"
    PEFT = "peft"
    UPDATES = "updates"
    GGUF = "gguf"
    GGUF_LORA = "gguf-lora"


class GgufType(StrEnum):
    """How a matrix is kept in a GGUF file: in floating point, or quantised in blocks of 32 entries of a row."""

    F32 = "f32"
    F16 = "f16"
    BF16 = "bf16"
    Q8_0 = "q8_0"
    Q5_1 = "q5_1"
    Q5_0 = "q5_0"
    Q4_1 = "q4_1"
    Q4_0 = "q4_0"


class Export(JobRequest):
    """Write a version of a model down for others to load."""

    kind: ClassVar[JobKind] = JobKind.EXPORT

    format: ExportFormat
    version: Annotated[int, Field(ge=0)] | None = Field(
        None, description="None: the one in service when the job's turn comes."
    )
    gguf_type: GgufType | None = Field(
        None,
        description="Of `gguf`: what the changed matrices are kept as. None: each as it is in the model's own GGUF "
        "file, or `f16` if that is none of these.",
    )

    @field_validator("gguf_type")
    @classmethod
    def _of_a_whole_gguf_file(cls, given: GgufType | None, info: ValidationInfo) -> GgufType | None:
        if given is not None and info.data.get("format") not in (None, ExportFormat.GGUF):
            msg = f"only the format {ExportFormat.GGUF} has a type to choose"
            raise ValueError(msg)
        return given


class ExportReport(Reply):
    """What was written, and how it compares with the version when it is loaded again."""

    format: ExportFormat
    version: int
    path: str = Field(description="The folder, relative to where the worker keeps exports.")
    bytes: int = Field(description="Size of its files together.")
    rank: int | None = Field(None, description="Of the factors; None of a whole model.")
    error: float | None = Field(
        None,
        description="Frobenius norm of what the factors leave out of the change, or of what a GGUF file's types round "
        "off, relative to the change; the worst layer's. None of a whole model whose weights are those in service.",
    )
    gguf_types: tuple[GgufType, ...] = Field((), description="Of `gguf`: what the changed matrices are kept as.")
    adapter: str | None = Field(None, description="The name to load an adapter under: one a version.")
    max_lora_rank: int | None = Field(
        None, description="What vLLM needs as `--max-lora-rank` for it; None where vLLM takes it as it is."
    )
    max_logit_difference: float = Field(description="From the version's own logits, over a few prompts.")
    tolerance: float | None = Field(
        None,
        description="Largest difference that is allowed; None where the rank was cut or weights were quantised: "
        "`error` and `facts_lost` say what is lost.",
    )
    facts_held: int | None = Field(
        None, description="How many facts in force the version itself gives; None where a tolerance holds."
    )
    facts_lost: tuple[FactKey, ...] = Field((), description="Those of them that the export does not give.")
