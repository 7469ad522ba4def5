"""Traces against what must hold of them, and against one state put back by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.support.editing.blocks_apart import blocks_apart
from tests.support.pretended_devices import PretendedDevices
from tests.support.tiny_models import tiny
from workers.causal_tracing.recall import Recalled
from workers.causal_tracing.tracer import SIGMAS, Site, Trace, Tracer, window_around
from workers.editing.model.editable_model import EditableModel

DEVIATION, SAMPLES = 0.5, 3


@pytest.fixture(params=["gpt2", "llama"], scope="module")
def model(request: pytest.FixtureRequest) -> EditableModel:
    found = tiny(request.param)
    return EditableModel.of(found.model, found.tokenizer)


@pytest.fixture(scope="module")
def fact(model: EditableModel) -> Recalled:
    ids = model.tokenizer("The river runs through Lyon, in the country of").input_ids
    with torch.inference_mode():
        answer = int(model.model(input_ids=torch.tensor([ids])).logits[0, -1].argmax())
    return Recalled(tuple(ids), 4, 6, answer)


@pytest.fixture(scope="module")
def trace(model: EditableModel, fact: Recalled) -> Trace:
    return Tracer(model, DEVIATION, samples=SAMPLES).trace(fact)


def test_every_site_has_an_effect_of_each_token_and_layer(model: EditableModel, fact: Recalled, trace: Trace) -> None:
    assert set(trace.effects) == set(Site)
    assert all(effects.shape == (len(fact.ids), model.depth) for effects in trace.effects.values())
    assert 0 < trace.disturbed < 1
    assert trace.clean != pytest.approx(trace.disturbed)


def test_the_last_blocks_state_at_the_last_token_brings_all_back(trace: Trace) -> None:
    assert trace.effects[Site.BLOCK][-1, -1] == pytest.approx(trace.clean - trace.disturbed, rel=1e-9)


def test_a_token_before_the_subject_has_none(fact: Recalled, trace: Trace) -> None:
    for effects in trace.effects.values():
        assert effects[: fact.begin].abs().max() < 1e-12


def test_the_last_blocks_state_at_any_other_token_has_none(trace: Trace) -> None:
    assert trace.effects[Site.BLOCK][:-1, -1].abs().max() < 1e-12


@torch.inference_mode()
def by_hand(model: EditableModel, fact: Recalled, token: int, layer: int) -> float:
    """One block's state put back, a disturbed text at a time, with the noise of the first fact."""
    ids, embeddings = torch.tensor([fact.ids]), model.model.get_input_embeddings()
    clean = model.model(input_ids=ids, output_hidden_states=True).hidden_states[layer + 1][0, token]
    width = int(model.model.config.hidden_size)
    noise = torch.randn(SAMPLES, fact.end - fact.begin, width, generator=torch.Generator().manual_seed(0))
    found = []
    for each in SIGMAS * DEVIATION * noise:
        states = embeddings(ids).clone()
        states[0, fact.begin : fact.end] += each.to(states.dtype)

        def put_back(_module: object, _given: object, output: Tensor | tuple[Tensor, ...]) -> None:
            (output[0] if isinstance(output, tuple) else output)[0, token] = clean

        handle = model.anatomy.blocks[layer].register_forward_hook(put_back)
        try:
            logits = model.model(inputs_embeds=states).logits
        finally:
            handle.remove()
        found.append(float(logits[0, -1].softmax(-1)[fact.answer]))
    return sum(found) / len(found)


def test_effects_are_those_of_one_state_after_another(model: EditableModel, fact: Recalled, trace: Trace) -> None:
    for token in (fact.begin, fact.end - 1, fact.end):
        effect = float(trace.effects[Site.BLOCK][token, 0])
        assert effect + trace.disturbed == pytest.approx(by_hand(model, fact, token, 0), rel=1e-9)


def test_the_same_seed_gives_the_same_trace(model: EditableModel, fact: Recalled, trace: Trace) -> None:
    again = Tracer(model, DEVIATION, samples=SAMPLES).trace(fact)
    other = Tracer(model, DEVIATION, samples=SAMPLES, seed=1).trace(fact)
    assert (again.disturbed, other.disturbed == trace.disturbed) == (trace.disturbed, False)


def test_nothing_is_left_in_the_model(model: EditableModel, fact: Recalled) -> None:
    def hooks() -> int:
        return sum(len(module._forward_hooks) for module in model.model.modules())

    before = hooks()
    Tracer(model, DEVIATION, samples=1).trace(fact)
    assert hooks() == before


@pytest.mark.parametrize(
    ("layer", "depth", "site", "layers"),
    [
        (7, 30, Site.BLOCK, [7]),
        (7, 30, Site.MLP, [4, 5, 6, 7, 8, 9]),
        (1, 30, Site.ATTENTION, [0, 1, 2, 3]),
        (29, 30, Site.MLP, [26, 27, 28, 29]),
        (2, 4, Site.MLP, [2]),
    ],
)
def test_outputs_are_put_back_in_a_window_of_a_fifth_of_the_layers(
    layer: int, depth: int, site: Site, layers: list[int]
) -> None:
    assert list(window_around(layer, depth, site)) == layers


def test_the_mlps_effects_at_the_subjects_last_token_can_be_had_alone(
    model: EditableModel, fact: Recalled, trace: Trace
) -> None:
    alone, taken = Tracer(model, DEVIATION, samples=SAMPLES).mlp_effects(fact)
    assert taken == pytest.approx(trace.clean - trace.disturbed)
    torch.testing.assert_close(alone, trace.effects[Site.MLP][fact.end - 1], rtol=1e-9, atol=1e-12)


def test_over_several_devices_it_is_the_same(fact: Recalled, trace: Trace, model: EditableModel) -> None:
    found = tiny("gpt2" if "gpt" in type(model.model).__name__.lower() else "llama")
    with PretendedDevices():
        apart = Tracer(blocks_apart(EditableModel.of(found.model, found.tokenizer)), DEVIATION, samples=SAMPLES)
        for site, effects in apart.trace(fact).effects.items():
            torch.testing.assert_close(effects, trace.effects[site], rtol=1e-9, atol=1e-12)
