"""What must not be is found and told: a run that lost, repeated or damaged something does not pass for a good one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.domain.contract import ExportFormat, ExportReport, Job, JobKind, JobOutcome, JobStatus
from app.domain.failpoints import Action, Point
from tests.app.domain.log.test_edit_log_damage import flip_a_bit
from tests.support.crash.cases import CHANGES, FAULTS, FOLLOWING, Case, Kind, matrix, share_of
from tests.support.crash.findings import Finding
from tests.support.crash.forked_worker import Note, note_of
from tests.support.crash.scene import MODEL, START, Ground, Scene
from tests.support.crash.table import Table
from tests.support.turns import done
from tests.support.worker_bench import opened


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return Ground.prepare(tmp_path_factory.mktemp("ground"))


@pytest.fixture
def scene(ground: Ground, redis_url: str) -> Iterator[Scene]:
    with ground.scene(redis_url) as scene:
        scene.redis.flushdb()
        yield scene


def finding() -> Finding:
    return Finding((Point.COMMIT_BEFORE, Action.KILL), "a case")


def served(scene: Scene) -> Note:
    """What the log's own leader has in memory."""
    with opened(scene.ground.model, scene.folder, statistics=scene.ground.statistics) as host:
        return note_of(host)


def test_a_scene_in_which_nothing_happened_is_in_order(scene: Scene) -> None:
    found = finding()
    found.read_version(scene)
    found.look(scene, served(scene))
    assert (found.found, found.bad) == ("N", [])


def test_a_job_that_did_not_end_is_a_loss(scene: Scene) -> None:
    scene.submit(CHANGES[Kind.EDIT])
    found = finding()
    found.look(scene, served(scene))
    assert len(found.losses) == 2  # its state, and its entry in the journal
    assert not found.duplicates
    assert not found.damage


def test_an_export_that_succeeded_and_is_not_there_is_a_loss(scene: Scene) -> None:
    scene.submit(CHANGES[Kind.EXPORT])
    scene.redis.flushdb()
    told = ExportReport(
        format=ExportFormat.UPDATES, version=START, path="", bytes=1, max_logit_difference=0.0, tolerance=0.0
    )
    outcome = JobOutcome(status=JobStatus.SUCCEEDED, exported=told)
    scene.journal.end(Job(id=scene.accepted[0], model=MODEL, kind=JobKind.EXPORT, facts=0, **dict(outcome)))
    found = finding()
    found.look(scene, served(scene))
    assert found.losses == [f"{scene.accepted[0]} succeeded, and left 0 exports, or another than it tells of"]


def test_an_unfinished_export_is_damage(scene: Scene) -> None:
    last = served(scene)
    (scene.folder / "exports" / MODEL / ".left").mkdir(parents=True)
    found = finding()
    found.look(scene, last)
    assert found.damage == [".left was left behind"]


@pytest.mark.parametrize("part", ["version", "weights", "keys", "facts"])
def test_a_worker_that_differs_from_the_log_is_damage(scene: Scene, part: str) -> None:
    other = served(scene).model_copy(update={part: -1 if part == "version" else "0" * 64})
    found = finding()
    found.look(scene, other)
    assert found.damage == [f"{part} are not those of a clean replay"]


def test_unfinished_files_are_damage(scene: Scene) -> None:
    last = served(scene)
    (scene.folder / "log" / "tiny" / "versions" / ".00000009.left").mkdir()
    found = finding()
    found.look(scene, last)
    assert found.damage == [".00000009.left was left behind"]


def test_a_damaged_file_is_damage(scene: Scene) -> None:
    flip_a_bit(scene.folder / "log" / "tiny" / "versions" / "00000001" / "manifest.json")
    found = finding()
    found.read_version(scene)
    assert "the log cannot be read" in found.damage[0]


def test_a_version_too_many_is_damage(scene: Scene, ground: Ground) -> None:
    with opened(ground.model, scene.folder, statistics=ground.statistics) as host:
        for job in ("one", "two"):
            done(host, job, FOLLOWING)
    found = finding()
    found.read_version(scene)
    assert found.found == "?"
    assert found.damage


def test_the_table_counts_what_must_not_be() -> None:
    good, bad = finding(), finding()
    bad.losses, bad.duplicates, bad.damage = ["a"], ["b", "c"], ["d"]
    table = Table([good, bad])
    assert table.bad == [bad]
    assert str(table).splitlines()[-1].split()[-3:] == ["1", "2", "1"]


def test_the_matrix_has_every_point_at_every_time_with_every_fault() -> None:
    cases = matrix({Kind.EDIT: {Point.COMMIT_BEFORE: 1, Point.LOG_WRITE_BEFORE: 2}})
    assert len(cases) == len(set(cases)) == 3 * len(FAULTS)
    assert Case(Kind.EDIT, Point.LOG_WRITE_BEFORE, Action.EIO, 2) in cases


def test_the_same_seed_draws_the_same_share() -> None:
    cases = list(range(100))
    assert share_of(cases, 0.1, 3) == share_of(cases, 0.1, 3) != share_of(cases, 0.1, 4)
    assert share_of(cases, 1.0, 3) == cases


def test_the_folder_is_gone_when_the_scene_is(ground: Ground, redis_url: str) -> None:
    with ground.scene(redis_url) as scene:
        folder: Path = scene.folder
        assert folder.is_dir()
    assert not folder.exists()
