"""What the log says of its snapshots, of its proposals, of moves of its aliases, and of having been compacted."""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, Field

from app.domain.contract import AliasName, EditBatch, JobOutcome, JobStatus, Name, ProposalId, Record
from app.domain.manifest import Digest, Draft, FileName, FileRecord


class SnapshotPage(Record):
    """A committed snapshot. It belongs to the history whose newest manifest has the digest ``manifest``."""

    version: Annotated[int, Field(ge=1)]
    manifest: Digest
    created: AwareDatetime
    files: dict[FileName, FileRecord]


class CompactionPage(Record):
    """Says that the tensor files of all versions before one were, or are to be, removed."""

    before: Annotated[int, Field(ge=1)]
    created: AwareDatetime


class ProposalPage(Record):
    """An edit that was computed and verified, and waits to be published or dropped.

    ``draft`` is the version that it would be, of the job that proposed it, on the version whose digest is ``parent``.
    """

    id: ProposalId
    by: str | None = Field(None, description="Who proposed it.")
    batch: EditBatch = Field(description="What was asked for.")
    draft: Draft
    parent: Digest
    created: AwareDatetime
    expires: AwareDatetime
    files: dict[FileName, FileRecord]

    @property
    def outcome(self) -> JobOutcome:
        """What became of the job that proposed it."""
        return JobOutcome(status=JobStatus.PROPOSED, report=self.draft.report, proposal=self.id)


class MovePage(Record):
    """One move of an alias: where it points to since, or that it was removed. ``number`` counts its moves from 1."""

    alias: AliasName
    number: Annotated[int, Field(ge=1)]
    version: Annotated[int, Field(ge=0)] | None
    by: Name | None = Field(None, description="Name of the API key that moved it, if any.")
    moved: AwareDatetime
