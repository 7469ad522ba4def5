"""Proposals over HTTP: told as long as they wait; published and dropped by jobs; the proposing job tells the truth."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from redis import Redis
from rq import Queue
from rq.job import Job as QueuedJob
from rq.serializers import JSONSerializer

from app.domain import keyspace
from app.domain.contract import Answer, QueryReply
from app.domain.errors import TooManyProposals
from app.domain.log.edit_log import EditLog
from app.domain.log.pages import ProposalPage
from app.domain.manifest import Draft, LoggedFact
from app.domain.problems import problem_of
from app.jobs.jobs import Jobs
from app.settings import Settings
from tests.support.front_end_answers import posted
from tests.support.histories import BATCH, LYON, OSLO, REPORT, begin, commit
from tests.support.worker_end import WorkerEnd

PROPOSALS = "/models/atlas/proposals"
NOBODY = f"{PROPOSALS}/proposed-00000000"


@pytest.fixture
def log(settings: Settings, worker: WorkerEnd) -> EditLog:
    """The model, with a live worker, at version 1."""
    log = begin(settings)
    commit(log, "job1", OSLO)
    return log


def propose(log: EditLog, job: str = "proposing") -> ProposalPage:
    logged = LoggedFact(subject=LYON.subject, prompt=LYON.template, object=LYON.object)
    with log.lead() as epoch:
        draft = Draft(version=log.head() + 1, job=job, facts=(logged,), report=REPORT, epoch=epoch)
        expires = datetime.now(UTC) + timedelta(days=1)
        return log.propose(draft, {"update": b"1234"}, BATCH, expires, by="anna")


def publish(log: EditLog, page: ProposalPage, job: str) -> None:
    with log.lead() as epoch:
        draft = page.draft.model_copy(update={"job": job, "epoch": epoch, "proposal": page.id})
        log.commit(draft, {"update": b"1234"})


def queued(redis: Redis) -> list[QueuedJob]:
    return Queue(keyspace.queue("atlas"), connection=redis, serializer=JSONSerializer).jobs


class TestTold:
    def test_none_wait(self, client: TestClient, log: EditLog) -> None:
        assert client.get(PROPOSALS).json() == {"model": "atlas", "proposals": []}

    def test_with_report_one_by_one_and_without_in_the_list(self, client: TestClient, log: EditLog) -> None:
        page = propose(log)
        told = client.get(f"{PROPOSALS}/{page.id}").json()
        assert (told["id"], told["name"], told["job"], told["by"]) == (page.id, f"atlas@{page.id}", "proposing", "anna")
        assert (told["version"], told["current"], told["facts"], told["bytes"]) == (1, True, 1, 4)
        assert told["report"] == json.loads(REPORT.model_dump_json())
        [listed] = client.get(PROPOSALS).json()["proposals"]
        assert listed == told | {"report": None}
        commit(log, "job2", OSLO)
        assert client.get(f"{PROPOSALS}/{page.id}").json()["current"] is False

    @pytest.mark.parametrize(
        ("path", "status", "code"),
        [
            (NOBODY, 404, "unknown_proposal"),
            ("/models/nobody/proposals", 404, "unknown_model"),
            (f"{PROPOSALS}/proposed-1", 422, "invalid_request"),
            (f"{PROPOSALS}/proposed-0000000a", 422, "invalid_request"),
            (f"{PROPOSALS}/1", 422, "invalid_request"),
        ],
    )
    def test_what_is_not_there_is_said_so(
        self, client: TestClient, log: EditLog, path: str, status: int, code: str
    ) -> None:
        response = client.get(path)
        assert (response.status_code, response.json()["code"]) == (status, code)

    def test_the_version_that_one_became_names_it(self, client: TestClient, log: EditLog) -> None:
        page = propose(log)
        publish(log, page, "publishing")
        assert client.get("/models/atlas/versions/2").json()["proposal"] == page.id
        assert client.get(f"{PROPOSALS}/{page.id}").json()["code"] == "unknown_proposal"
        assert client.get(PROPOSALS).json()["proposals"] == []


class TestDecided:
    @pytest.mark.parametrize("decision", ["publish", "drop"])
    def test_is_queued_for_the_worker(self, client: TestClient, log: EditLog, redis: Redis, decision: str) -> None:
        page = propose(log)
        response = posted(client, f"{PROPOSALS}/{page.id}/{decision}", headers={"If-Match": '"1"'})
        job = response.json()
        assert (response.status_code, response.headers["location"]) == (202, f"/jobs/{job['id']}")
        assert (job["kind"], job["status"], job["model"]) == (decision, "queued", "atlas")
        [found] = queued(redis)
        assert (found.id, found.func_name) == (job["id"], f"workers.jobs.{decision}")
        assert json.loads(found.args[0]) == {decision: page.id}
        assert found.kwargs == {"expected_version": 1}

    @pytest.mark.parametrize("decision", ["publish", "drop"])
    def test_of_what_does_not_wait_it_is_refused(
        self, client: TestClient, log: EditLog, redis: Redis, decision: str
    ) -> None:
        assert posted(client, f"{NOBODY}/{decision}").json()["code"] == "unknown_proposal"
        assert posted(client, f"/models/nobody/proposals/proposed-00000000/{decision}").status_code == 404
        assert posted(client, f"{PROPOSALS}/1/{decision}").status_code == 422
        page = propose(log)
        stale = posted(client, f"{PROPOSALS}/{page.id}/{decision}", headers={"If-Match": '"0"'})
        assert (stale.status_code, stale.json()["code"]) == (412, "precondition_failed")
        assert queued(redis) == []

    def test_of_a_damaged_one_only_the_drop_is_queued(
        self, client: TestClient, log: EditLog, redis: Redis, settings: Settings
    ) -> None:
        page = propose(log)
        [kept] = Path(settings.log_dir).glob("atlas/proposals/*/proposal.json")
        kept.write_bytes(b"{}")
        assert posted(client, f"{PROPOSALS}/{page.id}/publish").json()["code"] == "damaged_version"
        assert posted(client, f"{PROPOSALS}/{page.id}/drop").status_code == 202
        [found] = queued(redis)
        assert json.loads(found.args[0]) == {"drop": page.id}

    def test_sent_twice_is_one_job(self, client: TestClient, log: EditLog, redis: Redis) -> None:
        page, key = propose(log), {"Idempotency-Key": "once"}
        first, again = (posted(client, f"{PROPOSALS}/{page.id}/publish", headers=key) for _ in range(2))
        assert first.json()["id"] == again.json()["id"]
        other = posted(client, f"{PROPOSALS}/{page.id}/drop", headers=key)
        assert other.json()["code"] == "idempotency_key_reused"
        assert len(queued(redis)) == 1

    def test_the_publishing_job_is_told_by_the_log_alone(self, client: TestClient, log: EditLog, redis: Redis) -> None:
        page = propose(log)
        job = posted(client, f"{PROPOSALS}/{page.id}/publish").json()["id"]
        publish(log, page, job)
        redis.flushall()
        told = client.get(f"/jobs/{job}").json()
        assert (told["kind"], told["status"], told["version"], told["proposal"]) == ("publish", "succeeded", 2, page.id)

    def test_a_published_edit_can_be_taken_out_by_its_publishing_job(
        self, client: TestClient, log: EditLog, redis: Redis
    ) -> None:
        publish(log, propose(log), "publishing")
        taken = client.delete("/edits/publishing")
        assert (taken.status_code, taken.json()["facts"]) == (202, 1)


class TestTheProposingJob:
    def test_is_proposed_and_in_no_way_published(self, client: TestClient, log: EditLog, redis: Redis) -> None:
        body = json.loads(BATCH.model_dump_json(exclude_defaults=True)) | {"propose": True}
        job = posted(client, "/edits", body).json()["id"]
        assert json.loads(queued(redis)[0].args[0])["propose"] is True
        page = propose(log, job)
        for _ in range(2):
            told = client.get(f"/jobs/{job}").json()
            assert (told["kind"], told["status"], told["version"]) == ("edit", "proposed", None)
            assert (told["proposal"], told["error"]) == (page.id, None)
            assert told["report"]["facts_hold"] == 1.0
            redis.flushall()
        refused = posted(client, "/query", {"job": job}).json()
        assert refused["code"] == "conflict"
        assert "is proposed" in refused["detail"]
        assert client.delete(f"/edits/{job}").json()["code"] == "conflict"
        assert posted(client, f"/jobs/{job}/cancel").json()["code"] == "conflict"

    @pytest.mark.parametrize("decision", ["publish", "drop"])
    def test_does_not_come_again_when_its_proposal_is_gone_and_redis_has_lost_it(
        self, client: TestClient, log: EditLog, redis: Redis, jobs: Jobs, decision: str
    ) -> None:
        body = json.loads(BATCH.model_dump_json(exclude_defaults=True)) | {"propose": True}
        job = posted(client, "/edits", body).json()["id"]
        page = propose(log, job)
        decided = posted(client, f"{PROPOSALS}/{page.id}/{decision}").json()["id"]
        with log.lead() as epoch:
            log.drop(page.id, epoch)
        redis.flushall()
        jobs.look_after()
        assert [each.id for each in queued(redis)] == [decided]
        assert client.get(f"/jobs/{job}").json()["status"] == "proposed"

    def test_that_redis_lost_before_its_end_was_noted_is_not_queued_again(
        self, client: TestClient, log: EditLog, redis: Redis, jobs: Jobs
    ) -> None:
        body = json.loads(BATCH.model_dump_json(exclude_defaults=True)) | {"propose": True}
        job = posted(client, "/edits", body).json()["id"]
        propose(log, job)
        redis.flushall()
        jobs.look_after()
        assert queued(redis) == []
        assert client.get(f"/jobs/{job}").json()["status"] == "proposed"

    def test_is_refused_while_too_many_wait(self, client: TestClient, worker: WorkerEnd, redis: Redis) -> None:
        worker.refuses("/check", problem_of(TooManyProposals("16 proposals of atlas wait", value=16)))
        body = json.loads(BATCH.model_dump_json(exclude_defaults=True)) | {"propose": True}
        response = posted(client, "/edits", body)
        assert (response.status_code, response.json()["code"]) == (409, "too_many_proposals")
        assert queued(redis) == []


class TestAsked:
    def test_by_its_id_as_the_version(self, client: TestClient, worker: WorkerEnd) -> None:
        reply = QueryReply(model="atlas", version="proposed-00000042", answers=(Answer(prompt="Hm", text="!"),))
        worker.gives("/probe", reply)
        response = posted(client, "/query", {"prompts": [{"prompt": "Hm"}], "version": "proposed-00000042"})
        assert response.json()["version"] == response.headers["x-model-version"] == "proposed-00000042"
        [(_, asked)] = worker.asked
        assert json.loads(asked)["version"] == "proposed-00000042"

    @pytest.mark.parametrize("version", ["proposed-42", "../base", "-1", -1, 1.5, "proposed-0000004２"])
    def test_by_nothing_else(self, client: TestClient, worker: WorkerEnd, version: object) -> None:
        response = posted(client, "/query", {"prompts": [{"prompt": "Hm"}], "version": version})
        assert (response.status_code, response.json()["code"]) == (422, "invalid_request")
        assert worker.asked == []
