"""A plain model of what should be in the edit log, which uses none of the log's own code."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from app.domain.contract import FactInForce, Job, JobStatus

Key = tuple[int, int]
"""Of a fact: the version that wrote it, and its index there."""

DONE = (JobStatus.SUCCEEDED, None)
CANCELLED = (JobStatus.CANCELLED, "job_cancelled")
REJECTED = (JobStatus.REJECTED, None)
TOO_LATE = (JobStatus.FAILED, "precondition_failed")
NOT_THERE = (JobStatus.FAILED, "unknown_fact")


@dataclass(frozen=True)
class Sentence:
    """What a caller wrote: a subject, the prompt that it stands in, and the object."""

    subject: str
    prompt: str
    object: str


@dataclass(frozen=True)
class Promise:
    """A job that was accepted."""

    job: str
    writes: tuple[Sentence, ...] = ()
    back_to: int | None = None
    takes_out: tuple[Key, ...] = ()
    expected_version: int | None = None
    doomed: bool = False
    """Whether the batch's own ``verify`` must reject it."""
    cancelled: bool | None = False
    """None: it was asked to stop when it may have begun."""

    @property
    def kind(self) -> str:
        return "edit" if self.writes else "revert" if self.takes_out else "rollback"


@dataclass(frozen=True)
class Chapter:
    """A version: the job that made it, and all that was ever written to it and not taken out, in order.

    root: the first version that had these very weights.
    """

    kind: str
    job: str | None
    written: tuple[tuple[Key, Sentence], ...]
    root: int
    facts: int = 0

    def in_force(self) -> list[tuple[Key, Sentence]]:
        """What no later sentence of the same subject and prompt supersedes."""
        last = {(said.subject, said.prompt): key for key, said in self.written}
        return [(key, said) for key, said in self.written if last[said.subject, said.prompt] == key]


@dataclass
class Telling:
    """The whole story: the versions, and the jobs that have not ended, in the order of acceptance."""

    chapters: list[Chapter] = field(default_factory=lambda: [Chapter("base", None, (), 0)])
    promises: list[Promise] = field(default_factory=list)
    ended: dict[str, JobStatus] = field(default_factory=dict)

    @property
    def head(self) -> int:
        return len(self.chapters) - 1

    def known(self) -> list[Key]:
        """The facts that the newest version consists of, superseded ones too."""
        return [key for key, _ in self.chapters[-1].written]

    def written_by(self, job: str) -> list[Key]:
        """The facts of a job that the newest version still consists of."""
        made = [number for number, chapter in enumerate(self.chapters) if chapter.job == job]
        return [key for key in self.known() if key[0] in made]

    def asked_to_stop(self, job: str, *, at_once: bool) -> None:
        """A job was asked to stop, and was cancelled there and then, or may have begun."""
        cancelled = True if at_once else None
        self.promises = [replace(each, cancelled=cancelled) if each.job == job else each for each in self.promises]

    def tell(self, job: Job) -> None:
        """The next job has ended: it has done as it should, and nothing else."""
        promise = self.promises.pop(0)
        assert job.id == promise.job
        end = (job.status, job.error.code if job.error else None)
        assert end in self._ends(promise), (promise, end)
        assert job.version == (self.head + 1 if end == DONE else None)
        if end == DONE:
            self.chapters.append(self._next(promise))
        self.ended[job.id] = job.status

    def _ends(self, promise: Promise) -> set[tuple[JobStatus, str | None]]:
        """How a job may end when its turn comes."""
        if promise.cancelled:
            return {CANCELLED}
        maybe = {CANCELLED} if promise.cancelled is None else set()
        if promise.expected_version not in (None, self.head):
            return {TOO_LATE} | maybe
        if promise.doomed:
            return {REJECTED} | maybe
        if not set(promise.takes_out) <= set(self.known()):
            return {NOT_THERE} | maybe
        return {DONE} | maybe

    def _next(self, promise: Promise) -> Chapter:
        number, before = self.head + 1, self.chapters[-1].written
        if promise.writes:
            new = tuple(((number, index), said) for index, said in enumerate(promise.writes))
            return Chapter("edit", promise.job, before + new, number, len(new))
        if promise.takes_out:
            left = tuple((key, said) for key, said in before if key not in promise.takes_out)
            return Chapter("revert", promise.job, left, number)
        assert promise.back_to is not None
        earlier = self.chapters[promise.back_to]
        return replace(earlier, kind="rollback", job=promise.job, facts=0)


def as_told(fact: FactInForce) -> tuple[Key, Sentence]:
    """A fact in force as a story has it."""
    return (fact.version, fact.index), Sentence(fact.subject, fact.prompt, fact.object)
