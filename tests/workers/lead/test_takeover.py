"""Several workers of one model, as processes: the leader dies or stands still, and another goes on with the queue."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import fsspec
import httpx
import pytest
from rq.utils import as_text

from app.domain import keyspace
from app.domain.contract import JobStatus, QueryReply, WorkerCard
from app.domain.log.edit_log import EditLog
from app.domain.log.root import LogRoot
from app.local.stack import free_port
from tests.support.tiny_models import PLACES, save_tiny
from tests.support.worker_process import Edits, RedisServer, WorkerProcess, until, worker_process

STEPS = 20
"""Gradient steps of a job, so that it takes a while."""
TAKEOVER_S = 30.0
LEASE_S = 2.0


@dataclass
class Cluster:
    """One model's workers by their URLs, its Redis, and its log."""

    redis: RedisServer
    root: LogRoot
    workers: Mapping[str, WorkerProcess]

    @property
    def edits(self) -> Edits:
        return Edits(self.redis, "tiny")

    @property
    def log(self) -> EditLog:
        return EditLog(self.root, "tiny")

    def submit(self, jobs: Sequence[str]) -> None:
        for number, job in enumerate(jobs):
            self.edits.submit(job, steps=STEPS, subject=PLACES[number % len(PLACES)])

    def jobs_of_versions(self) -> list[str | None]:
        return [manifest.job for manifest in self.log.manifests()]

    def cards(self) -> list[WorkerCard]:
        """What the workers that are registered say over HTTP, if they answer."""
        found = []
        for worker in map(as_text, self.redis.client.smembers(keyspace.WORKERS)):
            registered = self.redis.client.get(keyspace.worker(worker))
            if isinstance(registered, bytes):
                url = WorkerCard.model_validate_json(registered).url
                try:
                    reply = httpx.get(f"{url}/state", timeout=1.0)
                except httpx.TransportError:  # dead, or stopped
                    continue
                found.append(WorkerCard.model_validate_json(reply.content))
        return found

    def until_all_are_at(self, version: int, workers: int) -> list[WorkerCard]:
        """The cards, once so many workers have the version, one of them as the leader."""

        def ready() -> bool:
            assert sum(worker.process.poll() is None for worker in self.workers.values()) >= workers, "one has ended"
            cards = [card for card in self.cards() if (card.version, card.behind) == (version, 0)]
            return (len(cards), sum(card.role == "leader" for card in cards)) == (workers, 1)

        until(ready, f"not all are at version {version}")
        return self.cards()

    def leader(self) -> WorkerProcess:
        """The process that says that it leads; there is one that does, and answers."""

        def leading() -> list[WorkerProcess]:
            return [self.workers[card.url] for card in self.cards() if card.role == "leader"]

        until(lambda: len(leading()) == 1, "nobody leads")
        return leading()[0]

    def until_head(self, version: int) -> None:
        until(lambda: self.log.head() >= version, f"version {version} is not committed")

    def taken_over(self, since: float, old: WorkerProcess) -> WorkerProcess:
        """The next leader, which is there in time."""

        def another() -> bool:
            holder = self.redis.client.get(keyspace.lease("tiny"))
            return any(card.role == "leader" and card.worker.encode() == holder for card in self.cards())

        until(another, "nobody takes over", seconds=TAKEOVER_S)
        assert time.monotonic() - since < TAKEOVER_S
        found = self.leader()
        assert found is not old
        return found


def answered(card: WorkerCard) -> QueryReply:
    prompts = [{"prompt": f"{place} is a city in", "expected": "Japan"} for place in PLACES]
    return QueryReply.model_validate_json(httpx.post(f"{card.url}/probe", json={"prompts": prompts}).content)


@contextmanager
def cluster_of(workers: int, folder: Path, root: LogRoot, **variables: str) -> Iterator[Cluster]:
    """So many workers of one model, each of which may lead."""
    redis = RedisServer(folder)
    redis.start()
    model = save_tiny(folder / "tiny")
    settings = {
        "PALIMPSEST_WORKER_ROLE": "auto",
        "PALIMPSEST_WORKER_LEASE_S": str(LEASE_S),
        "PALIMPSEST_WORKER_FOLLOW_S": "0.2",
        "PALIMPSEST_LOG_DIR": str(root),
        **variables,
    }
    with ExitStack() as stack:
        stack.callback(redis.stop)
        stack.callback(redis.client.close)
        started = {}
        for _ in range(workers):
            port = free_port()
            of_its_own = {**settings, "PALIMPSEST_WORKER_PORT": str(port)}
            started[f"http://127.0.0.1:{port}"] = stack.enter_context(
                worker_process(redis, model, folder, **of_its_own)
            )
        cluster = Cluster(redis, root, started)
        cluster.until_all_are_at(0, workers)
        yield cluster


def test_leaders_die_and_stand_still_and_every_batch_is_applied_once_in_order(tmp_path: Path) -> None:
    jobs = [f"job-{number}" for number in range(20)]
    with cluster_of(3, tmp_path, tmp_path / "log") as cluster:
        cluster.submit(jobs)
        cluster.until_head(5)
        first = cluster.leader()
        killed = time.monotonic()
        first.end(signal.SIGKILL)
        second = cluster.taken_over(killed, first)

        cluster.until_head(12)
        second.process.send_signal(signal.SIGSTOP)
        third = cluster.taken_over(time.monotonic(), second)
        outcomes = [cluster.edits.outcome(job) for job in jobs]
        assert [outcome.status for outcome in outcomes] == [JobStatus.SUCCEEDED] * 20
        assert [outcome.version for outcome in outcomes] == list(range(1, 21))
        second.process.send_signal(signal.SIGCONT)

        cards = cluster.until_all_are_at(20, workers=2)
        assert cluster.leader() is third
        assert cluster.jobs_of_versions() == jobs
        one, other = map(answered, cards)
        assert (one, one.version) == (other, 20)

        third.end(signal.SIGTERM)  # and gives the lead back
        cluster.submit(["last"])
        assert cluster.edits.outcome("last").version == 21
        assert second.end(signal.SIGTERM) == 0
        assert cluster.redis.client.get(keyspace.lease("tiny")) is None


def test_in_an_object_store_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """fsspec's local file system, by put-if-absent alone: there is no lock to be freed."""
    monkeypatch.setitem(fsspec.config.conf, "file", {"auto_mkdir": True})
    jobs = [f"job-{number}" for number in range(6)]
    with cluster_of(2, tmp_path, f"local://{tmp_path}/objects", FSSPEC_FILE_AUTO_MKDIR="true") as cluster:
        cluster.submit(jobs)
        cluster.until_head(2)
        first = cluster.leader()
        first.process.send_signal(signal.SIGSTOP)
        second = cluster.taken_over(time.monotonic(), first)
        assert [cluster.edits.outcome(job).version for job in jobs] == list(range(1, 7))
        first.process.send_signal(signal.SIGCONT)
        cluster.until_all_are_at(6, workers=2)
        assert cluster.leader() is second

        second.process.send_signal(signal.SIGSTOP)  # while it waits for a job
        cluster.submit(["late", "later"])
        assert [cluster.edits.outcome(job).version for job in ("late", "later")] == [7, 8]
        second.process.send_signal(signal.SIGCONT)
        cluster.until_all_are_at(8, workers=2)
        assert cluster.leader() is first
        assert cluster.jobs_of_versions() == [*jobs, "late", "later"]
