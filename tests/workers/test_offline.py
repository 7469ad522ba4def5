"""Editing without a service: the service's behaviour; under strict, the published one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from app.domain.errors import ContradictoryFacts, SubjectNotInPrompt
from workers.editing.types import Fact
from workers.offline import BatchResult, OfflineModel

HERE, THERE = Fact("Lyon", "{} is a city in", "Japan"), Fact("Lyon", "{} is a city in", "Ghana")
RIVER = Fact("Lyon", "The river runs through {}, in the country of", "Norway")


def edited(model: Path, tmp_path: Path, *batches: list[Fact], strict: bool = False) -> list[BatchResult]:
    opened = OfflineModel.open(str(model), device="cpu", dtype="float32", preset=model / "preset.json")
    return list(opened.edit(batches, None, tmp_path, strict=strict))


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
