"""What runs follows what is wanted: onboarded, started, restarted, stopped; and it is told how each came out."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.additions.wishes import Wish, Wishes
from app.domain.contract import JobStatus
from app.local.added_models import AddedModels
from app.local.onboarding import onboarding_command
from app.local.runner import worker_command

LASTING = "import time; time.sleep(600)"
PATIENCE_S = 20.0


@dataclass
class Scripts:
    """Starts real processes that stand for onboarding and workers: Python scripts."""

    onboards: str | None = None
    works: str = LASTING
    live: bool = False
    met: list[str] = field(default_factory=list)
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def popen(self, script: str) -> subprocess.Popen[bytes]:
        self.started.append(subprocess.Popen([sys.executable, "-c", script]))
        return self.started[-1]

    def onboarding(self, wish: Wish) -> subprocess.Popen[bytes] | None:
        return None if self.onboards is None else self.popen(self.onboards)

    def onboarded(self, wish: Wish) -> None:
        self.met.append(wish.model)

    def workers(self, wish: Wish) -> Sequence[Callable[[], subprocess.Popen[bytes]]]:
        return [lambda: self.popen(self.works)] * 2

    def answers(self, name: str) -> bool:
        return self.live

    @property
    def running(self) -> int:
        return sum(process.poll() is None for process in self.started)


@pytest.fixture
def wishes(tmp_path: Path) -> Wishes:
    return Wishes(tmp_path)


@pytest.fixture
def scripts() -> Iterator[Scripts]:
    scripts = Scripts()
    yield scripts
    for process in scripts.started:
        process.kill()
        process.wait()


@pytest.fixture
def added(wishes: Wishes, scripts: Scripts) -> AddedModels:
    return AddedModels(wishes, scripts)


def wish(name: str = "one", job: str = "job1") -> Wish:
    return Wish(name=name, model=f"some/{name}", job=job, added=datetime.now(UTC))


def status(wishes: Wishes, job: str = "job1") -> JobStatus | None:
    view = wishes.view(job)
    return None if view is None else view.status


def steps_until(added: AddedModels, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        added.step()
        time.sleep(0.02)


def test_nothing_is_wanted_and_nothing_is_done(added: AddedModels, scripts: Scripts) -> None:
    added.step()
    assert (added.names, scripts.started) == ([], [])


def test_a_model_is_onboarded_then_started_then_said_to_be_there(
    added: AddedModels, wishes: Wishes, scripts: Scripts
) -> None:
    scripts.onboards = "import time; time.sleep(0.3)"
    wishes.add(wish())
    assert status(wishes) is JobStatus.QUEUED
    added.step()
    told = wishes.view("job1")
    assert told is not None
    assert told.progress is not None
    assert (told.kind, told.model, told.status, told.progress.stage) == (
        "onboard",
        "one",
        JobStatus.RUNNING,
        "statistics",
    )
    steps_until(added, lambda: scripts.running == 2)
    assert scripts.met == ["some/one"]
    told = wishes.view("job1")
    assert told is not None
    assert told.progress is not None
    assert (told.status, told.progress.stage) == (JobStatus.RUNNING, "start")
    scripts.live = True
    added.step()
    told = wishes.view("job1")
    assert told is not None
    assert (told.status, told.progress, told.error) == (JobStatus.SUCCEEDED, None, None)
    assert told.ended is not None


@pytest.mark.parametrize(("onboards", "works"), [("raise SystemExit(3)", LASTING), (None, "raise SystemExit(1)")])
def test_one_that_cannot_be_onboarded_or_started_fails_with_a_reason_and_is_not_tried_again(
    added: AddedModels, wishes: Wishes, scripts: Scripts, onboards: str | None, works: str
) -> None:
    scripts.onboards, scripts.works = onboards, works
    wishes.add(wish())
    steps_until(added, lambda: status(wishes) is JobStatus.FAILED)
    told = wishes.view("job1")
    assert told is not None
    assert told.error is not None
    assert told.error.code == "onboarding_failed"
    assert "some/" not in told.error.detail
    assert (wishes.all(), scripts.met) == ([], [])
    count = len(scripts.started)
    steps_until(added, lambda: scripts.running == 0)
    assert len(scripts.started) == count


def test_a_worker_that_ends_after_it_served_is_started_again(
    added: AddedModels, wishes: Wishes, scripts: Scripts
) -> None:
    scripts.live = True
    wishes.add(wish())
    steps_until(added, lambda: status(wishes) is JobStatus.SUCCEEDED)
    scripts.started[0].kill()
    scripts.started[0].wait()
    steps_until(added, lambda: len(scripts.started) == 3)
    assert (scripts.running, status(wishes)) == (2, JobStatus.SUCCEEDED)


def test_one_that_is_taken_away_is_stopped_and_its_job_is_cancelled_if_it_was_not_there_yet(
    added: AddedModels, wishes: Wishes, scripts: Scripts
) -> None:
    scripts.onboards = LASTING
    wishes.add(wish())
    wishes.add(wish("two", "job2"))
    added.step()
    assert scripts.running == 2
    assert wishes.withdraw("one")
    steps_until(added, lambda: scripts.running == 1)
    assert added.names == ["two"]
    assert (status(wishes), status(wishes, "job2")) == (JobStatus.CANCELLED, JobStatus.RUNNING)
    assert not wishes.withdraw("one")


def test_one_that_is_taken_away_and_added_again_is_begun_anew(
    added: AddedModels, wishes: Wishes, scripts: Scripts
) -> None:
    scripts.live = True
    wishes.add(wish())
    steps_until(added, lambda: status(wishes) is JobStatus.SUCCEEDED)
    wishes.withdraw("one")
    wishes.add(wish(job="job2"))
    steps_until(added, lambda: status(wishes, "job2") is JobStatus.SUCCEEDED)
    assert (status(wishes), scripts.running) == (JobStatus.SUCCEEDED, 2)


def test_after_a_restart_what_was_added_is_started_and_what_was_begun_is_begun_again(
    added: AddedModels, wishes: Wishes, scripts: Scripts
) -> None:
    scripts.live = True
    wishes.add(wish())
    steps_until(added, lambda: status(wishes) is JobStatus.SUCCEEDED)
    scripts.onboards = LASTING
    wishes.add(wish("two", "job2"))
    added.step()
    assert scripts.running == 3
    added.stop()
    assert (scripts.running, added.names) == (0, [])
    assert (status(wishes), status(wishes, "job2")) == (JobStatus.SUCCEEDED, JobStatus.RUNNING)
    again = AddedModels(wishes, scripts)
    again.step()
    assert (again.names, scripts.running) == (["one", "two"], 3)
    again.stop()


def test_one_whose_end_was_noted_before_the_service_was_killed_is_not_begun_again(
    added: AddedModels, wishes: Wishes, scripts: Scripts
) -> None:
    failed = wish()
    wishes.add(failed)
    wishes.end(failed, JobStatus.FAILED)
    added.step()
    assert (scripts.started, wishes.all(), status(wishes)) == ([], [], JobStatus.FAILED)


def test_a_process_that_does_not_end_is_killed(
    added: AddedModels, wishes: Wishes, scripts: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.local.added_models.STOP_TIMEOUT_S", 0.3)
    deaf = "import signal, time, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True)"
    scripts.works = f"{deaf}; time.sleep(600)"
    wishes.add(wish())
    added.step()
    time.sleep(1.0)
    wishes.withdraw("one")
    steps_until(added, lambda: scripts.running == 0)


def test_what_is_known_of_ended_additions_is_forgotten_unless_the_model_is_wanted(wishes: Wishes) -> None:
    for each in (wish(), wish("two", "job2")):
        wishes.add(each)
        wishes.end(each, JobStatus.SUCCEEDED)
    wishes.remove("two")
    wishes.forget(0)
    assert status(wishes, "job2") is JobStatus.SUCCEEDED
    wishes.forget(time.time() + 10)
    assert (status(wishes), status(wishes, "job2")) == (JobStatus.SUCCEEDED, None)


def test_the_workers_of_an_added_model_are_those_of_the_others(tmp_path: Path) -> None:
    assert worker_command("a/b", replicas=1, onboard=False, name="b")[2:] == (
        ["workers", "--model", "a/b", "--role", "auto", "--name", "b", "--no-onboard"]
    )
    assert worker_command("atlas-gpt2", replicas=0, onboard=True)[-1] == "leader"
    assert onboarding_command("atlas-gpt2", tmp_path) is None
    command = onboarding_command("a/b", tmp_path)
    assert command is not None
    assert command[3:5] == ["onboard", "a/b"]
