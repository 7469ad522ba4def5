"""The edit log's records of the base model and of every version, as JSON. Tensors are in files beside them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, StringConstraints, model_validator

from app.domain.contract import (
    EditReport,
    FactKey,
    InForceReport,
    JobId,
    JobOutcome,
    JobStatus,
    Name,
    ProposalId,
    Record,
)
from app.domain.contract.values import prompt_alone
from app.domain.digests import sha256
from app.domain.entries import PAGES
from app.domain.places import Place
from app.domain.prompts import SLOT

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""A SHA-256 in hexadecimal."""


def _one_slot(prompt: str) -> str:
    if prompt.count(SLOT) != 1:
        raise ValueError(f"a logged prompt has exactly one {SLOT}")
    return prompt


def _free_name(name: str) -> str:
    if name.startswith(tuple(PAGES.values())):
        raise ValueError(f"{name} is the log's own")
    return name


FileName = Annotated[Name, AfterValidator(_free_name)]
"""Name of an entry's file: never a path, never a page's."""


class Base(Record):
    """Version 0: the model as it was loaded, and what every later version rests on."""

    model: Name
    source: str = Field(description="Path or hub id that the model was loaded from.")
    revision: str | None = None
    modules: dict[int, str] = Field(description="Layer -> name of its edited module.")
    weights_sha256: dict[int, Digest] = Field(description="Layer -> digest of that module's weight bytes.")
    contexts: tuple[str, ...] = Field(description="Context templates, made once per model.")
    strict_contexts: tuple[str, ...] | None = Field(
        None, description="Those of strict edits, as published; None: the same."
    )

    def contexts_for(self, *, strict: bool) -> tuple[str, ...]:
        """The contexts of a strict edit, or of any other."""
        return self.strict_contexts if strict and self.strict_contexts is not None else self.contexts

    preset: dict[str, Any]
    created: AwareDatetime


class LoggedNeighbour(Record):
    """A neighbour as it was asked: of a fact in chat in the model's own template, which has no bound of length.

    Logs had the prompt alone before answers could be expected.
    """

    prompt: str
    expected: tuple[str, ...] = ()


class LoggedFact(Record):
    """A fact as it was written. The prompt has exactly one ``{}``, where the subject stands."""

    subject: Annotated[str, StringConstraints(min_length=1)]
    prompt: Annotated[str, AfterValidator(_one_slot)]
    object: Annotated[str, StringConstraints(min_length=1)]
    previous: str | None = None
    id: str | None = None
    paraphrases: tuple[str, ...] = ()
    taught: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        (), description="Indices of the paraphrases that were taught; each of these has exactly one {}."
    )
    neighbours: tuple[Annotated[LoggedNeighbour, BeforeValidator(prompt_alone)], ...] = ()
    stop: bool = Field(False, description="The model was taught to end its turn after the object.")
    column: Annotated[int, Field(ge=0)] | None = Field(
        None, description="Its column in the version's tensors, which facts with the same key share; None: its index."
    )

    @model_validator(mode="after")
    def _taught_with_a_slot(self) -> Self:
        for index in self.taught:
            if index >= len(self.paraphrases):
                raise ValueError("what was taught is one of the paraphrases")
            _one_slot(self.paraphrases[index])
        return self

    @property
    def place(self) -> Place:
        """What the fact is about: facts of the same place supersede each other."""
        return Place.of(self.subject, self.prompt)


class Companion(Record):
    """A fact of an earlier version that was optimised together with a later version's own facts.

    ``version`` and ``index`` say where it was written, ``column`` which column it has in the later version's tensors.
    """

    version: Annotated[int, Field(ge=1)]
    index: Annotated[int, Field(ge=0)]
    column: Annotated[int, Field(ge=0)]

    @property
    def key(self) -> FactKey:
        """Which fact it is."""
        return FactKey(version=self.version, index=self.index)


class Draft(Record):
    """A version that shall be committed.

    An ``edit`` writes ``facts``; a ``rollback`` goes back ``to`` an earlier version; a ``revert`` takes the facts
    ``reverted`` out. ``history.History`` says what a version consists of under all three.
    """

    version: Annotated[int, Field(ge=1)]
    kind: Literal["edit", "rollback", "revert"] = "edit"
    job: JobId | None = None
    by: Name | None = Field(None, description="Name of the API key that the job was handed in with, if any.")
    facts: tuple[LoggedFact, ...] = ()
    to: Annotated[int, Field(ge=0)] | None = None
    reverted: tuple[FactKey, ...] = ()
    companions: tuple[Companion, ...] = ()
    retired: tuple[tuple[int, int], ...] = Field(
        (), description="Version and column of the keys that left the previous keys at the layers this one changes."
    )
    method: str | None = None
    plan: str | None = None
    strict: bool = False
    indivisible: bool = Field(
        False, description="Its update is no sum of columns, so that its facts can only be taken out together."
    )
    hyperparameters: dict[str, Any] = Field(default_factory=dict)
    report: EditReport | None = None
    in_force: InForceReport | None = Field(None, description="Of a rollback or a revert.")
    proposal: ProposalId | None = Field(None, description="The proposal that it was before it was published.")
    approved_by: Name | None = Field(None, description="Name of the API key that published the proposal, if any.")
    epoch: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        owners = {"edit": self.facts, "rollback": self.to is not None, "revert": self.reverted}
        if any(given for kind, given in owners.items() if kind != self.kind):
            raise ValueError(
                "only an edit writes facts, only a rollback goes to a version, only a revert reverts facts"
            )
        if self.kind != "edit" and not owners[self.kind]:
            raise ValueError("a rollback says to which version, a revert which facts")
        if self.to is not None and self.to >= self.version:
            raise ValueError("a rollback goes to an earlier version")
        return self


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

    @property
    def outcome(self) -> JobOutcome:
        """What became of the job that committed it."""
        return JobOutcome(
            status=JobStatus.SUCCEEDED,
            version=self.version,
            report=self.report,
            in_force=self.in_force,
            proposal=self.proposal,
        )

    @property
    def without_reports(self) -> Self:
        """The same without what its report says of single facts, which is most of it."""
        if self.report is None or not self.report.facts:
            return self
        return self.model_copy(update={"report": self.report.model_copy(update={"facts": ()})})

    @property
    def outline(self) -> Self:
        """The same without the facts too: it does not grow with the batch."""
        slim = self.without_reports
        return slim.model_copy(update={"facts": ()}) if slim.facts else slim

    @classmethod
    def of(cls, draft: Draft, **rest: Any) -> Self:
        """The draft with what the log adds.

        Raises:
            pydantic.ValidationError: for instance, the name of a file is not allowed.
        """
        return cls.model_validate({**draft.__dict__, **rest})
