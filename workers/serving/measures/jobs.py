"""Jobs: how many, how they ended, what they spent their time on, and what became of their facts."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary

from app.domain.contract import EditReport, FactReport, JobOutcome, JobStatus

SECONDS = (0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600, 14400)
RESULTS = ("held", "not_held", "dropped", "rejected")


class JobMetrics:
    """Of jobs, by kind."""

    def __init__(self, registry: CollectorRegistry) -> None:
        job = ("kind", "status")
        self._ended = Counter("palimpsest_worker_jobs", "Jobs ended.", job, registry=registry)
        self._seconds = Histogram(
            "palimpsest_worker_job_seconds", "Time of a job.", job, registry=registry, buckets=SECONDS
        )
        self._steps = Summary(
            "palimpsest_worker_step_seconds",
            "Time of a job's steps by their stage; prepare: until the first.",
            ("kind", "stage"),
            registry=registry,
        )
        self._facts = Counter(
            "palimpsest_worker_facts",
            "Facts of edits that ended: held and not_held are written, dropped left the batch, rejected went with it.",
            ("result",),
            registry=registry,
        )
        for result in RESULTS:  # a rate needs the series before its first fact
            self._facts.labels(result)
        self._pace = Gauge(
            "palimpsest_worker_edit_facts_per_second",
            "Of the last edit in service: facts of its batch, over the seconds of its job.",
            registry=registry,
        )

    def ended(self, kind: str, outcome: JobOutcome, seconds: float) -> None:
        """Count a job, and the facts of an edit."""
        self._ended.labels(kind, outcome.status).inc()
        self._seconds.labels(kind, outcome.status).observe(seconds)
        if outcome.report is not None:
            self._report(outcome.report, seconds, rejected=outcome.status is JobStatus.REJECTED)

    def step(self, kind: str, stage: str, seconds: float) -> None:
        """Time a step."""
        self._steps.labels(kind, stage).observe(seconds)

    def _report(self, report: EditReport, seconds: float, *, rejected: bool) -> None:
        for fact in report.facts:
            self._facts.labels("rejected" if rejected else _result(fact)).inc()
        if not rejected and seconds > 0:
            self._pace.set(len(report.facts) / seconds)


def _result(fact: FactReport) -> str:
    if not fact.written:
        return "dropped"
    return "held" if fact.holds else "not_held"
