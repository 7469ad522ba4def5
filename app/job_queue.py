"""The queues by which workers get their jobs: one of RQ's for each model. RQ's own words stay in here.

Every change of a queue is one transaction of Redis: all of it, or nothing.
"""

from __future__ import annotations

import heapq
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
from app.domain.accepted import AcceptedEdit
from app.domain.contract import EditBatch, Export, Progress
from app.domain.version_views import Revert, Rollback
from app.settings import Settings
from app.transactions import transact

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

    def put(self, edit: AcceptedEdit) -> int | None:
        """Queue an edit behind all others of its model; return how many these are. None: it had been queued before.

        What a worker has left of a job's data after everything was flushed is no job, and is overwritten.
        """
        queue, key, known = self._queue(edit.model), QueuedJob.key_for(edit.job), keyspace.jobs(edit.model)

        def enqueue(transaction: Pipeline) -> None:
            if _stands(transaction, queue, edit.job):
                return
            job = self._job(queue, edit)
            transaction.multi()
            queue.enqueue_job(job, pipeline=transaction)
            if edit.cancelled:
                transaction.set(keyspace.cancel(edit.job), 1, ex=self._settings.result_ttl_s)
            transaction.zremrangebyscore(known, "-inf", time.time() - self._settings.result_ttl_s)
            transaction.zadd(known, {edit.job: edit.accepted.timestamp()})
            transaction.llen(queue.key)

        results = transact(self._redis, enqueue, key)
        return results[-1] - 1 if results else None

    def cancel(self, model: str, job_id: str) -> None:
        """Take a waiting job out of its queue; have whoever has taken it already stop at the next step."""
        queue, key, ttl = self._queue(model), QueuedJob.key_for(job_id), self._settings.result_ttl_s

        def take_out(transaction: Pipeline) -> None:
            waits = transaction.lpos(queue.key, job_id) is not None
            transaction.multi()
            transaction.set(keyspace.cancel(job_id), 1, ex=ttl)
            if waits:
                transaction.lrem(queue.key, 0, job_id)
                transaction.hset(key, mapping={"status": QueueStatus.CANCELED, "ended_at": utcformat(now())})
                transaction.expire(key, ttl)

        transact(self._redis, take_out, queue.key)

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

    def complete(self, model: str) -> bool:
        """Whether this server has had all accepted jobs of the model, and was neither flushed nor restarted since."""
        seen = self._redis.get(keyspace.complete(model))
        return seen is not None and as_text(cast("bytes", seen)) == self.server()

    def mark_complete(self, model: str, server: str) -> None:
        """Note that the server with this run id has all accepted jobs of the model."""
        self._redis.set(keyspace.complete(model), server)

    def server(self) -> str:
        """The run id of the server: another one after each restart."""
        return str(self._redis.info("server")["run_id"])

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

    def _job(self, queue: Queue, edit: AcceptedEdit) -> QueuedJob:
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
            meta={"facts": edit.facts},
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
