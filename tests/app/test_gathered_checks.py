"""Checks that come at the same time go to the worker together; each is told what is wrong with its own batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from threading import Event

import httpx
import pytest
from redis import Redis

from app.domain.contract import CheckedBatches, EditBatch, EditBatches, Fact
from app.domain.errors import ModelUnavailable, PalimpsestError, SubjectNotInPrompt
from app.domain.problems import problem_of
from app.edit_logs import EditLogs
from app.fleet import Fleet
from app.gathered_checks import FEW_FACTS, GatheredChecks
from app.settings import Settings
from tests.support.worker_end import WorkerEnd


def batch(subject: str, facts: int = 1) -> EditBatch:
    return EditBatch(facts=(Fact(subject=subject, relation="is in", object="Japan"),) * facts)


def until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.001)


class Worker:
    """Checks batches; is slow with the first one, until it is told to go on. Refuses ``Nowhere``."""

    def __init__(self) -> None:
        self.alone: list[str] = []
        self.together: list[list[str]] = []
        self.busy, self.go_on = Event(), Event()
        self.fails = False

    def one(self, _: str, batch: EditBatch) -> None:
        self.alone.append(batch.facts[0].subject)
        if len(self.alone) == 1:
            self.busy.set()
            assert self.go_on.wait(30)
        if (wrong := self._wrong(batch)) is not None:
            raise wrong

    def all(self, _: str, batches: Sequence[EditBatch]) -> list[PalimpsestError | None]:
        self.together.append([batch.facts[0].subject for batch in batches])
        if self.fails:
            raise ModelUnavailable("not all at once")
        return [self._wrong(batch) for batch in batches]

    @staticmethod
    def _wrong(batch: EditBatch) -> PalimpsestError | None:
        subject = batch.facts[0].subject
        return SubjectNotInPrompt("it is not there", value=subject) if subject == "Nowhere" else None


def checked_while_busy(worker: Worker, *batches: EditBatch) -> list[Future[None]]:
    """Have the batches checked, all of which come while the worker is at another one."""
    checks = GatheredChecks(worker.one, worker.all)
    with ThreadPoolExecutor(len(batches) + 1) as pool:
        first = pool.submit(checks.check, "atlas", batch("Lyon"))
        assert worker.busy.wait(30)
        others = [pool.submit(checks.check, "atlas", each) for each in batches]
        until(lambda: len(checks.waiting("atlas")) == len(batches), "they do not wait")
        worker.go_on.set()
        first.result(30)
    return others


def test_those_that_wait_go_together() -> None:
    worker = Worker()
    for each in checked_while_busy(worker, batch("Kyoto"), batch("Oslo"), batch("Quito")):
        each.result()
    assert worker.alone == ["Lyon"]
    assert [sorted(subjects) for subjects in worker.together] == [["Kyoto", "Oslo", "Quito"]]


def test_each_is_told_what_is_wrong_with_its_own() -> None:
    worker = Worker()
    good, bad, other = checked_while_busy(worker, batch("Kyoto"), batch("Nowhere"), batch("Oslo"))
    good.result()
    other.result()
    with pytest.raises(SubjectNotInPrompt, match="not there"):
        bad.result()


def test_if_they_cannot_be_checked_together_each_is_checked_alone() -> None:
    worker = Worker()
    worker.fails = True
    good, bad = checked_while_busy(worker, batch("Kyoto"), batch("Nowhere"))
    good.result()
    with pytest.raises(SubjectNotInPrompt):
        bad.result()
    assert sorted(worker.alone) == ["Kyoto", "Lyon", "Nowhere"]


def test_one_alone_is_told_what_is_wrong_with_it() -> None:
    worker = Worker()
    worker.go_on.set()
    with pytest.raises(SubjectNotInPrompt):
        GatheredChecks(worker.one, worker.all).check("atlas", batch("Nowhere"))
    assert worker.together == []


def test_a_large_one_goes_alone_and_waits_for_nobody() -> None:
    worker = Worker()
    checks = GatheredChecks(worker.one, worker.all)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(checks.check, "atlas", batch("Lyon"))
        assert worker.busy.wait(30)
        checks.check("atlas", batch("Kyoto", FEW_FACTS + 1))
        assert not first.done()
        worker.go_on.set()
        first.result(30)
    assert worker.alone == ["Lyon", "Kyoto"]


def test_models_do_not_wait_for_each_other() -> None:
    worker = Worker()
    checks = GatheredChecks(worker.one, worker.all)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(checks.check, "atlas", batch("Lyon"))
        assert worker.busy.wait(30)
        checks.check("globe", batch("Kyoto"))
        worker.go_on.set()
        first.result(30)
    assert (worker.alone, worker.together) == (["Lyon", "Kyoto"], [])


def test_over_http_too_and_whoever_is_refused_hears_why(worker: WorkerEnd, redis: Redis, settings: Settings) -> None:
    wrong = SubjectNotInPrompt("It is not there.", field="facts.0.prompt", value="Nowhere")
    worker.gives("/checks", CheckedBatches(problems=(None, problem_of(wrong))))
    with httpx.Client() as http, ThreadPoolExecutor(3) as pool:
        fleet = Fleet(redis, http, EditLogs(settings.log_dir), settings)
        with worker.silence("/check"):
            asked = [pool.submit(fleet.check, "atlas", batch("Lyon"))]
            until(lambda: len(worker.asked) == 1, "the worker is not asked")
            for number, subject in enumerate(("Kyoto", "Nowhere"), 1):
                asked.append(pool.submit(fleet.check, "atlas", batch(subject)))
                until(partial(_wait, fleet, number), "nobody waits")
        ends = [each.exception(30) for each in asked]
    assert [path for path, _ in worker.asked] == ["/check", "/checks"]
    assert [type(end) for end in ends] == [type(None), type(None), SubjectNotInPrompt]
    assert EditBatches.model_validate_json(worker.asked[1][1]).batches == (batch("Kyoto"), batch("Nowhere"))


@pytest.mark.parametrize("problems", ['{"problems": [null]}', '{"answers": []}'], ids=["too few", "another release"])
def test_an_answer_that_fits_not_has_each_checked_alone(
    worker: WorkerEnd, redis: Redis, settings: Settings, problems: str
) -> None:
    worker.says("/checks", problems)
    with httpx.Client() as http, ThreadPoolExecutor(3) as pool:
        fleet = Fleet(redis, http, EditLogs(settings.log_dir), settings)
        with worker.silence("/check"):
            asked = [pool.submit(fleet.check, "atlas", batch("Lyon"))]
            until(lambda: len(worker.asked) == 1, "the worker is not asked")
            asked += [pool.submit(fleet.check, "atlas", batch(subject)) for subject in ("Kyoto", "Oslo")]
            until(partial(_wait, fleet, 2), "nobody waits")
        assert [each.result(30) for each in asked] == [None] * 3
    assert [path for path, _ in worker.asked] == ["/check", "/checks", "/check", "/check"]


def _wait(fleet: Fleet, number: int) -> bool:
    return len(fleet._checks.waiting("atlas")) == number
