"""What a worker counts, for Prometheus: questions, jobs, versions, and where it stands."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

from app.domain.contract import JobOutcome, WorkerCard
from workers.serving.measures.jobs import JobMetrics
from workers.serving.measures.questions import QuestionMetrics
from workers.serving.measures.standing import StandingMetrics
from workers.serving.measures.versions import VersionMetrics


class Metrics:
    """The measurements of one worker."""

    def __init__(self, version: Callable[[], int]) -> None:
        """``version``: asked at every scrape."""
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._questions = QuestionMetrics(self._registry)
        self._jobs = JobMetrics(self._registry)
        self._versions = VersionMetrics(self._registry)
        self._standing = StandingMetrics(self._registry, version)

    def question(self, kind: str) -> AbstractContextManager[None]:
        """Count and time a question of a kind (``probe``, ``generate``, ``check``, ``norms``)."""
        return self._questions.question(kind)

    def job_ended(self, kind: str, outcome: JobOutcome, seconds: float) -> None:
        """Count a job by its kind and how it ended, and what became of its facts."""
        self._jobs.ended(kind, outcome, seconds)
        if outcome.version is not None and outcome.report is not None and outcome.report.harm is not None:
            self._versions.harmed(outcome.report.harm)

    def step(self, kind: str, stage: str, seconds: float) -> None:
        """Time a step of a job."""
        self._jobs.step(kind, stage, seconds)

    def published(self, waited: float, held: float) -> None:
        """Time a publish: seconds it waited for running questions, then seconds it held up all of them."""
        self._versions.published(waited, held)

    def committed(self, seconds: float, size: int) -> None:
        """Time a commit, and count the bytes of its tensors and keys."""
        self._versions.committed(seconds, size)

    def stands(self, card: WorkerCard) -> None:
        """Show what the worker has just said of itself."""
        self._standing.stands(card)

    def exposition(self) -> bytes:
        """All measurements in Prometheus' text format."""
        return generate_latest(self._registry)
