"""A worker's log tells where something failed, and has no trace of a fact or a question."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import httpx
import pytest
from rq.job import JobStatus as QueueStatus

from app.domain import keyspace
from app.domain.contract import AnyVersion, EditBatch, JobStatus, WorkerCard
from app.domain.errors import JobFailed, StaleEpoch
from app.domain.log.pages import MovePage
from app.domain.origin import REQUEST_ID
from app.domain.queued_calls import ORIGIN
from tests.support.log_lines import SECRET, log_lines, said_in
from tests.support.worker_bench import APPLY, Bench, batch
from workers.host.model_host import ModelHost
from workers.questions.batches import QuestionBatches
from workers.questions.rows import Live
from workers.serving.metrics import Metrics
from workers.serving.server import create_server
from workers.serving.server_thread import ServerThread

JOB = batch(SECRET).model_dump_json()


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """The log; whatever a test does, the secret is not in it."""
    with log_lines() as text:
        yield text
    assert SECRET not in text.getvalue()


def careless(*_: object, **__: object) -> NoReturn:
    raise ValueError(f"no such city: {SECRET}")


class TestJobs:
    def test_one_that_succeeds(self, bench: Bench, lines: io.StringIO) -> None:
        bench.enqueue("one", args=[JOB])
        bench.work()
        assert "INFO workers.queue.jobs: edit succeeded job_id=one model=tiny version=1 method=" in lines.getvalue()

    def test_all_of_its_lines_name_the_request_that_it_came_with(self, bench: Bench, lines: io.StringIO) -> None:
        bench.enqueue("one", args=[JOB], meta={ORIGIN: {REQUEST_ID: "mine"}})
        bench.enqueue("two", args=[JOB])
        bench.work()
        of_ours = [line for line in lines.getvalue().splitlines() if " INFO workers.queue.jobs: " in line]
        assert [" request_id=mine" in line for line in of_ours] == [True, False]

    def test_one_that_fails_for_a_reason_nobody_foresaw(
        self, bench: Bench, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("workers.host.work.edit.propose", careless)
        bench.enqueue("one", args=[JOB])
        bench.work()
        said = lines.getvalue()
        assert re.search(r"ERROR workers\.queue\.jobs: .*failed job_id=one\n", said)
        assert re.search(r'File ".*workers/host/work/edit\.py", line \d+, in Edit\.do\n', said)
        assert "\nValueError\n" in said
        assert bench.ended == [JobStatus.FAILED]

    def test_one_whose_cause_is_named(self, bench: Bench, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
        def failed(*_: object) -> NoReturn:
            raise JobFailed("the system has no solution", field="facts.0", value=SECRET) from ValueError(SECRET)

        monkeypatch.setattr("workers.host.work.edit.propose", failed)
        bench.enqueue("one", args=[JOB])
        bench.work()
        assert "edit failed: edit_failed job_id=one" in lines.getvalue()

    def test_one_at_which_the_lead_is_lost(
        self, bench: Bench, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def overtaken(*_: object) -> NoReturn:
            raise StaleEpoch("a newer leader has taken over", value=SECRET)

        monkeypatch.setattr("workers.host.work.edit.propose", overtaken)
        bench.enqueue("one", args=[JOB])
        bench.work()
        assert "lead lost: a newer leader has taken over job_id=one" in lines.getvalue()

    @pytest.mark.parametrize(
        "request_json",
        [
            JOB[:-5],
            JOB.replace('"object":', '"objects":'),
            JOB.replace("{} is a city in", SECRET + " {} {}"),
            JOB.replace('"Japan"', '""'),
            json.dumps({"facts": [{"subject": SECRET, "prompt": "It lies in", "object": SECRET}]}),
            json.dumps({"facts": SECRET}),
        ],
    )
    def test_one_that_is_refused(self, bench: Bench, lines: io.StringIO, request_json: str) -> None:
        assert SECRET in request_json
        bench.enqueue("one", args=[request_json])
        bench.work()
        assert bench.outcome("one").status is JobStatus.FAILED
        assert re.search(r"edit failed: [a-z_]+ job_id=one model=tiny", lines.getvalue())

    @pytest.mark.parametrize(
        ("function", "arguments", "more"),
        [
            ("os.system", [SECRET], {}),
            (SECRET, [SECRET], {}),
            (APPLY, [JOB, SECRET], {}),
            (APPLY, [JOB], {SECRET: SECRET}),
            (APPLY, [{"facts": SECRET}], {}),
        ],
    )
    def test_one_that_is_none_of_ours(
        self, bench: Bench, lines: io.StringIO, function: str, arguments: list[object], more: dict[str, Any]
    ) -> None:
        bench.enqueue("one", function, arguments, kwargs=more, description=f"edit of {SECRET}", meta={"is": SECRET})
        bench.work()
        assert bench.host.version == 0
        assert "job_id=one" in lines.getvalue()

    def test_one_whose_data_are_damaged(self, bench: Bench, lines: io.StringIO) -> None:
        bench.enqueue("one", args=[JOB])
        bench.redis.hset("rq:job:one", "data", f'["{APPLY}", null, ["{SECRET}')
        bench.work()
        assert bench.job("one").get_status() is QueueStatus.FAILED
        assert "job refused or broken: " in lines.getvalue()

    def test_one_that_is_cancelled(self, bench: Bench, lines: io.StringIO) -> None:
        bench.enqueue("one", args=[JOB])
        bench.redis.set(keyspace.cancel("one"), 1)
        bench.work()
        assert "edit cancelled: job_cancelled job_id=one" in lines.getvalue()

    def test_one_whose_worker_died(self, bench: Bench, lines: io.StringIO) -> None:
        bench.enqueue("one", args=[JOB])
        dead = bench.take("one")
        for key in (dead.key, f"rq:execution:{next(iter(dead.executions), None)}"):
            bench.redis.delete(key)
        bench.work()

    def test_one_whose_publishing_fails(
        self, bench: Bench, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(ModelHost, "_publish", careless)
            bench.enqueue("one", args=[JOB])
            bench.work()
        assert "ValueError" in lines.getvalue()


class Careless:
    """Holds a model that fails at whatever it is asked."""

    name = "tiny"
    version = 3
    publish_waits = False
    held_out: tuple[tuple[int, ...], ...] = ()

    def questions(self, version: AnyVersion | None = None) -> AbstractContextManager[Live]:
        raise ValueError(f"cannot say of {SECRET}")

    def held(self, version: AnyVersion | None = None) -> Live:
        raise ValueError(f"cannot write of {SECRET}")

    def check(self, batch: EditBatch) -> None:
        raise ValueError(f"cannot check {batch.facts[0].subject}")

    def update_norms(self, old: int, new: int) -> dict[int, float]:
        return {}

    def move_alias(self, move: MovePage) -> MovePage:
        return move

    def card(self) -> WorkerCard:
        raise KeyError(SECRET, datetime.now(UTC))


class TestQuestions:
    @pytest.fixture
    def worker(self, lines: io.StringIO) -> Iterator[httpx.Client]:
        held = Careless()
        batches = QuestionBatches(held, max_batch_tokens=512, threads=1, max_waiting=2)
        server = ServerThread("127.0.0.1", 0)
        server.serve(create_server(held, held.card, Metrics(lambda: held.version), batches))
        with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=60.0) as client:
            yield client
        server.close()
        batches.close()

    @pytest.mark.parametrize(
        ("path", "body", "place"),
        [
            ("/check", {"facts": [{"subject": SECRET, "prompt": "{} lies in", "object": SECRET}]}, "in Careless.check"),
            ("/probe", {"prompts": [{"prompt": f"{SECRET} lies in", "expected": SECRET}]}, "in Careless.questions"),
            ("/generate", {"prompts": [f"{SECRET} lies in"]}, "in Careless.questions"),
            ("/write", {"prompts": [f"{SECRET} lies in"]}, "in Careless.held"),
        ],
    )
    def test_one_at_which_the_worker_fails(
        self, worker: httpx.Client, lines: io.StringIO, path: str, body: object, place: str
    ) -> None:
        assert worker.post(path, json=body, headers={REQUEST_ID: "mine"}).status_code == 500
        said = said_in(lines, "\nValueError\n")
        assert "ERROR uvicorn.error: Exception in ASGI application request_id=mine\n" in said
        assert re.search(rf'File ".*test_log_lines\.py", line \d+, {re.escape(place)}\n', said)
        assert "\nValueError\n" in said

    def test_one_that_names_itself(self, worker: httpx.Client, lines: io.StringIO) -> None:
        worker.get("/state", headers={REQUEST_ID: "mine"})
        assert " request_id=mine\n" in said_in(lines, "request_id=")

    def test_the_workers_own_state(self, worker: httpx.Client, lines: io.StringIO) -> None:
        assert worker.get("/state").status_code == 500
        assert "\nKeyError\n" in said_in(lines, "\nKeyError\n")

    @pytest.mark.parametrize("path", ["/check", "/probe", "/generate", "/write"])
    @pytest.mark.parametrize("body", [{"facts": SECRET}, {"prompts": [{"prompt": SECRET, SECRET: SECRET}]}, SECRET])
    def test_one_that_has_not_the_right_form(self, worker: httpx.Client, path: str, body: object) -> None:
        answer = worker.post(path, json=body)
        assert answer.status_code == 422


def test_a_model_that_is_not_there_is_named_when_nothing_can_be_served(redis_url: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "workers", "--model", str(tmp_path / "nowhere"), "--data-dir", str(tmp_path)]
    variables = {
        "PALIMPSEST_REDIS_URL": redis_url,
        "PALIMPSEST_WORKER_DEVISE": "cpu",
        "PALIMPSEST_LOG_FORM": "text",
        "HF_HUB_OFFLINE": "1",
    }
    environment = {**os.environ, **variables}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    said = done.stderr
    assert done.returncode == 1
    assert "PALIMPSEST_WORKER_DEVISE is set, but there is no such setting; is PALIMPSEST_WORKER_DEVICE meant?\n" in said
    (line,) = (line for line in said.splitlines() if "ERROR workers.main: not served: " in line)
    assert str(tmp_path / "nowhere") in line
    assert line.endswith(" model=nowhere")
