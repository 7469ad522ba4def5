"""What a worker is asked to write, from what OpenAI's clients send."""

from __future__ import annotations

from typing import Any

from app.domain.contract import Continue
from app.routes.openai.requests import TextRequest

TEMPERATURE = 1.0
"""OpenAI's default."""


def wanted(asked: TextRequest, max_new_tokens: int | None, logprobs: int | None, **what: Any) -> Continue:
    """The texts of a request, all parameters that were left out at OpenAI's defaults. what: prompts or messages."""
    given = {
        "n": asked.n,
        "top_p": asked.top_p,
        "frequency_penalty": asked.frequency_penalty,
        "presence_penalty": asked.presence_penalty,
        "logit_bias": asked.logit_bias,
        "stop": asked.stop,
    }
    return Continue(
        **what,
        **{name: value for name, value in given.items() if value is not None},
        temperature=TEMPERATURE if asked.temperature is None else asked.temperature,
        seed=asked.seed,
        max_new_tokens=max_new_tokens,
        logprobs=logprobs,
        min_version=asked.min_version,
        wait_seconds=asked.wait_seconds,
    )
