"""The worker around the jobs: it shows that it lives, leaves in order, and brings back what others left."""

from __future__ import annotations

import io
import logging
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any, cast

import pytest
from rq import Retry
from rq.job import JobStatus as QueueStatus

from app.domain.contract import JobStatus, Progress, Verify
from app.domain.failpoints import armed
from tests.support.turns import digest_of, done
from tests.support.worker_bench import Bench, batch, opened
from workers.queue.abandoned import requeue_abandoned
from workers.queue.jobs import JobRun
from workers.stopping import SIGNALS, Stopping

IMPOSSIBLE = batch(steps=1).model_copy(update={"verify": Verify(facts=1.0)})
"""One small step does not write a fact, so the batch is rejected."""


class TestHeartbeats:
    def test_a_long_job_is_known_to_live(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("workers.queue.heartbeats.HEARTBEAT_INTERVAL_S", 0.01)
        bench.enqueue("one", args=[batch(steps=50).model_dump_json()])
        beats: set[bytes | None] = set()
        worker = bench.worker()
        make_run = worker._make_run

        def listening(job_id: str) -> JobRun:
            def on_progress(_: Progress) -> None:
                beats.add(bench.redis.hget("rq:job:one", "last_heartbeat"))  # type: ignore[arg-type]
                time.sleep(0.005)

            return replace(make_run(job_id), report=on_progress)

        worker._make_run = listening
        worker.work(burst=True, logging_level=None)
        assert bench.outcome("one").version == 1
        assert len(beats) > 2

    def test_a_silent_worker_is_dead_after_a_minute_and_a_half(self, bench: Bench) -> None:
        bench.enqueue("one", timeout=24 * 3600)
        bench.take("one")
        registry = bench.queue.started_job_registry
        taken = bench.redis.zrange(registry.key, 0, -1, withscores=True)
        [(_, dead_at)] = cast("list[tuple[bytes, float]]", taken)
        assert dead_at - time.time() == pytest.approx(90, abs=5)


class TestStopping:
    def test_a_leaving_worker_puts_its_job_back_in_front(self, bench: Bench) -> None:
        bench.enqueue("one")
        bench.enqueue("two")
        stopping = Stopping()
        worker = bench.worker(stopping)
        make_run = worker._make_run
        seen: list[str] = []

        def stop_in_the_first_job(job_id: str) -> JobRun:
            def on_progress(_: Progress) -> None:
                if not seen:
                    stopping.tell()
                seen.append(job_id)

            return replace(make_run(job_id), report=on_progress)

        worker._make_run = stop_in_the_first_job
        worker.work(burst=True, logging_level=None)
        assert set(seen) == {"one"}
        assert worker.stopping
        assert bench.queue.job_ids == ["one", "two"]
        assert bench.job("one").get_status() is QueueStatus.QUEUED
        assert bench.host.version == 0
        bench.work()
        assert [bench.outcome(name).version for name in ("one", "two")] == [1, 2]

    @pytest.mark.parametrize(("signals", "version", "left"), [(1, 1, ["two"]), (2, 0, ["one", "two"])])
    def test_the_first_signal_leaves_a_job_its_grace_and_the_second_none(
        self, bench: Bench, installed: Stopping, signals: int, version: int, left: list[str]
    ) -> None:
        for name in ("one", "two"):
            bench.enqueue(name)
        worker = bench.worker(installed, stop_grace_s=600)
        make_run = worker._make_run

        def told(job_id: str) -> JobRun:
            def on_progress(_: Progress) -> None:
                if not installed.told:
                    for number in SIGNALS[:signals]:
                        signal.raise_signal(number)

            return replace(make_run(job_id), report=on_progress)

        worker._make_run = told
        worker.work(burst=True, logging_level=None)
        assert (bench.host.version, bench.queue.job_ids) == (version, left)

    def test_signals_at_every_line_of_commit_and_publish_interrupt_neither(
        self, bench: Bench, installed: Stopping, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def under_hail(work: Callable[..., Any]) -> Callable[..., Any]:
            def hailed(*args: Any) -> Any:
                before = sys.gettrace()
                sys.settrace(_hail)
                try:
                    return work(*args)
                finally:
                    sys.settrace(before)

            return hailed

        for name in ("_commit", "_publish"):
            monkeypatch.setattr(bench.host, name, under_hail(getattr(bench.host, name)))
        bench.enqueue("one")
        worker = bench.worker(installed)
        worker.work(burst=True, logging_level=None)
        assert len(installed._heard) > 100
        assert worker.stopping
        assert (bench.outcome("one").version, bench.host.version) == (1, 1)
        bench.host.close()
        with opened(model, tmp_path, epoch=2) as again:
            assert (again.version, digest_of(again)) == (1, digest_of(bench.host))

    def test_a_signal_that_falls_into_the_writing_of_a_log_line_is_heard(
        self, bench: Bench, installed: Stopping, caplog: pytest.LogCaptureFixture
    ) -> None:
        bench.enqueue("one")
        caplog.set_level(logging.INFO, "rq.worker")
        log = logging.getLogger("rq.worker")
        handler = logging.StreamHandler(io.StringIO())
        handler.addFilter(lambda record: record.msg == "Worker %s: %s: %s")  # that it has taken a job
        handler.setFormatter(_Signalling())
        log.addHandler(handler)
        try:
            worker = bench.worker(installed)
            worker.work(burst=True, logging_level=None)
        finally:
            log.removeHandler(handler)
        assert worker.stopping
        assert bench.host.version == 0
        bench.work()
        assert bench.outcome("one").version == 1


def _hail(_frame: FrameType, event: str, _: Any) -> Any:
    if event == "line":
        signal.raise_signal(signal.SIGTERM)
    return _hail


class _Signalling(logging.Formatter):
    """Is hit by a signal as it formats a line."""

    def format(self, record: logging.LogRecord) -> str:
        signal.raise_signal(signal.SIGTERM)
        return super().format(record)


class TestAbandonedJobs:
    def test_a_job_whose_worker_died_is_run_by_the_next_one_first(self, bench: Bench) -> None:
        for name in ("one", "two"):
            bench.enqueue(name, retry=Retry(max=3, enqueue_at_front=True))
        bench.take("one")
        bench.work()
        assert [bench.outcome(name).version for name in ("one", "two")] == [1, 2]
        assert bench.job("one").retries_left == 2
        assert bench.queue.started_job_registry.get_job_ids(cleanup=False) == []

    def test_a_job_that_was_popped_but_never_begun_loses_no_retry(self, bench: Bench) -> None:
        for name in ("one", "two"):
            bench.enqueue(name, retry=Retry(max=3, enqueue_at_front=True))
        bench.redis.lmove(bench.queue.key, bench.queue.intermediate_queue_key)
        assert requeue_abandoned(bench.worker(), bench.queue, bench.aside.has) == ["one"]
        assert bench.queue.job_ids == ["one", "two"]
        assert bench.job("one").retries_left == 3

    def test_a_job_that_was_popped_as_its_worker_broke_down_is_run_by_the_next_one(self, bench: Bench) -> None:
        for name in ("one", "two"):
            bench.enqueue(name, retry=Retry(max=3, enqueue_at_front=True))
        with armed("queue.popped=raise"):
            bench.work()
        assert bench.queue.job_ids == ["two"]
        bench.work()
        assert [bench.outcome(name).version for name in ("one", "two")] == [1, 2]

    def test_a_job_whose_outcome_was_lost_after_its_commit_is_not_applied_again(self, bench: Bench) -> None:
        bench.enqueue("one", retry=Retry(max=3, enqueue_at_front=True))
        with armed("result.before=raise"):
            bench.work()
        assert (bench.outcome("one").version, bench.host.version) == (1, 1)
        assert bench.ended == [JobStatus.SUCCEEDED] * 2

    def test_a_job_that_kills_its_worker_each_time_is_given_up(self, bench: Bench) -> None:
        bench.enqueue("one", retry=Retry(max=2, enqueue_at_front=True))
        for _ in range(3):
            requeue_abandoned(bench.take("one"), bench.queue, bench.aside.has)
        assert bench.queue.job_ids == []
        assert bench.job("one").get_status() is QueueStatus.FAILED
        result = bench.job("one").latest_result()
        assert result is not None
        assert "AbandonedJobError" in str(result.exc_string)

    def test_a_committed_job_whose_end_was_not_recorded_is_not_applied_again(self, bench: Bench) -> None:
        bench.enqueue("one")
        bench.take("one")
        done(bench.host, "one", batch())
        bench.work()
        assert (bench.outcome("one").version, bench.host.version) == (1, 1)

    def test_a_job_that_has_ended_is_not_run_again(self, bench: Bench) -> None:
        bench.enqueue("one", args=[IMPOSSIBLE.model_dump_json()])
        bench.work()
        bench.queue.push_job_id("one")  # it was queued again when Redis had lost it, while it was running
        bench.work()
        assert (bench.ended, bench.outcome("one").status) == ([JobStatus.REJECTED], JobStatus.REJECTED)
        assert bench.redis.keys("rq:queue:*") == []

    def test_a_forgotten_job_is_cleared_away(self, bench: Bench) -> None:
        bench.enqueue("one")
        bench.take("one")
        bench.redis.delete("rq:job:one")
        assert requeue_abandoned(bench.worker(), bench.queue, bench.aside.has) == []
        assert bench.queue.started_job_registry.get_job_ids(cleanup=False) == []
