"""What the requests that change or export a model have in common: conditions, refusals, a job to follow."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Header, Path, Response

from app.domain.contract import Job, Name
from app.domain.errors import (
    BodyTooLarge,
    CompactedVersion,
    IdempotencyKeyReused,
    ModelUnavailable,
    PreconditionFailed,
    RequestInFlight,
    Unavailable,
    UnknownModel,
)
from app.jobs.conditions import Conditions
from app.jobs.entity_tags import IF_MATCH
from app.jobs.idempotency import HEADER

POLL_AFTER_S = 1

ANY_CHANGE = (
    BodyTooLarge,
    IdempotencyKeyReused,
    ModelUnavailable,
    PreconditionFailed,
    RequestInFlight,
    Unavailable,
    UnknownModel,
)
EARLIER_TENSORS = (CompactedVersion, *ANY_CHANGE)
"""Refusals of what needs the tensors of earlier versions, which a shortened log may lack."""

ModelPath = Annotated[Name, Path()]


async def _conditions(
    idempotency_key: Annotated[
        str | None,
        Header(
            alias=HEADER,
            pattern=r'^("[\x20\x21\x23-\x7e]+"|[\x21\x23-\x7e]+)$',
            max_length=200,
            description="A key of your choice, quoted or not, so that the request can be sent again: the same body "
            "gets the same job. Remembered for a day by default; if the job committed a version, as long as the edit "
            "log exists.",
        ),
    ] = None,
    if_match: Annotated[
        str | None,
        Header(
            alias=IF_MATCH,
            description="A version in quotes, as `ETag` has it. The request is carried out only if the model is at it, "
            "both now and when the job's turn comes.",
        ),
    ] = None,
) -> Conditions:
    return Conditions(None if idempotency_key is None else idempotency_key.strip('"'), if_match)


ConditionsDep = Annotated[Conditions, Depends(_conditions)]


def followed(job: Job, response: Response) -> Job:
    """The job, with headers that say where to follow it."""
    response.headers["Location"] = f"/jobs/{job.id}"
    response.headers["Retry-After"] = str(POLL_AFTER_S)
    return job
