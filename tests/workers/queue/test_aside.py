"""An export needs the log alone: edits go on beside it, and it is of the version that was in service at its turn."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from app.domain import keyspace
from app.domain.contract import EditBatch, Export, Fact, Hyperparameters, JobStatus
from app.domain.contract.exports import ExportFormat
from tests.support.worker_bench import Bench, batch
from tests.support.worker_process import until
from workers.editing.loading import PROCESS_WIDE
from workers.exports import exporter
from workers.exports.verification import verify
from workers.queue.abandoned import requeue_abandoned
from workers.stopping import Stopping

EXPORT = "workers.jobs.export"
PEFT = Export(format=ExportFormat.PEFT).model_dump_json()


class Gate:
    """Holds every export up before it is compared, until it is opened."""

    def __init__(self) -> None:
        self.reached, self.open = threading.Event(), threading.Event()
        self.times = 0

    def before(self, work: Callable[..., Any]) -> Callable[..., Any]:
        def held(*args: Any) -> Any:
            self.times += 1
            self.reached.set()
            assert self.open.wait(30)
            return work(*args)

        return held


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    found = Gate()
    monkeypatch.setattr(exporter, "verify", found.before(verify))
    yield found
    found.open.set()


@dataclass
class Working:
    """A worker's turn in a thread, so that the test can look meanwhile; it goes on until it is told to stop."""

    bench: Bench
    stopping: Stopping = field(default_factory=Stopping)
    threads: list[threading.Thread] = field(default_factory=list)

    def start(self, stop_grace_s: float = 60.0) -> None:
        worker = self.bench.worker(self.stopping, stop_grace_s)
        self.threads.append(threading.Thread(target=worker.work, kwargs={"logging_level": None}))
        self.threads[-1].start()

    def stop(self) -> None:
        self.stopping.tell()
        for thread in self.threads:
            thread.join()


@pytest.fixture
def working(bench: Bench, gate: Gate) -> Iterator[Working]:
    found = Working(bench)
    yield found
    gate.open.set()
    found.stop()
    bench.aside.__exit__()


def status(bench: Bench, job_id: str) -> str:
    return str(bench.job(job_id).get_status().value)


def test_edits_go_on_beside_an_export_which_is_of_the_version_at_its_turn(
    bench: Bench, gate: Gate, working: Working
) -> None:
    bench.enqueue("before", args=[batch("Lyon").model_dump_json()])
    bench.enqueue("out", EXPORT, [PEFT])
    bench.enqueue("after", args=[batch("Oslo").model_dump_json()])
    working.start()
    until(lambda: status(bench, "after") == "finished", "the edit behind the export did not end")
    assert gate.reached.wait(30)
    assert (bench.host.version, status(bench, "out")) == (2, "started")
    gate.open.set()
    until(lambda: status(bench, "out") == "finished", "the export did not end")
    working.stop()
    exported = bench.outcome("out").exported
    assert exported is not None
    assert exported.version == 1


def test_exports_take_their_turns_among_themselves(bench: Bench, gate: Gate) -> None:
    gate.open.set()
    for job_id in ("one", "two"):
        bench.enqueue(job_id, EXPORT, [PEFT])
    bench.work()
    assert [bench.outcome(job_id).status for job_id in ("one", "two")] == [JobStatus.SUCCEEDED] * 2
    assert bench.ended == [JobStatus.SUCCEEDED] * 2


def test_one_that_runs_is_not_taken_for_abandoned(bench: Bench, gate: Gate, working: Working) -> None:
    for job_id in ("runs", "waits"):
        bench.enqueue(job_id, EXPORT, [PEFT])
    working.start()
    assert gate.reached.wait(30)
    until(lambda: bench.aside.has("waits"), "the second export was not taken")
    assert requeue_abandoned(bench.worker(), bench.queue, bench.aside.has) == []
    assert bench.queue.job_ids == []
    gate.open.set()
    until(lambda: status(bench, "waits") == "finished", "the second export did not end")
    working.stop()
    assert gate.times == 2


def test_one_that_is_cancelled_while_it_waits_never_begins(bench: Bench, gate: Gate, working: Working) -> None:
    for job_id in ("runs", "waits"):
        bench.enqueue(job_id, EXPORT, [PEFT])
    working.start()
    assert gate.reached.wait(30)
    bench.redis.set(keyspace.cancel("waits"), 1)
    gate.open.set()
    until(lambda: status(bench, "waits") == "finished", "the second export did not end")
    working.stop()
    assert bench.outcome("waits").status is JobStatus.CANCELLED
    assert gate.times == 1


def test_one_whose_worker_stops_goes_back_and_is_done_by_the_next(bench: Bench, gate: Gate, working: Working) -> None:
    bench.enqueue("out", EXPORT, [PEFT])
    working.start(stop_grace_s=0.0)
    assert gate.reached.wait(30)
    working.stopping.tell()
    working.stop()
    gate.open.set()
    until(lambda: not bench.aside.has("out"), "the export did not leave")
    assert bench.queue.job_ids == ["out"]
    bench.work()
    assert bench.outcome("out").status is JobStatus.SUCCEEDED


def test_one_that_an_edit_reaches_is_begun_again_with_weights_of_its_own(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The edit changes a layer that no edit had changed, so that the export had it from the live model."""
    bench.enqueue("before", args=[batch("Lyon").model_dump_json()])
    bench.work()
    [*rest] = [layer for layer in range(bench.host.live.depth) if layer not in bench.host.live.masters]
    layers = tuple(sorted({*bench.host.live.masters, rest[0]}))
    elsewhere = EditBatch(
        facts=(Fact(subject="Oslo", prompt="{} is a city in", object="Japan"),),
        unheld="keep",
        method="ft-l",
        hyperparameters=Hyperparameters(layers=(rest[0],), num_steps=1),
    )
    times: list[float] = []

    def edited_meanwhile(*args: Any) -> Any:
        times.append(time.monotonic())
        if len(times) == 1:
            until(lambda: bench.host.version == 2, "the edit did not end")
        return verify(*args)

    monkeypatch.setattr(exporter, "verify", edited_meanwhile)
    bench.enqueue("out", EXPORT, [PEFT])
    bench.enqueue("after", args=[elsewhere.model_dump_json()])
    bench.work()
    assert bench.outcome("after").version == 2, layers
    outcome = bench.outcome("out")
    assert outcome.exported is not None, outcome.error
    assert (outcome.exported.version, len(times)) == (1, 2)


def test_an_edit_waits_for_a_load_which_changes_the_whole_process(bench: Bench) -> None:
    """transformers sets torch's default dtype while it loads a model, for all threads."""
    bench.enqueue("one")
    worker = bench.worker()
    with PROCESS_WIDE:
        thread = threading.Thread(target=worker.work, kwargs={"burst": True, "logging_level": None})
        thread.start()
        until(lambda: status(bench, "one") == "started", "the edit was not taken")
        thread.join(0.5)
        assert (thread.is_alive(), bench.host.version) == (True, 0)
    thread.join()
    assert bench.host.version == 1
