"""Aliases over HTTP: they are moved by those who know where they point to, and asked like versions."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from redis import Redis

from app.access.caller import Scope
from app.domain.contract import Alias, AliasList, Begun, GenerateReply, Piece, Problem
from app.domain.log.edit_log import EditLog
from app.domain.log.pages import MovePage
from app.main import create_app
from app.settings import Settings
from tests.support.api_keys import key_for
from tests.support.histories import LYON, begin, commit
from tests.support.log_lines import log_lines
from tests.support.worker_end import WorkerEnd

ALIASES = "/models/atlas/aliases"
PRODUCTION = f"{ALIASES}/production"


@pytest.fixture
def log(settings: Settings, worker: WorkerEnd) -> EditLog:
    """Versions 1 and 2, in a log that the worker writes moves into."""
    return worker.of_two_versions(settings)


def put(client: TestClient, version: Any, path: str = PRODUCTION, **headers: str) -> Any:
    return client.put(path, json={"version": version}, headers=headers)


def code(answer: Any) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, Problem.model_validate_json(answer.content).code


@pytest.mark.usefixtures("log")
class TestMoving:
    def test_it_is_made_moved_and_moved_back(self, client: TestClient) -> None:
        made = put(client, 2)
        assert (made.status_code, made.headers["ETag"]) == (201, '"2"')
        moved = put(client, 1, **{"If-Match": made.headers["ETag"]})
        assert (moved.status_code, moved.headers["ETag"], moved.json()["version"]) == (200, '"1"', 1)
        back = Alias.model_validate_json(put(client, 2, **{"If-Match": '"1"'}).content)
        assert (back.id, back.version) == ("atlas@production", 2)
        assert [(move.number, move.version) for move in back.moves] == [(3, 2), (2, 1), (1, 2)]
        shown = client.get(PRODUCTION)
        assert (shown.headers["ETag"], Alias.model_validate_json(shown.content)) == ('"2"', back)

    def test_the_base_can_be_pointed_to(self, client: TestClient) -> None:
        assert put(client, 0).json()["version"] == 0
        assert put(client, 1, **{"If-Match": '"0"'}).status_code == 200

    def test_one_that_is_there_is_moved_only_from_where_it_points(self, log: EditLog, client: TestClient) -> None:
        put(client, 2)
        assert code(put(client, 1)) == (428, "precondition_required")
        assert code(put(client, 1, **{"If-Match": '"1"'})) == (412, "precondition_failed")
        assert code(put(client, 1, **{"If-Match": 'W/"2"'})) == (412, "precondition_failed")
        assert code(put(client, 1, **{"If-None-Match": "*"})) == (412, "precondition_failed")
        assert code(put(client, 1, **{"If-Match": "2"})) == (422, "invalid_request")
        assert code(put(client, 1, **{"If-None-Match": '"1"'})) == (422, "invalid_request")
        assert log.aliases.pointing() == {"production": 2}
        assert put(client, 1, **{"If-Match": "*"}).status_code == 200

    def test_one_that_is_not_there_is_moved_from_nowhere(self, log: EditLog, client: TestClient) -> None:
        for condition in ('"2"', "*"):
            assert code(put(client, 1, **{"If-Match": condition})) == (412, "precondition_failed")
        assert log.aliases.names() == []
        assert put(client, 1, **{"If-None-Match": "*"}).status_code == 201

    def test_to_where_it_points_already_it_is_no_move(self, log: EditLog, client: TestClient) -> None:
        put(client, 2)
        assert put(client, 2, **{"If-Match": '"2"'}).status_code == 200
        assert log.aliases.numbers("production") == [1]

    def test_only_versions_that_are_there_can_be_pointed_to(self, log: EditLog, client: TestClient) -> None:
        answer = put(client, 3)
        assert code(answer) == (404, "unknown_version")
        assert (answer.json()["field"], answer.json()["value"]) == ("version", 3)
        for wrong in (-1, "proposed-00000001", None, 1.5):
            assert put(client, wrong).status_code == 422
        assert client.put(PRODUCTION, json={}).status_code == 422
        assert log.aliases.names() == []

    @pytest.mark.parametrize(
        "name", ["7", "7a", "Production", "proposed-00000001", "proposed-x", "a_b", "a.b", "a" * 64, "é", "-a"]
    )
    def test_other_names_are_refused(self, client: TestClient, name: str) -> None:
        for answer in (put(client, 1, f"{ALIASES}/{name}"), client.get(f"{ALIASES}/{name}")):
            assert answer.status_code == 422, answer.text
            assert answer.json()["field"] == "alias"

    def test_names_may_be_as_long_as_they_are_described(self, client: TestClient) -> None:
        for name in ("a", "a1-b", "a" * 63):
            assert put(client, 1, f"{ALIASES}/{name}").status_code == 201

    def test_it_is_removed_under_the_same_conditions_and_its_moves_stay(self, client: TestClient) -> None:
        assert code(client.delete(PRODUCTION)) == (404, "unknown_alias")
        put(client, 2)
        assert code(client.delete(PRODUCTION)) == (428, "precondition_required")
        assert code(client.delete(PRODUCTION, headers={"If-Match": '"1"'})) == (412, "precondition_failed")
        gone = client.delete(PRODUCTION, headers={"If-Match": '"2"'})
        assert (gone.status_code, gone.json()["version"], gone.json()["number"]) == (200, None, 2)
        assert code(client.get(PRODUCTION)) == (404, "unknown_alias")
        assert AliasList.model_validate_json(client.get(ALIASES).content).aliases == ()
        assert [move["version"] for move in put(client, 1).json()["moves"]] == [1, None, 2]

    def test_all_are_listed_by_name(self, client: TestClient) -> None:
        put(client, 2)
        put(client, 1, f"{ALIASES}/canary")
        found = AliasList.model_validate_json(client.get(ALIASES).content)
        assert [(each.name, each.version, each.moves) for each in found.aliases] == [
            ("canary", 1, ()),
            ("production", 2, ()),
        ]

    def test_a_model_without_a_log_has_none(self, client: TestClient) -> None:
        for answer in (client.get("/models/other/aliases"), put(client, 0, "/models/other/aliases/production")):
            assert code(answer) == (404, "unknown_model")

    def test_who_moved_it_is_told_and_logged(self, settings: Settings, redis: Redis) -> None:
        ann = key_for(settings, "ann", [Scope.QUERY, Scope.PUBLISH])
        with TestClient(create_app(settings)) as client, log_lines() as lines:
            assert put(client, 2, **ann).status_code == 201
            put(client, 1, **ann, **{"If-Match": '"2"'})
            found = Alias.model_validate_json(client.get(PRODUCTION, headers=ann).content)
        assert [(move.version, move.by) for move in found.moves] == [(1, "ann"), (2, "ann")]
        assert (datetime.now(UTC) - found.moved).total_seconds() < 60
        assert "production: 2 to 1, by ann" in lines.getvalue()


class TestRaces:
    def test_of_two_front_ends_one_moves_it_and_the_other_is_told(
        self, settings: Settings, log: EditLog, client: TestClient
    ) -> None:
        commit(log, "job3", LYON)
        put(client, 1)
        with TestClient(create_app(settings)) as other, ThreadPoolExecutor(2) as pool:
            for _ in range(5):
                moves = [
                    pool.submit(put, end, version, **{"If-Match": '"1"'}) for end, version in ((client, 2), (other, 3))
                ]
                statuses = sorted(move.result().status_code for move in moves)
                assert statuses == [200, 412]
                assert put(client, 1, **{"If-Match": "*"}).status_code == 200
        assert len(log.aliases.numbers("production")) == 11

    def test_one_whose_place_was_taken_looks_again(self, log: EditLog, client: TestClient, worker: WorkerEnd) -> None:
        """Somebody moves it between the look and the move: from where the caller said, it is not moved any more."""
        put(client, 1)
        keep = worker.answers["/aliases"]

        def overtaken(body: str) -> tuple[int, str]:
            worker.answers["/aliases"] = keep
            log.move_alias(MovePage(alias="production", number=2, version=0, moved=datetime.now(UTC)))
            return keep(body)

        worker.answers["/aliases"] = overtaken
        assert code(put(client, 2, **{"If-Match": '"1"'})) == (412, "precondition_failed")
        worker.answers["/aliases"] = lambda body: keep(json.dumps({**json.loads(body), "version": 1, "by": "bob"}))
        assert put(client, 2, **{"If-Match": "*"}).status_code == 409
        assert [page.version for page in log.aliases.newest_first("production")][-2:] == [0, 1]

    def test_without_a_worker_nothing_is_moved(self, client: TestClient, settings: Settings) -> None:
        begin(settings)
        answer = put(client, 0)
        assert code(answer) == (503, "model_unavailable")
        assert "Retry-After" in answer.headers

    def test_one_whose_tensors_were_removed_cannot_be_pointed_to(self, log: EditLog, client: TestClient) -> None:
        log.write_snapshot(2, {})
        log.compact(before=2)
        assert code(put(client, 1)) == (409, "compacted_version")
        assert put(client, 2).status_code == 201

    def test_a_damaged_move_is_told(self, log: EditLog, client: TestClient, settings: Settings) -> None:
        put(client, 1)
        [page] = Path(settings.data_dir).rglob("aliases/*/*/move.json")
        page.write_bytes(b"?")
        for answer in (client.get(PRODUCTION), put(client, 2, **{"If-Match": '"1"'})):
            assert code(answer) == (500, "damaged_version")


class TestAsking:
    @pytest.fixture(autouse=True)
    def production(self, log: EditLog, client: TestClient) -> None:
        assert put(client, 1).status_code == 201

    def test_a_query_asks_the_version_that_it_points_to(self, client: TestClient, worker: WorkerEnd) -> None:
        worker.answers_from(1)
        answer = client.post("/query", json={"prompts": [{"prompt": "Lyon is in"}], "version": "production"})
        assert (answer.headers["X-Model-Version"], answer.json()["version"]) == ("1", 1)
        assert json.loads(worker.asked[-1][1])["version"] == 1

    def test_so_does_one_for_the_facts_of_a_job(self, client: TestClient, worker: WorkerEnd) -> None:
        worker.answers_from(1)
        assert client.post("/query", json={"job": "job1", "version": "production"}).status_code == 200
        assert json.loads(worker.asked[-1][1])["version"] == 1

    def test_free_text_is_written_by_it(self, client: TestClient, worker: WorkerEnd) -> None:
        worker.gives("/generate", GenerateReply(model="atlas", version=1, generations=()))
        answer = client.post("/generate", json={"prompts": ["Lyon is in"], "version": "production"})
        assert answer.headers["X-Model-Version"] == "1"
        assert json.loads(worker.asked[-1][1])["version"] == 1

    @pytest.mark.parametrize("path", ["completions", "chat/completions"])
    def test_what_openais_clients_ask_names_the_version(self, client: TestClient, worker: WorkerEnd, path: str) -> None:
        events = [Begun(version=1, prompt_tokens=(3,)), Piece(index=0, text=" Peru", finish="stop", new_tokens=1)]
        worker.says("/write", "".join(f"{event.model_dump_json()}\n" for event in events))
        asked = {"prompt": "Lyon is in"} if path == "completions" else {"messages": [{"role": "user", "content": "?"}]}
        answer = client.post(f"/v1/{path}", json={"model": "atlas@production", **asked})
        assert answer.json()["system_fingerprint"] == answer.json()["model"] == "atlas@1"
        assert answer.headers["X-Model-Version"] == "1"
        assert json.loads(worker.asked[-1][1])["version"] == 1

    def test_all_are_among_openais_models(self, client: TestClient, settings: Settings) -> None:
        assert put(client, 0, f"{ALIASES}/base").status_code == 201
        put(client, 2, f"{ALIASES}/broken")
        put(client, 2, f"{ALIASES}/gone")
        client.delete(f"{ALIASES}/gone", headers={"If-Match": "*"})
        [page] = Path(settings.data_dir).rglob("aliases/broken/*/move.json")
        page.write_bytes(b"?")
        found = client.get("/v1/models").json()["data"]
        assert [(each["id"], each["version"]) for each in found] == [
            ("atlas", 0),
            ("atlas@base", 0),
            ("atlas@production", 1),
        ]
        for each in found:
            asked = client.get(f"/v1/models/{each['id']}").json()
            assert (asked["created"], asked["version"]) == (each["created"], each["version"])

    def test_it_is_one_of_openais_models(self, client: TestClient) -> None:
        found = client.get("/v1/models/atlas@production").json()
        assert (found["id"], found["version"]) == ("atlas@1", 1)

    def test_moved_it_answers_from_elsewhere_at_once(self, client: TestClient, worker: WorkerEnd) -> None:
        worker.answers_from(2)
        put(client, 2, **{"If-Match": '"1"'})
        client.post("/query", json={"prompts": [{"prompt": "Lyon is in"}], "version": "production"})
        assert json.loads(worker.asked[-1][1])["version"] == 2

    def test_one_that_is_not_there_is_not_found(self, client: TestClient) -> None:
        asked = {"prompts": [{"prompt": "Lyon is in"}], "version": "canary"}
        answer = client.post("/query", json=asked)
        assert (code(answer), answer.json()["field"]) == ((404, "unknown_alias"), "version")
        assert code(client.post("/generate", json={"prompts": ["?"], "version": "canary"})) == (404, "unknown_alias")
        refused = client.post("/v1/completions", json={"model": "atlas@canary", "prompt": "?"})
        assert (code(refused), refused.json()["error"]["param"]) == ((404, "unknown_alias"), "model")
        assert code(client.get("/v1/models/atlas@canary")) == (404, "unknown_alias")
        for strange in ("Production", "proposed-1"):
            assert client.post("/query", json={**asked, "version": strange}).status_code == 422
            assert code(client.get(f"/v1/models/atlas@{strange}")) == (404, "unknown_version")

    def test_a_key_for_other_models_finds_none(self, settings: Settings, worker: WorkerEnd) -> None:
        other = key_for(settings, "other", [Scope.QUERY, Scope.PUBLISH], models=["elsewhere"])
        with TestClient(create_app(settings)) as client:
            for answer in (client.get(ALIASES, headers=other), put(client, 2, **other, **{"If-Match": "*"})):
                assert code(answer) == (404, "unknown_model")
