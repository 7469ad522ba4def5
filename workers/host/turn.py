"""A job whose turn has come, and the version that it may become."""

from __future__ import annotations

from dataclasses import dataclass

from app.domain.contract import AnyJobRequest


@dataclass(frozen=True, slots=True)
class Turn:
    """A job as the host gets it.

    version: the one in service when its turn came.
    expected_version: the one that the model must be at for it; None: any.
    by: name of the API key that it was handed in with, if any.
    """

    job_id: str
    request: AnyJobRequest
    version: int
    expected_version: int | None = None
    by: str | None = None


@dataclass(frozen=True, slots=True)
class NextVersion:
    """The version that a job becomes if it is committed now: its number, and the epoch of the leader that commits.

    by: name of the API key that the facts were handed in with, if any.
    proposal, approved_by: what it was before, if the job publishes one, and the key that this was asked for with.
    """

    job_id: str
    version: int
    epoch: int
    by: str | None = None
    proposal: str | None = None
    approved_by: str | None = None
