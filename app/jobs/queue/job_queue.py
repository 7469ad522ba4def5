"""The queues by which workers get their jobs: one of RQ's for each model. RQ's own words stay in here.

Every change of a queue is one transaction of Redis: all of it, or nothing.
"""

from __future__ import annotations

import heapq
import json
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from operator import itemgetter
from types import MappingProxyType
from typing import cast

from redis import Redis
from redis.client import Pipeline
from rq import Queue, Retry
from rq.exceptions import NoSuchJobError
from rq.job import Job as QueuedJob
from rq.job import JobStatus as QueueStatus
from rq.serializers import JSONSerializer
from rq.utils import as_text, now, utcformat

from app.domain import keyspace
from app.domain.contract import EditBatch, Export, Progress, Revert, Rollback
from app.jobs.journal import AcceptedJob
from app.jobs.queue.transactions import transact
from app.settings import Settings

APPLY_EDITS = "workers.jobs.apply_edits"
FUNCTIONS: Mapping[type, tuple[str, str]] = MappingProxyType(
    {
        EditBatch: (APPLY_EDITS, "edit"),
        Rollback: ("workers.jobs.rollback", "rollback"),
        Revert: ("workers.jobs.revert", "revert"),
        Export: ("workers.jobs.export", "export"),
    }
)
"""The workers' entry points, by name: the front end never imports them. And what such a job is called."""
LISTED_FROM = 2000
"""A list of jobs is drawn from this many of the latest."""
FIRST_ERA = "first_era"
"""In a job's metadata: the era before which nobody can have taken it; None: unknown."""


class EraOver(Exception):
    """Redis was flushed or restarted, and may have lost jobs that have to go before. Nothing was queued."""


class JobQueue:
    """Puts accepted edits into their model's queue, and knows where each stands there."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._settings = settings

    def waiting(self, model: str) -> int:
        """How many jobs wait for the model."""
        return self._queue(model).count

    def position(self, job: QueuedJob) -> int | None:
        """How many jobs wait before this one; None if it has left the queue."""
        return cast("int | None", self._redis.lpos(self._queue(model_of(job)).key, job.id))

    def put(self, edit: AcceptedJob, era: str, *, again: bool = False) -> int | None:
        """Queue an edit behind all others of its model; return how many these are. None: it had been queued before.

        What a worker has left of a job's data after everything was flushed is no job, and is overwritten.

        Args:
            era: in which all jobs were queued that go before it; see ``era``.
            again: whether it may have been queued, and taken by a worker, in an earlier era.

        Raises:
            EraOver: it is over.
        """
        queue, key, known = self._queue(edit.model), QueuedJob.key_for(edit.job), keyspace.jobs(edit.model)

        def enqueue(transaction: Pipeline) -> None:
            if _era(transaction, edit.model) != era:
                raise EraOver
            if _stands(transaction, queue, edit.job):
                return
            job = self._job(queue, edit, None if again else era)
            transaction.multi()
            queue.enqueue_job(job, pipeline=transaction)
            if edit.cancelled:
                transaction.set(keyspace.cancel(edit.job), 1, ex=self._settings.result_ttl_s)
            transaction.zremrangebyscore(known, "-inf", time.time() - self._settings.result_ttl_s)
            transaction.zadd(known, {edit.job: edit.accepted.timestamp()})
            transaction.llen(queue.key)

        results = transact(self._redis, enqueue, key, keyspace.era(edit.model))
        return results[-1] - 1 if results else None

    def cancel(self, model: str, job_id: str) -> None:
        """Take a waiting job out of its queue; have whoever has taken it already stop at the next step.

        Of a job that was queued in another era Redis cannot tell whether a worker has taken it then: it stays, and
        ends when its turn comes.
        """
        queue, key, ttl = self._queue(model), QueuedJob.key_for(job_id), self._settings.result_ttl_s

        def take_out(transaction: Pipeline) -> None:
            only_waits = transaction.lpos(queue.key, job_id) is not None and _begins_in(transaction, job_id, model)
            transaction.multi()
            transaction.set(keyspace.cancel(job_id), 1, ex=ttl)
            if only_waits:
                transaction.lrem(queue.key, 0, job_id)
                transaction.hset(key, mapping={"status": QueueStatus.CANCELED, "ended_at": utcformat(now())})
                transaction.expire(key, ttl)

        transact(self._redis, take_out, queue.key, key, keyspace.era(model))

    def withdraw(self, model: str, job_id: str) -> bool:
        """Take a job out as if it had never been queued; whether nobody will run it. False: a worker has it already."""
        queue, key = self._queue(model), QueuedJob.key_for(job_id)

        def take_out(transaction: Pipeline) -> None:
            if transaction.lpos(queue.key, job_id) is not None or not transaction.exists(key):
                transaction.multi()
                transaction.lrem(queue.key, 0, job_id)
                transaction.delete(key)
                transaction.zrem(keyspace.jobs(model), job_id)

        return bool(transact(self._redis, take_out, queue.key, key))

    def fetch(self, job_id: str) -> QueuedJob | None:
        """The job as RQ knows it; None if it does not, or the job is not of a model."""
        try:
            job = QueuedJob.fetch(job_id, connection=self._redis, serializer=JSONSerializer)
        except NoSuchJobError:
            return None
        return job if job.origin.startswith(keyspace.queue("")) else None

    def latest(self, model: str | None) -> Iterator[QueuedJob]:
        """The jobs submitted last, newest first, of one model or of all."""
        per_model = (self._submitted(each) for each in ([model] if model else self._models()))
        newest_first = heapq.merge(*per_model, key=itemgetter(1), reverse=True)
        for job_id, _ in islice(newest_first, LISTED_FROM):
            if job := self.fetch(as_text(job_id)):
                yield job

    def progress(self, job_id: str) -> Progress | None:
        """The step that a running job reported last."""
        latest = self._redis.xrevrange(keyspace.progress(job_id), count=1)
        entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", latest)
        return Progress.model_validate_json(entries[0][1][b"json"]) if entries else None

    # --- after Redis has lost something ----------------------------------------------------------

    def era(self, model: str) -> str:
        """The time since Redis was last flushed or restarted: while it lasts, Redis loses nothing of the model.

        Begins one if the last is over. It is a token; what is queued with it is queued only while it lasts.
        """
        lasting = None

        def begin(transaction: Pipeline) -> None:
            nonlocal lasting
            lasting = _era(transaction, model)
            if lasting is None:
                lasting = f"{_run_id(transaction)}.{secrets.token_hex(8)}"
                transaction.multi()
                transaction.set(keyspace.era(model), lasting)

        transact(self._redis, begin, keyspace.era(model))
        assert lasting is not None
        return lasting

    def standings(self, model: str, job_ids: Sequence[str]) -> list[QueueStatus | None]:
        """What RQ believes of each job; None where it is lost: unknown, or said to wait and in no queue."""
        queue = self._queue(model)
        with self._redis.pipeline(transaction=True) as snapshot:
            snapshot.lrange(queue.key, 0, -1)
            snapshot.lrange(queue.intermediate_queue_key, 0, -1)
            for job_id in job_ids:
                snapshot.hget(QueuedJob.key_for(job_id), "status")
                snapshot.hexists(QueuedJob.key_for(job_id), "data")
            waiting, taken, *found = snapshot.execute()
        in_line = {as_text(job_id) for job_id in (*waiting, *taken)}
        fields = zip(job_ids, found[::2], found[1::2], strict=True)
        return [_standing(status, whole=whole, in_line=job_id in in_line) for job_id, status, whole in fields]

    def _job(self, queue: Queue, edit: AcceptedJob, first_era: str | None) -> QueuedJob:
        settings, (function, kind) = self._settings, FUNCTIONS[type(edit.change)]
        expected = {} if edit.expected_version is None else {"expected_version": edit.expected_version}
        job = queue.create_job(
            function,
            args=(edit.change.model_dump_json(),),
            kwargs=expected,
            job_id=edit.job,
            timeout=settings.job_timeout_s,
            result_ttl=settings.result_ttl_s,
            failure_ttl=settings.result_ttl_s,
            description=f"{kind} of {edit.facts} facts" if edit.facts else kind,
            meta={"facts": edit.facts, FIRST_ERA: first_era},
            retry=Retry(max=settings.job_retries, enqueue_at_front=True),
        )
        job.created_at = edit.accepted
        return job

    def _submitted(self, model: str) -> list[tuple[bytes, float]]:
        """Ids of the model's latest jobs and when they were submitted (Unix seconds), newest first."""
        found = self._redis.zrevrange(keyspace.jobs(model), 0, LISTED_FROM - 1, withscores=True)
        return cast("list[tuple[bytes, float]]", found)

    def _models(self) -> list[str]:
        names = (queue.name for queue in Queue.all(self._redis, serializer=JSONSerializer))
        prefix = keyspace.queue("")
        return [name.removeprefix(prefix) for name in names if name.startswith(prefix)]

    def _queue(self, model: str) -> Queue:
        return Queue(keyspace.queue(model), connection=self._redis, serializer=JSONSerializer)


