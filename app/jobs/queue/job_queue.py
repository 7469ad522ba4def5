"""The queues by which workers get their jobs: one RQ queue for each model. RQ's types stay in this folder.

Every change of a queue is one transaction of Redis: all of it, or nothing. Some write to RQ's own keys.
"""

from __future__ import annotations

import heapq
import json
import secrets
import time
from collections.abc import Iterator, Sequence
from itertools import dropwhile, islice
from operator import itemgetter
from typing import cast

from redis import Redis
from redis.client import Pipeline
from rq import Queue, Retry
from rq.exceptions import NoSuchJobError
from rq.job import Job as RQJob
from rq.job import JobStatus as RQStatus
from rq.serializers import JSONSerializer
from rq.utils import as_text, now, utcformat

from app.domain import keyspace
from app.domain.contract import Progress
from app.domain.errors import UnknownJob
from app.domain.origin import REQUEST_ID, handed_on
from app.domain.queued_calls import BY, EXPECTED_VERSION, FUNCTIONS, ORIGIN
from app.jobs.journal import AcceptedJob
from app.jobs.queue import looks
from app.jobs.queue.queued import FACTS, Queued, Standing
from app.jobs.queue.transactions import transact
from app.settings import Settings

LISTED_FROM = 2000
"""A list of jobs covers at most so many of each model's latest, and of all together."""
FIRST_ERA = "first_era"
"""In a job's metadata: the era before which no worker can have taken the job; None: unknown."""


class EraOver(Exception):
    """Redis was flushed or restarted, and may have lost jobs that have to go before. Nothing was queued."""


class QueueFull(Exception):
    """As many jobs wait for the model as may. Nothing was queued."""


