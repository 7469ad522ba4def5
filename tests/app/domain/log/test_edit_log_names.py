"""No name that a caller sends becomes a path."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from app.domain.errors import (
    NotFound,
    UnknownModel,
)
from app.domain.log.edit_log import EditLog
from tests.support.logs import MODEL, draft, files_of, log_with


@pytest.mark.parametrize("name", ["../x", "..", ".", "", "a/b", "/etc", ".hidden", "a\n", "a\0", "x" * 121])
def test_a_models_name_is_never_a_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnknownModel) as caught:
        EditLog(tmp_path, name)
    assert caught.value.value == name


def test_a_folder_whose_name_no_model_can_have_is_no_log(tmp_path: Path) -> None:
    log_with(tmp_path)
    for name in (".trash", "my model"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "base.json").write_text("{}")
    assert EditLog.models(tmp_path) == [MODEL]


@pytest.mark.parametrize(
    "name", ["../x", "a/b", ".hidden", "", "manifest.json", "manifest.json.sha256", "snapshot.json"]
)
def test_a_files_name_is_never_a_path_nor_the_logs_own(tmp_path: Path, name: str) -> None:
    log = log_with(tmp_path)
    before = files_of(tmp_path)
    with pytest.raises(ValidationError):
        log.commit(draft(1), {name: b""})
    assert files_of(tmp_path) == before


def test_a_file_that_was_not_committed_is_not_found_though_it_lies_there(tmp_path: Path) -> None:
    log = log_with(tmp_path, versions=1)
    with pytest.raises(NotFound):
        log.read(1, "../../base.json")
    with pytest.raises(NotFound):
        log.read(1, "manifest.json")
