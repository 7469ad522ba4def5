"""Turns at the queue: a stop is heard in each, between them and while Redis is away, by one handler all along."""

from __future__ import annotations

import signal
from dataclasses import replace

import pytest
from redis.exceptions import ConnectionError as RedisAway
from rq.suspension import suspend

from app.domain.contract import Progress
from tests.support.worker_bench import Bench
from workers.queue.jobs import JobRun
from workers.queue.rq_worker import ModelWorker
from workers.queue.turns import work_until_stopped
from workers.stopping import SIGNALS, Stopping


def test_the_handler_is_the_same_from_the_start_of_a_turn_to_the_end_of_all(bench: Bench, installed: Stopping) -> None:
    handlers: list[object] = []

    def note() -> None:
        handlers.extend(signal.getsignal(number) for number in SIGNALS)

    def make_worker() -> ModelWorker:
        note()
        worker = bench.worker(installed, stop_grace_s=600)
        make_run = worker._make_run

        def noting(job_id: str) -> JobRun:
            def on_progress(progress: Progress) -> None:
                note()
                if progress.stage == "publish":
                    signal.raise_signal(signal.SIGINT)

            return replace(make_run(job_id), report=on_progress)

        worker._make_run = noting
        return worker

    bench.enqueue("one")
    assert work_until_stopped(make_worker, lambda: True, installed) is None
    note()
    assert bench.outcome("one").version == 1
    assert len(handlers) > 2 * len(SIGNALS)
    assert all(handler == installed.tell for handler in handlers)


def test_a_signal_between_two_turns_is_heard(bench: Bench, installed: Stopping) -> None:
    bench.enqueue("one")

    def between() -> bool:
        signal.raise_signal(signal.SIGTERM)
        return True

    assert work_until_stopped(lambda: bench.worker(installed), between, installed) is None
    assert bench.queue.job_ids == ["one"]


def test_no_worker_is_made_once_redis_is_waited_for_no_more(installed: Stopping) -> None:
    def wait() -> bool:
        signal.raise_signal(signal.SIGTERM)
        return False

    assert work_until_stopped(lambda: pytest.fail("a turn begins"), wait, installed) is None


def test_a_turn_that_cannot_begin_is_followed_by_another_one(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.queue.turns.PAUSE_BETWEEN_TURNS_S", 0.0)
    stopping, tries = Stopping(), iter([RedisAway(), RedisAway()])

    def make_worker() -> ModelWorker:
        for error in tries:
            raise error
        stopping.tell()
        return bench.worker(stopping)

    assert work_until_stopped(make_worker, lambda: True, stopping) is None
    assert list(tries) == []


def test_a_suspended_worker_hears_a_signal(bench: Bench, installed: Stopping) -> None:
    """``rq suspend`` is for all workers of a Redis."""
    suspend(bench.redis)
    bench.enqueue("one")

    def make_worker() -> ModelWorker:
        worker = bench.worker(installed)
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        return worker

    before = signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGTERM))
    try:
        assert work_until_stopped(make_worker, lambda: True, installed) is None
    finally:
        signal.signal(signal.SIGALRM, before)
    assert bench.queue.job_ids == ["one"]
