"""The layers of causal tracing as a span of the search: taken where they are better, and told of on the card."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import cast

import pytest
import torch
from torch import nn

from tests.support.tiny_models import tiny
from workers.causal_tracing.recall import Recalled
from workers.editing.model.editable_model import EditableModel
from workers.editing.presets import generic_preset
from workers.editing.presets.preset import Preset
from workers.editing.types import Fact
from workers.onboarding import traced as tracing
from workers.onboarding.card import card
from workers.onboarding.search import AXES, Search, Tried
from workers.onboarding.traced import TRACED, Traced
from workers.onboarding.trial import Bench, Outcome
from workers.onboarding.where import Choice, choices
from workers.onboarding.world_facts import WorldFact

OWN = [[0, 1], [1, 2]]
TRACES = Traced((3, 4, 5), 10)


def even(share: float) -> Outcome:
    """All shares alike: the score is that share."""
    return Outcome(share, share, share, share, 1.0)


class ByLayers:
    """Stands for a bench: the score follows from the layers, and is better by 0.05 with a share of 0.9."""

    def __init__(self, **scores: float) -> None:
        self.scores, self.runs = scores, list[tuple[int, ...]]()

    def run(self, preset: Preset) -> Outcome:
        self.runs.append(preset.layers)
        return even(self.scores["at" + "".join(map(str, preset.layers))] + 0.05 * (preset.share == 0.9))


def searched(bench: ByLayers, folder: Path, seconds: float = 60) -> tuple[Search, Tried]:
    found = Search(cast("Bench", bench), generic_preset(6), TRACES.among(OWN), folder / "trials.json", "these facts")
    return found, found.run(seconds, lambda _tried: None)


@pytest.fixture
def better() -> ByLayers:
    return ByLayers(at01=0.5, at12=0.6, at35=0.8)


@pytest.fixture
def worse() -> ByLayers:
    return ByLayers(at01=0.5, at12=0.6, at35=0.4)


PROMISE = even(0.9)


def chosen_by(search: Search, best: Tried, unseen: ByLayers, own: list[list[int]] = OWN) -> list[Choice]:
    return choices(search, best, PROMISE, TRACES.span, own, cast("Bench", unseen))


class TestSearch:
    def test_the_traced_layers_are_tried_first_behind_the_start(self, better: ByLayers, tmp_path: Path) -> None:
        searched(better, tmp_path)
        assert better.runs[:3] == [(0, 1), (3, 5), (1, 2)]

    def test_they_are_taken_where_they_are_better(self, better: ByLayers, tmp_path: Path) -> None:
        _, best = searched(better, tmp_path)
        assert (best.values["layers"], best.values["share"]) == ([3, 5], 0.9)

    def test_they_are_not_taken_where_they_are_worse(self, worse: ByLayers, tmp_path: Path) -> None:
        _, best = searched(worse, tmp_path)
        assert best.values["layers"] == [1, 2]

    def test_a_search_that_goes_on_does_not_try_them_again(self, worse: ByLayers, tmp_path: Path) -> None:
        searched(worse, tmp_path)
        tried = list(worse.runs)
        searched(worse, tmp_path)
        assert worse.runs == tried

    def test_layers_that_are_a_span_of_the_search_anyway_come_once(self) -> None:
        assert Traced((1, 2), 10).among(OWN) == OWN

    def test_where_nothing_is_recalled_the_search_has_its_own_spans(self) -> None:
        assert Traced((), 0).among(OWN) == OWN


class TestChoices:
    @pytest.fixture
    def unseen(self) -> ByLayers:
        return ByLayers(at01=0.1, at12=0.2, at35=0.3)

    def test_the_other_layers_are_measured_with_all_else_as_what_was_taken(
        self, better: ByLayers, unseen: ByLayers, tmp_path: Path
    ) -> None:
        tracing, search = chosen_by(*searched(better, tmp_path), unseen)
        assert (tracing.by, tracing.layers, tracing.taken, tracing.unseen) == ("tracing", [3, 5], True, PROMISE)
        assert (search.by, search.layers, search.taken, search.unseen) == ("search", [1, 2], False, even(0.25))
        assert unseen.runs == [(1, 2)]

    def test_both_are_told_with_the_values_that_the_search_began_with(
        self, worse: ByLayers, unseen: ByLayers, tmp_path: Path
    ) -> None:
        tracing, search = chosen_by(*searched(worse, tmp_path), unseen)
        assert (tracing.began, search.began) == (even(0.4), even(0.6))
        assert [each.best.score for each in (tracing, search) if each.best] == pytest.approx([0.45, 0.65])
        assert (tracing.taken, search.taken, tracing.unseen) == (False, True, even(0.35))

    def test_layers_that_there_was_no_time_for_are_measured_on_unseen_facts_alone(
        self, better: ByLayers, unseen: ByLayers, tmp_path: Path
    ) -> None:
        tracing, search = chosen_by(*searched(better, tmp_path, seconds=0), unseen)
        assert (tracing.began, tracing.best, tracing.unseen) == (None, None, even(0.3))
        assert (search.layers, search.began, search.unseen) == ([0, 1], even(0.5), PROMISE)

    def test_layers_without_statistics_are_not_measured(
        self, better: ByLayers, unseen: ByLayers, tmp_path: Path
    ) -> None:
        search, best = searched(better, tmp_path, seconds=0)
        search.spans = OWN
        assert chosen_by(search, best, unseen)[0] == Choice("tracing", [3, 5], False, None, None, None)
        assert unseen.runs == []

    def test_layers_that_both_name_are_taken_by_both(self, better: ByLayers, unseen: ByLayers, tmp_path: Path) -> None:
        found = chosen_by(*searched(better, tmp_path), unseen, [*OWN, TRACES.span])
        assert [(each.layers, each.taken, each.unseen) for each in found] == [([3, 5], True, PROMISE)] * 2
        assert unseen.runs == []


def test_the_card_tells_of_both_and_which_was_taken() -> None:
    def made(where: list[Choice]) -> str:
        tried = Tried({"layers": [1, 2], **{name: values[0] for name, values in AXES.items()}}, even(0.6))
        return card("mine", [], "", even(0.0), [tried], generic_preset(6), even(0.6), (20, 18), where)

    where = [
        Choice("tracing", [3, 5], False, None, None, None),
        Choice("search", [1, 2], True, even(0.5), even(0.6), even(0.7)),
    ]
    told = made(where)
    assert (
        "| by | layers | score as the search begins | best score | score on unseen facts, all else as chosen | |"
        in told
    )
    assert "| tracing | 3, 5 | not tried | not tried | not tried |  |" in told
    assert "| search | 1, 2 | 0.500 | 0.600 | 0.700 | taken |" in told
    assert "## Where to edit" not in made([])


class TestTraced:
    @pytest.fixture
    def model(self) -> EditableModel:
        """Of its four MLPs, that of block 2 alone says anything, and so loudly that the next token follows from it."""
        found = tiny("llama")
        model = EditableModel.of(found.model, found.tokenizer)
        with torch.no_grad():
            for layer in (0, 1, 3):
                weight(model, layer).zero_()
            weight(model, 2).mul_(100)
        return model

    @pytest.fixture
    def facts(self) -> list[WorldFact]:
        names = [f"{place} {part}" for place in ("Lyon", "Kyoto", "Accra") for part in ("a", "b", "c", "d")]
        return [WorldFact(Fact(name, "This is {}", "Japan"), "Norway", (), (), "") for name in names]

    def test_names_the_layer_that_recalls_and_how_many_facts_were_traced(
        self, model: EditableModel, facts: list[WorldFact], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tracing, "recalled", taken_as_known)
        found = Traced.of(model, facts)
        assert found == Traced((2,), TRACED)
        assert found.span == [2]
        assert found.finding.value == "2, of 10 facts that the model knows"

    def test_names_none_where_the_model_knows_no_fact(self, model: EditableModel, facts: list[WorldFact]) -> None:
        found = Traced.of(model, facts)
        assert (found, found.finding.value) == (Traced((), 0), "none, of 0 facts that the model knows")

    def test_names_none_where_no_layer_brings_a_fact_back(
        self, model: EditableModel, facts: list[WorldFact], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tracing, "recalled", taken_as_known)
        with torch.no_grad():
            weight(model, 2).zero_()
        assert Traced.of(model, facts) == Traced((), TRACED)


def weight(model: EditableModel, layer: int) -> nn.Parameter:
    """Of a block's down-projection, which has nothing else."""
    return next(model.projection(layer).parameters())


@torch.inference_mode()
def taken_as_known(model: EditableModel, facts: Iterable[Fact]) -> list[Recalled]:
    """The facts with whatever the model finds likeliest as their objects; their subjects end the prompts."""
    found = []
    for fact in facts:
        ids = tuple(model.tokenizer(fact.text).input_ids)
        answer = int(model.model(input_ids=torch.tensor([ids])).logits[0, -1].argmax())
        found.append(Recalled(ids, len(ids) - 2, len(ids), answer))
    return found
