"""Parts are found by structure in every family, and the shadow keeps an edit away from the live model."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from transformers import BloomConfig, MixtralConfig, PreTrainedTokenizerFast
from transformers.pytorch_utils import Conv1D

from app.domain.errors import LayerOutOfRange, UnsupportedArchitecture
from tests.support.editing.families import DEPTH, FAMILIES, HIDDEN, INNER, WINDOW, editable, random_model, relative
from workers.editing.model.editable_model import EditableModel
from workers.editing.model.updates import WeightUpdate
from workers.questions.decoding import greedy

IDS = torch.tensor([[5, 17, 60, 3]])


def update(layer: int, scale: float = 1.0, width: int = INNER, dtype: torch.dtype = torch.float32) -> WeightUpdate:
    """A random update of rank 2."""
    generator = torch.Generator().manual_seed(layer)
    left = torch.randn(HIDDEN, 2, generator=generator).to(dtype) * scale
    right = torch.randn(2, width, generator=generator).to(dtype)
    return WeightUpdate(layer, left, right, torch.zeros(width, 1, dtype=torch.float64))


def logits(live: EditableModel) -> Tensor:
    with torch.no_grad():
        found: Tensor = live.model(input_ids=IDS).logits
    return found


def parameter_bytes(live: EditableModel) -> dict[str, bytes]:
    return {name: value.detach().view(torch.uint8).numpy().tobytes() for name, value in live.model.named_parameters()}


class TestStructure:
    @pytest.mark.parametrize("name", FAMILIES)
    def test_blocks_projections_and_final_norm_are_found(self, name: str, tokenizer: PreTrainedTokenizerFast) -> None:
        live, family = editable(name, tokenizer, torch.float32), FAMILIES[name]
        blocks = live.model.get_submodule(family.blocks)
        assert live.anatomy.blocks == tuple(blocks.children())
        assert live.anatomy.projections == tuple(f"{family.blocks}.{i}.{family.projection}" for i in range(DEPTH))
        assert live.anatomy.final_norm is live.model.get_submodule(family.final_norm)
        assert (live.depth, live.hidden_size, live.window) == (DEPTH, HIDDEN, WINDOW)

    @pytest.mark.parametrize("name", FAMILIES)
    def test_weights_and_masters_are_outputs_by_inputs(self, name: str, tokenizer: PreTrainedTokenizerFast) -> None:
        live = editable(name, tokenizer, torch.float32)
        assert live.key_width(1) == INNER
        assert live.weight(1).shape == live.master(1).shape == (HIDDEN, INNER)

    @pytest.mark.parametrize("name", FAMILIES)
    def test_an_update_adds_its_product_with_the_key(self, name: str, tokenizer: PreTrainedTokenizerFast) -> None:
        """The projection's output moves by Δk for every input k, whatever way the family stores its weight."""
        live = editable(name, tokenizer, torch.float32)
        keys = torch.randn(3, INNER)
        before = live.projection(1)(keys)
        live.add(update(1))
        assert torch.allclose(live.projection(1)(keys) - before, keys @ update(1).dense.T, atol=1e-4)

    def test_a_square_conv1d_keeps_its_orientation(self, tokenizer: PreTrainedTokenizerFast) -> None:
        """A Conv1D stores (d_in, d_out): its class says so, its shape cannot."""
        live = editable("gpt2", tokenizer, torch.float32)
        square: nn.Module = Conv1D(HIDDEN, HIDDEN)  # type: ignore[no-untyped-call]
        live.model.set_submodule(live.anatomy.projections[1], square.requires_grad_(requires_grad=False))
        keys = torch.randn(3, HIDDEN)
        before = live.projection(1)(keys)
        live.add(update(1, width=HIDDEN))
        assert torch.allclose(live.projection(1)(keys) - before, keys @ update(1, width=HIDDEN).dense.T, atol=1e-4)

    def test_a_model_with_experts_is_refused(self, tokenizer: PreTrainedTokenizerFast) -> None:
        config = MixtralConfig(
            vocab_size=300,
            hidden_size=HIDDEN,
            intermediate_size=INNER,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            num_local_experts=2,
            bos_token_id=0,
            eos_token_id=0,
        )
        with pytest.raises(UnsupportedArchitecture):
            EditableModel.of(random_model(config), tokenizer)

    def test_a_model_that_names_no_longest_sequence_is_refused(self, tokenizer: PreTrainedTokenizerFast) -> None:
        """For questions as for edits: there is one window."""
        model = random_model(BloomConfig(vocab_size=300, hidden_size=HIDDEN, n_layer=2, n_head=4))
        with pytest.raises(UnsupportedArchitecture, match="longest sequence"):
            EditableModel.of(model, tokenizer)
        with pytest.raises(UnsupportedArchitecture, match="longest sequence"):
            greedy(model, tokenizer, ["In"], 1)

    @pytest.mark.parametrize("layer", [-1, DEPTH, 999])
    def test_a_layer_that_is_not_there_is_refused(self, tokenizer: PreTrainedTokenizerFast, layer: int) -> None:
        live = editable("gpt2", tokenizer)
        for ask in (live.projection, live.block, live.weight, live.master, live.key_width):
            with pytest.raises(LayerOutOfRange) as caught:
                ask(layer)
            assert (caught.value.field, caught.value.value) == ("layers", layer)

    def test_taking_a_model_freezes_it(self, tokenizer: PreTrainedTokenizerFast) -> None:
        live = editable("llama", tokenizer)
        assert not live.model.training
        assert not any(parameter.requires_grad for parameter in live.model.parameters())


