"""The way in for all that changes or exports a model: everything that may refuse it is asked before it is accepted."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from secrets import token_hex

from app.domain.contract import EditBatch, Export, FactKey, Job, Revert, Rollback
from app.domain.errors import RequestInFlight, TooManyFacts, UnknownFact
from app.edit_logs import EditLogs
from app.fleet import Fleet
from app.jobs.conditions import Conditions
from app.jobs.entity_tags import expected_version
from app.jobs.idempotency import HEADER, EarlierRequests, IdempotencyKeys, job_of
from app.jobs.jobs import Jobs
from app.jobs.journal import AcceptedJob
from app.settings import Settings


class Acceptance:
    """Accepts edit batches, rollbacks, reverts and exports, or says why not."""

    def __init__(self, jobs: Jobs, fleet: Fleet, logs: EditLogs, keys: IdempotencyKeys, settings: Settings) -> None:
        self._jobs = jobs
        self._fleet = fleet
        self._logs = logs
        self._keys = keys
        self._earlier = EarlierRequests(logs, settings)
        self._max_facts = settings.max_facts

    def accept(self, batch: EditBatch, conditions: Conditions) -> Job:
        """Have a batch applied once; return its job, which is the first one's where the request comes again.

        Raises:
            RequestError: of the kind that fits, with the field and the value at fault.
            RequestInFlight: the first request with its key is not answered yet.
            PreconditionFailed: the model is at another version.
            Unavailable: no worker serves the model, its queue is full, or the batch could not be written down.
        """
        if len(batch.facts) > self._max_facts:
            detail = f"A batch may have at most {self._max_facts} facts."
            raise TooManyFacts(detail, field="facts", value=len(batch.facts))
        return self._once(
            batch.model_dump_json(), conditions, lambda job_id: self._submit(job_id, batch, conditions.if_match)
        )

    def take_back(self, model: str, change: Rollback | Revert, conditions: Conditions) -> Job:
        """Have a model go back to a version, or facts taken out, once; all else as ``accept``.

        Raises:
            UnknownVersion, UnknownFact, InseparableFacts, CompactedVersion: it cannot be done.
            UnknownModel, RequestInFlight, PreconditionFailed, Unavailable: as ``accept`` does.
        """
        request = f"{type(change).__name__} {model} {change.model_dump_json()}"
        return self._once(
            request, conditions, lambda job_id: self._submit_back(job_id, model, change, conditions.if_match)
        )

    def export(self, model: str, export: Export, conditions: Conditions) -> Job:
        """Have a version written down for others to load, once; all else as ``accept``.

        Raises:
            UnknownVersion, CompactedVersion: it cannot be done.
            UnknownModel, RequestInFlight, PreconditionFailed, Unavailable: as ``accept`` does.
        """
        request = f"Export {model} {export.model_dump_json()}"
        return self._once(
            request, conditions, lambda job_id: self._submit_export(job_id, model, export, conditions.if_match)
        )

    def take_out(self, job: str, conditions: Conditions) -> Job:
        """Have all facts of an earlier edit taken out that have not been yet, once; all else as ``take_back``.

        Raises:
            UnknownJob: there is no such job. Conflict: it has written no facts, or not yet.
            UnknownFact: none of them is left.
            InseparableFacts, CompactedVersion, RequestInFlight, PreconditionFailed, Unavailable: as ``take_back`` does.
        """
        return self._once(f"DELETE {job}", conditions, lambda own: self._submit_out(own, job, conditions.if_match))

    def _once(self, request: str, conditions: Conditions, submit: Callable[[str], Job]) -> Job:
        """The job that ``submit`` makes under an id; that of the first request where one comes again.

        request: what is asked for, whatever the spacing and the order of the fields in the body that came.
        """
        if (key := conditions.key) is None:
            return submit(token_hex(8))
        fingerprint = hashlib.sha256(f"{request}\n{conditions.if_match or ''}".encode()).hexdigest()
        job_id = job_of(key, fingerprint)
        with self._keys.held(key, fingerprint) as alone:
            if known := self._jobs.find(job_id):
                return known
            if not alone:
                raise RequestInFlight("The first request with this key is not answered yet.", field=HEADER, value=key)
            self._earlier.refuse_another(key)
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

    def _submit_out(self, job_id: str, edit: str, if_match: str | None) -> Job:
        model, manifest = self._jobs.committed(edit)
        log = self._logs.of(model)
        head = log.at()
        expected_version(if_match, model, head.version)
        left = head.history.consists_of(head.version)
        written = (FactKey(version=manifest.version, index=index) for index in range(len(manifest.facts)))
        facts = tuple(key for key in written if key in left)
        if not facts:
            raise UnknownFact(f"No fact of job {edit} is left in {model}.", field="job", value=edit)
        return self._submit_back(job_id, model, Revert(facts=facts), if_match)

    def _submit_export(self, job_id: str, name: str, export: Export, if_match: str | None) -> Job:
        model = self._fleet.resolve(name)
        log = self._logs.of(model)
        expected = expected_version(if_match, model, log.head())
        if export.version is not None:
            log.check_rollback(export.version)  # the same tensors must be there
        return self._accepted(job_id, model, export, expected)

    def _accepted(
        self, job_id: str, model: str, change: EditBatch | Rollback | Revert | Export, expected: int | None
    ) -> Job:
        accepted = datetime.now(UTC)
        return self._jobs.submit(
            AcceptedJob(job=job_id, model=model, change=change, accepted=accepted, expected_version=expected)
        )
