"""The worker's own HTTP: a real server on a loopback port, asked over HTTP."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from threading import Timer

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.domain.contract import (
    TEXT_EVENT,
    AnyVersion,
    Begun,
    CheckedBatches,
    EditBatch,
    GenerateReply,
    Piece,
    Problem,
    QueryReply,
    Scores,
    WorkerCard,
)
from app.domain.errors import SubjectNotInPrompt, Unavailable
from app.domain.log.pages import MovePage
from tests.support.log_lines import log_lines
from tests.support.tiny_models import WINDOW, tiny
from tests.support.worker_process import until
from workers.questions.batches import QuestionBatches
from workers.questions.rows import Live
from workers.questions.texts.text import Order
from workers.questions.texts.text_lane import TextLane
from workers.serving.metrics import Metrics
from workers.serving.server import create_server
from workers.serving.server_thread import ServerThread


class Held:
    """A tiny model at version 3, which says to be at another one when it is told to."""

    name = "tiny"
    publish_waits = False
    held_out: tuple[tuple[int, ...], ...] = ((5, 9, 12), (7, 8))

    def __init__(self) -> None:
        self.version = 3
        self.behind: int | None = 0
        self._live = tiny("gpt2")

    def questions(self, version: AnyVersion | None = None) -> AbstractContextManager[Live]:
        return nullcontext(replace(self._live, version=self.version))

    def held(self, version: AnyVersion | None = None) -> Live:
        return replace(self._live, version=self.version)

    def check(self, batch: EditBatch) -> None:
        fact = batch.facts[0]
        if fact.subject == "busy":
            raise Unavailable("not now")
        if fact.subject == "broken":
            raise ZeroDivisionError
        if fact.subject not in fact.template and "{}" not in fact.template:
            raise SubjectNotInPrompt("the subject is not there", field="prompt", value=fact.template).at("facts.0")

    def update_norms(self, old: int, new: int) -> dict[int, float]:
        return {2: float(new - old)}

    def move_alias(self, move: MovePage) -> MovePage:
        return move.model_copy(update={"version": self.version})

    def card(self) -> WorkerCard:
        return WorkerCard(
            worker="tiny.1",
            model=self.name,
            source="tiny",
            url="http://127.0.0.1:1",
            version=self.version,
            behind=self.behind,
            device="cpu",
            dtype="float64",
            layers=4,
            window=WINDOW,
            methods=("memit",),
            plans=("boundary",),
            default_method="memit",
            default_plan="boundary",
            started=datetime.now(UTC),
        )


@pytest.fixture(scope="module")
def held() -> Held:
    return Held()


@pytest.fixture(scope="module")
def worker(held: Held) -> Iterator[httpx.Client]:
    metrics = Metrics(lambda: held.version)
    batches = QuestionBatches(held, max_batch_tokens=512, threads=1, max_waiting=2)
    server = ServerThread("127.0.0.1", 0)
    server.serve(create_server(held, held.card, metrics, batches))
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=60.0) as client:
        yield client
    server.close()
    batches.close()


def problem(answer: httpx.Response) -> Problem:
    assert answer.headers["content-type"] == "application/problem+json"
    found = Problem.model_validate_json(answer.content)
    assert found.status == answer.status_code
    return found


def batch(subject: str, prompt: str) -> dict[str, object]:
    return {"facts": [{"subject": subject, "prompt": prompt, "object": "Japan"}]}


def test_a_worker_is_ready_while_it_can_look_at_its_log(
    worker: httpx.Client, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = worker.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "detail": "version 3"})
    monkeypatch.setattr(held, "behind", None)
    assert problem(worker.get("/readyz")).code == "unavailable"
    assert worker.get("/healthz").status_code == 200


def test_the_lines_of_a_request_name_the_front_ends_request(
    worker: httpx.Client, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    def talking(_: EditBatch) -> None:
        logging.getLogger("workers.talking").warning("checked")

    monkeypatch.setattr(held, "check", talking)
    with log_lines() as lines:
        worker.post("/check", json=batch("Lyon", "{} lies in"), headers={"X-Request-Id": "r-1"})
        worker.post("/check", json=batch("Lyon", "{} lies in"), headers={"X-Request-Id": "r 1"})
    assert lines.getvalue().count("workers.talking: checked request_id=r-1\n") == 1
    assert lines.getvalue().count("workers.talking: checked\n") == 1


class TestQuestions:
    def test_a_probe_names_the_version_it_saw(self, worker: httpx.Client) -> None:
        answer = worker.post("/probe", json={"prompts": [{"prompt": "Lyon is in", "expected": "France"}]})
        reply = QueryReply.model_validate_json(answer.content)
        assert (answer.status_code, reply.version, answer.headers["x-model-version"]) == (200, 3, "3")
        assert reply.answers[0].expected is not None

    def test_generation_names_the_version_it_saw(self, worker: httpx.Client) -> None:
        answer = worker.post("/generate", json={"prompts": ["Lyon is in"], "do_sample": True, "seed": 1})
        reply = GenerateReply.model_validate_json(answer.content)
        assert (answer.status_code, reply.version, answer.headers["x-model-version"]) == (200, 3, "3")

    def test_a_job_is_not_a_question_for_a_worker(self, worker: httpx.Client) -> None:
        assert problem(worker.post("/probe", json={"job": "abc"})).field == "job"

    def test_a_prompt_beyond_the_window_is_named(self, worker: httpx.Client) -> None:
        found = problem(worker.post("/probe", json={"prompts": [{"prompt": "In"}, {"prompt": "z" * 999}]}))
        assert (found.status, found.code, found.field) == (422, "prompt_too_long", "prompts.1")
        assert len(str(found.value)) <= 200


class TestScores:
    def test_texts_are_scored_with_held_out_ones_behind_them(self, worker: httpx.Client) -> None:
        answer = worker.post("/scores", json={"texts": [{"prompt": "Lyon is a", "object": "city"}], "held_out": 1})
        found = Scores.model_validate_json(answer.content)
        assert (answer.headers["X-Model-Version"], len(found.texts)) == ("3", 1)
        assert [(each.ids, len(each.log_probabilities)) for each in found.held_out] == [((5, 9, 12), 2)]

    def test_a_text_that_is_too_long_is_named_by_its_place(self, worker: httpx.Client) -> None:
        answer = worker.post("/scores", json={"texts": [{"prompt": "Lyon is"}, {"prompt": "Lyon is a city in " * 30}]})
        assert problem(answer).field == "texts.1"

    def test_nothing_asked_is_refused(self, worker: httpx.Client) -> None:
        assert worker.post("/scores", json={}).status_code == 422


def test_how_far_two_versions_are_apart(worker: httpx.Client) -> None:
    assert worker.post("/norms", json={"old": 1, "new": 3}).json() == {"norms": {"2": 2.0}}


def test_a_move_of_an_alias_is_handed_on_and_the_one_that_stands_is_told(worker: httpx.Client, held: Held) -> None:
    move = {"alias": "production", "number": 1, "version": 2, "moved": "2026-01-01T00:00:00Z"}
    answer = worker.post("/aliases", json=move)
    assert MovePage.model_validate_json(answer.content).version == held.version
    assert problem(worker.post("/aliases", json={**move, "alias": "../x"})).status == 422


class TestTexts:
    def test_are_told_line_by_line(self, worker: httpx.Client, held: Held) -> None:
        answer = worker.post("/write", json={"prompts": ["Lyon is", "In"], "n": 2, "max_new_tokens": 5})
        begun, *events = map(TEXT_EVENT.validate_json, answer.text.splitlines())
        assert isinstance(begun, Begun)
        assert (begun.version, len(begun.prompt_tokens)) == (held.version, 2)
        assert answer.headers["x-model-version"] == str(held.version)
        texts = [Piece.model_validate(event.model_dump()) for event in events]
        assert {piece.index: piece.new_tokens for piece in texts if piece.finish} == dict.fromkeys(range(4), 5)
        [generated] = worker.post("/generate", json={"prompts": ["Lyon is"], "max_new_tokens": 5}).json()["generations"]
        assert ["".join(piece.text for piece in texts if piece.index == 0)] == generated["texts"]

    def test_that_are_refused_are_problems(self, worker: httpx.Client) -> None:
        found = problem(worker.post("/write", json={"prompts": ["In", "z" * 2 * WINDOW]}))
        assert (found.status, found.code, found.field) == (422, "prompt_too_long", "prompts.1")

    def test_are_not_written_on_when_nobody_reads_them(
        self, worker: httpx.Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        orders: list[Order] = []
        put = TextLane.put

        def noted(lane: TextLane, order: Order) -> None:
            orders.append(order)
            put(lane, order)

        monkeypatch.setattr(TextLane, "put", noted)
        with monkeypatch.context() as slow:
            slow.setattr("workers.questions.texts.text_lane.Cohort.step", lambda _: time.sleep(0.05))
            with worker.stream("POST", "/write", json={"prompts": ["In"]}) as answer:
                next(answer.iter_lines())
            until(lambda: orders[0].cancelled, "the order goes on")
        assert not orders[0].texts[0].new


class TestLeastVersion:
    def test_is_waited_for(self, worker: httpx.Client, held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
        wanted = held.version + 1
        publish = Timer(0.2, monkeypatch.setattr, (held, "version", wanted))
        publish.start()
        answer = worker.post("/probe", json={"prompts": [{"prompt": "In"}], "min_version": wanted, "wait_seconds": 60})
        publish.join()
        assert (answer.status_code, answer.json()["version"]) == (200, wanted)

    def test_that_is_in_service_is_answered_from_at_once(self, worker: httpx.Client, held: Held) -> None:
        answer = worker.post("/generate", json={"prompts": ["In"], "min_version": held.version, "wait_seconds": 0})
        assert (answer.status_code, answer.headers["x-model-version"]) == (200, str(held.version))

    @pytest.mark.parametrize(("path", "prompts"), [("/probe", [{"prompt": "In"}]), ("/generate", ["In"])])
    def test_that_does_not_come_in_time_is_unavailable(
        self, worker: httpx.Client, held: Held, path: str, prompts: object
    ) -> None:
        wanted = held.version + 1
        answer = worker.post(path, json={"prompts": prompts, "min_version": wanted, "wait_seconds": 0.05})
        found = problem(answer)
        assert (found.status, found.code, found.field) == (503, "version_not_reached", "min_version")
        assert (found.value, answer.headers["retry-after"]) == (wanted, "1")
        assert f"it is {held.version}" in found.detail


class TestCheck:
    def test_a_good_batch_has_no_content(self, worker: httpx.Client) -> None:
        answer = worker.post("/check", json=batch("Lyon", "{} is in"))
        assert (answer.status_code, answer.content) == (204, b"")

    def test_a_fault_is_named_by_field_and_value(self, worker: httpx.Client) -> None:
        found = problem(worker.post("/check", json=batch("Lyon", "It is in")))
        assert (found.code, found.field, found.value) == ("subject_not_in_prompt", "facts.0.prompt", "It is in")

    def test_a_batch_that_is_none_is_invalid_by_field(self, worker: httpx.Client) -> None:
        found = problem(worker.post("/check", json={"facts": [{"subject": "Lyon"}]}))
        assert (found.status, found.code, found.field) == (422, "invalid_request", "facts.0.object")

    def test_not_a_number_can_be_told(self, worker: httpx.Client) -> None:
        body = b'{"facts": [{"subject": "a", "prompt": "{}", "object": "b"}], "verify": {"facts": NaN}}'
        found = problem(worker.post("/check", content=body, headers={"content-type": "application/json"}))
        assert (found.field, found.value) == ("verify.facts", "nan")

    def test_unavailable_says_when_to_try_again(self, worker: httpx.Client) -> None:
        answer = worker.post("/check", json=batch("busy", "{} is in"))
        assert (problem(answer).status, answer.headers["retry-after"]) == (503, "5")

    def test_an_unforeseen_error_shows_no_traceback(self, worker: httpx.Client) -> None:
        answer = worker.post("/check", json=batch("broken", "{} is in"))
        assert problem(answer).code == "internal"
        assert "ZeroDivision" not in answer.text


class TestCheckOfSeveral:
    def asked(self, worker: httpx.Client, *batches: dict[str, object]) -> httpx.Response:
        return worker.post("/checks", json={"batches": batches})

    def test_says_of_each_what_is_wrong_in_the_words_of_a_check_alone(self, worker: httpx.Client) -> None:
        batches = [batch("Lyon", "{} is in"), batch("Lyon", "It is in"), batch("busy", "{} is in")]
        answer = self.asked(worker, *batches)
        assert answer.status_code == 200
        good, *wrong = CheckedBatches.model_validate_json(answer.content).problems
        assert good is None
        assert wrong == [problem(worker.post("/check", json=each)) for each in batches[1:]]

    def test_an_unforeseen_error_in_one_tells_nothing_of_any(self, worker: httpx.Client) -> None:
        answer = self.asked(worker, batch("Lyon", "{} is in"), batch("broken", "{} is in"))
        assert problem(answer).code == "internal"


class TestState:
    def test_the_state_is_the_card(self, worker: httpx.Client) -> None:
        answer = worker.get("/state")
        assert WorkerCard.model_validate_json(answer.content).version == 3

    def test_it_is_healthy(self, worker: httpx.Client) -> None:
        assert worker.get("/healthz").json()["status"] == "ok"

    def test_strange_paths_are_problems(self, worker: httpx.Client) -> None:
        assert problem(worker.get("/nowhere")).code == "not_found"
        assert problem(worker.get("/probe")).code == "method_not_allowed"

    def test_metrics_count_questions_and_tell_the_version(self, worker: httpx.Client) -> None:
        worker.post("/probe", json={"prompts": [{"prompt": "Lyon is in"}]})
        found = {
            sample.name: sample.value
            for family in text_string_to_metric_families(worker.get("/metrics").text)
            for sample in family.samples
            if sample.labels in ({}, {"kind": "probe"})
        }
        assert found["palimpsest_worker_version"] == 3
        assert found["palimpsest_worker_questions_total"] >= 1
        assert found["palimpsest_worker_question_seconds_count"] >= 1


def test_a_taken_port_is_refused_at_once() -> None:
    first = ServerThread("127.0.0.1", 0)
    with pytest.raises(OSError, match="in use"):
        ServerThread("127.0.0.1", first.port)
    first.close()
