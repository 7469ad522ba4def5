"""What was committed reads back; what was not leaves no trace."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.contract import EditReport
from app.domain.errors import (
    Conflict,
    JobFailed,
    ModelMismatch,
    UnknownModel,
    UnknownVersion,
    VersionExists,
)
from app.domain.log.edit_log import EditLog
from app.domain.manifest import LoggedFact
from tests.support.logs import MODEL, UPDATE, base, commit, contents, draft, fact, files_of, log_with

TEXT = st.text(min_size=1, max_size=20)
FACTS = st.builds(
    LoggedFact,
    subject=TEXT,
    prompt=st.tuples(TEXT, TEXT).map(lambda ends: "{}".join(end.replace("{}", "") for end in ends)),
    object=TEXT,
    previous=st.none() | TEXT,
    id=st.none() | TEXT,
    paraphrases=st.lists(TEXT, max_size=2).map(tuple),
    neighbours=st.lists(TEXT, max_size=2).map(tuple),
)
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True).filter(
    lambda name: not name.startswith("manifest.json")
)
BATCHES = st.lists(
    st.tuples(st.lists(FACTS, min_size=1, max_size=3), st.dictionaries(NAMES, st.binary(max_size=300), max_size=3)),
    min_size=1,
    max_size=4,
)


@given(BATCHES)
@settings(max_examples=20, deadline=None)
def test_what_was_committed_reads_back(batches: list[tuple[list[LoggedFact], dict[str, bytes]]]) -> None:
    with tempfile.TemporaryDirectory() as root:
        log = log_with(Path(root))
        written = [log.commit(draft(version, *facts), files) for version, (facts, files) in enumerate(batches, start=1)]
        for reader in (log, EditLog(Path(root), MODEL)):
            assert reader.head() == len(batches)
            assert reader.manifests() == written
            for manifest, (facts, files) in zip(reader.manifests(), batches, strict=True):
                assert manifest.facts == tuple(facts)
                assert set(manifest.files) == set(files)
                for name, data in files.items():
                    assert reader.read(manifest.version, name) == data


def test_a_log_begins_at_the_base(tmp_path: Path) -> None:
    log = EditLog(tmp_path, MODEL)
    assert not log.exists()
    assert EditLog.models(tmp_path) == []
    assert log.find_job("job-1") is None
    with pytest.raises(UnknownModel):
        log.base()
    assert log.create(base()) == base()
    assert log.exists()
    assert EditLog.models(tmp_path) == [MODEL]
    assert (log.head(), log.manifests(), log.facts_in_force(), log.base()) == (0, [], (), base())


def test_the_same_weights_find_their_log(tmp_path: Path) -> None:
    log = log_with(tmp_path, versions=1)
    before = files_of(tmp_path)
    assert log.create(base(source="/elsewhere", preset={})) == base()
    assert files_of(tmp_path) == before


@pytest.mark.parametrize(
    ("field", "other"),
    [
        ("modules", {2: "h.2.mlp"}),
        ("weights_sha256", {2: "0" * 64}),
        ("contexts", ("{}",)),
        ("model", "other"),
    ],
)
def test_other_weights_do_not_take_over_a_log(tmp_path: Path, field: str, other: object) -> None:
    log = log_with(tmp_path)
    with pytest.raises(ModelMismatch) as caught:
        log.create(base(**{field: other}))
    assert caught.value.field == field
    assert log.base() == base()


@pytest.mark.parametrize("version", [-1, 0, 3, 10**9])
def test_a_version_that_is_not_there_is_unknown(tmp_path: Path, version: int) -> None:
    log = log_with(tmp_path, versions=2)
    with pytest.raises(UnknownVersion):
        log.manifest(version)
    with pytest.raises(UnknownVersion):
        log.read(version, UPDATE)
    if version != 0:
        with pytest.raises(UnknownVersion):
            log.facts_in_force(version)


def test_a_job_delivered_twice_commits_once(tmp_path: Path) -> None:
    log = log_with(tmp_path, versions=3)
    before = files_of(tmp_path)
    again = log.commit(draft(4, fact(obj="Chile"), job="job-2"), {UPDATE: b"other factors"})
    assert again == log.manifest(2)
    assert files_of(tmp_path) == before
    assert log.find_job("job-3") == log.manifest(3)
    assert log.find_job("job-4") is None


def test_a_version_is_committed_once_and_without_a_gap(tmp_path: Path) -> None:
    log = log_with(tmp_path, versions=2)
    before = files_of(tmp_path)
    with pytest.raises(VersionExists):
        commit(log, 2, job="late")
    with pytest.raises(Conflict, match="does not follow"):
        commit(log, 4, job="early")
    assert files_of(tmp_path) == before


def test_a_reader_sees_what_another_instance_commits(tmp_path: Path) -> None:
    reader = EditLog(tmp_path, MODEL)
    assert (reader.head(), reader.find_job("job-1")) == (0, None)
    writer = log_with(tmp_path)
    for version in (1, 2):
        written = commit(writer, version)
        assert reader.head() == version
        assert reader.find_job(f"job-{version}") == written


def test_a_log_put_in_anothers_place_is_read_afresh(tmp_path: Path) -> None:
    reader = log_with(tmp_path / "log", versions=2)
    assert reader.find_job("job-2") is not None
    (tmp_path / "log").rename(tmp_path / "old")
    log_with(tmp_path / "log", versions=1)
    assert reader.head() == 1
    assert reader.find_job("job-2") is None


def test_each_manifest_names_its_parent_and_its_files(tmp_path: Path) -> None:
    log = log_with(tmp_path, versions=3)
    parent = tmp_path / MODEL / "base.json"
    for manifest in log.manifests():
        assert manifest.parent == hashlib.sha256(parent.read_bytes()).hexdigest()
        assert manifest.files[UPDATE].sha256 == hashlib.sha256(contents(manifest.version)).hexdigest()
        assert manifest.files[UPDATE].size == len(contents(manifest.version))
        parent = tmp_path / MODEL / "versions" / f"{manifest.version:08d}" / "manifest.json"


def test_a_report_with_a_nan_is_refused_since_it_would_not_read_back(tmp_path: Path) -> None:
    def report(norm: float) -> EditReport:
        return EditReport(
            method="memit",
            plan="boundary",
            layers=(2, 5),
            strict=False,
            hyperparameters={},
            facts=(),
            facts_hold=1.0,
            paraphrases_hold=None,
            neighbours_keep=None,
            update_norms={2: norm, 5: 0.5},
            seconds=1.5,
        )

    log = log_with(tmp_path)
    before = files_of(tmp_path)
    with pytest.raises(JobFailed):
        commit(log, 1, report=report(float("nan")))
    assert files_of(tmp_path) == before
    assert commit(log, 1, report=report(0.25)).report == report(0.25)
