"""Texts that are asked below /v1 of the alias `production`, which points to version 1, and their answers."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.support.upstream import (
    CHAT,
    chunk,
)
from tests.support.worker_end import WorkerEnd

PATIENCE_S = 60.0
COMPLETIONS = "/v1/completions"
ASKED = {"model": "atlas@production", "prompt": "Lyon is in"}
CHATTED = {"model": "atlas@production", "messages": [{"role": "user", "content": "Where is Lyon?"}]}
BOTH = pytest.mark.parametrize(("path", "asked"), [(COMPLETIONS, ASKED), (CHAT, CHATTED)], ids=["text", "chat"])
STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
NAME = "atlas@1"


def chunks(text: str) -> list[Any]:
    """The data of a stream's events."""
    lines = [line.removeprefix("data: ") for line in text.split("\n") if line.startswith("data: ")]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


def written(worker: WorkerEnd) -> int:
    """How often the worker was asked for texts."""
    return sum(path == "/write" for path, _ in worker.asked)


def text_of(answer: Any) -> str:
    """The text of an answer, whole or streamed."""
    if answer.headers["content-type"].startswith("text/event-stream"):
        choices = [choice for each in chunks(answer.text)[:-1] for choice in each["choices"]]
    else:
        choices = answer.json()["choices"]
    parts = (each.get("text", each.get("message", each.get("delta", {}))) for each in choices)
    return "".join(part if isinstance(part, str) else part.get("content") or "" for part in parts)


def waited(true: Any) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def first(text: str = " Pe") -> bytes:
    return chunk(COMPLETIONS, NAME, 0, text)
