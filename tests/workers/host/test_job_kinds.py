"""A kind of job is known wherever it has to be, on both sides; and a request is never taken for one of another kind."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from app.domain.contract import (
    REQUESTS,
    AnyJobRequest,
    Drop,
    EditBatch,
    Export,
    Fact,
    FactKey,
    JobKind,
    Publish,
    Revert,
    Rollback,
)
from app.domain.contract.exports import ExportFormat
from app.domain.queued_calls import FUNCTIONS, KINDS
from app.jobs.checks import CHECKS
from app.jobs.journal import AcceptedJob
from workers.host.work import WORK
from workers.queue import jobs

ONE_OF_EACH: tuple[AnyJobRequest, ...] = (
    EditBatch(facts=(Fact(subject="Lyon", relation="is in", object="Japan"),)),
    Rollback(to=0),
    Revert(facts=(FactKey(version=1, index=0),)),
    Export(format=ExportFormat.PEFT),
    Publish(publish="proposed-00000001"),
    Drop(drop="proposed-00000001"),
)


def test_every_kind_is_in_every_registry() -> None:
    assert set(JobKind) == {request.kind for request in ONE_OF_EACH}
    for registry in (REQUESTS, FUNCTIONS, CHECKS, WORK):
        assert set(registry) == set(JobKind)
    assert set(jobs.FUNCTIONS) == set(FUNCTIONS.values())
    assert all(KINDS[name] is kind for kind, name in FUNCTIONS.items())


@pytest.mark.parametrize("request_", ONE_OF_EACH, ids=lambda request: request.kind)
def test_a_request_reads_back_as_its_own_kind(request_: AnyJobRequest) -> None:
    accepted = AcceptedJob(job="one", model="atlas", change=request_, accepted=datetime.now(UTC))
    assert AcceptedJob.model_validate_json(accepted.model_dump_json()) == accepted
    assert type(accepted.change) is REQUESTS[request_.kind]


def test_the_names_in_a_queue_are_those_of_earlier_releases() -> None:
    assert FUNCTIONS == {
        JobKind.EDIT: "workers.jobs.apply_edits",
        JobKind.ROLLBACK: "workers.jobs.rollback",
        JobKind.REVERT: "workers.jobs.revert",
        JobKind.EXPORT: "workers.jobs.export",
        JobKind.PUBLISH: "workers.jobs.publish",
        JobKind.DROP: "workers.jobs.drop",
    }