class TestShadow:
    @pytest.mark.parametrize("name", FAMILIES)
    def test_it_shares_the_storage_of_all_but_the_edited_matrices(
        self, name: str, tokenizer: PreTrainedTokenizerFast
    ) -> None:
        live = editable(name, tokenizer, torch.float32)
        shadow = live.shadow((0, 2))
        own = {f"{live.anatomy.projections[layer]}.weight" for layer in (0, 2)}
        twins = dict(shadow.model.named_parameters())
        for path, parameter in live.model.named_parameters():
            assert (twins[path].data_ptr() == parameter.data_ptr()) == (path not in own), path
        buffers = dict(shadow.model.named_buffers())
        assert all(buffers[path] is buffer for path, buffer in live.model.named_buffers())

    @pytest.mark.parametrize("name", FAMILIES)
    def test_before_an_edit_it_answers_as_the_live_model(self, name: str, tokenizer: PreTrainedTokenizerFast) -> None:
        live = editable(name, tokenizer, torch.float32)
        assert torch.equal(logits(live.shadow((0, 2))), logits(live))

    @pytest.mark.parametrize("name", FAMILIES)
    def test_an_edit_on_it_leaves_the_live_models_bytes(self, name: str, tokenizer: PreTrainedTokenizerFast) -> None:
        live = editable(name, tokenizer, torch.float32)
        bytes_before, answer, master = parameter_bytes(live), logits(live), live.master(0).clone()
        shadow = live.shadow((0, 2))
        shadow.add(update(0))
        shadow.add(update(2))
        assert not torch.equal(logits(shadow), answer)
        assert torch.equal(logits(live), answer)
        assert parameter_bytes(live) == bytes_before
        assert torch.equal(live.master(0), master)

    def test_its_hooks_never_fire_on_the_live_tree(self, tokenizer: PreTrainedTokenizerFast) -> None:
        live = editable("llama", tokenizer, torch.float32)
        shadow = live.shadow((1,))
        heard: list[str] = []
        for name, module in shadow.model.named_modules():
            module.register_forward_hook(lambda _m, _a, _o, name=name: heard.append(name))
        logits(live)
        assert heard == []
        logits(shadow)
        assert heard

    def test_a_shadow_of_an_edited_model_starts_from_the_edit(self, tokenizer: PreTrainedTokenizerFast) -> None:
        live = editable("gpt2", tokenizer, torch.float32)
        live.add(update(1))
        shadow = live.shadow((1,))
        shadow.add(update(1))
        assert torch.equal(shadow.master(1), live.master(1) + update(1).dense)


class TestMasters:
    def test_small_updates_add_up_through_a_wide_master(self, tokenizer: PreTrainedTokenizerFast) -> None:
        """200 small updates end within bfloat16's rounding of one large one; added in place, they are lost."""
        live = editable("llama", tokenizer, torch.bfloat16)
        start, small = live.weight(1).clone(), update(1, scale=1e-5)
        in_place = start.clone()
        for _ in range(200):
            live.add(small)
            in_place += small.dense.to(torch.bfloat16)
        whole = start.float() + 200 * small.dense
        assert live.weight(1).dtype == torch.bfloat16
        assert live.master(1).dtype == torch.float32
        assert relative(live.master(1), whole) <= 1e-5
        one_rounding = relative(whole.to(torch.bfloat16).float(), whole)
        assert relative(live.weight(1).float(), whole) <= 1.01 * one_rounding
        change = whole - start.float()
        assert relative(live.master(1) - start.float(), change) <= 0.02
        assert relative(in_place.float() - start.float(), change) >= 0.3

    def test_a_float64_models_master_is_float64(self, tokenizer: PreTrainedTokenizerFast) -> None:
        assert editable("gpt2", tokenizer, torch.float64).master(0).dtype == torch.float64

    def test_a_master_is_no_view_of_the_weight(self, tokenizer: PreTrainedTokenizerFast) -> None:
        live = editable("llama", tokenizer, torch.float32)
        assert live.master(0).data_ptr() != live.weight(0).data_ptr()

    def test_publishing_keeps_the_weights_storage(self, tokenizer: PreTrainedTokenizerFast) -> None:
        """Whoever holds the weight (a tied module, a compiled graph) sees the new version."""
        live = editable("gpt2", tokenizer, torch.float32)
        place = live.weight(0).data_ptr()
        live.set_master(0, torch.zeros(HIDDEN, INNER))
        assert live.weight(0).data_ptr() == place
        assert not live.weight(0).any()
