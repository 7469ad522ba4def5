"""``python -m workers`` as users start it, and a Redis server that can go away and come back."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, Retry
from rq.job import Job as QueuedJob
from rq.serializers import JSONSerializer
from rq.utils import as_text

from app.domain import keyspace
from app.domain.contract import EditBatch, Fact, Hyperparameters, JobOutcome, WorkerCard
from app.local.embedded_redis import find_redis_server

PATIENCE_S = 120.0


def until(holds: Callable[[], bool], what: str, seconds: float = PATIENCE_S) -> None:
    """Return once it holds; fail if it does not in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.05)


class RedisServer:
    """A server on a port of its own, whose data outlast it."""

    def __init__(self, data: Path) -> None:
        self._data = data
        with socket.create_server(("127.0.0.1", 0)) as unused:
            self.port = unused.getsockname()[1]
        self.client = Redis(port=self.port)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        options = {
            "port": self.port,
            "bind": "127.0.0.1",
            "dir": self._data,
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        self._process = subprocess.Popen(
            [find_redis_server(), *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until(self._answers, "Redis does not answer")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def suspend(self) -> None:
        """Stop answering, but keep all connections open (SIGSTOP)."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        """End as by a power cut."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except RedisError:
            return False


class WorkerProcess:
    """One run of a worker on a folder's model."""

    def __init__(self, redis: RedisServer, model: Path, data: Path, **variables: str) -> None:
        """``variables``: of the environment, besides those that every worker gets."""
        self.redis = redis
        environment = {
            **os.environ,
            "PALIMPSEST_REDIS_URL": redis.url,
            "PALIMPSEST_DATA_DIR": str(data),
            "PALIMPSEST_WORKER_PRESET": str(model / "preset.json"),
            "PALIMPSEST_WORKER_STOP_GRACE_S": "0",
            "OMP_NUM_THREADS": "1",
            **variables,
        }
        with (data / "worker.log").open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "workers", "--model", str(model)], stderr=output, env=environment
            )

    def card(self) -> WorkerCard:
        """What it says of itself over HTTP, once it is in Redis and answers."""
        until(lambda: self._registered() is not None or self.process.poll() is not None, "no card in Redis")
        found = self._registered()
        assert found is not None, "the worker did not come up"
        return WorkerCard.model_validate_json(httpx.get(f"{found.url}/state").content)

    def _registered(self) -> WorkerCard | None:
        for worker in self.redis.client.smembers(keyspace.WORKERS):
            card = self.redis.client.get(keyspace.worker(as_text(worker)))
            if isinstance(card, bytes):
                return WorkerCard.model_validate_json(card)
        return None

    def end(self, number: signal.Signals) -> int:
        """Send a signal and return the exit status."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)


class Edits:
    """The queue's other end, as the front end uses it."""

    def __init__(self, redis: RedisServer, model: str) -> None:
        self._redis = redis.client
        self._queue = Queue(keyspace.queue(model), connection=redis.client, serializer=JSONSerializer)

    def submit(self, job_id: str, *, steps: int, subject: str = "Lyon") -> None:
        fact = Fact(subject=subject, prompt="{} is a city in", object="Japan")
        # A rate this small never converges, so the job takes all its steps.
        batch = EditBatch(
            facts=(fact,), unheld="keep", hyperparameters=Hyperparameters(v_num_grad_steps=steps, v_lr=1e-6)
        )
        retry = Retry(max=3, enqueue_at_front=True)
        self._queue.enqueue_call(
            "workers.jobs.apply_edits", args=(batch.model_dump_json(),), job_id=job_id, retry=retry
        )

    def until_running(self, job_id: str) -> None:
        until(lambda: bool(self._redis.exists(keyspace.progress(job_id))), f"{job_id} does not run")

    def outcome(self, job_id: str) -> JobOutcome:
        def job() -> QueuedJob:
            return QueuedJob.fetch(job_id, connection=self._redis, serializer=JSONSerializer)

        until(lambda: job().is_finished, f"{job_id} does not end")
        return JobOutcome.model_validate_json(str(job().return_value()))


@contextmanager
def worker_process(redis: RedisServer, model: Path, data: Path, **variables: str) -> Iterator[WorkerProcess]:
    """A worker that does not outlive the block."""
    worker = WorkerProcess(redis, model, data, **variables)
    try:
        yield worker
    finally:
        if worker.process.poll() is None:
            worker.process.kill()
        worker.process.wait()
