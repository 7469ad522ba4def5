"""The front end's log tells where something failed, and has no trace of a fact."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import httpx
import pytest
from redis import Redis
from redis.exceptions import ResponseError

from app.domain import keyspace
from app.domain.contract import Problem
from app.jobs.jobs import Jobs
from app.jobs.queue.job_queue import JobQueue
from app.jobs.recovery import Recovery
from app.local.stack import free_port
from app.main import create_app
from app.settings import Settings
from tests.app.test_service import serving
from tests.support.log_lines import SECRET, log_lines, said_in
from tests.support.worker_end import WorkerEnd
from tests.support.worker_process import until

FACT = {"subject": SECRET, "prompt": f"{{}} of {SECRET} lies in", "object": SECRET}
BATCH = {"facts": [FACT]}
QUERY = {"prompts": [{"prompt": f"{SECRET} lies in", "expected": SECRET}]}


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """The log; whatever a test does, the secret is not in it."""
    with log_lines() as text:
        yield text
    assert SECRET not in text.getvalue()


@pytest.fixture
def front_end(settings: Settings, worker: WorkerEnd, lines: io.StringIO) -> Iterator[httpx.Client]:
    """On a real port, so that the server's own lines are there too."""
    with serving(create_app(settings), log_level=None) as url, httpx.Client(base_url=url, trust_env=False) as client:
        yield client


def careless(*_: object, **__: object) -> NoReturn:
    raise ValueError(f"no such city: {SECRET}")


