"""POST /query and POST /generate: forwarded to a live worker, answered with the version that spoke."""

from __future__ import annotations

import json

import pytest
from fastapi.testclient import TestClient
from redis import Redis

from app.domain.contract import (
    SLOT,
    Answer,
    Fact,
    Generate,
    GenerateReply,
    Generation,
    Prompt,
    Query,
    QueryReply,
)
from app.domain.errors import PromptTooLong
from app.domain.problems import problem_of
from app.jobs import Jobs
from app.main import create_app
from app.settings import Settings
from tests.app.histories import BATCH, LYON, OSLO, begin, commit
from tests.app.worker_end import WorkerEnd, card, join

QUESTION = {"prompts": [{"prompt": "Lyon is in", "expected": "France"}]}
REPLY = QueryReply(model="atlas", version=3, answers=(Answer(prompt="Lyon is in", text=" France"),))


class TestQuery:
    def test_the_answer_names_the_version_it_was_given_by(self, client: TestClient, worker: WorkerEnd) -> None:
        worker.gives("/probe", REPLY)
        response = client.post("/query", json=QUESTION)
        assert response.status_code == 200
        assert response.headers["x-model-version"] == "3"
        assert QueryReply.model_validate_json(response.content) == REPLY

    def test_the_worker_is_asked_the_whole_question(self, client: TestClient, worker: WorkerEnd) -> None:
        worker.gives("/probe", REPLY)
        client.post("/query", json=QUESTION)
        [(_, body)] = worker.asked
        assert Query.model_validate_json(body).prompts == (Prompt(prompt="Lyon is in", expected="France"),)

    def test_the_next_worker_is_asked_when_one_is_gone(
        self, client: TestClient, worker: WorkerEnd, redis: Redis
    ) -> None:
        join(redis, card("atlas", worker="gone"))
        worker.gives("/probe", REPLY)
        assert [client.post("/query", json=QUESTION).status_code for _ in range(4)] == [200] * 4

    def test_a_workers_refusal_reaches_the_caller(self, client: TestClient, worker: WorkerEnd) -> None:
        problem = problem_of(PromptTooLong("128 tokens at most.", field="prompts.0.prompt", value="Lyon"))
        worker.refuses("/probe", problem)
        response = client.post("/query", json=QUESTION)
        assert response.status_code == 422
        assert response.json() == json.loads(problem.model_dump_json())

    def test_an_answer_that_cannot_be_read_is_unavailable(self, client: TestClient, worker: WorkerEnd) -> None:
        worker.says("/probe", '{"model": "atlas"}', status=200)
        response = client.post("/query", json=QUESTION)
        assert (response.status_code, response.json()["code"]) == (503, "model_unavailable")

    @pytest.mark.parametrize("body", [{}, {"prompts": []}, {**QUESTION, "job": "abc"}])
    def test_either_prompts_or_a_job_is_asked_for(self, client: TestClient, body: object) -> None:
        response = client.post("/query", json=body)
        assert (response.status_code, response.json()["code"]) == (422, "invalid_request")
        assert response.json()["detail"] == "give either prompts or job"

    def test_without_a_worker_it_is_unavailable(self, client: TestClient) -> None:
        response = client.post("/query", json=QUESTION)
        assert (response.status_code, response.json()["code"]) == (503, "model_unavailable")
        assert response.headers["retry-after"]

    def test_a_worker_that_takes_too_long_is_unavailable(
        self, settings: Settings, worker: WorkerEnd, redis: Redis
    ) -> None:
        app = create_app(settings.model_copy(update={"question_timeout_s": 0.3}))
        with worker.silence("/probe"), TestClient(app) as client:
            response = client.post("/query", json=QUESTION)
        assert (response.status_code, response.json()["code"]) == (503, "model_unavailable")
        assert "too long" in response.json()["detail"]


