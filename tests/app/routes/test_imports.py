"""POST /edits/import: what of a file is queued, what is not and why; sent again, it is not done twice."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from fastapi.testclient import TestClient
from redis import Redis
from rq import Queue

from app.domain import keyspace
from app.domain.contract import EditBatch, ImportReport
from app.domain.errors import PromptTooLong, RequestError, UnknownMethod
from app.domain.problems import problem_of
from app.main import create_app
from app.settings import Settings
from tests.support.data_files import COUNTERFACT, TABLE, as_bytes, as_lines
from tests.support.worker_end import WorkerEnd

NAMES = ("Oslo", "Rome", "Lima", "Kyiv", "Bern", "Riga", "Cairo")
FACTS = [{"subject": name, "prompt": "{} lies in", "object": "Japan"} for name in NAMES]
JSON = {"Content-Type": "application/json"}
CSV = {"Content-Type": "text/csv"}
KEY = {**JSON, "Idempotency-Key": "once"}


def sent(
    client: TestClient, data: bytes, headers: Mapping[str, str] = JSON, **params: str | int | bool
) -> tuple[int, dict[str, Any]]:
    answer = client.post("/edits/import", content=data, headers=dict(headers), params=params)
    told: dict[str, Any] = answer.json()
    return answer.status_code, told


def imported(
    client: TestClient, data: bytes, headers: Mapping[str, str] = JSON, **params: str | int | bool
) -> ImportReport:
    status, told = sent(client, data, headers, **params)
    assert status == (200 if params.get("dry_run") else 202), told
    return ImportReport.model_validate(told)


def queued(redis: Redis) -> list[EditBatch]:
    jobs = Queue(keyspace.queue("atlas"), connection=redis, serializer="json").jobs
    return [EditBatch.model_validate_json(job.args[0]) for job in jobs]


def refusing(worker: WorkerEnd, *subjects: str) -> None:
    """From now on, the worker refuses every fact about one of these."""

    def answers() -> Iterator[tuple[int, str]]:
        while True:
            batch = EditBatch.model_validate_json(worker.asked[-1][1])
            for index, fact in enumerate(batch.facts):
                if fact.subject in subjects:
                    error = PromptTooLong("too long", field=f"facts.{index}.prompt", value=fact.prompt)
                    yield 422, problem_of(error).model_dump_json()
                    break
            else:
                yield 204, ""

    worker.replies["/check"] = answers()


class TestQueued:
    def test_facts_are_queued_in_batches_of_at_most_max_facts(
        self, client: TestClient, worker: WorkerEnd, redis: Redis
    ) -> None:
        report = imported(client, as_bytes(FACTS))
        assert (report.records, report.usable, report.unusable, report.queued) == (7, 7, 0, 7)
        assert [job.facts for job in report.jobs] == [3, 3, 1]
        assert (report.model, report.format, report.checked, report.stopped) == ("atlas", "facts", True, None)
        batches = queued(redis)
        assert [fact.subject for batch in batches for fact in batch.facts] == list(NAMES)
        assert [client.get(f"/jobs/{job.id}").json()["status"] for job in report.jobs] == ["queued"] * 3

    def test_each_format_can_be_queued(self, client: TestClient, worker: WorkerEnd, redis: Redis) -> None:
        imported(client, TABLE.encode(), CSV)
        imported(client, as_bytes(COUNTERFACT), format="counterfact")
        table, counterfact = queued(redis)
        assert table.facts[0].neighbours[0].expected == ("Norway",)
        assert counterfact.facts[0].previous == "Norway"

    def test_options_are_those_of_the_batches(self, client: TestClient, worker: WorkerEnd, redis: Redis) -> None:
        options: dict[str, str | int | bool] = {
            "method": "memit",
            "plan": "even",
            "strict": True,
            "unheld": "keep",
            "chat": True,
            "limit": 2,
            "propose": True,
        }
        report = imported(client, as_bytes(FACTS), JSON, model="atlas", **options)
        assert (report.queued, report.usable, report.beyond_limit) == (2, 7, 5)
        [batch] = queued(redis)
        assert (batch.model, batch.method, batch.plan, batch.strict, batch.unheld) == (
            "atlas",
            "memit",
            "even",
            True,
            "keep",
        )
        assert batch.propose
        assert all(fact.chat for fact in batch.facts)

    def test_what_cannot_be_used_is_told_and_the_rest_is_queued(
        self, client: TestClient, worker: WorkerEnd, redis: Redis
    ) -> None:
        bad = [{**FACTS[0], "object": ""}] * 30
        report = imported(client, as_bytes([*bad, *FACTS[:2]]))
        assert (report.records, report.usable, report.unusable, report.queued) == (32, 2, 30, 2)
        assert report.reasons == {"empty_text": 30}
        assert [each.record for each in report.first_unusable] == list(range(20))
        assert len(queued(redis)) == 1

    def test_a_fact_that_the_worker_refuses_is_left_out_with_its_reason(
        self, client: TestClient, worker: WorkerEnd, redis: Redis
    ) -> None:
        refusing(worker, "Rome", "Bern")
        report = imported(client, as_lines(FACTS), {"Content-Type": "application/x-ndjson"})
        assert [(each.record, each.line, each.code, each.field) for each in report.first_unusable] == [
            (1, 2, "prompt_too_long", "prompt"),
            (4, 5, "prompt_too_long", "prompt"),
        ]
        assert (report.usable, report.queued, report.reasons) == (5, 5, {"prompt_too_long": 2})
        assert [fact.subject for batch in queued(redis) for fact in batch.facts] == [
            name for name in NAMES if name not in ("Rome", "Bern")
        ]

    def test_a_full_queue_stops_it_and_says_what_was_queued(
        self, client: TestClient, worker: WorkerEnd, redis: Redis
    ) -> None:
        many = [{**FACTS[0], "subject": f"town {n}"} for n in range(20)]
        report = imported(client, as_bytes(many))
        assert report.stopped is not None
        assert (report.stopped.code, report.queued, len(report.jobs)) == ("unavailable", 9, 3)


class TestSentAgain:
    def test_the_same_file_gets_the_same_jobs(self, client: TestClient, worker: WorkerEnd, redis: Redis) -> None:
        refusing(worker, "Rome")
        first, second = (imported(client, as_bytes(FACTS), KEY) for _ in range(2))
        assert [job.id for job in first.jobs] == [job.id for job in second.jobs]
        assert first.first_unusable == second.first_unusable
        assert len(queued(redis)) == len(first.jobs)

    def test_so_it_does_after_redis_has_lost_everything(
        self, client: TestClient, worker: WorkerEnd, redis: Redis
    ) -> None:
        first = imported(client, as_bytes(FACTS), KEY)
        redis.flushall()
        worker.join(redis, "atlas")
        second = imported(client, as_bytes(FACTS), KEY)
        assert [job.id for job in first.jobs] == [job.id for job in second.jobs]
        assert len(queued(redis)) == len(first.jobs)

    def test_it_goes_on_where_it_stopped(self, client: TestClient, worker: WorkerEnd, redis: Redis) -> None:
        many = as_bytes([{**FACTS[0], "subject": f"town {n}"} for n in range(12)])
        first = imported(client, many, KEY)
        assert (len(first.jobs), first.stopped is None) == (3, False)
        client.post(f"/jobs/{first.jobs[0].id}/cancel")
        second = imported(client, many, KEY)
        assert (len(second.jobs), second.stopped, second.queued) == (4, None, 12)
        assert [job.id for job in second.jobs[:3]] == [job.id for job in first.jobs]

    def test_another_file_or_another_option_is_refused(self, client: TestClient, worker: WorkerEnd) -> None:
        imported(client, as_bytes(FACTS), KEY)
        for data, params in ((as_bytes(FACTS[:1]), {}), (as_bytes(FACTS), {"limit": 1})):
            status, told = sent(client, data, KEY, **params)
            assert (status, told["code"]) == (422, "idempotency_key_reused")

    def test_without_a_key_it_is_done_again(self, client: TestClient, worker: WorkerEnd, redis: Redis) -> None:
        for _ in range(2):
            imported(client, as_bytes(FACTS[:1]))
        assert len(queued(redis)) == 2


class TestDryRun:
    def test_says_what_would_be_used_and_queues_nothing(
        self, client: TestClient, worker: WorkerEnd, redis: Redis
    ) -> None:
        refusing(worker, "Lima")
        report = imported(client, as_bytes([*FACTS, {"subject": "x", "prompt": "y", "object": "z"}]), dry_run=True)
        assert (report.dry_run, report.checked, report.usable, report.unusable) == (True, True, 6, 2)
        assert report.reasons == {"subject_not_in_prompt": 1, "prompt_too_long": 1}
        assert [fact.subject for fact in report.sample] == ["Oslo", "Rome", "Kyiv"]
        assert (report.jobs, queued(redis)) == ((), [])

    def test_without_a_worker_it_says_that_nobody_looked(self, client: TestClient) -> None:
        report = imported(client, as_bytes(FACTS), dry_run=True)
        assert (report.checked, report.usable) == (False, 7)

    def test_a_file_of_which_nothing_can_be_used_is_told_of_too(self, client: TestClient, worker: WorkerEnd) -> None:
        report = imported(client, as_bytes([{**FACTS[0], "object": None}]), dry_run=True)
        assert (report.usable, report.unusable) == (0, 1)


class TestRefused:
    @pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data", "application/x-www-form-urlencoded", ""])
    def test_what_a_form_of_another_site_could_send(self, client: TestClient, worker: WorkerEnd, kind: str) -> None:
        status, told = sent(client, as_bytes(FACTS), {"Content-Type": kind})
        assert (status, told["code"], told["field"]) == (422, "invalid_request", "Content-Type")
        assert worker.asked == []

    def test_a_file_that_cannot_be_read(self, client: TestClient, worker: WorkerEnd) -> None:
        status, told = sent(client, b"\xff\x00[", CSV)
        assert (status, told["code"]) == (422, "unreadable_file")
        assert sent(client, as_bytes([{"colour": 1}]))[1]["code"] == "unreadable_file"

    def test_a_file_of_which_nothing_can_be_used(self, client: TestClient, worker: WorkerEnd, redis: Redis) -> None:
        refusing(worker, "Rome")
        status, told = sent(client, as_bytes([{**FACTS[0], "object": ""}, FACTS[1]]))
        assert (status, told["code"], told["field"]) == (422, "invalid_request", "records.0")
        assert "1 empty_text, 1 prompt_too_long" in told["detail"]
        assert queued(redis) == []

    def test_a_file_that_is_too_large(self, client: TestClient, worker: WorkerEnd) -> None:
        status, told = sent(client, b"[" + b" " * 8000 + b"]")
        assert (status, told["code"]) == (413, "body_too_large")

    def test_options_that_are_wrong(self, client: TestClient, worker: WorkerEnd) -> None:
        for params, field in (({"format": "xls"}, "format"), ({"limit": 0}, "limit"), ({"model": "../x"}, "model")):
            status, told = sent(client, as_bytes(FACTS), **params)
            assert (status, told["field"]) == (422, field)
        worker.refuses("/check", problem_of(UnknownMethod("no such method", field="method", value="x")))
        assert sent(client, as_bytes(FACTS), method="x")[1]["code"] == "unknown_method"
        assert sent(client, as_bytes(FACTS), model="nobody")[1]["code"] == "unknown_model"

    def test_a_batch_of_which_the_worker_refuses_too_many(self, settings: Settings, worker: WorkerEnd) -> None:
        names = [f"town {n}" for n in range(60)]
        refusing(worker, *names)
        wide = settings.model_copy(update={"max_facts": 100, "max_body_bytes": 100_000})
        with TestClient(create_app(wide), raise_server_exceptions=False) as client:
            status, told = sent(client, as_bytes([{**FACTS[0], "subject": name} for name in names]))
        assert (status, told["code"]) == (422, "prompt_too_long")
        assert len(worker.asked) == 51

    def test_a_condition_on_the_version(self, client: TestClient, worker: WorkerEnd) -> None:
        status, told = sent(client, as_bytes(FACTS), {**JSON, "If-Match": '"0"'})
        assert (status, told["field"]) == (422, "If-Match")

    def test_a_worker_that_refuses_the_whole_batch(self, client: TestClient, worker: WorkerEnd) -> None:
        worker.refuses("/check", problem_of(RequestError("no", field="hyperparameters", value=1)))
        assert sent(client, as_bytes(FACTS))[1]["field"] == "hyperparameters"


def test_the_description_of_the_api_shows_files_that_can_be_sent(client: TestClient, worker: WorkerEnd) -> None:
    described = client.get("/openapi.json").json()["paths"]["/edits/import"]["post"]["requestBody"]["content"]
    assert all(about["examples"] for about in described.values())
    for kind, about in described.items():
        for example in about["examples"].values():
            file = json.dumps(example["value"]) if kind == "application/json" else example["value"]
            report = imported(client, file.encode(), {"Content-Type": kind}, dry_run=True)
            assert (report.usable, report.unusable) == (1, 0)
