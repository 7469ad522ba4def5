"""A job whose turn has come, and the version that it may become."""

from __future__ import annotations

from dataclasses import dataclass

from app.domain.contract import AnyJobRequest


@dataclass(frozen=True, slots=True)
class Turn:
    """A job as the host gets it.

    version: the one in service when its turn came.
    expected_version: the one that the model must be at for it; None: any.
    by: who asked for it; None: nobody is told apart.
    """

    job_id: str
    request: AnyJobRequest
    version: int
    expected_version: int | None = None
    by: str | None = None


@dataclass(frozen=True, slots=True)
class NextVersion:
    """The version that a job becomes if it is committed now: its number, and the epoch of the leader that commits.

    proposal: what it was before, if the job publishes one.
    """

    job_id: str
    version: int
    epoch: int
    proposal: str | None = None
