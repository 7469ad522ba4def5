"""Who writes a fact can ask for an answer that knows of it, and is told when there is none yet."""

from __future__ import annotations

import httpx

from tests.e2e.conftest import MODEL, ended

FACT = {"subject": "Oslo", "relation": "is located in the country of", "object": "Peru"}
QUESTION = {"prompts": [{"prompt": "Oslo is located in the country of", "expected": "Peru"}]}


def head(http: httpx.Client) -> int:
    models = http.get("/models").raise_for_status().json()["models"]
    return int(next(model["version"] for model in models if model["id"] == MODEL))


def test_an_answer_waits_for_the_version_that_is_asked_for(http: httpx.Client) -> None:
    wanted = head(http) + 1
    posted = http.post("/edits", json={"facts": [FACT]})
    assert posted.status_code == 202
    reply = http.post("/query", json={**QUESTION, "min_version": wanted, "wait_seconds": 60}).raise_for_status()
    assert reply.json()["version"] == wanted == int(reply.headers["X-Model-Version"])
    assert reply.json()["answers"][0]["expected"]["greedy"]
    assert ended(http, posted.headers["Location"])["version"] == wanted


def test_a_version_that_does_not_come_is_unavailable_for_a_while(http: httpx.Client) -> None:
    wanted = head(http) + 1
    for path, question in (("/query", QUESTION), ("/generate", {"prompts": ["Oslo"]})):
        reply = http.post(path, json={**question, "min_version": wanted, "wait_seconds": 0.1})
        assert (reply.status_code, reply.json()["code"]) == (503, "version_not_reached")
        assert int(reply.headers["Retry-After"]) > 0
