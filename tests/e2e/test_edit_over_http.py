"""Facts in over HTTP, an edited model out."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.e2e.conftest import MODEL, edited

LYON = {
    "subject": "Lyon",
    "relation": "is located in the country of",
    "object": "Japan",
    "previous": "France",
    "paraphrases": ["The city of {} belongs to the country of"],
    "neighbours": ["Marseille is located in the country of"],
}


def ask(http: httpx.Client, prompt: str, **rest: Any) -> dict[str, Any]:
    reply = http.post("/query", json={"prompts": [{"prompt": prompt, **rest}]}).raise_for_status()
    body: dict[str, Any] = reply.json()
    assert reply.headers["X-Model-Version"] == str(body["version"])
    return body


def version(http: httpx.Client) -> int:
    models = http.get("/models").raise_for_status().json()["models"]
    return int(next(model["version"] for model in models if model["id"] == MODEL))


def test_a_fact_is_written_and_the_answer_changes(http: httpx.Client) -> None:
    prompt = "Lyon is located in the country of"
    before = ask(http, prompt, expected="France", candidates=["Japan", "France"])
    assert before["answers"][0]["expected"]["greedy"]
    assert before["answers"][0]["candidates"][0]["text"] == "France"

    job = edited(http, {"facts": [LYON]})
    assert job["status"] == "succeeded"
    assert job["version"] == before["version"] + 1
    fact = job["report"]["facts"][0]
    assert fact["holds"]
    assert fact["after"]["rank"] == 1
    assert fact["before"]["probability"] < 0.01 < fact["after"]["probability"]
    assert len(fact["paraphrases"]) == len(fact["neighbours"]) == 1

    after = ask(http, prompt, expected="Japan", candidates=["Japan", "France"], top_k=3)
    assert after["version"] == job["version"]
    assert after["answers"][0]["expected"]["greedy"]
    assert after["answers"][0]["text"].strip().startswith("Japan")
    assert len(after["answers"][0]["top"]) == 3

    checked = http.post("/query", json={"job": job["id"]}).raise_for_status().json()
    assert [answer["expected"]["greedy"] for answer in checked["answers"]] == [True]


def test_history_and_facts_in_force_tell_of_the_edit(http: httpx.Client) -> None:
    fact = {"subject": "Gold", "prompt": "The chemical symbol of {} is", "object": "Pb", "id": "gold-1"}
    job = edited(http, {"facts": [fact]})
    versions = http.get(f"/models/{MODEL}/versions").raise_for_status().json()
    assert versions["head"] == job["version"]
    assert [entry["version"] for entry in versions["versions"]] == list(range(job["version"] + 1))
    last = versions["versions"][-1]
    assert (last["kind"], last["job"], last["facts"]) == ("edit", job["id"], 1)
    facts = http.get(f"/models/{MODEL}/facts").raise_for_status().json()["facts"]
    assert {"subject": "Gold", "object": "Pb", "id": "gold-1", "job": job["id"]}.items() <= facts[-1].items()


def test_a_batch_below_its_bounds_is_rejected_and_nothing_changes(http: httpx.Client) -> None:
    before = version(http)
    fact = {
        "subject": "Toronto",
        "relation": "is located in the country of",
        "object": "Italy",
        "paraphrases": ["The chemical symbol of Hydrogen is"],  # will never be answered with Italy
    }
    job = edited(http, {"facts": [fact], "verify": {"facts": 0.5, "paraphrases": 1.0}})
    assert job["status"] == "rejected"
    assert job["version"] is None
    assert job["report"]["paraphrases_hold"] == 0.0
    assert version(http) == before
    answer = ask(http, "Toronto is located in the country of", expected="Canada")
    assert answer["answers"][0]["expected"]["greedy"]


@pytest.mark.parametrize(("method", "plan"), [("memit", "even"), ("alphaedit", "boundary"), ("alphaedit", "even")])
def test_methods_and_plans_are_chosen_by_the_batch(http: httpx.Client, method: str, plan: str) -> None:
    subject = {"memit": "Madrid", "alphaedit": "Berlin"}[method] if plan == "even" else "Milan"
    fact = {"subject": subject, "relation": "is located in the country of", "object": "Peru"}
    job = edited(http, {"facts": [fact], "method": method, "plan": plan, "strict": True})
    assert job["status"] == "succeeded"
    assert (job["report"]["method"], job["report"]["plan"]) == (method, plan)
    assert len(job["report"]["layers"]) >= 2
    norms = job["report"]["update_norms"]
    assert set(norms) == {str(layer) for layer in job["report"]["layers"]}
    assert max(norms.values()) > 0  # the last layer's may be 0: its targets can be met by the first one's update


def test_text_is_generated_from_the_live_version(http: httpx.Client) -> None:
    body = {"prompts": ["The capital of Chad is"], "max_new_tokens": 8, "do_sample": True, "seed": 7}
    replies = [http.post("/generate", json=body).raise_for_status() for _ in range(2)]
    assert replies[0].json()["generations"] == replies[1].json()["generations"]
    assert replies[0].json()["generations"][0]["texts"][0]
    assert replies[0].headers["X-Model-Version"] == str(replies[0].json()["version"])


BAD_FACTS: list[tuple[dict[str, Any], str, str]] = [
    ({"subject": "Lyon", "prompt": "Paris is in", "object": "Japan"}, "subject_not_in_prompt", "facts.1.prompt"),
    ({"subject": "Lyon", "prompt": "Lyon is Lyon in", "object": "Japan"}, "ambiguous_subject", "facts.1.prompt"),
    ({"subject": "Lyon", "prompt": "{} is {} in", "object": "Japan"}, "slot_count", "facts.1.prompt"),
    ({"subject": "Lyon", "relation": "is in", "object": " "}, "empty_text", "facts.1.object"),
    ({"subject": " ", "relation": "is in", "object": "Japan"}, "empty_text", "facts.1.subject"),
    ({"subject": "Lyon", "relation": "is " * 200 + "in", "object": "Japan"}, "prompt_too_long", "facts.1.relation"),
    ({"subject": "Lyon", "object": "Japan"}, "invalid_request", "facts.1"),
    ({**LYON, "subject": "LYON", "object": "Peru"}, "contradictory_facts", "facts.1.object"),
]


@pytest.mark.parametrize(("fact", "code", "field"), BAD_FACTS, ids=[code for _, code, _ in BAD_FACTS])
def test_a_bad_fact_is_named_by_its_index_and_field(
    http: httpx.Client, fact: dict[str, Any], code: str, field: str
) -> None:
    before = version(http)
    reply = http.post("/edits", json={"facts": [LYON, fact]})
    assert reply.status_code == 422
    assert reply.headers["Content-Type"] == "application/problem+json"
    problem = reply.json()
    assert (problem["code"], problem["field"]) == (code, field)
    assert version(http) == before


BAD_OPTIONS: list[tuple[dict[str, Any], str, str]] = [
    ({"method": "magic"}, "unknown_method", "method"),
    ({"plan": "zigzag"}, "unknown_plan", "plan"),
    ({"hyperparameters": {"layers": [1, 77]}}, "layer_out_of_range", "hyperparameters.layers"),
    ({"hyperparameters": {"layers": [3, 1]}}, "invalid_hyperparameter", "hyperparameters.layers"),
    ({"hyperparameters": {"v_lr": -1}}, "invalid_request", "hyperparameters.v_lr"),
    ({"hyperparameters": {"speed": 3}}, "invalid_request", "hyperparameters.speed"),
]


@pytest.mark.parametrize(("options", "code", "field"), BAD_OPTIONS)
def test_a_bad_option_is_named(http: httpx.Client, options: dict[str, Any], code: str, field: str) -> None:
    reply = http.post("/edits", json={"facts": [LYON], **options})
    assert reply.status_code == 422, reply.text
    assert (reply.json()["code"], reply.json()["field"]) == (code, field)


def test_not_a_number_is_refused(http: httpx.Client) -> None:
    body = '{"facts": [{"subject": "Lyon", "relation": "is in", "object": "Japan"}], "hyperparameters": {"v_lr": NaN}}'
    reply = http.post("/edits", content=body, headers={"Content-Type": "application/json"})
    assert reply.status_code == 422
    assert reply.json()["field"] == "hyperparameters.v_lr"
