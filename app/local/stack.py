"""The whole service on this machine: a Redis of its own unless one is named, the workers, the front end.

Every process is started here, and exactly those are stopped at the end.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import httpx
from redis import Redis
from redis.exceptions import RedisError

from app.additions.wishes import Wishes
from app.domain.errors import Unavailable
from app.domain.local_service import LocalService
from app.domain.settings import SharedSettings
from app.local.added_models import AddedModels
from app.local.embedded_redis import embedded_redis
from app.local.runner import LocalRunner, worker_command
from app.roster import Roster

logger = logging.getLogger(__name__)

START_TIMEOUT_S = 1800.0
"""A model that nobody has seen writes its own texts first; a process that ends meanwhile is noticed at once."""

WORKER_SECRET = SharedSettings.variable("worker_secret")
"""Names the variable, which is set for the children unless it is already."""

STOP_TIMEOUT_S = 30.0
REDIS_TIMEOUT_S = 5.0
GRACE_S = 10
"""What open requests and event streams get when the front end is told to stop."""
RESTART_PAUSE_S = 1.0


@dataclass(frozen=True, slots=True)
class StackSettings:
    """What to start.

    logs: a file that the processes write to, or None for the terminal.
    replicas: workers for each model beside its leader; one of them takes over when the leader dies.
    onboard: whether a model without statistics and corpus may write texts for them.
    """

    models: tuple[str, ...]
    data_dir: Path
    host: str = "127.0.0.1"
    port: int = 8000
    redis_url: str | None = None
    logs: Path | None = None
    replicas: int = 0
    onboard: bool = True


@dataclass(slots=True)
class Child:
    """One process of the stack."""

    name: str
    command: Sequence[str]
    process: subprocess.Popen[bytes]


class Stack:
    """The running processes."""

    def __init__(self, settings: StackSettings, redis_url: str, output: IO[bytes] | None) -> None:
        self.settings = settings
        self.url = f"http://{settings.host}:{settings.port}"
        self._output, self._redis_url = output, redis_url
        data_dir = str(settings.data_dir.resolve())
        secret = os.environ.get(WORKER_SECRET) or secrets.token_urlsafe(32)
        self._environment = {
            **os.environ,
            WORKER_SECRET: secret,
            "PALIMPSEST_REDIS_URL": redis_url,
            "PALIMPSEST_DATA_DIR": data_dir,
            "PALIMPSEST_HOST": settings.host,
            "PALIMPSEST_PORT": str(settings.port),
            "PALIMPSEST_SUPERVISED": "1",
        }
        self._children: list[Child] = []
        self._here = LocalService(redis_url=redis_url, worker_secret=secret)
        self._redis = Redis.from_url(redis_url, socket_timeout=REDIS_TIMEOUT_S)
        runner = LocalRunner(self._popen, self._redis, Path(data_dir), settings.replicas, settings.onboard)
        self._added = AddedModels(Wishes(Path(data_dir)), runner)

    def start(self) -> None:
        """Start the front end and the workers; returns when questions can be asked.

        Raises:
            Unavailable: the port is taken, a process ended, or nothing was ready in time.
        """
        if not _free(self.settings.host, self.settings.port):
            raise Unavailable(f"port {self.settings.port} is taken", field="port", value=self.settings.port)
        self._here.write(self.settings.data_dir)
        server = ["uvicorn", "--factory", "app.main:create_app", "--no-access-log", "--log-level", "warning"]
        server += ["--timeout-graceful-shutdown", str(GRACE_S)]
        server += ["--host", self.settings.host, "--port", str(self.settings.port)]
        self._launch("front end", [sys.executable, "-m", *server])
        for model in self.settings.models:
            for number in range(1 + self.settings.replicas):
                command = worker_command(model, replicas=self.settings.replicas, onboard=self.settings.onboard)
                self._launch(f"worker {number + 1} of {model}", command)
        self._await_ready()

    def supervise(self) -> None:
        """Restart every process that ends, and serve what is added, for ever.

        A restarted worker replays the log and does its job again.
        """
        while True:
            time.sleep(RESTART_PAUSE_S)
            self._look_after_added()
            for child in self._children:
                if child.process.poll() is not None:
                    logger.warning("%s ended with %s; starting it again", child.name, child.process.returncode)
                    child.process = self._popen(child.command)

    def stop(self) -> None:
        """Stop what was started, workers first; Redis still runs, so that they can delete their cards there."""
        self._added.leave()
        if LocalService.found(self.settings.data_dir) == self._here:
            LocalService.remove(self.settings.data_dir)
        for child in reversed(self._children):
            if child.process.poll() is None:
                child.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        for child in self._children:
            try:
                child.process.wait(timeout=max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
        self._added.stop()
        self._redis.close()

    def _look_after_added(self) -> None:
        try:
            self._added.step()
        except (OSError, RedisError) as error:
            logger.warning("added models not looked after: %s", error)

    def _launch(self, name: str, command: Sequence[str]) -> None:
        self._children.append(Child(name, command, self._popen(command)))

    def _popen(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        # A group of its own: Ctrl-C in the terminal reaches this process alone, which then stops its children. No
        # session of its own: Linux shares processors out among sessions first; edits would stand back in theirs only.
        return subprocess.Popen(  # noqa: S603 - our own interpreter and modules
            command, env=self._environment, stdout=self._output, stderr=self._output, process_group=0
        )

    def _await_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            for child in self._children:
                if child.process.poll() is not None:
                    where = f"the end of {self.settings.logs}" if self.settings.logs else "its last line above"
                    status = child.process.returncode
                    raise Unavailable(f"the {child.name} ended with {status} while starting: {where} says why")
            if self._live_models() >= len(self.settings.models):
                return
            time.sleep(0.2)
        raise Unavailable(f"not ready after {START_TIMEOUT_S:.0f} s")

    def _live_models(self) -> int:
        """How many models are served, none unless the front end answers; it tells which only to owners of keys."""
        try:
            if not httpx.get(f"{self.url}/healthz", timeout=5.0).is_success:
                return 0
            with Redis.from_url(self._redis_url) as redis:
                return len({card.model for card in Roster(redis).now()})
        except (httpx.TransportError, RedisError):
            return 0


@contextmanager
def running(settings: StackSettings) -> Iterator[Stack]:
    """The stack, started; all of it is stopped when the block ends, however it ends.

    Raises:
        Unavailable: something could not be started.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    with _redis_url(settings) as redis_url, _output(settings) as output:
        stack = Stack(settings, redis_url, output)
        try:
            stack.start()
            yield stack
        finally:
            stack.stop()


@contextmanager
def _redis_url(settings: StackSettings) -> Iterator[str]:
    if settings.redis_url is not None:
        yield settings.redis_url
    else:
        with embedded_redis(settings.data_dir / "redis") as url:
            yield url


@contextmanager
def _output(settings: StackSettings) -> Iterator[IO[bytes] | None]:
    if settings.logs is None:
        yield None
    else:
        with settings.logs.open("ab") as file:
            yield file


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True