class TestRequests:
    def test_one_that_is_accepted(self, front_end: httpx.Client, lines: io.StringIO) -> None:
        job = front_end.post("/edits", json=BATCH).json()["id"]
        assert f"INFO app.jobs.jobs: accepted job_id={job} model=atlas facts=1" in lines.getvalue()

    def test_one_that_fails_for_a_reason_nobody_foresaw(
        self, front_end: httpx.Client, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Jobs, "submit", careless)
        assert front_end.post("/edits", json=BATCH).status_code == 500
        said = said_in(lines, "\nValueError\n")
        assert re.search(
            r"POST /edits ended in internal: ValueError at app\.jobs\.acceptance:\d+ request_id=\w+$",
            said,
            re.MULTILINE,
        )
        assert "ERROR uvicorn.error: Exception in ASGI application request_id=" in said
        assert re.search(r'File ".*app/jobs/acceptance\.py", line \d+, in Acceptance\.', said)

    @pytest.mark.parametrize(
        "body",
        [
            {"facts": [FACT | {"object": ""}]},
            {"facts": [FACT | {SECRET: SECRET}]},
            {"facts": [FACT | {"relation": SECRET}]},
            {"facts": SECRET},
            {"facts": [FACT] * 9},
            SECRET,
        ],
    )
    def test_one_that_has_not_the_right_form(self, front_end: httpx.Client, body: Any) -> None:
        answer = front_end.post("/edits", json=body)
        assert answer.status_code == 422

    def test_one_that_is_no_json(self, front_end: httpx.Client) -> None:
        content, headers = f'{{"facts": {SECRET}', {"Content-Type": "application/json"}
        assert front_end.post("/edits", content=content, headers=headers).status_code == 422

    def test_one_that_a_worker_refuses(self, front_end: httpx.Client, worker: WorkerEnd) -> None:
        refusal = {"detail": "the subject is not there", "field": "facts.0.prompt", "value": SECRET}
        worker.refuses("/check", Problem(title="x", status=422, code="subject_not_in_prompt", **refusal))
        answer = front_end.post("/edits", json=BATCH)
        assert (answer.status_code, answer.json()["value"]) == (422, SECRET)

    @pytest.mark.parametrize("text", [f"{SECRET} is no JSON", f'{{"model": "{SECRET}", "answers": ["{SECRET}"]}}'])
    def test_one_to_which_a_worker_answers_nonsense(
        self, front_end: httpx.Client, worker: WorkerEnd, lines: io.StringIO, text: str
    ) -> None:
        worker.says("/probe", text)
        assert front_end.post("/query", json=QUERY).status_code == 503
        worker.says("/probe", text, status=500)
        assert front_end.post("/query", json=QUERY).status_code == 503
        assert lines.getvalue().count("POST /query ended in model_unavailable: ") == 2

    def test_one_at_which_a_worker_fails(self, front_end: httpx.Client, worker: WorkerEnd, lines: io.StringIO) -> None:
        worker.refuses("/probe", Problem(title="x", status=500, code="internal", detail="it failed", value=SECRET))
        assert front_end.post("/query", json=QUERY).status_code == 500
        assert "POST /query ended in internal: it failed request_id=" in lines.getvalue()

    def test_one_whose_command_redis_quotes(
        self, front_end: httpx.Client, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refused(*_: object, **__: object) -> NoReturn:
            raise ResponseError(f"unknown command 'X', with args beginning with: '{SECRET}'")

        monkeypatch.setattr(JobQueue, "put", refused)
        assert front_end.post("/edits", json=BATCH).status_code == 503
        assert "ended in redis_unavailable: redis.exceptions.ResponseError at app.jobs." in lines.getvalue()


class TestWhatIsBroken:
    def test_a_file_of_the_journal(
        self, front_end: httpx.Client, settings: Settings, jobs: Jobs, redis: Redis, lines: io.StringIO
    ) -> None:
        front_end.post("/edits", json=BATCH)
        (path,) = settings.accepted_dir.glob("atlas/*.json")
        path.write_text(path.read_text()[:-9])
        assert SECRET in path.read_text()
        redis.flushall()
        jobs.look_after()
        assert f"{path} cannot be read, and is left alone" in lines.getvalue()

    def test_the_note_of_how_a_job_ended(self, front_end: httpx.Client, settings: Settings, lines: io.StringIO) -> None:
        note = settings.accepted_dir / "atlas" / "ended" / "one.json"
        note.parent.mkdir(parents=True)
        note.write_text(f'{{"id": "one", "report": "{SECRET}"}}')
        assert front_end.get("/jobs/one").status_code == 500
        assert "pydantic_core._pydantic_core.ValidationError at app.jobs.journal:" in lines.getvalue()

    def test_a_workers_card(self, front_end: httpx.Client, redis: Redis, lines: io.StringIO) -> None:
        redis.sadd(keyspace.WORKERS, "strange")
        redis.set(keyspace.worker("strange"), f'{{"model": "{SECRET}"}}')
        assert front_end.get("/models").status_code == 200
        said = f"{keyspace.worker('strange')} has a card that cannot be read: pydantic_core._pydantic_core.Valid"
        assert said in lines.getvalue()

    def test_what_the_recovery_meets(self, jobs: Jobs, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Jobs, "look_after", careless)
        with Recovery(jobs, 3600):
            until(lambda: "not looked after" in lines.getvalue(), "nothing is said")
        assert re.search(r"not looked after: ValueError at app\.jobs\.recovery:\d+\n", lines.getvalue())


def test_the_process_of_the_image_shows_what_it_accepted_and_forms_uvicorns_lines_alike(
    redis: Redis, redis_url: str, worker: WorkerEnd, tmp_path: Path
) -> None:
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "--factory", "app.main:create_app", "--port", str(port)]
    variables = {
        "PALIMPSEST_REDIS_URL": redis_url,
        "PALIMPSEST_DATA_DIR": str(tmp_path),
        "PALIMPSEST_MAX_FACT": "3",
        "PALIMPSEST_LOG_FORM": "text",
    }
    with (tmp_path / "log").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, **variables})
    log = tmp_path / "log"
    try:
        until(lambda: "Uvicorn running" in log.read_text() or process.poll() is not None, "it does not start")
        assert httpx.post(f"http://127.0.0.1:{port}/edits", json=BATCH, trust_env=False).status_code == 202
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
    said = log.read_text()
    assert re.search(r" INFO app\.jobs\.jobs: accepted job_id=\S+ model=atlas facts=1 request_id=\w+\n", said)
    assert re.search(r' INFO uvicorn\.access: 127\.0\.0\.1:\d+ - "POST /edits HTTP/1\.1" 202 request_id=\w+\n', said)
    assert "PALIMPSEST_MAX_FACT is set, but there is no such setting; is PALIMPSEST_MAX_FACTS meant?\n" in said
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ [a-z_.]+: ", line) for line in said.splitlines())
    assert SECRET not in said
