"""POST /query and POST /generate: forwarded to a live worker, answered with the version that spoke."""

from __future__ import annotations

import json

import pytest
from fastapi.testclient import TestClient
from redis import Redis

from app.domain.contract import Answer, Fact, Generate, GenerateReply, Generation, Prompt, Query, QueryReply
from app.domain.errors import PromptTooLong, Unauthenticated, VersionNotReached
from app.domain.problems import problem_of
from app.domain.prompts import SLOT
from app.jobs.jobs import Jobs
from app.main import create_app
from app.settings import Settings
from tests.support.histories import LYON, OSLO, accepted, begin, commit
from tests.support.worker_end import WorkerEnd, card, join

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

    def test_a_worker_that_comes_back_elsewhere_is_found_there(self, client: TestClient, redis: Redis) -> None:
        for _ in range(2):
            with WorkerEnd() as end:
                end.join(redis, "atlas", worker="w1")
                end.gives("/probe", REPLY)
                assert client.post("/query", json=QUESTION).status_code == 200

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

    def test_a_worker_that_knows_another_secret_is_unavailable_and_no_fault_of_the_callers(
        self, client: TestClient, worker: WorkerEnd, caplog: pytest.LogCaptureFixture
    ) -> None:
        worker.refuses("/probe", problem_of(Unauthenticated("Send the secret.")))
        response = client.post("/query", json=QUESTION)
        assert (response.status_code, response.json()["code"]) == (503, "model_unavailable")
        assert "www-authenticate" not in response.headers
        assert "PALIMPSEST_WORKER_SECRET must be the same on both sides" in caplog.text


class TestLeastVersion:
    @pytest.mark.parametrize(
        ("path", "end", "question"),
        [("/query", "/probe", QUESTION), ("/generate", "/generate", {"prompts": ["Oslo"]})],
    )
    def test_that_does_not_come_in_time_is_unavailable_for_a_while(
        self, client: TestClient, worker: WorkerEnd, path: str, end: str, question: dict[str, object]
    ) -> None:
        worker.refuses(end, problem_of(VersionNotReached("It is 3.", field="min_version", value=9)))
        response = client.post(path, json={**question, "min_version": 9, "wait_seconds": 0.5})
        assert (response.status_code, response.json()["code"]) == (503, "version_not_reached")
        assert response.headers["retry-after"] == "1"
        [(_, body)] = worker.asked
        assert {"min_version": 9, "wait_seconds": 0.5}.items() <= json.loads(body).items()

    def test_is_asked_of_a_worker_that_has_it(self, client: TestClient, worker: WorkerEnd, redis: Redis) -> None:
        worker.gives("/probe", REPLY)
        join(redis, card("atlas", worker="w1", url=worker.url).model_copy(update={"version": 3}))
        with WorkerEnd() as behind:
            behind.join(redis, "atlas", worker="w2")
            for least in (1, 3, 5):
                for _ in range(4):
                    client.post("/query", json={**QUESTION, "min_version": least})
            assert (len(worker.asked), len(behind.asked)) == (12, 0)

    @pytest.mark.parametrize("wrong", [{"min_version": -1}, {"wait_seconds": 61}])
    def test_is_a_version_and_the_wait_is_bounded(self, client: TestClient, wrong: dict[str, object]) -> None:
        response = client.post("/query", json={**QUESTION, **wrong})
        assert (response.status_code, response.json()["field"]) == (422, *wrong)


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

    def test_are_asked_of_no_earlier_version_than_the_jobs_own(
        self, client: TestClient, worker: WorkerEnd, settings: Settings
    ) -> None:
        log = begin(settings)
        commit(log, "job1", OSLO)
        commit(log, "job2", LYON)
        worker.gives("/probe", REPLY)
        client.post("/query", json={"job": "job2"})
        client.post("/query", json={"job": "job1", "min_version": 7, "wait_seconds": 1})
        asked = [Query.model_validate_json(body) for _, body in worker.asked]
        assert [(query.min_version, query.wait_seconds) for query in asked] == [(2, 10), (7, 1)]

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
        job_id = jobs.submit(accepted()).id
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