def model_of(job: QueuedJob) -> str:
    """The model that a job edits."""
    return job.origin.removeprefix(keyspace.queue(""))


def _era(connection: Pipeline, model: str) -> str | None:
    """The era that lasts; None: the last one is over."""
    noted = cast("bytes | None", connection.get(keyspace.era(model)))
    era = as_text(noted) if noted else ""
    return era if era.startswith(_run_id(connection)) else None


def _begins_in(connection: Pipeline, job_id: str, model: str) -> bool:
    """Whether no worker can have taken a job before the era that lasts."""
    meta = cast("bytes | None", connection.hget(QueuedJob.key_for(job_id), "meta"))
    era = _era(connection, model)
    return era is not None and meta is not None and json.loads(meta).get(FIRST_ERA) == era


def _run_id(connection: Pipeline) -> str:
    """Of the server: another one after each restart."""
    return str(connection.info("server")["run_id"])


def _stands(connection: Pipeline, queue: Queue, job_id: str) -> bool:
    """Whether the queue knows the job, and has it in line if it says that it waits."""
    key = QueuedJob.key_for(job_id)
    status = cast("bytes | None", connection.hget(key, "status"))
    if _standing(status, whole=bool(status and connection.hexists(key, "data")), in_line=True) is None:
        return False
    # In the order in which a worker moves it, so that it is not missed on its way.
    in_line = any(connection.lpos(line, job_id) is not None for line in (queue.key, queue.intermediate_queue_key))
    return _standing(status, whole=True, in_line=in_line) is not None


def _standing(status: bytes | None, *, whole: bool, in_line: bool) -> QueueStatus | None:
    if status is None or not whole:
        return None
    standing = QueueStatus(as_text(status))
    return standing if in_line or standing is not QueueStatus.QUEUED else None
