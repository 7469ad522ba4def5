"""A copy of the log that is made as docs/operations.md says is the whole log, and serves the same bytes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from app.domain.log.check import LogCheck
from tests.support.dockerfiles import ROOT
from tests.support.tiny_models import save_tiny
from tests.support.turns import digest_of, done
from tests.support.worker_bench import batch, opened


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("model") / "tiny")


def test_a_backup_without_hidden_names_is_the_log(model: Path, tmp_path: Path) -> None:
    assert "rsync -a --exclude '.*' <data>/log/ backup/log/" in (ROOT / "docs" / "operations.md").read_text()
    kept, copy = tmp_path / "kept", tmp_path / "copy"
    hidden = shutil.ignore_patterns(".*")
    with opened(model, kept) as host:
        for number, place in enumerate(("Lyon", "Oslo")):
            done(host, f"job{number}", batch(place))
        shutil.copytree(kept / "log", copy / "log", ignore=hidden)  # while it is served
        digest = digest_of(host)
        done(host, "later", batch("Rome"))
    shutil.copytree(kept / "statistics", copy / "statistics", ignore=hidden)
    assert [part.title for part in LogCheck(copy / "log", "tiny").run() if part.damage] == []
    with opened(model, copy) as restored:
        assert (restored.version, digest_of(restored)) == (2, digest)
        assert done(restored, "next", batch("Rome")).version == 3


def test_a_fact_takes_as_many_bytes_of_the_log_as_the_docs_say(model: Path, tmp_path: Path) -> None:
    assert "(inner width + hidden width + inner width) × 4 bytes" in (ROOT / "docs" / "operations.md").read_text()
    sizes: list[int] = []
    with opened(model, tmp_path) as host:
        host.watch_commits(lambda _, size: sizes.append(size))
        report = done(host, "one", batch("Lyon")).report
        hidden, inner = host.live.weights(1).applied.shape
    assert report is not None
    expected = len(report.layers) * (inner + hidden + inner) * 4
    assert expected <= sizes[0] <= expected + 1000  # the file's own header
