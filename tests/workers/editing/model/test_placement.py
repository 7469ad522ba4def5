"""Where a model's parts go, what is refused, and that the tests' pretended devices refuse what CUDA's do."""

from __future__ import annotations

import sys

import pytest
import torch

from app.domain.errors import UnsupportedPlacement
from tests.support.editing.blocks_apart import blocks_apart
from tests.support.pretended_devices import PretendedDevices
from tests.support.tiny_models import tiny
from workers.editing.model.editable_model import EditableModel
from workers.editing.model.placement import ALL, balanced, lay_out, place

ROOM = 10**9


def live(family: str = "llama") -> EditableModel:
    made = tiny(family, dtype=torch.float32)
    return EditableModel.of(made.model, made.tokenizer)


class TestPretendedDevices:
    def test_what_lies_apart_is_refused_and_what_cuda_allows_is_not(self) -> None:
        with PretendedDevices():
            one, other = torch.ones(3, device="cuda:0"), torch.ones(3, device="cuda:1")
            assert (one * 2).device == one[1:].device == one.new_zeros(2).device == torch.device("cuda:0")
            for mixing in (lambda: one + other, lambda: torch.cat([one, other]), lambda: one[other.long()]):
                with pytest.raises(RuntimeError, match="same device"):
                    mixing()  # type: ignore[no-untyped-call]
            with pytest.raises(RuntimeError, match="same device"):
                one + torch.ones(3)
            assert (one * torch.tensor(2.0)).device == one[torch.tensor([0, 1])].device == one.device
            with pytest.raises(TypeError, match="numpy"):
                one.numpy()

    def test_a_gradient_comes_back_to_where_its_tensor_lies(self) -> None:
        with PretendedDevices():
            start = torch.ones(3, device="cuda:0", requires_grad=True)
            moved = (start * 2).to("cuda:1")
            assert moved.device == torch.device("cuda:1")
            (moved * 3).sum().backward()  # type: ignore[no-untyped-call]
            assert start.grad is not None
            assert start.grad.device == start.device
            assert start.grad.tolist() == [6.0] * 3


class TestBalanced:
    @pytest.mark.parametrize("family", ["gpt2", "llama"])
    def test_each_part_has_one_device_and_blocks_follow_each_other(self, family: str) -> None:
        model = live(family).model
        found = balanced(model, {0: ROOM, 1: ROOM, 2: ROOM})
        blocks = [device.index for name, device in found.items() if name.split(".")[-1].isdigit()]
        assert len(blocks) == 4
        assert blocks == sorted(blocks)
        assert len(set(found.values())) > 1

    def test_one_accelerator_takes_all(self) -> None:
        assert set(balanced(live().model, {0: ROOM}).values()) == {torch.device("cuda", 0)}

    def test_weights_that_do_not_fit_are_refused_and_not_offloaded(self) -> None:
        with pytest.raises(UnsupportedPlacement, match="do not fit"):
            balanced(live().model, {0: 100_000, 1: 100_000})

    def test_without_accelerate_it_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "accelerate.utils", None)
        with pytest.raises(UnsupportedPlacement, match=r"palimpsest\[accelerate\]"):
            balanced(live().model, {0: ROOM, 1: ROOM})

    def test_without_an_accelerator_it_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        with pytest.raises(UnsupportedPlacement, match="no accelerator"):
            place(live().model, ALL)


class TestLayOut:
    def test_a_shadow_shares_the_storage_on_every_device(self) -> None:
        with PretendedDevices():
            model = blocks_apart(live())
            shadow = model.shadow((1,))
            for layer in range(model.depth):
                assert shadow.device_at(layer) == torch.device("cuda", layer)
                assert (shadow.weight(layer).data_ptr() == model.weight(layer).data_ptr()) == (layer != 1)

    def test_logits_come_back_to_the_token_ids(self) -> None:
        with PretendedDevices():
            model = blocks_apart(live())
            ids = torch.tensor([[1, 2, 3]], device=model.device)
            assert model.head_device != model.device
            assert model.model(input_ids=ids).logits.device == model.device

    def test_parts_that_share_a_weight_cannot_lie_apart(self) -> None:
        with PretendedDevices():
            model = live("gpt2").model  # its head is tied
            with pytest.raises(UnsupportedPlacement, match="shares a weight"):
                lay_out(model, {"transformer": torch.device("cuda:0"), "lm_head": torch.device("cuda:1")})

    def test_a_weight_of_no_part_is_refused(self) -> None:
        with PretendedDevices(), pytest.raises(UnsupportedPlacement, match="no part"):
            lay_out(live().model, {"model.embed_tokens.weight": torch.device("cuda:0")})


def test_an_offloaded_weight_is_refused() -> None:
    made = tiny("llama")
    made.model.model.layers[2].mlp.down_proj.to("meta")
    with pytest.raises(UnsupportedPlacement, match="offloaded") as caught:
        EditableModel.of(made.model, made.tokenizer)
    assert caught.value.value == "model.layers.2.mlp.down_proj.weight"
