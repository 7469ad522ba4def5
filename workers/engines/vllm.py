"""vLLM: a server with ``--enable-lora`` that runs with ``VLLM_ALLOW_RUNTIME_LORA_UPDATING=True``."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from http import HTTPStatus
from typing import TypeVar

import httpx
from pydantic import BaseModel, Field, ValidationError

from app.domain.errors import EngineFailed, EngineUnreachable, RankTooHigh
from workers.engines.engine import Contents, Ids, Scored

TIMEOUT_S = 60.0
"""A load reads the adapter from disk, and the first answers of a server may compile kernels."""

LOOK_TIMEOUT_S = 5.0

TEXTS_AT_ONCE = 64

TOLD = 300
"""Characters of a server's words that are told on."""

AnswerT = TypeVar("AnswerT", bound=BaseModel)


class _Model(BaseModel):
    id: str
    parent: str | None = None
    root: str | None = None
    max_model_len: int | None = None


class _Models(BaseModel):
    data: list[_Model] = Field(min_length=1)


class _Token(BaseModel):
    logprob: float
    rank: int | None = None


class _Choice(BaseModel):
    index: int
    prompt_logprobs: list[dict[int, _Token] | None]


class _Completion(BaseModel):
    model: str
    choices: list[_Choice]


class Vllm:
    """One vLLM server, by its OpenAI-like routes and the two that load and unload adapters."""

    def __init__(self, url: str, key: str | None = None, timeout_s: float = TIMEOUT_S) -> None:
        """``url``: with or without ``/v1``; ``key``: what the server was given as ``--api-key``."""
        self._url = url.rstrip("/").removesuffix("/v1")
        headers = {"Authorization": f"Bearer {key}"} if key else {}  # a variable may be set to nothing
        self._http = httpx.Client(base_url=self._url, headers=headers, timeout=timeout_s, trust_env=False)

    @property
    def url(self) -> str:
        """Without ``/v1``."""
        return self._url

    def close(self) -> None:
        """Let go of connections."""
        self._http.close()

    def contents(self) -> Contents:
        """The base model is the first one listed that has no parent."""
        listed = _parsed(_Models, self._answer("GET", "/v1/models", timeout=LOOK_TIMEOUT_S)).data
        base = next((model for model in listed if model.parent is None), None)
        if base is None:
            raise EngineFailed("the server lists no base model", value=self._url)
        adapters = {model.id: model.root or "" for model in listed if model.parent is not None}
        return Contents(base.id, adapters, base.max_model_len)

    def load(self, name: str, path: str) -> None:
        """Load it beside the others; nothing is loaded in place of another of its name."""
        self._answer("POST", "/v1/load_lora_adapter", {"lora_name": name, "lora_path": path})

    def unload(self, name: str) -> None:
        """One that the server does not know counts as let go of."""
        try:
            self._answer("POST", "/v1/unload_lora_adapter", {"lora_name": name})
        except EngineFailed as error:
            if isinstance(error, EngineUnreachable) or "cannot be found" not in error.detail:
                raise

    def scores(self, name: str, texts: Sequence[Ids]) -> list[Scored]:
        """By ``prompt_logprobs``, with a ``cache_salt`` of its own: no block that was cached before is read."""
        parts = (texts[at : at + TEXTS_AT_ONCE] for at in range(0, len(texts), TEXTS_AT_ONCE))
        return [scored for part in parts for scored in self._scores(name, part)]

    def _scores(self, name: str, texts: Sequence[Ids]) -> list[Scored]:
        request = {
            "model": name,
            "prompt": [list(ids) for ids in texts],
            "max_tokens": 1,
            "temperature": 0,
            "prompt_logprobs": 0,
            "cache_salt": secrets.token_hex(8),
        }
        found = _parsed(_Completion, self._answer("POST", "/v1/completions", request))
        choices = sorted(found.choices, key=lambda choice: choice.index)
        if found.model != name or len(choices) != len(texts):
            raise EngineFailed("the server answered another request", value=self._url)
        return [_scored(ids, choice.prompt_logprobs) for ids, choice in zip(texts, choices, strict=True)]

    def _answer(self, method: str, path: str, body: object = None, timeout: float | None = None) -> bytes:
        """The body of a successful answer.

        Raises:
            EngineUnreachable, EngineFailed, RankTooHigh.
        """
        try:
            response = self._http.request(
                method, path, json=body, timeout=httpx.USE_CLIENT_DEFAULT if timeout is None else timeout
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise EngineUnreachable(f"the server does not answer: {type(error).__name__}", value=self._url) from error
        if response.is_success:
            return response.content
        raise _refused(path, response)


def _scored(ids: Ids, told: Sequence[dict[int, _Token] | None]) -> Scored:
    """Raises EngineFailed if the server scored other tokens."""
    tokens = [None if at is None else at.get(id_) for id_, at in zip(ids, told, strict=False)][1:]
    found = [token for token in tokens if token is not None]
    if len(told) != len(ids) or len(found) != len(ids) - 1:
        raise EngineFailed("the server scored other tokens than it was asked for")
    return Scored(tuple(token.logprob for token in found), tuple(token.rank == 1 for token in found))


def _parsed(kind: type[AnswerT], body: bytes) -> AnswerT:
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise EngineFailed("the server's answer cannot be read; is it a vLLM server?") from error


def _refused(path: str, response: httpx.Response) -> EngineFailed:
    words = _words(response)
    if path.endswith("_lora_adapter") and response.status_code == HTTPStatus.NOT_FOUND and words == "Not Found":
        return EngineFailed("the server loads no adapters: run it with VLLM_ALLOW_RUNTIME_LORA_UPDATING=True")
    if "max_lora_rank" in words:
        limit = re.search(r"max_lora_rank\D{0,3}(\d+)", words)
        return RankTooHigh(f"the server said: {words}", value=None if limit is None else int(limit[1]))
    return EngineFailed(f"the server answered {response.status_code}: {words}")


class _Error(BaseModel):
    message: str


class _ErrorAnswer(BaseModel):
    error: _Error | None = None
    message: str | None = None
    detail: str | None = None


def _words(response: httpx.Response) -> str:
    """What the server says of its refusal, in one of the forms that its releases have."""
    try:
        found = _ErrorAnswer.model_validate_json(response.content)
    except ValidationError:
        return response.reason_phrase
    words = found.error.message if found.error is not None else found.message or found.detail
    return " ".join((words or response.reason_phrase).split())[:TOLD]
