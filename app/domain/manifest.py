"""What the edit log says in words: of the base model, and of every version. Tensors are files beside it."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from app.domain.contract import SLOT, EditReport, JobId, Name
from app.domain.durable_files import sha256

MANIFEST = "manifest.json"
"""Name of a version's manifest in its directory."""

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""A SHA-256 in hexadecimal."""


def _one_slot(prompt: str) -> str:
    if prompt.count(SLOT) != 1:
        raise ValueError(f"a logged prompt has exactly one {SLOT}")
    return prompt


def _free_name(name: str) -> str:
    if name.startswith(MANIFEST):
        raise ValueError(f"{name} is the log's own")
    return name


FileName = Annotated[Name, AfterValidator(_free_name)]
"""Name of a version's file: never a path, never the manifest's."""


class Record(BaseModel):
    """Base of what the log writes: it reads back exactly what it wrote, or refuses."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Base(Record):
    """Version 0: the model as it was loaded, and what every later version rests on."""

    model: Name
    source: str = Field(description="Path or hub id that the model was loaded from.")
    revision: str | None = None
    modules: dict[int, str] = Field(description="Layer -> name of its edited module.")
    weights_sha256: dict[int, Digest] = Field(description="Layer -> digest of that module's weight bytes.")
    contexts: tuple[str, ...] = Field(description="Context templates, made once per model.")
    preset: dict[str, Any]
    created: AwareDatetime


class LoggedFact(Record):
    """A fact as it was written. The prompt has exactly one ``{}``, where the subject stands."""

    subject: Annotated[str, StringConstraints(min_length=1)]
    prompt: Annotated[str, AfterValidator(_one_slot)]
    object: Annotated[str, StringConstraints(min_length=1)]
    previous: str | None = None
    id: str | None = None
    paraphrases: tuple[str, ...] = ()
    neighbours: tuple[str, ...] = ()

    @property
    def place(self) -> tuple[str, str]:
        """What the fact is about: facts of the same place supersede each other."""
        return _normalised(self.subject), _normalised(self.prompt)


class Draft(Record):
    """A version that shall be committed."""

    version: Annotated[int, Field(ge=1)]
    kind: Literal["edit"] = "edit"
    job: JobId | None = None
    facts: tuple[LoggedFact, ...]
    method: str
    plan: str
    strict: bool = False
    hyperparameters: dict[str, Any]
    report: EditReport | None = None
    epoch: Annotated[int, Field(ge=0)]


class FileRecord(Record):
    """One file of a version; ``size`` is in bytes."""

    sha256: Digest
    size: Annotated[int, Field(ge=0)]

    @classmethod
    def of(cls, data: bytes) -> Self:
        """The record of a file with these contents."""
        return cls(sha256=sha256(data), size=len(data))


class Manifest(Draft):
    """A committed version. ``parent`` is the digest of the parent's manifest, or of ``base.json``."""

    created: AwareDatetime
    parent: Digest
    files: dict[FileName, FileRecord]

    @classmethod
    def of(cls, draft: Draft, **rest: Any) -> Self:
        """The draft with what the log adds.

        Raises:
            pydantic.ValidationError: for instance, a file has no fit name.
        """
        return cls.model_validate({**draft.__dict__, **rest})


def _normalised(text: str) -> str:
    return " ".join(text.split()).casefold()
