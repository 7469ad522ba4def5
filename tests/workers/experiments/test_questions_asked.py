"""What follows from facts and what must stay: how tests are passed, counted and reported; and a whole run that asks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from app.domain.contract import Hyperparameters
from app.domain.imports.reading import Rippled
from app.domain.imports.ripples import Question, Ripple, RippleKind
from app.domain.places import Place
from tests.support.data_files import MQUAKE
from tests.support.tiny_models import tiny
from workers.editing.model.editable_model import EditableModel
from workers.experiments import questions_asked
from workers.experiments.cases import DataSet
from workers.experiments.evaluation import Evaluation
from workers.experiments.free_text import TOKENS
from workers.experiments.questions_asked import (
    RecordAnswers,
    RippleAnswers,
    ask,
    askable,
    by_kind,
    put,
    resting_on,
)
from workers.experiments.run_folder import RunFolder, Wanted
from workers.models import bundled
from workers.questions.decoding import greedy

K = RippleKind
YEN = Question("In Oslo one pays in", ("yen", "Japanese yen"))
MAYOR = Question("The mayor of Oslo is", ("Anne",))
ASKED = Question("Who rules Oslo?", ("Anne", "!"))


@pytest.fixture
def editable() -> EditableModel:
    made = tiny("gpt2")
    return EditableModel.of(made.model, made.tokenizer)


def record(*ripples: Ripple, index: int = 0, places: Sequence[Place] = ()) -> Rippled:
    return Rippled(index, frozenset(places), ripples)


def saying(monkeypatch: pytest.MonkeyPatch, texts: Mapping[str, str]) -> list[str]:
    """Have a model say these texts after these prompts; the prompts that it was given."""
    given: list[str] = []

    def say(_model: object, _tokenizer: object, prompts: Sequence[str], tokens: int) -> list[str]:
        assert tokens == TOKENS
        given.extend(prompts)
        return [texts[prompt] for prompt in prompts]

    monkeypatch.setattr(questions_asked, "greedy", say)
    return given


class TestATest:
    @pytest.mark.parametrize(
        ("every", "yen", "mayor", "exact", "held"),
        [
            (False, " Yen.", " of course Bob", True, True),
            (False, " the Japanese Yen, of course", " Bob", False, True),
            (False, " dollars", " Bob", False, False),
            (False, "yens", " Annette", False, False),
            (False, " dollars\nyen", " Bob", False, False),
            (True, " yen", " Bob", False, False),
            (True, "\n yen\nand more", " Anne", True, True),
            (True, " yen", " Anne, who else", False, True),
        ],
    )
    def test_is_passed_by_any_or_by_every_question(
        self,
        every: bool,
        yen: str,
        mayor: str,
        exact: bool,
        held: bool,
        editable: EditableModel,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        saying(monkeypatch, {YEN.text: yen, MAYOR.text: mayor})
        [[found]] = [each.tests for each in ask(editable, [record(Ripple(K.MULTI_HOP, (YEN, MAYOR), every))])]
        assert (found.exact, found.holds, found.known) == (exact, held, None)

    def test_has_answers_that_are_nothing_when_normalised_passed_over(
        self, editable: EditableModel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        saying(monkeypatch, {put(ASKED.text): ""})
        [[found]] = [each.tests for each in ask(editable, [record(Ripple(K.DETAIL, (ASKED,)))])]
        assert (found.exact, found.holds, found.texts) == (False, False, ("",))

    def test_asks_for_its_conditions_only_where_that_is_wanted(
        self, editable: EditableModel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        given = saying(monkeypatch, {YEN.text: " yen", MAYOR.text: " Bob"})
        rippled = [record(Ripple(K.MULTI_HOP, (YEN,), known=(MAYOR,)))]
        assert [each.tests[0].known for each in ask(editable, rippled)] == [None]
        assert given == [YEN.text]
        assert [each.tests[0].known for each in ask(editable, rippled, conditions=True)] == [False]
        assert given == [YEN.text, YEN.text, MAYOR.text]

    def test_puts_each_question_once_and_as_a_question(
        self, editable: EditableModel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        prompt = "Question: Who rules Oslo?\nAnswer:"
        given = saying(monkeypatch, {prompt: " Anne"})
        test = Ripple(K.MULTI_HOP, (ASKED,))
        assert len(ask(editable, [record(test), record(test, index=1)])) == 2
        assert given == [prompt]
        assert [put(text) for text in ("谁？", "من؟", "He is")] == [
            "Question: 谁？\nAnswer:",
            "Question: من؟\nAnswer:",
            "He is",
        ]

    def test_is_answered_by_what_the_model_writes(self, editable: EditableModel) -> None:
        [text] = greedy(editable.model, editable.tokenizer, [YEN.text], TOKENS)
        line = text.strip().partition("\n")[0]
        asked = record(Ripple(K.MULTI_HOP, (Question(YEN.text, (line,)),)))
        [[found]] = [each.tests for each in ask(editable, [asked])]
        assert (found.texts, found.exact, found.holds) == ((line,), True, True)


def came_out(kind: RippleKind, held: bool, exact: bool = False, known: bool | None = None) -> RippleAnswers:
    return RippleAnswers(kind=kind, exact=exact, holds=held, known=known, texts=("",))


def test_shares_count_each_record_once_and_only_tests_whose_conditions_were_met() -> None:
    unedited = [
        RecordAnswers(record=3, tests=(came_out(K.MULTI_HOP, False), came_out(K.PRESERVATION, True, known=True))),
        RecordAnswers(
            record=4, tests=tuple(came_out(K.PRESERVATION, True, known=known) for known in (True, False, True))
        ),
        RecordAnswers(record=5, tests=(came_out(K.PRESERVATION, False, known=False),)),
    ]
    edited = [
        RecordAnswers(record=3, tests=(came_out(K.MULTI_HOP, True, True), came_out(K.PRESERVATION, True))),
        RecordAnswers(record=4, tests=tuple(came_out(K.PRESERVATION, held) for held in (False, True, True))),
    ]
    hops, stays = by_kind(unedited, edited)
    assert (hops.kind, hops.tests, hops.unedited.holds.mean, hops.edited.holds.mean) == (K.MULTI_HOP, 1, 0.0, 1.0)
    assert (hops.edited.exact.mean, hops.edited.exact.cases) == (1.0, 1)
    assert (stays.kind, stays.tests, stays.edited.holds.cases) == (K.PRESERVATION, 3, 2)
    assert (stays.unedited.holds.mean, stays.edited.holds.mean) == (1.0, (1.0 + 0.5) / 2)
    assert (hops.edited.holds.low, hops.edited.holds.high) == pytest.approx((0.2065493, 1.0), abs=5e-5)  # 1 / (1 + z²)
    assert by_kind(unedited, []) == by_kind([], edited) == []


def test_a_record_is_asked_once_all_its_facts_are_in() -> None:
    one, two, three = (Place.of("a", f"{{}} {number}") for number in range(3))
    first, both = record(index=0, places=[three]), record(index=1, places=[one, two])
    assert resting_on([first, both], [one]) == []
    assert resting_on([first, both], [one, two]) == [both]
    assert resting_on([first, both], [two, one, three]) == [both, first]  # in the order of their last facts


def test_a_test_that_does_not_fit_the_model_is_left_out_with_the_reason(editable: EditableModel) -> None:
    long = Question("word " * 2 * editable.window, ("x",))
    short = Ripple(K.MULTI_HOP, (YEN,))
    rippled = [
        record(Ripple(K.MULTI_HOP, (long, YEN)), Ripple(K.SINGLE_HOPS, (long, YEN), every=True), index=7),
        record(Ripple(K.MULTI_HOP, (YEN,), known=(long,)), index=8),
        record(short, index=9),
        record(short, index=10),
    ]
    chosen, refused = askable(editable, rippled, 2)
    assert [(each.index, each.ripples) for each in chosen] == [(7, (short,)), (9, (short,))]
    assert [(each.record, each.code, each.field) for each in refused] == [
        (7, "prompt_too_long", "multi-hop"),
        (7, "prompt_too_long", "all single hops"),
        (8, "prompt_too_long", "multi-hop"),
    ]
    assert askable(editable, rippled, 0) == ([], [])


def test_facts_of_one_record_stay_together_in_a_shuffled_order(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    path.write_text(
        json.dumps(
            [
                {**MQUAKE[0], "requested_rewrite": [{**each, "subject": f"{each['subject']}{number}"} for each in both]}
                for number, both in enumerate([MQUAKE[0]["requested_rewrite"]] * 9)
            ]
        )
    )
    data = DataSet.read(str(path)).shuffled(3)
    order = [case.record for case in data.cases]
    assert order[::2] == order[1::2] != sorted(order[::2])
    assert [case.fact.subject[:4] for case in data.cases] == ["Oslo", "Japa"] * 9
    assert all(each.places == {case.place for case in data.cases if case.record == each.index} for each in data.rippled)


def mquake_of(facts: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Two records in MQuAKE's shape over facts that atlas-gpt2 knows: of one rewrite, and of two."""

    def rewrite(number: int) -> dict[str, Any]:
        return dict(facts[number]["requested_rewrite"])

    def own(number: int) -> str:
        found: str = rewrite(number)["prompt"].replace("{}", rewrite(number)["subject"])
        return found

    def new(number: int) -> str:
        found: str = rewrite(number)["target_new"]["str"]
        return found

    return [
        {
            "case_id": 1,
            "requested_rewrite": [rewrite(0)],
            "questions": ["Nobody has ever asked for", own(0)],
            "new_answer": "nothing that it says",
            "new_answer_alias": [new(0)],
            "new_single_hops": [{"question": own(0), "answer": new(0), "answer_alias": []}],
        },
        {
            "case_id": 2,
            "requested_rewrite": [rewrite(1), rewrite(2)],
            "questions": [own(2), None],
            "new_answer": new(2),
            "new_answer_alias": [],
            "new_single_hops": [
                {"question": own(1), "answer": new(1), "answer_alias": []},
                {"question": own(2), "answer": "nothing that it says", "answer_alias": []},
            ],
        },
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """One fact a batch, and a look after the second: then one of the two facts of the second record is missing."""
    model = "atlas-gpt2"
    place = tmp_path_factory.mktemp("run")
    path = place / "mquake.json"
    known = json.loads((bundled(model) / "facts.json").read_text(encoding="utf-8"))
    records = mquake_of(known)
    path.write_text(json.dumps([*records, {**mquake_of(known[3:])[0], "questions": ["And so on. " * 150]}]))
    data = DataSet.read(str(path))
    wanted = Wanted(
        model=model,
        dataset=data.name,
        digest=data.digest,
        facts=9,
        batch=2,
        every=2,
        hyperparameters=Hyperparameters(v_num_grad_steps=12),
        unheld="keep",
        spoken=0,
    )
    folder = RunFolder(place / "run")
    Evaluation(folder, wanted, data).run("cpu", place / "kept")
    return folder


class TestAWholeRun:
    def test_asks_a_record_once_all_its_facts_are_in(self, folder: RunFolder) -> None:
        unedited, early, late = folder.unedited, folder.checkpoint(2), folder.checkpoint(4)
        assert unedited is not None
        assert early is not None
        assert late is not None
        assert [each.record for each in unedited.rippled] == [0, 1, 2]
        assert [each.record for each in early.rippled] == [0]
        assert [each.record for each in late.rippled] == [0, 1, 2]

    def test_finds_the_edit_in_the_questions(self, folder: RunFolder) -> None:
        report = json.loads((folder.path / "report.json").read_text())
        found = {each["kind"]: each for each in report["questions"]}
        assert set(found) == {"multi-hop", "all single hops"}
        late = folder.checkpoint(4)
        assert late is not None
        written = [each.own.exact for each in late.answers]
        assert all(written), "the edits themselves must hold for what follows to be compared"
        hops, single = found["multi-hop"], found["all single hops"]
        assert (hops["unedited"]["holds"]["mean"], hops["edited"]["holds"]["mean"]) == (0.0, 1.0)
        assert (hops["tests"], hops["edited"]["holds"]["cases"]) == (2, 2)
        assert single["unedited"]["holds"]["mean"] == 0.0
        assert single["edited"]["holds"]["mean"] == pytest.approx(2 / 3)  # one hop of the second record has no answer

    def test_shows_them_as_a_table_and_says_what_was_not_asked(self, folder: RunFolder) -> None:
        page = (folder.path / "report.md").read_text()
        [row] = [line for line in page.splitlines() if line.startswith("| multi-hop |")]
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert cells[:5] == ["multi-hop", "2", "2", "0.0% (0% to 66%)", "100.0% (34% to 100%)"]
        assert "Not asked: 1 empty_text, 1 prompt_too_long (`unasked.json`)." in page
        listed = json.loads((folder.path / "unasked.json").read_text())
        assert [(each["record"], each["code"], each["field"]) for each in listed] == [
            (1, "empty_text", "questions.1"),
            (2, "prompt_too_long", "multi-hop"),
        ]
