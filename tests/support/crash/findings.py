"""What is looked at after every fault, and what it says."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from redis.exceptions import RedisError

from app.domain.contract import Job, JobKind, JobStatus
from app.domain.errors import PalimpsestError
from app.domain.log.check import LogCheck
from app.domain.log.proposals import id_of, number_of
from tests.support.crash.cases import PROPOSED
from tests.support.crash.forked_worker import Note
from tests.support.crash.scene import MODEL, START, Scene, TookTooLong

BROKEN_OFF = (TookTooLong, PalimpsestError, RedisError)
"""Errors that end a trial early; they count as a loss."""


@dataclass
class Finding:
    """What came of one fault, or of ``runs`` that were looked at together.

    row: its place in the table: where, and what happened there.
    found: the version right after it, relative to N, which is what the log had before.
    failed: codes of the problems that jobs ended with.
    losses: accepted jobs that did not end, or ended without a reason, or otherwise than the log says.
    duplicates: batches that are in the log more than once.
    damage: what else is wrong: in the log, in its order, or in memory against a clean replay.
    """

    row: tuple[str, str]
    case: str
    runs: int = 1
    found: str = "?"
    failed: list[str] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)
    damage: list[str] = field(default_factory=list)
    seconds: float = 0.0
    output: str = ""

    @property
    def bad(self) -> list[str]:
        """All that must not be."""
        return [*self.losses, *self.duplicates, *self.damage]

    def read_version(self, scene: Scene) -> None:
        """Right after a fault that stopped everything: exactly N or N+1."""
        try:
            head = scene.log.head()
            scene.log.manifests()
        except PalimpsestError as error:
            self.damage.append(f"the log cannot be read after the fault: {error}")
            return
        self.found = {START: "N", START + 1: "N+1"}.get(head, "?")
        if self.found == "?":
            self.damage.append(f"version {head} after the fault, which came at version {START}")

    def read_outcome(self, scene: Scene) -> None:
        """After a fault that the worker lived through: N or N+1 by what became of the job."""
        self.found = "N" if scene.log.find_job(scene.accepted[0]) is None else "N+1"

    def look(self, scene: Scene, last: Note | None) -> None:
        """Check everything, once all jobs are said to have ended.

        Args:
            last: what the last worker had in memory at its end.
        """
        jobs = scene.views()
        self._jobs(scene, jobs)
        self._log(scene)
        self._memory(scene, last)

    def _jobs(self, scene: Scene, jobs: list[Job]) -> None:
        committed = Counter(manifest.job for manifest in scene.log.manifests())
        for job in jobs:
            if not job.status.final:
                self.losses.append(f"{job.id} is {job.status}")
            elif job.kind is JobKind.EXPORT:
                self._export(scene, job)
            elif job.status is JobStatus.SUCCEEDED and job.kind is not JobKind.DROP:
                self.losses += _unlogged(scene, job, committed[job.id])
            elif committed[job.id]:
                self.losses.append(f"{job.id} is {job.status}, and in the log")
            elif job.status in (JobStatus.SUCCEEDED, JobStatus.PROPOSED):
                self.losses += _otherwise(scene, job)
            elif job.error is None or not job.error.detail:
                self.losses.append(f"{job.id} is {job.status} without a reason")
            else:
                self.failed.append(job.error.code)
        self.duplicates += [f"{job} is in the log {times} times" for job, times in committed.items() if times > 1]
        published = Counter(manifest.proposal for manifest in scene.log.manifests() if manifest.proposal)
        self.duplicates += [f"{each} is in the log {times} times" for each, times in published.items() if times > 1]
        order = [manifest.job for manifest in scene.log.manifests() if manifest.job in scene.accepted]
        if order != [job for job in scene.accepted if job in order]:
            self.damage.append("the batches are not in the order in which they were accepted")
        if left := scene.journal.jobs(MODEL):
            self.losses.append(f"the journal still waits for {left}")

    def _export(self, scene: Scene, job: Job) -> None:
        """One that succeeded is there, once, as it was told of; of any other nothing is, and the reason is told."""
        reports = [None if card is None else card.report for card in scene.exported(job.id)]
        if reports != ([job.exported] if job.status is JobStatus.SUCCEEDED else []):
            self.losses.append(f"{job.id} {job.status}, and left {len(reports)} exports, or another than it tells of")
        if job.status is not JobStatus.SUCCEEDED:
            self.failed.append(job.error.code if job.error else "")
            self.losses += [] if job.error and job.error.detail else [f"{job.id} is {job.status} without a reason"]

    def _log(self, scene: Scene) -> None:
        for checked in LogCheck(scene.folder / "log", MODEL).run():
            self.damage += checked.damage
        self.damage += [f"{path.name} was left behind" for path in scene.hidden()]
        self._proposals(scene)

    def _proposals(self, scene: Scene) -> None:
        """What waited waits on, unless a job that ended well has published or dropped it; nothing else lies there."""
        gone = {job.proposal for job in scene.views() if job.status is JobStatus.SUCCEEDED}
        made = {job.proposal for job in scene.views() if job.status is JobStatus.PROPOSED}
        due = {id_of(number_of(job)) for job in PROPOSED} - gone | made
        found = {id_of(number) for number in scene.log.proposals.numbers()}
        self.losses += [f"{proposal} does not wait any more" for proposal in due - found]
        self.damage += [f"{proposal} was left behind" for proposal in found - due]

    def _memory(self, scene: Scene, last: Note | None) -> None:
        replay = scene.ground.replayed(scene)
        if last is None:
            self.damage.append("the last worker did not end in an orderly way")
            return
        for name in ("version", "weights", "keys", "facts"):
            if getattr(last, name) != getattr(replay, name):
                self.damage.append(f"{name} are not those of a clean replay")


def _otherwise(scene: Scene, job: Job) -> list[str]:
    """What is not as a job says that ended well without a version: one that proposed, or dropped a proposal."""
    if job.kind is JobKind.DROP:
        return [f"{job.proposal} was dropped and lies there"] if scene.log.proposals.lies(job.proposal or "") else []
    page = scene.log.proposals.of_job(job.id)
    return [] if page and page.id == job.proposal else [f"{job.id} is proposed, and not as {job.proposal}"]


def _unlogged(scene: Scene, job: Job, times: int) -> list[str]:
    """What is wrong with a job that succeeded, if the log has not the version that it tells of."""
    if times and scene.log.manifest(job.version or 0).job == job.id:
        return []
    return [f"{job.id} succeeded and is not in the log as version {job.version}"]
