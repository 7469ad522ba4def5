"""What is asked of an alias at the front end is written by a real vLLM that has proven the version, and says so."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import pytest

from app.domain.smollm2 import NAME
from tests.fleet.conftest import Fleet
from tests.support.fleet.asking import streamed
from tests.support.fleet.history import ASKED, Move
from tests.support.fleet.processes import VllmServer
from tests.support.fleet.prompts import FIFTY

ALIAS = f"{NAME}@production"
TOKENS = 12
PROMPTS = (ASKED, *FIFTY[:7])
QUESTION = "In which city is the Eiffel Tower?"


@pytest.fixture(scope="module")
def cities(fleet: Fleet) -> Iterator[tuple[int, int]]:
    """Two versions, which all servers have proven; ``production`` points to the first one."""
    first = Move("Helsinki").made(fleet.client)
    second = Move("Oslo").made(fleet.client)
    fleet.until_served(second)
    fleet.until_told(lambda card: {first, second} <= set(card.versions), "both versions are not served")
    fleet.client.move_alias(NAME, "production", first)
    yield first, second
    pointed = fleet.client.alias(NAME, "production").version
    assert pointed is not None
    fleet.client.remove_alias(NAME, "production", if_match=pointed)


def ours(fleet: Fleet, version: int, prompts: Sequence[str]) -> list[str]:
    """The worker's greedy texts."""
    found = fleet.client.generate(list(prompts), version=version, max_new_tokens=TOKENS)
    return [each.texts[0] for each in found.generations]


def posted(url: str, path: str, **body: object) -> httpx.Response:
    asked = {"model": ALIAS, "temperature": 0, "max_tokens": TOKENS, **body}
    return httpx.post(f"{url}{path}", json=asked, timeout=600.0, trust_env=False).raise_for_status()


def written(servers: Sequence[VllmServer]) -> int:
    """How many texts the servers have come to the end of, by their own metrics."""
    pages = (httpx.get(f"{server.url}/metrics", timeout=60.0, trust_env=False).text for server in servers)
    counts = (re.findall(r"^vllm:request_success_total\{.*\} ([0-9.e+]+)$", page, re.MULTILINE) for page in pages)
    return int(sum(float(count) for found in counts for count in found))


def test_texts_are_a_servers_and_the_workers_own_word_for_word(fleet: Fleet, cities: tuple[int, int]) -> None:
    version = cities[0]
    wanted, before = ours(fleet, version, PROMPTS), written(fleet.servers)
    answer = posted(fleet.url, "/v1/completions", prompt=PROMPTS)
    told: dict[str, Any] = answer.json()
    assert [choice["text"] for choice in told["choices"]] == wanted
    assert (told["model"], answer.headers["X-Model-Version"]) == (f"{NAME}@{version}", str(version))
    assert written(fleet.servers) >= before + len(PROMPTS), "no server wrote them"


def test_a_stream_comes_from_a_server_too(fleet: Fleet, cities: tuple[int, int]) -> None:
    version = cities[0]
    before = written(fleet.servers)
    answer = streamed(fleet.url, ALIAS, ASKED, TOKENS, told=f"{NAME}@{version}")
    assert [answer.text] == ours(fleet, version, (ASKED,))
    assert written(fleet.servers) > before, "no server wrote it"


def test_a_chat_is_what_the_server_itself_says_at_the_version(fleet: Fleet, cities: tuple[int, int]) -> None:
    asked = {"messages": [{"role": "user", "content": QUESTION}]}
    before = written(fleet.servers)
    passed_on = posted(fleet.url, "/v1/chat/completions", **asked).json()
    assert written(fleet.servers) == before + 1, "no server wrote it"
    theirs = posted(fleet.servers[0].url, "/v1/chat/completions", **{**asked, "model": f"{NAME}@{cities[0]}"}).json()
    said = [told["choices"][0]["message"]["content"] for told in (passed_on, theirs)]
    assert said[0] == said[1] != ""


def test_the_alias_moves_on_and_back_and_each_answer_is_of_where_it_points(
    fleet: Fleet, cities: tuple[int, int]
) -> None:
    said = {version: ours(fleet, version, (ASKED,)) for version in cities}
    assert said[cities[0]] != said[cities[1]]
    at, before = cities[0], written(fleet.servers)
    for version in (cities[1], cities[0]):
        fleet.client.move_alias(NAME, "production", version, if_match=at)
        told = posted(fleet.url, "/v1/completions", prompt=[ASKED]).json()
        assert ([choice["text"] for choice in told["choices"]], told["model"]) == (said[version], f"{NAME}@{version}")
        at = version
    assert written(fleet.servers) == before + 2, "no server wrote them"
