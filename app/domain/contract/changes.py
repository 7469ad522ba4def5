"""The requests that take something back: a rollback, a revert."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from app.domain.contract.kinds import JobKind, JobRequest
from app.domain.contract.values import FactKey


class Rollback(JobRequest):
    """Make an earlier version the newest one, again."""

    kind: ClassVar[JobKind] = JobKind.ROLLBACK

    to: Annotated[int, Field(ge=0, description="0 is the base model.")]


class Revert(JobRequest):
    """Take facts out while later ones stay; ``GET /models/{model}/facts`` tells each fact's version and index."""

    kind: ClassVar[JobKind] = JobKind.REVERT

    facts: tuple[FactKey, ...] = Field(min_length=1)

    @property
    def named_facts(self) -> int:
        """How many facts are to be taken out."""
        return len(self.facts)
