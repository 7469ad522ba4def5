"""A whole service: the real front end, real Redis, and one worker at a time, forked, that may be killed for good."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import httpx
from fastapi.testclient import TestClient
from redis import Redis

from app.domain import keyspace
from app.domain.contract import Job
from app.main import create_app
from app.settings import Settings
from tests.support.worker_process import until

MODEL = "tiny"
CARD_PATIENCE_S = 60.0


class Nursery:
    """The process that forks workers; see ``tests.support.service.nursery``."""

    def __enter__(self) -> Self:
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "PALIMPSEST_WORKER_SNAPSHOT_EVERY": "3",
            "PALIMPSEST_WORKER_EARLIER_VERSIONS": "2",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.service.nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()
        assert self._process.returncode == 0

    def start(self, arguments: list[str], failpoints: str, output: Path) -> int:
        """Fork a worker; its process id."""
        pid = self._ask({"start": arguments, "failpoints": failpoints, "output": str(output)})["pid"]
        assert pid is not None
        return pid

    def ended(self, pid: int, *, wait: bool) -> int | None:
        """How a worker ended; None: it has not."""
        return self._ask({"ended": pid, "wait": wait})["status"]

    def _ask(self, request: dict[str, Any]) -> dict[str, int | None]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer: dict[str, int | None] = json.loads(self._process.stdout.readline())
        return answer


class RunningService:
    """Front end and worker of one model on one data directory, from nothing."""

    def __init__(self, nursery: Nursery, redis_url: str, model: Path, statistics: Path, data: Path) -> None:
        self._nursery = nursery
        self.data = data
        self._arguments = [f"--{name}={value}" for name, value in self._options(redis_url, model, statistics).items()]
        self._stack = ExitStack()
        self.redis = self._stack.enter_context(Redis.from_url(redis_url))
        self.redis.flushall()
        settings = Settings(
            redis_url=redis_url,
            data_dir=data,
            allow_open=True,  # the test client has no address
            recovery_interval_s=0.2,
            job_retries=1000,
            redis_timeout_s=60,
        )
        self.http = self._stack.enter_context(TestClient(create_app(settings), raise_server_exceptions=False))
        self._pid: int | None = None
        self._trapped = False

    def _options(self, redis_url: str, model: Path, statistics: Path) -> dict[str, object]:
        return {
            "model": model,
            "name": MODEL,
            "redis-url": redis_url,
            "data-dir": self.data,
            "preset": model / "preset.json",
            "statistics": statistics,
        }

    def close(self) -> None:
        """Nothing outlives this."""
        self.kill()
        self._stack.close()

    # --- the worker --------------------------------------------------------------------------

    def start(self, failpoints: str = "") -> None:
        """Start a worker; returns when it serves, or has ended at a failpoint."""
        assert self._pid is None
        self._trapped = bool(failpoints)
        before = self.redis.smembers(keyspace.WORKERS)
        self._pid = self._nursery.start(self._arguments, failpoints, self.data / "worker.log")
        until(lambda: self.redis.smembers(keyspace.WORKERS) > before or self.dead, "no worker", CARD_PATIENCE_S)
        assert failpoints or not self.dead, (self.data / "worker.log").read_text()

    @property
    def dead(self) -> bool:
        """Whether there is no worker, or it has ended by itself."""
        if self._pid is not None and self._nursery.ended(self._pid, wait=False) is not None:
            self._pid = None
        return self._pid is None

    def kill(self) -> None:
        """End the worker as a power cut would, wherever it is."""
        self._signal(signal.SIGKILL)

    def stop(self) -> None:
        """Ask the worker to end, and wait until it has; the job that it is at may yet come to a failpoint."""
        status = self._signal(signal.SIGTERM)
        assert status in (0, None) or (self._trapped and status == -signal.SIGKILL), status

    def until_stopped(self) -> int:
        """Return once the worker has stopped at a failpoint; its process id."""
        pid = self._pid
        assert pid is not None
        until(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T", "it does not stop")
        return pid

    def resume(self) -> None:
        """Let a worker that has stopped at a failpoint go on, once it has."""
        os.kill(self.until_stopped(), signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> int | None:
        """How the worker ended; None: it had ended before."""
        if self.dead:
            return None
        assert self._pid is not None
        os.kill(self._pid, number)
        status, self._pid = self._nursery.ended(self._pid, wait=True), None
        return status

    # --- the front end -----------------------------------------------------------------------

    def sent(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """What a request is answered with."""
        response = self.http.request(method, path, json=body, headers=headers)
        return httpx.Response(response.status_code, headers=dict(response.headers), content=response.content)

    def got(self, path: str, **parameters: int) -> httpx.Response:
        """The answer to a GET, whose status must be 200."""
        response = self.http.get(path, params=parameters)
        assert response.status_code == 200, response.text
        return httpx.Response(response.status_code, headers=dict(response.headers), content=response.content)

    def job(self, job_id: str) -> Job:
        return Job.model_validate_json(self.got(f"/jobs/{job_id}").content)

    def ended(self, job_id: str) -> Job:
        """A job once it has ended, with a worker's help."""

        def final() -> bool:
            if self.dead:
                self.start()
            return self.job(job_id).status.final

        until(final, f"{job_id} does not end")
        return self.job(job_id)
