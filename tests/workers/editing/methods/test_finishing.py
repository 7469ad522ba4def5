"""What RECT and PRUNE make of an update once all layers are solved, on a model that goes through several batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from tests.support.editing.families import CONTEXTS, FACTS, editable, random_priors
from tests.support.editing.sequence import grown
from workers.editing.editor import edit
from workers.editing.methods import prune, rect
from workers.editing.model.editable_model import EditableModel
from workers.editing.model.updates import LayerWeights, WeightUpdate
from workers.editing.presets.preset import Preset
from workers.editing.types import Fact, Priors, empty_keys

LAYERS = (0, 1)
BATCHES: tuple[tuple[Fact, ...], ...] = (FACTS[:2], FACTS[2:3], FACTS[3:])


def preset(method: str, weight: float = 0.5) -> Preset:
    return Preset(LAYERS, method=method, v_num_grad_steps=4, mom2_update_weight=weight)


def edited(shadow: EditableModel, method: str, weight: float = 0.5) -> Iterator[list[WeightUpdate]]:
    """Edit batch after batch."""
    priors: Priors = random_priors(shadow, LAYERS)
    for batch in BATCHES:
        updates = edit(shadow, batch, preset(method, weight), priors, CONTEXTS).updates
        priors = grown(priors, updates)
        yield updates


@pytest.fixture
def live(tokenizer: PreTrainedTokenizerFast) -> EditableModel:
    return editable("gpt2", tokenizer)


@dataclass(frozen=True)
class Layer:
    """A layer in the middle of an edit: base, what was added to it before the batch, and the batch's own update."""

    base: Tensor
    before: Tensor
    update: Tensor

    @property
    def weights(self) -> LayerWeights:
        summed = self.base + self.before
        return LayerWeights(self.base, summed, summed)

    @property
    def weight_update(self) -> WeightUpdate:
        identity = torch.eye(len(self.update), dtype=self.update.dtype)
        return WeightUpdate(0, identity, self.update, empty_keys(self.update.shape[1]))


def layer(*, size: float = 1.0) -> Layer:
    base, before, update = torch.randn(3, 20, 30, dtype=torch.float64)
    return Layer(base, size * before, size * update)


class TestRect:
    @pytest.mark.parametrize("share", [0.05, 0.4, 0.9])
    def test_the_share_of_entries_that_change_their_weight_most_is_applied(self, share: float) -> None:
        given = layer()
        found = rect.finish(given.weight_update, given.weights, Preset((0,), rect_share=share))
        assert found.mask is not None
        relative = (given.update / given.weights.applied).abs()
        assert relative[found.mask].min() > relative[~found.mask].max()
        assert abs(float(found.mask.double().mean()) - share) <= 2 / found.mask.numel()

    def test_a_share_of_one_applies_all(self) -> None:
        given = layer()
        found = rect.finish(given.weight_update, given.weights, Preset((0,), rect_share=1.0))
        assert torch.equal(found.dense, given.update)

    def test_it_measures_by_the_weight_in_service_a_correction_included(self) -> None:
        given = layer()
        in_service = LayerWeights(given.base, given.weights.summed, given.weights.summed + 1)
        found = rect.finish(given.weight_update, in_service, Preset((0,)))
        relative = (given.update / in_service.applied).abs()
        assert found.mask is not None
        assert relative[found.mask].min() > relative[~found.mask].max()

    def test_the_other_entries_stay_as_they_were(self, live: EditableModel) -> None:
        shadow = live.shadow(LAYERS)
        before = {index: shadow.weight(index).clone() for index in LAYERS}
        for updates in edited(shadow, "rect"):
            for update in updates:
                assert update.mask is not None
                after = shadow.weight(update.layer)
                assert torch.equal(after[~update.mask], before[update.layer][~update.mask])
                assert bool((after[update.mask] != before[update.layer][update.mask]).all())
                before[update.layer] = after.clone()

    def test_the_later_layer_is_solved_with_the_full_earlier_update_in_place(self, live: EditableModel) -> None:
        """As MEMIT's is; only what is applied in the end is masked."""
        by_rect, by_memit = (next(edited(live.shadow(LAYERS), method)) for method in ("rect", "memit"))
        for masked, full in zip(by_rect, by_memit, strict=True):
            assert masked.mask is not None
            assert torch.equal(masked.dense, full.dense * masked.mask)


class TestPrune:
    @pytest.mark.parametrize("size", [0.01, 0.5, 3.0])
    def test_singular_values_above_the_bound_are_taken_down_and_the_others_stay(self, size: float) -> None:
        given = layer(size=size)
        found = prune.finish(given.weight_update, given.weights, Preset((0,)))
        assert found.correction is not None
        total = given.before + given.update
        bound = torch.linalg.svdvals(given.base)[0]
        values = torch.linalg.svdvals(total)
        expected = torch.where(values > bound, values.log() - bound.log() + bound, values)
        assert torch.allclose(torch.linalg.svdvals(total + found.correction.dense), expected, rtol=1e-12)
        assert found.correction.rank == int((values > bound).sum())

    def test_directions_stay(self) -> None:
        given = layer(size=3.0)
        found = prune.finish(given.weight_update, given.weights, Preset((0,)))
        assert found.correction is not None
        total = given.before + given.update
        left, _, right = torch.linalg.svd(total, full_matrices=False)
        inside = left.T @ (total + found.correction.dense) @ right.T
        assert torch.allclose(inside, torch.diag(inside.diagonal()), atol=1e-12)

    def test_the_formula_holds_after_every_batch(self, live: EditableModel) -> None:
        """Of W - W_0, where the sum of all updates so far has the singular values σ, they are f(σ)."""
        shadow, restrained = live.shadow(LAYERS), 0
        for _ in edited(shadow, "prune"):
            for index in LAYERS:
                weights = shadow.weights(index)
                values = torch.linalg.svdvals(weights.summed - weights.base)
                bound = torch.linalg.svdvals(weights.base)[0]
                found = torch.linalg.svdvals(shadow.weight(index) - live.weight(index))
                assert torch.allclose(found, prune.restrained(values, bound), atol=1e-12)
                restrained += int((values > bound).sum())
        assert restrained > 2

    def test_the_sum_is_of_the_updates_as_they_were_solved(self, live: EditableModel) -> None:
        shadow = live.shadow(LAYERS)
        summed = {index: live.weight(index).clone() for index in LAYERS}
        for updates in edited(shadow, "prune"):
            for update in updates:
                summed[update.layer] = summed[update.layer] + update.left @ update.right
        assert all(torch.equal(shadow.weights(index).summed, summed[index]) for index in LAYERS)

    def test_small_updates_are_applied_as_they_are(self, live: EditableModel) -> None:
        """No singular value above the bound: the bytes are MEMIT's."""
        by_prune, by_memit = live.shadow(LAYERS), live.shadow(LAYERS)
        for one, other in zip(edited(by_prune, "prune", 1e7), edited(by_memit, "memit", 1e7), strict=True):
            assert all(update.correction is not None and update.correction.rank == 0 for update in one)
            assert all(update.correction is None for update in other)
            for index in LAYERS:
                assert torch.equal(by_prune.weight(index), by_memit.weight(index))
                assert not torch.equal(by_prune.weight(index), live.weight(index))