class JobQueue:
    """Puts accepted jobs into their model's queue, and knows where each stands there."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._settings = settings

    def position(self, model: str, job_id: str) -> int | None:
        """How many jobs wait before this one; None if it has left the queue."""
        return cast("int | None", self._redis.lpos(self._queue(model).key, job_id))

    def put(self, accepted: AcceptedJob, era: str, *, again: bool = False) -> int | None:
        """Queue a job behind all others of its model; return how many these are, or None if it was queued already.

        A hash without the job's data, which a worker may leave after a flush, counts as no job and is overwritten.

        Args:
            era: the one in which all jobs before it were queued; see ``era``.
            again: whether it was accepted before: it may have been queued, and taken by a worker, in an earlier era.

        Raises:
            EraOver: that era is over.
            QueueFull: it was not accepted before, and as many jobs wait as may.
        """
        queue, key, known = self._queue(accepted.model), RQJob.key_for(accepted.job), keyspace.jobs(accepted.model)

        def enqueue(transaction: Pipeline) -> None:
            seen = looks.look(self._redis, accepted.model, queue, accepted.job)  # on a connection of its own
            if seen.era != era:
                raise EraOver
            if seen.stands:
                return
            if not again and seen.waiting >= self._settings.max_queued:
                raise QueueFull
            job = self._job(queue, accepted, None if again else era)
            transaction.multi()
            queue.enqueue_job(job, pipeline=transaction)
            if accepted.cancelled:
                transaction.set(keyspace.cancel(accepted.job), 1, ex=self._settings.result_ttl_s)
            transaction.zremrangebyscore(known, "-inf", time.time() - self._settings.result_ttl_s)
            transaction.zadd(known, {accepted.job: accepted.accepted.timestamp()})
            transaction.llen(queue.key)

        results = transact(self._redis, enqueue, key, keyspace.era(accepted.model))
        return results[-1] - 1 if results else None

    def cancel(self, model: str, job_id: str) -> None:
        """Take a waiting job out of its queue; have a worker that has taken it already stop at its next step.

        Of a job that may have been queued in an earlier era it is not known whether a worker has taken it: it stays
        in the queue, and ends when its turn comes.
        """
        queue, key, ttl = self._queue(model), RQJob.key_for(job_id), self._settings.result_ttl_s

        def take_out(transaction: Pipeline) -> None:
            only_waits = transaction.lpos(queue.key, job_id) is not None and _begins_in(transaction, job_id, model)
            transaction.multi()
            transaction.set(keyspace.cancel(job_id), 1, ex=ttl)
            if only_waits:
                transaction.lrem(queue.key, 0, job_id)
                transaction.hset(key, mapping={"status": RQStatus.CANCELED, "ended_at": utcformat(now())})
                transaction.expire(key, ttl)

        transact(self._redis, take_out, queue.key, key, keyspace.era(model))

    def withdraw(self, model: str, job_id: str) -> bool:
        """Take a job out as if it had never been queued; False if a worker has taken it already, and will run it."""
        queue, key = self._queue(model), RQJob.key_for(job_id)

        def take_out(transaction: Pipeline) -> None:
            if transaction.lpos(queue.key, job_id) is not None or not transaction.exists(key):
                transaction.multi()
                transaction.lrem(queue.key, 0, job_id)
                transaction.delete(key)
                transaction.zrem(keyspace.jobs(model), job_id)

        return bool(transact(self._redis, take_out, queue.key, key))

    def fetch(self, job_id: str) -> Queued | None:
        """The job as the queue knows it; None if it does not, or the job is not of a model."""
        try:
            job = RQJob.fetch(job_id, connection=self._redis, serializer=JSONSerializer)
        except NoSuchJobError:
            return None
        return Queued.of(job) if job.origin.startswith(keyspace.queue("")) else None

    def latest(self, model: str | None, after: str | None = None) -> Iterator[Queued]:
        """The jobs submitted last, newest first, of one model or of all.

        Args:
            after: begin behind this job, however long ago it was submitted.

        Raises:
            UnknownJob: there is no such job.
        """
        models = [model] if model else self._models()
        newest = "+inf" if after is None else self._submission(models, after)
        per_model = (self._submitted(each, newest) for each in models)
        listed: Iterator[tuple[bytes, float]] = heapq.merge(*per_model, key=itemgetter(1), reverse=True)
        if after is not None:
            listed = islice(dropwhile(lambda entry: as_text(entry[0]) != after, listed), 1, None)
        for job_id, _ in islice(listed, LISTED_FROM):
            if job := self.fetch(as_text(job_id)):
                yield job

    def progress(self, job_id: str) -> Progress | None:
        """The step that a running job reported last."""
        latest = self._redis.xrevrange(keyspace.progress(job_id), count=1)
        entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", latest)
        return Progress.model_validate_json(entries[0][1][b"json"]) if entries else None

    # --- after Redis has lost something ----------------------------------------------------------

    def era(self, model: str) -> str:
        """The token of the current era, which is the time since Redis was last flushed or restarted.

        During an era Redis loses nothing of the model. Begins a new era if the last one is over.
        """
        lasting = None

        def begin(transaction: Pipeline) -> None:
            nonlocal lasting
            lasting = looks.current_era(transaction, model)
            if lasting is None:
                lasting = f"{looks.this_run(transaction)}.{secrets.token_hex(8)}"
                transaction.multi()
                transaction.set(keyspace.era(model), lasting)

        transact(self._redis, begin, keyspace.era(model))
        assert lasting is not None
        return lasting

    def standings(self, model: str, job_ids: Sequence[str]) -> list[Standing | None]:
        """How far each job is; None if Redis has lost it: the job, or its place in the queue although it waits."""
        return looks.standings(self._redis, self._queue(model), job_ids)

    def _job(self, queue: Queue, accepted: AcceptedJob, first_era: str | None) -> RQJob:
        settings, kind = self._settings, accepted.change.kind
        origin = handed_on() if first_era else {}  # one that Redis had lost is queued by whoever finds that out
        if accepted.request_id is not None:
            origin[REQUEST_ID] = accepted.request_id
        named = {EXPECTED_VERSION: accepted.expected_version, BY: accepted.by}
        job = queue.create_job(
            FUNCTIONS[kind],
            args=(accepted.change.model_dump_json(),),
            kwargs={name: value for name, value in named.items() if value is not None},
            job_id=accepted.job,
            timeout=settings.job_timeout_s,
            result_ttl=settings.result_ttl_s,
            failure_ttl=settings.result_ttl_s,
            description=f"{kind} of {accepted.facts} facts" if accepted.facts else str(kind),
            meta={FACTS: accepted.facts, FIRST_ERA: first_era, ORIGIN: origin},
            retry=Retry(max=settings.job_retries, enqueue_at_front=True),
        )
        job.created_at = accepted.accepted
        return job

    def _submission(self, models: Sequence[str], job_id: str) -> float:
        """When a job of one of these models was submitted (Unix seconds)."""
        times = (self._redis.zscore(keyspace.jobs(model), job_id) for model in models)
        if (found := next((time for time in times if time is not None), None)) is None:
            raise UnknownJob(f"No job {job_id} is listed here.", field="after", value=job_id)
        return found

    def _submitted(self, model: str, newest: float | str) -> list[tuple[bytes, float]]:
        """Ids of the model's latest jobs up to this time and when they were submitted (Unix seconds), newest first."""
        found = self._redis.zrevrangebyscore(
            keyspace.jobs(model), newest, "-inf", start=0, num=LISTED_FROM, withscores=True
        )
        return cast("list[tuple[bytes, float]]", found)

    def _models(self) -> list[str]:
        names = (queue.name for queue in Queue.all(self._redis, serializer=JSONSerializer))
        prefix = keyspace.queue("")
        return sorted(name.removeprefix(prefix) for name in names if name.startswith(prefix))

    def _queue(self, model: str) -> Queue:
        return Queue(keyspace.queue(model), connection=self._redis, serializer=JSONSerializer)


def _begins_in(connection: Pipeline, job_id: str, model: str) -> bool:
    """Whether no worker can have taken the job before the current era."""
    meta = cast("bytes | None", connection.hget(RQJob.key_for(job_id), "meta"))
    era = looks.current_era(connection, model)
    return era is not None and meta is not None and json.loads(meta).get(FIRST_ERA) == era
