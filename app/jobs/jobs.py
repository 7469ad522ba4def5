"""Jobs: accepted here, run by the workers, and reported on until they are forgotten.

RQ delivers them. The journal has those that were accepted and have not ended, so that they can be queued again if
Redis loses them. The edit log says which of them made a version.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from contextlib import suppress
from copy import copy
from itertools import islice

from redis import Redis

from app.access.caller import ANYONE, Caller
from app.additions.wishes import Wishes
from app.domain.contract import Job, JobList, JobStatus
from app.domain.errors import Conflict, DamagedVersion, PalimpsestError, Unavailable, UnknownJob, UnknownProposal
from app.domain.log.proposals import entry_of
from app.domain.log.reader import LogReader
from app.domain.manifest import Manifest
from app.edit_logs import EditLogs
from app.jobs.journal import AcceptedJob, AcceptedJournal, jobs_of
from app.jobs.queue.job_queue import EraOver, JobQueue, QueueFull
from app.jobs.queue.queued import Standing
from app.jobs.queue.transactions import Unanswered
from app.jobs.standing_jobs import StandingJobs
from app.jobs.views import JobViews
from app.settings import Settings

logger = logging.getLogger(__name__)


class Jobs:
    """Submits checked requests as jobs, and reports on them."""

    def __init__(self, redis: Redis, logs: EditLogs, settings: Settings) -> None:
        self._queue = JobQueue(redis, settings)
        self._journal = AcceptedJournal(settings.accepted_dir)
        self._logs = logs
        self._views = JobViews(self._queue, self._journal, logs)
        self._standing = StandingJobs()
        self._wishes = Wishes(settings.data_dir)
        self._settings = settings
        self._caller = ANYONE

    def seen_by(self, caller: Caller) -> Jobs:
        """The same jobs as a caller sees them: those of other models than theirs are not known."""
        seen = copy(self)
        seen._caller = caller  # noqa: SLF001 - a copy of this one
        return seen

    def submit(self, accepted: AcceptedJob) -> Job:
        """Accept a checked request; a model's jobs take their turns in the order of submission.

        When this returns, the job is on disk, and will be queued again if Redis loses it. After an error it is not
        queued and will not be. ``docs/durability.md`` names the two cases in which the disk fails and this is not so.

        Raises:
            Unavailable: the model's queue is full, or the job could not be written down.
            RedisError: Redis refused it.
        """
        era = self._standing.era(accepted.model)  # that of the last submission, until Redis says that it is over
        while True:
            with suppress(EraOver):
                return self._accept(accepted, era or self._queue.era(accepted.model))
            era = None

    def view(self, job_id: str) -> Job:
        """What is known of a job. One that was accepted, and that Redis has lost, is queued again.

        Raises:
            UnknownJob: neither the queue, nor any model's edit log, nor the journal knows it, and it adds no model; or
                the caller may not know it.
        """
        job = self._view(job_id)
        if not self._caller.may_touch(job.model):
            raise unknown(job_id)
        return job

    def _view(self, job_id: str) -> Job:
        if queued := self._queue.fetch(job_id):
            return self._views.queued(queued)
        if ended := self._views.committed(job_id) or self._journal.ended(job_id) or self._wishes.view(job_id):
            return ended
        if (accepted := self._journal.find(job_id)) is None:
            raise unknown(job_id)
        self.recover(accepted.model)
        queued = self._queue.fetch(job_id)
        return self._views.accepted(accepted) if queued is None else self._views.queued(queued)

    def find(self, job_id: str) -> Job | None:
        """The job, if it was accepted or has ended. One that is only queued does not count, since Redis may lose it."""
        on_disk = self._journal.find(job_id) is not None
        try:
            job = self.view(job_id)
        except UnknownJob:
            return None
        return job if on_disk or job.status.final else None

    def recent(self, model: str | None, status: JobStatus | None, limit: int, after: str | None = None) -> JobList:
        """The latest jobs, newest first, without their reports; of one model or all, in one state or any.

        Args:
            after: begin behind this job, the last of an earlier list.

        Raises:
            UnknownJob: the queue has no such job.
        """
        seen = (job for job in self._queue.latest(model, after) if self._caller.may_touch(job.model))
        views = (self._views.queued(job).brief for job in seen)
        found = tuple(islice((job for job in views if status in (None, job.status)), limit + 1))
        return JobList(jobs=found[:limit], has_more=len(found) > limit)

    def committed(self, job_id: str) -> tuple[str, Manifest]:
        """The model that a job edited and the version that it made.

        Raises:
            UnknownJob: there is no such job.
            Conflict: it has not committed a version, never will, or is no edit.
        """
        job = self.view(job_id)
        if job.version is None:
            detail = f"Job {job_id} is {job.status}: it has written no facts that could be asked for."
            raise Conflict(detail, field="job", value=job_id)
        manifest = self._logs.of(job.model).manifest(job.version)
        if manifest.kind != "edit":
            raise Conflict(f"Job {job_id} is a {manifest.kind}: it has written no facts.", field="job", value=job_id)
        return job.model, manifest

    def note_proposer(self, log: LogReader, proposal: str) -> None:
        """Note on disk how the job ended that made a proposal, before the proposal goes: it must not make it again."""
        with suppress(DamagedVersion, UnknownProposal):
            self.view(log.proposals.page(entry_of(proposal).number).draft.job or "")

    def cancel(self, job_id: str) -> Job:
        """Have a job leave no trace: one that waits is cancelled at once, one that runs ends at its next step.

        One that was queued before a flush or restart of Redis is cancelled when its turn comes: until then it is not
        known whether a worker has it already.

        Raises:
            UnknownJob: there is no such job.
            Conflict: it has ended already, or adds a model.
        """
        job = self.view(job_id)
        if job.kind == "onboard":
            raise Conflict(f"Job {job_id} adds {job.model}: take the model away instead.", field="job", value=job_id)
        if not job.status.final:
            self._journal.cancel(job.model, job_id)  # first, so that a recovery queues it as cancelled
            self._queue.cancel(job.model, job_id)
            job = self.view(job_id)
            if job.status is JobStatus.CANCELLED or not job.status.final:
                return job
        raise Conflict(f"Job {job_id} has ended already: {job.status}.", field="job", value=job.status)

    def look_after(self) -> None:
        """Recover the jobs of all models, note which have ended, and forget what ended long ago.

        Raises:
            RedisError: Redis is away, or refused.
        """
        for model in self._journal.models():
            try:
                self._note_ends(self.recover(model))
            except (PalimpsestError, OSError) as error:  # go on with the other models
                logger.warning("accepted jobs not looked after: %s", error, extra={"model": model})
        before = time.time() - self._settings.result_ttl_s
        self._journal.forget(before)
        self._wishes.forget(before)

    def recover(self, model: str) -> list[tuple[str, Standing | None]]:
        """Queue again, in the order of acceptance and under their own ids, the model's jobs that Redis has lost.

        Several front ends may do so at the same time. A job that a worker still runs may be delivered once more; the
        worker then finds that it has ended.

        Returns:
            The accepted jobs, in their order, and how each was found to stand; None: Redis had lost it.
        """
        while True:
            with suppress(EraOver):  # the jobs queued in it are lost, and no later one may overtake them
                era = self._queue.era(model)  # before the journal is read, which has all that was lost until then
                self._standing.begin(model, era)
                return self._queue_again(model, era, self._journal.names(model))

    def _queue_again(self, model: str, era: str, names: Iterable[str]) -> list[tuple[str, Standing | None]]:
        """Queue what Redis has lost of the accepted jobs that are not known to stand in this era; how each stood.

        names: those of the journal's files after the era was known.
        """
        others = self._standing.others(model, era, names)
        if not (pending := jobs_of(others)):
            return []
        log = self._logs.of(model)
        standings = list(zip(pending, self._queue.standings(model, pending), strict=True))
        missing = [job_id for job_id, standing in standings if standing is None]
        lost = self._journal.read_all(model, [job_id for job_id in missing if not log.knows_job(job_id)])
        again = [self._queue.put(accepted, era, again=True) for accepted in lost]
        self._standing.note(model, era, others)
        if again:
            logger.warning("Redis had lost %d jobs, which are queued again", len(again), extra={"model": model})
        return standings

    def _note_ends(self, standings: Iterable[tuple[str, Standing | None]]) -> None:
        for job_id, standing in standings:
            if standing is Standing.ENDED:
                self.view(job_id)
            elif standing is None:
                self._views.committed(job_id)

    def _accept(self, accepted: AcceptedJob, era: str) -> Job:
        position = None
        try:
            with self._journal.accepting(accepted) as place:
                self._queue_again(accepted.model, era, place.before)  # what was accepted earlier goes before
                position = self._put(accepted, era, place.entry)
        except QueueFull:
            detail = f"The queue of {accepted.model} is full."
            raise Unavailable(detail, field="model", value=accepted.model) from None
        except OSError as error:
            fields = {"job_id": accepted.job, "model": accepted.model}
            logger.error("not accepted: %s", error, extra=fields)  # noqa: TRY400
            if self._queue.withdraw(accepted.model, accepted.job):
                detail = f"The {accepted.change.kind} could not be accepted: {error.strerror}."
                raise Unavailable(detail) from error
        logger.info("accepted", extra={"job_id": accepted.job, "model": accepted.model, "facts": accepted.facts})
        return self._views.accepted(accepted, position)

    def _put(self, accepted: AcceptedJob, era: str, entry: str) -> int | None:
        try:
            position = self._queue.put(accepted, era)
        except Unanswered as error:
            # Nobody knows whether it is queued. If not, it will be: the journal has it from here on.
            logger.warning("not known to be queued: %s", error, extra={"job_id": accepted.job, "model": accepted.model})
            return None
        self._standing.note(accepted.model, era, (entry,))
        return position


def unknown(job_id: str) -> UnknownJob:
    """The error for a job that nobody knows, or of which the caller may not know."""
    return UnknownJob(f"No job {job_id} is known here.", field="job", value=job_id)
