"""A follower put together from what a command was given, and run."""

from __future__ import annotations

import logging
import socket
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from prometheus_client import start_http_server

from app.domain.contract import Engine as EngineName
from app.domain.errors import Conflict, RequestError
from app.domain.log.reader import LogReader
from app.domain.settings import SharedSettings
from app.domain.storage import durable_files
from workers.editing.model.editable_model import EditableModel
from workers.engines.adapters import Adapters
from workers.engines.card import FollowerCards
from workers.engines.compacted import SnapshotChanges
from workers.engines.engine import Engine
from workers.engines.followed_server import FollowedServer, Terms
from workers.engines.follower import Follower
from workers.engines.metrics import FollowerMetrics
from workers.engines.questions import Questions
from workers.engines.vllm import Vllm
from workers.engines.worker import Worker
from workers.exports.from_log import LoggedModel
from workers.redis_clients import side_client

logger = logging.getLogger(__name__)

ENGINES: Mapping[EngineName, Callable[[str, str | None], Engine]] = MappingProxyType({"vllm": Vllm})
"""How a server of each engine is reached, by its URL and API key."""

LOCK_FILE = "follower.lock"

REDIS_URL = "redis://127.0.0.1:6379/0"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a follower shall do.

    adapters: the folder that they are written to; seen_at: as the servers see it.
    source, dtype: where the base model is, if not where the log says, and what workers load it as; it is loaded only
        for versions whose updates were compacted away.
    """

    engine: EngineName
    urls: Sequence[str]
    terms: Terms
    keep: int
    adapters: Path
    seen_at: str | None = None
    api_key: str | None = None
    metrics: tuple[str, int] | None = None
    source: str | None = None
    dtype: str = "float32"


def follow(settings: SharedSettings, wishes: Wishes, wait: Callable[[float], bool], *, once: bool) -> bool:
    """Follow until told to stop, or once; whether all servers serve the newest version then.

    Raises:
        UnknownModel: there is no log. Conflict: another follower has the folder.
        OSError: the folder or the port cannot be had.
    """
    model = wishes.terms.model
    log = LogReader(settings.log_dir, model)
    log.base()
    with ExitStack() as stack:
        redis = stack.enter_context(side_client(settings.redis_url or REDIS_URL))
        worker, cards = Worker(redis, model, settings.worker_secret), FollowerCards(redis)
        stack.callback(worker.close)
        compacted = SnapshotChanges(log, lambda: _base(settings, wishes))
        folder = wishes.adapters / model
        stack.enter_context(_alone_in(folder))
        seen_at = None if wishes.seen_at is None else f"{wishes.seen_at.rstrip('/')}/{model}"
        adapters = Adapters(log, folder, seen_at, compacted)
        questions = Questions(log, worker)
        engines = [ENGINES[wishes.engine](url, wishes.api_key) for url in dict.fromkeys(wishes.urls)]
        for engine in engines:
            stack.callback(engine.close)
        name = f"{model}.{socket.gethostname()}.{uuid.uuid4().hex[:8]}"
        follower = Follower(
            name,
            wishes.engine,
            log,
            adapters,
            [FollowedServer(engine, adapters, questions, wishes.terms) for engine in engines],
            tolerance=wishes.terms.tolerance,
            keep=wishes.keep,
            publish=cards.publish,
        )
        stack.callback(cards.remove, name)
        if wishes.metrics is not None:
            server, _ = start_http_server(wishes.metrics[1], wishes.metrics[0], FollowerMetrics(follower.card).registry)
            stack.callback(server.shutdown)
        logger.info("following with %d servers", len(engines), extra={"model": model})
        return follower.run(wait, once=once)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Hold a model's folder against other followers, which would take each other's unfinished adapters away.

    Raises:
        Conflict: another one holds it.
    """
    durable_files.make_dir(folder)
    with ExitStack() as stack:
        try:
            stack.enter_context(durable_files.exclusive(folder / LOCK_FILE, wait=False))
        except BlockingIOError:
            detail = "another follower of this model writes its adapters there; give each its own --adapters"
            raise Conflict(detail, field="adapters", value=str(folder)) from None
        yield


def _base(settings: SharedSettings, wishes: Wishes) -> EditableModel:
    """The base model, as its log was begun for it."""
    root, model, data_dir = settings.log_dir, wishes.terms.model, settings.data_dir
    return LoggedModel.open(root, model, wishes.source, data_dir, device="cpu", dtype=wishes.dtype).live


def the_only_model(settings: SharedSettings) -> str:
    """The model whose log is the only one.

    Raises:
        RequestError: there are several, or none.
    """
    models = LogReader.models(settings.log_dir)
    if len(models) != 1:
        told = ", ".join(models) or "there is no log yet"
        raise RequestError(f"say which model with --model: {told}", field="model")
    return models[0]
