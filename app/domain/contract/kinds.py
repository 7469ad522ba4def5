"""The kinds of jobs, and the base class of the requests that become jobs; ``requests`` lists all of these."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Self

from app.domain.contract.values import Request


class JobKind(StrEnum):
    """What a job does. The value is also the noun for the job in error messages."""

    EDIT = "edit"
    ROLLBACK = "rollback"
    REVERT = "revert"
    EXPORT = "export"
    PUBLISH = "publish"
    DROP = "drop"


class JobRequest(Request):
    """Base of the requests that become jobs: one class for each kind."""

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
        """The request, for the model that its name or the default has been resolved to."""
        return self
