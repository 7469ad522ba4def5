"""GET one version, and what lies between two."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.domain.contract import FactKey, FactList, UpdateNorms, VersionDetail, VersionDiff
from app.domain.errors import CompactedVersion
from app.domain.log.edit_log import EditLog
from app.domain.manifest import Draft
from app.domain.problems import problem_of
from app.settings import Settings
from tests.support.histories import LYON, OSLO, REPORT, begin, commit
from tests.support.worker_end import WorkerEnd

CHILE = LYON.model_copy(update={"object": "Chile"})


@pytest.fixture
def log(settings: Settings) -> EditLog:
    """1: Lyon is in Japan. 2: Oslo in Peru, Lyon in Chile. 3: without Oslo. 4: version 1 again."""
    log = begin(settings)
    commit(log, "job1", LYON)
    commit(log, "job2", OSLO, CHILE)
    with log.lead() as epoch:
        log.commit(Draft(version=3, kind="revert", reverted=(FactKey(version=2, index=0),), epoch=epoch), {})
        log.commit(Draft(version=4, kind="rollback", to=1, job="job4", epoch=epoch), {})
    return log


class TestVersion:
    def test_tells_what_it_changed(self, client: TestClient, log: EditLog) -> None:
        told = VersionDetail.model_validate_json(client.get("/models/atlas/versions/2").content)
        assert (told.version, told.kind, told.job, told.facts, told.facts_in_force) == (2, "edit", "job2", 2, 2)
        assert [fact.subject for fact in told.changes.added] == ["Oslo"]
        assert [(each.before.object, each.after.object) for each in told.changes.changed] == [("Japan", "Chile")]
        assert told.report == REPORT
        assert told.update_norms == REPORT.update_norms
        assert (told.parent, told.epoch, told.compacted) == (log.manifest(2).parent, log.manifest(2).epoch, False)

    def test_of_a_revert_and_of_a_rollback(self, client: TestClient, log: EditLog) -> None:
        revert = VersionDetail.model_validate_json(client.get("/models/atlas/versions/3").content)
        assert (revert.kind, [fact.subject for fact in revert.changes.taken_out]) == ("revert", ["Oslo"])
        rollback = VersionDetail.model_validate_json(client.get("/models/atlas/versions/4").content)
        assert (rollback.kind, rollback.to, rollback.job, rollback.facts_in_force) == ("rollback", 1, "job4", 1)

    def test_of_the_base(self, client: TestClient, log: EditLog) -> None:
        base = VersionDetail.model_validate_json(client.get("/models/atlas/versions/0").content)
        assert (base.kind, base.parent, base.facts_in_force) == ("base", None, 0)

    @pytest.mark.parametrize(("version", "code"), [("5", "unknown_version"), ("-1", "invalid_request")])
    def test_that_is_not_there(self, client: TestClient, log: EditLog, version: str, code: str) -> None:
        assert client.get(f"/models/atlas/versions/{version}").json()["code"] == code

    def test_that_is_damaged_is_named_without_the_servers_paths(
        self, client: TestClient, log: EditLog, settings: Settings
    ) -> None:
        path = Path(settings.log_dir) / "atlas" / "versions" / "00000002" / "manifest.json"
        path.write_bytes(b"{}")
        problem = client.get("/models/atlas/versions/2")
        assert (problem.status_code, problem.json()["code"]) == (500, "damaged_version")
        assert problem.json()["value"] == "atlas/versions/00000002/manifest.json"
        assert str(settings.log_dir) not in problem.text
        assert client.get("/models/atlas/versions/1").status_code == 200


class TestDiff:
    def test_tells_facts_and_norms(self, client: TestClient, log: EditLog) -> None:
        told = VersionDiff.model_validate_json(client.get("/models/atlas/versions/diff?from=1&to=2").content)
        assert (told.old, told.new) == (1, 2)
        assert [fact.subject for fact in told.facts.added] == ["Oslo"]
        assert [each.after.object for each in told.facts.changed] == ["Chile"]
        assert told.update_norms == REPORT.update_norms

    def test_has_the_documented_address_only(self, client: TestClient, log: EditLog) -> None:
        assert "/models/{model}/versions/diff" in client.get("/openapi.json").json()["paths"]
        assert client.get("/models/atlas/diff?from=1&to=2").json()["code"] == "not_found"

    def test_of_a_version_with_itself_or_its_like_is_nothing(self, client: TestClient, log: EditLog) -> None:
        for query in ("from=2&to=2", "from=4&to=1"):
            told = VersionDiff.model_validate_json(client.get(f"/models/atlas/versions/diff?{query}").content)
            assert (told.facts.added, told.facts.changed, told.facts.taken_out) == ((), (), ())
            assert told.update_norms == {}

    def test_does_not_guess_norms_that_the_log_cannot_tell(self, client: TestClient, log: EditLog) -> None:
        for query in ("from=0&to=2", "from=2&to=3"):
            assert client.get(f"/models/atlas/versions/diff?{query}").json()["update_norms"] is None

    def test_asks_a_worker_for_them(self, client: TestClient, log: EditLog, worker: WorkerEnd) -> None:
        worker.gives("/norms", UpdateNorms(norms={2: 0.75}))
        assert client.get("/models/atlas/versions/diff?from=2&to=3").json()["update_norms"] == {"2": 0.75}
        assert worker.asked == [("/norms", '{"old":2,"new":3}')]
        worker.refuses("/norms", problem_of(CompactedVersion("gone")))
        assert client.get("/models/atlas/versions/diff?from=2&to=3").json()["update_norms"] is None

    def test_of_what_is_not_there(self, client: TestClient, log: EditLog) -> None:
        assert client.get("/models/atlas/versions/diff?from=0&to=5").json()["code"] == "unknown_version"
        assert client.get("/models/atlas/versions/diff?from=0").status_code == 422


def test_each_fact_in_force_tells_how_to_name_it_to_a_revert(client: TestClient, log: EditLog) -> None:
    facts = FactList.model_validate_json(client.get("/models/atlas/facts?version=2").content).facts
    assert [(fact.subject, fact.version, fact.index) for fact in facts] == [("Oslo", 2, 0), ("Lyon", 2, 1)]
