"""Accepting requests that change or export a model: every check that may refuse one runs before it is accepted."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from copy import copy
from datetime import UTC, datetime
from secrets import token_hex

from app.access.caller import ANYONE, Caller, Scope
from app.domain.contract import AnyJobRequest, Drop, EditBatch, FactKey, Job, Publish, Revert
from app.domain.errors import OwnProposal, RequestInFlight, TooManyFacts, UnknownFact
from app.domain.log.reader import LogReader
from app.domain.origin import request_id
from app.edit_logs import EditLogs
from app.fleet import Fleet
from app.jobs.checks import CHECKS
from app.jobs.conditions import Conditions
from app.jobs.entity_tags import expected_version
from app.jobs.idempotency import HEADER, EarlierRequests, IdempotencyKeys, job_of
from app.jobs.jobs import Jobs
from app.jobs.journal import AcceptedJob
from app.settings import Settings


class Acceptance:
    """Accepts requests as jobs, or raises why not."""

    def __init__(self, jobs: Jobs, fleet: Fleet, logs: EditLogs, keys: IdempotencyKeys, settings: Settings) -> None:
        self._jobs = jobs
        self._fleet = fleet
        self._logs = logs
        self._keys = keys
        self._earlier = EarlierRequests(logs, settings)
        self._max_facts = settings.max_facts
        self._caller = ANYONE

    def seen_by(self, caller: Caller) -> Acceptance:
        """The same, for a caller: in whose name jobs are accepted, for models that their key is good for."""
        seen = copy(self)
        seen._caller, seen._jobs = caller, self._jobs.seen_by(caller)  # noqa: SLF001 - a copy of this one
        seen._fleet, seen._logs = self._fleet.seen_by(caller), self._logs.seen_by(caller)  # noqa: SLF001 - a copy of this one
        return seen

    def accept(self, request: AnyJobRequest, conditions: Conditions, model: str | None = None) -> Job:
        """Accept a request, to be carried out once, and return its job; a repeated request gets the job of the first.

        Args:
            model: the one that the path names; None: the one that the body names, else what ``Fleet.resolve`` chooses.

        Raises:
            RequestError: of the kind that fits, with the field and the value at fault.
            UnknownModel: no such model is known.
            OwnProposal: who publishes is who proposed.
            UnknownVersion, UnknownFact, UnknownProposal, InseparableFacts, CompactedVersion: the model's log lacks what
                it needs. TooManyProposals: no further one may wait.
            RequestInFlight: the first request with its key is not answered yet.
            PreconditionFailed: the model is at another version.
            Unavailable: no worker serves the model, its queue is full, or the request could not be written down.
        """
        if isinstance(request, EditBatch) and len(request.facts) > self._max_facts:
            detail = f"A batch may have at most {self._max_facts} facts."
            raise TooManyFacts(detail, field="facts", value=len(request.facts))
        if isinstance(request, EditBatch) and Scope.PUBLISH not in self._caller.scopes:
            request = request.model_copy(update={"propose": True})

        def text() -> str:
            sent_to = "" if model is None else f"{type(request).__name__} {model} "
            return sent_to + request.model_dump_json()

        named = request.named_model if model is None else model
        return self._once(text, conditions, lambda job_id: self._submit(job_id, named, request, conditions.if_match))

    def take_out(self, job: str, conditions: Conditions) -> Job:
        """Revert all facts of an earlier edit that have not been taken out yet, once; all else as ``accept``.

        Raises:
            UnknownJob: there is no such job. Conflict: it has written no facts, or not yet.
            UnknownFact: none of them is left.
            InseparableFacts, CompactedVersion, RequestInFlight, PreconditionFailed, Unavailable: as ``accept`` does.
        """
        return self._once(
            lambda: f"DELETE {job}", conditions, lambda own: self._submit_out(own, job, conditions.if_match)
        )

    def _once(self, text: Callable[[], str], conditions: Conditions, submit: Callable[[str], Job]) -> Job:
        """The job that ``submit`` makes under its id; if the request repeats an earlier one, the job of that one.

        text: gives the request in one form, whatever the spacing and the order of fields in the body. It is called
            only if there is a key, since a batch may be long.
        """
        if conditions.key is None:
            return submit(token_hex(8))
        key = own_key(conditions.key, self._caller)
        fingerprint = hashlib.sha256(f"{text()}\n{conditions.if_match or ''}".encode()).hexdigest()
        job_id = job_of(key, fingerprint)
        with self._keys.held(key, fingerprint) as alone:
            if known := self._jobs.find(job_id):
                return known
            if not alone:
                raise RequestInFlight("The first request with this key is not answered yet.", field=HEADER, value=key)
            self._earlier.refuse_another(key)
            return submit(job_id)

    def _submit(self, job_id: str, name: str | None, request: AnyJobRequest, if_match: str | None) -> Job:
        model = self._fleet.resolve(name)
        log = self._logs.of(model)
        expected = expected_version(if_match, model, log.head())
        meant = request.for_model(model)
        CHECKS[meant.kind](self._fleet, log, meant)
        if isinstance(meant, Publish):
            self._refuse_own(log, meant)
        if isinstance(meant, Publish | Drop):
            self._jobs.note_proposer(log, meant.proposal)
        accepted = datetime.now(UTC)
        return self._jobs.submit(
            AcceptedJob(
                job=job_id,
                model=model,
                change=meant,
                accepted=accepted,
                expected_version=expected,
                by=self._caller.by,
                request_id=request_id.get(),
            )
        )

    def _refuse_own(self, log: LogReader, meant: Publish) -> None:
        by = log.proposals.get(meant.proposal).by
        if by is not None and by == self._caller.by:
            detail = f"{meant.proposal} is to be published by another key than that which proposed it."
            raise OwnProposal(detail, field="proposal", value=meant.proposal)

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
        return self._submit(job_id, model, Revert(facts=facts), if_match)


def own_key(key: str, caller: Caller) -> str:
    """The ``Idempotency-Key`` of one caller: two who choose the same do not meet. No caller's name has a space."""
    return key if caller.by is None else f"{caller.by} {key}"
