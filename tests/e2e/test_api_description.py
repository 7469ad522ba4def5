"""What the API says of itself holds: every example that it shows is carried out, and no answer tells of the machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import app
from app.local.stack import Stack, StackSettings, free_port, running
from tests.e2e.conftest import MODEL, ended
from tests.support.event_streams import listening

LAST = ("/models/{model}/revert", "/models/{model}/rollback")
"""Sent after all else, in this order: they take back what the others have made."""

Answers = list[httpx.Response]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("untouched")


@pytest.fixture(scope="module")
def stack(data_dir: Path) -> Iterator[Stack]:
    """A service of its own, in which version 1 is what the first example makes."""
    with running(StackSettings((MODEL,), data_dir, port=free_port(), logs=data_dir / "stack.log")) as started:
        yield started


@pytest.fixture(scope="module")
def http(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.url, timeout=60.0, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def examples(http: httpx.Client) -> list[tuple[str, str, Any]]:
    """The path, the name and the body of each example, in the order in which they are sent."""
    paths = http.get("/openapi.json").json()["paths"]
    found = []
    for path, operations in paths.items():
        for operation in operations.values():
            for media, content in operation.get("requestBody", {}).get("content", {}).items():
                assert content.get("examples") or media != "application/json", f"{path} shows no example"
                found += [(path, name, each["value"]) for name, each in content.get("examples", {}).items()]
    return sorted(found, key=lambda each: LAST.index(each[0]) + 1 if each[0] in LAST else 0)


@pytest.fixture(scope="module")
def answers(http: httpx.Client, examples: list[tuple[str, str, Any]]) -> dict[tuple[str, str], Answers]:
    """What each example is answered with; of one that becomes a job, also the job at its end."""
    given = {}
    for path, name, body in examples:
        answer = http.post(path.format(model=MODEL), json=body)
        given[path, name] = [answer]
        if answer.status_code == 202:
            ended(http, answer.headers["Location"])
            given[path, name].append(http.get(answer.headers["Location"]))
    return given


def test_every_example_is_carried_out(answers: dict[tuple[str, str], Answers]) -> None:
    ends = {}
    for example, (answer, *job) in answers.items():
        assert answer.is_success, f"{example}: {answer.text}"
        ends[example] = {each.json()["status"] for each in job} or {"succeeded"}
    assert all(end == {"succeeded"} for end in ends.values()), ends
    assert {path for path, _ in answers} >= {"/edits", "/query", "/generate", *LAST, "/models/{model}/exports"}


def test_no_answer_tells_where_anything_lies_on_the_machine(
    http: httpx.Client, answers: dict[tuple[str, str], Answers], data_dir: Path
) -> None:
    jobs = [job["id"] for job in http.get("/jobs").json()["jobs"]]
    parameters = {"model": MODEL, "job": jobs[-1], "version": 1}
    texts = [answer.text for given in answers.values() for answer in given]
    for path, operations in http.get("/openapi.json").json()["paths"].items():
        if "get" in operations and not path.endswith("/events"):
            texts.append(http.get(path.format(**parameters), params={"from": 0, "to": 1}).text)
    with listening(http, f"/jobs/{jobs[-1]}/events") as events:
        texts += [json.dumps(event.data) for event in events]
    (damaged,) = (data_dir / "log" / MODEL / "versions" / "00000001").glob("manifest.json")
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-9])
    refused = http.get(f"/models/{MODEL}/versions/1")
    damaged.write_bytes(whole)
    assert refused.status_code == 500
    root = Path(app.__file__).parent.parent
    for text in [*texts, refused.text]:
        for place in (data_dir, root, Path.home(), Path("/tmp")):
            assert str(place) not in text, text[:2000]


def test_what_a_worker_serves_is_told_by_its_name_alone(http: httpx.Client) -> None:
    [card] = http.get("/models").json()["models"][0]["workers"]
    assert card["source"] == MODEL
