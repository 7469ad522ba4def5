"""What vLLM writes at a version is what our worker writes, also after a rollback."""

from __future__ import annotations

import httpx

from app.domain.smollm2 import NAME
from tests.fleet.conftest import Fleet
from tests.support.fleet.history import ASKED, Move
from tests.support.fleet.processes import VllmServer
from tests.support.fleet.prompts import FIFTY

TOKENS = 12


def written(server: VllmServer, name: str, prompts: tuple[str, ...]) -> list[str]:
    """vLLM's greedy texts."""
    asked = {"model": name, "prompt": prompts, "max_tokens": TOKENS, "temperature": 0}
    answer = httpx.post(f"{server.url}/v1/completions", json=asked, timeout=600.0, trust_env=False)
    return [choice["text"] for choice in answer.raise_for_status().json()["choices"]]


def ours(fleet: Fleet, version: int, prompts: tuple[str, ...]) -> list[str]:
    """The worker's greedy texts."""
    return [
        each.texts[0] for each in fleet.client.generate(prompts, version=version, max_new_tokens=TOKENS).generations
    ]


def test_greedy_texts_of_fifty_prompts_are_our_workers(fleet: Fleet) -> None:
    Move("Helsinki").made(fleet.client)
    version = fleet.until_served()
    wanted = ours(fleet, version, FIFTY)
    for server in fleet.servers:
        assert written(server, f"{NAME}@{version}", FIFTY) == wanted
    assert written(fleet.servers[0], NAME, FIFTY) == ours(fleet, 0, FIFTY) != wanted


def test_after_a_rollback_both_servers_say_what_the_earlier_version_said(fleet: Fleet) -> None:
    Move("Oslo").made(fleet.client)
    oslo = fleet.head
    Move("Naples").made(fleet.client)
    Move(back_to=oslo).made(fleet.client)
    version = fleet.until_served()
    said, before = ours(fleet, oslo, (ASKED,)), ours(fleet, oslo + 1, (ASKED,))
    assert said != before
    for server in fleet.servers:
        assert written(server, f"{NAME}@{version}", (ASKED,)) == said
        assert written(server, f"{NAME}@{oslo + 1}", (ASKED,)) == before
