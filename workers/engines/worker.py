"""A live worker of the model, whose answers servers are compared with. While Redis is away, the one last known."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

import httpx
from pydantic import SecretStr, ValidationError
from redis import Redis
from redis.exceptions import RedisError

from app.domain import keyspace, worker_http
from app.domain.contract import Problem, Score, Scores, WorkerCard
from app.domain.errors import ModelUnavailable
from app.domain.problems import error_of

logger = logging.getLogger(__name__)

TIMEOUT_S = 120.0
"""A worker may first have to put an earlier version together."""


class Worker:
    """Whichever worker of the model answers. Any thread may ask."""

    def __init__(self, redis: Redis, model: str, secret: SecretStr | None) -> None:
        self._redis, self._model = redis, model
        self._http = httpx.Client(headers=worker_http.credentials(secret), timeout=TIMEOUT_S, trust_env=False)
        self._known: list[WorkerCard] = []
        self._lock = threading.Lock()

    def close(self) -> None:
        """Let go of connections."""
        self._http.close()

    def scores(self, request: Score) -> Scores:
        """Have a worker score texts.

        Raises:
            ModelUnavailable: no worker answers. Whatever the worker raised.
        """
        for card in self._cards():
            try:
                response = self._http.post(
                    f"{card.url}{worker_http.SCORES}",
                    content=request.model_dump_json(),
                    headers={"Content-Type": "application/json"},
                )
            except httpx.HTTPError as error:
                logger.warning("worker %s cannot be reached: %r", card.worker, error, extra={"model": self._model})
                continue
            return self._read(response, request)
        raise ModelUnavailable(f"no live worker serves {self._model}", field="model", value=self._model)

    def _read(self, response: httpx.Response, request: Score) -> Scores:
        try:
            if not response.is_success:
                raise error_of(Problem.model_validate_json(response.content))
            found = Scores.model_validate_json(response.content)
        except ValidationError as error:
            detail = f"the worker's answer ({response.status_code}) cannot be read; is it of this release?"
            raise ModelUnavailable(detail, field="model", value=self._model) from error
        if found.version != request.version or len(found.texts) != len(request.texts):
            raise ModelUnavailable("the worker answered another request", field="model", value=self._model)
        return found

    def _cards(self) -> Sequence[WorkerCard]:
        """The leader first: it has every version at once."""
        with self._lock:
            try:
                names = sorted(_text(name) for name in self._redis.smembers(keyspace.WORKERS))
                texts = self._redis.mget([keyspace.worker(name) for name in names]) if names else []
            except RedisError as error:
                logger.warning("workers not looked up: %s", error)
                return self._known
            found = [card for text in texts if text is not None and (card := _card(text)) is not None]
            mine = [card for card in found if card.model == self._model]
            self._known = sorted(mine, key=lambda card: (card.role != "leader", card.worker)) or self._known
            return self._known


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode()


def _card(text: bytes | str) -> WorkerCard | None:
    try:
        return WorkerCard.model_validate_json(text)
    except ValidationError:
        return None
