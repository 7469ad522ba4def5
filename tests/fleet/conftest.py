"""A service with SmolLM2, two vLLM servers with the same weights, and a follower: one fleet for this folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis import Redis

from app.client import Client
from app.domain import keyspace
from app.domain.contract import EngineServer, FollowerCard
from app.domain.local_service import LocalService
from app.domain.smollm2 import NAME, wheel_file
from app.local.stack import StackSettings, free_port, running
from tests.support.fleet.processes import PATIENCE_S, FollowerProcess, VllmServer, ended_after, serves
from tests.support.worker_process import until
from workers.sources.gguf_model import converted

ROOT = Path(__file__).parents[2]
SERVERS = 2
MODELS = ROOT / "build" / "fleet"
"""Where the model is converted to, once for all runs."""


@dataclass
class Fleet:
    """All that runs. url, data_dir: the service's; the adapters lie in its folder."""

    url: str
    data_dir: Path
    client: Client
    servers: list[VllmServer]
    follower: FollowerProcess
    redis: Redis

    @property
    def head(self) -> int:
        return self.client.versions(NAME).head

    def cards(self) -> dict[str, EngineServer]:
        """What the follower says of each server, by its URL; nothing while there is no follower."""
        names = [name if isinstance(name, str) else name.decode() for name in self.redis.smembers(keyspace.FOLLOWERS)]
        texts = [text for name in names if isinstance(text := self.redis.get(keyspace.follower(name)), bytes)]
        found = [FollowerCard.model_validate_json(text) for text in texts]
        return {server.url: server for card in found for server in card.servers}

    def until_told(self, holds: Callable[[EngineServer], bool], what: str, *servers: VllmServer) -> None:
        """Return once the follower says so of these servers, or of all."""
        wanted = {server.url for server in servers or self.servers}

        def told() -> bool:
            assert self.follower.alive, self.follower.log.read_text()[-5000:]
            cards = self.cards()
            return wanted <= cards.keys() and all(holds(cards[url]) for url in wanted)

        try:
            until(told, what, PATIENCE_S)
        except TimeoutError:
            raise AssertionError(f"{what}: {self.cards()}\n{self.follower.log.read_text()[-5000:]}") from None

    def until_served(self, version: int | None = None) -> int:
        """Return once all servers have proven the version, or the newest; that version."""
        wanted = self.head if version is None else version
        self.until_told(lambda card: serves(card, wanted), f"version {wanted} is not served")
        return wanted


@pytest.fixture(scope="session")
def vllm_program() -> Path:
    program = Path(os.environ.get("VLLM", ROOT / ".venv-vllm" / "bin" / "vllm")).absolute()
    assert program.is_file(), f"there is no {program}: make fleettest installs it"
    return program


@pytest.fixture(scope="session")
def fleet(vllm_program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PALIMPSEST_WORKER_EDIT_NICE", "0")  # else its edits stand back behind the servers, not questions
        yield from _started(vllm_program, tmp_path_factory)


def _started(vllm_program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    file = wheel_file()
    assert file is not None, "there is no SmolLM2: make install brings it"
    model = converted(file, MODELS)
    data_dir = tmp_path_factory.mktemp("fleet")
    (data_dir / "converted").symlink_to(MODELS / "converted")
    logs = ROOT / "build" / "fleet" / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    for old in logs.iterdir():
        old.unlink()
    cores = sorted(os.sched_getaffinity(0))
    with ExitStack() as stack:
        servers = [
            VllmServer(vllm_program, model, NAME, cores[number % len(cores)], logs / f"vllm-{number}.log")
            for number in range(SERVERS)
        ]
        for server in servers:
            stack.enter_context(ended_after(server))
            server.start()
        settings = StackSettings((NAME,), data_dir, port=free_port(), logs=logs / "service.log")
        url = stack.enter_context(running(settings)).url
        here = LocalService.found(data_dir)
        assert here is not None
        follower = FollowerProcess(data_dir, servers, logs / "follower.log", "--keep", "5")
        stack.enter_context(ended_after(follower))
        for server in servers:
            server.await_ready()
        follower.start()
        client = stack.enter_context(Client(url))
        yield Fleet(url, data_dir, client, servers, follower, stack.enter_context(Redis.from_url(here.redis_url)))
