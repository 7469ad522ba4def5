"""Jobs: their status, progress and outcome."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import Field, computed_field

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

    @computed_field(description="The detail, where clients made for OpenAI's errors look for it.")  # type: ignore[prop-decorator]
    @property
    def message(self) -> str:
        """The detail."""
        return self.detail

    @computed_field(description="The field, where clients made for OpenAI's errors look for it.")  # type: ignore[prop-decorator]
    @property
    def param(self) -> str | None:
        """The field."""
        return self.field


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
    """A job as a caller sees it; its fields that end in ``_at``, and ``object``, are as in OpenAI's jobs."""

    id: str
    object: Literal["edit.job"] = "edit.job"
    kind: JobKind | Literal["onboard"] | None = Field(
        None, description="What it does (onboard: it adds a model); null if that is not known any more."
    )
    model: str
    status: JobStatus
    position: int | None = Field(None, description="Jobs before it in the queue, while queued.")
    by: str | None = Field(None, description="Name of the API key that it was handed in with.")
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

    @computed_field(description="When it was submitted, in Unix seconds.")  # type: ignore[prop-decorator]
    @property
    def created_at(self) -> int | None:
        """``submitted``, in Unix seconds."""
        return _unix(self.submitted)

    @computed_field(description="When it ended, in Unix seconds.")  # type: ignore[prop-decorator]
    @property
    def finished_at(self) -> int | None:
        """``ended``, in Unix seconds."""
        return _unix(self.ended)

    @property
    def brief(self) -> Job:
        """The job without its reports, which may be long."""
        return self.model_copy(update={"report": None, "in_force": None})


class JobList(Reply):
    """Jobs, newest first; ``data`` and ``has_more`` as in OpenAI's lists."""

    object: Literal["list"] = "list"
    jobs: tuple[Job, ...]
    has_more: bool = Field(False, description="Whether there are older ones: ask `after` the last one's id.")

    @computed_field(description="The same jobs.")  # type: ignore[prop-decorator]
    @property
    def data(self) -> tuple[Job, ...]:
        """``jobs``."""
        return self.jobs


def _unix(time: datetime | None) -> int | None:
    return None if time is None else int(time.timestamp())
