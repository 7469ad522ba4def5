"""What a reader remembers of a log's versions: no fact and no fact's report, until the facts are asked for."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from app.domain.contract import EditReport
from app.domain.errors import DamagedVersion
from app.domain.log.edit_log import EditLog
from app.domain.manifest import Manifest
from tests.support.logs import MODEL, commit, fact, log_with, version_dir

VERSIONS, FACTS = 6, 200


def report(count: int) -> EditReport:
    stands: dict[str, Any] = {"probability": 0.5, "rank": 1}
    one = {"subject": "Lyon", "prompt": "{} lies in", "object": "Japan", "before": stands, "after": stands}
    fields: dict[str, Any] = {"method": "memit", "plan": "boundary", "layers": (2,), "strict": False}
    fields |= {"hyperparameters": {}, "facts_hold": 1.0, "paraphrases_hold": None, "neighbours_keep": None}
    facts = [{**one, "index": at, "holds": True, "share": {2: 0.5, 5: 0.5}} for at in range(count)]
    return EditReport.model_validate({**fields, "update_norms": {2: 0.25}, "seconds": 1.0, "facts": facts})


@pytest.fixture
def log(tmp_path: Path) -> EditLog:
    """A log that another reader looks at: of so many versions, with so many facts each."""
    writer = log_with(tmp_path)
    with writer.lead() as epoch:
        for version in range(1, VERSIONS + 1):
            facts = (fact(f"City {version}.{at}", "{} lies in the country of") for at in range(FACTS))
            commit(writer, version, *facts, report=report(FACTS), epoch=epoch)
    return EditLog(tmp_path, MODEL)


def written(folder: Path, version: int) -> Manifest:
    return Manifest.model_validate_json((version_dir(folder, version) / "manifest.json").read_bytes())


def taken(log: EditLog, job: str) -> int:
    """Bytes that stay in use after the log was looked through for a job that is not there."""
    tracemalloc.start()
    try:
        assert log.find_job(job) is None
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


def test_facts_do_not_stay_in_memory_after_a_job_was_looked_for(log: EditLog) -> None:
    assert taken(log, "nobody") < 3 * FACTS * 3000, "the one that was read last, and outlines"
    outlines = [log.outline(version) for version in range(1, VERSIONS + 1)]
    assert [(each.version, each.job) for each in outlines] == [(each, f"job-{each}") for each in range(1, VERSIONS + 1)]
    assert {(each.facts, each.report.facts if each.report else None) for each in outlines} == {((), ())}


def test_every_version_is_told_whole_in_any_order(log: EditLog, tmp_path: Path) -> None:
    for version in (1, VERSIONS, 1, 3, 2, 3):
        assert log.manifest(version) == written(tmp_path, version)
        found = log.find_job(f"job-{version}")
        assert found == written(tmp_path, version)
    assert [each.version for each in log.newest_first()] == list(range(VERSIONS, 0, -1))


def test_the_versions_together_have_their_facts_and_their_reports_but_no_facts_reports(
    log: EditLog, tmp_path: Path
) -> None:
    log.find_job("nobody")
    found = log.manifests()
    assert found == [written(tmp_path, version).without_reports for version in range(1, VERSIONS + 1)]
    assert {len(each.facts) for each in found} == {FACTS}
    assert len(log.facts_in_force()) == VERSIONS * FACTS
    log.manifest(1)
    assert log.manifests() == found, "whoever asks for one version takes nothing from what was remembered"


def test_one_that_is_damaged_since_it_was_read_is_not_told(log: EditLog, tmp_path: Path) -> None:
    log.find_job("nobody")
    page = version_dir(tmp_path, 2) / "manifest.json"
    page.write_bytes(page.read_bytes().replace(b"City 2.7", b"City 2.8"))
    with pytest.raises(DamagedVersion, match="00000002"):
        log.manifest(2)
    with pytest.raises(DamagedVersion, match="00000002"):
        log.manifests()
    assert log.manifest(1) == written(tmp_path, 1)
