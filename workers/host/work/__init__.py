"""What each kind of job does with the host: a file a kind, and a line in ``WORK``."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import nullcontext
from types import MappingProxyType

from app.domain.contract import JobKind, JobOutcome
from app.domain.errors import PreconditionFailed, StaleEpoch, VersionExists
from workers.editing.loading import PROCESS_WIDE
from workers.host.model_host import ModelHost
from workers.host.turn import Turn
from workers.host.work.approval import DropProposal, PublishProposal
from workers.host.work.base import Work
from workers.host.work.edit import Edit
from workers.host.work.export import WriteExport
from workers.host.work.taking_back import TakingBack
from workers.steps import Steps

logger = logging.getLogger(__name__)

WORK: Mapping[JobKind, Work] = MappingProxyType(
    {
        JobKind.EDIT: Edit(),
        JobKind.ROLLBACK: TakingBack(),
        JobKind.REVERT: TakingBack(),
        JobKind.EXPORT: WriteExport(),
        JobKind.PUBLISH: PublishProposal(),
        JobKind.DROP: DropProposal(),
    }
)


def carry_out(host: ModelHost, turn: Turn, steps: Steps) -> JobOutcome:
    """Do a job: all of it, or it leaves no trace. One that was done before is not done again.

    Raises:
        PreconditionFailed: the model was at another version than the job was meant for.
        StaleEpoch, VersionExists: another leader has taken over or committed the job, or what is in service is unknown.
        PalimpsestError: the job could not be done; weights, knowledge and log are as before.
        Whatever ``steps`` raises.
    """
    work = WORK[turn.request.kind]
    if done := work.done(host, turn):
        return done
    if turn.expected_version not in (None, turn.version):
        detail = f"{host.name} was at version {turn.version} when the job's turn came"
        raise PreconditionFailed(detail, field="If-Match", value=turn.expected_version)
    try:
        with nullcontext() if work.aside else PROCESS_WIDE:  # what runs aside may load a model
            return work.do(host, turn, steps)
    except (StaleEpoch, VersionExists):
        raise
    except Exception:  # the job's edge: what fails once a version is committed is not the job's failure
        if (committed := host.committed_after_all(turn.job_id)) is None:
            raise
        logger.exception("read from the log, since publishing failed", extra={"job_id": turn.job_id})
        return committed
