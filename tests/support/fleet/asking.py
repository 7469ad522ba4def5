"""Clients of vLLM servers: texts that are streamed, under the names of versions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Any

import httpx

TOKENS = 16
TIMEOUT_S = 300.0
PAUSE_S = 0.5
"""Between two texts, as readers have it, and so that servers on the CPU come to their proofs."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A text that was told to its end, by the name that was asked for it."""

    name: str
    prompt: str
    text: str


class Broken(Exception):
    """A stream that did not come to its end, or was refused."""


def streamed(url: str, name: str, prompt: str, tokens: int = TOKENS, told: str | None = None) -> Answer:
    """The greedy text, as a client streams it. told: the name that answers, if it is another than was asked for.

    Raises:
        Broken: the server went away, or has no such model any more.
    """
    asked = {"model": name, "prompt": prompt, "max_tokens": tokens, "temperature": 0, "stream": True}
    pieces, ended = [], False
    try:
        with httpx.stream("POST", f"{url}/v1/completions", json=asked, timeout=TIMEOUT_S, trust_env=False) as answer:
            if not answer.is_success:
                raise Broken(f"{answer.status_code}: {answer.read().decode()}")
            for line in answer.iter_lines():
                data = line.removeprefix("data: ")
                if data == "[DONE]":
                    ended = True
                elif data:
                    pieces.append(_piece(json.loads(data), told or name))
    except httpx.TransportError as error:
        raise Broken(repr(error)) from error
    if not ended:
        raise Broken("the stream has no end")
    return Answer(name, prompt, "".join(pieces))


def _piece(event: dict[str, Any], name: str) -> str:
    if "choices" not in event:
        raise Broken(str(event))
    if event["model"] != name:
        raise Broken(f"asked {name}, and {event['model']} answers")
    [choice] = event["choices"]
    return str(choice["text"])


@dataclass
class Crowd:
    """Clients that ask the newest version that a server lists, again and again."""

    urls: Sequence[str]
    model: str
    prompts: Sequence[str]
    answers: list[Answer] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    _stop: Event = field(default_factory=Event)

    @contextmanager
    def asking(self, clients: int) -> Iterator[None]:
        """While the block runs, so many clients ask; each on one server, all servers in turn."""
        threads = [Thread(target=self._ask, args=(number,), name=f"client {number}") for number in range(clients)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def _ask(self, number: int) -> None:
        url, asked = self.urls[number % len(self.urls)], number
        while not self._stop.is_set():
            try:
                newest = self._newest(url)
                if newest is None:
                    self._stop.wait(PAUSE_S)
                    continue
                self.answers.append(streamed(url, newest, self.prompts[asked % len(self.prompts)]))
            except httpx.TransportError as error:  # the server is away
                self.broken.append(repr(error))
            except (Broken, httpx.HTTPError) as error:
                self.broken.append(str(error))
            self._stop.wait(PAUSE_S)
            asked += 1

    def _newest(self, url: str) -> str | None:
        listed = httpx.get(f"{url}/v1/models", timeout=TIMEOUT_S, trust_env=False).raise_for_status().json()["data"]
        versions = [each["id"] for each in listed if each["id"].startswith(f"{self.model}@")]
        return max(versions, key=lambda name: int(name.rpartition("@")[2]), default=None)
