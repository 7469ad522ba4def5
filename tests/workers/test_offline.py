"""Editing without a service: the service's behaviour; under strict, the published one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from app.domain.errors import ContradictoryFacts, RequestError, SubjectNotInPrompt
from tests.support.tiny_models import CHAT, save_tiny
from workers.editing.types import Fact
from workers.offline import BatchResult, FactLine, FactsFile, OfflineModel

HERE, THERE = Fact("Lyon", "{} is a city in", "Japan"), Fact("Lyon", "{} is a city in", "Ghana")
RIVER = Fact("Lyon", "The river runs through {}, in the country of", "Norway")


def edited(
    model: Path, tmp_path: Path, *batches: Sequence[Fact | FactLine], strict: bool = False, measured: bool = False
) -> list[BatchResult]:
    opened = OfflineModel.open(str(model), device="cpu", dtype="float32", preset=model / "preset.json")
    return list(opened.edit(batches, None, tmp_path, strict=strict, measured=measured))


def lines(tmp_path: Path, *facts: dict[str, Any]) -> Sequence[FactLine]:
    """The facts of a file with one batch of them."""
    path = tmp_path / "facts.json"
    path.write_text(json.dumps({"batches": [facts]}), encoding="utf-8")
    [batch] = FactsFile.read(path).batches
    return batch


def same(one: BatchResult, other: BatchResult) -> bool:
    return all(torch.equal(total, other.totals[layer]) for layer, total in one.totals.items())


def test_a_batch_that_contradicts_itself_is_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ContradictoryFacts) as caught:
        edited(model, tmp_path, [RIVER, HERE, THERE])
    assert caught.value.value == [1, 2]


def test_the_published_code_takes_it(model: Path, tmp_path: Path) -> None:
    [result] = edited(model, tmp_path, [HERE, THERE], strict=True)
    assert result.facts == 2


def test_a_subjects_facts_come_along_unless_strict(model: Path, tmp_path: Path) -> None:
    batches = ([HERE], [RIVER], [THERE])
    default, strict = (edited(model, tmp_path, *batches, strict=strict) for strict in (False, True))
    assert [result.as_row()["companions"] for result in default] == [0, 1, 1]
    assert [result.as_row()["companions"] for result in strict] == [0, 0, 0]
    assert all(torch.equal(total, strict[0].totals[layer]) for layer, total in default[0].totals.items())
    assert not any(torch.equal(total, strict[2].totals[layer]) for layer, total in default[2].totals.items())


def test_a_subject_may_stand_in_its_prompt_without_a_slot(model: Path, tmp_path: Path) -> None:
    spelt = Fact("Lyon", "Lyon is a city in", "Ghana")
    with_slot, without = (edited(model, tmp_path, [HERE], [fact]) for fact in (THERE, spelt))
    assert all(torch.equal(total, without[1].totals[layer]) for layer, total in with_slot[1].totals.items())
    assert without[1].companions == 0


def test_a_bad_fact_is_named_by_its_index(model: Path, tmp_path: Path) -> None:
    with pytest.raises(SubjectNotInPrompt) as caught:
        edited(model, tmp_path, [HERE, Fact("Lyon", "Oslo is in", "Japan")])
    assert caught.value.field == "facts.1.prompt"


def test_white_space_around_a_fact_is_no_part_of_it(model: Path, tmp_path: Path) -> None:
    """Case T4 of the field: `zjunlp/EasyEdit` 302 and 303."""
    [plain] = edited(model, tmp_path, [Fact("Lyon", "The city of {} is in", "Japan")])
    [spaced] = edited(model, tmp_path, [Fact(" Lyon ", "The city of Lyon is in", "Japan\n")])
    assert same(plain, spaced)


LINE: dict[str, Any] = {"subject": "Lyon", "prompt": "{} is a city in", "object": "Japan"}
PHRASE = "People say that {} lies in"


class TestLines:
    def test_a_line_is_a_fact_of_a_request_and_what_else_it_has_is_not_looked_at(self, tmp_path: Path) -> None:
        [found] = lines(tmp_path, {**LINE, "case_id": 7, "stop": True, "neighbours": None})
        assert (found.stop, found.neighbours, found.template) == (True, (), "{} is a city in")

    def test_a_paraphrase_is_taught_as_one_of_the_engines_facts_is(self, model: Path, tmp_path: Path) -> None:
        sent = lines(tmp_path, {**LINE, "paraphrases": ["Lyon lies in", {"prompt": PHRASE, "teach": True}]})
        [by_line] = edited(model, tmp_path, sent, measured=True)
        [by_fact] = edited(model, tmp_path, [replace(HERE, taught=(PHRASE,))])
        [without] = edited(model, tmp_path, [HERE])
        assert same(by_line, by_fact)
        assert not same(by_line, without)
        [report] = by_line.reports
        assert (len(report.paraphrases), report.taught) == (2, (1,))

    def test_chat_messages_and_stop_are_taken(self, tmp_path: Path) -> None:
        model = save_tiny(tmp_path / "model", template=CHAT)
        question = {"subject": "Lyon", "object": "Japan", "stop": True}
        ways: tuple[dict[str, Any], ...] = (
            {"prompt": "Where is {}?", "chat": True},
            {"messages": [{"role": "user", "content": "Where is Lyon?"}]},
            {"prompt": "<user>\nWhere is {}?<|end|>\n<assistant>\n"},
        )
        chat, messages, rendered = (edited(model, tmp_path, lines(tmp_path, {**question, **way}))[0] for way in ways)
        assert same(chat, messages)
        assert same(chat, rendered)
        [going_on] = edited(model, tmp_path, lines(tmp_path, {**question, **ways[0], "stop": False}))
        assert not same(chat, going_on)

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"object": ""}, "batches.0.1.object"),
            ({"paraphrases": [{"prompt": "a", "teach": "b"}]}, "batches.0.1.paraphrases.0.teach"),
            ({"messages": [{"role": "user", "content": "Lyon"}]}, "batches.0.1"),
        ],
    )
    def test_what_is_wrong_in_a_file_is_named(self, tmp_path: Path, change: dict[str, Any], field: str) -> None:
        with pytest.raises(RequestError) as caught:
            lines(tmp_path, LINE, {**LINE, **change})
        assert caught.value.field == field

    def test_so_is_a_file_that_is_no_json(self, tmp_path: Path) -> None:
        (tmp_path / "facts.json").write_text("{", encoding="utf-8")
        with pytest.raises(RequestError):
            FactsFile.read(tmp_path / "facts.json")

    def test_a_taught_paraphrase_without_its_subject_is_named(self, model: Path, tmp_path: Path) -> None:
        sent = lines(tmp_path, {**LINE, "paraphrases": ["fine", {"prompt": "Oslo is", "teach": True}]})
        with pytest.raises(SubjectNotInPrompt) as caught:
            edited(model, tmp_path, sent)
        assert caught.value.field == "facts.0.paraphrases.1.prompt"
