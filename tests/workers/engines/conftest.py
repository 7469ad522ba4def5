"""A tiny model that a worker serves and edits, with servers beside it that follow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from redis import Redis

from app.domain.contract import EditBatch, Fact, Hyperparameters
from app.domain.log.reader import LogReader
from tests.support.fake_vllm import FakeVllm, fake_vllm
from tests.support.tiny_models import save_tiny
from tests.support.turns import done
from tests.support.worker_bench import opened
from workers.engines.adapters import Adapters
from workers.engines.followed_server import FollowedServer, Terms
from workers.engines.questions import Questions
from workers.engines.target import Target
from workers.engines.vllm import Vllm
from workers.engines.worker import Worker
from workers.host.model_host import ModelHost
from workers.questions.batches import QuestionBatches
from workers.serving.card import CardOf
from workers.serving.metrics import Metrics
from workers.serving.registration import Registration
from workers.serving.server import create_server
from workers.serving.server_thread import ServerThread

STRONG = Hyperparameters(v_num_grad_steps=8, v_lr=1.0, clamp_norm_factor=8.0, mom2_update_weight=0.01)
PLACES = ("Lyon", "Oslo", "Quito", "Perth", "Accra", "Kyoto")
TOLERANCE = 0.05


def edit(host: ModelHost, *subjects: str, land: str = "Japan") -> None:
    facts = tuple(
        Fact(subject=subject, prompt="{} is a city in", object=land, neighbours=({"prompt": "The river runs through"},))
        for subject in subjects
    )
    batch = EditBatch(facts=facts, unheld="keep", hyperparameters=STRONG)
    outcome = done(host, f"edit-{host.version + 1}", batch)
    assert outcome.version == host.version


@dataclass
class Scene:
    """A worker's host, its log, and what followers are made of."""

    host: ModelHost
    base: Path
    data: Path
    redis: Redis
    stack: ExitStack
    made: Adapters | None = None

    @property
    def log(self) -> LogReader:
        return LogReader(self.data / "log", "tiny")

    def server(self, dtype: str = "float32", base: Path | None = None) -> FakeVllm:
        return self.stack.enter_context(fake_vllm(base or self.base, dtype))

    def followed(self, fake: FakeVllm, **terms: object) -> FollowedServer:
        """A follower that knows nothing of any before it, with one server."""
        engine = Vllm(fake.url)
        self.stack.callback(engine.close)
        worker = Worker(self.redis, "tiny", None)
        self.stack.callback(worker.close)
        wishes = Terms(**{"model": "tiny", "tolerance": TOLERANCE, **terms})  # type: ignore[arg-type]
        return FollowedServer(engine, self.adapters(), Questions(self.log, worker), wishes)

    def adapters(self) -> Adapters:
        """One for all, as one process has it."""
        if self.made is None:
            self.made = Adapters(self.log, self.data / "adapters")
        return self.made

    def questions(self) -> Questions:
        worker = Worker(self.redis, "tiny", None)
        self.stack.callback(worker.close)
        return Questions(self.log, worker)

    @staticmethod
    def worker_of(followed: FollowedServer) -> Worker:
        return followed._questions._worker

    def settle(self, followed: FollowedServer, keep: int = 5) -> None:
        target = Target.of(self.log, keep)
        for _ in range(50):
            if not followed.step(target):
                return
        raise AssertionError("never settled")


@pytest.fixture(scope="module", params=["llama"])
def family(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def scene(redis: Redis, tmp_path: Path, family: str) -> Iterator[Scene]:
    base = save_tiny(tmp_path / "model", family)
    with ExitStack() as stack:
        host = stack.enter_context(opened(base, tmp_path / "data"))
        batches = QuestionBatches(host, max_batch_tokens=4096, threads=1, max_waiting=64)
        stack.callback(batches.close)
        http = ServerThread("127.0.0.1", 0)
        stack.callback(http.close)
        metrics = Metrics(lambda: host.version)
        card = CardOf("tiny.worker", host, f"http://127.0.0.1:{http.port}", datetime.now(UTC))
        http.serve(create_server(host, card, metrics, batches))
        stack.enter_context(Registration(redis, card))
        yield Scene(host, base, tmp_path / "data", redis, stack)
