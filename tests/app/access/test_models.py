"""A key for some models: the others are not there, by whatever way they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from redis import Redis

from app.access.caller import Caller, Scope
from app.domain.errors import UnknownModel
from app.edit_logs import EditLogs
from app.jobs.jobs import Jobs
from app.main import create_app
from app.settings import Settings
from tests.support.api_keys import Headers, key_for
from tests.support.histories import LYON, OSLO, accepted, begin, commit
from tests.support.worker_end import WorkerEnd

QUESTION = {"prompts": [{"prompt": "Lyon is in"}]}
FACTS = {"facts": [{"subject": "Lyon", "relation": "lies in", "object": "Japan"}]}


@pytest.fixture
def own(settings: Settings) -> Headers:
    """The headers of a key of all scopes, for `atlas` alone."""
    return key_for(settings, "own", models=["atlas"])


@pytest.fixture
def client(settings: Settings, owner: Headers, own: Headers, redis: Redis) -> Iterator[TestClient]:
    """A service that begins with both keys."""
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def other(worker: WorkerEnd, redis: Redis, settings: Settings) -> Iterator[WorkerEnd]:
    """`globe`, another model that is served; both have a version, which `theirs` and `ours` made."""
    commit(begin(settings), "ours", LYON)
    commit(begin(settings, "globe"), "theirs", OSLO)
    with WorkerEnd() as end:
        end.join(redis, "globe", "w2")
        end.answers_from(1)
        worker.answers_from(1)
        yield end


@pytest.fixture
def waiting(other: WorkerEnd, redis: Redis, settings: Settings) -> str:
    """A job of `globe` that waits."""
    return Jobs(redis, EditLogs(settings.log_dir), settings).submit(accepted("globe", by="owner")).id


WAYS: list[tuple[str, str, Any]] = [
    ("POST", "/edits", {**FACTS, "model": "globe"}),
    ("DELETE", "/edits/theirs", None),
    ("GET", "/jobs/theirs", None),
    ("GET", "/jobs/WAITING", None),
    ("POST", "/jobs/theirs/cancel", None),
    ("POST", "/jobs/WAITING/cancel", None),
    ("POST", "/query", {**QUESTION, "model": "globe"}),
    ("POST", "/query", {"job": "theirs"}),
    ("POST", "/query", {"job": "theirs", "model": "globe"}),
    ("POST", "/query", {"job": "theirs", "model": "atlas"}),
    ("POST", "/generate", {"prompts": ["Lyon is"], "model": "globe"}),
    ("GET", "/models/globe/versions", None),
    ("GET", "/models/globe/versions/1", None),
    ("GET", "/models/globe/versions/diff?from=0&to=1", None),
    ("GET", "/models/globe/facts", None),
    ("POST", "/models/globe/rollback", {"to": 0}),
    ("POST", "/models/globe/revert", {"facts": [{"version": 1, "index": 0}]}),
    ("POST", "/models/globe/exports", {"format": "peft"}),
]


@pytest.mark.parametrize(("method", "path", "body"), WAYS)
def test_another_model_is_not_there(
    client: TestClient, own: Headers, owner: Headers, other: WorkerEnd, waiting: str, method: str, path: str, body: Any
) -> None:
    place = path.replace("WAITING", waiting)
    answer = client.request(method, place, json=body, headers=own)
    nowhere = {**body, "model": "nowhere"} if body and body.get("model") == "globe" else body
    if nowhere and nowhere.get("job"):
        nowhere = {**nowhere, "job": "nobody"}
    of_nothing = place.replace("globe", "nowhere").replace("theirs", "nobody").replace(waiting, "nobody")
    unknown = client.request(method, of_nothing, json=nowhere, headers=own)
    assert answer.status_code == unknown.status_code == 404
    told, expected = answer.text, unknown.text
    for real, none in (("globe", "nowhere"), ("theirs", "nobody"), (waiting, "nobody")):
        told = told.replace(real, none)
    assert told == expected  # nothing tells that it is there for others
    assert other.asked == []
    assert client.request(method, place, json=body, headers=owner).status_code not in (401, 403, 404)


def test_its_own_model_is(client: TestClient, own: Headers, other: WorkerEnd) -> None:
    for path in ("/models/atlas/versions", "/models/atlas/facts", "/jobs/ours"):
        assert client.get(path, headers=own).status_code == 200
    assert client.post("/query", json={"job": "ours"}, headers=own).json()["model"] == "atlas"


def test_lists_tell_of_no_others(
    client: TestClient, own: Headers, owner: Headers, other: WorkerEnd, waiting: str
) -> None:
    def listed(headers: Headers, **query: str) -> tuple[list[str], list[str]]:
        models = client.get("/models", headers=headers).json()["models"]
        jobs = client.get("/jobs", params=query, headers=headers).json()["jobs"]
        return [model["id"] for model in models], [job["id"] for job in jobs]

    assert listed(owner) == (["atlas", "globe"], [waiting])
    assert listed(own) == (["atlas"], [])
    assert listed(own, model="globe") == (["atlas"], [])


def test_a_request_that_names_no_model_means_its_own(
    client: TestClient, own: Headers, owner: Headers, other: WorkerEnd
) -> None:
    assert client.post("/query", json=QUESTION, headers=owner).status_code == 422  # two are served
    assert client.post("/query", json=QUESTION, headers=own).status_code == 200
    assert client.post("/edits", json=FACTS, headers=own).json()["model"] == "atlas"
    assert other.asked == []


def test_the_default_model_is_not_for_whoever_may_not_touch_it(
    settings: Settings, redis: Redis, own: Headers, owner: Headers, other: WorkerEnd, worker: WorkerEnd
) -> None:
    with TestClient(create_app(settings.model_copy(update={"default_model": "globe"}))) as client:
        assert client.post("/query", json=QUESTION, headers=owner).status_code == 200
        assert len(other.asked) == 1
        assert client.post("/query", json=QUESTION, headers=own).status_code == 200
        assert len(other.asked) == 1


def test_metrics_are_about_all_models(client: TestClient, own: Headers, owner: Headers) -> None:
    assert client.get("/metrics", headers=own).status_code == 403
    assert client.get("/metrics", headers=owner).status_code == 200


def test_an_idempotency_key_is_its_owners(
    client: TestClient, own: Headers, owner: Headers, settings: Settings, redis: Redis, worker: WorkerEnd
) -> None:
    def sent(headers: Headers, **body: Any) -> Any:
        return client.post("/edits", json={**FACTS, **body}, headers={**headers, "Idempotency-Key": "order-1"})

    first, again, others = sent(own), sent(own), sent(owner)
    assert first.json()["id"] == again.json()["id"] != others.json()["id"]
    assert (first.json()["by"], others.json()["by"]) == ("own", "owner")
    assert sent(own, strict=True).status_code == sent(owner, strict=True).status_code == 422


def test_a_key_for_no_model_has_none(settings: Settings, redis: Redis, other: WorkerEnd) -> None:
    none = key_for(settings, "none", [Scope.QUERY], models=[])
    with TestClient(create_app(settings)) as client:
        assert client.get("/models", headers=none).json() == {"models": []}
        assert client.post("/query", json=QUESTION, headers=none).status_code == 503


def test_a_log_that_one_caller_has_opened_is_not_open_to_others(settings: Settings) -> None:
    """Open logs are remembered, for all callers."""
    begin(settings, "globe")
    logs = EditLogs(settings.log_dir)
    assert logs.of("globe") is logs.of("globe")
    seen = logs.seen_by(Caller("own", frozenset(Scope), frozenset({"atlas"})))
    assert seen.models() == []
    with pytest.raises(UnknownModel):
        seen.of("globe")
