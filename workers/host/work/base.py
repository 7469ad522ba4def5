"""What every kind of job has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from app.domain.contract import JobOutcome
from workers.host.model_host import ModelHost
from workers.host.turn import Turn
from workers.steps import Steps


class Work(ABC):
    """One kind of job.

    aside: whether it leaves the live model, its knowledge and the log alone, so that later jobs need not wait for it.
    """

    aside: ClassVar[bool] = False

    def done(self, host: ModelHost, turn: Turn) -> JobOutcome | None:
        """The outcome of an earlier delivery of the job, if one ended: by the log, unless the kind makes no version.

        Raises:
            VersionExists: an earlier leader committed it, after this one was brought to the log's head.
        """
        return host.committed(turn.job_id)

    @abstractmethod
    def do(self, host: ModelHost, turn: Turn, steps: Steps) -> JobOutcome:
        """Do the job, or raise why not: then nothing of it is left."""
