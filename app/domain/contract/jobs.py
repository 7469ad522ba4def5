"""Jobs: their status, progress and outcome."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import Field

from app.domain.contract.exports import ExportReport
from app.domain.contract.kinds import JobKind
from app.domain.contract.proposal_ids import ProposalId
from app.domain.contract.reports import EditReport, InForceReport
from app.domain.contract.values import Reply


class JobStatus(StrEnum):
    """Where a job stands. The last five are final; of a ``proposed`` edit nothing is in service."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    PROPOSED = "proposed"
    REJECTED = "rejected"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether the job will not change any more."""
        return self not in (JobStatus.QUEUED, JobStatus.RUNNING)


class Progress(Reply):
    """One step of a running job."""

    stage: Literal["targets", "solve", "write", "verify", "commit", "publish", "statistics", "search", "start"]
    layer: int | None = None
    step: int | None = Field(None, description="Of the target optimisation, from 1; of statistics, tokens so far.")
    steps: int | None = None
    loss: float | None = None
    facts_done: int | None = None
    facts: int | None = Field(None, description="Of the batch, and the earlier ones optimised together with it.")
    share: float = Field(0.0, description="Rough share of the whole job that is done, 0 to 1.")


class Problem(Reply):
    """An error as RFC 9457 problem details."""

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str
    field: str | None = None
    value: Any = None


class JobOutcome(Reply):
    """What a worker hands back for a job, through the queue. Never raised, always returned."""

    status: JobStatus
    version: int | None = None
    report: EditReport | None = None
    in_force: InForceReport | None = None
    exported: ExportReport | None = None
    proposal: ProposalId | None = None
    error: Problem | None = None


class Job(Reply):
    """A job as a caller sees it."""

    id: str
    kind: JobKind | Literal["onboard"] | None = Field(
        None, description="What it does (onboard: it adds a model); null if that is not known any more."
    )
    model: str
    status: JobStatus
    position: int | None = Field(None, description="Jobs before it in the queue, while queued.")
    facts: int
    submitted: datetime | None = None
    started: datetime | None = None
    ended: datetime | None = None
    progress: Progress | None = None
    version: int | None = Field(None, description="The version that this job committed.")
    report: EditReport | None = Field(None, description="Of an edit.")
    in_force: InForceReport | None = Field(None, description="Of a rollback or a revert.")
    exported: ExportReport | None = Field(None, description="Of an export, which makes no version.")
    proposal: ProposalId | None = Field(
        None, description="The proposal that the job made, published or dropped; nothing of it is in service before."
    )
    error: Problem | None = None


class JobList(Reply):
    """Jobs, newest first."""

    jobs: tuple[Job, ...]
