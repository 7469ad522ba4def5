"""What vLLM is asked, and what the events of its answers have, as far as we read them.

Only what a worker would be asked as well: the body is made of our own request, never of what a caller sent, and every
sampling parameter stands in it, since vLLM takes those that are left out from the model's ``generation_config.json``.
"""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, ConfigDict

from app.domain.contract import Continue, Finish

CHATS, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
DONE = b"[DONE]"

LEAST_TEMPERATURE = 0.01
"""Below it, and above 0, vLLM takes another one."""
LIKE_A_SPECIAL_TOKEN = re.compile(r"<[^<>\s]{1,64}>|\[[A-Z_/]{1,32}\]")
"""In a plain prompt a worker reads the name of a special token as text, and vLLM as the token."""


def answers_alike(request: Continue) -> bool:
    """Whether vLLM answers a request as a worker does; ``docs/openai.md`` has the reasons why not."""
    sampled = request.temperature > 0
    return not (
        request.logprobs is not None
        or request.min_version
        or request.top_p == 0
        or len(request.stop) > 1
        or (sampled and request.seed is not None)
        or (sampled and request.temperature < LEAST_TEMPERATURE)
        or (not sampled and request.n > 1)
        or any(LIKE_A_SPECIAL_TOKEN.search(prompt) for prompt in request.prompts or ())
    )


def path_of(request: Continue) -> str:
    """Where it is asked."""
    return CHATS if request.messages else COMPLETIONS


def body_of(request: Continue, name: str) -> dict[str, Any]:
    """What is sent. name: what the server calls the version."""
    if request.messages:
        what: dict[str, Any] = {"messages": [message.model_dump() for message in request.messages]}
    else:
        what = {"prompt": list(request.prompts or ())}
    given = {
        "max_tokens": request.max_new_tokens,
        "stop": list(request.stop) or None,
        "logit_bias": {str(token): bias for token, bias in request.logit_bias.items()} or None,
    }
    return {
        "model": name,
        **what,
        **{parameter: value for parameter, value in given.items() if value is not None},
        "n": request.n,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "top_k": -1,  # all
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "frequency_penalty": request.frequency_penalty,
        "presence_penalty": request.presence_penalty,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


class _Told(BaseModel):
    """What we do not read may be there."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Delta(_Told):
    """More of a reply. What a server takes out of the text for itself, by its options, is no text of ours."""

    content: str | None = None
    reasoning: None = None
    reasoning_content: None = None
    tool_calls: tuple[()] | None = None


class Choice(_Told):
    """More of one text. ``stop_reason``: with ``stop``, the string that was met; anything else, an end token."""

    index: int
    text: str | None = None
    delta: Delta | None = None
    finish_reason: Finish | None = None
    stop_reason: int | str | None = None

    @property
    def more(self) -> str:
        """The text, wherever it stands."""
        return (self.text or "") + ((self.delta.content or "") if self.delta else "")

    @property
    def at_an_end_token(self) -> bool:
        """Whether it has come to its end by a token that vLLM counts and we do not."""
        return self.finish_reason == "stop" and not isinstance(self.stop_reason, str)


class Usage(_Told):
    """Tokens of the prompts, and of all texts with their end tokens."""

    prompt_tokens: int
    completion_tokens: int = 0


class Chunk(_Told):
    """One event of a stream."""

    model: str
    choices: tuple[Choice, ...]
    usage: Usage | None = None
