"""A stand-in for a worker: it computes nothing, and commits every batch at once with a report of each of its facts.

For what surrounds the edits: the client, the front end, Redis, the journal and the log. `python -m
benchmarks.instant_worker REDIS_URL LOG_DIR MODEL` serves until it is told to stop.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

from redis import Redis
from rq import Queue, SimpleWorker
from rq.job import Job
from rq.serializers import JSONSerializer

from app.domain import keyspace
from app.domain.contract import EditBatch, EditReport, Fact, FactReport, Standing
from app.domain.log.edit_log import EditLog
from app.domain.manifest import Base, Draft, LoggedFact
from app.domain.prompts import with_slot
from tests.support.worker_end import WorkerEnd, card, join

LAYERS = (0, 2)
LIVE_S = 24 * 3600


def base_of(model: str) -> Base:
    """Version 0 of a model that nobody loads."""
    return Base(
        model=model,
        source=f"models/{model}",
        modules=dict.fromkeys(LAYERS, "mlp"),
        weights_sha256=dict.fromkeys(LAYERS, "0" * 64),
        contexts=("{}",),
        preset={},
        created=datetime.now(UTC),
    )


def reported(index: int, fact: Fact) -> FactReport:
    """A fact that holds, with all that a real report says of one."""
    return FactReport(
        index=index,
        version_index=index,
        id=fact.id,
        subject=fact.subject,
        prompt=with_slot(fact.subject, fact.template),
        object=fact.object,
        before=Standing(probability=1.25e-5, rank=1482),
        after=Standing(probability=0.9371, rank=1),
        holds=True,
        loss=0.0421,
        share=dict.fromkeys(LAYERS, 0.8125),
        paraphrases=(True,) * len(fact.paraphrases),
        neighbours=(True,) * len(fact.neighbours),
        ends=True,
    )


def draft_of(version: int, job: str, epoch: int, batch: EditBatch) -> Draft:
    """The version that a batch becomes."""
    report = EditReport(
        method="memit",
        plan="boundary",
        layers=LAYERS,
        strict=False,
        hyperparameters={},
        facts=tuple(reported(index, fact) for index, fact in enumerate(batch.facts)),
        facts_hold=1.0,
        paraphrases_hold=1.0,
        neighbours_keep=1.0,
        update_norms=dict.fromkeys(LAYERS, 0.5),
        seconds=0.0,
    )
    return Draft(
        version=version,
        job=job,
        facts=tuple(_logged(fact) for fact in batch.facts),
        method="memit",
        plan="boundary",
        report=report,
        epoch=epoch,
    )


def _logged(fact: Fact) -> LoggedFact:
    asked = tuple(each.prompt for each in fact.paraphrases), tuple(each.prompt for each in fact.neighbours)
    prompt = with_slot(fact.subject, fact.template)
    return LoggedFact.model_validate(
        {"subject": fact.subject, "prompt": prompt, "object": fact.object, "id": fact.id}
        | {"paraphrases": asked[0], "neighbours": asked[1]}
    )


class InstantJob(Job):
    """A job that is committed instead of computed."""

    commit: ClassVar[Callable[[str, str], str]]

    def _execute(self) -> str:
        return type(self).commit(self.id, self.args[0])


def serve(redis_url: str, log_dir: Path, model: str) -> None:
    """Take the model's jobs, one after another, until SIGTERM."""
    log = EditLog(log_dir, model)
    log.create(base_of(model))
    with log.lead() as epoch, WorkerEnd() as end, closing(Redis.from_url(redis_url)) as redis:

        def commit(job: str, request: str) -> str:
            end.asked.clear()  # it would remember all checks
            draft = draft_of(log.head() + 1, job, epoch, EditBatch.model_validate_json(request))
            return log.commit(draft, {}).outcome.model_dump_json()

        InstantJob.commit = staticmethod(commit)
        join(redis, card(model, url=end.url), LIVE_S)
        queue = Queue(keyspace.queue(model), connection=redis, serializer=JSONSerializer)
        SimpleWorker([queue], connection=redis, serializer=JSONSerializer, job_class=InstantJob).work(
            logging_level="WARNING"
        )


if __name__ == "__main__":
    serve(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
