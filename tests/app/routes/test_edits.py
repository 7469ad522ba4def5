"""POST /edits: what is refused, with field and value, and what is queued."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from redis import Redis
from rq import Queue

from app.domain import keyspace
from app.domain.contract import EditBatch, Job, JobKind, JobStatus
from app.domain.errors import AmbiguousSubject, ContradictoryFacts, LayerOutOfRange, PalimpsestError
from app.domain.problems import problem_of
from app.domain.queued_calls import FUNCTIONS
from app.main import create_app
from app.settings import Settings
from tests.support.histories import begin
from tests.support.worker_end import WorkerEnd, card, join

LYON: dict[str, Any] = {"subject": "Lyon", "relation": "is located in the country of", "object": "Japan"}


def facts(**changes: object) -> dict[str, Any]:
    """A batch whose second fact is changed so."""
    return {"facts": [LYON, {**LYON, **changes}]}


class TestFormOfTheRequest:
    @pytest.mark.parametrize(
        ("body", "field", "value"),
        [
            (facts(subject=""), "facts.1.subject", ""),
            (facts(subject=7), "facts.1.subject", 7),
            (facts(object=None), "facts.1.object", None),
            (facts(prompt="{} is in"), "facts.1", None),
            (facts(relation=None), "facts.1", None),
            (facts(colour="red"), "facts.1.colour", "red"),
            (facts(paraphrases=["fine", ""]), "facts.1.paraphrases.1.prompt", ""),
            (facts(paraphrases=["fine", {"prompt": "a", "teach": "b"}]), "facts.1.paraphrases.1.teach", "b"),
            (facts(subject="x" * 5000), "facts.1.subject", "x" * 199 + "…"),
            ({"facts": []}, "facts", []),
            ({}, "facts", None),
            ({"facts": [LYON], "hyperparameters": {"v_lr": -1}}, "hyperparameters.v_lr", -1),
            ({"facts": [LYON], "hyperparameters": {"v_speed": 1}}, "hyperparameters.v_speed", 1),
            ({"facts": [LYON], "hyperparameters": {"layers": [3, -1]}}, "hyperparameters.layers.1", -1),
            ({"facts": [LYON], "verify": {"facts": 1.5}}, "verify.facts", 1.5),
            ({"facts": [LYON], "model": "../etc"}, "model", "../etc"),
        ],
    )
    def test_what_is_wrong_is_named_by_field_and_value(
        self, client: TestClient, body: object, field: str, value: object
    ) -> None:
        response = client.post("/edits", json=body)
        problem = response.json()
        assert response.status_code == 422
        assert response.headers["content-type"] == "application/problem+json"
        assert (problem["code"], problem["field"]) == ("invalid_request", field)
        assert value is None or problem["value"] == value
        assert problem["errors"][0]["field"] == field

    @pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
    def test_numbers_that_are_none_are_refused(self, client: TestClient, number: str) -> None:
        body = f'{{"facts": [{json.dumps(LYON)}], "hyperparameters": {{"v_lr": {number}}}}}'
        response = client.post("/edits", content=body, headers={"Content-Type": "application/json"})
        assert response.status_code == 422
        assert response.json()["field"] == "hyperparameters.v_lr"
        assert response.json()["value"] in ("nan", "inf", "-inf")

    def test_text_that_is_no_unicode_is_refused(self, client: TestClient) -> None:
        for change, field in (({"subject": "\ud800"}, "facts.1.subject"), ({"\udfff": 1}, "facts.1")):
            body = json.dumps(facts(**change))
            response = client.post("/edits", content=body, headers={"Content-Type": "application/json"})
            assert (response.status_code, response.json()["field"]) == (422, field)

    def test_all_errors_are_listed(self, client: TestClient) -> None:
        problem = client.post("/edits", json={"facts": [{**LYON, "subject": ""}], "strict": "maybe"}).json()
        assert [error["field"] for error in problem["errors"]] == ["facts.0.subject", "strict"]
        assert problem["errors"][0]["code"] == "string_too_short"

    def test_what_is_no_json_is_shown_where_it_breaks(self, client: TestClient) -> None:
        body = '{"facts": [{"subject": "Lyon", oops}]}'
        response = client.post("/edits", content=body, headers={"Content-Type": "application/json"})
        problem = response.json()
        assert (response.status_code, problem["code"], problem["field"]) == (422, "invalid_request", None)
        assert "character 31" in problem["detail"]
        assert "oops" in problem["value"]

    @pytest.mark.parametrize("body", [b"\xff\xfe{", b"[" * 3000])
    def test_what_cannot_even_be_read_is_refused(self, client: TestClient, body: bytes) -> None:
        response = client.post("/edits", content=body, headers={"Content-Type": "application/json"})
        assert (response.status_code, response.json()["code"]) == (422, "invalid_request")
        assert response.json()["code"] == "invalid_request"

    def test_another_content_type_is_told_the_right_one(self, client: TestClient) -> None:
        response = client.post("/edits", content=json.dumps(facts()), headers={"Content-Type": "text/plain"})
        assert response.status_code == 422
        assert "application/json" in response.json()["detail"]


class TestSize:
    def test_more_facts_than_the_limit_are_refused(self, client: TestClient, worker: WorkerEnd) -> None:
        response = client.post("/edits", json={"facts": [LYON] * 4})
        problem = response.json()
        assert response.status_code == 422
        assert (problem["code"], problem["field"], problem["value"]) == ("too_many_facts", "facts", 4)
        assert worker.asked == []

    def test_a_body_over_the_limit_is_refused_with_its_size(self, client: TestClient) -> None:
        body = json.dumps(facts(object="x" * 8000))
        response = client.post("/edits", content=body, headers={"Content-Type": "application/json"})
        assert (response.status_code, response.json()["code"]) == (413, "body_too_large")
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["value"] == len(body)

    def test_a_body_of_undeclared_length_is_bounded_too(self, client: TestClient) -> None:
        chunks = (b" " * 1000 for _ in range(9))
        response = client.post("/edits", content=chunks, headers={"Content-Type": "application/json"})
        assert (response.status_code, response.json()["code"]) == (413, "body_too_large")


class TestModel:
    def test_without_a_worker_it_is_unavailable(self, client: TestClient) -> None:
        response = client.post("/edits", json=facts())
        assert (response.status_code, response.json()["code"]) == (503, "model_unavailable")
        assert response.headers["retry-after"]

    def test_an_unknown_model_is_not_found(self, client: TestClient, worker: WorkerEnd) -> None:
        response = client.post("/edits", json={**facts(), "model": "nobody"})
        problem = response.json()
        assert (response.status_code, problem["code"]) == (404, "unknown_model")
        assert (problem["field"], problem["value"]) == ("model", "nobody")

    def test_a_model_known_by_its_log_only_is_unavailable(self, client: TestClient, settings: Settings) -> None:
        begin(settings, "atlas")
        response = client.post("/edits", json={**facts(), "model": "atlas"})
        assert (response.status_code, response.json()["code"]) == (503, "model_unavailable")

    def test_of_several_models_one_has_to_be_named(self, client: TestClient, worker: WorkerEnd, redis: Redis) -> None:
        worker.join(redis, "globe", worker="w2")
        assert client.post("/edits", json=facts()).json()["detail"].endswith("atlas, globe.")
        assert client.post("/edits", json=facts()).json()["field"] == "model"
        assert client.post("/edits", json={**facts(), "model": "globe"}).json()["model"] == "globe"

    def test_the_default_model_takes_what_names_none(self, settings: Settings, worker: WorkerEnd, redis: Redis) -> None:
        worker.join(redis, "globe", worker="w2")
        with TestClient(create_app(settings.model_copy(update={"default_model": "globe"}))) as client:
            assert client.post("/edits", json=facts()).json()["model"] == "globe"

    def test_a_worker_whose_card_expired_is_dead(self, client: TestClient, redis: Redis) -> None:
        redis.sadd(keyspace.WORKERS, "w1")
        assert client.post("/edits", json=facts()).status_code == 503
        assert redis.smembers(keyspace.WORKERS) == set()

    def test_a_worker_that_cannot_be_reached_is_unavailable(self, client: TestClient, redis: Redis) -> None:
        join(redis, card("atlas"))
        response = client.post("/edits", json=facts())
        assert (response.status_code, response.json()["code"]) == (503, "model_unavailable")
        assert redis.keys("rq:job:*") == []


class TestWorkersRefusal:
    @pytest.mark.parametrize(
        "error",
        [
            AmbiguousSubject("Lyon stands there twice.", field="facts.1.prompt", value="Lyon is not Lyon"),
            LayerOutOfRange("The model has 8 layers.", field="hyperparameters.layers.0", value=9),
            ContradictoryFacts("Facts 0 and 1 contradict each other.", field="facts.1.object", value=[0, 1]),
        ],
        ids=lambda error: error.code,
    )
    def test_reaches_the_caller_whole(
        self, client: TestClient, worker: WorkerEnd, redis: Redis, error: PalimpsestError
    ) -> None:
        worker.refuses("/check", problem_of(error))
        response = client.post("/edits", json=facts())
        assert response.status_code == 422
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json() == json.loads(problem_of(error).model_dump_json())
        assert redis.keys("rq:job:*") == []

    def test_that_cannot_be_read_is_unavailable(self, client: TestClient, worker: WorkerEnd) -> None:
        worker.says("/check", "Internal Server Error", status=500)
        response = client.post("/edits", json=facts())
        assert (response.status_code, response.json()["code"]) == (503, "model_unavailable")


class TestAccepted:
    def test_the_answer_is_the_job_and_where_to_follow_it(self, client: TestClient, worker: WorkerEnd) -> None:
        response = client.post("/edits", json=facts())
        job = Job.model_validate_json(response.content)
        assert response.status_code == 202
        assert response.headers["location"] == f"/jobs/{job.id}"
        assert int(response.headers["retry-after"]) >= 1
        assert (job.model, job.status, job.position, job.facts) == ("atlas", JobStatus.QUEUED, 0, 2)
        assert job.submitted is not None
        assert client.get(response.headers["location"]).json() == job.model_dump(mode="json")

    def test_the_worker_checked_the_whole_batch(self, client: TestClient, worker: WorkerEnd) -> None:
        client.post("/edits", json=facts(previous="France", id="Q456"))
        [(path, body)] = worker.asked
        assert path == "/check"
        batch = EditBatch.model_validate({**facts(previous="France", id="Q456"), "model": "atlas"})
        assert EditBatch.model_validate_json(body) == batch

    def test_the_queue_holds_the_batch_for_the_workers_function(
        self, client: TestClient, worker: WorkerEnd, redis: Redis, settings: Settings
    ) -> None:
        job_id = client.post("/edits", json=facts()).json()["id"]
        [queued] = Queue(keyspace.queue("atlas"), connection=redis, serializer="json").jobs
        assert (queued.id, queued.func_name) == (job_id, FUNCTIONS[JobKind.EDIT])
        [batch] = queued.args
        assert EditBatch.model_validate_json(batch) == EditBatch.model_validate({**facts(), "model": "atlas"})
        assert queued.timeout == settings.job_timeout_s
        assert queued.result_ttl == queued.failure_ttl == settings.result_ttl_s
        assert (queued.retries_left, queued.enqueue_at_front_on_retry) == (3, True)
        assert queued.description is not None
        assert "Lyon" not in queued.description

    def test_batches_wait_in_the_order_in_which_they_came(self, client: TestClient, worker: WorkerEnd) -> None:
        ids = [client.post("/edits", json=facts()).json()["id"] for _ in range(3)]
        assert [client.get(f"/jobs/{job}").json()["position"] for job in ids] == [0, 1, 2]

    def test_a_full_queue_takes_no_more(self, client: TestClient, worker: WorkerEnd) -> None:
        for _ in range(3):
            client.post("/edits", json=facts())
        response = client.post("/edits", json=facts())
        assert (response.status_code, response.json()["code"]) == (503, "unavailable")
        assert response.headers["retry-after"]


@pytest.mark.parametrize("path", ["/jobs/abc", "/jobs", "/models", "/readyz"])
def test_without_redis_everything_that_needs_it_is_unavailable(settings: Settings, path: str) -> None:
    away = settings.model_copy(update={"redis_url": f"unix://{settings.data_dir}/nobody"})
    with TestClient(create_app(away)) as client:
        for response in (client.get(path), client.post("/edits", json=facts())):
            assert (response.status_code, response.json()["code"]) == (503, "redis_unavailable")
            assert response.headers["content-type"] == "application/problem+json"
            assert response.headers["retry-after"]
        assert client.get("/healthz").json()["status"] == "ok"
