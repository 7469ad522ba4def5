"""What one case happens in: a copy of the prepared log, an empty database of Redis, a front end's jobs, and workers."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import cast

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from rq import Queue

from app.domain import keyspace
from app.domain.contract import Job, WorkerCard
from app.domain.log.edit_log import EditLog
from app.edit_logs import EditLogs
from app.jobs.jobs import Jobs
from app.jobs.journal import AcceptedJob, AcceptedJournal
from app.settings import Settings
from tests.support.crash.cases import HISTORY, PROPOSED, Change
from tests.support.crash.forked_worker import PATIENCE_S, ForkedWorker, Note, WorkerHome, note_of, worker_environment
from tests.support.tiny_models import save_tiny
from tests.support.turns import done
from tests.support.worker_bench import opened
from workers.exports.card import ExportCard, read_card
from workers.exports.export_job import EXPORTS

MODEL = "tiny"
START = len(HISTORY)
"""The version of the prepared log: N."""


POLL_S = 0.04
"""Seconds between two looks; more looks would take processor time from the workers."""


class TookTooLong(Exception):
    """Something did not come to pass in time; says what."""


def until(holds: Callable[[], bool], what: str, seconds: float = PATIENCE_S) -> None:
    """Return once it holds.

    Raises:
        TookTooLong: it did not.
    """
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TookTooLong(what)
        time.sleep(POLL_S)


@dataclass(frozen=True, slots=True)
class Ground:
    """Made once: the model, its statistics, and a log at version ``START`` in which proposals wait."""

    root: Path

    @classmethod
    def prepare(cls, root: Path) -> Ground:
        """Make it all in a folder."""
        ground = cls(root)
        save_tiny(ground.model)
        with opened(ground.model, root) as host:
            for number, batch in enumerate(HISTORY, 1):
                done(host, f"history-{number}", batch)
                for job, (version, proposed) in PROPOSED.items():
                    if version == number:
                        done(host, job, proposed)
        [made] = (root / "statistics").iterdir()
        made.rename(ground.statistics)
        return ground

    @property
    def model(self) -> Path:
        """The model's folder."""
        return self.root / MODEL

    @property
    def statistics(self) -> Path:
        """Second moments, given to every worker, so that none makes them anew."""
        return self.root / "statistics.safetensors"

    @contextmanager
    def scene(self, redis_url: str) -> Iterator[Scene]:
        """A scene of its own, which is torn down at the end, with all its workers."""
        folder = self.root / f"scene-{token_hex(6)}"
        shutil.copytree(self.root / "log", folder / "log")
        with Redis.from_url(redis_url, socket_timeout=5, retry=Retry(NoBackoff(), 0)) as redis:
            scene = Scene(self, folder, redis_url, redis)
            try:
                yield scene
            finally:
                scene.end_workers()
        shutil.rmtree(folder)

    def replayed(self, scene: Scene) -> Note:
        """What a fresh host has that reads the log from version 0 on, without snapshots."""
        copy = scene.folder / "replay"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(scene.folder / "log", copy / "log", ignore=shutil.ignore_patterns("snapshots"))
        with opened(self.model, copy, epoch=1, statistics=self.statistics) as host:
            return note_of(host)


@dataclass
class Scene:
    """One log, one database, one front end, and its workers."""

    ground: Ground
    folder: Path
    redis_url: str
    redis: Redis
    workers: list[ForkedWorker] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        settings = Settings(data_dir=self.folder, redis_url=self.redis_url)
        self.jobs = Jobs(self.redis, EditLogs(settings.log_dir), settings)
        self.journal = AcceptedJournal(settings.accepted_dir)

    @property
    def log(self) -> EditLog:
        """The edit log, read anew."""
        return EditLog(self.folder / "log", MODEL)

    def submit(self, *changes: Change) -> None:
        """Have changes accepted, in this order."""
        for change in changes:
            job = AcceptedJob(job=token_hex(8), model=MODEL, change=change, accepted=datetime.now(UTC))
            self.jobs.submit(job)
            self.accepted.append(job.job)

    def fork(self, name: str, trap: str = "", **environment: str) -> ForkedWorker:
        """Start a worker."""
        variables = {**worker_environment(self.ground.statistics), **environment}
        home = WorkerHome(self.ground.model, self.folder, self.redis_url, variables)
        self.workers.append(home.fork(name, trap))
        return self.workers[-1]

    def views(self) -> list[Job]:
        """What callers are told of the accepted jobs."""
        return [self.jobs.view(job) for job in self.accepted]

    def all_ended(self) -> bool:
        """Whether every accepted job has ended; False while Redis is away. First queues again what Redis has lost."""
        try:
            self.jobs.look_after()
            return all(job.status.final for job in self.views())
        except RedisError:
            return False

    def followed(self) -> bool:
        """Whether a worker says that it follows the log and is at its head."""
        return any(card.role == "replica" and card.version == self.log.head() for card in self._cards())

    def roles(self) -> set[str]:
        """The roles that live workers say they have."""
        return {card.role for card in self._cards()}

    def slices_left(self) -> list[str]:
        """Slices that can still be taken, and what of them does not expire."""
        queue = Queue(keyspace.slices(MODEL), connection=self.redis)
        kept = [key for key in self.redis.scan_iter(f"{keyspace.spread('')}*") if self.redis.ttl(key) < 0]
        return [*queue.job_ids, *map(str, kept)]

    def _cards(self) -> list[WorkerCard]:
        names = cast("set[bytes]", self.redis.smembers(keyspace.WORKERS))
        cards = (cast("bytes | None", self.redis.get(keyspace.worker(name.decode()))) for name in names)
        return [WorkerCard.model_validate_json(card) for card in cards if card]

    def hidden(self) -> list[Path]:
        """Unfinished files that lie about, in the log or among exports."""
        files = (path for name in ("log", EXPORTS) for path in (self.folder / name).rglob("*"))
        return [path for path in files if path.name.startswith(".")]

    def exported(self, job: str) -> list[ExportCard | None]:
        """What stands on the card of each export that the job left."""
        return [read_card(path) for path in (self.folder / EXPORTS).glob(f"*/{job}-*")]

    def output(self) -> str:
        """What all workers said, last lines only."""
        logs = sorted(self.folder.glob("*.log"))
        return "\n".join(f"--- {path.stem}\n" + "\n".join(_tail(path.read_text(errors="replace"))) for path in logs)

    def end_workers(self) -> None:
        """Kill whatever still runs."""
        for worker in self.workers:
            if worker.poll() is None:
                worker.end(signal.SIGKILL)


def _tail(text: str) -> Sequence[str]:
    return text.splitlines()[-25:]
