"""What a job can do: a kind, and the base of the requests that say to what. ``requests`` lists them all."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Self

from app.domain.contract.values import Request


class JobKind(StrEnum):
    """What a job does; as a word it is what sentences call the job."""

    EDIT = "edit"
    ROLLBACK = "rollback"
    REVERT = "revert"
    EXPORT = "export"


class JobRequest(Request):
    """Base of what a caller can have done by a job: one class a kind."""

    kind: ClassVar[JobKind]

    @property
    def named_model(self) -> str | None:
        """The model that the request itself names, if it does; most are named by the path that they are sent to."""
        return None

    @property
    def named_facts(self) -> int:
        """How many facts it writes or takes out, as far as it names them."""
        return 0

    def for_model(self, model: str) -> Self:
        """The request, for the model that it was found to mean."""
        return self
