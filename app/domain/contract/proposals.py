"""Proposals: edits that wait for somebody's approval, and the requests that publish or drop one."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from pydantic import Field

from app.domain.contract.kinds import JobKind, JobRequest
from app.domain.contract.proposal_ids import ProposalId
from app.domain.contract.reports import EditReport
from app.domain.contract.values import Reply


class Publish(JobRequest):
    """Make a proposal the newest version: as it was computed, or computed anew if the model was changed since."""

    kind: ClassVar[JobKind] = JobKind.PUBLISH

    publish: ProposalId

    @property
    def proposal(self) -> ProposalId:
        """Which one."""
        return self.publish


class Drop(JobRequest):
    """Throw a proposal away."""

    kind: ClassVar[JobKind] = JobKind.DROP

    drop: ProposalId

    @property
    def proposal(self) -> ProposalId:
        """Which one."""
        return self.drop


class Proposal(Reply):
    """A version that was computed, measured and verified, and is not in service."""

    id: ProposalId
    name: str = Field(description="What to call it where a model is named: `<model>@<id>`.")
    model: str
    job: str = Field(description="The edit that proposed it.")
    by: str | None = Field(None, description="The key that proposed it.")
    version: int = Field(description="The version that it was computed on.")
    current: bool = Field(
        description="Whether the model is still at that version: then it is published as it is, else computed anew."
    )
    facts: int = Field(description="How many facts it writes.")
    created: datetime
    expires: datetime = Field(description="When it is dropped, unless it is published before.")
    bytes: int = Field(description="Size of its files.")
    report: EditReport | None = Field(None, description="How its facts stand on it; null in lists.")


class ProposalList(Reply):
    """The proposals of a model that wait, oldest first."""

    model: str
    proposals: tuple[Proposal, ...]
