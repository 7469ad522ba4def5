"""What the API says of itself holds: every example that it shows is carried out, every answer is as it is described,
and none tells of the machine."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

import app
from app.domain import smollm2
from tests.e2e.conftest import MODEL, ended
from tests.support.event_streams import listening
from tests.support.served import PATIENCE_S, serving

LAST = ("/models/{model}/revert", "/models/{model}/rollback", "/models", "/v1/chat/completions")
"""Sent after all else, in this order: two take back what the others have made; once a second model is served, a request
has to name its own; and one that was added is there to chat with."""

JSON = "application/json"
ALIAS = "production"
LEFT_WITHIN_S = 60.0

Answers = list[httpx.Response]


@dataclass(frozen=True)
class Example:
    """A body that the description shows."""

    method: str
    path: str
    name: str
    media: str
    body: Any
    schema: Any

    @property
    def content(self) -> bytes:
        """What is sent."""
        return json.dumps(self.body).encode() if self.media == JSON else str(self.body).encode()

    @property
    def wanted(self) -> Any:
        """What it asks for, by name."""
        return self.body if isinstance(self.body, dict) else {}

    @property
    def end(self) -> str:
        """How its jobs end."""
        return "proposed" if self.wanted.get("propose") else "succeeded"


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("untouched")


@pytest.fixture(scope="module")
def http(data_dir: Path) -> Iterator[httpx.Client]:
    """Of a service of its own, in which version 1 is what the first example makes."""
    with serving(MODEL, data_dir, data_dir / "serve.log") as client:
        yield client


@pytest.fixture(scope="module")
def described(http: httpx.Client) -> dict[str, Any]:
    found: dict[str, Any] = http.get("/openapi.json").json()
    return found


@pytest.fixture(scope="module")
def examples(described: dict[str, Any]) -> list[Example]:
    """Each example, in the order in which they are sent; but of the real model only where it is installed."""
    found = []
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            for media, content in operation.get("requestBody", {}).get("content", {}).items():
                assert content.get("examples"), f"{path} shows no example of {media}"
                for name, each in content["examples"].items():
                    found.append(Example(method, path, name, media, each["value"], content["schema"]))
    assert len({(example.path, example.name) for example in found}) == len(found)
    absent = smollm2.NAME if smollm2.wheel_file() is None else None
    here = (example for example in found if absent is None or example.wanted.get("model") != absent)
    return sorted(here, key=lambda each: LAST.index(each.path) + 1 if each.path in LAST else 0)


@pytest.fixture(scope="module")
def answers(http: httpx.Client, examples: list[Example]) -> dict[tuple[str, str], Answers]:
    """What each example is answered with; of one that becomes jobs, also these at their ends."""
    given = {}
    for example in examples:
        where, headers = example.path.format(model=MODEL, alias=ALIAS), {"Content-Type": example.media}
        answer = http.request(example.method, where, content=example.content, headers=headers)
        given[example.path, example.name] = [answer]
        for place in jobs_of(answer):
            ended(http, place, PATIENCE_S)
            given[example.path, example.name].append(http.get(place))
    return given


@pytest.fixture(scope="module")
def read(http: httpx.Client, described: dict[str, Any], answers: dict[tuple[str, str], Answers]) -> dict[str, Any]:
    """What each path is answered with that is only read, once the examples have been sent; but for streams."""
    [proposal] = http.get(f"/models/{MODEL}/proposals").json()["proposals"]
    first = http.get("/jobs", params={"limit": 200}).json()["jobs"][-1]
    parameters = {"model": MODEL, "job": first["id"], "version": 1, "proposal": proposal["id"], "alias": ALIAS}
    return {
        path: http.get(path.format(**parameters), params={"from": 0, "to": 1})
        for path, operations in described["paths"].items()
        if "get" in operations and not path.endswith("/events")
    }


def jobs_of(answer: httpx.Response) -> Iterator[str]:
    """Where the jobs are told of that an answer is about: one has its ``Location``, an import may have several."""
    if "Location" in answer.headers:
        yield answer.headers["Location"]
    elif answer.status_code == httpx.codes.ACCEPTED:
        yield from (f"/jobs/{job['id']}" for job in answer.json()["jobs"])


def valid(described: dict[str, Any], schema: Any, value: Any) -> None:
    Draft202012Validator({"allOf": [schema], "components": described["components"]}).validate(value)


def as_described(described: dict[str, Any], path: str, method: str, answer: httpx.Response) -> None:
    content = described["paths"][path][method]["responses"][str(answer.status_code)]["content"]
    media = answer.headers["content-type"]
    found = content[media] if media in content else content[media.partition(";")[0]]
    if media == JSON:
        valid(described, found["schema"], answer.json())


def test_every_example_has_the_form_that_is_described(described: dict[str, Any], examples: list[Example]) -> None:
    for example in examples:
        valid(described, example.schema, example.body)


def test_every_example_is_carried_out(examples: list[Example], answers: dict[tuple[str, str], Answers]) -> None:
    ends = {}
    for example in examples:
        answer, *jobs = answers[example.path, example.name]
        assert answer.is_success, f"{example}: {answer.text}"
        whole = "[DONE]" in answer.text or not answer.headers["content-type"].startswith("text/event-stream")
        assert whole, f"{example}: {answer.text}"
        ends[example.path, example.name] = [job.json()["status"] for job in jobs] == [example.end] * len(jobs)
        assert bool(jobs) == (answer.status_code == httpx.codes.ACCEPTED)
    assert all(ends.values()), {key: [answer.text[:1000] for answer in answers[key]] for key in ends if not ends[key]}


def test_every_answer_is_as_it_is_described(
    described: dict[str, Any], examples: list[Example], answers: dict[tuple[str, str], Answers], read: dict[str, Any]
) -> None:
    for example in examples:
        answer, *jobs = answers[example.path, example.name]
        as_described(described, example.path, example.method, answer)
        for job in jobs:
            as_described(described, "/jobs/{job}", "get", job)
    for path, answer in read.items():
        assert answer.is_success, f"{path}: {answer.text}"
        as_described(described, path, "get", answer)


def test_no_answer_tells_where_anything_lies_on_the_machine(
    http: httpx.Client, answers: dict[tuple[str, str], Answers], read: dict[str, Any], data_dir: Path
) -> None:
    texts = [answer.text for given in answers.values() for answer in given]
    texts += [answer.text for answer in read.values()]
    for job in http.get("/jobs", params={"limit": 200}).json()["jobs"]:
        with listening(http, f"/jobs/{job['id']}/events") as events:
            texts += [json.dumps(event.data) for event in events]
    (damaged,) = (data_dir / "log" / MODEL / "versions" / "00000001").glob("manifest.json")
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-9])
    refused = http.get(f"/models/{MODEL}/versions/1")
    damaged.write_bytes(whole)
    assert refused.status_code == 500
    root = Path(app.__file__).parent.parent
    for text in [*texts, refused.text]:
        for place in (data_dir, root, Path(sys.prefix), Path.home(), Path("/tmp")):
            assert str(place) not in text, text[:2000]


def test_what_a_worker_serves_is_told_by_its_name_alone(
    http: httpx.Client, answers: dict[tuple[str, str], Answers]
) -> None:
    cards = [card for model in http.get("/models").json()["models"] for card in model["workers"]]
    sources = {card["model"]: card["source"] for card in cards}
    if (file := smollm2.wheel_file()) is not None:
        assert sources.pop(smollm2.NAME) == file.stem  # of the folder that it was converted into
    assert sources == {MODEL: MODEL, "second": "atlas-llama"}


def test_what_an_example_has_added_can_be_taken_away(
    http: httpx.Client, examples: list[Example], answers: dict[tuple[str, str], Answers]
) -> None:
    added = [
        answers[example.path, example.name][0].json()["model"] for example in examples if example.path == "/models"
    ]
    assert added
    for model in added:
        assert http.delete(f"/models/{model}").status_code == httpx.codes.NO_CONTENT
    deadline = time.monotonic() + LEFT_WITHIN_S
    while [model["id"] for model in http.get("/models").json()["models"] if model["live"]] != [MODEL]:
        assert time.monotonic() < deadline
        time.sleep(0.2)
