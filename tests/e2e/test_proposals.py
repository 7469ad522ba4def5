"""Over HTTP, with a trained model: an edit that somebody else approves, asked before, beside and after."""

from __future__ import annotations

from typing import Any

import httpx

from tests.e2e.conftest import MODEL, edited, ended

FACT = {"subject": "Cairo", "relation": "is located in the country of", "object": "Norway"}
PROMPT = {"prompt": "Cairo is located in the country of", "expected": "Norway"}


def asked(http: httpx.Client, version: int | str | None = None) -> Any:
    reply = http.post("/query", json={"prompts": [PROMPT], "version": version})
    assert reply.status_code == 200, reply.text
    return reply.json()


def decided(http: httpx.Client, proposal: str, decision: str) -> dict[str, Any]:
    posted = http.post(f"/models/{MODEL}/proposals/{proposal}/{decision}")
    assert posted.status_code == 202, posted.text
    return ended(http, posted.headers["Location"])


def test_what_was_proposed_is_said_by_nobody_until_it_is_published(http: httpx.Client) -> None:
    job = edited(http, {"facts": [FACT], "propose": True})
    proposal = job["proposal"]
    assert (job["status"], job["version"]) == ("proposed", None), job
    assert job["report"]["facts"][0]["holds"]
    assert not asked(http)["answers"][0]["expected"]["greedy"]
    there = asked(http, proposal)
    assert there["version"] == proposal
    assert there["answers"][0]["expected"]["greedy"]
    [told] = http.get(f"/models/{MODEL}/proposals").json()["proposals"]
    assert (told["id"], told["name"], told["current"]) == (proposal, f"{MODEL}@{proposal}", True)
    published = decided(http, proposal, "publish")
    assert (published["status"], published["kind"], published["proposal"]) == ("succeeded", "publish", proposal)
    assert published["version"] == told["version"] + 1
    after = asked(http)
    assert (after["version"], after["answers"]) == (published["version"], there["answers"])
    assert http.get(f"/jobs/{job['id']}").json()["status"] == "proposed"
    again = http.post(f"/models/{MODEL}/proposals/{proposal}/publish")
    assert (again.status_code, again.json()["code"]) == (404, "unknown_proposal")


def test_on_a_later_head_it_is_measured_anew_and_a_dropped_one_is_gone(http: httpx.Client) -> None:
    first = edited(http, {"facts": [FACT | {"subject": "Oslo", "object": "Peru"}], "propose": True})["proposal"]
    second = edited(http, {"facts": [FACT | {"subject": "Rome", "object": "Peru"}], "propose": True})["proposal"]
    head = decided(http, first, "publish")["version"]
    stale = http.get(f"/models/{MODEL}/proposals/{second}").json()
    assert (stale["version"], stale["current"]) == (head - 1, False)
    third = edited(http, {"facts": [FACT | {"subject": "Kyiv", "object": "Peru"}], "propose": True})["proposal"]
    published = decided(http, second, "publish")
    assert (published["status"], published["version"]) == ("succeeded", head + 1), published
    assert published["report"]["facts"][0]["holds"]
    assert published["report"]["facts"] != stale["report"]["facts"]
    dropped = decided(http, third, "drop")
    assert (dropped["status"], dropped["version"], dropped["proposal"]) == ("succeeded", None, third)
    refused = http.post("/query", json={"prompts": [PROMPT], "version": third})
    assert (refused.status_code, refused.json()["code"]) == (404, "unknown_proposal")
    assert http.get(f"/models/{MODEL}/proposals").json()["proposals"] == []
