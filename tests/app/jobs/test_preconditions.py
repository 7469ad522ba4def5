"""If-Match on POST /edits: an edit for a version that has passed is refused, or carries its condition to the worker."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from redis import Redis
from rq import Queue
from rq.serializers import JSONSerializer

from app.domain import keyspace
from app.domain.log.edit_log import EditLog
from app.settings import Settings
from tests.support.front_end_answers import posted
from tests.support.histories import LYON, OSLO, begin, commit
from tests.support.worker_end import WorkerEnd

BODY: dict[str, Any] = {"facts": [{"subject": "Lyon", "relation": "is in", "object": "Japan"}]}


@pytest.fixture
def log(settings: Settings) -> EditLog:
    """The model at version 2."""
    log = begin(settings)
    commit(log, "job1", LYON)
    commit(log, "job2", OSLO)
    return log


def post(client: TestClient, condition: str) -> httpx.Response:
    return posted(client, "/edits", BODY, {"If-Match": condition})


def expected(redis: Redis) -> object:
    """What the worker is told of the queued job's version."""
    [queued] = Queue(keyspace.queue("atlas"), connection=redis, serializer=JSONSerializer).jobs
    return queued.kwargs


@pytest.mark.parametrize("condition", ['"2"', ' "2" ', '"1", "2"', '"abc","2"'])
def test_the_version_in_force_is_what_the_job_insists_on(
    client: TestClient, worker: WorkerEnd, log: EditLog, redis: Redis, condition: str
) -> None:
    assert post(client, condition).status_code == 202
    assert expected(redis) == {"expected_version": 2}


@pytest.mark.parametrize("condition", ['"1"', '"3"', '"0", "1"', 'W/"2"', '"02"', '""'])
def test_another_version_is_refused_at_once(
    client: TestClient, worker: WorkerEnd, log: EditLog, redis: Redis, condition: str
) -> None:
    response = post(client, condition)
    problem = response.json()
    assert (response.status_code, problem["code"]) == (412, "precondition_failed")
    assert (problem["field"], problem["value"]) == ("If-Match", condition)
    assert "at version 2" in problem["detail"]
    assert (worker.asked, redis.keys("rq:job:*")) == ([], [])


def test_any_version_will_do_where_none_is_named(
    client: TestClient, worker: WorkerEnd, log: EditLog, redis: Redis
) -> None:
    assert post(client, "*").status_code == 202
    assert expected(redis) == {}


@pytest.mark.parametrize("condition", ["2", '"2', '"1" "2"', "*, *"])
def test_what_is_no_entity_tag_is_told_how_one_looks(
    client: TestClient, worker: WorkerEnd, log: EditLog, condition: str
) -> None:
    response = post(client, condition)
    assert (response.status_code, response.json()["field"]) == (422, "If-Match")
    assert '"2"' in response.json()["detail"]


@pytest.mark.parametrize(
    ("path", "tag"),
    [("versions", '"2"'), ("facts", '"2"'), ("facts?version=1", '"1"')],
)
def test_what_is_read_of_a_model_says_its_version(client: TestClient, log: EditLog, path: str, tag: str) -> None:
    assert client.get(f"/models/atlas/{path}").headers["etag"] == tag
