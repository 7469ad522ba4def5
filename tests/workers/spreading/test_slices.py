"""Slices as they cross the queue: whole again on the other side, and refused where a model could not have them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from app.domain.contract import Standing
from app.domain.errors import PalimpsestError, RequestError
from tests.support.tiny_models import tiny
from workers.editing.batch import tokenise_batch
from workers.editing.crew import ALONE
from workers.editing.groups import Group, group_by_key
from workers.editing.model.editable_model import EditableModel
from workers.editing.model.updates import LowRank, WeightUpdate, on_cpu
from workers.editing.presets.preset import Preset
from workers.editing.types import Fact, Silent
from workers.spreading.slices import (
    STANDINGS,
    Slice,
    StandingsWanted,
    TargetsWanted,
    facts_of,
    preset_of,
    read_slice,
    read_standings,
    refuse_foreign,
    refuse_foreign_rows,
)
from workers.spreading.tensors import pack_descended, pack_updates, unpack_descended, unpack_keys, unpack_updates

PRESET = Preset((1, 2), v_num_grad_steps=3, v_lr=0.1, early_stop=None)
FACTS = [Fact(place, "{} is a city in", "Japan") for place in ("Lyon", "Quito", "Oslo")] + [
    Fact("Lyon", "{} is the home of", "Ghana", taught=("I know that {} lies in",))
]


@pytest.fixture(scope="module")
def live() -> EditableModel:
    made = tiny("gpt2")
    return EditableModel.of(made.model, made.tokenizer)


@pytest.fixture
def asked(live: EditableModel) -> Slice:
    tokenised = tokenise_batch(live, FACTS, ["{}", "The truth is: {}"])
    facts, groups = facts_of(tokenised, group_by_key(tokenised, strict=False))
    wanted = TargetsWanted(layer=1, preset=PRESET.as_dict(), facts=facts, groups=groups)
    return Slice(spread="0123456789abcdef", index=1, version=0, dtype="float64", wanted=wanted)


def test_it_is_whole_on_the_other_side_and_has_no_text(live: EditableModel, asked: Slice) -> None:
    text = asked.model_dump_json()
    assert not any(word in text for word in ("Lyon", "Quito", "Japan", "city", "truth"))
    again = read_slice(text)
    assert isinstance(again.wanted, TargetsWanted)
    assert isinstance(asked.wanted, TargetsWanted)
    assert (again.wanted.facts, again.wanted.groups) == (asked.wanted.facts, asked.wanted.groups)
    refuse_foreign(live, again.wanted)
    assert preset_of(again.wanted.preset) == PRESET
    tokenised = tokenise_batch(live, FACTS, ["{}", "The truth is: {}"])
    expected = ALONE.targets(live, tokenised, group_by_key(tokenised, strict=False), 1, PRESET, Silent(), ())
    found = ALONE.targets(live, again.wanted.facts, again.wanted.groups, 1, PRESET, Silent(), ())
    assert torch.equal(found.targets, expected.targets)


def _no_kind(slice_: dict[str, Any]) -> None:
    slice_["wanted"]["kind"] = "os.system"


def _more(slice_: dict[str, Any]) -> None:
    slice_["wanted"]["path"] = "/etc/passwd"


def _no_spread(slice_: dict[str, Any]) -> None:
    slice_["spread"] = "../../rq:queue"


def _below(slice_: dict[str, Any]) -> None:
    slice_["wanted"]["layer"] = -1


def _no_facts(slice_: dict[str, Any]) -> None:
    slice_["wanted"]["facts"] = []


@pytest.mark.parametrize("spoil", [_no_kind, _more, _no_spread, _below, _no_facts])
def test_what_is_no_slice_is_refused(asked: Slice, spoil: Callable[[dict[str, Any]], None]) -> None:
    spoilt = json.loads(asked.model_dump_json())
    spoil(spoilt)
    with pytest.raises(RequestError, match="not valid"):
        read_slice(json.dumps(spoilt))


@pytest.mark.parametrize("text", ["", "null", "[]", "{", '{"spread": 1}', "gASVBgAAAAAAAACMAm9zlC4="])
def test_nor_is_anything_else_taken_for_one(text: str) -> None:
    with pytest.raises(RequestError):
        read_slice(text)


@pytest.mark.parametrize(
    "change",
    [
        lambda fact: replace(fact, within=()),
        lambda fact: replace(fact, essence=replace(fact.essence, ids=(10**6,), lookup=0)),
        lambda fact: replace(fact, essence=replace(fact.essence, ids=(-1,), lookup=0)),
        lambda fact: replace(fact, essence=replace(fact.essence, lookup=99)),
        lambda fact: replace(fact, within=(replace(fact.within[0], object=()),)),
        lambda fact: replace(fact, within=(replace(fact.within[0], object=(10**6,)),)),
        lambda fact: replace(fact, within=(replace(fact.within[0], object=(1,) * 60),)),
    ],
)
def test_tokens_that_the_model_has_not_never_reach_it(live: EditableModel, asked: Slice, change: Any) -> None:
    assert isinstance(asked.wanted, TargetsWanted)
    facts = (change(asked.wanted.facts[0]), *asked.wanted.facts[1:])
    with pytest.raises(RequestError):
        refuse_foreign(live, asked.wanted.model_copy(update={"facts": facts}))


@pytest.mark.parametrize(
    "groups",
    [
        (Group((0, 1, 2)),),
        (Group((0, 1, 2, 3, 4)),),
        (Group((0, 1)), Group((1, 2, 3))),
        (Group((0, 1, 2, 3)), Group(())),
    ],
)
def test_groups_are_a_partition_of_the_facts(live: EditableModel, asked: Slice, groups: tuple[Group, ...]) -> None:
    assert isinstance(asked.wanted, TargetsWanted)
    with pytest.raises(RequestError):
        refuse_foreign(live, asked.wanted.model_copy(update={"groups": groups}))


@pytest.mark.parametrize(
    "values", [{}, {"layers": []}, {"layers": [2, 1]}, {"layers": [1], "v_lr": "fast"}, {"layers": [1], "shell": "rm"}]
)
def test_a_preset_that_is_none_is_refused(values: dict[str, Any]) -> None:
    if values.get("layers"):
        with pytest.raises(PalimpsestError):
            preset_of(values)
    else:
        assert preset_of(values).layers == (0,)


def test_updates_keep_all_their_bits() -> None:
    torch.manual_seed(1)
    left, right = torch.randn(4, 3).double() / 3, torch.randn(3, 5).double() / 3
    first = WeightUpdate(1, left, right, torch.zeros(5, 3))
    second = replace(first, layer=2, mask=torch.rand(4, 5) > 0.5, correction=LowRank(first.left, first.right))
    for one, other in zip([first, second], unpack_updates(pack_updates([first, second]), on_cpu), strict=True):
        assert torch.equal(one.dense, other.dense)
        assert (one.correction is None) == (other.correction is None)
    assert unpack_updates(pack_updates([]), on_cpu) == []


def test_answers_that_were_not_asked_for_are_not_taken(live: EditableModel, asked: Slice) -> None:
    assert isinstance(asked.wanted, TargetsWanted)
    found = ALONE.targets(live, asked.wanted.facts, asked.wanted.groups, 1, PRESET, Silent(), ())
    shape, facts, cpu = (found.targets.shape[0], found.targets.shape[1]), len(FACTS), torch.device("cpu")
    packed = pack_descended(found)
    assert torch.equal(unpack_descended(packed, shape, facts, cpu).targets, found.targets)
    for data in (packed[:-1], b"", b"\x80\x04.", pack_descended(replace(found, targets=found.targets * torch.nan))):
        with pytest.raises(RequestError):
            unpack_descended(data, shape, facts, cpu)
    with pytest.raises(RequestError):
        unpack_descended(packed, (shape[0], shape[1] + 1), facts, cpu)
    with pytest.raises(RequestError):
        unpack_keys(packed, {1: shape}, on_cpu)


@pytest.mark.parametrize("row", [((), (1,)), ((1,), ()), ((1,), (10**6,)), ((-1,), (1,)), ((1,) * 60, (1,))])
def test_rows_that_the_model_cannot_have_never_reach_it(live: EditableModel, row: tuple[Any, Any]) -> None:
    refuse_foreign_rows(live, StandingsWanted(rows=(((1, 2), (3,)),)))
    with pytest.raises(RequestError):
        refuse_foreign_rows(live, StandingsWanted(rows=(((1, 2), (3,)), row)))


@pytest.mark.parametrize("answer", [b"", b"null", b"[]", b'[{"rank": 1}]', b'[{"probability": null, "rank": 1}]'])
def test_standings_of_other_rows_are_not_taken(answer: bytes) -> None:
    found = [Standing(probability=0.5, rank=1)]
    assert read_standings(STANDINGS.dump_json(found), 1) == found
    with pytest.raises(RequestError):
        read_standings(answer, 1)
