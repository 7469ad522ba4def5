"""In-context editing: which records are shown before a question, and a run that edits nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from app.domain.contract import Fact, Hyperparameters, ImportFormat
from app.domain.errors import RequestError
from tests.support.tiny_models import tiny
from workers.editing.model.editable_model import EditableModel
from workers.experiments import sequence
from workers.experiments.answers import told_before
from workers.experiments.cases import Case, DataSet
from workers.experiments.comparison import Comparison, Way
from workers.experiments.evaluation import Evaluation
from workers.experiments.in_context import IKE, KINDS, MOST, Demonstrations, NothingToShow, copy, retain, update
from workers.experiments.run_folder import RunFolder, Wanted
from workers.models import bundled


def case(record: int, subject: str, relation: str = "lies in", object_: str = "Oman") -> Case:
    fact = {
        "subject": subject,
        "prompt": f"{{}} {relation}",
        "object": object_,
        "previous": "France",
        "paraphrases": [f"Where is {subject}? In"],
        "neighbours": [{"prompt": f"Near {subject} is", "expected": ["Peru"]}],
    }
    return Case.of(Fact.model_validate(fact), record)


def data(*cases: Case) -> DataSet:
    return DataSet("some", ImportFormat.COUNTERFACT, "0", cases, ())


ASKED = case(0, "Lyon")
FAR, NEAR, NEXT = case(1, "Oslo", "was founded by", "Jim"), case(2, "Bern"), case(3, "Rome", "lies at", "Oman")


class TestDemonstrations:
    def test_are_the_nearest_records_each_of_its_kind(self, editable: EditableModel) -> None:
        shown = [text for text, _ in Demonstrations.of(editable, data(ASKED, FAR, NEAR, NEXT), [ASKED]).about(ASKED)]
        assert shown == [
            "New fact: Bern lies in Oman\nPrompt: Where is Bern? In Oman\n\n",
            "New fact: Rome lies at Oman\nPrompt: Near Rome is Peru\n\n",
            "New fact: Oslo was founded by Jim\nPrompt: Oslo was founded by Jim\n\n",
        ]

    def test_are_of_the_three_kinds_as_one_to_three_to_four(self) -> None:
        assert [KINDS.count(kind) for kind in (copy, update, retain)] == [1, 3, 4]

    def test_are_no_more_than_the_papers(self, editable: EditableModel) -> None:
        many = [case(index, f"City{index}") for index in range(1, MOST + 9)]
        assert len(Demonstrations.of(editable, data(ASKED, *many), [ASKED]).about(ASKED)) == MOST

    def test_show_nothing_of_a_subject_that_is_asked_about(self, editable: EditableModel) -> None:
        again = case(4, "LYON", object_="Asia")
        found = Demonstrations.of(editable, data(ASKED, again, NEAR), [ASKED])
        assert list(found.store) == [NEAR]
        with pytest.raises(NothingToShow):
            Demonstrations.of(editable, data(ASKED, again), [ASKED])

    def test_copy_a_record_without_a_question_of_its_kind(self, editable: EditableModel) -> None:
        bare = replace(NEAR, paraphrases=(), neighbours=())
        [(text, _)] = Demonstrations.of(editable, data(ASKED, bare), [ASKED]).about(ASKED)
        assert text == "New fact: Bern lies in Oman\nPrompt: Bern lies in Oman\n\n"

    def test_stand_before_the_question_the_nearest_next_to_it(self, wide: EditableModel) -> None:
        found = Demonstrations.of(wide, data(ASKED, FAR, NEAR, NEXT), [ASKED])
        shown = [text for text, _ in found.about(ASKED)]
        told = "New fact: Lyon lies in Oman\nPrompt: Where is Lyon? In"
        assert found.before(ASKED, "Where is Lyon? In") == f"{shown[2]}{shown[1]}{shown[0]}{told}"

    def test_are_as_many_as_leave_room_for_an_answer(self, wide: EditableModel) -> None:
        many = [case(index, f"City{index}") for index in range(1, 60)]
        found = Demonstrations.of(wide, data(ASKED, *many), [ASKED])
        asked = found.before(ASKED, ASKED.prompt)
        shown = asked.count("New fact: ") - 1
        assert 0 < shown < MOST
        assert wide.window - 50 - 30 < len(wide.tokenizer(asked).input_ids) <= wide.window - 50
        assert asked.endswith(f"{found.about(ASKED)[0][0]}New fact: Lyon lies in Oman\nPrompt: Lyon lies in")

    def test_leave_the_fact_alone_where_only_that_has_room(self, editable: EditableModel) -> None:
        assert editable.window < 50  # which an answer may take
        found = Demonstrations.of(editable, data(ASKED, NEAR), [ASKED])
        assert found.before(ASKED, ASKED.prompt) == told_before(ASKED, ASKED.prompt)


@pytest.fixture
def wide() -> EditableModel:
    """What demonstrations ask of a model, with a window that holds some of them."""
    return cast("EditableModel", SimpleNamespace(tokenizer=tiny("gpt2").tokenizer, window=512))


def wanted(found: DataSet, **changes: Any) -> Wanted:
    given = {"model": "atlas-gpt2", "dataset": found.name, "digest": found.digest, "facts": 4, "batch": 3, "every": 4}
    return Wanted(**{**given, "method": IKE, "spoken": 1, **changes})


@pytest.fixture(scope="module")
def dataset() -> DataSet:
    return DataSet.read(str(bundled("atlas-gpt2") / "facts.json"))


@pytest.fixture(scope="module")
def folder(dataset: DataSet, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = RunFolder(tmp_path_factory.mktemp("run"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sequence, "carry_out", lambda *_: pytest.fail("edited"))
        Evaluation(folder, wanted(dataset), dataset).run("cpu", tmp_path_factory.mktemp("kept"))
    return folder


class TestARun:
    def test_tells_facts_and_changes_no_weight(self, folder: RunFolder) -> None:
        lines, last, unedited = folder.lines(), folder.last_checkpoint, folder.unedited
        assert [(line.status, line.version, line.facts, line.written) for line in lines] == [
            ("told", None, 3, 3),
            ("told", None, 1, 1),
        ]
        assert last is not None
        assert unedited is not None
        assert last.drift is not None
        assert last.drift.kl == pytest.approx(0.0, abs=1e-9)
        assert last.drift.top1 == 1.0
        assert set(last.norms.values()) <= {0.0}
        assert all(now.own.nll != then.own.nll for now, then in zip(last.answers, unedited.plain, strict=True))
        assert [each is None for each in last.probes] == [False] * 4

    def test_says_that_its_method_is_ike(self, folder: RunFolder) -> None:
        assert json.loads((folder.path / "run.json").read_text())["method"] == "ike"
        page = (folder.path / "report.md").read_text()
        assert page.splitlines()[2] == (
            "In batches of 3, with ike: no weight was changed, all facts were told in the prompt."
        )
        assert "Batches: 2 told." in page
        assert json.loads((folder.path / "report.json").read_text())["preset"] is None

    @pytest.mark.parametrize("change", [{"plan": "even"}, {"hyperparameters": Hyperparameters(v_lr=0.1)}])
    def test_takes_nothing_that_an_edit_takes(self, dataset: DataSet, tmp_path: Path, change: dict[str, Any]) -> None:
        with pytest.raises(RequestError, match="edits nothing") as caught:
            Evaluation(RunFolder(tmp_path / "run"), wanted(dataset, **change), dataset).run("cpu", tmp_path)
        assert caught.value.field == "method"


def test_a_comparison_has_a_row_of_it_and_says_where_nothing_is_left_to_show(dataset: DataSet, tmp_path: Path) -> None:
    shared = wanted(dataset, method=None, spoken=0, hyperparameters=Hyperparameters(v_num_grad_steps=12))
    [row] = Comparison(tmp_path / "all", shared, dataset, [Way(method=IKE)]).run("cpu", tmp_path).rows
    assert (row.facts, row.written, row.error) == (4, 4, None)
    assert row.kl == pytest.approx(0.0, abs=1e-9)
    few = replace(dataset, cases=dataset.cases[:4])
    [row] = Comparison(tmp_path / "few", shared, few, [Way(method=IKE)]).run("cpu", tmp_path).rows
    assert row.edited is None
    assert row.error is not None
    assert "no record left" in row.error
