"""The way in for all that changes a model: everything that may refuse it is asked before it is accepted."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from secrets import token_hex

from app.domain.accepted import AcceptedEdit
from app.domain.contract import EditBatch, Job
from app.domain.errors import RequestInFlight, TooManyFacts
from app.domain.version_views import Revert, Rollback
from app.edit_logs import EditLogs
from app.entity_tags import expected_version
from app.fleet import Fleet
from app.idempotency import HEADER, IdempotencyKeys, job_of
from app.jobs import Jobs
from app.settings import Settings


class Acceptance:
    """Accepts edit batches, rollbacks and reverts, or says why not."""

    def __init__(self, jobs: Jobs, fleet: Fleet, logs: EditLogs, keys: IdempotencyKeys, settings: Settings) -> None:
        self._jobs = jobs
        self._fleet = fleet
        self._logs = logs
        self._keys = keys
        self._max_facts = settings.max_facts

    def accept(self, batch: EditBatch, key: str | None, if_match: str | None) -> Job:
        """Have a batch applied once; return its job, which is the first one's where the request comes again.

        Args:
            key: what tells this request from all others, if the caller has said so.
            if_match: the entity tags of which the model's version must have one, now and when the job's turn comes.

        Raises:
            RequestError: of the kind that fits, with the field and the value at fault.
            RequestInFlight: the first request with this key is not answered yet.
            PreconditionFailed: the model is at another version.
            Unavailable: no worker serves the model, its queue is full, or the batch could not be written down.
        """
        if len(batch.facts) > self._max_facts:
            detail = f"A batch may have at most {self._max_facts} facts."
            raise TooManyFacts(detail, field="facts", value=len(batch.facts))
        fingerprint = _fingerprint(batch.model_dump_json(), if_match)
        return self._once(key, fingerprint, lambda job_id: self._submit(job_id, batch, if_match))

    def take_back(self, model: str, change: Rollback | Revert, key: str | None, if_match: str | None) -> Job:
        """Have a model go back to a version, or facts taken out, once; all else as ``accept``.

        Raises:
            UnknownVersion, UnknownFact, InseparableFacts, CompactedVersion: it cannot be done.
            UnknownModel, RequestInFlight, PreconditionFailed, Unavailable: as ``accept`` does.
        """
        fingerprint = _fingerprint(f"{type(change).__name__} {model} {change.model_dump_json()}", if_match)
        return self._once(key, fingerprint, lambda job_id: self._submit_back(job_id, model, change, if_match))

    def _once(self, key: str | None, fingerprint: str, submit: Callable[[str], Job]) -> Job:
        """The job that ``submit`` makes under an id; that of the first request where one comes again."""
        if key is None:
            return submit(token_hex(8))
        job_id = job_of(key, fingerprint)
        with self._keys.held(key, fingerprint) as alone:
            if known := self._jobs.find(job_id):
                return known
            if not alone:
                raise RequestInFlight("The first request with this key is not answered yet.", field=HEADER, value=key)
            return submit(job_id)

    def _submit(self, job_id: str, batch: EditBatch, if_match: str | None) -> Job:
        model = self._fleet.resolve(batch.model)
        expected = expected_version(if_match, model, self._logs.of(model).head())
        named = batch.model_copy(update={"model": model})
        self._fleet.check(model, named)
        return self._accepted(job_id, model, named, expected)

    def _submit_back(self, job_id: str, name: str, change: Rollback | Revert, if_match: str | None) -> Job:
        model = self._fleet.resolve(name)
        log = self._logs.of(model)
        expected = expected_version(if_match, model, log.head())
        if isinstance(change, Rollback):
            log.check_rollback(change.to)
        else:
            log.check_revert(change.facts)
        return self._accepted(job_id, model, change, expected)

    def _accepted(self, job_id: str, model: str, change: EditBatch | Rollback | Revert, expected: int | None) -> Job:
        accepted = datetime.now(UTC)
        return self._jobs.submit(
            AcceptedEdit(job=job_id, model=model, change=change, accepted=accepted, expected_version=expected)
        )


def _fingerprint(request: str, if_match: str | None) -> str:
    """What a request asks for, whatever its spacing and the order of its fields."""
    return hashlib.sha256(f"{request}\n{if_match or ''}".encode()).hexdigest()
