"""Imports: a data file's facts are queued as edits, as many at once as a batch may have."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from typing import TypeVar

from redis.exceptions import RedisError

from app.access.caller import ANYONE, Caller
from app.domain.contract import EditBatch, ImportReport, Job, Problem, UnusableRecord
from app.domain.errors import PalimpsestError, RedisUnavailable, RequestError, Unavailable
from app.domain.imports.reading import Reading, reasons
from app.domain.imports.records import Unusable
from app.domain.imports.said import ReadFact
from app.domain.problems import problem_of
from app.fleet import Fleet
from app.jobs.acceptance import Acceptance, own_key
from app.jobs.conditions import Conditions
from app.jobs.idempotency import IdempotencyKeys
from app.settings import Settings

SHOWN = 20
"""Records that cannot be used, of which an answer says why."""
SAMPLED = 3
"""Facts that an answer shows."""
MOST_REFUSED = 50
"""Facts of one batch that a worker may refuse, each at the price of a check of the others."""

SentT = TypeVar("SentT")


@dataclass(frozen=True, slots=True)
class Import:
    """What shall be imported.

    options: a batch's own fields beside facts and model.
    limit: at most so many facts; None: all.
    """

    reading: Reading
    model: str | None
    options: dict[str, object]
    limit: int | None = None

    @property
    def facts(self) -> tuple[ReadFact, ...]:
        """Those within the limit."""
        return self.reading.facts[: self.limit]

    def batch(self, facts: Sequence[ReadFact]) -> EditBatch:
        """Some of the facts as a request."""
        return EditBatch.model_validate({**self.options, "model": self.model, "facts": [each.fact for each in facts]})


class Importing:
    """Queues imports, or says what could be."""

    def __init__(self, acceptance: Acceptance, fleet: Fleet, keys: IdempotencyKeys, settings: Settings) -> None:
        self._acceptance = acceptance
        self._fleet = fleet
        self._keys = keys
        self._max_facts = settings.max_facts
        self._caller = ANYONE

    def seen_by(self, caller: Caller) -> Importing:
        """The same, for a caller: in whose name jobs are accepted, for models that their key is good for."""
        seen = copy(self)
        seen._caller, seen._fleet = caller, self._fleet.seen_by(caller)  # noqa: SLF001 - a copy of this one
        seen._acceptance = self._acceptance.seen_by(caller)  # noqa: SLF001 - a copy of this one
        return seen

    def dry_run(self, wanted: Import) -> ImportReport:
        """What could be used, and what not; if a worker is live, it looks at every fact. Nothing is queued.

        Raises:
            UnknownModel: no such model is known. RequestError: an option is wrong, or no model can be chosen.
        """
        refused: list[UnusableRecord] = []
        try:
            model = self._fleet.resolve(wanted.model)
            for facts in self._batches(wanted.facts):
                _fitting(wanted, facts, refused, lambda batch: self._fleet.check(model, batch.for_model(model)))
        except Unavailable:
            return _report(wanted, [], dry_run=True, checked=False)
        return _report(wanted, refused, dry_run=True, checked=True, model=model)

    def queue(self, wanted: Import, conditions: Conditions, fingerprint: str) -> ImportReport:
        """Queue the facts that can be used; each batch is accepted or refused as a request by itself.

        With a key, an import that is sent again gets the jobs of the first, and those that it had not come to.

        Args:
            fingerprint: of all that was sent: a key that comes with another one is refused.

        Raises:
            RequestError: no record can be used, an option is wrong, or the key came with another request before.
            PalimpsestError: as ``Acceptance.accept`` does, if nothing was queued yet.
        """
        if conditions.if_match is not None:
            raise RequestError("An import may make several versions: it takes no If-Match.", field="If-Match")
        if conditions.key is None:
            return self._queue(wanted, None)
        with self._keys.held(
            own_key(conditions.key, self._caller), fingerprint
        ):  # of two at once, each batch takes one alone
            return self._queue(wanted, conditions.key)

    def _queue(self, wanted: Import, key: str | None) -> ImportReport:
        refused: list[UnusableRecord] = []
        jobs: list[Job] = []
        stopped: Problem | None = None

        def accept(batch: EditBatch) -> Job:
            return self._acceptance.accept(batch, Conditions(_key_of(key, batch)))

        try:
            for facts in self._batches(wanted.facts):
                if job := _fitting(wanted, facts, refused, accept):
                    jobs.append(job)  # noqa: PERF401 - those accepted before an error stay
        except (PalimpsestError, RedisError) as error:
            if not jobs:
                raise
            known = error if isinstance(error, PalimpsestError) else RedisUnavailable("Redis does not answer.")
            stopped = problem_of(known)
        if not jobs:
            raise _nothing_of(wanted, refused)
        return _report(wanted, refused, jobs=tuple(jobs), stopped=stopped, checked=True, model=jobs[0].model)

    def _batches(self, facts: Sequence[ReadFact]) -> Iterator[list[ReadFact]]:
        for at in range(0, len(facts), self._max_facts):
            yield list(facts[at : at + self._max_facts])


def _fitting(
    wanted: Import, facts: list[ReadFact], refused: list[UnusableRecord], send: Callable[[EditBatch], SentT]
) -> SentT | None:
    """Send a batch, without the facts that are refused; None: all are. Those join ``refused``.

    Raises:
        RequestError: it is not about one fact, or too many are refused.
    """
    most = len(refused) + MOST_REFUSED
    while facts:
        try:
            return send(wanted.batch(facts))
        except RequestError as error:
            index, field = _fact_at_fault(error)
            if index is None or index >= len(facts) or len(refused) >= most:
                raise
            out = facts.pop(index)
            refused.append(Unusable(error.code, error.detail, field, error.value).at(out.index, out.line))
    return None


def _fact_at_fault(error: RequestError) -> tuple[int | None, str | None]:
    """The index of the fact that an error is about, and its field; None if it is about something else."""
    match (error.field or "").split(".", 2):
        case ["facts", index, *rest] if index.isdecimal():
            return int(index), next(iter(rest), None)
    return None, error.field


def _key_of(key: str | None, batch: EditBatch) -> str | None:
    """One key a batch: its content is in it, so that the same file finds its jobs again, whatever was refused of it."""
    if key is None:
        return None
    return f"{key} {hashlib.sha256(batch.model_dump_json().encode()).hexdigest()}"


def _report(
    wanted: Import,
    refused: Sequence[UnusableRecord],
    *,
    checked: bool,
    model: str | None = None,
    dry_run: bool = False,
    jobs: tuple[Job, ...] = (),
    stopped: Problem | None = None,
) -> ImportReport:
    unusable = sorted((*wanted.reading.unusable, *refused), key=lambda each: each.record)
    out = {each.record for each in refused}
    usable = len(wanted.reading.facts) - len(refused)
    return ImportReport(
        model=model,
        format=wanted.reading.format,
        dry_run=dry_run,
        checked=checked,
        records=wanted.reading.records,
        usable=usable,
        unusable=len(unusable),
        reasons=reasons(unusable),
        first_unusable=tuple(unusable[:SHOWN]),
        beyond_limit=len(wanted.reading.facts) - len(wanted.facts),
        sample=tuple(each.fact for each in wanted.facts if each.index not in out)[:SAMPLED],
        queued=sum(job.facts for job in jobs),
        jobs=jobs,
        stopped=stopped,
    )


def _nothing_of(wanted: Import, refused: Sequence[UnusableRecord]) -> RequestError:
    """Why nothing is queued: no record can be used."""
    unusable = (*wanted.reading.unusable, *refused)
    told = ", ".join(f"{count} {code}" for code, count in reasons(unusable).items())
    first = min(unusable, key=lambda each: each.record, default=None)
    place = None if first is None else f"records.{first.record}"
    detail = f"None of the {wanted.reading.records} records can be used: {told}."
    return RequestError(detail, field=place, value=None if first is None else first.value)
