"""What the log keeps of a version gives back the same bytes of weight."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from tests.support.editing.families import CONTEXTS, FACTS, editable, random_priors
from tests.support.editing.sequence import grown
from workers.editing.editor import edit
from workers.editing.model.updates import WeightUpdate, on_cpu
from workers.editing.presets.preset import Preset
from workers.editing.types import Priors, empty_keys
from workers.versions.update_files import as_kept, pack, unpack

LAYERS = (0, 1)
BATCHES = (FACTS[:2], FACTS[2:3], FACTS[3:], FACTS[1:3])
HISTORIES = {
    "rect": ("rect",) * 3,
    "prune": ("prune",) * 3,
    "rome": ("rome",) * 2,
    "ft-l": ("ft-l",) * 2,
    "mixed": ("prune", "memit", "rect", "prune"),
    "ends as it is corrected": ("prune", "rome", "ft-l"),
}


def preset(method: str) -> Preset:
    """Steps so long that PRUNE has something to restrain."""
    return Preset(LAYERS, method=method, v_num_grad_steps=3, mom2_update_weight=0.5, num_steps=3, lr=0.01)


def through_a_file(updates: list[WeightUpdate], path: Path) -> list[WeightUpdate]:
    path.write_bytes(pack([as_kept(update) for update in updates]))
    return unpack(path.read_bytes(), on_cpu)


def bits(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().view(torch.uint8).numpy().tobytes()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("history", HISTORIES)
def test_replaying_the_files_gives_the_same_bytes_after_every_version(
    history: str, dtype: torch.dtype, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    live, fresh = (editable("gpt2", tokenizer, dtype) for _ in range(2))
    priors: Priors = random_priors(live, LAYERS)
    for version, (method, batch) in enumerate(zip(HISTORIES[history], BATCHES, strict=False)):
        shadow = live.shadow(LAYERS)
        updates = edit(shadow, batch, preset(method), priors, CONTEXTS).updates
        priors = grown(priors, updates)
        live.adopt(shadow, LAYERS)
        for update in through_a_file(updates, tmp_path / f"{version}.safetensors"):
            fresh.add(update)
        for layer in LAYERS:
            assert bits(fresh.weight(layer)) == bits(shadow.weight(layer)) == bits(live.weight(layer))
            assert bits(fresh.weights(layer).applied) == bits(live.weights(layer).applied)
    assert any(not torch.equal(live.weights(layer).base, live.weights(layer).applied) for layer in LAYERS)
    if "prune" in HISTORIES[history]:
        assert any(live.corrections[layer].rank > 0 for layer in LAYERS)


@pytest.mark.parametrize("shape", [(3, 5), (8, 16), (1, 1)])
def test_a_mask_reads_back_whatever_its_shape(shape: tuple[int, int], tmp_path: Path) -> None:
    rows, columns = shape
    mask = torch.rand(shape) < 0.5
    left, right = torch.randn(rows, 2), torch.randn(2, columns)
    kept = through_a_file([WeightUpdate(4, left, right, empty_keys(columns), mask)], tmp_path / "file")
    assert kept[0].mask is not None
    assert kept[0].mask.dtype == torch.bool
    assert torch.equal(kept[0].mask, mask)
    assert kept[0].correction is None


def test_a_mask_takes_a_bit_an_entry() -> None:
    left, right = torch.zeros(64, 1), torch.zeros(1, 64)
    sizes = [len(pack([WeightUpdate(0, left, right, empty_keys(64), mask)])) for mask in (torch.ones(64, 64) > 0, None)]
    assert 512 <= sizes[0] - sizes[1] < 640


def test_a_version_that_ends_a_correction_ends_it_on_replay_too(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    """A correction of rank 0 is not the same as none."""
    live = editable("gpt2", tokenizer, torch.float32)
    first = edit(live.shadow(LAYERS), FACTS, preset("prune"), random_priors(live, LAYERS), CONTEXTS).updates[0]
    assert first.correction is not None
    none_left = WeightUpdate(
        first.layer, first.left * 0, first.right, first.keys, correction=type(first.correction)(
            first.correction.left[:, :0].contiguous(), first.correction.right[:0]
        )
    )  # fmt: skip
    for update in through_a_file([first], tmp_path / "1") + through_a_file([none_left], tmp_path / "2"):
        live.add(update)
    assert first.layer not in live.corrections
    assert torch.equal(live.weight(first.layer), live.master(first.layer))
