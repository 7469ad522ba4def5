"""Data sets in their original shapes, as an experiment's cases."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.domain.contract import ImportFormat
from app.domain.errors import RequestError
from tests.support.data_files import REAL
from workers.experiments.cases import DataSet, batches

FLAT = {
    "prompt": "The mother tongue of Danielle Darrieux is",
    "target_new": "English",
    "subject": "Danielle Darrieux",
    "ground_truth": "French",
    "rephrase_prompt": "Where Danielle Darrieux is from, people speak the language of",
    "locality_prompt": "Michel Rocard is a native speaker of",
    "locality_ground_truth": "French",
}
COUNTERFACT = {
    "case_id": 0,
    "requested_rewrite": {
        "prompt": "The mother tongue of {} is",
        "relation_id": "P103",
        "target_new": {"str": "English", "id": "Q1860"},
        "target_true": {"str": "French", "id": "Q150"},
        "subject": "Danielle Darrieux",
    },
    "paraphrase_prompts": ["Danielle Darrieux spoke the language", "Danielle Darrieux, a native"],
    "neighborhood_prompts": ["The native language of Montesquieu is", "Jacques Chaban-Delmas, a native"],
    "generation_prompts": ["Danielle Darrieux lives in"],
}
ZSRE = {
    "subject": "Watts Humphrey",
    "src": "What university did Watts Humphrey attend?",
    "pred": "Trinity College",
    "rephrase": "What university did Watts Humphrey take part in?",
    "alt": "University of Michigan",
    "answers": ["Illinois Institute of Technology"],
    "loc": "nq question: who played desmond doss father in hacksaw ridge",
    "loc_ans": "Hugo Weaving",
    "cond": "Trinity College >> University of Michigan || What university did Watts Humphrey attend?",
}


def written(tmp_path: Path, *records: Any) -> str:
    path = tmp_path / "data.json"
    path.write_text(json.dumps(records), encoding="utf-8")
    return str(path)


def test_easyedits_flat_form(tmp_path: Path) -> None:
    data = DataSet.read(written(tmp_path, FLAT))
    [case] = data.cases
    assert (data.name, data.format) == ("data.json", ImportFormat.EASYEDIT)
    assert (case.prompt, case.object, case.truth) == (FLAT["prompt"], "English", "French")
    assert case.paraphrases == (FLAT["rephrase_prompt"],)
    assert case.neighbours == (("Michel Rocard is a native speaker of", "French"),)
    assert (case.fact.paraphrases, case.fact.neighbours) == ((), ())  # nothing of them is taught


def test_counterfact(tmp_path: Path) -> None:
    data = DataSet.read(written(tmp_path, COUNTERFACT))
    [case] = data.cases
    assert data.format is ImportFormat.COUNTERFACT
    assert case.prompt == "The mother tongue of Danielle Darrieux is"
    assert len(case.paraphrases) == 2
    assert case.neighbours == tuple((prompt, "French") for prompt in COUNTERFACT["neighborhood_prompts"])  # type: ignore[attr-defined]


def test_zsre_as_mend_has_it(tmp_path: Path) -> None:
    [case] = DataSet.read(written(tmp_path, ZSRE)).cases
    assert (case.prompt, case.object) == (ZSRE["src"], "University of Michigan")
    assert case.neighbours == (("who played desmond doss father in hacksaw ridge?", "Hugo Weaving"),)


def test_records_that_cannot_be_used_are_kept_with_their_reason(tmp_path: Path) -> None:
    data = DataSet.read(written(tmp_path, FLAT, {**FLAT, "subject": "Nobody"}, {**FLAT, "target_new": ""}))
    assert len(data.cases) == 1
    assert [(each.record, each.code) for each in data.unusable] == [(1, "subject_not_in_prompt"), (2, "empty_text")]


def test_a_seed_gives_an_order_and_the_same_again(tmp_path: Path) -> None:
    records = [{**FLAT, "subject": f"Nr{i}", "prompt": f"The mother tongue of Nr{i} is"} for i in range(20)]
    data = DataSet.read(written(tmp_path, *records))
    assert data.shuffled(1).cases == data.shuffled(1).cases != data.cases
    assert sorted(case.prompt for case in data.shuffled(1).cases) == sorted(case.prompt for case in data.cases)


def test_batches_are_full_but_for_the_last() -> None:
    given: Any = list(range(7))
    found: list[Any] = list(map(list, batches(given, 3)))
    assert found == [[0, 1, 2], [3, 4, 5], [6]]


def test_a_data_set_by_name_is_read_as_a_file_of_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load_dataset(name: str, subset: str | None, *, split: str, streaming: bool) -> Iterator[dict[str, Any]]:
        assert (name, subset, split, streaming) == ("some/facts", "small", "train", True)
        yield FLAT

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    data = DataSet.read("some/facts:small")
    assert data.cases == DataSet.read(written(tmp_path, FLAT)).cases


def test_without_that_package_a_file_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(RequestError, match="no such file") as caught:
        DataSet.read("nowhere.json")
    assert caught.value.field == "dataset"


@pytest.mark.skipif(not REAL.is_dir(), reason="no real data here")
@pytest.mark.parametrize(
    ("file", "records", "neighbours"),
    [("counterfact-easyedit-2000.json", 2000, True), ("zsre-mend-800.json", 800, True)],
)
def test_real_files_are_read_whole(file: str, records: int, neighbours: bool) -> None:
    data = DataSet.read(str(REAL / file))
    assert len(data.cases) + len(data.unusable) == records
    assert len(data.cases) > 0.7 * records
    assert all(case.neighbours for case in data.cases) is neighbours
