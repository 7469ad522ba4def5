"""Over HTTP, with a trained model: back to a version, a fact out while others stay, an answer from earlier."""

from __future__ import annotations

import httpx

from tests.e2e.conftest import MODEL, edited, ended

COUNTRY = "is located in the country of"
CAIRO, NAIROBI = ({"subject": name, "relation": COUNTRY, "object": "Norway"} for name in ("Cairo", "Nairobi"))


def says(http: httpx.Client, subject: str, version: int | None = None) -> bool:
    """Whether the model gives the fact's object."""
    prompt = {"prompt": f"{subject} {COUNTRY}", "expected": "Norway"}
    reply = http.post("/query", json={"prompts": [prompt], "version": version}).raise_for_status()
    assert version in (None, reply.json()["version"])
    assert reply.headers["X-Model-Version"] == str(reply.json()["version"])
    return bool(reply.json()["answers"][0]["expected"]["greedy"])


def test_a_fact_is_taken_out_and_all_is_put_back_as_it_was(http: httpx.Client) -> None:
    first, second = (edited(http, {"facts": [fact]}) for fact in (CAIRO, NAIROBI))
    both = second["version"]
    assert (says(http, "Cairo"), says(http, "Nairobi")) == (True, True)

    deleted = http.delete(f"/edits/{first['id']}", headers={"If-Match": f'"{both}"'})
    assert deleted.status_code == 202, deleted.text
    job = ended(http, deleted.headers["Location"])
    assert (job["status"], job["version"], job["facts"]) == ("succeeded", both + 1, 1)
    assert job["in_force"]["facts_hold"] >= job["in_force"]["held_before"] - 0.2
    assert (says(http, "Cairo"), says(http, "Nairobi")) == (False, True)
    assert (says(http, "Cairo", both), says(http, "Nairobi", first["version"])) == (True, False)

    posted = http.post(f"/models/{MODEL}/rollback", json={"to": both})
    job = ended(http, posted.headers["Location"])
    assert (job["status"], job["version"]) == ("succeeded", both + 2)
    assert (says(http, "Cairo"), says(http, "Nairobi")) == (True, True)
    kinds = [each["kind"] for each in http.get(f"/models/{MODEL}/versions").json()["versions"]]
    assert kinds[both + 1 :] == ["revert", "rollback"]
    diff = http.get(f"/models/{MODEL}/versions/diff", params={"from": both, "to": both + 1}).json()
    assert [fact["subject"] for fact in diff["facts"]["taken_out"]] == ["Cairo"]
    assert min(diff["update_norms"].values()) > 0  # the log alone cannot tell: a worker does


def test_a_version_that_is_not_there_cannot_be_asked_or_gone_back_to(http: httpx.Client) -> None:
    for path, body in (
        ("/query", {"prompts": [{"prompt": "Cairo is"}], "version": 999}),
        (f"/models/{MODEL}/rollback", {"to": 999}),
    ):
        reply = http.post(path, json=body)
        assert (reply.status_code, reply.json()["code"]) == (404, "unknown_version")