class TestFactsOfAJob:
    def test_are_asked_as_they_were_written(self, client: TestClient, worker: WorkerEnd, settings: Settings) -> None:
        braces = Fact(subject="C{0}", prompt="The set {} has", object="{x}")
        commit(begin(settings), "job1", LYON, braces)
        worker.gives("/probe", REPLY)
        response = client.post("/query", json={"job": "job1"})
        assert response.status_code == 200
        assert response.headers["x-model-version"] == "3"
        [(path, body)] = worker.asked
        assert path == "/probe"
        assert [(asked.prompt, asked.expected) for asked in Query.model_validate_json(body).prompts] == [
            ("Lyon is located in the country of", "Japan"),
            ("The set C{0} has", "{x}"),
        ]

    def test_of_a_large_batch_are_asked_in_parts(
        self, client: TestClient, worker: WorkerEnd, settings: Settings
    ) -> None:
        many = [Fact(subject=f"Town {n}", prompt=f"{SLOT} is in", object="Peru") for n in range(300)]
        commit(begin(settings), "job1", *many)
        worker.gives("/probe", REPLY)
        assert len(client.post("/query", json={"job": "job1"}).json()["answers"]) == 2
        assert [len(Query.model_validate_json(body).prompts) for _, body in worker.asked] == [256, 44]

    def test_are_never_answered_from_two_versions(
        self, client: TestClient, worker: WorkerEnd, settings: Settings
    ) -> None:
        many = [Fact(subject=f"Town {n}", prompt=f"{SLOT} is in", object="Peru") for n in range(300)]
        commit(begin(settings), "job1", *many)
        worker.answers_from(1, 2, 2, 2)
        assert client.post("/query", json={"job": "job1"}).json()["version"] == 2
        worker.answers_from(1, 2)
        response = client.post("/query", json={"job": "job1"})
        assert (response.status_code, response.json()["code"]) == (503, "model_unavailable")

    def test_that_no_question_can_hold_are_refused(
        self, client: TestClient, worker: WorkerEnd, settings: Settings
    ) -> None:
        commit(begin(settings), "job1", Fact(subject="y" * 3000, prompt="x" * 3000 + SLOT, object="Peru"))
        response = client.post("/query", json={"job": "job1"})
        assert (response.status_code, response.json()["code"]) == (422, "prompt_too_long")

    def test_of_an_unknown_job_are_not_found(self, client: TestClient, worker: WorkerEnd) -> None:
        response = client.post("/query", json={"job": "nobody"})
        assert (response.status_code, response.json()["code"]) == (404, "unknown_job")

    def test_of_a_job_that_has_not_committed_are_a_conflict(
        self, client: TestClient, worker: WorkerEnd, jobs: Jobs
    ) -> None:
        job_id = jobs.submit("atlas", BATCH).id
        response = client.post("/query", json={"job": job_id})
        assert (response.status_code, response.json()["code"]) == (409, "conflict")
        assert "queued" in response.json()["detail"]

    def test_belong_to_the_jobs_model(self, client: TestClient, worker: WorkerEnd, settings: Settings) -> None:
        commit(begin(settings), "job1", OSLO)
        response = client.post("/query", json={"job": "job1", "model": "globe"})
        assert (response.status_code, response.json()["field"]) == (422, "model")


class TestGenerate:
    def test_the_text_names_the_version_it_was_written_by(self, client: TestClient, worker: WorkerEnd) -> None:
        reply = GenerateReply(model="atlas", version=2, generations=(Generation(prompt="Oslo", texts=("!",)),))
        worker.gives("/generate", reply)
        request = {"prompts": ["Oslo"], "do_sample": True, "temperature": 0.7, "seed": 5}
        response = client.post("/generate", json=request)
        assert response.headers["x-model-version"] == "2"
        assert GenerateReply.model_validate_json(response.content) == reply
        [(_, body)] = worker.asked
        assert Generate.model_validate_json(body) == Generate.model_validate(request)

    @pytest.mark.parametrize(
        ("change", "field"), [({"top_p": 0}, "top_p"), ({"prompts": []}, "prompts"), ({"seed": -1}, "seed")]
    )
    def test_wrong_parameters_are_named(self, client: TestClient, change: dict[str, object], field: str) -> None:
        response = client.post("/generate", json={"prompts": ["Oslo"], **change})
        assert (response.status_code, response.json()["field"]) == (422, field)
