"""Reference texts as ROME has them, and the cosine of generated text with them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from app.domain.contract import ImportFormat
from app.domain.errors import RequestError
from tests.support.data_files import COUNTERFACT, EASYEDIT
from workers.editing.model.editable_model import EditableModel
from workers.experiments import references as module
from workers.experiments.cases import Case, DataSet
from workers.experiments.references import References, consistency
from workers.experiments.rewrites import NOTHING, Rewrite, rewrites

SAMPLES = [{"name": "Kyoto", "text": "temples gardens"}, {"name": "Osaka", "text": "castle"}]
BY_RELATION = {"P17": {"Q17": SAMPLES, "Q20": [{"name": "Bergen", "text": "fjord rain"}]}}
LISTED = [
    {"relation_id": relation, "target_id": target, "samples": samples}
    for relation, targets in BY_RELATION.items()
    for target, samples in targets.items()
]


def written(tmp_path: Path, what: Any) -> Path:
    path = tmp_path / "file.json"
    path.write_text(json.dumps(what), encoding="utf-8")
    return path


@pytest.fixture
def case(tmp_path: Path) -> Case:
    [case] = DataSet.read(str(written(tmp_path, COUNTERFACT))).cases
    return case


def test_a_record_of_counterfact_tells_its_relation_its_object_and_its_prompts(case: Case) -> None:
    assert case.rewrite == Rewrite("P17", "Q17", ("Oslo is famous for",))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"requested_rewrite": {"relation_id": "r", "target_new": {"str": "Oman"}}}, Rewrite("r", "Oman")),
        (
            {"requested_rewrite": {"target_new": "Oman"}, "generation_prompts": ["", 3, "So"]},
            Rewrite(None, "Oman", ("So",)),
        ),
        ({"requested_rewrite": None, "generation_prompts": "So"}, NOTHING),
    ],
)
def test_what_a_record_does_not_tell_is_left_out(fields: dict[str, Any], told: Rewrite) -> None:
    assert Rewrite.of(fields) == told


def test_other_forms_tell_nothing() -> None:
    assert rewrites(json.dumps(EASYEDIT).encode(), ImportFormat.EASYEDIT) == {}


@pytest.mark.parametrize("form", [LISTED, BY_RELATION])
def test_reference_texts_are_those_of_the_new_object(tmp_path: Path, form: Any, case: Case) -> None:
    references = References.read(written(tmp_path, form))
    assert references.of(case) == ["temples gardens", "castle"]
    assert references.weights.idf["fjord"] == pytest.approx(math.log(4 / 2) + 1)  # three documents


@pytest.mark.parametrize(
    "form", [[{"relation_id": "P17"}], {"P17": ["Q17"]}, 3, [{"relation_id": 1, "target_id": 2, "samples": [3]}]]
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, form: Any) -> None:
    with pytest.raises(RequestError, match="attribute snippets") as caught:
        References.read(written(tmp_path, form))
    assert caught.value.field == "references"


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no such file"):
        References.read(tmp_path / "nowhere.json")


class TestConsistency:
    @pytest.fixture(autouse=True)
    def _speaking(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A model that goes on after a prompt with what was prepared for it."""
        said = {"Oslo is famous for": " its Castle", "In short: Oslo is famous for": " rain"}

        def greedy(_model: object, _tokenizer: object, prompts: list[str], limit: int) -> list[str]:
            assert limit == 100
            return [said[prompt] for prompt in prompts]

        monkeypatch.setattr(module, "greedy", greedy)

    def test_is_the_cosine_of_all_texts_with_all_reference_texts(
        self, tmp_path: Path, case: Case, editable: EditableModel
    ) -> None:
        found = consistency(editable, [case], References.read(written(tmp_path, LISTED)))
        assert found is not None
        # Of "Oslo is famous for its Castle" only "castle" is a word of the references; there it is one of three alike.
        assert found.cosine.mean == pytest.approx(1 / math.sqrt(3))
        assert found.cosine.cases == 1

    def test_is_that_of_the_prompt_as_it_was_put(self, tmp_path: Path, case: Case, editable: EditableModel) -> None:
        references = References.read(written(tmp_path, LISTED))
        found = consistency(editable, [case], references, lambda _, prompt: f"In short: {prompt}")
        assert found is not None
        assert found.cosine.mean == 0.0

    def test_of_no_case_with_references_is_none(self, tmp_path: Path, case: Case, editable: EditableModel) -> None:
        assert consistency(editable, [case], References.read(written(tmp_path, {"P36": BY_RELATION["P17"]}))) is None
