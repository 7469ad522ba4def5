"""GET /models and below: what is served, its history, the facts in force."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from redis import Redis

from app.domain.contract import FactList, ModelList, VersionList
from app.settings import Settings
from tests.support.histories import LYON, OSLO, begin, commit
from tests.support.worker_end import WorkerEnd, card, join


class TestModels:
    def test_live_ones_and_remembered_ones_are_listed(
        self, client: TestClient, worker: WorkerEnd, settings: Settings
    ) -> None:
        commit(begin(settings, "globe"), "job1", LYON)
        models = ModelList.model_validate_json(client.get("/models").content).models
        assert [(model.id, model.live, model.version) for model in models] == [
            ("atlas", True, 0),
            ("globe", False, 1),
        ]
        assert [card.url for card in models[0].workers] == [worker.url]

    def test_what_a_model_was_converted_from_is_told(self, client: TestClient, redis: Redis) -> None:
        note = "tiny.gguf (Q4_1) was dequantised to float32"
        join(redis, card("atlas").model_copy(update={"source_note": note}))
        [model] = client.get("/models").json()["models"]
        assert [worker["source_note"] for worker in model["workers"]] == [note]

    def test_a_card_that_cannot_be_read_is_left_out(self, client: TestClient, redis: Redis) -> None:
        join(redis, card("atlas"))
        redis.set("palimpsest:worker:w1", "{}")
        assert client.get("/models").json()["models"] == []


class TestVersions:
    def test_tell_the_history_from_the_base_on(self, client: TestClient, settings: Settings) -> None:
        log = begin(settings)
        commit(log, "job1", LYON)
        commit(log, "job2", OSLO, LYON)
        history = VersionList.model_validate_json(client.get("/models/atlas/versions").content)
        assert (history.model, history.head) == ("atlas", 2)
        assert [(each.version, each.kind, each.job, each.facts) for each in history.versions] == [
            (0, "base", None, 0),
            (1, "edit", "job1", 1),
            (2, "edit", "job2", 2),
        ]
        assert history.versions[2].update_norms == {2: 0.5, 5: 0.25}
        assert history.versions[2].facts_hold == 1.0

    def test_are_told_page_by_page(self, client: TestClient, settings: Settings) -> None:
        log = begin(settings)
        for version in range(1, 6):
            commit(log, f"job{version}", LYON)
        pages, before = list[list[int]](), ""
        while len(pages) < 9:
            response = client.get(f"/models/atlas/versions?limit=2{before}")
            page = VersionList.model_validate_json(response.content)
            assert (page.head, response.headers["ETag"]) == (5, '"5"')
            pages.append([each.version for each in page.versions])
            if not page.has_more:
                break
            before = f"&before={pages[-1][0]}"
        assert pages == [[4, 5], [2, 3], [0, 1]]
        for query, code in (("limit=0", 422), ("limit=1001", 422), ("before=0", 422), ("before=99&limit=1", 200)):
            assert client.get(f"/models/atlas/versions?{query}").status_code == code

    def test_of_a_page_alone_are_read(
        self, client: TestClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        log = begin(settings)
        for version in range(1, 31):
            commit(log, f"job{version}", LYON)
        read, real = set[str](), Path.read_bytes

        def read_bytes(path: Path) -> bytes:
            read.add(path.parent.name)
            return real(path)

        monkeypatch.setattr(Path, "read_bytes", read_bytes)
        client.get("/models/atlas/versions?limit=4").raise_for_status()
        assert read == {f"{version:08d}" for version in (26, 27, 28, 29, 30)}
        read.clear()
        client.get("/models/atlas/versions?limit=4").raise_for_status()
        assert read == set()

    def test_of_an_unknown_model_are_not_found(self, client: TestClient) -> None:
        for path in ("versions", "facts"):
            response = client.get(f"/models/nobody/{path}")
            assert (response.status_code, response.json()["code"]) == (404, "unknown_model")
            assert response.json()["value"] == "nobody"

    def test_a_name_that_is_a_path_reaches_no_file(self, client: TestClient) -> None:
        assert client.get("/models/..%2F..%2Fetc/versions").status_code in (404, 422)
        assert client.get("/models/.hidden/versions").status_code == 422


class TestFactsInForce:
    def test_at_the_newest_version_or_an_earlier_one(self, client: TestClient, settings: Settings) -> None:
        log = begin(settings)
        commit(log, "job1", LYON)
        commit(log, "job2", OSLO, LYON.model_copy(update={"object": "Chile"}))

        def objects(path: str) -> list[tuple[str, str, str]]:
            facts = FactList.model_validate_json(client.get(path).content).facts
            return [(fact.subject, fact.object, fact.job) for fact in facts]

        assert objects("/models/atlas/facts") == [("Oslo", "Peru", "job2"), ("Lyon", "Chile", "job2")]
        assert objects("/models/atlas/facts?version=1") == [("Lyon", "Japan", "job1")]
        assert objects("/models/atlas/facts?version=0") == []

    def test_at_a_version_that_is_not_there(self, client: TestClient, settings: Settings) -> None:
        begin(settings)
        response = client.get("/models/atlas/facts?version=4")
        assert (response.status_code, response.json()["code"]) == (404, "unknown_version")
        assert client.get("/models/atlas/facts?version=-1").json()["field"] == "version"
